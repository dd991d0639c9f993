//! The whole crate from outside: real components, real sockets on loopback.

mod guest;
mod loading;
mod logs;
mod misbehaving;
mod multicast;
mod supervision;
mod support;
