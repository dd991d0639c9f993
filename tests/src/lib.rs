//! The harness of the process tests: starts, observes and stops real members.
//!
//! A test creates a [`Cluster`]: a name, ports and a multicast group that are used by no other test
//! on this machine. It starts [`Member`]s in it, each a process of the release binary, and waits
//! for conditions on their logs. For failures of hosts and networks, a [`Lab`] creates hosts as
//! network namespaces.
//!
//! It guarantees that
//! - no traffic leaves this machine: members are on loopback or in namespaces;
//! - every wait has a timeout, and ends when its condition holds rather than after a fixed time; a
//!   timeout prints the logs of all members;
//! - a member is stopped with the test that started it, even if the test is killed.
//!
//! It does not depend on the internals of the binary: it reads what operators read.

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

pub use block::{DataGrid, MemberLine, Members};
pub use cluster::Cluster;
pub use component_server::ComponentServer;
pub use dns::DnsServer;
pub use journal::{Journal, Line, Record};
pub use kubernetes::ApiServer;
pub use lab::{Host, Lab};
pub use launch::{CompletedProcess, Launch};
pub use member::Member;
pub use nameserver::{NameServer, Program};
pub use status::Status;
