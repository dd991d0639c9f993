//! Tracks the domain server: turns the outcome of each probe into a result.

use convoke_mode_sdk::probe::{Outcome, Peer, Place};
use convoke_mode_sdk::{Candidate, LocalMember, Problem, Snapshot, log};

use crate::server::{ADMIN_PORT, PORT, Server};

/// Interval while the server is up, in milliseconds. Each call is a handshake for the server,
/// with every instance.
const INTERVAL_MS: u32 = 3_000;

/// Interval while the server is down, in milliseconds: short, so that it is found soon after a
/// restart.
const INTERVAL_DOWN_MS: u32 = 1_000;

/// Failed calls after which an instance continues without its domain server. The host retries
/// after 0.25 s, 0.5 s and so on up to 5 s: about 8 seconds in total.
const FAILURES_MAX: u32 = 6;

/// The state of an instance's domain server.
pub(crate) struct Tracker {
    server: Server,
    me: String,
    /// Never continue without the server.
    required: bool,
    /// The member id of the server that was found last; a restart changes it.
    last_found: Option<String>,
    /// Failed calls since then.
    failures: u32,
    /// Whether the warning about the admin port has been logged.
    is_port_noted: bool,
}

/// Why the server was not found.
enum Failure {
    /// It is down, and may start later; carries the reason.
    Down(String),
    /// Something has to be corrected first; carries the reason.
    Wrong(String),
    /// Whether it is up is unknown, for example if DNS does not respond; carries the reason.
    Unknown(String),
}

