//! What is known of each name, and when to ask again: a mode has no clock, so
//! time passes by what it asked the host to wait.

use std::net::IpAddr;

use convoke_mode_sdk::dns::{Addresses, DnsError, Service};
use convoke_mode_sdk::{Problem, log};

use crate::entry::Entry;

/// Shortest time that an answer holds, in milliseconds; also when its TTL is 0.
const HOLDS_MS_MIN: u32 = 1_000;
/// Longest time that an answer holds, in milliseconds.
const HOLDS_MS_MAX: u32 = 300_000;
/// Until a name that does not exist is asked for again: at first, and at most, in
/// milliseconds. Whoever adds it waits for that.
const ABSENT_MS: (u32, u32) = (500, 1_500);
/// Until a name that could not be looked up is asked for again, in milliseconds.
const FAILED_MS: (u32, u32) = (500, 15_000);

/// One entry's name and what came of it.
pub(crate) struct Watched {
    pub(crate) entry: Entry,
    due_in_ms: u32,
    /// Asked in vain since the last answer.
    misses: u32,
    fate: Fate,
    /// What the last answer gave; kept while a server fails, gone with the name.
    pub(crate) places: Vec<Place>,
}

/// An address, and the port there where one is known.
type Place = (IpAddr, Option<u16>);

/// What the log was told of a name last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    Found,
    Absent,
    Failed(String),
}

impl Watched {
    pub(crate) fn new(entry: Entry) -> Self {
        let mut watched =
            Self { entry, due_in_ms: 0, misses: 0, fate: Fate::Unknown, places: Vec::new() };
        if let Entry::Address(ip, port) = watched.entry {
            watched.places.push((ip, port));
            watched.due_in_ms = HOLDS_MS_MAX;
            watched.fate = Fate::Found;
        }
        watched
    }

    /// The name, if it is to be asked for now.
    pub(crate) fn due_name(&self) -> Option<&str> {
        match &self.entry {
            Entry::Address(..) => None,
            Entry::Host(name, _) | Entry::Service(name) => {
                (self.due_in_ms == 0).then_some(name.as_str())
            }
        }
    }

    /// That long has passed.
    pub(crate) fn pass(&mut self, ms: u32) {
        self.due_in_ms = self.due_in_ms.saturating_sub(ms);
    }

    /// How long until this name is to be asked for.
    pub(crate) fn due_in_ms(&self) -> u32 {
        match self.entry {
            Entry::Address(..) => HOLDS_MS_MAX,
            _ => self.due_in_ms,
        }
    }

    /// Whether it could not be looked up, and may exist.
    pub(crate) fn failure(&self) -> Option<&str> {
        match &self.fate {
            Fate::Failed(why) => Some(why),
            _ => None,
        }
    }

    pub(crate) fn take_addresses(
        &mut self,
        port: Option<u16>,
        outcome: Result<Addresses, DnsError>,
    ) -> Result<(), Problem> {
        self.take(outcome.map(|answer| {
            let literals = answer.addresses.iter().filter_map(|text| text.parse().ok());
            (literals.map(|ip| (ip, port)).collect(), answer.ttl_s)
        }))
    }

    /// Places in the order of their priority. Their weights divide load among
    /// servers; members are all looked for.
    pub(crate) fn take_service(
        &mut self,
        outcome: Result<Service, DnsError>,
    ) -> Result<(), Problem> {
        self.take(outcome.map(|mut answer| {
            answer.places.sort_by_key(|place| place.priority);
            let places = answer.places.iter().flat_map(|place| {
                let literals = place.addresses.iter().filter_map(|text| text.parse().ok());
                literals.map(|ip: IpAddr| (ip, Some(place.port)))
            });
            (places.collect(), answer.ttl_s)
        }))
    }

    fn take(&mut self, outcome: Result<(Vec<Place>, u32), DnsError>) -> Result<(), Problem> {
        let fate = match outcome {
            Ok((places, ttl_s)) => {
                self.places = places;
                self.misses = 0;
                self.due_in_ms = ttl_s.saturating_mul(1_000).clamp(HOLDS_MS_MIN, HOLDS_MS_MAX);
                Fate::Found
            }
            Err(DnsError::NotFound) => {
                self.places.clear();
                self.due_in_ms = self.back_off(ABSENT_MS);
                Fate::Absent
            }
            Err(DnsError::Temporary(why) | DnsError::Other(why)) => {
                self.due_in_ms = self.back_off(FAILED_MS);
                Fate::Failed(why)
            }
            Err(DnsError::Denied) => {
                return Err(Problem::Denied(format!(
                    "{}: looking it up is not granted",
                    self.name()
                )));
            }
            Err(DnsError::InvalidName) => {
                return Err(Problem::Misconfigured(format!("{} is no name in DNS", self.name())));
            }
        };
        self.tell(fate);
        Ok(())
    }

