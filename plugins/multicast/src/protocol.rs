//! The beacon protocol: who sends what, and when.
//!
//! A new member queries: its first call sends a query at once and twice more within 200 ms,
//! since datagrams may be lost, and ends as soon as another member has been heard. A member
//! that receives a query adds the sender to its list, and responds within the same call with
//! one announcement for a whole batch of queries. In a large cluster only about [`RESPONDERS`]
//! members respond to each query, to limit the traffic. Later calls wait for a second and
//! return the current list.
//!
//! Unsolicited announcements are repeated slowly: the interval of each member grows with the
//! number of members it hears, so that all of them together send at most twenty a second (the
//! same technique as in RFC 2974, section 3.1).

use std::net::{IpAddr, SocketAddr};

use convoke_mode_sdk::multicast::{Datagram, MulticastError};
use convoke_mode_sdk::{Candidate, LocalMember, Problem, log};

use crate::beacon::{ADDRESSES_MAX, Beacon, Kind, MEMBER_ID_BYTES_MAX};
use crate::heard::Heard;
use crate::lan::Lan;

/// Duration of one wait in the first call, in milliseconds. Waits are counted, since there is
/// no clock.
const FIRST_CALL_WAIT_MS: u32 = 20;

/// Number of waits in the first call: 300 ms in total.
const FIRST_CALL_WAITS: u32 = 15;

/// The waits before which the first call sends a query: after 0, 80 and 180 ms.
const QUERY_BEFORE_WAITS: [u32; 3] = [0, 4, 9];

/// Time that a later call waits for the first datagram, in milliseconds.
const WAIT_MS: u32 = 1_000;

/// Datagrams received by one call.
const BATCH_MAX: u32 = 64;

/// Approximate number of members that respond to one query.
const RESPONDERS: u64 = 16;

/// Shortest interval between two announcements of one member, in milliseconds.
const ANNOUNCE_MS_MIN: u32 = 2_000;

/// Time by which each known member lengthens the interval, in milliseconds.
const ANNOUNCE_MS_PER_MEMBER: u32 = 50;

/// The protocol state: this member's beacon, and the members it has heard.
pub(crate) struct Protocol {
    me: Beacon,
    heard: Heard,
    initialized: bool,
}

