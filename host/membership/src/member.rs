//! A member: one running process, identified by an id that is new at each start.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Maximum number of addresses that a member may advertise.
pub const ADDRESSES_MAX: usize = 8;
/// Maximum length of the name of a member or a group, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Maximum length of the host of a [`Service`], in bytes: the limit of a domain name (RFC 1035,
/// section 3.1).
pub const HOST_BYTES_MAX: usize = 253;
/// Maximum length of the list of a member's modes, in bytes.
pub const MODES_BYTES_MAX: usize = 128;

/// Identifies one process for as long as it runs: a UUID of version 7 (RFC 9562), so that ids sort
/// by the start time of their processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MemberId(Uuid);

impl MemberId {
    /// An id for a process that starts now.
    #[must_use]
    pub fn new_now() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id with these bytes, in the byte order of a UUID.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// When the process started, in milliseconds since 1970, by the clock of its host.
    #[must_use]
    pub fn started_at_ms(&self) -> u64 {
        let bytes = self.as_bytes();
        bytes[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }

    /// The 16 bytes of the UUID.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The address of a service of a member, for clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// The host that clients connect to, a name or an IP literal without brackets, at most
    /// [`HOST_BYTES_MAX`] bytes; `None` for the member's address.
    pub host: Option<String>,
    /// TCP port.
    pub port: u16,
}

impl Service {
    /// A service on a port of the member's address.
    #[must_use]
    pub const fn at(port: u16) -> Self {
        Self { host: None, port }
    }

    /// `host:port` for a member with this address; an IPv6 literal has brackets.
    #[must_use]
    pub fn address(&self, ip: IpAddr) -> String {
        let Self { host, port } = self;
        match host {
            Some(host) if host.contains(':') => format!("[{host}]:{port}"),
            Some(host) => format!("{host}:{port}"),
            None => SocketAddr::new(ip, *port).to_string(),
        }
    }

    /// Whether the text can be a host: printable, and without separators of the text protocols that
    /// show it.
    #[must_use]
    pub fn is_host(text: &str) -> bool {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        (1..=HOST_BYTES_MAX).contains(&text.len()) && text.chars().all(known)
    }

    fn is_valid(&self) -> bool {
        self.port > 0 && self.host.as_deref().is_none_or(Self::is_host)
    }
}

/// The description of a member that members exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Identifies the process.
    pub id: MemberId,
    /// Addresses of the member port, the preferred one first. At least one, at most
    /// [`ADDRESSES_MAX`].
    pub addresses: Vec<SocketAddr>,
    /// Shown in lists; at most [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// Shown in lists; at most [`NAME_BYTES_MAX`] bytes.
    pub group: String,
    /// A lite member joins and routes requests, but stores no data.
    pub lite: bool,
    /// The modes by which it looks for members, shown in lists; at most [`MODES_BYTES_MAX`] bytes.
    pub modes: String,
    /// Its HTTP endpoint, if it serves HTTP.
    pub http: Option<Service>,
    /// Its RESP endpoint, if it serves clients on other hosts.
    pub resp: Option<Service>,
    /// Its endpoint for clients of Hazelcast, if it serves them on other hosts.
    pub hazelcast: Option<Service>,
    /// Number of times that this process rejoined a cluster that had removed it. In SWIM, "down" is
    /// final for one generation.
    pub generation: u32,
    /// Its rank in the order of ages: lower is older. Assigned once by the coordinator that admits
    /// the member, and kept through splits and merges.
    pub age: u64,
}

impl Member {
    /// The address that is shown, and tried first.
    ///
    /// # Panics
    /// If the member has no address, which [`Member::is_valid`] rules out for every member received
    /// from the network.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Whether the bounds above hold; checked for every member received from the network.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (1..=ADDRESSES_MAX).contains(&self.addresses.len())
            && self.name.len() <= NAME_BYTES_MAX
            && self.group.len() <= NAME_BYTES_MAX
            && self.modes.len() <= MODES_BYTES_MAX
            && [&self.http, &self.resp, &self.hazelcast]
                .into_iter()
                .flatten()
                .all(Service::is_valid)
    }

    /// Sort key for oldest first. The id decides between members that were admitted on two sides of
    /// a split.
    #[must_use]
    pub fn seniority(&self) -> (u64, MemberId) {
        (self.age, self.id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Member number `n` of a test cluster.
    pub(crate) fn member(n: u8) -> Member {
        Member {
            id: MemberId::from_bytes([n; 16]),
            addresses: vec![SocketAddr::from(([10, 0, 0, n], 6900))],
            name: format!("m{n}"),
            group: "convoke".into(),
            lite: false,
            modes: "multicast".into(),
            http: None,
            resp: None,
            hazelcast: None,
            generation: 1,
            age: u64::from(n),
        }
    }

    #[test]
    fn ids_sort_by_start_time() {
        let first = MemberId::new_now();
        std::thread::sleep(std::time::Duration::from_millis(3));
        let second = MemberId::new_now();
        assert!(first < second && first.started_at_ms() < second.started_at_ms());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        assert!(now.abs_diff(u128::from(second.started_at_ms())) < 60_000);
    }

    #[test]
    fn a_member_without_an_address_or_with_a_long_name_is_not_sound() {
        assert!(member(1).is_valid());
        assert!(!Member { addresses: vec![], ..member(1) }.is_valid());
        assert!(!Member { name: "n".repeat(NAME_BYTES_MAX + 1), ..member(1) }.is_valid());
        assert!(!Member { modes: "m".repeat(MODES_BYTES_MAX + 1), ..member(1) }.is_valid());
    }

    #[test]
    fn hosts_of_services_have_no_separators_of_text_protocols() {
        let ip = IpAddr::from([10, 0, 0, 1]);
        let at = |host: &str| Service { host: Some(host.into()), port: 6379 };
        assert_eq!(Service::at(80).address(ip), "10.0.0.1:80");
        assert_eq!(at("cache.example").address(ip), "cache.example:6379");
        assert_eq!(at("2001:db8::1").address(ip), "[2001:db8::1]:6379");
        let is_valid = |service| Member { resp: Some(service), ..member(1) }.is_valid();
        assert!(is_valid(at("cache.example")) && !is_valid(Service::at(0)));
        let long = "h".repeat(HOST_BYTES_MAX + 1);
        for wrong in ["", "a b", "a\r\nb", "a,b", "a@b", &long] {
            assert!(!is_valid(at(wrong)), "{wrong:?}");
        }
    }
}
