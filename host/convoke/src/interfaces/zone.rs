//! Link-local IPv6 addresses and their interface.
//!
//! `fe80::1` may exist on every interface (RFC 4007). To bind or dial it, the system needs its
//! zone, the interface index, which differs between hosts. So members advertise such addresses
//! without a zone, and each member takes them to be on the interface of its own primary address.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// The index of that interface, or 0 if there is none. Global, since a process runs one member.
static INTERFACE: AtomicU32 = AtomicU32::new(0);

/// Sets the interface of link-local addresses.
pub(crate) fn set(index: Option<u32>) {
    INTERFACE.store(index.unwrap_or(0), Ordering::Relaxed);
}

/// The address as the system needs it: with the zone, if it is link-local and has none.
pub(crate) fn with(address: SocketAddr) -> SocketAddr {
    with_zone(address, INTERFACE.load(Ordering::Relaxed))
}

/// The address as members advertise it: without the zone.
pub(crate) fn without(address: SocketAddr) -> SocketAddr {
    without_zone(address, INTERFACE.load(Ordering::Relaxed))
}

/// Whether the address is IPv6 and link-local.
pub(crate) fn has(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn with_zone(mut address: SocketAddr, index: u32) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address
        && v6.ip().is_unicast_link_local()
        && v6.scope_id() == 0
    {
        v6.set_scope_id(index);
    }
    address
}

fn without_zone(mut address: SocketAddr, index: u32) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address
        && v6.scope_id() == index
    {
        v6.set_scope_id(0);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_gets_the_zone_of_this_member_unless_it_has_one() {
        for (advertised, dialled) in [
            ("[fe80::1]:6900", "[fe80::1%3]:6900"),
            ("[fd00::1]:6900", "[fd00::1]:6900"),
            ("10.0.0.1:6900", "10.0.0.1:6900"),
        ] {
            let [advertised, dialled]: [SocketAddr; 2] =
                [advertised, dialled].map(|text| text.parse().unwrap());
            assert_eq!(with_zone(advertised, 3), dialled);
            assert_eq!(without_zone(dialled, 3), advertised);
        }
        let elsewhere = "[fe80::1%4]:6900".parse().unwrap();
        assert_eq!(with_zone(elsewhere, 3), elsewhere);
        assert_eq!(without_zone(elsewhere, 3), elsewhere);
    }
}
