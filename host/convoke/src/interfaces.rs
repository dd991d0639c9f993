//! Which of this machine's addresses a member binds and tells others.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use crate::places::Places;

/// Prefixes of interfaces that lead to containers and virtual machines on
/// this host, not to other hosts.
const VIRTUAL: [&str; 11] = [
    "docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "cni", "flannel", "cali", "podman", "lxc",
];

/// One element of `--interfaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// An address as it is.
    Exact(IpAddr),
    /// IPv4 with a range in each place: `10.0.*.*`, `10.0.0.1-20`.
    Octets([(u8, u8); 4]),
    /// A network in CIDR form.
    Network(IpAddr, u8),
    /// An interface's name; with a `*` at its end, those that begin so.
    Name(String),
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalAddress {
    pub(crate) interface: String,
    pub(crate) index: Option<u32>,
    pub(crate) ip: IpAddr,
}

/// What was chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// To tell others first.
    pub(crate) primary: LocalAddress,
    /// To bind, to tell, and to use for multicast; the primary among them.
    pub(crate) all: Vec<LocalAddress>,
    /// For the log.
    pub(crate) reason: String,
    /// What was not chosen, for the log.
    pub(crate) others: Vec<String>,
}

impl Choice {
    /// Addresses to listen on, the primary first. Link-local ones lead nowhere
    /// without an interface's number, which others cannot know.
    pub(crate) fn to_bind(&self) -> Vec<IpAddr> {
        let others = self.all.iter().filter(|address| **address != self.primary);
        let others = others.filter(|address| !is_link_local(address.ip)).map(|address| address.ip);
        std::iter::once(self.primary.ip).chain(others).collect()
    }
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.ip, self.interface)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "{text:?} is not an address or interface; expected 10.0.0.5, 10.0.*.*, 10.0.0.1-20, 10.0.0.0/16, fd00::/64, ::1 or a name such as eth0 or eth*"
            )
        };
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => {
                return Err(format!(
                    "{text:?} is every address, and others cannot dial that; name those that they can, as in 10.0.*.* or eth0"
                ));
            }
            Ok(ip) => return Ok(Self::Exact(ip.to_canonical())),
            Err(_) => {}
        }
        if let Some((network, length)) = text.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_| malformed())?;
            let length: u8 = length.parse().map_err(|_| malformed())?;
            let longest = if network.is_ipv4() { 32 } else { 128 };
            return (length <= longest)
                .then_some(Self::Network(network, length))
                .ok_or_else(malformed);
        }
        let first = text.chars().next().ok_or_else(malformed)?;
        if first.is_ascii_digit() || first == '*' {
            let octets: Vec<_> =
                text.split('.').map(octet).collect::<Option<_>>().ok_or_else(malformed)?;
            return octets.try_into().map(Self::Octets).map_err(|_| malformed());
        }
        let front = text.strip_suffix('*').unwrap_or(text);
        let named =
            front.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@'));
        (named && text.len() <= 15).then(|| Self::Name(text.to_owned())).ok_or_else(malformed)
    }
}

fn octet(text: &str) -> Option<(u8, u8)> {
    if text == "*" {
        return Some((0, 255));
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some((low, high))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(ip) => ip.fmt(f),
            Self::Network(ip, length) => write!(f, "{ip}/{length}"),
            Self::Name(name) => f.write_str(name),
            Self::Octets(octets) => {
                let texts = octets.map(|octet| match octet {
                    (0, 255) => "*".to_owned(),
                    (low, high) if low == high => low.to_string(),
                    (low, high) => format!("{low}-{high}"),
                });
                f.write_str(&texts.join("."))
            }
        }
    }
}

impl Pattern {
    fn matches(&self, address: &LocalAddress) -> bool {
        match (self, address.ip) {
            (Self::Exact(ip), own) => *ip == own,
            (Self::Name(name), _) => match name.strip_suffix('*') {
                Some(front) => address.interface.starts_with(front),
                None => *name == address.interface,
            },
            (Self::Octets(octets), IpAddr::V4(own)) => octets
                .iter()
                .zip(own.octets())
                .all(|((low, high), octet)| (*low..=*high).contains(&octet)),
            (Self::Octets(_), IpAddr::V6(_)) => false,
            (Self::Network(IpAddr::V4(net), length), IpAddr::V4(own)) => {
                let shift = 32 - u32::from(*length);
                let head = |ip: Ipv4Addr| u32::from(ip).checked_shr(shift).unwrap_or(0);
                head(*net) == head(own)
            }
            (Self::Network(IpAddr::V6(net), length), IpAddr::V6(own)) => {
                let shift = 128 - u32::from(*length);
                let head = |ip: std::net::Ipv6Addr| u128::from(ip).checked_shr(shift).unwrap_or(0);
                head(*net) == head(own)
            }
            (Self::Network(..), _) => false,
        }
    }
}

