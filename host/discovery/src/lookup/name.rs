//! Validation of the names that can be looked up in DNS.

use std::net::IpAddr;

use crate::names::is_dns_name;

/// Whether `text` is a DNS name, with or without its final dot, and not an IP address.
pub(crate) fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    is_dns_name(name) && name.parse::<IpAddr>().is_err()
}

/// Whether `name` is `localhost` or below it, which always means this machine (RFC 6761,
/// section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_localhost, is_name};

    #[test]
    fn names_consist_of_labels_and_addresses_are_not_names() {
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
        fn every_valid_name_fits_a_query(text in "[a-z0-9._-]{0,300}") {
            let read = hickory_proto::rr::Name::from_ascii(&text);
            prop_assert!(!is_name(&text) || read.is_ok(), "{text}");
        }
    }
}
