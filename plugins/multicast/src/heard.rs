//! The members that were heard recently.

use std::collections::BTreeMap;
use std::net::IpAddr;

use convoke_mode_sdk::Candidate;

/// Number of members that are kept. When it is exceeded, the one heard least recently is
/// dropped.
const MEMBERS_MAX: usize = 4_096;

/// Calls without a beacon after which a member is forgotten; [`CALLS_PER_MEMBER`] is added for
/// each known member. A call without datagrams lasts a second, but each beacon ends one early.
/// In a round of announcements every member sends once, so this is about a minute in a small
/// cluster, and three rounds in a large one.
const CALLS_MAX: u64 = 60;

/// Calls that each further member adds to three rounds of announcements.
const CALLS_PER_MEMBER: u64 = 3;

/// The members, their addresses, and the number of calls since each was heard.
#[derive(Default)]
pub(crate) struct Heard {
    members: BTreeMap<String, Member>,
    calls: u64,
}

struct Member {
    addresses: Vec<IpAddr>,
    port: u16,
    heard_at_call: u64,
}

impl Heard {
    /// The number of known members.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Counts one call, and forgets members that were not heard for too long.
    pub(crate) fn tick(&mut self) {
        self.calls += 1;
        let calls_max = CALLS_MAX + CALLS_PER_MEMBER * self.members.len() as u64;
        let calls = self.calls;
        self.members.retain(|_, member| calls - member.heard_at_call <= calls_max);
    }

    /// Records a beacon; it replaces what the member sent before.
    pub(crate) fn hear(&mut self, member_id: String, addresses: Vec<IpAddr>, port: u16) {
        if self.members.len() == MEMBERS_MAX && !self.members.contains_key(&member_id) {
            let quietest = self.members.iter().min_by_key(|(_, member)| member.heard_at_call);
            if let Some(quietest) = quietest.map(|(member_id, _)| member_id.clone()) {
                self.members.remove(&quietest);
            }
        }
        self.members.insert(member_id, Member { addresses, port, heard_at_call: self.calls });
    }

    /// Removes a member that left.
    pub(crate) fn forget(&mut self, member_id: &str) {
        self.members.remove(member_id);
    }

    /// All addresses of all members.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let candidates_of = |(member_id, member): (&String, &Member)| -> Vec<Candidate> {
            let candidate = |address: &IpAddr| Candidate {
                address: address.to_string(),
                port: Some(member.port),
                attributes: vec![("member-id".to_owned(), member_id.clone())],
            };
            member.addresses.iter().map(candidate).collect()
        };
        self.members.iter().flat_map(candidates_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(heard: &mut Heard, member: usize) {
        heard.hear(format!("m{member}"), vec!["10.0.0.1".parse().unwrap()], 6900);
    }

    #[test]
    fn a_member_is_a_candidate_with_each_of_its_addresses() {
        let mut heard = Heard::default();
        let addresses = ["10.0.0.1", "fd00::1"].map(|address| address.parse().unwrap());
        heard.hear("m1".to_owned(), addresses.to_vec(), 6901);
        let candidate = |address: &str| Candidate {
            address: address.to_owned(),
            port: Some(6901),
            attributes: vec![("member-id".to_owned(), "m1".to_owned())],
        };
        assert_eq!(heard.candidates(), [candidate("10.0.0.1"), candidate("fd00::1")]);
    }

    #[test]
    fn the_latest_beacon_of_a_member_is_used() {
        let mut heard = Heard::default();
        hear(&mut heard, 1);
        heard.hear("m1".to_owned(), vec!["10.0.0.9".parse().unwrap()], 6999);
        let candidates = heard.candidates();
        assert_eq!(candidates.len(), 1);
        assert_eq!((candidates[0].address.as_str(), candidates[0].port), ("10.0.0.9", Some(6999)));
    }

    #[test]
    fn a_member_that_is_not_heard_is_forgotten() {
        let mut heard = Heard::default();
        hear(&mut heard, 1);
        for _ in 0..CALLS_MAX + CALLS_PER_MEMBER {
            heard.tick();
        }
        assert_eq!(heard.len(), 1);
        heard.tick();
        assert_eq!(heard.len(), 0);
    }

    #[test]
    fn members_of_a_large_cluster_are_kept_for_three_rounds() {
        let mut heard = Heard::default();
        for round in 0..3 {
            for member in 0..1000 {
                // m0 is heard in the first round only; each beacon ends a call.
                if round == 0 || member != 0 {
                    hear(&mut heard, member);
                    heard.tick();
                }
            }
            assert_eq!(heard.len(), 1000);
        }
    }

    #[test]
    fn a_member_that_leaves_is_forgotten_at_once() {
        let mut heard = Heard::default();
        hear(&mut heard, 1);
        heard.forget("m1");
        heard.forget("m2");
        assert!(heard.candidates().is_empty());
    }

    #[test]
    fn beyond_the_limit_the_least_recently_heard_member_is_dropped() {
        let mut heard = Heard::default();
        for member in 0..MEMBERS_MAX {
            hear(&mut heard, member);
            heard.calls += u64::from(member == 0);
        }
        hear(&mut heard, 1);
        assert_eq!(heard.len(), MEMBERS_MAX);
        hear(&mut heard, MEMBERS_MAX);
        assert_eq!(heard.len(), MEMBERS_MAX);
        assert!(!heard.members.contains_key("m0"));
        assert!(heard.members.contains_key("m1"));
    }
}
