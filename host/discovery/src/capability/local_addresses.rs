//! Addresses that a granted name must not resolve to: this machine, its links, cloud metadata
//! services.
//!
//! The owner of a name decides what it resolves to. A grant for a name of a foreign server must
//! not allow access to services on this machine, or to the metadata service with its
//! credentials, even if the name is changed to point there. Private networks (such as
//! 10.0.0.0/8), where members and their servers run, stay reachable by name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::grant::is_localhost;

/// Cloud metadata services that provide credentials, besides 169.254.169.254: AWS over IPv6,
/// Alibaba, Oracle.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// The kind of an address that must be granted as a literal; `None` for all others.
pub(crate) fn local_kind(ip: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&ip) || ip == IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)) {
        return Some("cloud metadata");
    }
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => Some("loopback"),
        IpAddr::V4(ip) if ip.is_link_local() => Some("link-local"),
        IpAddr::V4(ip) if ip.is_multicast() => Some("multicast"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("broadcast"),
        // "This network" (RFC 791): a connection there reaches this machine.
        IpAddr::V4(ip) if ip.octets()[0] == 0 => Some("unspecified"),
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) if ip.is_loopback() => Some("loopback"),
        IpAddr::V6(ip) if ip.is_unspecified() => Some("unspecified"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("link-local"),
        IpAddr::V6(ip) if ip.is_multicast() => Some("multicast"),
        IpAddr::V6(ip) => embedded(ip).and_then(|ip| local_kind(ip.into())),
    }
}

/// The IPv4 address that is embedded in an IPv6 address: mapped, "compatible", or NAT64.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = ip.segments();
    matches!([a, b, c, d, e, f], [0, 0, 0, 0, 0, 0 | 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0])
        .then(|| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// A name that resolves only to such addresses.
#[derive(Debug)]
pub(crate) struct ResolvesToLocal {
    /// One of the addresses.
    pub(crate) ip: IpAddr,
    /// The kind of `ip`, such as `loopback`.
    pub(crate) kind: &'static str,
}

impl fmt::Display for ResolvesToLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name resolves to {}, a {} address", self.ip, self.kind)
    }
}

impl std::error::Error for ResolvesToLocal {}

/// The addresses of a name that may be connected to.
fn admitted(
    name: &str,
    addresses: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, ResolvesToLocal> {
    if is_localhost(name) {
        // `localhost` was checked against the grant before.
        return Ok(addresses.collect());
    }
    let mut refused = None;
    let admitted: Vec<_> = addresses
        .filter(|address| match local_kind(address.ip()) {
            Some(kind) => {
                refused.get_or_insert(ResolvesToLocal { ip: address.ip(), kind });
                false
            }
            None => true,
        })
        .collect();
    match refused {
        Some(refused) if admitted.is_empty() => Err(refused),
        _ => Ok(admitted),
    }
}

/// The system's resolver, without local addresses. The connection uses its result, so that a
/// second lookup cannot give other addresses.
#[derive(Clone)]
pub(crate) struct GuardedResolver(GaiResolver);

impl GuardedResolver {
    pub(crate) fn new() -> Self {
        Self(GaiResolver::new())
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Addresses = std::vec::IntoIter<SocketAddr>;

impl Service<Name> for GuardedResolver {
    type Response = Addresses;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Addresses, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(BoxError::from)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let text = name.as_str().to_owned();
        let resolving = self.0.call(name);
        Box::pin(async move {
            let addresses = resolving.await?;
            Ok(admitted(&text, addresses)?.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(ip: &str) -> Option<&'static str> {
        local_kind(ip.parse().unwrap())
    }

    #[test]
    fn local_addresses_are_recognised_in_every_notation() {
        for (ip, expected) in [
            ("127.0.0.1", "loopback"),
            ("127.9.9.9", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::127.0.0.1", "loopback"),
            ("64:ff9b::7f00:1", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("169.254.1.1", "link-local"),
            ("fe80::1", "link-local"),
            ("169.254.169.254", "cloud metadata"),
            ("::ffff:169.254.169.254", "cloud metadata"),
            ("fd00:ec2::254", "cloud metadata"),
            ("100.100.100.200", "cloud metadata"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "broadcast"),
        ] {
            assert_eq!(kind(ip), Some(expected), "{ip}");
        }
        for ip in
            ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "1.1.1.1", "2606::1"]
        {
            assert_eq!(kind(ip), None, "{ip}");
        }
    }

    #[test]
    fn local_addresses_are_removed_from_the_addresses_of_a_name() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 80)).collect()
        };
        let admit = |name, texts: &[&str]| admitted(name, addresses(texts).into_iter());
        assert_eq!(
            admit("api.example", &["127.0.0.1", "10.0.0.5", "::1"]).unwrap(),
            addresses(&["10.0.0.5"])
        );
        let refused = admit("api.example", &["::1", "127.0.0.1"]).unwrap_err();
        assert_eq!(refused.to_string(), "the name resolves to ::1, a loopback address");
        assert_eq!(admit("LocalHost.", &["127.0.0.1"]).unwrap(), addresses(&["127.0.0.1"]));
        assert_eq!(admit("api.example", &[]).unwrap(), []);
        assert!(admit("x.localhost", &["127.0.0.1"]).is_err());
    }
}
