//! The crate's public interface, with real components and real sockets on loopback.

mod guest;
mod hostile;
mod inert;
mod loading;
mod logs;
mod misbehaving;
mod multicast;
mod released;
mod reload;
mod requests;
mod store;
mod supervision;
mod support;
