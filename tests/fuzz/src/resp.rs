//! Nearly valid requests, and random bytes.

use std::time::Duration;

use convoke_harness::{mutate, noise};
use rand::RngExt as _;

use crate::Run;
use crate::commands::command;
use crate::report::shown;
use crate::server::{Client, Served, encode, is_timeout};

/// Time without input after which a connection with invalid requests is abandoned.
const IDLE_MAX: Duration = Duration::from_millis(3);

/// Inline requests, and headers that announce large lengths.
const SEEDS: [&[u8]; 8] = [
    b"PING\r\n",
    b"SET a \"b c\\x41\" 'd'\r\n",
    b"*2147483647\r\n$3\r\nGET\r\n",
    b"*1\r\n$536870912\r\n",
    b"*-1\r\n*0\r\n\r\n",
    b"*2\r\n$3\r\nGET\r\n$-1\r\n",
    b"*1\r\n*1\r\n$4\r\nPING\r\n",
    b"HELLO 3 AUTH a b SETNAME c\r\n",
];

pub(crate) fn bytes(run: &mut Run) {
    let served = Served::start();
    let mut last = Vec::new();
    while run.has_time() {
        run.report.count();
        let random = &mut run.random;
        let mut bytes = Vec::new();
        for _ in 0..random.random_range(1..4) {
            match random.random_range(0..10) {
                0 => bytes.extend(noise(random, 400)),
                1 | 2 => bytes.extend_from_slice(SEEDS[random.random_range(0..SEEDS.len())]),
                _ => bytes.extend(encode(&command(random))),
            }
        }
        mutate(random, &mut bytes, &last);
        let sent = Client::connect(served.resp).and_then(|mut client| {
            // The connection may be closed before everything is sent.
            let _ = client.send(&bytes);
            client.drain(IDLE_MAX)
        });
        if let Err(error) = sent
            && !is_timeout(&error)
            && error.kind() == std::io::ErrorKind::ConnectionRefused
        {
            run.report.add("no more connections", &error.to_string(), &shown(&bytes));
        }
        let is_hung = !served.answers();
        let hang = is_hung.then_some("PING is not answered any more");
        if run.report.add_state(hang, || shown(&bytes)) {
            return;
        }
        last = bytes;
    }
}
