//! Finds the cluster of a domain server.
//!
//! The argument is one address: `das.example`, `10.0.0.5:4900`, `[fd00::5]:4900`; the port
//! defaults to 4900. The host probes it. A member of this cluster at that address, a domain
//! server or any other, is a candidate, and so is the coordinator of its cluster, in case the
//! server is about to stop.
//!
//! If the domain server is down, the member waits for it for about 8 seconds, and then
//! continues without it and keeps looking. With the setting `required = true` it waits without
//! a limit. If the server belongs to another cluster, or is not a member, the member waits
//! until that is corrected.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the glue only"))]

mod server;
mod tracker;

use convoke_mode_sdk::probe::{self, Target};
use convoke_mode_sdk::{
    LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, log, quoted,
};

use server::Server;
use tracker::Tracker;

/// Timeout of a probe, in milliseconds: a handshake takes a few milliseconds.
const PROBE_MS: u32 = 2_000;

/// The mode: one domain server.
struct Domain {
    tracker: Tracker,
}

impl Mode for Domain {
    fn configure(config: ModeConfig, me: LocalMember) -> Result<Self, Problem> {
        let mut required = false;
        for (key, value) in &config.settings {
            match key.as_str() {
                "required" => {
                    required = value.parse().map_err(|_| {
                        Problem::Misconfigured(format!(
                            "{} is neither true nor false (in required = {value})",
                            quoted(value)
                        ))
                    })?;
                }
                _ => log::warn("unknown setting ignored", &[("setting", key)]),
            }
        }
        let server = Server::parse(&config.argument).map_err(Problem::Misconfigured)?;
        Ok(Self { tracker: Tracker::new(server, &me, required) })
    }

    fn discover(&mut self) -> Result<Snapshot, Problem> {
        let Server { host, port } = self.tracker.server().clone();
        let outcomes = probe::probe(&[Target { host, port }], PROBE_MS);
        match outcomes.into_iter().next() {
            Some(outcome) => self.tracker.take(outcome),
            None => Err(Problem::Failed("the host returned no outcome of a probe".to_owned())),
        }
    }
}

export_mode!(Domain);

#[cfg(test)]
mod tests {
    use super::*;

    fn configure(argument: &str, settings: &[(&str, &str)]) -> Result<Domain, Problem> {
        let settings = settings.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let me = LocalMember {
            cluster_name: "development".to_owned(),
            member_id: "m1".to_owned(),
            addresses: vec!["127.0.0.1".to_owned()],
            port: 6900,
            attributes: Vec::new(),
        };
        Domain::configure(ModeConfig { argument: argument.to_owned(), settings }, me)
    }

    #[test]
    fn invalid_configuration_is_misconfigured() {
        let refused = |result: Result<Domain, Problem>| match result {
            Err(Problem::Misconfigured(text)) => text,
            _ => panic!("it must be rejected"),
        };
        assert!(refused(configure("", &[])).starts_with("the argument is empty"));
        let settings = [("required", "maybe")];
        assert_eq!(
            refused(configure("das", &settings)),
            "\"maybe\" is neither true nor false (in required = maybe)"
        );
    }

    #[test]
    fn unknown_settings_are_ignored() {
        assert!(configure("das", &[("colour", "blue"), ("required", "true")]).is_ok());
    }
}
