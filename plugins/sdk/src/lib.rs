//! What a discovery mode in Rust is written with.
//!
//! A mode implements [`Mode`], and [`Announcer`] too when members make
//! themselves known through it, and ends with one line:
//!
//! ```
//! use convoke_mode_sdk::{Candidate, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode};
//!
//! struct Fixed(Vec<Candidate>);
//!
//! impl Mode for Fixed {
//!     fn configure(config: ModeConfig, _me: LocalMember) -> Result<Self, Problem> {
//!         let address = config.argument;
//!         Ok(Self(vec![Candidate { address, port: None, attributes: Vec::new() }]))
//!     }
//!
//!     fn discover(&mut self) -> Result<Snapshot, Problem> {
//!         Ok(Snapshot { candidates: self.0.clone(), complete: false, look_again_ms: None })
//!     }
//! }
//!
//! export_mode!(Fixed);
//! # fn main() {}
//! ```
//!
//! Compiled for `wasm32-unknown-unknown` and turned into a component, a mode
//! imports what it calls and nothing else: `log` always, a capability such as
//! [`multicast`] when the code uses it. That list of imports is what an operator
//! is asked to grant. There is no clock, no randomness and no WASI: the host
//! owns the timers.
//!
//! Keep the logic in plain modules and it is tested natively with `cargo test`;
//! away from WebAssembly, [`log`] writes to stderr and [`export_mode!`] to
//! nothing at all.

mod bindings;
#[doc(hidden)]
pub mod glue;
pub mod log;
mod mode;
mod text;

/// Addresses and services by name, asked of DNS by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::dns;
/// Where pods are, read from the API server by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::kubernetes;
/// Datagrams to a multicast group, sealed by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::multicast;
/// Whether a member of this cluster is somewhere, asked by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::probe;
pub use bindings::strategy::convoke::discovery::types::{
    Candidate, LocalMember, ModeConfig, Problem, Snapshot,
};
pub use mode::{Announcer, Mode};
pub use text::quoted;
