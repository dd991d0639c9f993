//! Parser of `/etc/resolv.conf`, according to resolv.conf(5) and glibc's behaviour.
//!
//! The crate `resolv-conf` is not used: its version 0.7.6 drops a server whose zone contains
//! `-` or `.` (`fe80::1%br-lan`), and does not support the environment variables that override
//! the file.

use std::time::Duration;

use hickory_proto::rr::Name;

use crate::grant::DnsServer;
use crate::limits;

/// Resolver configuration: the servers, and how to query them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conf {
    /// In the order in which they are queried.
    pub(super) servers: Vec<DnsServer>,
    /// The search list, as absolute names.
    pub(super) search: Vec<Name>,
    /// A name with at least this many dots is tried as an absolute name first.
    pub(super) ndots: usize,
    /// The time that one server has to answer.
    pub(super) timeout: Duration,
    /// The number of rounds through all servers.
    pub(super) attempts: u32,
    /// Each query starts with the next server.
    pub(super) rotate: bool,
    /// Query over TCP only.
    pub(super) use_vc: bool,
    /// Send EDNS options (RFC 6891), until a server turns out not to support them.
    pub(super) edns: bool,
    /// Do not query AAAA records.
    pub(super) no_aaaa: bool,
}

impl Default for Conf {
    /// The configuration of an empty file.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            use_vc: false,
            edns: false,
            no_aaaa: false,
        }
    }
}

/// Overrides and defaults for the file from the environment (resolv.conf(5)).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overrides<'a> {
    /// `LOCALDOMAIN`: replaces the search list.
    pub(super) domains: Option<&'a str>,
    /// `RES_OPTIONS`: applied as a further `options` line.
    pub(super) options: Option<&'a str>,
    /// The host name: its domain is searched if no search list is configured.
    pub(super) host: Option<&'a str>,
}

