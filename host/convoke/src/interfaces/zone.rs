//! Link-local addresses and the card that they are on.
//!
//! `fe80::1` is an address of any card (RFC 4007): to bind or dial it, the system wants its zone,
//! the card's index, which is another one on each host. So members tell one another such
//! addresses without a zone, and each takes them for addresses on the card of its own first
//! address.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// The index of that card; 0 as long as there is none. A process is one member, and has one.
static CARD: AtomicU32 = AtomicU32::new(0);

/// From now on link-local addresses are on the card of this index.
pub(crate) fn set(card: Option<u32>) {
    CARD.store(card.unwrap_or(0), Ordering::Relaxed);
}

/// As the system wants the address: with the card, if it is link-local and has none.
pub(crate) fn with(address: SocketAddr) -> SocketAddr {
    with_card(address, CARD.load(Ordering::Relaxed))
}

/// As members tell the address: without the card.
pub(crate) fn without(address: SocketAddr) -> SocketAddr {
    without_card(address, CARD.load(Ordering::Relaxed))
}

/// Whether the address is IPv6, and leads only to hosts on one link.
pub(crate) fn has(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn with_card(mut address: SocketAddr, card: u32) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address
        && v6.ip().is_unicast_link_local()
        && v6.scope_id() == 0
    {
        v6.set_scope_id(card);
    }
    address
}

fn without_card(mut address: SocketAddr, card: u32) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address
        && v6.scope_id() == card
    {
        v6.set_scope_id(0);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_is_on_the_card_of_this_member_unless_it_has_another() {
        for (told, dialled) in [
            ("[fe80::1]:6900", "[fe80::1%3]:6900"),
            ("[fd00::1]:6900", "[fd00::1]:6900"),
            ("10.0.0.1:6900", "10.0.0.1:6900"),
        ] {
            let [told, dialled]: [SocketAddr; 2] =
                [told, dialled].map(|text| text.parse().unwrap());
            assert_eq!(with_card(told, 3), dialled);
            assert_eq!(without_card(dialled, 3), told);
        }
        let elsewhere = "[fe80::1%4]:6900".parse().unwrap();
        assert_eq!(with_card(elsewhere, 3), elsewhere);
        assert_eq!(without_card(elsewhere, 3), elsewhere);
    }
}
