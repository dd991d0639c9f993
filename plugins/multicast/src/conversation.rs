//! Who says what, and when.
//!
//! A newcomer asks: its first look sends a query at once and twice more within
//! 200 ms, since datagrams get lost, and ends as soon as anybody was heard.
//! Whoever hears a query learns of the asker by it, and answers within the same
//! look with an announcement, one for a whole batch of queries. In a cluster of
//! many only about [`ANSWERERS`] members answer each asker, so that a newcomer
//! is not buried. Later looks wait for a second and return what is known.
//!
//! Announcements without a query repeat slowly: each member waits the longer
//! the more members it hears, so that all of them together send at most twenty
//! a second (the bound that RFC 2974 §3.1 keeps in the same way).

use std::net::{IpAddr, SocketAddr};

use convoke_mode_sdk::multicast::{Datagram, MulticastError};
use convoke_mode_sdk::{Candidate, LocalMember, Problem, log};

use crate::beacon::{ADDRESSES_MAX, Beacon, Kind, MEMBER_ID_BYTES_MAX};
use crate::heard::Heard;
use crate::lan::Lan;

/// Milliseconds of one wait in the first look; waits are counted, since there
/// is no clock.
const FIRST_LOOK_SLICE_MS: u32 = 20;

/// Waits in the first look: 300 ms.
const FIRST_LOOK_SLICES: u32 = 15;

/// The waits before which the first look asks: at 0, 80 and 180 ms.
const QUERY_AT_SLICES: [u32; 3] = [0, 4, 9];

/// Milliseconds a later look waits for the first datagram.
const LOOK_WAIT_MS: u32 = 1_000;

/// Datagrams taken in one look.
const BATCH_MAX: u32 = 64;

/// Members that answer one query, about, where there are more.
const ANSWERERS: u64 = 16;

/// Milliseconds between two announcements of one member, at least.
const ANNOUNCE_MS_MIN: u32 = 2_000;

/// Milliseconds by which each member heard makes that longer.
const ANNOUNCE_MS_PER_MEMBER: u32 = 50;

/// What this member says, and what it has heard.
pub(crate) struct Conversation {
    me: Beacon,
    heard: Heard,
    introduced: bool,
}

impl Conversation {
    /// Nothing said or heard yet.
    pub(crate) fn new(me: LocalMember) -> Result<Self, Problem> {
        if me.member_id.len() > MEMBER_ID_BYTES_MAX {
            return Err(Problem::Failed(format!(
                "the member's id has {} bytes, at most {MEMBER_ID_BYTES_MAX} fit a beacon",
                me.member_id.len()
            )));
        }
        let literals = me.addresses.iter().filter_map(|address| address.parse().ok());
        let me = Beacon {
            kind: Kind::Announcement,
            member_id: me.member_id,
            port: me.port,
            addresses: literals.take(ADDRESSES_MAX).collect(),
        };
        Ok(Self { me, heard: Heard::default(), introduced: false })
    }

    /// A group was joined: the next look is a first one.
    pub(crate) fn begin(&mut self) {
        self.introduced = false;
    }

    /// Takes one look, and returns where every member known now may be.
    pub(crate) fn look(&mut self, lan: &impl Lan) -> Result<Vec<Candidate>, MulticastError> {
        self.heard.look();
        if self.introduced {
            let datagrams = lan.receive(BATCH_MAX, LOOK_WAIT_MS)?;
            self.listen(lan, datagrams);
        } else {
            self.ask(lan)?;
            self.introduced = true;
        }
        Ok(self.heard.candidates())
    }

    /// Tells the others of this member; returns the milliseconds until it
    /// should again. A member that listens nowhere has nothing to tell.
    pub(crate) fn announce(&mut self, lan: &impl Lan) -> Result<Option<u32>, MulticastError> {
        if self.me.port == 0 {
            return Ok(None);
        }
        self.say(Kind::Announcement, lan)?;
        let members = u32::try_from(self.heard.len()).unwrap_or(u32::MAX);
        Ok(Some(ANNOUNCE_MS_MIN.max(members.saturating_mul(ANNOUNCE_MS_PER_MEMBER))))
    }

    /// Tells the others that this member leaves.
    pub(crate) fn withdraw(&mut self, lan: &impl Lan) -> Result<(), MulticastError> {
        if self.me.port == 0 {
            return Ok(());
        }
        self.say(Kind::Goodbye, lan)
    }

