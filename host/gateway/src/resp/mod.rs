//! The RESP server, for Redis clients: RESP2 and RESP3.
//!
//! A member has one [`Server`](server::Server), whose connections take turns (`lanes`). In its turn
//! a `connection` parses requests (`request`), starts their commands (`dispatch`) and writes the
//! replies (`encode`) in the order of the requests.
//!
//! Files import only those of the layers below their own:
//!
//! 1. Data and parsing: `request`, `encode`, `answer`, `args`, `read_keys`, and values in the
//!    encoding of Redis' files: `rdb`.
//! 2. State that all clients share: `server`, `client_info`, `script_cache`, `tracking`,
//!    `maintenance`, `monitor`, `stats`, `slow_log`, and `routing` of keys.
//! 3. One client: `client`, the `outcome` of its commands, and the `pipeline` of those in progress;
//!    `leaving` announces to clients that the member leaves.
//! 4. `command`, the type of a row of the command table, the `commands` by group, and `scripts`,
//!    which call commands.
//! 5. `dispatch`: the table, permissions, and `EXEC`, which runs other commands.
//! 6. `connection` and `listener`.

pub mod encode;
pub mod request;
pub mod server;

pub(crate) mod answer;
mod args;
pub(crate) mod client;
pub(crate) mod client_info;
pub(crate) mod command;
pub(crate) mod command_state;
pub(crate) mod commands;
mod connection;
pub(crate) mod dispatch;
mod leaving;
mod listener;
mod maintenance;
mod monitor;
mod pipeline;
pub mod rdb;
mod read_keys;
mod routing;
mod script_cache;
pub(crate) mod scripts;
mod slow_log;
mod stats;
pub(crate) mod tracking;

pub use crate::databases::{
    DATABASES, PREFIX as DATABASE_MAP_PREFIX, is_map_name as is_database_map,
};
pub use dispatch::run_scripts;
pub use leaving::MOVE_MS_MAX;
