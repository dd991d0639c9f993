//! Validation of the candidates that a mode returns: which addresses are kept, and why others
//! are dropped.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use convoke_text::escaped;
use serde::Serialize;

use crate::bindings::types;
use crate::limits;
use crate::member::LocalMember;
use crate::zone::interface_index;

/// An address at which a member may be listening. Untrusted: a handshake has to confirm it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The address to connect to. A link-local IPv6 address carries the zone that the mode
    /// named, if any.
    pub address: SocketAddr,
    /// Hints from the mode, such as `zone`. Untrusted.
    pub attributes: Vec<(String, String)>,
}

/// The validated result of one call of `discover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Each address once, in the mode's order.
    pub candidates: Vec<Candidate>,
    /// The first [`limits::DROPPED_KEPT_MAX`] dropped candidates.
    pub dropped: Vec<Dropped>,
    /// The number of dropped candidates, including those that are not in `dropped`.
    pub dropped_count: usize,
    /// True if a member that is not listed is known to be gone.
    pub complete: bool,
    /// The interval after which the mode asks to be called again.
    pub look_again: Option<Duration>,
    /// Why this result is not evidence that no other member exists, as text: an address could
    /// not be determined, or every entry is unusable. A member does not found a cluster on such
    /// a result. `None` for a conclusive result, including an empty one.
    pub doubt: Option<String>,
}

/// A candidate that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The address that the mode returned, on one line of bounded length.
    pub address: String,
    /// Why it was dropped.
    pub reason: DropReason,
}

/// Why a candidate was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// Not an IP literal, such as a name or a mistyped address.
    #[error("not an IPv4 or IPv6 literal; a mode resolves names itself")]
    NotAnAddress,
    /// `0.0.0.0` or `::`.
    #[error("the unspecified address, which is not reachable")]
    Unspecified,
    /// A multicast group.
    #[error("a multicast group, not the address of a member")]
    Multicast,
    /// `255.255.255.255`.
    #[error("the broadcast address, not the address of a member")]
    Broadcast,
    /// A link-local address (`fe80::…`) with a zone that is not an interface of this host.
    #[error("its zone is not an interface of this host; expected one such as fe80::1%eth0")]
    NoSuchInterface,
    /// Port 0.
    #[error("port 0, which no process can listen on")]
    PortZero,
    /// Already in the snapshot.
    #[error("listed before")]
    Duplicate,
    /// The address of this member.
    #[error("this member itself")]
    ThisMember,
    /// A name that the mode marked with the attribute `unresolved`.
    #[error("cannot be resolved at present")]
    Unresolved,
    /// Beyond [`limits::CANDIDATES_MAX`].
    #[error("beyond the {max} candidates of one snapshot", max = limits::CANDIDATES_MAX)]
    TooMany,
}

impl DropReason {
    /// Whether the entry indicates that a member may exist, without a usable address.
    fn is_unusable(self) -> bool {
        match self {
            Self::NotAnAddress
            | Self::Unspecified
            | Self::Multicast
            | Self::Broadcast
            | Self::NoSuchInterface
            | Self::PortZero => true,
            Self::Duplicate | Self::ThisMember | Self::Unresolved | Self::TooMany => false,
        }
    }
}

/// The attribute with which a mode marks a candidate whose address is a name, or other text for
/// people, that could not be resolved in this call. The attribute's value is the reason.
pub(crate) const UNRESOLVED: &str = "unresolved";

/// Entries that the text of a doubt lists.
const SHOWN_MAX: usize = 3;

/// Why a call failed, as the mode reports it, classified by how the host reacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", content = "text", rename_all = "kebab-case")]
pub enum Problem {
    /// Only an operator can fix it; the mode is not called again.
    #[error("{0}")]
    Misconfigured(String),
    /// A capability was denied; the mode is not called again.
    #[error("{0}")]
    Denied(String),
    /// It may recover; the mode is called again.
    #[error("{0}")]
    Temporary(String),
    /// Any other failure; the mode is called again.
    #[error("{0}")]
    Failed(String),
}

impl Problem {
    /// The name of its WIT case.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Misconfigured(_) => "misconfigured",
            Self::Denied(_) => "denied",
            Self::Temporary(_) => "temporary",
            Self::Failed(_) => "failed",
        }
    }
}

impl From<types::Problem> for Problem {
    fn from(problem: types::Problem) -> Self {
        let line = |text: String| escaped(&text, limits::LINE_BYTES_MAX);
        match problem {
            types::Problem::Misconfigured(text) => Self::Misconfigured(line(text)),
            types::Problem::Denied(text) => Self::Denied(line(text)),
            types::Problem::Temporary(text) => Self::Temporary(line(text)),
            types::Problem::Failed(text) => Self::Failed(line(text)),
        }
    }
}

