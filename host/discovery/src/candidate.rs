//! What a mode may hand in as a place to look for members, and why one is dropped.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use serde::Serialize;

use crate::bindings::types;
use crate::limits;
use crate::mode::LocalMember;
use crate::text::one_line;
use crate::zone::interface_index;

/// A place where a member may be listening: a rumour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Where to dial; link-local IPv6 addresses come with the zone that the mode names, if any.
    pub address: SocketAddr,
    /// Hints of the mode, such as `zone`; not trusted.
    pub attributes: Vec<(String, String)>,
}

/// What one look found, cleaned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Each address once, in the mode's order.
    pub candidates: Vec<Candidate>,
    /// The first [`limits::DROPPED_KEPT_MAX`] that were dropped.
    pub dropped: Vec<Dropped>,
    /// How many were dropped, the ones that are not listed included.
    pub dropped_count: usize,
    /// True when a member that is not listed is certainly gone.
    pub complete: bool,
    /// When the mode thinks that another look is worth while.
    pub look_again: Option<Duration>,
    /// Why this look does not show that nobody else is there, in words: members may be at a
    /// place that could not be told, or every entry of the source is unusable. A member founds
    /// no cluster on such a look. `None` for an honest answer, an empty one included.
    pub doubt: Option<String>,
}

/// A candidate that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// What the mode gave, on one bounded line.
    pub address: String,
    /// Why it was dropped.
    pub reason: Refusal,
}

/// Why a candidate was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// A name, or a typing mistake.
    #[error("not an IPv4 or IPv6 literal; a mode resolves names itself")]
    NotAnAddress,
    /// `0.0.0.0` or `::`.
    #[error("the unspecified address, which no member listens on as seen from outside")]
    Unspecified,
    /// A multicast group.
    #[error("a multicast group, not the address of a member")]
    Multicast,
    /// `255.255.255.255`.
    #[error("the broadcast address, not the address of a member")]
    Broadcast,
    /// `fe80::…` with a zone that is none of this host's interfaces.
    #[error("its zone is no interface of this host; expected one as in fe80::1%eth0")]
    NoSuchInterface,
    /// Port 0.
    #[error("port 0, which nobody listens on")]
    PortZero,
    /// Already in the snapshot.
    #[error("listed before")]
    Duplicate,
    /// The member that is looking.
    #[error("this member itself")]
    ThisMember,
    /// A name that the mode marked with the attribute [`UNRESOLVED`].
    #[error("where it is cannot be told now")]
    Unresolved,
    /// Beyond [`limits::CANDIDATES_MAX`].
    #[error("beyond the {max} candidates of one snapshot", max = limits::CANDIDATES_MAX)]
    TooMany,
}

impl Refusal {
    /// Whether the entry says that somebody may be there, and not where.
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

/// The attribute by which a mode says that its candidate's address is a name, or another text
/// for people, whose place could not be told in this look; its value says why.
pub(crate) const UNRESOLVED: &str = "unresolved";

/// Entries that the words about a doubt show.
const SHOWN_MAX: usize = 3;

/// Why a call failed, in the mode's own words, sorted by what the host does about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", content = "text", rename_all = "kebab-case")]
pub enum Problem {
    /// Only an operator can mend it; the mode is not asked again.
    #[error("{0}")]
    Misconfigured(String),
    /// A capability was refused; the mode is not asked again.
    #[error("{0}")]
    Denied(String),
    /// It may pass; the mode is asked again.
    #[error("{0}")]
    Temporary(String),
    /// Anything else; the mode is asked again.
    #[error("{0}")]
    Failed(String),
}

impl Problem {
    /// Its case, as modes know it.
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
        let line = |text: String| one_line(&text, limits::LINE_BYTES_MAX);
        match problem {
            types::Problem::Misconfigured(text) => Self::Misconfigured(line(text)),
            types::Problem::Denied(text) => Self::Denied(line(text)),
            types::Problem::Temporary(text) => Self::Temporary(line(text)),
            types::Problem::Failed(text) => Self::Failed(line(text)),
        }
    }
}

