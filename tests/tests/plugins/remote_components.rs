//! A component on a web server or in a registry, named by configuration.

use std::net::SocketAddr;

use convoke_tests::cluster::SOON;
use convoke_tests::component_server::sha256;
use convoke_tests::guest::Guest;
use convoke_tests::{Cluster, Launch, Member, Shelf};

/// A member with a mode that lies elsewhere, and a cache in the folder of its cluster.
fn with_mode<'a>(cluster: &'a Cluster, shelf: &Shelf, reference: &str, pin: &str) -> Launch<'a> {
    let text = format!("[[discovery]]\nmode = \"mine\"\nplugin = \"{reference}\"\n{pin}");
    let config = cluster.write("mine.toml", text).display().to_string();
    let authority = shelf.authority(cluster.folder()).display().to_string();
    let cache = cluster.folder().join("cache").display().to_string();
    let launch = cluster.launch().option("--config", config);
    launch.env("SSL_CERT_FILE", authority).env("XDG_CACHE_HOME", cache)
}

/// `digest = …`, as in a configuration.
fn pin(digest: &str) -> String {
    format!("digest = \"{digest}\"\n")
}

/// A component that finds `member`, on a shelf.
fn shelf_with_a_mode_that_finds(member: &Member) -> Shelf {
    Shelf::with(Guest::finding("127.0.0.1", member.address().port(), 100).component())
}

/// By one of the two ways; afterwards no network is needed.
fn is_fetched_once_and_then_from_the_cache(reference: fn(&Shelf) -> String) {
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    let shelf = shelf_with_a_mode_that_finds(&first);
    let launch = with_mode(&cluster, &shelf, &reference(&shelf), &pin(shelf.digest()));
    let second = launch.clone().start();
    second.wait_for_line(SOON, &["fetched", &reference(&shelf), shelf.digest()]);
    cluster.agree([&first, &second]);
    let requests = shelf.requests();
    assert!((1..=2).contains(&requests), "a manifest and a component: {requests}");

    drop(shelf);
    let third = launch.start();
    cluster.agree([&first, &second, &third]);
}

#[test]
fn a_mode_from_a_web_server_is_fetched_once_and_then_from_the_cache() {
    is_fetched_once_and_then_from_the_cache(Shelf::https);
}

#[test]
fn a_mode_from_a_registry_is_fetched_once_and_then_from_the_cache() {
    is_fetched_once_and_then_from_the_cache(Shelf::oci);
}

#[test]
fn what_cannot_be_had_or_is_another_is_refused_in_one_line_and_nothing_is_kept() {
    let cluster = Cluster::new();
    let shelf = Shelf::with(Guest::crashing().component());
    let nobody = SocketAddr::from(([127, 0, 0, 1], cluster.spare_port(1)));
    let other = pin(&sha256(b"another"));
    let [web, registry] = [shelf.https(), shelf.oci()];
    let missing = web.replace("mine", "yours");
    let cases = [
        (&web, String::new(), "needs a digest = \"sha256:…\""),
        (&web, other.clone(), "but the configuration requires"),
        (&registry, other.clone(), "but the configuration requires"),
        (&missing, other.clone(), "404"),
        (&format!("https://{nobody}/mine.wasm"), other.clone(), "refused"),
        (&format!("oci://{nobody}/shop/mine:1"), other, "refused"),
    ];
    for (reference, pin, expected) in cases {
        let ended = with_mode(&cluster, &shelf, reference, &pin).run(SOON);
        let line = ended.refusal();
        assert!(line.contains("mode \"mine\"") && line.contains(expected), "{line}");
    }
    assert!(!cluster.folder().join("cache/convoke/components").exists());

    // Who vouches for the server is asked, too.
    let launch = with_mode(&cluster, &shelf, &web, &pin(shelf.digest()));
    let line = launch.env("SSL_CERT_FILE", "/dev/null").run(SOON).refusal().to_owned();
    assert!(line.contains("certificate"), "{line}");
}
