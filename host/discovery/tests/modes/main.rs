//! The crate's public interface, with real components and real sockets on loopback.

mod compatibility;
mod faulty_guests;
mod guest;
mod hostile_guests;
mod http_requests;
mod inert_wasi;
mod loading;
mod logs;
mod multicast;
mod reload;
mod store;
mod supervision;
mod support;
