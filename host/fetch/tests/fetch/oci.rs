//! Components from an OCI registry.

use crate::registry::{Registry, index, manifest};
use crate::server::{Answer, Server};
use crate::{BYTES, digest_text, failure, fetch};

const WASM: &str = "application/wasm";
const WASM_BEFORE: &str = "application/vnd.wasm.content.layer.v1+wasm";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// `oci://127.0.0.1:PORT/shop/shelf` and `rest`.
fn reference(server: &Server, rest: &str) -> String {
    format!("oci://{}/shop/shelf{rest}", server.address)
}

/// A registry with one manifest, `:1`, and [`BYTES`].
async fn registry_with(manifest: &str) -> Server {
    Registry::default().manifest("1", manifest).blob(BYTES).start().await
}

#[tokio::test]
async fn a_component_is_fetched_by_its_tag() {
    for media_type in [WASM, WASM_BEFORE] {
        let server = registry_with(&manifest(&[(media_type, BYTES)])).await;
        assert_eq!(fetch(&reference(&server, ":1")).await.expect("fetched"), BYTES);
        let blob = format!("/v2/shop/shelf/blobs/{}", digest_text(BYTES));
        assert_eq!(server.paths(), ["/v2/shop/shelf/manifests/1", &blob]);
        let accept = server.requests()[0].header("accept").expect("a header").to_owned();
        assert!(accept.contains("application/vnd.oci.image.manifest.v1+json"), "{accept}");
    }
}

#[tokio::test]
async fn a_component_is_fetched_by_the_digest_of_its_manifest() {
    let manifest = manifest(&[(WASM, BYTES)]);
    let server = registry_with(&manifest).await;
    let digest = digest_text(manifest.as_bytes());
    for rest in [format!("@{digest}"), format!(":gone@{digest}")] {
        assert_eq!(fetch(&reference(&server, &rest)).await.expect("fetched"), BYTES);
    }
    assert_eq!(server.paths()[0], format!("/v2/shop/shelf/manifests/{digest}"));
}

#[tokio::test]
async fn a_manifest_with_another_digest_is_rejected() {
    let requested = digest_text(b"another manifest");
    let server = Server::start(None, |_| Answer::ok(manifest(&[(WASM, BYTES)]).as_bytes())).await;
    let line = failure(&reference(&server, &format!("@{requested}"))).await;
    assert!(line.contains(&format!(" for {requested}; nothing was cached")), "{line}");
    assert_eq!(server.paths().len(), 1);
}

#[tokio::test]
async fn a_component_with_another_digest_is_rejected_before_the_download() {
    let server = registry_with(&manifest(&[(WASM, b"another")])).await;
    let line = failure(&reference(&server, ":1")).await;
    let expected = format!(
        "its digest is {}, but the configuration requires {}",
        digest_text(b"another"),
        digest_text(BYTES)
    );
    assert!(line.starts_with(&expected), "{line}");
    assert_eq!(server.paths().len(), 1);
}

#[tokio::test]
async fn a_blob_with_a_wrong_digest_is_rejected() {
    let registry = Registry::default().manifest("1", &manifest(&[(WASM, BYTES)]));
    let server = registry.blob_as(&digest_text(BYTES), b"another").start().await;
    let line = failure(&reference(&server, ":1")).await;
    assert!(line.starts_with(&format!("its digest is {}", digest_text(b"another"))), "{line}");
}

#[tokio::test]
async fn other_layers_are_ignored() {
    let server = registry_with(&manifest(&[(TAR, b"notes"), (WASM, BYTES)])).await;
    assert_eq!(fetch(&reference(&server, ":1")).await.expect("fetched"), BYTES);
}

#[tokio::test]
async fn several_components_are_rejected() {
    let server = registry_with(&manifest(&[(WASM, BYTES), (WASM_BEFORE, b"another")])).await;
    assert_eq!(
        failure(&reference(&server, ":1")).await,
        format!("it contains 2 components; expected exactly one layer of {WASM} or {WASM_BEFORE}")
    );
}

#[tokio::test]
async fn a_manifest_without_a_component_is_rejected_with_its_layers() {
    for (layers, listed) in [(&[(TAR, BYTES)][..], TAR), (&[], "none")] {
        let server = registry_with(&manifest(layers)).await;
        assert_eq!(
            failure(&reference(&server, ":1")).await,
            format!(
                "it contains no component: its layers are {listed}; expected one of {WASM} or \
                 {WASM_BEFORE}"
            )
        );
    }
}

#[tokio::test]
async fn an_index_with_one_manifest_for_webassembly_is_followed() {
    let component = manifest(&[(WASM, BYTES)]);
    let index = index(&[("amd64", "{}"), ("wasm", &component)]);
    let registry = Registry::default().manifest("1", &index).manifest("2", &component);
    let server = registry.blob(BYTES).start().await;
    assert_eq!(fetch(&reference(&server, ":1")).await.expect("fetched"), BYTES);
    let second = format!("/v2/shop/shelf/manifests/{}", digest_text(component.as_bytes()));
    assert_eq!(server.paths()[1], second);
}

#[tokio::test]
async fn any_other_index_is_rejected() {
    for (entries, for_wasm) in [
        (&[("amd64", "a"), ("arm64", "b")][..], 0),
        (&[("wasm", "a"), ("wasm32", "b"), ("amd64", "c")], 2),
        (&[], 0),
    ] {
        let server = registry_with(&index(entries)).await;
        assert_eq!(
            failure(&reference(&server, ":1")).await,
            format!(
                "it is an index of {} manifests, {for_wasm} of them for WebAssembly; select one by \
                 its digest: oci://registry/repository@sha256:…",
                entries.len()
            )
        );
    }
}

