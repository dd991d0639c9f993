//! Servers that send too much, too slowly, or nothing.

use std::time::Duration;

use convoke_fetch::{Cause, Limits};

use crate::authority::trusting;
use crate::server::{Answer, Server};
use crate::{BYTES, fetch, fetch_within, limits, line, refusal};

#[test]
fn an_announced_length_beyond_the_bound_is_refused_before_a_byte_is_read() {
    trusting(
        "bounds::an_announced_length_beyond_the_bound_is_refused_before_a_byte_is_read",
        async |tls| {
            let server = Server::start(Some(tls), |_| {
                Answer::ok(b"").announcing((64 << 20) + 1).then_silence()
            })
            .await;
            let line = refusal(&server.https("/a")).await;
            assert!(line.contains("has 67108865 bytes, and at most 67108864 are taken"), "{line}");
        },
    );
}

#[test]
fn an_unannounced_length_is_counted() {
    trusting("bounds::an_unannounced_length_is_counted", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES).unannounced()).await;
        let exact = Limits { bytes_max: BYTES.len() as u64, ..limits() };
        assert_eq!(fetch_within(&server.https("/a"), exact).await.expect("fits"), BYTES);

        let less = Limits { bytes_max: BYTES.len() as u64 - 1, ..limits() };
        let reference = server.https("/a");
        let line = line(&reference, fetch_within(&reference, less).await);
        assert!(line.contains("is longer than the 14 bytes that are taken"), "{line}");
    });
}

#[test]
fn a_stream_without_an_end_is_cut_at_the_bound() {
    trusting("bounds::a_stream_without_an_end_is_cut_at_the_bound", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(b"").unannounced().then_drip()).await;
        let reference = server.https("/a");
        let limits = Limits { bytes_max: 3, ..limits() };
        let error = fetch_within(&reference, limits).await.expect_err("too long");
        assert!(matches!(error.cause, Cause::TooLarge { announced: None, .. }), "{error}");
    });
}

#[test]
fn a_server_that_never_greets_is_given_up() {
    trusting("bounds::a_server_that_never_greets_is_given_up", async |_| {
        // Connections wait in its queue, and nobody takes them.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let reference = format!("https://{}/a", listener.local_addr().expect("bound"));
        let limits = Limits { connect: Duration::from_millis(200), ..limits() };
        let line = line(&reference, fetch_within(&reference, limits).await);
        assert!(line.starts_with("no connection to 127.0.0.1:"), "{line}");
        assert!(line.contains("timed out") && line.contains("asked 3 times"), "{line}");
    });
}

#[test]
fn silence_in_the_middle_is_given_up() {
    trusting("bounds::silence_in_the_middle_is_given_up", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::ok(b"half").announcing(BYTES.len() as u64).then_silence()
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
fn a_drip_is_given_up_when_the_whole_takes_too_long() {
    trusting("bounds::a_drip_is_given_up_when_the_whole_takes_too_long", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(b"").unannounced().then_drip()).await;
        let reference = server.https("/a");
        let limits = Limits { fetch: Duration::from_millis(500), ..limits() };
        let line = line(&reference, fetch_within(&reference, limits).await);
        assert!(line.starts_with("it took longer than 500ms; try again"), "{line}");
    });
}

#[test]
fn a_refusal_that_drips_ends_too() {
    trusting("bounds::a_refusal_that_drips_ends_too", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::status("404 Not Found", b"gone ").announcing(5_000).then_silence()
        })
        .await;
        let reference = server.https("/a");
        let limits = Limits { idle: Duration::from_secs(1), ..limits() };
        let line = line(&reference, fetch_within(&reference, limits).await);
        assert!(line.contains("answered 404 (\"gone\")"), "{line}");
    });
}

#[test]
fn several_fetches_at_once_do_not_disturb_each_other() {
    trusting("bounds::several_fetches_at_once_do_not_disturb_each_other", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        let reference = server.https("/a");
        let outcomes = tokio::join!(fetch(&reference), fetch(&reference), fetch(&reference));
        for outcome in [outcomes.0, outcomes.1, outcomes.2] {
            assert_eq!(outcome.expect("brought"), BYTES);
        }
    });
}