/// Validates what a mode returned. A candidate without a port is expanded to one on each of
/// `default_ports`.
pub(crate) fn vet(raw: types::Snapshot, local: &LocalMember, default_ports: &[u16]) -> Snapshot {
    let mut snapshot = Snapshot {
        complete: raw.complete,
        look_again: raw.look_again_ms.map(|ms| Duration::from_millis(ms.into())),
        ..Snapshot::default()
    };
    let mut seen = HashSet::new();
    let (mut unresolved, mut unusable) = (Inconclusive::default(), Inconclusive::default());
    for candidate in raw.candidates {
        let host = match parse(&candidate.address) {
            Ok(host) => host,
            Err(reason) => {
                let why = candidate.attributes.iter().find(|(key, _)| key == UNRESOLVED);
                let reason = if why.is_some() { DropReason::Unresolved } else { reason };
                let shown = snapshot.drop_one(&candidate.address, candidate.port, reason);
                match why {
                    Some((_, why)) => unresolved.add(&shown, &escaped(why, SHOWN_BYTES_MAX)),
                    None => unusable.add(&shown, &reason),
                }
                continue;
            }
        };
        let attributes = bounded(candidate.attributes);
        let own_port = candidate.port.as_slice();
        for port in if own_port.is_empty() { default_ports } else { own_port } {
            let mut address = host;
            address.set_port(*port);
            match drop_reason(address, local, &seen, snapshot.candidates.len()) {
                Some(reason) => {
                    let shown = snapshot.drop_one(&candidate.address, Some(*port), reason);
                    if reason.is_unusable() {
                        unusable.add(&shown, &reason);
                    }
                }
                None => {
                    seen.insert(address);
                    snapshot.candidates.push(Candidate { address, attributes: attributes.clone() });
                }
            }
        }
    }
    snapshot.doubt = match (unresolved.count, unusable.count) {
        (1.., _) => Some(unresolved.describe("some addresses could not be resolved")),
        // Usable entries make the result conclusive.
        (0, 1..) if snapshot.candidates.is_empty() => {
            Some(unusable.describe("none of the candidates can be used"))
        }
        _ => None,
    };
    snapshot
}

/// Bytes shown of an address, and of the reason why it could not be resolved.
const SHOWN_BYTES_MAX: usize = 100;

/// Entries that make a result inconclusive: their number, and the first few as text.
#[derive(Default)]
struct Inconclusive {
    count: usize,
    shown: Vec<String>,
}

impl Inconclusive {
    fn add(&mut self, what: &str, why: &dyn std::fmt::Display) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{what}: {why}"));
        }
    }

    fn describe(&self, what: &str) -> String {
        let more = match self.count - self.shown.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        format!("{what} ({}{more})", self.shown.join("; "))
    }
}

impl Snapshot {
    /// Drops an entry. Returns its address as it is shown.
    fn drop_one(&mut self, address: &str, port: Option<u16>, reason: DropReason) -> String {
        let shown = escaped(address, SHOWN_BYTES_MAX);
        let address = match port {
            Some(port) if shown.contains(':') => format!("[{shown}]:{port}"),
            Some(port) => format!("{shown}:{port}"),
            None => shown,
        };
        self.dropped_count += 1;
        if self.dropped.len() < limits::DROPPED_KEPT_MAX {
            self.dropped.push(Dropped { address: address.clone(), reason });
        }
        address
    }
}

/// Parses an IP literal into an address without a port. A link-local address may name its zone,
/// an interface of this host; without a zone, this member's link is meant.
fn parse(text: &str) -> Result<SocketAddr, DropReason> {
    let (ip, zone) = match text.split_once('%') {
        None => (text.parse::<IpAddr>().map_err(|_| DropReason::NotAnAddress)?, None),
        Some((ip, zone)) => {
            let ip: Ipv6Addr = ip.parse().map_err(|_| DropReason::NotAnAddress)?;
            (ip.into(), Some(zone))
        }
    };
    match ip.to_canonical() {
        ip if ip.is_unspecified() => Err(DropReason::Unspecified),
        ip if ip.is_multicast() => Err(DropReason::Multicast),
        IpAddr::V4(ip) if ip.is_broadcast() => Err(DropReason::Broadcast),
        IpAddr::V4(ip) => Ok(SocketAddr::new(ip.into(), 0)),
        IpAddr::V6(ip) if !ip.is_unicast_link_local() => Ok(SocketAddr::new(ip.into(), 0)),
        IpAddr::V6(ip) => {
            let index = zone.map_or(Some(0), interface_index).ok_or(DropReason::NoSuchInterface)?;
            Ok(SocketAddrV6::new(ip, 0, 0, index).into())
        }
    }
}