impl Tracker {
    pub(crate) fn new(server: Server, me: &LocalMember, required: bool) -> Self {
        let me = me.member_id.clone();
        Self { server, me, required, last_found: None, failures: 0, is_port_noted: false }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Turns the outcome of a probe into the result of `discover`.
    pub(crate) fn take(&mut self, outcome: Outcome) -> Result<Snapshot, Problem> {
        if self.server.port == ADMIN_PORT && !std::mem::replace(&mut self.is_port_noted, true) {
            log::warn(
                "4848 is configured as the domain server's data grid port, but it is the default admin port; the default data grid port is 4900",
                &[("server", &self.server)],
            );
        }
        match outcome {
            Outcome::Member(peer) => Ok(self.found(&peer)),
            Outcome::Denied => {
                Err(Problem::Denied(format!("{}: the probe is not granted", self.server)))
            }
            Outcome::OtherCluster => self.failed(Failure::Wrong(
                "it belongs to another cluster: cluster name or password differs; configure the same values".to_owned(),
            )),
            Outcome::NotAMember(what) => {
                let hint = match self.server.port {
                    ADMIN_PORT => format!("; the default data grid port is {PORT}"),
                    _ => String::new(),
                };
                self.failed(Failure::Wrong(format!("it is not a domain server: {what}{hint}")))
            }
            Outcome::Closed => self.failed(Failure::Down(
                "nothing listens on that port; check that the domain server is running, and that this is its data grid port".to_owned(),
            )),
            Outcome::TimedOut => self.failed(Failure::Down("it does not respond".to_owned())),
            Outcome::Unresolved(why) => {
                self.failed(Failure::Down(format!("its name does not resolve: {why}")))
            }
            Outcome::Other(what) => self.failed(Failure::Unknown(what)),
        }
    }

    fn found(&mut self, peer: &Peer) -> Snapshot {
        self.failures = 0;
        if self.last_found.as_ref() != Some(&peer.member_id) {
            let again = if self.last_found.is_some() {
                "domain server found again"
            } else {
                "domain server found"
            };
            self.last_found = Some(peer.member_id.clone());
            log::info(
                again,
                &[("server", &self.server), ("name", &peer.name), ("members", &peer.cluster_size)],
            );
        }
        if peer.member_id == self.me {
            // This member is the domain server itself.
            return snapshot(Vec::new(), INTERVAL_MS);
        }
        let mut candidates = vec![candidate(&peer.answered_at, Some(&peer.member_id))];
        for place in &peer.coordinator {
            if *place != peer.answered_at {
                candidates.push(candidate(place, None));
            }
        }
        snapshot(candidates, INTERVAL_MS)
    }

    fn failed(&mut self, failure: Failure) -> Result<Snapshot, Problem> {
        let (may_continue, why) = match failure {
            Failure::Down(why) => (!self.required, why),
            Failure::Wrong(why) | Failure::Unknown(why) => (false, why),
        };
        if may_continue || self.last_found.is_some() {
            self.failures = self.failures.saturating_add(1);
        }
        let server = &self.server;
        if self.last_found.is_some() {
            if self.failures == 1 {
                log::warn(
                    "the domain server is down; the cluster is not affected; retrying every second",
                    &[("server", server), ("why", &why)],
                );
            }
            return Ok(snapshot(Vec::new(), INTERVAL_DOWN_MS));
        }
        if may_continue && self.failures >= FAILURES_MAX {
            if self.failures == FAILURES_MAX {
                log::warn(
                    "the domain server is down; this member continues without it, and retries every second",
                    &[("server", server), ("why", &why)],
                );
            }
            return Ok(snapshot(Vec::new(), INTERVAL_DOWN_MS));
        }
        Err(Problem::Temporary(format!("domain server {server}: {why}")))
    }
}

fn snapshot(candidates: Vec<Candidate>, again_ms: u32) -> Snapshot {
    Snapshot { candidates, complete: false, look_again_ms: Some(again_ms) }
}

/// Includes the member id, so that the host notices a restart at once.
fn candidate(place: &Place, member_id: Option<&String>) -> Candidate {
    let attributes = member_id.map(|id| ("member-id".to_owned(), id.clone())).into_iter().collect();
    Candidate { address: place.address.clone(), port: Some(place.port), attributes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> LocalMember {
        LocalMember {
            cluster_name: "development".to_owned(),
            member_id: "me".to_owned(),
            addresses: vec!["127.0.0.1".to_owned()],
            port: 6900,
            attributes: Vec::new(),
        }
    }

    fn tracker(argument: &str, required: bool) -> Tracker {
        Tracker::new(Server::parse(argument).unwrap(), &me(), required)
    }

    fn place(address: &str, port: u16) -> Place {
        Place { address: address.to_owned(), port }
    }

    fn server(id: &str) -> Outcome {
        Outcome::Member(Peer {
            member_id: id.to_owned(),
            name: "server".to_owned(),
            answered_at: place("10.0.0.5", 4900),
            lite: false,
            cluster_size: 3,
            coordinator: vec![place("10.0.0.7", 6900), place("10.0.0.5", 4900)],
        })
    }

    fn found(result: Result<Snapshot, Problem>) -> Vec<String> {
        let snapshot = result.unwrap();
        let shown = |found: Candidate| format!("{}:{}", found.address, found.port.unwrap());
        snapshot.candidates.into_iter().map(shown).collect()
    }

    fn problem_text(result: Result<Snapshot, Problem>) -> String {
        match result {
            Err(Problem::Temporary(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_server_and_its_coordinator_are_candidates() {
        let mut tracker = tracker("10.0.0.5", false);
        assert_eq!(found(tracker.take(server("das"))), ["10.0.0.5:4900", "10.0.0.7:6900"]);
        let snapshot = tracker.take(server("das")).unwrap();
        assert_eq!(snapshot.candidates[0].attributes, [("member-id".into(), "das".into())]);
    }

    #[test]
    fn a_server_that_is_down_is_probed_more_often() {
        let mut tracker = tracker("10.0.0.5", false);
        let again = |result: Result<Snapshot, Problem>| result.unwrap().look_again_ms.unwrap();
        let up = again(tracker.take(server("das")));
        assert!(again(tracker.take(Outcome::Closed)) < up);
    }

    #[test]
    fn the_domain_server_ignores_itself() {
        assert!(found(tracker("localhost", false).take(server("me"))).is_empty());
    }

    #[test]
    fn an_instance_waits_for_a_server_that_is_down_and_then_continues() {
        let mut tracker = tracker("10.0.0.5", false);
        for _ in 1..FAILURES_MAX {
            let text = problem_text(tracker.take(Outcome::Closed));
            assert!(
                text.starts_with("domain server 10.0.0.5:4900: nothing listens on that port"),
                "{text}"
            );
        }
        assert!(found(tracker.take(Outcome::Closed)).is_empty());
        assert_eq!(found(tracker.take(server("das"))).len(), 2);
        assert!(
            found(tracker.take(Outcome::TimedOut)).is_empty(),
            "it was found before, so the instance does not wait"
        );
    }

    #[test]
    fn an_instance_waits_while_the_name_of_the_server_cannot_be_looked_up() {
        let mut tracker = tracker("das", false);
        for _ in 0..10 * FAILURES_MAX {
            problem_text(tracker.take(Outcome::Other("its name cannot be resolved".to_owned())));
        }
        // Only calls that found it down count.
        for _ in 1..FAILURES_MAX {
            problem_text(tracker.take(Outcome::Unresolved("no such name".to_owned())));
        }
        assert!(found(tracker.take(Outcome::Unresolved("no such name".to_owned()))).is_empty());
    }

    #[test]
    fn an_instance_waits_without_a_limit_for_a_required_server_and_one_of_another_cluster() {
        let mut required = tracker("10.0.0.5", true);
        let mut other = tracker("10.0.0.5", false);
        let mut admin = tracker("10.0.0.5:4848", false);
        for _ in 0..10 * FAILURES_MAX {
            problem_text(required.take(Outcome::Unresolved("no such name".to_owned())));
            assert!(problem_text(other.take(Outcome::OtherCluster)).contains("password differs"));
            let text = problem_text(admin.take(Outcome::NotAMember("HTTP".to_owned())));
            assert!(text.ends_with("HTTP; the default data grid port is 4900"));
        }
    }

    #[test]
    fn a_denial_is_reported_as_denied() {
        let denied = tracker("10.0.0.5", false).take(Outcome::Denied);
        assert!(matches!(denied, Err(Problem::Denied(_))));
    }
}
