//! Splits Hazelcast's member lists, which may mix addresses and names, for the modes `tcpip` and
//! `dns`.

use std::net::IpAddr;

/// The entries, sorted into lists for both modes; their text is unchanged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Arguments of tcpip.
    pub(super) addresses: Vec<String>,
    /// Arguments of dns.
    pub(super) names: Vec<String>,
}

/// Splits at commas, semicolons and white space.
pub(super) fn sort(texts: &[String]) -> Listed {
    let mut listed = Listed::default();
    let separates = |c: char| matches!(c, ',' | ';') || c.is_whitespace();
    for entry in
        texts.iter().flat_map(|text| text.split(separates)).filter(|entry| !entry.is_empty())
    {
        if is_name(entry) {
            listed.names.push(entry.to_owned());
        } else {
            listed.addresses.push(entry.to_owned());
        }
    }
    listed
}

/// Whether an entry is a host name. Addresses, ranges and `localhost` are not; malformed entries
/// are left for the mode to reject.
fn is_name(entry: &str) -> bool {
    // IPv6, perhaps with a zone or a prefix length: a name has at most one colon.
    if entry.starts_with('[') || entry.matches(':').count() > 1 || entry.parse::<IpAddr>().is_ok() {
        return false;
    }
    let host = entry.split(':').next().unwrap_or_default();
    let is_range =
        host.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'*' | b'/'));
    !is_range && !host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn names_and_addresses_are_distinguished() {
        let listed = sort(&[
            "10.0.0.1, 10.0.0.2-9:5701;10.0.0.*".into(),
            "a.example:5701 [::1]:1\nlocalhost ::1 fe80::1%eth0".into(),
        ]);
        assert_eq!(
            listed.addresses,
            [
                "10.0.0.1",
                "10.0.0.2-9:5701",
                "10.0.0.*",
                "[::1]:1",
                "localhost",
                "::1",
                "fe80::1%eth0"
            ]
        );
        assert_eq!(listed.names, ["a.example:5701"]);
    }
}
