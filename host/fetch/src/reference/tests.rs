use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::{Reference, ReferenceError};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn read(text: &str) -> String {
    text.parse::<Reference>().unwrap_or_else(|error| panic!("{error}")).to_string()
}

fn refused(text: &str) -> String {
    text.parse::<Reference>().expect_err(text).to_string()
}

#[test]
fn valid_references_round_trip() {
    for text in [
        "https://modes.example/shelf.wasm",
        "https://modes.example:8443/a/b/shelf.wasm?version=3",
        "https://[2001:db8::1]:8443/shelf.wasm",
        "https://modes.example/@shop/shelf.wasm",
        "oci://registry.example/shop/shelf:1.2",
        "oci://registry:5000/shelf:1.2",
        "oci://[::1]:5000/shelf:1.2",
        "oci://127.0.0.1:5000/shelf:latest",
    ] {
        assert_eq!(read(text), text);
    }
    assert_eq!(read("HTTPS://Modes.Example:443/s.wasm"), "https://modes.example/s.wasm");
    assert_eq!(read("oci://registry.example/shelf"), "oci://registry.example/shelf:latest");
    assert_eq!(read("oci://docker.io/shelf"), "oci://docker.io/library/shelf:latest");
    for name in [format!("shelf@{DIGEST}"), format!("shelf:1@{DIGEST}")] {
        let text = format!("oci://registry.example/{name}");
        assert_eq!(read(&text), text);
    }
}

