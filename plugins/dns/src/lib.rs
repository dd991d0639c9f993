//! Finds members by DNS name: addresses and services.
//!
//! The argument is a list separated by `,`, `;` or white space:
//!
//! | entry | candidates |
//! |---|---|
//! | `members.shop.example:6900` | every A and AAAA address of the name, with that port |
//! | `members.shop.example` | every address of the name, with the start port and the next two |
//! | `srv:_convoke._tcp.shop.example` | the targets of a service, each with its own port |
//! | `10.0.0.5:6900`, `[::1]:6900` | one address |
//!
//! A name is looked up again when its TTL expires. A name that does not exist is looked up
//! every second or two, and a name whose lookup failed after a growing wait; the other names
//! are used meanwhile. Names about which nothing is known are returned as unresolved candidates
//! (attribute `unresolved`), since members may exist there and a failed lookup must not be
//! treated as an empty network. If no name could be looked up, the result is a problem.
//!
//! Loopback addresses mean each host itself. They are dropped unless this member is on
//! loopback.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the glue only"))]

mod entry;
mod list;
mod watch;

use std::net::IpAddr;

use convoke_mode_sdk::{
    Candidate, LocalMember, Mode, ModeConfig, Problem, Snapshot, dns, export_mode, log,
};

use entry::Entry;
use watch::Watched;

/// Settings that are for the host and not for this mode.
const HOST_SETTINGS: [&str; 1] = ["servers"];

/// The mode: its names, and what is known about them.
struct Dns {
    names: Vec<Watched>,
    /// Whether this member uses a loopback address.
    on_loopback: bool,
    has_logged_loopback: bool,
    /// The interval that was returned to the host, in milliseconds.
    waited_ms: u32,
}

impl Mode for Dns {
    fn configure(config: ModeConfig, me: LocalMember) -> Result<Self, Problem> {
        for (key, _) in &config.settings {
            if !HOST_SETTINGS.contains(&key.as_str()) {
                log::warn("unknown setting ignored", &[("setting", key)]);
            }
        }
        let entries = list::parse(&config.argument).map_err(Problem::Misconfigured)?;
        let is_loopback = |text: &String| text.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        Ok(Self {
            names: entries.into_iter().map(Watched::new).collect(),
            on_loopback: me.addresses.iter().any(is_loopback),
            has_logged_loopback: false,
            waited_ms: 0,
        })
    }

    fn discover(&mut self) -> Result<Snapshot, Problem> {
        for name in &mut self.names {
            name.pass(self.waited_ms);
        }
        self.waited_ms = 0;
        self.look_up()?;
        if let Some(problem) = self.lookup_problem() {
            // The host may choose another interval; then everything is looked up again.
            self.waited_ms = u32::MAX;
            return Err(problem);
        }
        self.waited_ms = self.names.iter().map(Watched::due_in_ms).min().unwrap_or(u32::MAX);
        Ok(Snapshot {
            candidates: self.candidates(),
            complete: false,
            look_again_ms: Some(self.waited_ms),
        })
    }
}

impl Dns {
    /// Looks up all names that are due, with one call for hosts and one for services.
    fn look_up(&mut self) -> Result<(), Problem> {
        let (services, hosts): (Vec<_>, Vec<_>) = self
            .names
            .iter_mut()
            .filter(|name| name.due_name().is_some())
            .partition(|name| matches!(name.entry, Entry::Service(_)));
        let texts = |names: &[&mut Watched]| -> Vec<String> {
            names.iter().filter_map(|name| name.due_name()).map(str::to_owned).collect()
        };
        if !hosts.is_empty() {
            let outcomes = dns::lookup_addresses(&texts(&hosts));
            for (name, outcome) in hosts.into_iter().zip(outcomes) {
                let port = match name.entry {
                    Entry::Host(_, port) => port,
                    _ => None,
                };
                name.take_addresses(port, outcome)?;
            }
        }
        if !services.is_empty() {
            let outcomes = dns::lookup_services(&texts(&services));
            for (name, outcome) in services.into_iter().zip(outcomes) {
                name.take_service(outcome)?;
            }
        }
        Ok(())
    }

    /// The problem, if no address is known and a lookup failed.
    fn lookup_problem(&self) -> Option<Problem> {
        if self.names.iter().any(|name| !name.places.is_empty()) {
            return None;
        }
        let failed: Vec<String> = self
            .names
            .iter()
            .filter_map(|name| Some(format!("{}: {}", name_of(name), name.failure()?)))
            .take(3)
            .collect();
        let text = format!("cannot look up {}", failed.join("; "));
        let mut unknown = self.names.iter().filter(|name| name.failure().is_some());
        match failed.is_empty() {
            true => None,
            // Only an operator can fix that.
            false if unknown.all(Watched::is_denied) => Some(Problem::Denied(text)),
            false => Some(Problem::Temporary(text)),
        }
    }

