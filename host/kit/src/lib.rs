//! For those who write modes: runs any component against a world made up, in virtual time.
//!
//! - [`Harness`] loads a component file with its argument, settings and grants into a
//!   world of fakes, and opens a [`Mode`] to call.
//! - [`Lan`] has several members in one network, with loss and delay.
//! - [`conformance`] is the suite that every mode must pass.
//!
//! All calls block, so that a plain `#[test]` will do. Time is virtual: it passes when
//! everybody waits, and a mode that waits five seconds for a datagram takes none. The
//! grants and limits are those of a member; a mode that computes without end is stopped
//! after a second of real time.
//!
//! ```no_run
//! use convoke_mode_kit::Harness;
//! use convoke_mode_kit::conformance::Subject;
//!
//! // The mode answers as its world says.
//! let mut mode = Harness::load("members.wasm")
//!     .argument("members.example")
//!     .grant("dns", "*.example")
//!     .world(|fakes| {
//!         fakes.dns.names.insert("members.example".into(), vec!["10.0.0.7".parse().unwrap()]);
//!     })
//!     .open()?;
//! let found = mode.discover().unwrap();
//! assert_eq!(found.candidates[0].address.to_string(), "10.0.0.7:6900");
//!
//! // And it conforms.
//! Subject::new("members.wasm")
//!     .declares(&["dns"])
//!     .working(|mode| {
//!         mode.argument("members.example").grant("dns", "*.example").world(|fakes| {
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
mod harness;
mod lan;
mod log;
mod mode;
mod noise;
mod pace;

pub use convoke_discovery::{
    CallError, Candidate, FakeAnswer, FakePlace, FakePod, FakePods, FakeProbe, FakeProbed, Fakes,
    Inspection, LocalMember, Problem, Snapshot,
};
pub use error::HarnessError;
pub use harness::Harness;
pub use lan::{Lan, Member};
pub use log::LogLine;
pub use mode::Mode;
