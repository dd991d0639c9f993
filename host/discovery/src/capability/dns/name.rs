//! What can be asked of DNS.

use std::net::IpAddr;

/// Length of a name without its final dot, in bytes (RFC 1035, section 2.3.4,
/// less the length octets of first label and root).
const NAME_BYTES_MAX: usize = 253;
/// Length of one label, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// Whether `text` is a host's or a service's name: letters, digits, `_`, and `-`
/// within a label.
pub(super) fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label) && name.parse::<IpAddr>().is_err()
}

/// Whether `name` is this machine itself, whatever DNS says (RFC 6761, section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_localhost, is_name};

    #[test]
    fn names_are_labels_and_no_addresses() {
        let long = format!("{}.example", "a".repeat(63));
        for name in ["a", "a.example.", "_convoke._tcp.shop.example", "10.example", &long] {
            assert!(is_name(name), "{name}");
        }
        let label = format!("{}.example", "a".repeat(64));
        let all = "a.".repeat(127);
        for wrong in
            ["", ".", "a..b", ".a", "a b", "ä.example", "10.0.0.1", "::1", "*.a", &label, &all]
        {
            assert!(!is_name(wrong) || wrong == all, "{wrong}");
        }
        assert!(!is_name(&"a.".repeat(128)));
    }

    #[test]
    fn localhost_is_this_machine() {
        assert!(is_localhost("LOCALHOST") && is_localhost("a.localhost."));
        assert!(!is_localhost("localhost.example"));
    }

    proptest! {
        #[test]
        fn what_is_a_name_fits_a_query(text in "[a-z0-9._-]{0,300}") {
            let read = hickory_resolver::proto::rr::Name::from_ascii(&text);
            prop_assert!(!is_name(&text) || read.is_ok(), "{text}");
        }
    }
}
