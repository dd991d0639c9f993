//! Nearly valid HTTP requests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use convoke_harness::mutate;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::Run;
use crate::report::shown;
use crate::server::{Served, reset_on_close};

/// Time without input after which an incomplete exchange is abandoned.
const IDLE_MAX: Duration = Duration::from_millis(3);

/// Time limit of a request.
const ANSWER_MAX: Duration = Duration::from_secs(10);

const METHODS: [&str; 8] = ["GET", "PUT", "DELETE", "POST", "HEAD", "PATCH", "OPTIONS", "get"];

const PATHS: [&str; 12] = [
    "/maps/m/k",
    "/maps/resp:0/a%2Fb/c",
    "/maps/%00/%ff%fe",
    "/maps//",
    "/topics/t",
    "/topics?pattern=%5b%5b",
    "/events",
    "/status",
    "/metrics",
    "/health/ready",
    "/maps/m/%",
    "/../maps/m/k",
];

const HEADS: [&str; 12] = [
    "Convoke-Ttl-Ms: 18446744073709551615",
    "Convoke-Ttl-Ms: 9223372036854775807",
    "Convoke-Ttl-Ms: -1",
    "Convoke-Max-Idle-Ms: 18446744073709551615",
    "Convoke-Max-Idle-Ms: 0",
    "If-Match: *",
    "If-Match: \"18446744073709551615\"",
    "If-None-Match: \"0\", \"x",
    "Authorization: Basic OjpkZWZhdWx0OnBhc3N3b3Jk",
    "Content-Type: text/plain; charset=\"",
    "Transfer-Encoding: chunked",
    "Expect: 100-continue",
];

fn request(random: &mut StdRng) -> Vec<u8> {
    let method = METHODS[random.random_range(0..METHODS.len())];
    let mut path = PATHS[random.random_range(0..PATHS.len())].to_owned();
    if random.random_bool(0.05) {
        // Lengths at the limits of a key and of the request head.
        let length = [16_383, 16_384, 16_385, 65_000, 66_000][random.random_range(0..5)];
        path.push_str(&"k".repeat(length));
    }
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n");
    for _ in 0..random.random_range(0..4) {
        text.push_str(HEADS[random.random_range(0..HEADS.len())]);
        text.push_str("\r\n");
    }
    let body = vec![b'v'; random.random_range(0..200)];
    if random.random_bool(0.9) {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend(body);
    bytes
}

pub(crate) fn requests(run: &mut Run) {
    let served = Served::start();
    let mut last = Vec::new();
    while run.has_time() {
        run.report.count();
        let mut bytes = request(&mut run.random);
        if run.random.random_bool(0.6) {
            mutate(&mut run.random, &mut bytes, &last);
        }
        let sent = TcpStream::connect(served.http).and_then(|mut stream| {
            reset_on_close(&stream)?;
            stream.set_read_timeout(Some(IDLE_MAX))?;
            stream.set_write_timeout(Some(ANSWER_MAX))?;
            let _ = stream.write_all(&bytes);
            let mut answer = [0; 4096];
            while stream.read(&mut answer)? > 0 {}
            Ok(())
        });
        // There need not be a response: streams and partial requests stay open.
        drop(sent);
        let is_hung = !is_live(&served);
        let hang = is_hung.then_some("/health/live is not answered any more");
        if run.report.add_state(hang, || shown(&bytes)) {
            return;
        }
        last = bytes;
    }
}

fn is_live(served: &Served) -> bool {
    let asked = TcpStream::connect(served.http).and_then(|mut stream| {
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(b"GET /health/live HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.contains(" 200 ")) && served.answers()
}
