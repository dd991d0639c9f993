//! Text from outside, wherever it comes from: a mode, a server, a configuration file, a client.
//!
//! [`escaped`] and [`excerpt`] make it fit for one line of a log or of an error. [`HostPort`]
//! splits the forms in which people write an address with or without a port. The crate is below
//! all others, so that there is one list of hidden characters and one way to read brackets.

mod address;
mod line;

pub use address::HostPort;
pub use line::{escaped, excerpt, is_hidden};
