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
/// Why nothing is known of a name that the host does not look up; its own line has the grant.
const DENIED: &str = "looking it up is not granted";
/// Hosts of a service that are named in words about it.
const HOSTS_SHOWN_MAX: usize = 3;

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
    Denied,
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
            Fate::Denied => Some(DENIED),
            _ => None,
        }
    }

    /// Whether it may not be looked up.
    pub(crate) fn is_denied(&self) -> bool {
        self.fate == Fate::Denied
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
    /// servers; members are all looked for. A service without any place is not offered (RFC
    /// 2782, target `.`); one whose places cannot be told is.
    pub(crate) fn take_service(
        &mut self,
        outcome: Result<Service, DnsError>,
    ) -> Result<(), Problem> {
        self.take(outcome.and_then(|mut answer| {
            answer.places.sort_by_key(|place| place.priority);
            let places = answer.places.iter().filter(|place| place.port != 0);
            let places = places.flat_map(|place| {
                let literals = place.addresses.iter().filter_map(|text| text.parse().ok());
                literals.map(|ip: IpAddr| (ip, Some(place.port)))
            });
            let places: Vec<Place> = places.collect();
            match places.is_empty() && !answer.places.is_empty() {
                true => Err(DnsError::Other(in_vain(&answer))),
                false => Ok((places, answer.ttl_s)),
            }
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
                // Grants do not change while a member runs.
                self.due_in_ms = HOLDS_MS_MAX;
                Fate::Denied
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
                // The host says so, with the grant that would allow it.
                Fate::Denied | Fate::Unknown => {}
            }
        }
        self.fate = fate;
    }
}

/// A service whose records lead nowhere.
fn in_vain(service: &Service) -> String {
    let hosts: Vec<&str> =
        service.places.iter().take(HOSTS_SHOWN_MAX).map(|place| place.host.as_str()).collect();
    let more = match service.places.len().saturating_sub(HOSTS_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("none of its hosts has an address and a port: {}{more}", hosts.join(", "))
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
    fn a_service_whose_hosts_lead_nowhere_is_not_one_that_is_not_offered() {
        use convoke_mode_sdk::dns::Place;
        let place = |host: &str, addresses: &[&str], port| Place {
            host: host.to_owned(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            port,
            priority: 0,
            weight: 0,
        };
        let taken = |places| {
            let mut name = watched("srv:_convoke._tcp.a");
            name.take_service(Ok(Service { places, ttl_s: 5 })).unwrap();
            (name.places.len(), name.failure().map(str::to_owned))
        };
        assert_eq!(taken(vec![]), (0, None), "it is not offered");
        let (gone, no_port) = (place("gone", &[], 6900), place("zero", &["10.0.0.1"], 0));
        let in_vain = "none of its hosts has an address and a port: gone, zero";
        assert_eq!(taken(vec![gone.clone(), no_port.clone()]), (0, Some(in_vain.to_owned())));
        let there = place("there", &["10.0.0.2"], 6900);
        assert_eq!(taken(vec![gone, no_port, there]), (1, None));
        let (places, failure) = taken((0..9).map(|n| place(&format!("h{n}"), &[], 1)).collect());
        assert_eq!(places, 0);
        assert!(failure.unwrap().ends_with("h0, h1, h2 and 6 more"));
    }

    #[test]
    fn a_name_that_is_denied_is_not_asked_for_again_soon() {
        let mut denied = watched("a");
        denied.take_addresses(None, Err(DnsError::Denied)).unwrap();
        assert!(denied.is_denied());
        assert_eq!((denied.failure(), denied.due_in_ms()), (Some(DENIED), HOLDS_MS_MAX));
    }
}
