//! SDK for discovery modes in Rust.
//!
//! A mode implements [`Mode`], and [`Announcer`] if it also announces members, and ends with
//! one line:
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
//!         let address = address.ok_or(Problem::Misconfigured("the address is missing".to_owned()))?;
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
//! A mode is compiled for `wasm32-unknown-unknown` and turned into a component. It imports only
//! what its code calls: `log` always, and a capability such as [`multicast`], [`store`] or
//! `http` if it is used. These imports have to be granted by an operator. There is no clock, no
//! randomness, and no WASI except that of `http`: intervals are controlled by the host.
//!
//! | cargo feature | default | |
//! |---|---|---|
//! | `tracing` | on | writes events of the `tracing` macros to the log; the crate is
//! re-exported as `convoke_mode_sdk::tracing` |
//! | `http` | off | HTTP requests |
//!
//! A panic is logged with its message and location before it ends the instance.
//!
//! Keep the logic in plain modules, so that it can be tested natively with `cargo test`:
//! outside of WebAssembly, [`log`] writes to stderr, `http` returns the responses of a test,
//! and [`export_mode!`] only checks types.

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

/// DNS lookups of addresses and services, made by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::dns;
/// Pod addresses, read from the Kubernetes API by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::kubernetes;
/// Datagrams to a multicast group, encrypted by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::multicast;
/// Checks whether a member of this cluster is at an address, made by the host. Needs a grant.
pub use bindings::capabilities::convoke::host::probe;
/// Named values that outlive an instance and a restart. Needs a grant.
pub use bindings::capabilities::convoke::host::store;
pub use bindings::strategy::convoke::discovery::types::{
    Candidate, LocalMember, ModeConfig, Problem, Snapshot,
};
pub use mode::{Announcer, Mode};
pub use text::quoted;
/// Events and spans, written to the member's log: `tracing::info!(port, "joined")`. An event's
/// values are the fields of the line; the spans around it add their fields, such as
/// `lookup.service` for the field `service` of the span `lookup`. Limits: 16 fields of an event
/// or a span, 64 spans at a time, 1,024 bytes of a value.
#[cfg(feature = "tracing")]
pub use tracing;
