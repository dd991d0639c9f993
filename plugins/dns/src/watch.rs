//! The state of each name, and when to look it up again. A mode has no clock: time is counted
//! by the intervals that it returned to the host.

use std::net::IpAddr;

use convoke_mode_sdk::dns::{Addresses, DnsError, Service};
use convoke_mode_sdk::{Problem, log};

use crate::entry::Entry;

/// Shortest time for which a result is used, in milliseconds, even if its TTL is 0.
const HOLDS_MS_MIN: u32 = 1_000;
/// Longest time for which a result is used, in milliseconds.
const HOLDS_MS_MAX: u32 = 300_000;
/// First and longest wait until a name that does not exist is looked up again, in milliseconds.
/// A newly added name is found after at most that time.
const ABSENT_MS: (u32, u32) = (500, 1_500);
/// First and longest wait until a failed lookup is repeated, in milliseconds.
const FAILED_MS: (u32, u32) = (500, 15_000);
/// The failure of a name that is not granted; the host logs the required grant.
const DENIED: &str = "it is not granted";
/// Hosts of a service that its error text lists.
const HOSTS_SHOWN_MAX: usize = 3;

/// The name of one entry, and its state.
pub(crate) struct Watched {
    pub(crate) entry: Entry,
    due_in_ms: u32,
    /// Consecutive lookups without an address.
    misses: u32,
    state: LoggedState,
    /// The targets of the last successful lookup; kept while lookups fail, removed when the
    /// name does not exist.
    pub(crate) places: Vec<Target>,
}

/// An address, and its port if known.
type Target = (IpAddr, Option<u16>);

/// The state of a name that was logged last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LoggedState {
    Unknown,
    Found,
    Absent,
    Failed(String),
    Denied,
}

impl Watched {
    pub(crate) fn new(entry: Entry) -> Self {
        let mut watched = Self {
            entry,
            due_in_ms: 0,
            misses: 0,
            state: LoggedState::Unknown,
            places: Vec::new(),
        };
        if let Entry::Address(ip, port) = watched.entry {
            watched.places.push((ip, port));
            watched.due_in_ms = HOLDS_MS_MAX;
            watched.state = LoggedState::Found;
        }
        watched
    }

    /// The name, if it is due to be looked up.
    pub(crate) fn due_name(&self) -> Option<&str> {
        match &self.entry {
            Entry::Address(..) => None,
            Entry::Host(name, _) | Entry::Service(name) => {
                (self.due_in_ms == 0).then_some(name.as_str())
            }
        }
    }

    /// Advances the time by `ms` milliseconds.
    pub(crate) fn pass(&mut self, ms: u32) {
        self.due_in_ms = self.due_in_ms.saturating_sub(ms);
    }

    /// The time until this name is due, in milliseconds.
    pub(crate) fn due_in_ms(&self) -> u32 {
        match self.entry {
            Entry::Address(..) => HOLDS_MS_MAX,
            _ => self.due_in_ms,
        }
    }

    /// Why it could not be looked up, if so. It may exist.
    pub(crate) fn failure(&self) -> Option<&str> {
        match &self.state {
            LoggedState::Failed(why) => Some(why),
            LoggedState::Denied => Some(DENIED),
            _ => None,
        }
    }

    /// Whether it is not granted.
    pub(crate) fn is_denied(&self) -> bool {
        self.state == LoggedState::Denied
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

    /// The targets by priority. Weights are ignored: they distribute load, and all members are
    /// to be found. A service without targets is not available (RFC 2782, target `.`); a
    /// service whose targets cannot be resolved is a failure.
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
            let places: Vec<Target> = places.collect();
            match places.is_empty() && !answer.places.is_empty() {
                true => Err(DnsError::Other(no_usable_record(&answer))),
                false => Ok((places, answer.ttl_s)),
            }
        }))
    }

    fn take(&mut self, outcome: Result<(Vec<Target>, u32), DnsError>) -> Result<(), Problem> {
        let state = match outcome {
            Ok((places, ttl_s)) => {
                self.places = places;
                self.misses = 0;
                self.due_in_ms = ttl_s.saturating_mul(1_000).clamp(HOLDS_MS_MIN, HOLDS_MS_MAX);
                LoggedState::Found
            }
            Err(DnsError::NotFound) => {
                self.places.clear();
                self.due_in_ms = self.back_off(ABSENT_MS);
                LoggedState::Absent
            }
            Err(DnsError::Temporary(why) | DnsError::Other(why)) => {
                self.due_in_ms = self.back_off(FAILED_MS);
                LoggedState::Failed(why)
            }
            Err(DnsError::Denied) => {
                // Grants do not change while a member runs.
                self.due_in_ms = HOLDS_MS_MAX;
                LoggedState::Denied
            }
            Err(DnsError::InvalidName) => {
                return Err(Problem::Misconfigured(format!(
                    "{} is not a valid DNS name",
                    self.name()
                )));
            }
        };
        self.log_change(state);
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

    /// Logs each change of the state once.
    fn log_change(&mut self, state: LoggedState) {
        let name = self.name();
        let same = match (&self.state, &state) {
            (LoggedState::Failed(_), LoggedState::Failed(_)) => true,
            (old, new) => old == new,
        };
        if !same {
            match &state {
                LoggedState::Found if self.state == LoggedState::Unknown => {
                    log::debug("name found", &[("name", &name), ("places", &self.places.len())]);
                }
                LoggedState::Found => {
                    log::info("name found", &[("name", &name), ("places", &self.places.len())]);
                }
                // The host logs the negative answer and its server.
                LoggedState::Absent => log::debug("name not found", &[("name", &name)]),
                LoggedState::Failed(why) => log::warn(
                    "a name cannot be looked up; retrying; its previous addresses stay in use",
                    &[("name", &name), ("why", why)],
                ),
                // The host logs it with the required grant.
                LoggedState::Denied | LoggedState::Unknown => {}
            }
        }
        self.state = state;
    }
}

/// The error text for a service of which no record can be used.
fn no_usable_record(service: &Service) -> String {
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
    fn a_result_is_used_for_its_ttl() {
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
    fn a_name_that_does_not_exist_is_looked_up_often() {
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
    fn a_failure_backs_off_and_keeps_the_addresses() {
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
    fn targets_of_a_service_are_sorted_by_priority() {
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
    fn a_service_with_unresolvable_hosts_is_a_failure_and_an_unavailable_one_is_not() {
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
        assert_eq!(taken(vec![]), (0, None), "it is not available");
        let (gone, no_port) = (place("gone", &[], 6900), place("zero", &["10.0.0.1"], 0));
        let no_usable_record = "none of its hosts has an address and a port: gone, zero";
        assert_eq!(
            taken(vec![gone.clone(), no_port.clone()]),
            (0, Some(no_usable_record.to_owned()))
        );
        let there = place("there", &["10.0.0.2"], 6900);
        assert_eq!(taken(vec![gone, no_port, there]), (1, None));
        let (places, failure) = taken((0..9).map(|n| place(&format!("h{n}"), &[], 1)).collect());
        assert_eq!(places, 0);
        assert!(failure.unwrap().ends_with("h0, h1, h2 and 6 more"));
    }

    #[test]
    fn a_denied_name_is_not_looked_up_again_soon() {
        let mut denied = watched("a");
        denied.take_addresses(None, Err(DnsError::Denied)).unwrap();
        assert!(denied.is_denied());
        assert_eq!((denied.failure(), denied.due_in_ms()), (Some(DENIED), HOLDS_MS_MAX));
    }
}