#[test]
fn only_registries_on_this_machine_are_accessed_without_tls() {
    let base = |text: &str| match text.parse() {
        Ok(Reference::Oci(artifact)) => artifact.base().to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(base("oci://localhost:5000/shelf"), "http://localhost:5000/");
    assert_eq!(base("oci://localhost:443/shelf"), "http://localhost:443/");
    assert_eq!(base("oci://127.8.0.1/shelf"), "http://127.8.0.1/");
    assert_eq!(base("oci://[::1]:5000/shelf"), "http://[::1]:5000/");
    assert_eq!(base("oci://registry:5000/shelf"), "https://registry:5000/");
    assert_eq!(base("oci://localhost.example/shelf"), "https://localhost.example/");
    assert_eq!(base("oci://10.0.0.1:5000/shelf"), "https://10.0.0.1:5000/");
    assert_eq!(base("oci://docker.io/shelf"), "https://index.docker.io/");
}

#[test]
fn a_reference_is_distinguished_from_a_file() {
    for text in ["https://a/b", "oci://a/b", "http://a/b", "ftp://a", "file:///a", "X+y-z.1://"] {
        assert!(Reference::is_one(text), "{text}");
    }
    for text in ["shelf.wasm", "/a/b.wasm", "C:\\a.wasm", "a/b://c", "://a", "1a://b", "a:b", ""] {
        assert!(!Reference::is_one(text), "{text}");
    }
}

#[test]
fn malformed_references_are_rejected_in_one_line() {
    const HTTPS: &str = "expected https://host[:port]/path";
    const OCI: &str = "expected oci://registry[:port]/repository[:tag][@sha256:…]";
    for (text, reason, form) in [
        ("https://", "empty host", HTTPS),
        ("https:///a", "the host is missing", HTTPS),
        ("https://modes.example", "the path is missing", HTTPS),
        ("https://modes.example/?a=b", "the path is missing", HTTPS),
        ("https://modes.example:99999/a", "invalid port number", HTTPS),
        ("https://[::1/a", "invalid IPv6 address", HTTPS),
        ("https://modes.example/a b", "it contains ' '", HTTPS),
        ("https://modes.example/a\nb", "it contains '\\n'", HTTPS),
        ("https://modes.example\\a", "it contains '\\\\'", HTTPS),
        ("oci://", "the repository is missing", OCI),
        ("oci:///shelf", "the registry is missing", OCI),
        ("oci://registry.example", "the repository is missing", OCI),
        ("oci://registry.example/", "a repository consists of lower-case letters", OCI),
        ("oci://registry.example/Shelf", "a repository consists of lower-case letters", OCI),
        ("oci://registry.example/shelf:", "a tag of up to 128", OCI),
        ("oci://registry.example/shelf:ä", "is not ASCII", OCI),
        ("oci://registry.example:/shelf", "a colon and no port", OCI),
        ("oci://registry.example:http/shelf", "invalid port number", OCI),
        ("oci://reg%20istry/shelf", "the registry contains '%'", OCI),
        ("oci://registry.example/shelf@sha256:00", "64 hexadecimal digits", OCI),
        ("oci://registry.example/shelf@sha512:00", "64 hexadecimal digits", OCI),
        ("ftp://modes.example/a", "is not a reference to a component", HTTPS),
        ("shelf.wasm", "is not a reference to a component", HTTPS),
    ] {
        let line = refused(text);
        assert!(line.contains(reason) && line.contains(form), "{line}");
        assert!(!line.chars().any(char::is_control), "{line}");
    }
    let long = refused(&format!("https://modes.example/{}", "a".repeat(5_000)));
    assert!(long.contains("has 5022 bytes; the limit is 2048") && long.len() < 400, "{long}");
}

#[test]
fn plain_http_is_rejected_with_reason_and_advice() {
    assert_eq!(
        refused("http://modes.example/a.wasm"),
        "\"http://modes.example/a.wasm\" is not allowed: plain http can be read and \
         modified on its way; use https:// or a file"
    );
}

#[test]
fn a_fragment_is_rejected() {
    assert!(refused("https://modes.example/a#b").contains("has a fragment"));
    assert!(refused("oci://registry.example/a#b").contains("has a fragment"));
}

#[test]
fn a_user_is_rejected_and_not_shown() {
    for text in [
        "https://shop:s3cret@modes.example/a",
        "https://s3cret@modes.example/a",
        "https://a@s3cret@modes.example/a",
        "https://s3cret @modes.example/a",
        "oci://shop:s3cret@registry.example/a",
        "http://shop:s3cret@modes.example/a",
        "ftp://shop:s3cret@modes.example/a",
    ] {
        let error = text.parse::<Reference>().expect_err(text);
        assert!(matches!(error, ReferenceError::UserInfo(_)), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

/// An accepted reference is on one line, has no user, and is equal when it is parsed again.
#[test]
fn fuzz_reference() {
    let samples = [
        "https://modes.example:8443/a/b/shelf.wasm?version=3".to_owned(),
        "https://[2001:db8::1]:8443/%2e%2e/shelf.wasm".to_owned(),
        "HTTPS://Modes.Example:443/@shop/s.wasm#fragment".to_owned(),
        "oci://registry.example/shop/shelf:1.2".to_owned(),
        "oci://[::1]:5000/shelf".to_owned(),
        "oci://docker.io/shelf".to_owned(),
        "https://user:s3cret@modes.example/a".to_owned(),
        format!("oci://127.0.0.1:5000/shop/shelf:1@{DIGEST}"),
    ];
    convoke_harness::check!(&samples, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match text.parse::<Reference>() {
            Ok(reference) => {
                let written = reference.to_string();
                assert!(Reference::is_one(&written), "{written:?}");
                assert!(!written.chars().any(|c| c.is_whitespace() || c.is_control()));
                assert_eq!(written.parse(), Ok(reference));
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn accepted_references_round_trip(
        text in "(https|HTTPS|oci|http)://[a-zA-Z0-9.:\\[\\]-]{1,20}/[a-zA-Z0-9./:@_?%äß~-]{0,30}(@sha256:[0-9a-fA-F]{64})?",
    ) {
        if let Ok(reference) = text.parse::<Reference>() {
            let written = reference.to_string();
            prop_assert!(Reference::is_one(&written));
            prop_assert_eq!(written.parse(), Ok(reference));
        }
    }

    #[test]
    fn plausible_names_round_trip(
        registry in "[a-z]{1,8}(\\.[a-z]{2,5}){0,2}(:[1-9][0-9]{0,3})?",
        repository in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}",
        tag in "(:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20})?",
        digest in "(@sha256:[0-9a-f]{64})?",
    ) {
        let reference: Reference =
            format!("oci://{registry}/{repository}{tag}{digest}").parse().expect("plausible");
        prop_assert_eq!(reference.to_string().parse(), Ok(reference));
    }
}
