//! The harness: real members, as processes, started, watched and ended.
//!
//! A test asks for a [`Cluster`]: a name, ports and a multicast group that
//! nobody else on this machine uses. It starts [`Member`]s in it, each one
//! process of the release binary, and waits for what their logs show. Where
//! hosts have to be lost and networks split, a [`Lab`] makes hosts out of
//! network namespaces.
//!
//! It promises
//! - nothing leaves this machine: members are on loopback or in namespaces;
//! - no wait without a bound, and none by the clock: waits end when a log shows
//!   what was waited for, and a wait in vain shows the logs of all members;
//! - a member lives no longer than the test that started it, whatever becomes
//!   of the test.
//!
//! It must never know how the binary works: it reads what operators read.

pub mod binary;
pub mod block;
pub mod chaos;
pub mod cluster;
pub mod component_server;
pub mod dns;
pub mod guest;
pub mod http;
pub mod journal;
pub mod kubernetes;
pub mod lab;
pub mod launch;
pub mod member;
pub mod nameserver;
pub mod peers;
pub mod permit;
pub mod ports;
pub mod relay;
pub mod requirements;
pub mod resp;
mod server_thread;
pub mod slots;
pub mod status;
mod tls;

pub use block::{DataGrid, Members, Shown};
pub use cluster::Cluster;
pub use component_server::Shelf;
pub use dns::DnsServer;
pub use journal::{Journal, Line, Record};
pub use kubernetes::ApiServer;
pub use lab::{Host, Lab};
pub use launch::{Ended, Launch};
pub use member::Member;
pub use nameserver::{NameServer, Program};
pub use status::Status;
