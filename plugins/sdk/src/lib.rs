//! What a discovery mode in Rust is written with.
//!
//! A mode implements [`Mode`], and [`Announcer`] too when members make
//! themselves known through it, and ends with one line:
//!
//! ```
//! use convoke_mode_sdk::{Candidate, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode};
//! use std::net::IpAddr;
//!
//! struct Fixed {
//!     address: IpAddr,
//!     port: Option<u16>,
//! }
//!
//! impl Mode for Fixed {
//!     fn configure(config: ModeConfig, _me: LocalMember) -> Result<Self, Problem> {
//!         config.only(&["address", "port"])?;
//!         let address = config.parsed("address", "an IP address")?;
//!         let address = address.ok_or(Problem::Misconfigured("there is no address".to_owned()))?;
//!         Ok(Self { address, port: config.number("port", 1..=u16::MAX)? })
//!     }
//!
//!     fn discover(&mut self) -> Result<Snapshot, Problem> {
//!         Ok(Snapshot::of([Candidate::at(self.address, self.port)]))
//!     }
//! }
//!
//! export_mode!(Fixed);
//! # fn main() {}
//! ```
//!
//! Compiled for `wasm32-unknown-unknown` and turned into a component, a mode
//! imports what it calls and nothing else: `log` always, a capability such as
//! [`multicast`], [`store`] or `http` when the code uses it. That list of imports is
//! what an operator is asked to grant. There is no clock, no randomness and no WASI
//! besides that of `http`: the host owns the timers.
//!
//! | cargo feature | default | |
//! |---|---|---|
//! | `tracing` | on | what the `tracing` macros say goes to the log; the crate comes along as `convoke_mode_sdk::tracing` |
//! | `http` | off | requests over HTTP |
//!
//! A panic is logged with its message and place before it ends the instance.
//!
//! Keep the logic in plain modules and it is tested natively with `cargo test`;
//! away from WebAssembly, [`log`] writes to stderr, `http` answers as a test says,
//! and [`export_mode!`] comes to nothing at all.

mod bindings;
mod candidate;
mod config;
#[doc(hidden)]
pub mod glue;
#[cfg(feature = "http")]
pub mod http;
pub mod log;
mod member;
mod mode;
mod problem;
mod text;
#[cfg(feature = "tracing")]
mod trace;

/// Addresses and services by name, asked of DNS by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::dns;
/// Where pods are, read from the API server by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::kubernetes;
/// Datagrams to a multicast group, sealed by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::multicast;
/// Whether a member of this cluster is somewhere, asked by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::probe;
/// A few small values that outlive an instance and a restart. Needs a grant.
pub use bindings::capabilities::convoke::host::store;
pub use bindings::strategy::convoke::discovery::types::{
    Candidate, LocalMember, ModeConfig, Problem, Snapshot,
};
pub use mode::{Announcer, Mode};
pub use text::quoted;
/// Events and spans, which go to the member's log: `tracing::info!(port, "joined")`.
/// An event's values are its fields; the spans it is in add theirs, `look.service` for
/// the field `service` of the span `look`. Bounded: 16 fields of an event or a span,
/// 64 spans at a time, 1,024 bytes of a value.
#[cfg(feature = "tracing")]
pub use tracing;
