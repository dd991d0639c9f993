//! How long scripts take on one member, without a connection: a measurement, which no test run
//! includes. For figures that mean something:
//!
//! ```text
//! cargo test --release -p convoke-gateway --lib script_speed -- --ignored --nocapture
//! ```

use std::time::Instant;

use convoke_script::sha1_hex;

use super::super::super::client::Client;
use super::super::super::command_state::CommandState;
use super::super::super::request::OwnedRequest;
use super::super::begin;
use super::{reply, server};
use crate::resp::encode::Protocol;
use crate::testing::client_of;
use crate::trust::Trust;

/// Commands of one run, runs of which the fastest counts, and keys that are used in turn.
const COMMANDS: usize = 100_000;
const RUNS: usize = 5;
const KEYS: usize = 1_000;

/// A rate limiter: the script of the figures in `cargo xtask bench`.
const LIMITER: &str = "local n = redis.call('INCR', KEYS[1]) \
    if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end \
    return {n, redis.call('TTL', KEYS[1])}";
const LIBRARY: &str = "#!lua name=limits
redis.register_function('limiter', function(keys, args)
  local n = redis.call('INCR', keys[1])
  if n == 1 then redis.call('EXPIRE', keys[1], args[1]) end
  return {n, redis.call('TTL', keys[1])}
end)";

/// The time of one command, in nanoseconds. `words` are its words, of which `KEY` is replaced.
fn time_ns(client: &mut Client, words: &[&str]) -> f64 {
    let requests: Vec<OwnedRequest> = (0..KEYS)
        .map(|number| {
            let key = format!("key:{number:012}");
            let words: Vec<&str> =
                words.iter().map(|word| if *word == "KEY" { &*key } else { word }).collect();
            OwnedRequest::of(words.iter().map(|word| word.as_bytes()))
        })
        .collect();
    let mut sink = Vec::new();
    let run = |_| {
        let started = Instant::now();
        for request in requests.iter().cycle().take(COMMANDS) {
            let outcome = begin(client, &request.as_request(), &mut sink);
            let CommandState::Ready(answer) = outcome else {
                panic!("{words:?} is not executed at once");
            };
            answer.write(&mut sink, Protocol::Resp2);
            assert_ne!(sink.first(), Some(&b'-'), "{}", String::from_utf8_lossy(&sink));
            sink.clear();
        }
        started.elapsed().as_secs_f64() * 1e9 / COMMANDS as f64
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

/// The ticks that renew the lease run on the other thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement, without a result that could be wrong"]
async fn script_speed() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    assert_eq!(reply(client, &["script", "load", LIMITER]).await.get(..3), Some("$40"));
    assert_eq!(reply(client, &["function", "load", LIBRARY]).await, "$6 limits");
    assert_eq!(reply(client, &["fcall", "limiter", "1", "other", "60"]).await, "*2 :1 :60");
    let sha = sha1_hex(LIMITER.as_bytes());
    for (what, words) in [
        ("EVALSHA of the limiter", &["EVALSHA", &*sha, "1", "KEY", "60"][..]),
        ("EVAL of the limiter", &["EVAL", LIMITER, "1", "KEY", "60"]),
        ("EVAL of nothing", &["EVAL", "return 1", "1", "KEY", "60"]),
        ("EVAL of an empty call", &["EVAL", "return redis.call('ECHO', 'a')", "1", "KEY", "60"]),
        ("EVAL of one GET", &["EVAL", "return redis.call('GET', KEYS[1])", "1", "KEY"]),
        ("INCR", &["INCR", "KEY"]),
        ("TTL", &["TTL", "KEY"]),
        ("GET", &["GET", "KEY"]),
    ] {
        println!("{what:<24} {:>8.0} ns", time_ns(client, words));
    }
    assert_eq!(reply(client, &["fcall", "limiter", "1", "another", "60"]).await, "*2 :1 :60");
    let function = ["FCALL", "limiter", "1", "KEY", "60"];
    println!("{:<24} {:>8.0} ns", "FCALL of the limiter", time_ns(client, &function));
}
