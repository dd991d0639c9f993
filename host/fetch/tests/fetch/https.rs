//! Files from web servers.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::authority::{self_signed, trusting, without_trust_roots};
use crate::server::{Answer, Server};
use crate::{BYTES, digest_text, failure, fetch, line};

#[test]
fn a_file_is_fetched_from_a_server_with_a_trusted_certificate() {
    trusting("https::a_file_is_fetched_from_a_server_with_a_trusted_certificate", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        let bytes = fetch(&server.https("/shelf.wasm?v=1")).await.expect("fetched");
        assert_eq!(bytes, BYTES);
        assert_eq!(server.paths(), ["/shelf.wasm?v=1"]);
        let request = &server.requests()[0];
        assert!(request.header("user-agent").expect("a header").starts_with("convoke/"));
        assert_eq!(request.header("authorization"), None);
    });
}

#[test]
fn the_length_may_be_unannounced() {
    trusting("https::the_length_may_be_unannounced", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES).unannounced()).await;
        assert_eq!(fetch(&server.https("/a")).await.expect("fetched"), BYTES);
    });
}

#[test]
fn an_untrusted_certificate_is_rejected_without_a_retry() {
    trusting("https::an_untrusted_certificate_is_rejected_without_a_retry", async |_| {
        let server = Server::start(Some(self_signed()), |_| Answer::ok(BYTES)).await;
        let line = failure(&server.https("/a")).await;
        let start = format!("the certificate of {}/a is not trusted (", server.address);
        assert!(
            line.starts_with(&start) && line.ends_with("to a PEM file that contains it"),
            "{line}"
        );
        assert!(server.paths().is_empty());
    });
}

#[test]
fn missing_root_certificates_are_reported() {
    without_trust_roots("https::missing_root_certificates_are_reported", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        let line = failure(&server.https("/a")).await;
        assert!(line.starts_with("TLS cannot be used on this machine ("), "{line}");
        assert!(line.contains("install the system's certificates"), "{line}");
    });
}

#[test]
fn a_server_without_tls_is_reported() {
    trusting("https::a_server_without_tls_is_reported", async |_| {
        let server = Server::start(None, |_| Answer::ok(BYTES)).await;
        let line = failure(&server.https("/a")).await;
        assert!(line.contains("the TLS handshake with"), "{line}");
        assert!(line.contains("check the port"), "{line}");
    });
}

#[test]
fn a_component_with_another_digest_is_rejected_with_both_digests() {
    trusting("https::a_component_with_another_digest_is_rejected_with_both_digests", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(b"another")).await;
        assert_eq!(
            failure(&server.https("/a")).await,
            format!(
                "its digest is {found}, but the configuration requires {}; nothing was cached. If it is the \
                 intended component, set digest = \"{found}\"",
                digest_text(BYTES),
                found = digest_text(b"another"),
            )
        );
        assert_eq!(server.paths().len(), 1);
    });
}

#[test]
fn redirects_that_stay_with_https_are_followed() {
    trusting("https::redirects_that_stay_with_https_are_followed", async |tls| {
        let server = Server::start(Some(tls), |request| match request.path.as_str() {
            "/0?secret" => Answer::redirect("/1"),
            "/1" => Answer::redirect("/2"),
            "/2" => Answer::redirect("/3"),
            "/3" => Answer::redirect("/4"),
            "/4" => Answer::redirect("/5"),
            _ => Answer::ok(BYTES),
        })
        .await;
        assert_eq!(fetch(&server.https("/0?secret")).await.expect("fetched"), BYTES);
        let requests = server.requests();
        assert_eq!(requests.len(), 6);
        assert!(requests.iter().all(|request| request.header("referer").is_none()));
    });
}

#[test]
fn a_sixth_redirect_is_rejected() {
    trusting("https::a_sixth_redirect_is_rejected", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::redirect("/again")).await;
        let line = failure(&server.https("/a")).await;
        let expected = format!("{}/a leads to more than 5 redirects", server.address);
        assert!(line.starts_with(&expected), "{line}");
        assert_eq!(server.paths().len(), 6);
    });
}