    fn back_off(&mut self, (min, max): (u32, u32)) -> u32 {
        let wait = min.saturating_mul(1 << self.misses.min(16)).min(max);
        self.misses = self.misses.saturating_add(1);
        wait
    }

    fn name(&self) -> &str {
        match &self.entry {
            Entry::Address(..) => "an address",
            Entry::Host(name, _) | Entry::Service(name) => name,
        }
    }

    /// Each change of a name's fate is told once.
    fn tell(&mut self, fate: Fate) {
        let name = self.name();
        let same = match (&self.fate, &fate) {
            (Fate::Failed(_), Fate::Failed(_)) => true,
            (old, new) => old == new,
        };
        if !same {
            match &fate {
                Fate::Found if self.fate == Fate::Unknown => {
                    log::debug("name found", &[("name", &name), ("places", &self.places.len())]);
                }
                Fate::Found => {
                    log::info("name found", &[("name", &name), ("places", &self.places.len())]);
                }
                // The host says who says so, and what exactly.
                Fate::Absent => log::debug("name not found", &[("name", &name)]),
                Fate::Failed(why) => log::warn(
                    "a name cannot be looked up; it is tried again, and what it gave before stands",
                    &[("name", &name), ("why", why)],
                ),
                Fate::Unknown => {}
            }
        }
        self.fate = fate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(text: &str) -> Watched {
        Watched::new(Entry::parse(text).unwrap())
    }

    fn answer(addresses: &[&str], ttl_s: u32) -> Addresses {
        Addresses { addresses: addresses.iter().map(ToString::to_string).collect(), ttl_s }
    }

    #[test]
    fn an_answer_holds_for_its_ttl() {
        let mut name = watched("a:1");
        for (ttl_s, expected_ms) in [(0, 1_000), (1, 1_000), (30, 30_000), (u32::MAX, 300_000)] {
            name.pass(u32::MAX);
            assert_eq!(name.due_name(), Some("a"));
            name.take_addresses(Some(1), Ok(answer(&["10.0.0.1", "fd00::1"], ttl_s))).unwrap();
            assert_eq!((name.due_name(), name.due_in_ms()), (None, expected_ms));
        }
        assert_eq!(name.places.len(), 2);
    }

    #[test]
    fn a_name_that_does_not_exist_is_asked_for_often() {
        let mut name = watched("a:1");
        let waits: Vec<u32> = (0..5)
            .map(|_| {
                name.take_addresses(Some(1), Err(DnsError::NotFound)).unwrap();
                name.due_in_ms()
            })
            .collect();
        assert_eq!(waits, [500, 1_000, 1_500, 1_500, 1_500]);
        assert_eq!(name.failure(), None);
    }

    #[test]
    fn a_failure_backs_off_and_keeps_what_was_known() {
        let mut name = watched("a:1");
        name.take_addresses(Some(1), Ok(answer(&["10.0.0.1"], 1))).unwrap();
        let failed = || Err(DnsError::Temporary("no answer".to_owned()));
        for expected_ms in [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000] {
            name.take_addresses(Some(1), failed()).unwrap();
            assert_eq!(name.due_in_ms(), expected_ms);
        }
        assert_eq!((name.failure(), name.places.len()), (Some("no answer"), 1));
        name.take_addresses(Some(1), Err(DnsError::NotFound)).unwrap();
        assert!(name.places.is_empty());
    }

    #[test]
    fn places_of_a_service_come_by_priority_with_their_ports() {
        use convoke_mode_sdk::dns::Place;
        let place = |port, priority| Place {
            host: "h".to_owned(),
            addresses: vec!["10.0.0.1".to_owned()],
            port,
            priority,
            weight: 0,
        };
        let mut name = watched("srv:_convoke._tcp.a");
        name.take_service(Ok(Service { places: vec![place(1, 20), place(2, 10)], ttl_s: 5 }))
            .unwrap();
        let ports: Vec<_> = name.places.iter().map(|(_, port)| port.unwrap()).collect();
        assert_eq!(ports, [2, 1]);
    }

    #[test]
    fn a_denial_stops_the_mode() {
        let denied = watched("a").take_addresses(None, Err(DnsError::Denied));
        assert!(matches!(denied, Err(Problem::Denied(_))));
    }
}
