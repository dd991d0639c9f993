//! What becomes of each answer of the domain server.

use convoke_mode_sdk::probe::{Outcome, Peer, Place};
use convoke_mode_sdk::{Candidate, LocalMember, Problem, Snapshot, log};

use crate::server::{ADMIN_PORT, PORT, Server};

/// Until another look while the server is there. Each look is a handshake that
/// the server has to make, with every instance.
const LOOK_AGAIN_MS: u32 = 3_000;

/// Until another look while it is away: one that comes back is found soon.
const LOOK_AGAIN_AWAY_MS: u32 = 1_000;

/// Looks in vain before an instance goes on without its domain server. The host
/// asks again after 0.25 s, 0.5 s and so on up to 5 s: some 8 seconds in all.
const PATIENCE_LOOKS: u32 = 6;

/// One instance's dealings with its domain server.
pub(crate) struct Meeting {
    server: Server,
    me: String,
    /// Never go on without the server.
    required: bool,
    /// The run of the server that answered last.
    met: Option<String>,
    /// Looks in vain since then.
    missed: u32,
    /// Operators know that the port is the one of admin pages.
    is_port_noted: bool,
}

/// Why the server was not met.
enum Absence {
    /// It may come: in words.
    Away(String),
    /// Somebody has to mend something first: in words.
    Wrong(String),
    /// Nobody knows whether it is there, as when DNS does not answer: in words.
    Unknown(String),
}

impl Meeting {
    pub(crate) fn new(server: Server, me: &LocalMember, required: bool) -> Self {
        let me = me.member_id.clone();
        Self { server, me, required, met: None, missed: 0, is_port_noted: false }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Turns what the server's place answered into a look's result.
    pub(crate) fn take(&mut self, outcome: Outcome) -> Result<Snapshot, Problem> {
        if self.server.port == ADMIN_PORT && !std::mem::replace(&mut self.is_port_noted, true) {
            log::warn(
                "4848 was given as the domain server's data grid port, but this is its default admin port; its default data grid port is 4900",
                &[("server", &self.server)],
            );
        }
        match outcome {
            Outcome::Member(peer) => Ok(self.meet(&peer)),
            Outcome::Denied => {
                Err(Problem::Denied(format!("{}: probing it is not granted", self.server)))
            }
            Outcome::OtherCluster => self.miss(Absence::Wrong(
                "it belongs to another cluster: cluster name or password differs; give both the same".to_owned(),
            )),
            Outcome::NotAMember(what) => {
                let hint = match self.server.port {
                    ADMIN_PORT => format!("; its data grid port is {PORT} unless it was given another"),
                    _ => String::new(),
                };
                self.miss(Absence::Wrong(format!("what listens there is no domain server: {what}{hint}")))
            }
            Outcome::Closed => self.miss(Absence::Away(
                "nothing listens there; is the domain server running, and is this its data grid port?".to_owned(),
            )),
            Outcome::TimedOut => self.miss(Absence::Away("it does not answer".to_owned())),
            Outcome::Unresolved(why) => {
                self.miss(Absence::Away(format!("its name leads nowhere: {why}")))
            }
            Outcome::Other(what) => self.miss(Absence::Unknown(what)),
        }
    }

    fn meet(&mut self, peer: &Peer) -> Snapshot {
        self.missed = 0;
        if self.met.as_ref() != Some(&peer.member_id) {
            let again = if self.met.is_some() {
                "domain server found again"
            } else {
                "domain server found"
            };
            self.met = Some(peer.member_id.clone());
            log::info(
                again,
                &[("server", &self.server), ("name", &peer.name), ("members", &peer.cluster_size)],
            );
        }
        if peer.member_id == self.me {
            // The domain server itself, given its own address.
            return look(Vec::new(), LOOK_AGAIN_MS);
        }
        let mut candidates = vec![candidate(&peer.answered_at, Some(&peer.member_id))];
        for place in &peer.coordinator {
            if *place != peer.answered_at {
                candidates.push(candidate(place, None));
            }
        }
        look(candidates, LOOK_AGAIN_MS)
    }

    fn miss(&mut self, absence: Absence) -> Result<Snapshot, Problem> {
        let (may_go_on, why) = match absence {
            Absence::Away(why) => (!self.required, why),
            Absence::Wrong(why) | Absence::Unknown(why) => (false, why),
        };
        if may_go_on || self.met.is_some() {
            self.missed = self.missed.saturating_add(1);
        }
        let server = &self.server;
        if self.met.is_some() {
            if self.missed == 1 {
                log::warn(
                    "the domain server is away; the cluster stays as it is, and the server is looked for every second",
                    &[("server", server), ("why", &why)],
                );
            }
            return Ok(look(Vec::new(), LOOK_AGAIN_AWAY_MS));
        }
        if may_go_on && self.missed >= PATIENCE_LOOKS {
            if self.missed == PATIENCE_LOOKS {
                log::warn(
                    "no domain server; this member goes on without it, and joins it when it comes",
                    &[("server", server), ("why", &why)],
                );
            }
            return Ok(look(Vec::new(), LOOK_AGAIN_AWAY_MS));
        }
        Err(Problem::Temporary(format!("domain server {server}: {why}")))
    }
}

fn look(candidates: Vec<Candidate>, again_ms: u32) -> Snapshot {
    Snapshot { candidates, complete: false, look_again_ms: Some(again_ms) }
}

/// The run of the member is told, so that the host notices a restart at once.
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

