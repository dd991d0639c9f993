//! The RESP server, for Redis clients: RESP2 and RESP3.
//!
//! A member has one [`Server`](server::Server), whose connections take turns (`lanes`). In its turn
//! a `connection` parses requests (`request`), starts their commands (`dispatch`) and writes the
//! replies (`encode`) in the order of the requests.

pub mod encode;
pub mod request;
pub mod server;

pub(crate) mod answer;
mod args;
pub(crate) mod client;
pub(crate) mod client_info;
pub(crate) mod command;
pub(crate) mod commands;
mod connection;
pub(crate) mod dispatch;
mod lanes;
mod listener;
pub(crate) mod outcome;
mod pipeline;
mod routing;
