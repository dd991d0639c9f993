//! Files from web servers.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::authority::{stranger, trusting, trusting_nobody};
use crate::server::{Answer, Server};
use crate::{BYTES, fetch, line, named, refusal};

#[test]
fn a_file_is_brought_from_a_server_that_the_named_authority_vouches_for() {
    trusting(
        "https::a_file_is_brought_from_a_server_that_the_named_authority_vouches_for",
        async |tls| {
            let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
            let bytes = fetch(&server.https("/shelf.wasm?v=1")).await.expect("brought");
            assert_eq!(bytes, BYTES);
            assert_eq!(server.paths(), ["/shelf.wasm?v=1"]);
            let request = &server.requests()[0];
            assert!(request.header("user-agent").expect("said").starts_with("convoke/"));
            assert_eq!(request.header("authorization"), None);
        },
    );
}

#[test]
fn a_length_need_not_be_announced() {
    trusting("https::a_length_need_not_be_announced", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES).unannounced()).await;
        assert_eq!(fetch(&server.https("/a")).await.expect("brought"), BYTES);
    });
}

#[test]
fn a_certificate_of_a_stranger_is_refused_at_once() {
    trusting("https::a_certificate_of_a_stranger_is_refused_at_once", async |_| {
        let server = Server::start(Some(stranger()), |_| Answer::ok(BYTES)).await;
        let line = refusal(&server.https("/a")).await;
        let start = format!("the certificate of {}/a is not trusted (", server.address);
        assert!(line.starts_with(&start) && line.ends_with("in SSL_CERT_FILE"), "{line}");
        assert!(server.paths().is_empty());
    });
}

#[test]
fn a_machine_without_certificates_is_told_as_such() {
    trusting_nobody("https::a_machine_without_certificates_is_told_as_such", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(BYTES)).await;
        let line = refusal(&server.https("/a")).await;
        assert!(line.starts_with("no TLS on this machine ("), "{line}");
        assert!(line.contains("install the system's certificates"), "{line}");
    });
}

#[test]
fn a_server_without_tls_is_told_as_such() {
    trusting("https::a_server_without_tls_is_told_as_such", async |_| {
        let server = Server::start(None, |_| Answer::ok(BYTES)).await;
        let line = refusal(&server.https("/a")).await;
        assert!(line.contains("does not speak TLS as it should"), "{line}");
        assert!(line.contains("check the port"), "{line}");
    });
}

#[test]
fn another_component_is_refused_and_both_digests_are_named() {
    trusting("https::another_component_is_refused_and_both_digests_are_named", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(b"another")).await;
        assert_eq!(
            refusal(&server.https("/a")).await,
            format!(
                "it is {found}, and {} is pinned; nothing was kept. If it is the component you \
                 mean, pin it with digest = \"{found}\"",
                named(BYTES),
                found = named(b"another"),
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
        assert_eq!(fetch(&server.https("/0?secret")).await.expect("brought"), BYTES);
        let requests = server.requests();
        assert_eq!(requests.len(), 6);
        assert!(requests.iter().all(|request| request.header("referer").is_none()));
    });
}

#[test]
fn a_sixth_redirect_is_refused() {
    trusting("https::a_sixth_redirect_is_refused", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::redirect("/again")).await;
        let line = refusal(&server.https("/a")).await;
        let expected = format!("{}/a leads to more than 5 redirects", server.address);
        assert!(line.starts_with(&expected), "{line}");
        assert_eq!(server.paths().len(), 6);
    });
}

#[test]
fn a_redirect_to_plain_http_is_refused_and_not_followed() {
    trusting("https::a_redirect_to_plain_http_is_refused_and_not_followed", async |tls| {
        let plain = Server::start(None, |_| Answer::ok(BYTES)).await;
        let to = format!("http://{}/b?signature=s3cret", plain.address);
        let server = Server::start(Some(tls), move |_| Answer::redirect(&to)).await;
        let line = refusal(&server.https("/a")).await;
        let expected = format!("it redirects to http://{}/b, which is refused:", plain.address);
        assert!(line.starts_with(&expected), "{line}");
        assert!(!line.contains("s3cret"), "{line}");
        assert!(plain.paths().is_empty());
    });
}