impl Conf {
    /// Parses the file's text. Invalid lines are ignored, as glibc does.
    pub(super) fn read(text: &str, overrides: Overrides<'_>) -> Self {
        let mut conf = Self::default();
        let mut search: Option<Vec<Name>> = None;
        for line in text.lines().map(str::trim) {
            if line.starts_with(['#', ';']) {
                continue;
            }
            let (keyword, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let mut values = rest.split_whitespace();
            match keyword {
                "nameserver" => conf.add_server(values.next().unwrap_or_default()),
                "domain" => search = Some(domains(values.take(1))),
                "search" => search = Some(domains(values)),
                "options" => values.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        if let Some(list) = overrides.domains {
            search = Some(domains(list.split_whitespace()));
        }
        overrides.options.into_iter().flat_map(str::split_whitespace).for_each(|o| conf.set(o));
        let own = || Some(domains(overrides.host?.split_once('.').map(|(_, own)| own).into_iter()));
        conf.search = search.or_else(own).unwrap_or_default();
        conf
    }

    fn add_server(&mut self, text: &str) {
        match DnsServer::parse_bare(text) {
            Some(server) if self.servers.len() < limits::DNS_SERVERS_MAX => {
                if !self.servers.contains(&server) {
                    self.servers.push(server);
                }
            }
            Some(_) => {}
            None => tracing::debug!(nameserver = text, "not an IP address; ignored"),
        }
    }

    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = || value.parse::<u64>().ok();
        match name {
            "ndots" => {
                if let Some(dots) = number() {
                    let max = limits::RESOLV_NDOTS_MAX;
                    self.ndots = usize::try_from(dots).unwrap_or(max).min(max);
                }
            }
            "timeout" => {
                if let Some(seconds) = number() {
                    let seconds = seconds.clamp(1, limits::RESOLV_TIMEOUT_S_MAX);
                    self.timeout = Duration::from_secs(seconds);
                }
            }
            "attempts" => {
                if let Some(times) = number() {
                    let max = limits::RESOLV_ATTEMPTS_MAX;
                    self.attempts = u32::try_from(times).unwrap_or(max).clamp(1, max);
                }
            }
            "rotate" => self.rotate = true,
            "use-vc" => self.use_vc = true,
            "edns0" => self.edns = true,
            "no-aaaa" => self.no_aaaa = true,
            _ => {}
        }
    }
}

/// Parses search domains into absolute names; invalid names are skipped.
fn domains<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Name> {
    let name = |word: &str| {
        let mut name = Name::from_ascii(word).ok()?;
        name.set_fqdn(true);
        Some(name)
    };
    values.filter_map(name).take(limits::SEARCH_DOMAINS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Conf {
        Conf::read(text, Overrides::default())
    }

    fn servers(conf: &Conf) -> Vec<String> {
        conf.servers.iter().map(ToString::to_string).collect()
    }

    fn search(conf: &Conf) -> Vec<String> {
        conf.search.iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn servers_keep_their_order_and_their_zones() {
        let conf = read(
            "nameserver 10.0.0.2\n# nameserver 10.0.0.9\nnameserver\t10.0.0.1\r\n\
             nameserver fe80::1%eth1\nnameserver fe80::1%br-lan\nnameserver fe80::2%eth0.100\n\
             nameserver nowhere\nnameserver\nnameserver 10.0.0.2",
        );
        let expected = [
            "10.0.0.2:53",
            "10.0.0.1:53",
            "[fe80::1%eth1]:53",
            "[fe80::1%br-lan]:53",
            "[fe80::2%eth0.100]:53",
        ];
        assert_eq!(servers(&conf), expected);
    }

    #[test]
    fn options_are_read_within_their_bounds() {
        assert_eq!(read("; nothing\n"), Conf::default());
        let conf = read(
            "options ndots:5 timeout:1\noptions attempts:3 rotate use-vc edns0 no-aaaa inet6 x:y:z",
        );
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (5, Duration::from_secs(1), 3));
        assert!(conf.rotate && conf.use_vc && conf.edns && conf.no_aaaa);
        let conf = read("options ndots:99 timeout:99999999999 attempts:999");
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (15, Duration::from_secs(30), 5));
        let conf = read("options timeout:0 attempts:0 ndots:-1 ndots:");
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (1, Duration::from_secs(1), 1));
    }

    #[test]
    fn the_last_domain_or_search_line_wins() {
        assert_eq!(search(&read("domain a.example\nsearch b.example c.")), ["b.example.", "c."]);
        assert_eq!(search(&read("search b.example c.\ndomain a.example")), ["a.example."]);
        assert_eq!(search(&read("search . b..c d")), [".", "d."]);
    }

    #[test]
    fn environment_variables_override_the_file_and_the_host_domain_is_the_fallback() {
        let overrides = Overrides {
            domains: Some("x.example y.example"),
            options: Some("ndots:3"),
            host: Some("a.local.example"),
        };
        let conf = Conf::read("search b.example\noptions ndots:2 rotate", overrides);
        assert_eq!(search(&conf), ["x.example.", "y.example."]);
        assert_eq!((conf.ndots, conf.rotate), (3, true));
        let overrides = Overrides { host: Some("a.local.example"), ..Overrides::default() };
        assert_eq!(search(&Conf::read("", overrides)), ["local.example."]);
        assert!(
            search(&Conf::read("search", overrides)).is_empty(),
            "an empty search list was configured"
        );
        let overrides = Overrides { host: Some("a"), ..Overrides::default() };
        assert!(search(&Conf::read("", overrides)).is_empty());
    }

    #[test]
    fn fuzz_resolv_conf() {
        let samples = [
            "nameserver 10.0.0.2\n# a comment\nnameserver\tfe80::1%br-lan\r\nnameserver [fd00::53]:53\n",
            "search b.example c. . b..c\ndomain a.example\n",
            "options ndots:2 timeout:0 attempts:9 rotate use-vc edns0 no-aaaa ndots:-1 x",
            "; search\noptions\nsearch\nnameserver",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let overrides =
                Overrides { domains: Some(&text), options: Some(&text), host: Some(&text) };
            for conf in [read(&text), Conf::read(&text, overrides)] {
                assert!(conf.servers.len() <= limits::DNS_SERVERS_MAX);
                assert!(conf.attempts > 0 && !conf.timeout.is_zero());
                assert!(conf.search.iter().all(Name::is_fqdn));
            }
        });
    }
}
