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
mod objects;
mod permissions;
mod scripts;
mod sorting;
mod stats;
mod strings;
mod tracking;
mod transactions;

use super::super::client::Client;
use super::super::encode::Protocol;
use crate::testing::call;

/// The encoded reply to a command, whose words are separated by spaces.
async fn shown(client: &mut Client, line: &str) -> String {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let mut bytes = Vec::new();
    call(client, &args).await.write(&mut bytes, Protocol::Resp2);
    String::from_utf8_lossy(&bytes).replace("\r\n", " ").trim_end().to_owned()
}