#[test]
fn what_is_not_there_is_asked_for_once() {
    trusting("https::what_is_not_there_is_asked_for_once", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::status("404 Not Found", "no\r\n\x1b[31m\u{202e}such file".as_bytes())
        })
        .await;
        assert_eq!(
            refusal(&server.https("/a")).await,
            format!(
                "{}/a answered 404 (\"no [31m such file\"); nothing is there; check the reference",
                server.address
            )
        );
        assert_eq!(server.paths().len(), 1);
    });
}

#[test]
fn a_long_refusal_is_cut() {
    trusting("https::a_long_refusal_is_cut", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::status("403 Forbidden", "no ".repeat(100_000).as_bytes())
        })
        .await;
        let line = refusal(&server.https("/a")).await;
        assert!(line.contains("answered 403 (\"no no") && line.len() < 500, "{line}");
        assert!(line.contains("only what anybody may read is fetched"), "{line}");
    });
}

#[test]
fn a_page_behind_a_password_is_refused() {
    trusting("https::a_page_behind_a_password_is_refused", async |tls| {
        let server = Server::start(Some(tls), |_| {
            Answer::status("401 Unauthorized", b"").header("www-authenticate", "Basic realm=\"a\"")
        })
        .await;
        let line = refusal(&server.https("/a")).await;
        assert!(line.contains("wants credentials, which are not supported"), "{line}");
        assert_eq!(server.paths().len(), 1);
    });
}

#[test]
fn a_server_that_fails_is_asked_three_times() {
    trusting("https::a_server_that_fails_is_asked_three_times", async |tls| {
        for (status, advice) in
            [("500 Internal Server Error", "try again later"), ("429 Too Many Requests", "wait")]
        {
            let server =
                Server::start(Some(tls.clone()), move |_| Answer::status(status, b"")).await;
            let line = refusal(&server.https("/a")).await;
            assert!(line.contains("asked 3 times") && line.contains(advice), "{line}");
            assert_eq!(server.paths().len(), 3);
        }
    });
}

#[test]
fn a_server_that_recovers_is_no_failure() {
    trusting("https::a_server_that_recovers_is_no_failure", async |tls| {
        let asked = AtomicU32::new(0);
        let server =
            Server::start(Some(tls), move |_| match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Answer::status("500 Internal Server Error", b"starting"),
                // Breaks off in the middle.
                1 => Answer::ok(b"half").announcing(BYTES.len() as u64),
                _ => Answer::ok(BYTES),
            })
            .await;
        assert_eq!(fetch(&server.https("/a")).await.expect("brought"), BYTES);
        assert_eq!(server.paths().len(), 3);
    });
}

#[test]
fn a_server_that_breaks_off_is_told_as_such() {
    trusting("https::a_server_that_breaks_off_is_told_as_such", async |tls| {
        let server = Server::start(Some(tls), |_| Answer::ok(b"half").announcing(100)).await;
        let line = refusal(&server.https("/a")).await;
        assert!(line.contains("broke off") && line.contains("3 times"), "{line}");
        assert_eq!(server.paths().len(), 3);
    });
}

#[test]
fn a_server_that_is_gone_is_told_as_such() {
    trusting("https::a_server_that_is_gone_is_told_as_such", async |_| {
        // Bound and never listening: nobody else gets the port meanwhile.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let reference = format!("https://{}/a", socket.local_addr().expect("bound"));
        let line = line(&reference, fetch(&reference).await);
        assert!(line.starts_with("no connection to 127.0.0.1:"), "{line}");
        assert!(line.contains("refused") && line.contains("asked 3 times"), "{line}");
    });
}