#[test]
fn a_redirect_to_plain_http_is_not_followed() {
    trusting("https::a_redirect_to_plain_http_is_not_followed", async |tls| {
        let plain = Server::start(None, |_| Answer::ok(BYTES)).await;
        let to = format!("http://{}/b?signature=s3cret", plain.address);
        let server = Server::start(Some(tls), move |_| Answer::redirect(&to)).await;
        let line = failure(&server.https("/a")).await;
        let expected = format!("it redirects to http://{}/b, which is not allowed:", plain.address);
        assert!(line.starts_with(&expected), "{line}");
        assert!(!line.contains("s3cret"), "{line}");
        assert!(plain.paths().is_empty());
    });
}

#[test]
fn not_found_is_not_retried() {
    trusting("https::not_found_is_not_retried", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::status("404 Not Found", "no\r\n\x1b[31m\u{202e}such file".as_bytes())
        })
        .await;
        assert_eq!(
            failure(&server.https("/a")).await,
            format!(
                "{}/a returned 404 (\"no [31m such file\"); not found; check the reference",
                server.address
            )
        );
        assert_eq!(server.paths().len(), 1);
    });
}

#[test]
fn a_long_error_response_is_truncated() {
    trusting("https::a_long_error_response_is_truncated", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::status("403 Forbidden", "no ".repeat(100_000).as_bytes())
        })
        .await;
        let line = failure(&server.https("/a")).await;
        assert!(line.contains("returned 403 (\"no no") && line.len() < 500, "{line}");
        assert!(line.contains("credentials are not supported"), "{line}");
    });
}

#[test]
fn a_page_that_requires_a_password_is_rejected() {
    trusting("https::a_page_that_requires_a_password_is_rejected", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::status("401 Unauthorized", b"").header("www-authenticate", "Basic realm=\"a\"")
        })
        .await;
        let line = failure(&server.https("/a")).await;
        assert!(line.contains("requires credentials, which are not supported"), "{line}");
        assert_eq!(server.paths().len(), 1);
    });
}

#[test]
fn a_failing_server_is_tried_three_times() {
    trusting("https::a_failing_server_is_tried_three_times", async |tls| {
        for (status, advice) in
            [("500 Internal Server Error", "try again later"), ("429 Too Many Requests", "wait")]
        {
            let server =
                Server::start(Some(tls.clone()), move |_| Answer::status(status, b"")).await;
            let line = failure(&server.https("/a")).await;
            assert!(line.contains("3 attempts") && line.contains(advice), "{line}");
            assert_eq!(server.paths().len(), 3);
        }
    });
}

#[test]
fn a_server_that_recovers_is_used() {
    trusting("https::a_server_that_recovers_is_used", async |tls| {
        let asked = AtomicU32::new(0);
        let server =
            Server::start(Some(tls), move |_| match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Answer::status("500 Internal Server Error", b"starting"),
                // Closes the connection in the middle of the body.
                1 => Answer::ok(b"half").announcing(BYTES.len() as u64),
                _ => Answer::ok(BYTES),
            })
            .await;
        assert_eq!(fetch(&server.https("/a")).await.expect("fetched"), BYTES);
        assert_eq!(server.paths().len(), 3);
    });
}

#[test]
fn an_interrupted_response_is_reported() {
    trusting("https::an_interrupted_response_is_reported", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(b"half").announcing(100)).await;
        let line = failure(&server.https("/a")).await;
        assert!(line.contains("was interrupted") && line.contains("3 attempts"), "{line}");
        assert_eq!(server.paths().len(), 3);
    });
}

#[test]
fn a_closed_port_is_reported() {
    trusting("https::a_closed_port_is_reported", async |_| {
        // Bound but never listening, so that no other process can use the port.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let reference = format!("https://{}/a", socket.local_addr().expect("bound"));
        let line = line(&reference, fetch(&reference).await);
        assert!(line.starts_with("cannot connect to 127.0.0.1:"), "{line}");
        assert!(line.contains("refused") && line.contains("3 attempts"), "{line}");
    });
}