fn drop_reason(
    address: SocketAddr,
    local: &LocalMember,
    seen: &HashSet<SocketAddr>,
    count: usize,
) -> Option<DropReason> {
    if address.port() == 0 {
        Some(DropReason::PortZero)
    } else if address.port() == local.port && local.addresses.contains(&address.ip()) {
        Some(DropReason::ThisMember)
    } else if seen.contains(&address) {
        Some(DropReason::Duplicate)
    } else if count == limits::CANDIDATES_MAX {
        Some(DropReason::TooMany)
    } else {
        None
    }
}

fn bounded(mut attributes: Vec<(String, String)>) -> Vec<(String, String)> {
    attributes.retain(|(key, value)| {
        key.len() <= limits::ATTRIBUTE_BYTES_MAX && value.len() <= limits::ATTRIBUTE_BYTES_MAX
    });
    attributes.truncate(limits::ATTRIBUTES_MAX);
    attributes
}

#[cfg(test)]
mod tests {
    use super::{DropReason, Snapshot, vet};
    use crate::bindings::types;
    use crate::limits;
    use crate::member::LocalMember;

    fn local() -> LocalMember {
        LocalMember {
            cluster_name: "development".into(),
            member_id: "7c1b".into(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            port: 6900,
            attributes: Vec::new(),
        }
    }

    fn candidate(address: &str, port: Option<u16>) -> types::Candidate {
        types::Candidate { address: address.into(), port, attributes: Vec::new() }
    }

    fn vetted(candidates: Vec<types::Candidate>) -> Snapshot {
        let raw = types::Snapshot { candidates, complete: false, look_again_ms: None };
        vet(raw, &local(), &[6900, 6901, 6902])
    }

    fn addresses(snapshot: &Snapshot) -> Vec<String> {
        snapshot.candidates.iter().map(|candidate| candidate.address.to_string()).collect()
    }

    #[test]
    fn a_candidate_without_a_port_is_tried_on_the_default_ports() {
        let snapshot = vetted(vec![candidate("10.0.0.2", None), candidate("::1", Some(7000))]);
        assert_eq!(
            addresses(&snapshot),
            ["10.0.0.2:6900", "10.0.0.2:6901", "10.0.0.2:6902", "[::1]:7000"]
        );
        assert_eq!(snapshot.dropped, []);
    }

    #[test]
    fn unusable_addresses_are_dropped_with_a_reason() {
        for (address, reason) in [
            ("member.example", DropReason::NotAnAddress),
            ("10.0.0.300", DropReason::NotAnAddress),
            ("10.0.0.2:6900", DropReason::NotAnAddress),
            ("", DropReason::NotAnAddress),
            ("10.0.0.2%1", DropReason::NotAnAddress),
            ("fe80::1%nosuch0", DropReason::NoSuchInterface),
            ("0.0.0.0", DropReason::Unspecified),
            ("::", DropReason::Unspecified),
            ("224.2.2.4", DropReason::Multicast),
            ("ff02::1", DropReason::Multicast),
            ("::ffff:224.2.2.4", DropReason::Multicast),
            ("255.255.255.255", DropReason::Broadcast),
            ("fe80::1%0", DropReason::NoSuchInterface),
        ] {
            let snapshot = vetted(vec![candidate(address, Some(6900))]);
            assert_eq!(snapshot.candidates, [], "{address}");
            assert_eq!(snapshot.dropped[0].reason, reason, "{address}");
        }
        assert_eq!(
            vetted(vec![candidate("10.0.0.2", Some(0))]).dropped[0].reason,
            DropReason::PortZero
        );
        let snapshot = vetted(vec![candidate("evil\nname", Some(1))]);
        assert_eq!(snapshot.dropped[0].address, "evil\\nname:1");
    }

    #[test]
    fn addresses_are_normalized_and_deduplicated() {
        let snapshot = vetted(vec![
            candidate("10.0.0.2", Some(6900)),
            candidate("::ffff:10.0.0.2", Some(6900)),
            candidate("fe80::1%2", Some(6900)),
            candidate("fe80::1", Some(6900)),
            candidate("2001:db8::7%2", Some(6900)),
        ]);
        assert_eq!(
            addresses(&snapshot),
            ["10.0.0.2:6900", "[fe80::1%2]:6900", "[fe80::1]:6900", "[2001:db8::7]:6900"]
        );
        assert_eq!(snapshot.dropped[0].reason, DropReason::Duplicate);
    }

    #[test]
    fn a_result_without_usable_candidates_is_inconclusive_and_an_empty_one_is_not() {
        let doubt = |candidates| vetted(candidates).doubt;
        assert_eq!(doubt(vec![]), None, "an empty result is conclusive");
        assert_eq!(
            doubt(vec![candidate("10.0.0.1", Some(6900))]),
            None,
            "a result with only this member is conclusive"
        );
        assert_eq!(
            doubt(vec![candidate("a.example", Some(1)), candidate("10.0.0.2", Some(0))]).unwrap(),
            "none of the candidates can be used (a.example:1: not an IPv4 or IPv6 literal; a mode resolves names itself; 10.0.0.2:0: port 0, which no process can listen on)"
        );
        let beside_this_member = vec![candidate("10.0.0.1", Some(6900)), candidate("::", None)];
        assert!(doubt(beside_this_member).is_some(), "the other entry is unusable");
        let one_is_usable = vec![candidate("a.example", Some(1)), candidate("10.0.0.2", Some(1))];
        assert_eq!(doubt(one_is_usable), None);
        let many = (0..9).map(|n| candidate(&format!("m{n}"), None)).collect();
        assert!(doubt(many).unwrap().ends_with("; and 6 more)"));
    }

    #[test]
    fn an_unresolved_candidate_makes_a_result_inconclusive() {
        let mut unresolved = candidate("b.example", Some(6900));
        unresolved.attributes.push(("unresolved".into(), "no answer\nfrom 10.0.0.53".into()));
        let snapshot = vetted(vec![candidate("10.0.0.2", Some(1)), unresolved.clone()]);
        assert_eq!(addresses(&snapshot), ["10.0.0.2:1"]);
        assert_eq!(snapshot.dropped[0].reason, DropReason::Unresolved);
        assert_eq!(
            snapshot.doubt.unwrap(),
            "some addresses could not be resolved (b.example:6900: no answer\\nfrom 10.0.0.53)"
        );
        // The attribute is ignored on an address that is usable.
        unresolved.address = "10.0.0.3".into();
        assert_eq!(vetted(vec![unresolved]).doubt, None);
    }

    #[test]
    fn the_members_own_address_is_dropped() {
        let snapshot = vetted(vec![candidate("10.0.0.1", None)]);
        assert_eq!(addresses(&snapshot), ["10.0.0.1:6901", "10.0.0.1:6902"]);
        assert_eq!(snapshot.dropped[0].reason, DropReason::ThisMember);
    }

    #[test]
    fn a_snapshot_and_its_attributes_are_bounded() {
        let many = (0..70_000_u32)
            .map(|n| candidate(&std::net::Ipv4Addr::from(0x0a01_0000 + n).to_string(), Some(1)))
            .collect();
        let snapshot = vetted(many);
        assert_eq!(snapshot.candidates.len(), limits::CANDIDATES_MAX);
        assert_eq!(snapshot.dropped_count, 70_000 - limits::CANDIDATES_MAX);
        assert_eq!(snapshot.dropped.len(), limits::DROPPED_KEPT_MAX);

        let mut noisy = candidate("10.0.0.2", Some(1));
        noisy.attributes = vec![("zone".into(), "a".into()); 40];
        noisy.attributes.insert(0, ("long".into(), "x".repeat(5000)));
        let snapshot = vetted(vec![noisy]);
        assert_eq!(snapshot.candidates[0].attributes.len(), limits::ATTRIBUTES_MAX);
        assert_eq!(snapshot.candidates[0].attributes[0].0, "zone");
    }

    /// The addresses that a mode returns, one on each line; the port of all, from the first byte.
    #[test]
    fn fuzz_candidates() {
        let samples = [
            "\x0010.0.0.2\nfd00::7\nfe80::1%lo\n10.0.0.2",
            "\x010.0.0.0\n224.2.2.4\n255.255.255.255\n::ffff:10.0.0.1\nff02::1\n::",
            "\x7fa.example\n10.0.0.300\n [::1]\n::1%\nfe80::1%nosuch\n",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Some((port, bytes)) = bytes.split_first() else { return };
            let port = port.checked_sub(1).map(u16::from);
            let text = String::from_utf8_lossy(bytes);
            let snapshot = vetted(text.lines().map(|line| candidate(line, port)).collect());
            for candidate in &snapshot.candidates {
                let ip = candidate.address.ip();
                assert!(!ip.is_unspecified() && !ip.is_multicast());
                assert!(candidate.address.port() != 0);
            }
            assert!(snapshot.candidates.len() + snapshot.dropped_count >= text.lines().count());
            for dropped in &snapshot.dropped {
                assert!(!dropped.address.contains('\n'));
            }
        });
    }
}
