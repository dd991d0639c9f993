//! Tests of commands as clients see them.

mod arguments;
mod bits;
mod busy;
mod clients;
mod fields;
mod functions;
mod fuzz;
mod geo;
mod hyperloglogs;
mod lines;
mod maintenance;
mod objects;
mod permissions;
mod script_speed;
mod scripts;
mod sorting;
mod stats;
mod strings;
mod swapdb;
mod tracking;
mod transaction_scripts;
mod transactions;

use std::sync::Arc;

use super::super::client::Client;
use super::super::encode::Protocol;
use super::super::server::Server;
use crate::testing::{call, server_on, single_member_grid};
use crate::trust::Passwords;

/// A server on the grid of a single member, which may run requests of other members.
fn server() -> Arc<Server> {
    let server = server_on(single_member_grid(), Passwords::default());
    super::run_scripts(&server);
    server
}

/// The encoded reply to a command, with spaces for the ends of lines.
async fn reply(client: &mut Client, args: &[impl AsRef<[u8]>]) -> String {
    let args: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
    let mut bytes = Vec::new();
    call(client, &args).await.write(&mut bytes, Protocol::Resp2);
    String::from_utf8_lossy(&bytes).replace("\r\n", " ").trim_end().to_owned()
}

/// The encoded reply to a command, whose words are separated by spaces.
async fn shown(client: &mut Client, line: &str) -> String {
    reply(client, &line.split(' ').collect::<Vec<_>>()).await
}

/// Executes commands in order, and compares their replies.
async fn check(client: &mut Client, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        assert_eq!(shown(client, line).await, *expected, "{line}");
    }
}
