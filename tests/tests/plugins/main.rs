//! Modes that are not built in, in real members: loaded, changed, hostile; and the
//! commands for those who write them.

mod commands;
mod configured;
mod examples;
mod fetched;
mod hostile;
mod reloading;
mod servers;
mod waiting;
