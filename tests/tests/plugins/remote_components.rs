//! Components that are fetched from a web server or a registry.

use std::net::SocketAddr;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::component_server::sha256;
use convoke_tests::guest::Guest;
use convoke_tests::{Cluster, ComponentServer, Launch, Member};

/// A member with a remote mode, and a cache in the folder of its cluster.
fn with_mode<'a>(
    cluster: &'a Cluster,
    server: &ComponentServer,
    reference: &str,
    pin: &str,
) -> Launch<'a> {
    let text = format!("[[discovery]]\nmode = \"mine\"\nplugin = \"{reference}\"\n{pin}");
    let config = cluster.write("mine.toml", text).display().to_string();
    let authority = server.authority(cluster.folder()).display().to_string();
    let cache = cluster.folder().join("cache").display().to_string();
    let launch = cluster.launch().option("--config", config);
    launch.env("SSL_CERT_FILE", authority).env("XDG_CACHE_HOME", cache)
}

/// `digest = …`, as in a configuration.
fn pin(digest: &str) -> String {
    format!("digest = \"{digest}\"\n")
}

/// Serves a component that finds `member`.
fn serve_mode_that_finds(member: &Member) -> ComponentServer {
    ComponentServer::with(Guest::finding("127.0.0.1", member.address().port(), 100).component())
}

/// The component is fetched once; afterwards no network is needed.
fn assert_fetched_once_and_cached(reference: fn(&ComponentServer) -> String) {
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    let server = serve_mode_that_finds(&first);
    let launch = with_mode(&cluster, &server, &reference(&server), &pin(server.digest()));
    let second = launch.clone().start();
    second.wait_for_line(TIMEOUT, &["fetched", &reference(&server), server.digest()]);
    cluster.agree([&first, &second]);
    let requests = server.requests();
    assert!((1..=2).contains(&requests), "a manifest and a component: {requests}");

    drop(server);
    let third = launch.start();
    cluster.agree([&first, &second, &third]);
}

#[test]
fn a_mode_from_a_web_server_is_fetched_once_and_cached() {
    assert_fetched_once_and_cached(ComponentServer::https);
}

#[test]
fn a_mode_from_a_registry_is_fetched_once_and_cached() {
    assert_fetched_once_and_cached(ComponentServer::oci);
}

#[test]
fn a_component_that_cannot_be_fetched_or_verified_is_rejected_and_not_cached() {
    let cluster = Cluster::new();
    let server = ComponentServer::with(Guest::crashing().component());
    let unused = SocketAddr::from(([127, 0, 0, 1], cluster.spare_port(1)));
    let other = pin(&sha256(b"another"));
    let [web, registry] = [server.https(), server.oci()];
    let missing = web.replace("mine", "yours");
    let cases = [
        (&web, String::new(), "needs a digest = \"sha256:…\""),
        (&web, other.clone(), "but the configuration requires"),
        (&registry, other.clone(), "but the configuration requires"),
        (&missing, other.clone(), "404"),
        (&format!("https://{unused}/mine.wasm"), other.clone(), "refused"),
        (&format!("oci://{unused}/shop/mine:1"), other, "refused"),
    ];
    for (reference, pin, expected) in cases {
        let ended = with_mode(&cluster, &server, reference, &pin).run(TIMEOUT);
        let line = ended.refusal();
        assert!(line.contains("mode \"mine\"") && line.contains(expected), "{line}");
    }
    assert!(!cluster.folder().join("cache/convoke/components").exists());

    // The certificate of the server is verified.
    let launch = with_mode(&cluster, &server, &web, &pin(server.digest()));
    let line = launch.env("SSL_CERT_FILE", "/dev/null").run(TIMEOUT).refusal().to_owned();
    assert!(line.contains("certificate"), "{line}");
}
