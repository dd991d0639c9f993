//! Test kit for authors of modes: runs any component against fakes, in virtual time.
//!
//! - [`Harness`] loads a component file with its argument, settings, grants and fakes, and
//!   opens a [`Mode`] to call.
//! - [`Lan`] simulates several members in one network, with loss and delay.
//! - [`conformance`] is the suite that every mode must pass.
//!
//! All calls block, so that they can be used in a plain `#[test]`. Time is virtual: it advances
//! while everything waits, so that a mode that waits five seconds for a datagram takes no real
//! time. Grants and limits are those of a member; a mode in an endless loop is stopped after
//! one second of real time.
//!
//! ```no_run
//! use convoke_mode_kit::Harness;
//! use convoke_mode_kit::conformance::Subject;
//!
//! // The mode finds what the fakes contain.
//! let mut mode = Harness::load("members.wasm")
//!     .argument("members.example")
//!     .grant("dns", "*.example")
//!     .fakes(|fakes| {
//!         fakes.dns.names.insert("members.example".into(), vec!["10.0.0.7".parse().unwrap()]);
//!     })
//!     .open()?;
//! let found = mode.discover().unwrap();
//! assert_eq!(found.candidates[0].address.to_string(), "10.0.0.7:6900");
//!
//! // The mode passes the conformance suite.
//! Subject::new("members.wasm")
//!     .declares(&["dns"])
//!     .working(|mode| {
//!         mode.argument("members.example").grant("dns", "*.example").fakes(|fakes| {
//!             fakes.dns.names.insert("members.example".into(), vec!["10.0.0.7".parse().unwrap()]);
//!         })
//!     })
//!     .assert_conforms();
//! # Ok::<(), convoke_mode_kit::HarnessError>(())
//! ```

mod cipher;
mod clock;
pub mod conformance;
mod error;
mod generator;
mod harness;
mod lan;
mod log;
mod mode;
mod schedule;

pub use convoke_discovery::{
    CallError, Candidate, FakeAnswer, FakePod, FakePods, FakeProbe, FakeProbed, FakeServiceTarget,
    Fakes, Inspection, LocalMember, Problem, Snapshot,
};
pub use error::HarnessError;
pub use harness::Harness;
pub use lan::{Lan, Member};
pub use log::LogLine;
pub use mode::Mode;