    fn candidates(&mut self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for name in &self.names {
            if let (Some(why), true) = (name.failure(), name.places.is_empty()) {
                candidates.push(Candidate::unresolved(name_of(name), why));
            }
            let is_literal = matches!(name.entry, Entry::Address(..));
            for (address, port) in &name.places {
                if address.is_loopback() && !self.on_loopback && !is_literal {
                    if !self.has_logged_loopback {
                        self.has_logged_loopback = true;
                        log::info(
                            "loopback addresses are ignored: they mean each host itself, and this member is not on loopback",
                            &[("name", &name_of(name)), ("address", address)],
                        );
                    }
                    continue;
                }
                candidates.push(Candidate {
                    address: address.to_string(),
                    port: *port,
                    attributes: Vec::new(),
                });
            }
        }
        candidates
    }
}

fn name_of(name: &Watched) -> &str {
    match &name.entry {
        Entry::Address(..) => "",
        Entry::Host(name, _) | Entry::Service(name) => name,
    }
}

export_mode!(Dns);

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_mode_sdk::dns::{Addresses, DnsError};

    fn mode(argument: &str, own: &str) -> Dns {
        let me = LocalMember {
            cluster_name: "development".to_owned(),
            member_id: "m1".to_owned(),
            addresses: vec![own.to_owned()],
            port: 6900,
            attributes: Vec::new(),
        };
        let settings = vec![("servers".to_owned(), "10.0.0.53".to_owned())];
        Dns::configure(ModeConfig { argument: argument.to_owned(), settings }, me).unwrap()
    }

    fn answer(mode: &mut Dns, at: usize, outcome: Result<&[&str], DnsError>) {
        let outcome = outcome.map(|addresses| Addresses {
            addresses: addresses.iter().map(ToString::to_string).collect(),
            ttl_s: 30,
        });
        mode.names[at].take_addresses(Some(6900), outcome).unwrap();
    }

    fn found(mode: &mut Dns) -> Vec<String> {
        mode.candidates().into_iter().map(|found| found.address).collect()
    }

    #[test]
    fn loopback_addresses_are_ignored_unless_the_member_is_on_loopback() {
        let mut remote = mode("a,127.0.0.9", "10.0.0.1");
        answer(&mut remote, 0, Ok(&["127.0.0.1", "10.0.0.2", "::1"]));
        assert_eq!(found(&mut remote), ["10.0.0.2", "127.0.0.9"]);
        let mut local = mode("a", "127.0.0.1");
        answer(&mut local, 0, Ok(&["127.0.0.1", "10.0.0.2"]));
        assert_eq!(found(&mut local), ["127.0.0.1", "10.0.0.2"]);
    }

    #[test]
    fn a_failed_lookup_is_not_an_empty_network() {
        let mut mode = mode("a,b", "10.0.0.1");
        answer(&mut mode, 0, Err(DnsError::NotFound));
        assert!(mode.lookup_problem().is_none(), "the name does not exist");
        answer(&mut mode, 1, Err(DnsError::Temporary("no answer from 10.0.0.53:53".to_owned())));
        let Some(Problem::Temporary(text)) = mode.lookup_problem() else {
            panic!("expected a problem")
        };
        assert_eq!(text, "cannot look up b: no answer from 10.0.0.53:53");
        answer(&mut mode, 0, Ok(&["10.0.0.2"]));
        assert!(mode.lookup_problem().is_none(), "the other name is used");
        let candidates = mode.candidates();
        assert_eq!(
            (candidates[0].address.as_str(), candidates[1].address.as_str()),
            ("10.0.0.2", "b")
        );
        let why = ("unresolved".to_owned(), "no answer from 10.0.0.53:53".to_owned());
        assert_eq!(candidates[1].attributes, [why]);
        // The addresses of a name are kept while its server is down.
        answer(&mut mode, 0, Err(DnsError::Temporary("no answer".to_owned())));
        assert_eq!(mode.candidates().len(), 2);
    }

    #[test]
    fn a_denied_name_stops_the_mode_only_if_no_other_name_can_be_looked_up() {
        let mut mode = mode("a,b", "10.0.0.1");
        answer(&mut mode, 0, Err(DnsError::Denied));
        answer(&mut mode, 1, Err(DnsError::Temporary("no answer".to_owned())));
        assert!(
            matches!(mode.lookup_problem(), Some(Problem::Temporary(_))),
            "b may resolve later"
        );
        answer(&mut mode, 1, Err(DnsError::NotFound));
        let expected = "cannot look up a: it is not granted".to_owned();
        assert_eq!(mode.lookup_problem(), Some(Problem::Denied(expected)));
        answer(&mut mode, 1, Ok(&["10.0.0.2"]));
        assert_eq!(mode.lookup_problem(), None);
    }
}
