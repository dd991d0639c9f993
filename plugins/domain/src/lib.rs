//! Finds the cluster of a domain server.
//!
//! The argument is one place: `das.example`, `10.0.0.5:4900`, `[fd00::5]:4900`;
//! without a port, 4900. The host shakes hands there; a member of this cluster,
//! a domain server or any other, is a candidate, and so is the coordinator of
//! its cluster, for the case that the server is about to end.
//!
//! A domain server that is not there yet is waited for, some 8 seconds; then this
//! member goes on without it and keeps looking. With the setting
//! `required = true` it waits for as long as it takes. A server of another
//! cluster, or something that is no member at all, is never passed over in
//! silence: the member waits until somebody mends that.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the glue only"))]

mod meeting;
mod server;

use convoke_mode_sdk::probe::{self, Target};
use convoke_mode_sdk::{
    LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, log, quoted,
};

use meeting::Meeting;
use server::Server;

/// What the server gets to answer, in milliseconds: a handshake takes a few.
const PROBE_MS: u32 = 2_000;

/// The mode: one domain server.
struct Domain {
    meeting: Meeting,
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
        Ok(Self { meeting: Meeting::new(server, &me, required) })
    }

    fn discover(&mut self) -> Result<Snapshot, Problem> {
        let Server { host, port } = self.meeting.server().clone();
        let outcomes = probe::probe(&[Target { host, port }], PROBE_MS);
        match outcomes.into_iter().next() {
            Some(outcome) => self.meeting.take(outcome),
            None => Err(Problem::Failed("the host gave no outcome for a probe".to_owned())),
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
    fn what_is_malformed_is_for_the_operator() {
        let refused = |result: Result<Domain, Problem>| match result {
            Err(Problem::Misconfigured(text)) => text,
            _ => panic!("it must be refused"),
        };
        assert!(refused(configure("", &[])).starts_with("no domain server is named"));
        let settings = [("required", "maybe")];
        assert_eq!(
            refused(configure("das", &settings)),
            "\"maybe\" is neither true nor false (in required = maybe)"
        );
    }

    #[test]
    fn unknown_settings_do_no_harm() {
        assert!(configure("das", &[("colour", "blue"), ("required", "true")]).is_ok());
    }
}