    fn meeting(argument: &str, required: bool) -> Meeting {
        Meeting::new(Server::parse(argument).unwrap(), &me(), required)
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

    fn held_back(result: Result<Snapshot, Problem>) -> String {
        match result {
            Err(Problem::Temporary(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_server_and_its_coordinator_are_candidates() {
        let mut meeting = meeting("10.0.0.5", false);
        assert_eq!(found(meeting.take(server("das"))), ["10.0.0.5:4900", "10.0.0.7:6900"]);
        let snapshot = meeting.take(server("das")).unwrap();
        assert_eq!(snapshot.candidates[0].attributes, [("member-id".into(), "das".into())]);
    }

    #[test]
    fn a_server_that_is_away_is_looked_for_more_often() {
        let mut meeting = meeting("10.0.0.5", false);
        let again = |result: Result<Snapshot, Problem>| result.unwrap().look_again_ms.unwrap();
        let there = again(meeting.take(server("das")));
        assert!(again(meeting.take(Outcome::Closed)) < there);
    }

    #[test]
    fn the_domain_server_does_not_find_itself() {
        assert!(found(meeting("localhost", false).take(server("me"))).is_empty());
    }

    #[test]
    fn a_server_that_is_away_is_waited_for_and_then_done_without() {
        let mut meeting = meeting("10.0.0.5", false);
        for _ in 1..PATIENCE_LOOKS {
            let text = held_back(meeting.take(Outcome::Closed));
            assert!(
                text.starts_with("domain server 10.0.0.5:4900: nothing listens there"),
                "{text}"
            );
        }
        assert!(found(meeting.take(Outcome::Closed)).is_empty());
        assert_eq!(found(meeting.take(server("das"))).len(), 2);
        assert!(found(meeting.take(Outcome::TimedOut)).is_empty(), "it was met: never held back");
    }

    #[test]
    fn a_server_that_cannot_be_looked_up_is_waited_for_until_that_is_known() {
        let mut meeting = meeting("das", false);
        for _ in 0..10 * PATIENCE_LOOKS {
            held_back(meeting.take(Outcome::Other("its name cannot be looked up".to_owned())));
        }
        // Only looks that found it absent count.
        for _ in 1..PATIENCE_LOOKS {
            held_back(meeting.take(Outcome::Unresolved("no such name".to_owned())));
        }
        assert!(found(meeting.take(Outcome::Unresolved("no such name".to_owned()))).is_empty());
    }

    #[test]
    fn a_required_server_and_one_of_another_cluster_are_waited_for_without_end() {
        let mut required = meeting("10.0.0.5", true);
        let mut other = meeting("10.0.0.5", false);
        let mut admin = meeting("10.0.0.5:4848", false);
        for _ in 0..10 * PATIENCE_LOOKS {
            held_back(required.take(Outcome::Unresolved("no such name".to_owned())));
            assert!(held_back(other.take(Outcome::OtherCluster)).contains("password differs"));
            let text = held_back(admin.take(Outcome::NotAMember("HTTP".to_owned())));
            assert!(text.ends_with("HTTP; its data grid port is 4900 unless it was given another"));
        }
    }

    #[test]
    fn a_denial_is_for_the_operator() {
        let denied = meeting("10.0.0.5", false).take(Outcome::Denied);
        assert!(matches!(denied, Err(Problem::Denied(_))));
    }
}
