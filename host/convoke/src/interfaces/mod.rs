//! Chooses the addresses that a member binds and advertises.

mod local;
#[cfg(target_os = "linux")]
mod netlink;
mod rank;
pub(crate) mod zone;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::address_list::AddressList;
use crate::address_pattern::Pattern;
use crate::describe;
use crate::local_address::{LocalAddress, is_link_local};
pub(crate) use local::{Changes, local_addresses, source_to};
use rank::{RANK_OF_LOOPBACK_INTERFACE, RANK_REAL_MAX, rank};

/// The chosen addresses, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The address that is advertised first.
    pub(crate) primary: LocalAddress,
    /// All addresses to bind, advertise and use for multicast; includes the primary.
    pub(crate) all: Vec<LocalAddress>,
    /// The reason, for the log.
    pub(crate) reason: String,
    /// The other addresses, with the reasons why they were not chosen, for the log.
    pub(crate) others: Vec<String>,
}

impl Choice {
    /// The addresses to listen on, the primary first.
    pub(crate) fn to_bind(&self) -> Vec<IpAddr> {
        let others = self.all.iter().filter(|address| **address != self.primary);
        std::iter::once(self.primary.ip).chain(others.map(|address| address.ip)).collect()
    }
}

/// The input of the choice.
#[derive(Debug)]
pub(crate) struct Preferences {
    /// The patterns of `--interfaces`, in order.
    pub(crate) patterns: Vec<Pattern>,
    /// The member addresses that the operator listed.
    pub(crate) listed: AddressList,
}

/// Returns the source address that the system would use to reach an address.
pub(crate) type Route<'a> = &'a dyn Fn(IpAddr) -> Option<IpAddr>;

/// The routing table of this host.
pub(crate) fn system_route(to: IpAddr) -> Option<IpAddr> {
    source_to(SocketAddr::new(to, 1))
}

impl Preferences {
    /// Whether the operator configured no preference.
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.listed.is_empty()
    }

    /// Chooses among `have`: by `--interfaces` if it is set; otherwise the addresses that the
    /// member list names, or from which its members are reached; otherwise by rank.
    pub(crate) fn choose(&self, have: &[LocalAddress], route: Route<'_>) -> Result<Choice, String> {
        if self.patterns.is_empty() {
            choose_by_rank(&self.listed, have, route)
        } else {
            choose_by_patterns(&self.patterns, have)
        }
    }

    /// The patterns that match none of these addresses, when another pattern does.
    pub(crate) fn unmatched(&self, have: &[LocalAddress]) -> Vec<String> {
        let is_loopback =
            |pattern: &Pattern| matches!(pattern, Pattern::Exact(ip) if ip.is_loopback());
        let unmatched = self.patterns.iter().filter(|pattern| {
            !is_loopback(pattern) && !have.iter().any(|address| pattern.matches(address))
        });
        unmatched.map(ToString::to_string).collect()
    }

    /// Chooses again after this host's addresses changed. Remaining addresses of `before` keep
    /// their order, and a member stays on its interface while that has any address. Returns `None`
    /// when no remaining address is as reachable for other hosts as the primary was.
    pub(crate) fn choose_again(
        &self,
        have: &[LocalAddress],
        route: Route<'_>,
        before: &Choice,
    ) -> Option<Choice> {
        let primary = &before.primary;
        let there: Vec<LocalAddress> =
            have.iter().filter(|a| a.interface == primary.interface).cloned().collect();
        let on_interface = self.choose(&there, route).ok();
        let leads_out = |address: &LocalAddress| {
            !address.ip.is_loopback() && rank(address, have).0 != RANK_OF_LOOPBACK_INTERFACE
        };
        let usable = |choice: &Choice| {
            rank(&choice.primary, have).0 <= rank(primary, have).0.max(RANK_REAL_MAX)
                && (leads_out(&choice.primary) || !leads_out(primary))
        };
        let is_free = self.patterns.is_empty();
        let chosen = on_interface.filter(|choice| is_free && usable(choice));
        let mut fresh = chosen.or_else(|| self.choose(have, route).ok().filter(usable))?;
        let member_state = |address: &LocalAddress| {
            let known = before.all.iter().position(|known| known.ip == address.ip);
            known.unwrap_or(before.all.len())
        };
        let is_left = fresh.all.iter().any(|address| address.ip == primary.ip);
        fresh.all.sort_by_key(|a| (!is_left && a.ip != fresh.primary.ip, member_state(a)));
        fresh.primary = fresh.all.first()?.clone();
        Some(fresh)
    }
}

