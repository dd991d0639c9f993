//! Servers that send too much, too slowly, or nothing.

use std::time::Duration;

use convoke_fetch::{Cause, Limits};

use crate::authority::trusting;
use crate::server::{Answer, Server};
use crate::{BYTES, failure, fetch, fetch_within, limits, line};

#[test]
fn an_announced_length_beyond_the_limit_is_rejected_before_reading() {
    trusting(
        "bounds::an_announced_length_beyond_the_limit_is_rejected_before_reading",
        async |tls| {
            let server = Server::start(Some(tls), |_| {
                Answer::ok(b"").announcing((64 << 20) + 1).then_stall()
            })
            .await;
            let line = failure(&server.https("/a")).await;
            assert!(line.contains("has 67108865 bytes; the limit is 67108864"), "{line}");
        },
    );
}

#[test]
fn an_unannounced_length_is_limited() {
    trusting("bounds::an_unannounced_length_is_limited", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES).unannounced()).await;
        let exact = Limits { bytes_max: BYTES.len() as u64, ..limits() };
        assert_eq!(fetch_within(&server.https("/a"), exact).await.expect("fits"), BYTES);

        let less = Limits { bytes_max: BYTES.len() as u64 - 1, ..limits() };
        let reference = server.https("/a");
        let line = line(&reference, fetch_within(&reference, less).await);
        assert!(line.contains("is larger than the limit of 14 bytes"), "{line}");
    });
}

#[test]
fn an_endless_stream_is_aborted_at_the_limit() {
    trusting("bounds::an_endless_stream_is_aborted_at_the_limit", async |tls| {
        let server =
            Server::start(Some(tls), |_| Answer::ok(b"").unannounced().then_trickle()).await;
        let reference = server.https("/a");
        let limits = Limits { bytes_max: 3, ..limits() };
        let error = fetch_within(&reference, limits).await.expect_err("too long");
        assert!(matches!(error.cause, Cause::TooLarge { announced: None, .. }), "{error}");
    });
}

#[test]
fn a_server_that_never_accepts_times_out() {
    trusting("bounds::a_server_that_never_accepts_times_out", async |_| {
        // Connections stay in its queue, and are never accepted.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let reference = format!("https://{}/a", listener.local_addr().expect("bound"));
        let limits = Limits { connect: Duration::from_millis(200), ..limits() };
        let line = line(&reference, fetch_within(&reference, limits).await);
        assert!(line.starts_with("cannot connect to 127.0.0.1:"), "{line}");
        assert!(line.contains("timed out") && line.contains("3 attempts"), "{line}");
    });
}

#[test]
fn a_stalled_response_times_out() {
    trusting("bounds::a_stalled_response_times_out", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::ok(b"half").announcing(BYTES.len() as u64).then_stall()
        })
        .await;
        let reference = server.https("/a");
        let limits = Limits { idle: Duration::from_secs(1), ..limits() };
        let line = line(&reference, fetch_within(&reference, limits).await);
        let expected = format!("{}/a sent nothing for 1s; try again", server.address);
        assert!(line.starts_with(&expected), "{line}");
        assert_eq!(server.paths().len(), 1);
    });
}

#[test]
fn a_slow_response_exceeds_the_total_time() {
    trusting("bounds::a_slow_response_exceeds_the_total_time", async |tls| {
        let server =
            Server::start(Some(tls), |_| Answer::ok(b"").unannounced().then_trickle()).await;
        let reference = server.https("/a");
        let limits = Limits { fetch: Duration::from_millis(500), ..limits() };
        let line = line(&reference, fetch_within(&reference, limits).await);
        assert!(line.starts_with("it took longer than 500ms; try again"), "{line}");
    });
}

#[test]
fn a_stalled_error_response_ends() {
    trusting("bounds::a_stalled_error_response_ends", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::status("404 Not Found", b"gone ").announcing(5_000).then_stall()
        })
        .await;
        let reference = server.https("/a");
        let limits = Limits { idle: Duration::from_secs(1), ..limits() };
        let line = line(&reference, fetch_within(&reference, limits).await);
        assert!(line.contains("returned 404 (\"gone\")"), "{line}");
    });
}

#[test]
fn concurrent_fetches_are_independent() {
    trusting("bounds::concurrent_fetches_are_independent", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        let reference = server.https("/a");
        let outcomes = tokio::join!(fetch(&reference), fetch(&reference), fetch(&reference));
        for outcome in [outcomes.0, outcomes.1, outcomes.2] {
            assert_eq!(outcome.expect("fetched"), BYTES);
        }
    });
}
