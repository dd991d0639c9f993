//! Addresses of servers: of the source as a URL, and of members.

use std::fmt;

use convoke_text::HostPort;
use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

/// Port of a URL without one.
const PORT: u16 = 6379;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name, or an IPv4 or IPv6 literal without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Address {
    /// Parses `HOST`, `HOST:PORT`, `[IPV6]:PORT`.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address; expected HOST:PORT");
        let is_host = |host: &str| !host.is_empty() && !host.contains(['[', ']', '/', '@']);
        let split = HostPort::split(text).filter(|split| is_host(split.host));
        let split = split.ok_or_else(wrong)?;
        let port = match split.port {
            None => PORT,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
        };
        Ok(Self { host: split.host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// What the URL of a source contains:
/// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    /// Where the server listens.
    pub address: Address,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// The user, for servers with ACLs.
    pub user: Option<String>,
    /// The password, if the URL contains one.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// The only database to copy, if the URL names one.
    pub database: Option<u16>,
}

impl SourceUrl {
    /// Parses a URL. Errors do not contain it, since it may contain a password.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]";
        let url = Url::parse(text).map_err(|error| format!("invalid URL: {error}; {EXPECTED}"))?;
        let tls = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            other => return Err(format!("the URL begins with {other:?}; {EXPECTED}")),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| format!("the URL has no host; {EXPECTED}"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
        let user = user.map(String::from_utf8).transpose();
        let database = match url.path().trim_start_matches('/') {
            "" => None,
            path => {
                let wrong = |_| format!("the URL ends with {path:?}, which is not a database");
                Some(path.parse().map_err(wrong)?)
            }
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("the URL has parameters, which are not supported; {EXPECTED}"));
        }
        Ok(Self {
            address: Address {
                host: percent_decode_str(host).decode_utf8_lossy().into_owned(),
                port: url.port().unwrap_or(PORT),
            },
            tls,
            user: user.map_err(|_| "the user in the URL is not UTF-8".to_owned())?,
            password: url.password().map(|password| Zeroizing::new(decoded(password))),
            database,
        })
    }
}

/// Without the password.
impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, tls, user, database, .. } = self;
        write!(f, "{address} tls={tls} user={user:?} database={database:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_its_parts() {
        let url = SourceUrl::parse("redis://app:p%40ss:w@cache.example:6380/3").unwrap();
        assert_eq!(url.address.to_string(), "cache.example:6380");
        assert_eq!(url.user.as_deref(), Some("app"));
        assert_eq!(url.password.as_deref().map(Vec::as_slice), Some(&b"p@ss:w"[..]));
        assert_eq!((url.database, url.tls), (Some(3), false));
        assert!(!format!("{url:?}").contains("p@ss"));
        let url = SourceUrl::parse("rediss://:secret@[fd00::7]").unwrap();
        assert_eq!(url.address, Address { host: "fd00::7".to_owned(), port: 6379 });
        assert_eq!(url.address.to_string(), "[fd00::7]:6379");
        assert_eq!((url.user, url.tls, url.database), (None, true, None));
        let url = SourceUrl::parse("redis://10.0.0.7/").unwrap();
        assert_eq!((url.address.port, url.password, url.database), (6379, None, None));
    }

    #[test]
    fn a_url_that_is_wrong_is_refused_without_its_password() {
        for text in [
            "10.0.0.7:6379",
            "http://:secret@10.0.0.7",
            "redis://:secret@",
            "redis://:secret@host:port",
            "redis://:secret@host:70000",
            "redis://:secret@host/one",
            "redis://:secret@host?timeout=1",
        ] {
            let error = SourceUrl::parse(text).unwrap_err();
            assert!(!error.contains("secret") && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_of_members_have_a_port_or_the_default() {
        assert_eq!(Address::parse("10.0.0.7").unwrap().to_string(), "10.0.0.7:6379");
        assert_eq!(Address::parse("[::1]:7000").unwrap().to_string(), "[::1]:7000");
        for text in ["", ":6379", "host:", "host:0", "host:x", "[::1", "::]", "redis://host"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fuzz_url() {
        let samples = ["redis://a:b@c:1/2", "rediss://[::1]", "redis://%41@b/0", "valkey://h"];
        convoke_harness::check!(&samples, |bytes| {
            let Ok(text) = str::from_utf8(bytes) else { return };
            match SourceUrl::parse(text) {
                Ok(url) => assert!(!url.address.host.is_empty()),
                Err(error) => assert!(!error.is_empty()),
            }
            if let Ok(address) = Address::parse(text) {
                assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        });
    }
}
