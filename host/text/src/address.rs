//! Hosts with or without a port, as people write them.

use std::net::Ipv6Addr;

/// A host and a port as they were written, neither of them checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// Without the brackets.
    pub host: &'a str,
    /// What follows the colon after the host, if there is one; may be empty.
    pub port: Option<&'a str>,
    /// Whether the host stood in brackets, as an IPv6 address with a port has to (RFC 3986,
    /// section 3.2.2).
    pub is_bracketed: bool,
}

impl<'a> HostPort<'a> {
    /// Splits `host`, `host:port`, `[ipv6]`, `[ipv6]:port` or a bare IPv6 address, which has no
    /// port. Returns `None` if a bracket is not closed, or is followed by something else than a
    /// colon.
    ///
    /// ```
    /// use convoke_text::HostPort;
    ///
    /// let split = |text| HostPort::split(text).map(|HostPort { host, port, .. }| (host, port));
    /// assert_eq!(split("db.example:6379"), Some(("db.example", Some("6379"))));
    /// assert_eq!(split("[fd00::7]:6900"), Some(("fd00::7", Some("6900"))));
    /// assert_eq!(split("fd00::7"), Some(("fd00::7", None)));
    /// assert_eq!(split("[fd00::7"), None);
    /// ```
    #[must_use]
    pub fn split(text: &'a str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            return Some(Self { host, port, is_bracketed: true });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        };
        Some(Self { host, port, is_bracketed: false })
    }

    /// Writes the two again, an IPv6 address in brackets.
    ///
    /// ```
    /// assert_eq!(convoke_text::HostPort::join("fd00::7", 6900), "[fd00::7]:6900");
    /// assert_eq!(convoke_text::HostPort::join("db.example", "*"), "db.example:*");
    /// ```
    #[must_use]
    pub fn join(host: &str, port: impl std::fmt::Display) -> String {
        if host.parse::<Ipv6Addr>().is_ok() {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HostPort;

    #[test]
    fn what_stands_after_a_bracket_is_a_port_or_malformed() {
        let split = |text| HostPort::split(text).map(|parts| (parts.host, parts.port));
        assert_eq!(split("[::1]"), Some(("::1", None)));
        assert_eq!(split("[::1]:"), Some(("::1", Some(""))));
        assert_eq!(split("[::1]6900"), None);
        assert_eq!(split("[::1%eth0]:53"), Some(("::1%eth0", Some("53"))));
        assert_eq!(split("a:1:2"), Some(("a:1:2", None)));
        assert_eq!(split(":6379"), Some(("", Some("6379"))));
        assert_eq!(split(""), Some(("", None)));
    }

    #[test]
    fn fuzz_host_port() {
        let samples = [
            "db.example:6379",
            "[fd00::7]:6900",
            "fd00::7",
            "[::1%eth0]:53",
            "10.0.*.*:",
            "[::1]x",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Some(HostPort { host, port, is_bracketed }) = HostPort::split(&text) {
                let host = if is_bracketed { format!("[{host}]") } else { host.to_owned() };
                let again = port.map_or(host.clone(), |port| format!("{host}:{port}"));
                assert_eq!(again, text);
            }
        });
    }
}