fn choose_by_patterns(patterns: &[Pattern], have: &[LocalAddress]) -> Result<Choice, String> {
    let mut all: Vec<LocalAddress> = Vec::new();
    for pattern in patterns {
        let mut matching: Vec<_> = have.iter().filter(|a| pattern.matches(a)).cloned().collect();
        // Among the addresses of one interface, those that other hosts can dial come first.
        matching.sort_by_key(|a| (rank(a, have).0, a.traits.is_secondary));
        // All of 127.0.0.0/8 is loopback, though the system lists only 127.0.0.1.
        if let (Pattern::Exact(IpAddr::V4(ip)), true) = (pattern, matching.is_empty())
            && ip.is_loopback()
            && let Some(lo) = have.iter().find(|a| a.ip.is_loopback())
        {
            matching.push(LocalAddress { ip: IpAddr::V4(*ip), ..lo.clone() });
        }
        for address in matching {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    let list: Vec<_> = patterns.iter().map(ToString::to_string).collect();
    let Some(primary) = all.first().cloned() else {
        return Err(format!(
            "--interfaces {}: no address of this host matches; it has {}",
            list.join(","),
            describe::list(have)
        ));
    };
    let is_alike = |other: &&LocalAddress| other.ip == primary.ip;
    if zone::has(primary.ip)
        && let Some(other) = all.iter().filter(is_alike).nth(1)
    {
        return Err(format!(
            "--interfaces {}: {ip} is an address of both {} and {}; name the interface, as in {ip}%{}",
            list.join(","),
            primary.interface,
            other.interface,
            primary.interface,
            ip = primary.ip,
        ));
    }
    // All link-local addresses are assumed to be on the interface of the primary (see `zone`).
    all.retain(|address| *address == primary || !is_link_local(address.ip));
    let others = unchosen(have, &all);
    Ok(Choice { primary, all, reason: format!("matches --interfaces {}", list.join(",")), others })
}

fn choose_by_rank(
    listed: &AddressList,
    have: &[LocalAddress],
    route: Route<'_>,
) -> Result<Choice, String> {
    // Other members look for this one at the addresses in the list.
    let is_listed = |address: &&LocalAddress| {
        listed.contains(address) && (listed.is_loopback_only() || !address.ip.is_loopback())
    };
    let default = [Ipv4Addr::new(192, 0, 2, 1).into(), DOCUMENTATION_V6.into()].map(route);
    let order = |a: &&LocalAddress| {
        let leads_far = default.contains(&Some(a.ip));
        (rank(a, have).0, a.traits.is_temporary, a.traits.is_secondary, !leads_far, a.index)
    };
    let named = have.iter().filter(is_listed).min_by_key(order);
    let (primary, reason) = if let Some(named) = named {
        (named, "it is in the member list".to_owned())
    } else if let Some(leading) = leads_to(listed, have, route) {
        (leading, "it is on the route to the listed members".to_owned())
    } else {
        let best = have.iter().min_by_key(order);
        let best = best.ok_or("this host has no network address, not even loopback")?;
        (best, rank(best, have).1.to_owned())
    };
    let mut all: Vec<LocalAddress> = have
        .iter()
        .filter(|a| a.interface == primary.interface && *a != primary)
        .filter(|a| !is_link_local(a.ip) && !a.traits.is_temporary && fits(primary, a))
        .cloned()
        .collect();
    all.sort_by_key(|a| (a.traits.is_secondary, a.ip.is_ipv6()));
    all.insert(0, primary.clone());
    let others = unchosen(have, &all);
    Ok(Choice { primary: primary.clone(), all, reason, others })
}

/// An address in the documentation prefix (RFC 3849), which no host uses: its route is the default
/// route.
const DOCUMENTATION_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Whether both are loopback, or neither is; only such addresses are bound together.
fn fits(primary: &LocalAddress, other: &LocalAddress) -> bool {
    primary.ip.is_loopback() == other.ip.is_loopback()
}

/// The address from which most of the listed members are reached.
fn leads_to<'a>(
    listed: &AddressList,
    have: &'a [LocalAddress],
    route: Route<'_>,
) -> Option<&'a LocalAddress> {
    let usable =
        |ip: IpAddr| !is_link_local(ip) && (listed.is_loopback_only() || !ip.is_loopback());
    let source = |(to, zone): (IpAddr, Option<&str>)| match zone {
        Some(zone) => have.iter().find(|own| zone::has(own.ip) && own.is_on(zone)),
        None => {
            let source = route(to).filter(|ip| usable(*ip))?;
            have.iter().find(|own| own.ip == source)
        }
    };
    let sources: Vec<&LocalAddress> = listed.sample().filter_map(source).collect();
    let count = |own: &LocalAddress| sources.iter().filter(|source| **source == own).count();
    // On a tie, the first one is chosen.
    have.iter().rev().filter(|own| count(own) > 0).max_by_key(|own| count(own))
}

