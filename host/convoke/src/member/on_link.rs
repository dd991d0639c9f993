//! Rate limit for calls to networks that this host is directly connected to.
//!
//! Before the system sends to an on-link address it resolves the address (ARP, neighbour discovery)
//! and keeps the attempt in the neighbour table, which is small and shared by all processes of the
//! host. An unused address stays there for three seconds. While the table is full, all new
//! connections fail silently, those to members as well. So a range must be called no faster than
//! the table expires entries. Addresses behind a router do not use the table.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use if_addrs::IfAddr;
use ipnet::IpNet;
use tokio::time::Instant;

/// The maximum size of the neighbour table on Linux; absent in containers.
const TABLE_ENTRIES: &str = "/proc/sys/net/ipv4/neigh/default/gc_thresh3";
/// The default size of the neighbour table.
const TABLE_ENTRIES_DEFAULT: u32 = 1_024;
/// An unused address is dropped after three requests, one a second.
const FORGOTTEN_AFTER_S: u32 = 3;

/// The on-link networks of this host.
#[derive(Default)]
pub(super) struct OnLink(Vec<IpNet>);

impl OnLink {
    /// The current networks of this host; empty if they cannot be read.
    pub(super) fn now() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        // Addresses in the networks of the loopback interface are not resolved.
        let loopback: HashSet<String> =
            interfaces.iter().filter(|i| i.is_loopback()).map(|i| i.name.clone()).collect();
        let networks = interfaces.into_iter().filter(|i| !loopback.contains(&i.name));
        let networks = networks.filter_map(|interface| match interface.addr {
            IfAddr::V4(v4) => IpNet::new(v4.ip.into(), v4.prefixlen).ok(),
            IfAddr::V6(v6) => IpNet::new(v6.ip.into(), v6.prefixlen).ok(),
        });
        Self(networks.collect())
    }

    /// Whether the address is in one of the networks.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// Assigns the times at which on-link addresses may be called.
pub(super) struct Slots {
    /// Time between two addresses.
    interval: Duration,
    /// The idle time that may be compensated by a burst.
    burst: Duration,
    next: Option<Instant>,
    /// The last address and its time.
    last: Option<(IpAddr, Instant)>,
}

impl Slots {
    /// Limits the rate by the size of this host's neighbour table.
    pub(super) fn of_this_host() -> Self {
        let entries = fs::read_to_string(TABLE_ENTRIES).ok();
        let entries = entries.and_then(|text| text.trim().parse().ok());
        Self::of_table(entries.unwrap_or(TABLE_ENTRIES_DEFAULT))
    }

    /// Allows a quarter of the table at once, then a rate that keeps it below seven eighths, since
    /// the table has other entries as well.
    fn of_table(entries: u32) -> Self {
        let burst = (entries / 4).max(1);
        let per_second = (entries * 5 / 8 / FORGOTTEN_AFTER_S).max(1);
        let interval = Duration::from_secs(1) / per_second;
        Self { interval, burst: interval * burst, next: None, last: None }
    }

    /// The time at which this address may be called, `now` if possible. Further ports of the same
    /// address get the same time.
    pub(super) fn reserve(&mut self, now: Instant, ip: IpAddr) -> Instant {
        if let Some((last, slot)) = self.last
            && last == ip
        {
            return slot.max(now);
        }
        let rested = now.checked_sub(self.burst).unwrap_or(now);
        let slot = self.next.map_or(rested, |next| next.max(rested));
        self.next = Some(slot + self.interval);
        self.last = Some((ip, slot));
        slot.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_on_link_when_a_network_has_it() {
        let networks =
            ["10.0.0.7/16", "fd77::1/64", "192.168.0.1/32"].map(|text| text.parse().unwrap());
        let on_link = OnLink(networks.to_vec());
        for (ip, is) in [
            ("10.0.255.1", true),
            ("10.1.0.1", false),
            ("fd77::ffff:1", true),
            ("fd77:0:0:1::1", false),
            ("192.168.0.1", true),
            ("192.168.0.2", false),
        ] {
            assert_eq!(on_link.contains(ip.parse().unwrap()), is, "{ip}");
        }
    }

    #[test]
    fn loopback_is_not_an_on_link_network() {
        assert!(!OnLink::now().contains("127.0.0.1".parse().unwrap()));
    }

    fn ip(number: u32) -> IpAddr {
        number.to_be_bytes().into()
    }

    #[test]
    fn all_ports_of_an_address_get_the_same_time() {
        let start = Instant::now();
        let mut slots = Slots::of_table(1_024);
        let times: Vec<_> = (0..3_000).map(|n| slots.reserve(start, ip(n / 3))).collect();
        assert!(times.chunks(3).all(|ports| ports[0] == ports[1] && ports[1] == ports[2]));
        assert!(times[2_997] > start);
    }

    #[test]
    fn the_neighbour_table_never_fills_up() {
        let (entries, start) = (1_024, Instant::now());
        let mut slots = Slots::of_table(entries);
        let called: Vec<Instant> = (0..4_000).map(|n| slots.reserve(start, ip(n))).collect();
        assert!(called.is_sorted());
        assert_eq!(called[255], start, "the first 256 need not wait");
        for window in called.windows(entries as usize * 7 / 8) {
            let (first, last) = (window[0], window[window.len() - 1]);
            assert!(last - first >= Duration::from_secs(u64::from(FORGOTTEN_AFTER_S)) * 9 / 10);
        }
    }

    #[test]
    fn after_idle_time_the_same_burst_is_allowed_again() {
        let start = Instant::now();
        let mut slots = Slots::of_table(1_024);
        for n in 0..2_000 {
            slots.reserve(start, ip(n));
        }
        let later = start + Duration::from_secs(60);
        let at_once = (0..1_000).filter(|n| slots.reserve(later, ip(*n)) == later).count();
        assert!((256..=257).contains(&at_once), "{at_once}");
    }
}