/// Cleans what a mode returned. A candidate without a port stands for one on each
/// of `default_ports`.
pub(crate) fn vet(raw: types::Snapshot, local: &LocalMember, default_ports: &[u16]) -> Snapshot {
    let mut snapshot = Snapshot {
        complete: raw.complete,
        look_again: raw.look_again_ms.map(|ms| Duration::from_millis(ms.into())),
        ..Snapshot::default()
    };
    let mut seen = HashSet::new();
    let (mut unresolved, mut unusable) = (Doubts::default(), Doubts::default());
    for candidate in raw.candidates {
        let host = match parse(&candidate.address) {
            Ok(host) => host,
            Err(reason) => {
                let why = candidate.attributes.iter().find(|(key, _)| key == UNRESOLVED);
                let reason = if why.is_some() { Refusal::Unresolved } else { reason };
                let shown = snapshot.drop_one(&candidate.address, candidate.port, reason);
                match why {
                    Some((_, why)) => unresolved.add(&shown, &one_line(why, SHOWN_BYTES_MAX)),
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
            match refusal(address, local, &seen, snapshot.candidates.len()) {
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
        (1.., _) => Some(unresolved.in_words("members may be where this look could not tell")),
        // Some that can be used are an answer.
        (0, 1..) if snapshot.candidates.is_empty() => {
            Some(unusable.in_words("nothing that it found can be used"))
        }
        _ => None,
    };
    snapshot
}

/// Bytes that are shown of an address, and of why it could not be told.
const SHOWN_BYTES_MAX: usize = 100;

/// Entries that leave a look in doubt: how many, and the first few in words.
#[derive(Default)]
struct Doubts {
    count: usize,
    shown: Vec<String>,
}

impl Doubts {
    fn add(&mut self, what: &str, why: &dyn std::fmt::Display) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{what}: {why}"));
        }
    }

    fn in_words(&self, what: &str) -> String {
        let more = match self.count - self.shown.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        format!("{what} ({}{more})", self.shown.join("; "))
    }
}

impl Snapshot {
    /// Drops an entry, and gives it as it is shown.
    fn drop_one(&mut self, address: &str, port: Option<u16>, reason: Refusal) -> String {
        let shown = one_line(address, SHOWN_BYTES_MAX);
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

/// An IP literal as an address without a port. A link-local one may name its zone, an interface
/// of this host; without it, it is on the link of this member.
fn parse(text: &str) -> Result<SocketAddr, Refusal> {
    let (ip, zone) = match text.split_once('%') {
        None => (text.parse::<IpAddr>().map_err(|_| Refusal::NotAnAddress)?, None),
        Some((ip, zone)) => {
            let ip: Ipv6Addr = ip.parse().map_err(|_| Refusal::NotAnAddress)?;
            (ip.into(), Some(zone))
        }
    };
    match ip.to_canonical() {
        ip if ip.is_unspecified() => Err(Refusal::Unspecified),
        ip if ip.is_multicast() => Err(Refusal::Multicast),
        IpAddr::V4(ip) if ip.is_broadcast() => Err(Refusal::Broadcast),
        IpAddr::V4(ip) => Ok(SocketAddr::new(ip.into(), 0)),
        IpAddr::V6(ip) if !ip.is_unicast_link_local() => Ok(SocketAddr::new(ip.into(), 0)),
        IpAddr::V6(ip) => {
            let index = zone.map_or(Some(0), interface_index).ok_or(Refusal::NoSuchInterface)?;
            Ok(SocketAddrV6::new(ip, 0, 0, index).into())
        }
    }
}

fn refusal(
    address: SocketAddr,
    local: &LocalMember,
    seen: &HashSet<SocketAddr>,
    count: usize,
) -> Option<Refusal> {
    if address.port() == 0 {
        Some(Refusal::PortZero)
    } else if address.port() == local.port && local.addresses.contains(&address.ip()) {
        Some(Refusal::ThisMember)
    } else if seen.contains(&address) {
        Some(Refusal::Duplicate)
    } else if count == limits::CANDIDATES_MAX {
        Some(Refusal::TooMany)
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
    use super::{Refusal, Snapshot, vet};
    use crate::bindings::types;
    use crate::limits;
    use crate::mode::LocalMember;
    use proptest::prelude::*;

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
    fn a_candidate_without_a_port_stands_for_the_default_ports() {
        let snapshot = vetted(vec![candidate("10.0.0.2", None), candidate("::1", Some(7000))]);
        assert_eq!(
            addresses(&snapshot),
            ["10.0.0.2:6900", "10.0.0.2:6901", "10.0.0.2:6902", "[::1]:7000"]
        );
        assert_eq!(snapshot.dropped, []);
    }

    #[test]
    fn what_no_member_listens_on_is_dropped_with_its_reason() {
        for (address, reason) in [
            ("member.example", Refusal::NotAnAddress),
            ("10.0.0.300", Refusal::NotAnAddress),
            ("10.0.0.2:6900", Refusal::NotAnAddress),
            ("", Refusal::NotAnAddress),
            ("10.0.0.2%1", Refusal::NotAnAddress),
            ("fe80::1%nosuch0", Refusal::NoSuchInterface),
            ("0.0.0.0", Refusal::Unspecified),
            ("::", Refusal::Unspecified),
            ("224.2.2.4", Refusal::Multicast),
            ("ff02::1", Refusal::Multicast),
            ("::ffff:224.2.2.4", Refusal::Multicast),
            ("255.255.255.255", Refusal::Broadcast),
            ("fe80::1%0", Refusal::NoSuchInterface),
        ] {
            let snapshot = vetted(vec![candidate(address, Some(6900))]);
            assert_eq!(snapshot.candidates, [], "{address}");
            assert_eq!(snapshot.dropped[0].reason, reason, "{address}");
        }
        assert_eq!(
            vetted(vec![candidate("10.0.0.2", Some(0))]).dropped[0].reason,
            Refusal::PortZero
        );
        let snapshot = vetted(vec![candidate("evil\nname", Some(1))]);
        assert_eq!(snapshot.dropped[0].address, "evil\\nname:1");
    }

    #[test]
    fn an_address_is_kept_once_in_its_plainest_form() {
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
        assert_eq!(snapshot.dropped[0].reason, Refusal::Duplicate);
    }

    #[test]
    fn a_look_of_which_nothing_can_be_used_is_in_doubt_and_an_empty_one_is_not() {
        let doubt = |candidates| vetted(candidates).doubt;
        assert_eq!(doubt(vec![]), None, "nobody is an answer");
        assert_eq!(doubt(vec![candidate("10.0.0.1", Some(6900))]), None, "so is this member");
        assert_eq!(
            doubt(vec![candidate("a.example", Some(1)), candidate("10.0.0.2", Some(0))]).unwrap(),
            "nothing that it found can be used (a.example:1: not an IPv4 or IPv6 literal; a mode resolves names itself; 10.0.0.2:0: port 0, which nobody listens on)"
        );
        let beside_this_member = vec![candidate("10.0.0.1", Some(6900)), candidate("::", None)];
        assert!(doubt(beside_this_member).is_some(), "who is the other one?");
        let one_is_usable = vec![candidate("a.example", Some(1)), candidate("10.0.0.2", Some(1))];
        assert_eq!(doubt(one_is_usable), None);
        let many = (0..9).map(|n| candidate(&format!("m{n}"), None)).collect();
        assert!(doubt(many).unwrap().ends_with("; and 6 more)"));
    }

    #[test]
    fn a_place_that_could_not_be_told_leaves_a_look_in_doubt_beside_others() {
        let mut unresolved = candidate("b.example", Some(6900));
        unresolved.attributes.push(("unresolved".into(), "no answer\nfrom 10.0.0.53".into()));
        let snapshot = vetted(vec![candidate("10.0.0.2", Some(1)), unresolved.clone()]);
        assert_eq!(addresses(&snapshot), ["10.0.0.2:1"]);
        assert_eq!(snapshot.dropped[0].reason, Refusal::Unresolved);
        assert_eq!(
            snapshot.doubt.unwrap(),
            "members may be where this look could not tell (b.example:6900: no answer\\nfrom 10.0.0.53)"
        );
        // The mark means nothing on an address that can be called.
        unresolved.address = "10.0.0.3".into();
        assert_eq!(vetted(vec![unresolved]).doubt, None);
    }

    #[test]
    fn a_member_does_not_look_for_itself() {
        let snapshot = vetted(vec![candidate("10.0.0.1", None)]);
        assert_eq!(addresses(&snapshot), ["10.0.0.1:6901", "10.0.0.1:6902"]);
        assert_eq!(snapshot.dropped[0].reason, Refusal::ThisMember);
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

    proptest! {
        #[test]
        fn no_text_of_a_mode_becomes_an_address_that_must_not_be_dialled(
            addresses in prop::collection::vec(
                prop_oneof![".{0,40}", "[0-9.]{0,16}", "[0-9a-f:%]{0,24}"], 0..20),
            port: Option<u16>,
        ) {
            let given = addresses.len();
            let snapshot = vetted(addresses.iter().map(|text| candidate(text, port)).collect());
            for candidate in &snapshot.candidates {
                let ip = candidate.address.ip();
                prop_assert!(!ip.is_unspecified() && !ip.is_multicast());
                prop_assert!(candidate.address.port() != 0);
            }
            prop_assert!(snapshot.candidates.len() + snapshot.dropped_count >= given);
        }
    }
}
