//! Text from outside, wherever it comes from: a mode, a server, a configuration file, a client.
//!
//! [`escaped`] and [`excerpt`] make it fit for one line of a log or of an error, and [`counted`]
//! writes a count with its noun. [`HostPort`] splits the forms in which people write an address
//! with or without a port. The crate is below all others, so that there is one list of hidden
//! characters and one way to parse brackets.

mod address;
mod line;

pub use address::HostPort;
pub use line::{counted, escaped, excerpt, is_hidden};
