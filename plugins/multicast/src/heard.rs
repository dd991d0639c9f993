//! The members heard lately.

use std::collections::BTreeMap;
use std::net::IpAddr;

use convoke_mode_sdk::Candidate;

/// Members kept. One more drops the one that was silent longest.
const MEMBERS_MAX: usize = 4_096;

/// Looks without a word after which a member is forgotten, to which
/// [`LOOKS_PER_MEMBER`] for each known member is added. A quiet look lasts a
/// second, but each beacon ends one early; every member speaks once in a round,
/// so this is three rounds of a large cluster and most of a minute in a small
/// one.
const LOOKS_MAX: u64 = 60;

/// Looks that each further member costs in three rounds of announcements.
const LOOKS_PER_MEMBER: u64 = 3;

/// Who was heard, where they can be dialled, and how long ago in looks.
#[derive(Default)]
pub(crate) struct Heard {
    members: BTreeMap<String, Member>,
    looks: u64,
}

struct Member {
    addresses: Vec<IpAddr>,
    port: u16,
    heard_at_look: u64,
}

impl Heard {
    /// How many members are known.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Counts one look, and forgets who was silent for too many.
    pub(crate) fn look(&mut self) {
        self.looks += 1;
        let patience = LOOKS_MAX + LOOKS_PER_MEMBER * self.members.len() as u64;
        let looks = self.looks;
        self.members.retain(|_, member| looks - member.heard_at_look <= patience);
    }

    /// A member spoke: what it says now counts, not what it said before.
    pub(crate) fn hear(&mut self, member_id: String, addresses: Vec<IpAddr>, port: u16) {
        if self.members.len() == MEMBERS_MAX && !self.members.contains_key(&member_id) {
            let quietest = self.members.iter().min_by_key(|(_, member)| member.heard_at_look);
            if let Some(quietest) = quietest.map(|(member_id, _)| member_id.clone()) {
                self.members.remove(&quietest);
            }
        }
        self.members.insert(member_id, Member { addresses, port, heard_at_look: self.looks });
    }

    /// A member left.
    pub(crate) fn forget(&mut self, member_id: &str) {
        self.members.remove(member_id);
    }

    /// Every address of every member.
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
    fn the_latest_word_of_a_member_counts() {
        let mut heard = Heard::default();
        hear(&mut heard, 1);
        heard.hear("m1".to_owned(), vec!["10.0.0.9".parse().unwrap()], 6999);
        let candidates = heard.candidates();
        assert_eq!(candidates.len(), 1);
        assert_eq!((candidates[0].address.as_str(), candidates[0].port), ("10.0.0.9", Some(6999)));
    }

    #[test]
    fn a_silent_member_is_forgotten_after_its_looks() {
        let mut heard = Heard::default();
        hear(&mut heard, 1);
        for _ in 0..LOOKS_MAX + LOOKS_PER_MEMBER {
            heard.look();
        }
        assert_eq!(heard.len(), 1);
        heard.look();
        assert_eq!(heard.len(), 0);
    }

    #[test]
    fn a_large_cluster_has_three_rounds_to_be_heard_again() {
        let mut heard = Heard::default();
        for round in 0..3 {
            for member in 0..1000 {
                // m0 speaks in the first round only; each beacon ends a look.
                if round == 0 || member != 0 {
                    hear(&mut heard, member);
                    heard.look();
                }
            }
            assert_eq!(heard.len(), 1000);
        }
    }

    #[test]
    fn who_leaves_is_forgotten_at_once() {
        let mut heard = Heard::default();
        hear(&mut heard, 1);
        heard.forget("m1");
        heard.forget("m2");
        assert!(heard.candidates().is_empty());
    }

    #[test]
    fn beyond_the_bound_the_quietest_makes_room() {
        let mut heard = Heard::default();
        for member in 0..MEMBERS_MAX {
            hear(&mut heard, member);
            heard.looks += u64::from(member == 0);
        }
        hear(&mut heard, 1);
        assert_eq!(heard.len(), MEMBERS_MAX);
        hear(&mut heard, MEMBERS_MAX);
        assert_eq!(heard.len(), MEMBERS_MAX);
        assert!(!heard.members.contains_key("m0"));
        assert!(heard.members.contains_key("m1"));
    }
}