impl Protocol {
    /// The initial state.
    pub(crate) fn new(me: LocalMember) -> Result<Self, Problem> {
        if me.member_id.len() > MEMBER_ID_BYTES_MAX {
            return Err(Problem::Failed(format!(
                "the member id has {} bytes; a beacon can hold at most {MEMBER_ID_BYTES_MAX}",
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
        Ok(Self { me, heard: Heard::default(), initialized: false })
    }

    /// Starts again with a first call, after a group was joined.
    pub(crate) fn begin(&mut self) {
        self.initialized = false;
    }

    /// Executes one call; returns the addresses of all known members.
    pub(crate) fn call(&mut self, lan: &impl Lan) -> Result<Vec<Candidate>, MulticastError> {
        self.heard.tick();
        if self.initialized {
            let datagrams = lan.receive(BATCH_MAX, WAIT_MS)?;
            self.handle(lan, datagrams);
        } else {
            self.query(lan)?;
            self.initialized = true;
        }
        Ok(self.heard.candidates())
    }

    /// Announces this member; returns the interval until the next announcement in milliseconds.
    /// `None` if it accepts no connections, and so is not announced.
    pub(crate) fn announce(&mut self, lan: &impl Lan) -> Result<Option<u32>, MulticastError> {
        if self.me.port == 0 {
            return Ok(None);
        }
        self.send(Kind::Announcement, lan)?;
        let members = u32::try_from(self.heard.len()).unwrap_or(u32::MAX);
        Ok(Some(ANNOUNCE_MS_MIN.max(members.saturating_mul(ANNOUNCE_MS_PER_MEMBER))))
    }

    /// Sends a goodbye.
    pub(crate) fn withdraw(&mut self, lan: &impl Lan) -> Result<(), MulticastError> {
        if self.me.port == 0 {
            return Ok(());
        }
        self.send(Kind::Goodbye, lan)
    }

    /// The first call: sends queries until another member is heard or the time is up. It is an
    /// error if no query could be sent.
    fn query(&mut self, lan: &impl Lan) -> Result<(), MulticastError> {
        let mut has_queried = false;
        for wait in 0..FIRST_CALL_WAITS {
            if QUERY_BEFORE_WAITS.contains(&wait) {
                match self.send(Kind::Query, lan) {
                    Ok(()) => has_queried = true,
                    // One of three queries may be missing; keep waiting.
                    Err(MulticastError::TooFast) => {}
                    Err(error) => return Err(error),
                }
            }
            let datagrams = lan.receive(BATCH_MAX, FIRST_CALL_WAIT_MS)?;
            if self.handle(lan, datagrams) {
                return Ok(());
            }
        }
        if has_queried { Ok(()) } else { Err(MulticastError::TooFast) }
    }

    /// Handles received datagrams, and responds if there is a query among them. Returns whether
    /// a member was heard.
    fn handle(&mut self, lan: &impl Lan, datagrams: Vec<Datagram>) -> bool {
        let mut heard = false;
        let mut asked = false;
        for Datagram { source, payload } in datagrams {
            let Some(beacon) = Beacon::decode(&payload) else {
                log::debug("unknown beacon format skipped", &[("source", &source)]);
                continue;
            };
            if beacon.member_id == self.me.member_id {
                continue;
            }
            asked |= beacon.kind == Kind::Query && self.is_responder(&beacon.member_id);
            match beacon.kind {
                Kind::Goodbye => self.heard.forget(&beacon.member_id),
                // It sends queries but accepts no connections.
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
            // The query will be repeated, and announcements follow in any case.
            if let Err(error) = self.send(Kind::Announcement, lan) {
                log::debug("response to a query not sent", &[("error", &error)]);
            }
        }
        heard
    }

    /// Whether this member responds to this query. Each member decides on its own, without
    /// randomness: a hash of both ids selects about [`RESPONDERS`] of all members, different
    /// ones for each sender.
    fn is_responder(&self, sender: &str) -> bool {
        let others = self.heard.len() as u64;
        others <= RESPONDERS || hash(&[sender, &self.me.member_id]) % others < RESPONDERS
    }

    fn send(&self, kind: Kind, lan: &impl Lan) -> Result<(), MulticastError> {
        lan.send(&Beacon { kind, ..self.me.clone() }.encode())
    }
}

/// FNV-1a over the parts, with a final mix so that the low bits depend on all of the input.
fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0xff])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^ (hash >> 32)
}

/// The IP address in a datagram's source, such as `192.0.2.7:2904`.
fn source_address(source: &str) -> Option<IpAddr> {
    source.parse::<SocketAddr>().map(|from| from.ip()).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;

    /// A fake group: one batch of datagrams for each `receive`, and the sent beacons with the
    /// number of waits before each.
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

    fn protocol() -> Protocol {
        Protocol::new(member("me", 6900)).unwrap()
    }

    /// A state after its first call.
    fn initialized() -> Protocol {
        let mut protocol = protocol();
        assert!(protocol.call(&Bus::default()).unwrap().is_empty());
        protocol
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
    fn a_new_member_sends_three_queries() {
        let bus = Bus::default();
        assert!(protocol().call(&bus).unwrap().is_empty());
        assert_eq!(bus.sent(), [(0, Kind::Query), (80, Kind::Query), (180, Kind::Query)]);
        assert_eq!(bus.waits.borrow().iter().sum::<u32>(), 300);
    }

    #[test]
    fn the_first_call_ends_with_the_first_response() {
        let bus = Bus::with([vec![], vec![beacon(Kind::Announcement, "m2")]]);
        let candidates = protocol().call(&bus).unwrap();
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
    fn members_that_start_together_find_each_other_by_their_queries() {
        let bus = Bus::with([vec![beacon(Kind::Query, "m2")]]);
        let candidates = protocol().call(&bus).unwrap();
        assert_eq!(addresses(&candidates), ["10.0.0.2"]);
        assert_eq!(bus.sent(), [(0, Kind::Query), (20, Kind::Announcement)]);
    }

    #[test]
    fn a_batch_of_queries_gets_one_response_in_the_same_call() {
        let mut protocol = initialized();
        let bus = Bus::with([vec![beacon(Kind::Query, "m2"), beacon(Kind::Query, "m3")]]);
        assert_eq!(protocol.call(&bus).unwrap().len(), 2);
        assert_eq!(bus.sent(), [(1000, Kind::Announcement)]);
    }

    #[test]
    fn an_announcement_gets_no_response() {
        let mut protocol = initialized();
        let bus = Bus::with([vec![beacon(Kind::Announcement, "m2")]]);
        assert_eq!(protocol.call(&bus).unwrap().len(), 1);
        assert!(bus.sent().is_empty());
        assert_eq!(protocol.call(&bus).unwrap().len(), 1, "it is kept");
    }

    #[test]
    fn a_goodbye_removes_the_member() {
        let mut protocol = initialized();
        let bus =
            Bus::with([vec![beacon(Kind::Announcement, "m2")], vec![beacon(Kind::Goodbye, "m2")]]);
        assert_eq!(protocol.call(&bus).unwrap().len(), 1);
        assert!(protocol.call(&bus).unwrap().is_empty());
    }

    #[test]
    fn without_addresses_the_source_of_the_datagram_is_used() {
        let mut protocol = initialized();
        let bus =
            Bus::with([vec![Beacon { addresses: Vec::new(), ..beacon(Kind::Announcement, "m2") }]]);
        assert_eq!(addresses(&protocol.call(&bus).unwrap()), ["192.0.2.9"]);
        assert_eq!(source_address("[fe80::7%2]:2904"), "fe80::7".parse().ok());
        assert_eq!(source_address("somewhere"), None);
    }

    #[test]
    fn a_member_without_a_port_gets_a_response_and_is_not_a_candidate() {
        let mut protocol = initialized();
        let bus = Bus::with([vec![Beacon { port: 0, ..beacon(Kind::Query, "dry-run") }]]);
        assert!(protocol.call(&bus).unwrap().is_empty());
        assert_eq!(bus.sent(), [(1000, Kind::Announcement)]);
    }

    #[test]
    fn a_member_without_a_port_only_sends_queries() {
        let mut protocol = Protocol::new(member("me", 0)).unwrap();
        let bus = Bus::with([vec![beacon(Kind::Query, "m2")]]);
        assert_eq!(protocol.call(&bus).unwrap().len(), 1);
        assert_eq!(protocol.announce(&bus), Ok(None));
        assert_eq!(protocol.withdraw(&bus), Ok(()));
        assert_eq!(bus.sent(), [(0, Kind::Query)]);
    }

    #[test]
    fn own_and_malformed_beacons_are_skipped() {
        let mut protocol = initialized();
        let bus = Bus::with([vec![beacon(Kind::Query, "me")]]);
        bus.incoming.borrow_mut()[0]
            .push(Datagram { source: "192.0.2.9:2904".to_owned(), payload: vec![9, 9, 9] });
        assert!(protocol.call(&bus).unwrap().is_empty());
        assert!(bus.sent().is_empty());
    }

    #[test]
    fn the_announcement_interval_grows_with_the_cluster() {
        let mut protocol = initialized();
        assert_eq!(protocol.announce(&Bus::default()), Ok(Some(2_000)));
        let many = (0..1000).map(|n| beacon(Kind::Announcement, &format!("m{n}"))).collect();
        protocol.call(&Bus::with([many])).unwrap();
        assert_eq!(protocol.announce(&Bus::default()), Ok(Some(50_000)));
    }

    #[test]
    fn in_a_large_cluster_only_some_members_respond() {
        let ids: Vec<String> = (0..200).map(|n| format!("{n:08x}-member")).collect();
        let crowd: Vec<Beacon> = ids.iter().map(|id| beacon(Kind::Announcement, id)).collect();
        let mut answers = 0;
        for id in &ids {
            let mut protocol = Protocol::new(member(id, 6900)).unwrap();
            protocol.initialized = true;
            let bus = Bus::with([crowd.clone(), vec![beacon(Kind::Query, "newcomer")]]);
            protocol.call(&bus).unwrap();
            protocol.call(&bus).unwrap();
            answers += bus.sent().len();
        }
        assert!((4..=48).contains(&answers), "{answers} of 200 respond");
    }

    #[test]
    fn exceeding_the_send_rate_only_skips_a_query_or_a_response() {
        let bus = Bus::with([vec![beacon(Kind::Query, "m2")]]);
        bus.send_error.replace(Some(MulticastError::TooFast));
        let mut protocol = protocol();
        assert_eq!(protocol.call(&bus).unwrap().len(), 1);
        assert_eq!(protocol.announce(&bus), Err(MulticastError::TooFast));
    }

    #[test]
    fn an_unreachable_group_ends_the_first_call() {
        let bus = Bus::default();
        bus.send_error.replace(Some(MulticastError::Unavailable("no route".to_owned())));
        let mut protocol = protocol();
        assert!(protocol.call(&bus).is_err());
        bus.send_error.replace(None);
        protocol.call(&bus).unwrap();
        assert_eq!(bus.sent().len(), 3, "the next call is a first one again");
    }

    #[test]
    fn a_member_id_that_is_too_long_is_rejected() {
        let Err(problem) = Protocol::new(member(&"m".repeat(256), 6900)) else {
            panic!("256 bytes must be rejected");
        };
        assert_eq!(
            problem,
            Problem::Failed(
                "the member id has 256 bytes; a beacon can hold at most 255".to_owned()
            )
        );
    }
}