#[tokio::test]
async fn an_index_of_an_index_is_rejected() {
    let inner = index(&[("wasm", "a")]);
    let outer = index(&[("wasm", &inner)]);
    let server = Registry::default().manifest("1", &outer).manifest("2", &inner).start().await;
    let line = failure(&reference(&server, ":1")).await;
    assert!(line.starts_with("it is an index of an index"), "{line}");
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn an_invalid_manifest_is_rejected() {
    for json in ["", "[]", "{\"schemaVersion\":1}", "<html>"] {
        let server = registry_with(json).await;
        let line = failure(&reference(&server, ":1")).await;
        assert!(
            line.starts_with("the response of the registry is not an image manifest"),
            "{line}"
        );
    }
    let invalid = manifest(&[(WASM, BYTES)]).replace(&digest_text(BYTES), "md5:00\\u001b");
    let line = failure(&reference(&registry_with(&invalid).await, ":1")).await;
    assert!(line.starts_with("its manifest has the digest \"md5:00\";"), "{line}");
}

#[tokio::test]
async fn a_manifest_that_is_too_large_is_rejected() {
    let server =
        Server::start(None, |_| Answer::ok(b"").announcing((4 << 20) + 1).then_stall()).await;
    let line = failure(&reference(&server, ":1")).await;
    assert!(line.contains("has 4194305 bytes; the limit is 4194304"), "{line}");
}

#[tokio::test]
async fn not_found_is_reported_with_the_url() {
    let server = registry_with("{}").await;
    let line = failure(&reference(&server, ":2")).await;
    let expected = format!("{}/v2/shop/shelf/manifests/2 returned 404 (", server.address);
    assert!(line.starts_with(&expected) && line.contains("no such thing"), "{line}");
}

#[tokio::test]
async fn an_anonymous_token_is_requested_if_the_registry_requires_one() {
    let registry = Registry::default().manifest("1", &manifest(&[(WASM, BYTES)])).blob(BYTES);
    let challenge = "Bearer realm=\"{here}/token\",service=\"a registry\",scope=\"x\"";
    let server = registry.challenging(challenge).start().await;
    assert_eq!(fetch(&reference(&server, ":1")).await.expect("fetched"), BYTES);
    assert_eq!(
        server.paths(),
        [
            "/v2/shop/shelf/manifests/1",
            "/token?service=a+registry&scope=repository%3Ashop%2Fshelf%3Apull",
            "/v2/shop/shelf/manifests/1",
            &format!("/v2/shop/shelf/blobs/{}", digest_text(BYTES)),
        ]
    );
}

#[tokio::test]
async fn a_registry_that_requires_a_password_is_rejected() {
    for challenge in ["Basic realm=\"a registry\"", "Bearer", "\"", "Negotiate"] {
        let server = Registry::default().challenging(challenge).start().await;
        let line = failure(&reference(&server, ":1")).await;
        assert!(line.contains("requires credentials, which are not supported"), "{line}");
        assert_eq!(server.paths().len(), 1);
    }
}

#[tokio::test]
async fn a_rejected_token_is_not_requested_again() {
    let server = Server::start(None, |request| match request.path.as_str() {
        path if path.starts_with("/token?") => Answer::ok(b"{\"access_token\":\"useless\"}"),
        _ => {
            let host = request.header("host").expect("a host");
            let challenge = format!("Bearer realm=\"http://{host}/token\"");
            Answer::status("401 Unauthorized", b"").header("www-authenticate", &challenge)
        }
    })
    .await;
    let line = failure(&reference(&server, ":1")).await;
    assert!(line.contains("requires credentials, which are not supported"), "{line}");
    assert_eq!(server.paths().len(), 3);
    assert_eq!(server.requests()[2].header("authorization"), Some("Bearer useless"));
}

#[tokio::test]
async fn invalid_tokens_are_rejected() {
    for answer in ["", "{}", "{\"token\":\"\"}", "{\"token\":\"a\\nb\"}", "{\"token\":1}"] {
        let server = Server::start(None, move |request| {
            if request.path.starts_with("/token?") {
                return Answer::ok(answer.as_bytes());
            }
            let host = request.header("host").expect("a host");
            let challenge = format!("Bearer realm=\"http://{host}/token\"");
            Answer::status("401 Unauthorized", b"").header("www-authenticate", &challenge)
        })
        .await;
        let line = failure(&reference(&server, ":1")).await;
        let expected = format!(
            "cannot get a token of the registry: {}/token returned no token;",
            server.address
        );
        assert!(line.starts_with(&expected), "{line}");
    }
}

#[tokio::test]
async fn tokens_are_not_requested_over_plain_http() {
    for realm in
        ["http://tokens.example/", "ftp://tokens.example/", "tokens", "https://u:s3cret@h/"]
    {
        let server = Server::start(None, move |_| {
            let challenge = format!("Bearer realm=\"{realm}\"");
            Answer::status("401 Unauthorized", b"").header("www-authenticate", &challenge)
        })
        .await;
        let line = failure(&reference(&server, ":1")).await;
        assert!(line.starts_with("cannot get a token of the registry: the"), "{line}");
        assert!(!line.contains("s3cret"), "{line}");
        assert_eq!(server.paths().len(), 1);
    }
}

#[tokio::test]
async fn a_registry_on_this_machine_cannot_redirect_elsewhere_without_tls() {
    let server = Server::start(None, |_| Answer::redirect("http://registry.example/v2/")).await;
    let line = failure(&reference(&server, ":1")).await;
    let expected = "it redirects to http://registry.example/v2/, which is not allowed:";
    assert!(line.starts_with(expected), "{line}");
}