    /// The first look: asks until somebody was heard, or in vain. One in which no query went
    /// out has asked nobody.
    fn ask(&mut self, lan: &impl Lan) -> Result<(), MulticastError> {
        let mut has_asked = false;
        for slice in 0..FIRST_LOOK_SLICES {
            if QUERY_AT_SLICES.contains(&slice) {
                match self.say(Kind::Query, lan) {
                    Ok(()) => has_asked = true,
                    // One of three may be missed; the wait goes on.
                    Err(MulticastError::TooFast) => {}
                    Err(error) => return Err(error),
                }
            }
            let datagrams = lan.receive(BATCH_MAX, FIRST_LOOK_SLICE_MS)?;
            if self.listen(lan, datagrams) {
                return Ok(());
            }
        }
        if has_asked { Ok(()) } else { Err(MulticastError::TooFast) }
    }

    /// Takes in a batch, and answers it if somebody asked. Returns whether a
    /// member was heard.
    fn listen(&mut self, lan: &impl Lan, datagrams: Vec<Datagram>) -> bool {
        let mut heard = false;
        let mut asked = false;
        for Datagram { source, payload } in datagrams {
            let Some(beacon) = Beacon::decode(&payload) else {
                log::debug("beacon of an unknown form skipped", &[("source", &source)]);
                continue;
            };
            if beacon.member_id == self.me.member_id {
                continue;
            }
            asked |= beacon.kind == Kind::Query && self.is_an_answerer(&beacon.member_id);
            match beacon.kind {
                Kind::Goodbye => self.heard.forget(&beacon.member_id),
                // It looks, but listens nowhere.
                Kind::Query | Kind::Announcement if beacon.port == 0 => {}
                Kind::Query | Kind::Announcement => {
                    let mut addresses = beacon.addresses;
                    if addresses.is_empty() {
                        addresses.extend(source_address(&source));
                    }
                    self.heard.hear(beacon.member_id, addresses, beacon.port);
                    heard = true;
                }
            }
        }
        if asked && self.me.port != 0 {
            // The asker asks again, and announcements follow anyway.
            if let Err(error) = self.say(Kind::Announcement, lan) {
                log::debug("query not answered", &[("error", &error)]);
            }
        }
        heard
    }

    /// Whether this member is among those that answer this asker. Each member
    /// decides alone, without randomness: a hash of both ids picks about
    /// [`ANSWERERS`] of all members, others for each asker.
    fn is_an_answerer(&self, asker: &str) -> bool {
        let others = self.heard.len() as u64;
        others <= ANSWERERS || hash(&[asker, &self.me.member_id]) % others < ANSWERERS
    }

    fn say(&self, kind: Kind, lan: &impl Lan) -> Result<(), MulticastError> {
        lan.send(&Beacon { kind, ..self.me.clone() }.encode())
    }
}

/// FNV-1a over the parts, finished so that its low bits depend on all of it.
fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0xff])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^ (hash >> 32)
}