fn unchosen(have: &[LocalAddress], chosen: &[LocalAddress]) -> Vec<String> {
    have.iter()
        .filter(|a| !chosen.contains(a))
        .map(|a| format!("{a}: {}", rank(a, have).1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::local::mark_single;
    use super::*;
    use crate::local_address::Traits;

    fn machine() -> Vec<LocalAddress> {
        [
            ("lo", 1, "127.0.0.1"),
            ("lo", 1, "::1"),
            ("docker0", 2, "172.17.0.1"),
            ("eth0", 3, "fe80::1"),
            ("eth0", 3, "fd00::2"),
            ("eth0", 3, "10.1.2.3"),
            ("eth1", 4, "192.168.7.9"),
        ]
        .map(|(interface, index, ip)| address(interface, index, ip))
        .to_vec()
    }

    /// An address in a network of the default prefix length.
    fn address(interface: &str, index: u32, ip: &str) -> LocalAddress {
        let (ip, prefix) = ip.split_once('/').unwrap_or((ip, ""));
        let ip: IpAddr = ip.parse().unwrap();
        LocalAddress {
            interface: interface.into(),
            index: Some(index),
            prefix: prefix.parse().unwrap_or(if ip.is_ipv4() { 24 } else { 64 }),
            ip,
            traits: Traits::default(),
        }
    }

    /// A route lookup on a system without routes.
    fn no_route(_: IpAddr) -> Option<IpAddr> {
        None
    }

    fn choose(patterns: &[Pattern], have: &[LocalAddress]) -> Result<Choice, String> {
        let preferences =
            Preferences { patterns: patterns.to_vec(), listed: AddressList::default() };
        preferences.choose(have, &no_route)
    }

    fn listing(list: &str) -> Preferences {
        let mut listed = AddressList::default();
        listed.add(list);
        Preferences { patterns: vec![], listed }
    }

    fn ips(choice: &Choice) -> Vec<String> {
        choice.all.iter().map(|address| address.ip.to_string()).collect()
    }

    #[test]
    fn the_member_list_decides_among_several_addresses() {
        let chosen = |list: &str| {
            let choice = listing(list).choose(&machine(), &no_route).unwrap();
            (choice.primary.ip.to_string(), choice.reason)
        };
        let named = |ip: &str| (ip.to_owned(), "it is in the member list".to_owned());
        assert_eq!(chosen("192.168.7.1-20"), named("192.168.7.9"));
        assert_eq!(chosen("127.0.0.1"), named("127.0.0.1"));
        assert_eq!(chosen("localhost, 192.168.7.9"), named("192.168.7.9"));
        assert_eq!(chosen("10.1.2.0/24,192.168.7.9"), named("10.1.2.3"));
        assert_eq!(chosen("[fd00::2]"), named("fd00::2"));
        // If none of this host's addresses is listed, the choice is the same as without a list, and
        // never loopback.
        for list in ["203.0.113.5", "127.0.0.1,203.0.113.5", "fe80::1%eth1"] {
            assert_eq!(chosen(list).0, "10.1.2.3", "{list}");
        }
    }

    #[test]
    fn a_link_local_address_is_chosen_when_the_list_names_it_or_its_interface() {
        let mut have = machine();
        have.push(address("eth1", 4, "fe80::1"));
        have.push(address("eth1", 4, "fe80::9"));
        let chosen = |list: &str| {
            let choice = listing(list).choose(&have, &no_route).unwrap();
            (choice.primary.to_string(), choice.to_bind())
        };
        let bound = |ip: &str, others: &[&str]| {
            [&[ip], others].concat().iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>()
        };
        for list in ["fe80::1%eth0", "[fe80::1%3]:6900", "fe80::7%eth0"] {
            let expected = ("fe80::1 (eth0)".into(), bound("fe80::1", &["10.1.2.3", "fd00::2"]));
            assert_eq!(chosen(list), expected, "{list}");
        }
        let expected = ("fe80::9 (eth1)".into(), bound("fe80::9", &["192.168.7.9"]));
        assert_eq!(chosen("fe80::9%eth1,fe80::8%eth1"), expected);
    }

    #[test]
    fn only_ipv4_link_local_addresses_are_chosen_by_rank() {
        let lo = address("lo", 1, "127.0.0.1");
        let chosen = |other: &str| {
            let have = [lo.clone(), address("eth0", 3, other)];
            choose(&[], &have).unwrap().primary.ip.to_string()
        };
        assert_eq!(chosen("169.254.7.7/16"), "169.254.7.7");
        assert_eq!(chosen("fe80::1"), "127.0.0.1");
    }

    #[test]
    fn an_address_on_several_interfaces_must_name_one() {
        let mut have = machine();
        have.push(address("eth1", 4, "fe80::1"));
        let chosen = |text: &str| {
            let choice = choose(&[text.parse().unwrap()], &have)?;
            Ok::<_, String>(choice.primary.to_string())
        };
        assert_eq!(chosen("fe80::1%eth1").unwrap(), "fe80::1 (eth1)");
        assert_eq!(chosen("fe80::1%3").unwrap(), "fe80::1 (eth0)");
        assert!(chosen("fe80::1").unwrap_err().contains("as in fe80::1%eth0"));
        assert!(chosen("fe80::1%eth2").unwrap_err().contains("no address of this host"));
        for wrong in ["fd00::2%eth0", "fe80::1%", "fe80::1%eth0%1", "10.1.2.3%eth0"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }

    fn chosen(list: &str) -> Result<Vec<String>, String> {
        let patterns: Vec<Pattern> =
            list.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect();
        choose(&patterns, &machine()).map(|c| c.all.iter().map(|a| a.ip.to_string()).collect())
    }

    #[test]
    fn without_preferences_the_first_physical_interface_is_chosen() {
        assert_eq!(chosen("").unwrap(), ["10.1.2.3", "fd00::2"]);
        let choice = choose(&[], &machine()).unwrap();
        assert_eq!(choice.reason, "a private IPv4 address on a physical interface");
        assert!(
            choice.others.iter().any(|o| o.starts_with("172.17.0.1 (docker0): on an interface to"))
        );
    }

    #[test]
    fn the_route_to_the_listed_members_decides_when_this_host_is_not_listed() {
        let route = |to: IpAddr| match to.to_string() {
            to if to.starts_with("192.168.") || to.starts_with("172.30.") => {
                Some("192.168.7.9".parse().unwrap())
            }
            to if to.starts_with("127.") => Some("127.0.0.1".parse().unwrap()),
            _ => Some("10.1.2.3".parse().unwrap()),
        };
        let chosen = |list: &str| listing(list).choose(&machine(), &route).unwrap();
        let choice = chosen("192.168.7.20,192.168.7.21");
        assert_eq!(ips(&choice), ["192.168.7.9"]);
        assert_eq!(choice.reason, "it is on the route to the listed members");
        assert_eq!(ips(&chosen("172.30.0.0/16")), ["192.168.7.9"], "through a router");
        assert_eq!(ips(&chosen("203.0.113.5,192.168.7.20,192.168.7.21")), ["192.168.7.9"]);
        assert_eq!(ips(&chosen("127.0.0.1,192.168.7.20")), ["192.168.7.9"]);
        assert_eq!(ips(&chosen("127.0.0.5")), ["127.0.0.1", "::1"]);
        assert_eq!(ips(&chosen("")), ["10.1.2.3", "fd00::2"]);
    }

    #[test]
    fn unreachable_and_virtual_addresses_are_not_the_primary() {
        let mut have = vec![
            address("lo", 1, "127.0.0.1/8"),
            address("lo", 1, "10.255.255.254/32"),
            address("eth0", 2, "203.0.113.9"),
        ];
        assert_eq!(ips(&choose(&[], &have).unwrap()), ["203.0.113.9"]);
        // A virtual address, as keepalived sets it, before and after the host's own.
        have = vec![address("eth0", 2, "10.0.0.100/32"), address("eth0", 2, "10.0.0.7")];
        mark_single(&mut have);
        assert_eq!(ips(&choose(&[], &have).unwrap()), ["10.0.0.7", "10.0.0.100"]);
        have = vec![address("eth0", 2, "10.0.0.5"), address("eth0", 2, "10.0.0.7")];
        have[0].traits.is_secondary = true;
        assert_eq!(ips(&choose(&[], &have).unwrap()), ["10.0.0.7", "10.0.0.5"]);
        // A single /32 or /128 on an interface, as some clouds and DHCPv6 assign it, is usable.
        have = vec![address("eth0", 2, "10.0.0.7/32"), address("eth0", 2, "fd00::7/128")];
        mark_single(&mut have);
        assert_eq!(ips(&choose(&[], &have).unwrap()), ["10.0.0.7", "fd00::7"]);
        // A temporary address is not advertised.
        have = vec![address("eth0", 2, "2001:db8::1"), address("eth0", 2, "2001:db8::2")];
        have[0].traits.is_temporary = true;
        assert_eq!(ips(&choose(&[], &have).unwrap()), ["2001:db8::2"]);
    }

    #[test]
    fn the_default_route_decides_between_equal_ranks() {
        let have = [address("eth0", 2, "10.0.0.7"), address("eth1", 3, "10.9.0.7")];
        let preferences = listing("");
        let by = |own: &'static str| move |_: IpAddr| Some(own.parse().unwrap());
        assert_eq!(ips(&preferences.choose(&have, &by("10.9.0.7")).unwrap()), ["10.9.0.7"]);
        assert_eq!(ips(&preferences.choose(&have, &by("10.0.0.7")).unwrap()), ["10.0.0.7"]);
        assert_eq!(ips(&preferences.choose(&have, &no_route).unwrap()), ["10.0.0.7"]);
    }

    #[test]
    fn remaining_addresses_keep_their_order_and_new_ones_follow() {
        let preferences = listing("");
        let lo = || address("lo", 1, "127.0.0.1/8");
        let before = vec![lo(), address("eth0", 2, "10.0.0.7"), address("eth1", 3, "10.9.0.7")];
        let first = preferences.choose(&before, &no_route).unwrap();
        let again = |have: &[LocalAddress], first: &Choice| {
            preferences.choose_again(have, &no_route, first).map(|choice| ips(&choice))
        };
        let more = [lo(), address("eth0", 2, "10.0.0.5"), address("eth0", 2, "10.0.0.7")];
        assert_eq!(again(&more, &first).unwrap(), ["10.0.0.7", "10.0.0.5"]);
        // DHCP assigned another address; the interface was replaced and has another index.
        let other = [lo(), address("eth1", 3, "10.9.0.7"), address("eth0", 9, "10.0.0.8")];
        assert_eq!(again(&other, &first).unwrap(), ["10.0.0.8"], "it stays on its interface");
        let elsewhere =
            [lo(), address("docker0", 5, "172.17.0.1"), address("wlan0", 6, "10.3.0.4")];
        assert_eq!(again(&elsewhere, &first).unwrap(), ["10.3.0.4"]);
        // No address is left that other hosts could dial.
        assert_eq!(again(&[lo(), address("docker0", 5, "172.17.0.1")], &first), None);
        let there = Preferences { patterns: vec!["eth0".parse().unwrap()], ..listing("") };
        assert!(there.choose_again(&elsewhere, &no_route, &first).is_none());
        // A link-local address ranks below loopback, and is still reachable for other hosts.
        let on_link = listing("fe80::7%eth0");
        let zoned = [lo(), address("eth0", 2, "fe80::7")];
        let first = on_link.choose(&zoned, &no_route).unwrap();
        assert_eq!(ips(&first), ["fe80::7"]);
        assert_eq!(on_link.choose_again(&[lo()], &no_route, &first).map(|c| ips(&c)), None);
        assert_eq!(
            on_link.choose_again(&zoned, &no_route, &first).map(|c| ips(&c)).unwrap(),
            ["fe80::7"]
        );
        // A member on loopback stays on loopback.
        let on_loopback =
            Preferences { patterns: vec!["127.0.0.1".parse().unwrap()], ..listing("") };
        let first = on_loopback.choose(&before, &no_route).unwrap();
        let choice = on_loopback.choose_again(&other, &no_route, &first).unwrap();
        assert_eq!(ips(&choice), ["127.0.0.1"]);
    }

    #[test]
    fn patterns_networks_and_names_are_applied_in_order() {
        assert_eq!(chosen("192.168.*.*,10.*.*.*").unwrap(), ["192.168.7.9", "10.1.2.3"]);
        assert_eq!(chosen("10.1.0.0/16").unwrap(), ["10.1.2.3"]);
        assert_eq!(chosen("fd00::/64").unwrap(), ["fd00::2"]);
        assert_eq!(chosen("10.1.2.1-5").unwrap(), ["10.1.2.3"]);
        assert_eq!(chosen("eth0").unwrap(), ["10.1.2.3", "fd00::2"]);
        assert_eq!(chosen("eth*").unwrap(), ["10.1.2.3", "192.168.7.9", "fd00::2"]);
        assert_eq!(chosen("10.1.2.3,eth0,10.*.*.*").unwrap()[0], "10.1.2.3");
        assert_eq!(chosen("::ffff:10.1.2.3").unwrap(), ["10.1.2.3"]);
        assert_eq!(chosen("FD00::2").unwrap(), ["fd00::2"]);
        assert_eq!(chosen("[::1]").unwrap(), ["::1"]);
        assert_eq!(chosen("0.0.0.0/0").unwrap().len(), 4);
        assert_eq!(chosen("127.0.0.9").unwrap(), ["127.0.0.9"]);
    }

    #[test]
    fn a_missing_interface_is_refused_with_the_available_addresses() {
        let refusal = chosen("192.0.2.77").unwrap_err();
        assert!(refusal.starts_with(
            "--interfaces 192.0.2.77: no address of this host matches; it has 127.0.0.1 (lo)"
        ));
    }

    #[test]
    fn all_chosen_addresses_that_others_can_dial_are_bound() {
        let bound = |list: &str| {
            let patterns: Vec<Pattern> = list.split(',').map(|t| t.parse().unwrap()).collect();
            let ips = choose(&patterns, &machine())?.to_bind();
            Ok::<_, String>(ips.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(bound("eth0").unwrap(), ["10.1.2.3", "fd00::2"]);
        assert_eq!(bound("fd00::/64,192.168.0.0/16").unwrap(), ["fd00::2", "192.168.7.9"]);
        assert_eq!(bound("fe80::1").unwrap(), ["fe80::1"], "all are on that link");
    }
}