/// The addresses of the interfaces that are up.
pub(crate) fn local_addresses() -> std::io::Result<Vec<LocalAddress>> {
    let mut addresses: Vec<_> = if_addrs::get_if_addrs()?
        .into_iter()
        .filter(if_addrs::Interface::is_oper_up_or_loopback)
        .map(|interface| LocalAddress {
            ip: interface.ip(),
            index: interface.index,
            interface: interface.name,
        })
        .collect();
    addresses.sort_by_key(|a| (a.index, a.ip));
    Ok(addresses)
}

trait Up {
    fn is_oper_up_or_loopback(&self) -> bool;
}

impl Up for if_addrs::Interface {
    /// Loopback reports its state as unknown.
    fn is_oper_up_or_loopback(&self) -> bool {
        self.is_loopback() || self.oper_status != if_addrs::IfOperStatus::Down
    }
}

/// Chooses among `have`: by `wanted`, in its order; else those that the operator's list of
/// members names, `listed`; else by itself.
pub(crate) fn choose(
    wanted: &[Pattern],
    listed: &Places,
    have: &[LocalAddress],
) -> Result<Choice, String> {
    if wanted.is_empty() { choose_freely(listed, have) } else { choose_wanted(wanted, have) }
}

fn choose_wanted(wanted: &[Pattern], have: &[LocalAddress]) -> Result<Choice, String> {
    let mut all: Vec<LocalAddress> = Vec::new();
    for pattern in wanted {
        let mut matching: Vec<_> = have.iter().filter(|a| pattern.matches(a)).cloned().collect();
        // Of all addresses of an interface, those that others can dial first.
        matching.sort_by_key(|a| rank(a).0);
        // 127.0.0.0/8 is loopback whole, though only 127.0.0.1 is listed.
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
    let list: Vec<_> = wanted.iter().map(ToString::to_string).collect();
    let Some(primary) = all.first().cloned() else {
        let have: Vec<_> = have.iter().map(ToString::to_string).collect();
        return Err(format!(
            "--interfaces {}: no address of this machine matches; it has {}",
            list.join(","),
            have.join(", ")
        ));
    };
    if let (IpAddr::V6(ip), true) = (primary.ip, is_link_local(primary.ip)) {
        return Err(format!(
            "--interfaces {}: {ip} is a link-local address, which others cannot dial; name one with a wider scope",
            list.join(",")
        ));
    }
    let others = unchosen(have, &all);
    Ok(Choice { primary, all, reason: format!("matches --interfaces {}", list.join(",")), others })
}

fn choose_freely(listed: &Places, have: &[LocalAddress]) -> Result<Choice, String> {
    // Others find this member where they look for it.
    let is_listed = |address: &&LocalAddress| {
        listed.name(address.ip)
            && (listed.are_loopback() || !address.ip.is_loopback())
            && !is_link_local(address.ip)
    };
    let by_rank = |a: &&LocalAddress| (rank(a).0, a.index, a.ip);
    let named = have.iter().filter(is_listed).min_by_key(by_rank);
    let Some(primary) = named.or_else(|| have.iter().min_by_key(by_rank)).cloned() else {
        return Err("this machine has no network address, not even loopback".into());
    };
    let all: Vec<_> = std::iter::once(primary.clone())
        .chain(have.iter().filter(|a| a.interface == primary.interface).cloned())
        .filter(|a| !is_link_local(a.ip))
        .fold(Vec::new(), |mut all, address| {
            if !all.contains(&address) {
                all.push(address);
            }
            all
        });
    let all = if all.is_empty() { vec![primary.clone()] } else { all };
    let reason = match named {
        Some(_) => "the list of members names it".to_owned(),
        None => rank(&primary).1.to_owned(),
    };
    let others = unchosen(have, &all);
    Ok(Choice { primary, all, reason, others })
}

fn unchosen(have: &[LocalAddress], chosen: &[LocalAddress]) -> Vec<String> {
    have.iter().filter(|a| !chosen.contains(a)).map(|a| format!("{a}: {}", rank(a).1)).collect()
}

/// Lower is better.
fn rank(address: &LocalAddress) -> (u8, &'static str) {
    let is_virtual = VIRTUAL.iter().any(|prefix| address.interface.starts_with(prefix));
    match address.ip {
        ip if ip.is_loopback() => (6, "loopback, this machine only"),
        ip if is_link_local(ip) => (5, "link-local"),
        _ if is_virtual => (4, "leads to containers or virtual machines on this host"),
        IpAddr::V4(ip) if ip.is_private() => (0, "a private IPv4 address of a real interface"),
        IpAddr::V4(_) => (1, "an IPv4 address of a real interface"),
        IpAddr::V6(_) => (2, "an IPv6 address of a real interface"),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        .map(|(interface, index, ip)| LocalAddress {
            interface: interface.into(),
            index: Some(index),
            ip: ip.parse().unwrap(),
        })
        .to_vec()
    }

    #[test]
    fn the_list_of_members_decides_among_several_addresses() {
        let chosen = |list: &str| {
            let mut listed = Places::default();
            listed.add(list);
            let choice = choose(&[], &listed, &machine()).unwrap();
            (choice.primary.ip.to_string(), choice.reason)
        };
        let named = |ip: &str| (ip.to_owned(), "the list of members names it".to_owned());
        assert_eq!(chosen("192.168.7.1-20"), named("192.168.7.9"));
        assert_eq!(chosen("127.0.0.1"), named("127.0.0.1"));
        assert_eq!(chosen("localhost, 192.168.7.9"), named("192.168.7.9"));
        assert_eq!(chosen("10.1.2.0/24,192.168.7.9"), named("10.1.2.3"));
        assert_eq!(chosen("[fd00::2]"), named("fd00::2"));
        // None of this machine's: as without a list, and not loopback beside others.
        for list in ["203.0.113.5", "127.0.0.1,203.0.113.5", "fe80::1"] {
            assert_eq!(chosen(list).0, "10.1.2.3", "{list}");
        }
    }

    fn chosen(list: &str) -> Result<Vec<String>, String> {
        let wanted: Vec<Pattern> =
            list.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect();
        choose(&wanted, &Places::default(), &machine())
            .map(|c| c.all.iter().map(|a| a.ip.to_string()).collect())
    }

    #[test]
    fn left_alone_it_takes_the_first_real_interface_and_says_why() {
        assert_eq!(chosen("").unwrap(), ["10.1.2.3", "fd00::2"]);
        let choice = choose(&[], &Places::default(), &machine()).unwrap();
        assert_eq!(choice.reason, "a private IPv4 address of a real interface");
        assert!(choice.others.iter().any(|o| o.starts_with("172.17.0.1 (docker0): leads to")));
    }

    #[test]
    fn patterns_networks_and_names_choose_in_their_order() {
        assert_eq!(chosen("192.168.*.*,10.*.*.*").unwrap(), ["192.168.7.9", "10.1.2.3"]);
        assert_eq!(chosen("10.1.0.0/16").unwrap(), ["10.1.2.3"]);
        assert_eq!(chosen("fd00::/64").unwrap(), ["fd00::2"]);
        assert_eq!(chosen("10.1.2.1-5").unwrap(), ["10.1.2.3"]);
        assert_eq!(chosen("eth0").unwrap(), ["10.1.2.3", "fd00::2", "fe80::1"]);
        assert_eq!(chosen("eth*").unwrap(), ["10.1.2.3", "192.168.7.9", "fd00::2", "fe80::1"]);
        assert_eq!(chosen("10.1.2.3,eth0,10.*.*.*").unwrap()[0], "10.1.2.3");
        assert_eq!(chosen("::ffff:10.1.2.3").unwrap(), ["10.1.2.3"]);
        assert_eq!(chosen("FD00::2").unwrap(), ["fd00::2"]);
        assert_eq!(chosen("[::1]").unwrap(), ["::1"]);
        assert_eq!(chosen("0.0.0.0/0").unwrap().len(), 4);
        assert_eq!(chosen("127.0.0.9").unwrap(), ["127.0.0.9"]);
    }

    #[test]
    fn an_interface_that_is_not_there_is_refused_with_what_there_is() {
        let refusal = chosen("192.0.2.77").unwrap_err();
        assert!(refusal.starts_with(
            "--interfaces 192.0.2.77: no address of this machine matches; it has 127.0.0.1 (lo)"
        ));
    }

    #[test]
    fn all_that_is_chosen_is_bound_but_what_others_cannot_dial() {
        let bound = |list: &str| {
            let wanted: Vec<Pattern> = list.split(',').map(|t| t.parse().unwrap()).collect();
            let ips = choose(&wanted, &Places::default(), &machine())?.to_bind();
            Ok::<_, String>(ips.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(bound("eth0").unwrap(), ["10.1.2.3", "fd00::2"]);
        assert_eq!(bound("fd00::/64,192.168.0.0/16").unwrap(), ["fd00::2", "192.168.7.9"]);
        assert!(
            bound("fe80::1").unwrap_err().contains("is a link-local address, which others cannot")
        );
    }

    #[test]
    fn every_address_is_none_that_others_can_dial() {
        for all in ["0.0.0.0", "::", "[::]"] {
            assert!(all.parse::<Pattern>().unwrap_err().contains("is every address"));
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "10.0.0", "10.0.0.300", "10.0.0.9-3", "10.0.0.0/33", "a b", "::1/129"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
