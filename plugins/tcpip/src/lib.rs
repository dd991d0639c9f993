//! Finds members in a list of addresses, ranges and networks.
//!
//! The argument is a list separated by `,`, `;` or white space. Each entry has addresses, and
//! optionally ports after a colon:
//!
//! | entry | addresses |
//! |---|---|
//! | `10.0.0.1`, `localhost` | one address |
//! | `10.0.0.1-20`, `10.0.0-3.*` | a range, or all values, of any octet |
//! | `10.0.0.1-10.0.1.20` | all addresses between two addresses |
//! | `10.0.1.0/28` | a network, including its first and last address |
//! | `::1`, `[::1]` | one IPv6 address |
//! | `fd00::/120`, `[fd00::]/120` | an IPv6 network |
//! | `fe80::1%eth1`, `[fe80::1%eth1]` | a link-local address of that interface |
//! | any of these with `:6900` or `:6900-6910` | these ports; an IPv6 address with a port needs
//! brackets |
//!
//! Without a port, three ports are tried: the cluster's start port and the next two, which
//! members on one machine use. The host passes the start port as the setting `start-port`.
//!
//! Names are rejected: this mode has no grants, so it cannot query DNS. The list is expanded
//! once, after its size has been checked.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the glue only"))]

mod addresses;
mod entry;
mod fault;
mod list;
mod ports;

use convoke_mode_sdk::{
    Candidate, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, log,
};
use entry::Target;
use ports::Ports;

/// The list never changes: a further call only helps if the host has lost the result.
const LOOK_AGAIN_MS: u32 = 60_000;

/// The mode: the expanded list.
struct Tcpip {
    targets: Vec<Target>,
}

impl Mode for Tcpip {
    fn configure(config: ModeConfig, _me: LocalMember) -> Result<Self, Problem> {
        let mut default_ports = Ports::beside(ports::START_PORT);
        for (key, value) in &config.settings {
            match key.as_str() {
                "start-port" => {
                    let port = ports::parse_port(value).map_err(|fault| {
                        Problem::Misconfigured(fault.describe(&format!("start-port = {value}")))
                    })?;
                    default_ports = Ports::beside(port);
                }
                _ => log::warn("unknown setting ignored", &[("setting", key)]),
            }
        }
        let targets =
            list::expand(&config.argument, default_ports).map_err(Problem::Misconfigured)?;
        Ok(Self { targets })
    }

    fn discover(&mut self) -> Result<Snapshot, Problem> {
        let candidate = |target: &Target| Candidate {
            address: target.host(),
            port: Some(target.port),
            attributes: Vec::new(),
        };
        Ok(Snapshot {
            candidates: self.targets.iter().map(candidate).collect(),
            complete: false,
            look_again_ms: Some(LOOK_AGAIN_MS),
        })
    }
}

export_mode!(Tcpip);

#[cfg(test)]
mod tests {
    use super::*;

    fn configure(argument: &str, settings: &[(&str, &str)]) -> Result<Tcpip, Problem> {
        let settings = settings.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let me = LocalMember {
            cluster_name: "development".to_owned(),
            member_id: "m1".to_owned(),
            addresses: vec!["127.0.0.1".to_owned()],
            port: 6900,
            attributes: Vec::new(),
        };
        Tcpip::configure(ModeConfig { argument: argument.to_owned(), settings }, me)
    }

    fn seen(mode: &mut Tcpip) -> Vec<(String, Option<u16>)> {
        let snapshot = mode.discover().expect("this mode's calls cannot fail");
        assert!(!snapshot.complete);
        assert_eq!(snapshot.look_again_ms, Some(LOOK_AGAIN_MS));
        snapshot.candidates.into_iter().map(|found| (found.address, found.port)).collect()
    }

    #[test]
    fn every_call_returns_the_whole_list() {
        let mut mode = configure("10.0.0.1:7000,[::1]:7001", &[]).unwrap();
        let expected = vec![("10.0.0.1".to_owned(), Some(7000)), ("::1".to_owned(), Some(7001))];
        assert_eq!(seen(&mut mode), expected);
        assert_eq!(seen(&mut mode), expected);
    }

    #[test]
    fn without_a_port_the_start_port_and_the_next_two_are_tried() {
        let ports = |mode: &mut Tcpip| -> Vec<_> {
            seen(mode).into_iter().filter_map(|(_, port)| port).collect()
        };
        assert_eq!(ports(&mut configure("10.0.0.1", &[]).unwrap()), [6900, 6901, 6902]);
        let settings = [("start-port", "5900")];
        assert_eq!(ports(&mut configure("10.0.0.1", &settings).unwrap()), [5900, 5901, 5902]);
        let settings = [("start-port", "65535")];
        assert_eq!(ports(&mut configure("10.0.0.1", &settings).unwrap()), [65535]);
    }

    #[test]
    fn an_invalid_start_port_is_rejected() {
        let Err(Problem::Misconfigured(text)) = configure("::1", &[("start-port", "0")]) else {
            panic!("port 0 must be rejected");
        };
        assert_eq!(
            text,
            "\"0\" is not a port (in \"start-port = 0\"); expected 1 to 65535, or a range such as \
             6900-6910"
        );
    }

    #[test]
    fn unknown_settings_are_ignored() {
        assert!(configure("::1", &[("colour", "blue")]).is_ok());
    }
}
