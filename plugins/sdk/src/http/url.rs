//! A minimal URL parser for requests.

use crate::quoted;

/// Length of a URL, in bytes; many servers accept less.
const URL_BYTES_MAX: usize = 8_192;

/// The parts of an absolute URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) is_https: bool,
    /// `host` or `host:port`; IPv6 literals in brackets.
    pub(super) authority: String,
    /// From the first `/`, which is always present, without the fragment.
    pub(super) path_and_query: String,
}

impl Url {
    /// Splits a URL. The error is a text for the operator.
    pub(super) fn split(text: &str) -> Result<Self, String> {
        let refused = |why: &str| {
            let shown = quoted(text);
            Err(format!("{shown} {why}; expected a URL such as http://127.0.0.1:8500/path"))
        };
        if text.len() > URL_BYTES_MAX {
            return refused("is too long for a URL");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refused("has characters that are not allowed in a URL");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return refused("is not a URL");
        };
        let is_https = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return refused("is neither http nor https"),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return refused("has a user before its host, which is not supported");
        }
        if !is_authority(authority) {
            return refused("has no host, or an invalid port");
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            is_https,
            authority: authority.to_owned(),
            path_and_query: format!("{slash}{path}"),
        })
    }
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((literal, port)) = rest.split_once(']') else { return false };
            if literal.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (literal, port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    !host.is_empty()
        && host.bytes().all(is_host_byte)
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Escapes text for use as one path segment, or one value of a query.
///
/// ```
/// use convoke_mode_sdk::http::escaped;
///
/// assert_eq!(escaped("web shop/ä&b"), "web%20shop%2F%C3%A4%26b");
/// ```
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            escaped.push('%');
            escaped.push(char::from(DIGITS[usize::from(byte >> 4)]));
            escaped.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> (bool, String, String) {
        let url = Url::split(text).unwrap();
        (url.is_https, url.authority, url.path_and_query)
    }

    #[test]
    fn urls_are_split_into_scheme_authority_and_path() {
        for (text, https, authority, path) in [
            ("http://127.0.0.1:8500", false, "127.0.0.1:8500", "/"),
            ("HTTPS://Consul.example/v1/x?a=b/c", true, "Consul.example", "/v1/x?a=b/c"),
            ("http://[::1]:8500?index=3#top", false, "[::1]:8500", "/?index=3"),
            ("http://a_b.svc#x", false, "a_b.svc", "/"),
        ] {
            assert_eq!(parts(text), (https, authority.to_owned(), path.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_invalid_url_is_rejected_with_a_reason() {
        for (text, why) in [
            ("127.0.0.1:8500", "is not a URL"),
            ("", "is not a URL"),
            ("ftp://a/", "is neither http nor https"),
            ("http:///v1", "has no host, or an invalid port"),
            ("http://a:0/", "has no host, or an invalid port"),
            ("http://a:99999/", "has no host, or an invalid port"),
            ("http://::1/", "has no host, or an invalid port"),
            ("http://[::1/", "has no host, or an invalid port"),
            ("http://[a]/", "has no host, or an invalid port"),
            ("http://[::1]8500/", "has no host, or an invalid port"),
            ("http://user:secret@a/", "has a user before its host, which is not supported"),
            ("http://a/b c", "has characters that are not allowed in a URL"),
            ("http://a/\r\nHost: b", "has characters that are not allowed in a URL"),
            ("http://ä/", "has characters that are not allowed in a URL"),
        ] {
            let expected =
                format!("{text:?} {why}; expected a URL such as http://127.0.0.1:8500/path");
            assert_eq!(Url::split(text), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_split_or_rejected(text in "(https?://)?\\PC{0,40}") {
            if let Ok(url) = Url::split(&text) {
                prop_assert!(url.path_and_query.starts_with('/'));
                prop_assert!(!url.authority.is_empty());
            }
        }

        #[test]
        fn escaped_text_stays_one_value(text in "\\PC{0,40}") {
            let url = Url::split(&format!("http://a/{}", escaped(&text))).unwrap();
            prop_assert!(!url.path_and_query[1..].contains(['/', '?', '&', '=', '#', '+']));
        }
    }
}