/// The sender as the host writes it: `192.0.2.7:2904`.
fn source_address(source: &str) -> Option<IpAddr> {
    source.parse::<SocketAddr>().map(|from| from.ip()).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;

    /// What one member sees of a group: batches to come, one for each
    /// `receive`, and what it sent, with the count of waits before it.
    #[derive(Default)]
    struct Bus {
        incoming: RefCell<VecDeque<Vec<Datagram>>>,
        sent: RefCell<Vec<(u32, Beacon)>>,
        waits: RefCell<Vec<u32>>,
        send_error: RefCell<Option<MulticastError>>,
    }

    impl Bus {
        fn with(batches: impl IntoIterator<Item = Vec<Beacon>>) -> Self {
            let bus = Self::default();
            for batch in batches {
                let datagram = |beacon: Beacon| Datagram {
                    source: "192.0.2.9:2904".to_owned(),
                    payload: beacon.encode(),
                };
                bus.incoming.borrow_mut().push_back(batch.into_iter().map(datagram).collect());
            }
            bus
        }

        fn sent(&self) -> Vec<(u32, Kind)> {
            self.sent.borrow().iter().map(|(waited_ms, beacon)| (*waited_ms, beacon.kind)).collect()
        }
    }

    impl Lan for Bus {
        fn send(&self, payload: &[u8]) -> Result<(), MulticastError> {
            if let Some(error) = self.send_error.borrow().clone() {
                return Err(error);
            }
            let beacon = Beacon::decode(payload).expect("a beacon");
            self.sent.borrow_mut().push((self.waits.borrow().iter().sum(), beacon));
            Ok(())
        }

        fn receive(&self, _max: u32, wait_ms: u32) -> Result<Vec<Datagram>, MulticastError> {
            self.waits.borrow_mut().push(wait_ms);
            Ok(self.incoming.borrow_mut().pop_front().unwrap_or_default())
        }
    }

    fn member(id: &str, port: u16) -> LocalMember {
        LocalMember {
            cluster_name: "development".to_owned(),
            member_id: id.to_owned(),
            addresses: vec!["10.0.0.1".to_owned()],
            port,
            attributes: Vec::new(),
        }
    }

    fn conversation() -> Conversation {
        Conversation::new(member("me", 6900)).unwrap()
    }

    /// One that has taken its first look.
    fn introduced() -> Conversation {
        let mut conversation = conversation();
        assert!(conversation.look(&Bus::default()).unwrap().is_empty());
        conversation
    }

    fn beacon(kind: Kind, id: &str) -> Beacon {
        Beacon {
            kind,
            member_id: id.to_owned(),
            port: 6901,
            addresses: vec!["10.0.0.2".parse().unwrap()],
        }
    }

    fn addresses(candidates: &[Candidate]) -> Vec<&str> {
        candidates.iter().map(|candidate| candidate.address.as_str()).collect()
    }

    #[test]
    fn a_newcomer_asks_three_times_and_then_is_alone() {
        let bus = Bus::default();
        assert!(conversation().look(&bus).unwrap().is_empty());
        assert_eq!(bus.sent(), [(0, Kind::Query), (80, Kind::Query), (180, Kind::Query)]);
        assert_eq!(bus.waits.borrow().iter().sum::<u32>(), 300);
    }

    #[test]
    fn the_first_look_ends_with_the_first_answer() {
        let bus = Bus::with([vec![], vec![beacon(Kind::Announcement, "m2")]]);
        let candidates = conversation().look(&bus).unwrap();
        assert_eq!(
            candidates,
            [Candidate {
                address: "10.0.0.2".to_owned(),
                port: Some(6901),
                attributes: vec![("member-id".to_owned(), "m2".to_owned())],
            }]
        );
        assert_eq!(bus.waits.borrow().len(), 2);
        assert_eq!(bus.sent(), [(0, Kind::Query)]);
    }

    #[test]
    fn two_that_start_together_find_each_other_by_their_queries() {
        let bus = Bus::with([vec![beacon(Kind::Query, "m2")]]);
        let candidates = conversation().look(&bus).unwrap();
        assert_eq!(addresses(&candidates), ["10.0.0.2"]);
        assert_eq!(bus.sent(), [(0, Kind::Query), (20, Kind::Announcement)]);
    }

    #[test]
    fn a_batch_of_queries_gets_one_answer_in_the_same_look() {
        let mut conversation = introduced();
        let bus = Bus::with([vec![beacon(Kind::Query, "m2"), beacon(Kind::Query, "m3")]]);
        assert_eq!(conversation.look(&bus).unwrap().len(), 2);
        assert_eq!(bus.sent(), [(1000, Kind::Announcement)]);
    }

    #[test]
    fn an_announcement_is_heard_and_not_answered() {
        let mut conversation = introduced();
        let bus = Bus::with([vec![beacon(Kind::Announcement, "m2")]]);
        assert_eq!(conversation.look(&bus).unwrap().len(), 1);
        assert!(bus.sent().is_empty());
        assert_eq!(conversation.look(&bus).unwrap().len(), 1, "and is remembered");
    }

    #[test]
    fn a_member_that_says_goodbye_is_forgotten() {
        let mut conversation = introduced();
        let bus =
            Bus::with([vec![beacon(Kind::Announcement, "m2")], vec![beacon(Kind::Goodbye, "m2")]]);
        assert_eq!(conversation.look(&bus).unwrap().len(), 1);
        assert!(conversation.look(&bus).unwrap().is_empty());
    }

    #[test]
    fn without_an_address_of_its_own_a_member_is_where_its_datagram_came_from() {
        let mut conversation = introduced();
        let bus =
            Bus::with([vec![Beacon { addresses: Vec::new(), ..beacon(Kind::Announcement, "m2") }]]);
        assert_eq!(addresses(&conversation.look(&bus).unwrap()), ["192.0.2.9"]);
        assert_eq!(source_address("[fe80::7%2]:2904"), "fe80::7".parse().ok());
        assert_eq!(source_address("somewhere"), None);
    }

    #[test]
    fn who_listens_nowhere_is_answered_but_not_dialled() {
        let mut conversation = introduced();
        let bus = Bus::with([vec![Beacon { port: 0, ..beacon(Kind::Query, "dry-run") }]]);
        assert!(conversation.look(&bus).unwrap().is_empty());
        assert_eq!(bus.sent(), [(1000, Kind::Announcement)]);
    }

    #[test]
    fn who_listens_nowhere_only_asks() {
        let mut conversation = Conversation::new(member("me", 0)).unwrap();
        let bus = Bus::with([vec![beacon(Kind::Query, "m2")]]);
        assert_eq!(conversation.look(&bus).unwrap().len(), 1);
        assert_eq!(conversation.announce(&bus), Ok(None));
        assert_eq!(conversation.withdraw(&bus), Ok(()));
        assert_eq!(bus.sent(), [(0, Kind::Query)]);
    }

    #[test]
    fn own_and_unreadable_beacons_are_skipped() {
        let mut conversation = introduced();
        let bus = Bus::with([vec![beacon(Kind::Query, "me")]]);
        bus.incoming.borrow_mut()[0]
            .push(Datagram { source: "192.0.2.9:2904".to_owned(), payload: vec![9, 9, 9] });
        assert!(conversation.look(&bus).unwrap().is_empty());
        assert!(bus.sent().is_empty());
    }

    #[test]
    fn announcements_grow_rare_as_the_cluster_grows() {
        let mut conversation = introduced();
        assert_eq!(conversation.announce(&Bus::default()), Ok(Some(2_000)));
        let many = (0..1000).map(|n| beacon(Kind::Announcement, &format!("m{n}"))).collect();
        conversation.look(&Bus::with([many])).unwrap();
        assert_eq!(conversation.announce(&Bus::default()), Ok(Some(50_000)));
    }

    #[test]
    fn in_a_large_cluster_some_answer_and_not_all() {
        let ids: Vec<String> = (0..200).map(|n| format!("{n:08x}-member")).collect();
        let crowd: Vec<Beacon> = ids.iter().map(|id| beacon(Kind::Announcement, id)).collect();
        let mut answers = 0;
        for id in &ids {
            let mut conversation = Conversation::new(member(id, 6900)).unwrap();
            conversation.introduced = true;
            let bus = Bus::with([crowd.clone(), vec![beacon(Kind::Query, "newcomer")]]);
            conversation.look(&bus).unwrap();
            conversation.look(&bus).unwrap();
            answers += bus.sent().len();
        }
        assert!((4..=48).contains(&answers), "{answers} of 200 answer");
    }

    #[test]
    fn too_fast_costs_a_query_or_an_answer_and_nothing_else() {
        let bus = Bus::with([vec![beacon(Kind::Query, "m2")]]);
        bus.send_error.replace(Some(MulticastError::TooFast));
        let mut conversation = conversation();
        assert_eq!(conversation.look(&bus).unwrap().len(), 1);
        assert_eq!(conversation.announce(&bus), Err(MulticastError::TooFast));
    }

    #[test]
    fn a_group_that_cannot_be_reached_ends_the_first_look() {
        let bus = Bus::default();
        bus.send_error.replace(Some(MulticastError::Unavailable("no route".to_owned())));
        let mut conversation = conversation();
        assert!(conversation.look(&bus).is_err());
        bus.send_error.replace(None);
        conversation.look(&bus).unwrap();
        assert_eq!(bus.sent().len(), 3, "the next look is a first one again");
    }

    #[test]
    fn an_id_that_fits_no_beacon_is_refused() {
        let Err(problem) = Conversation::new(member(&"m".repeat(256), 6900)) else {
            panic!("256 bytes must be refused");
        };
        assert_eq!(
            problem,
            Problem::Failed("the member's id has 256 bytes, at most 255 fit a beacon".to_owned())
        );
    }
}
