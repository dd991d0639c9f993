//! Finds members at the addresses of a list: the argument, separated by commas.
//!
//! Replace the list with your own lookup, for example a registry over HTTP.

use std::net::IpAddr;

use convoke_mode_sdk::{
    Candidate, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, quoted, tracing,
};

/// The mode, with the addresses of its list.
struct List {
    candidates: Vec<Candidate>,
}

impl Mode for List {
    /// Called once: checks the configuration. Anything malformed is `Misconfigured`, with a
    /// text that starts with the offending value.
    fn configure(config: ModeConfig, _me: LocalMember) -> Result<Self, Problem> {
        config.only(&["port"])?;
        // Without a port, the cluster's start port is used.
        let port = config.number("port", 1..=u16::MAX)?;
        let entries = config.argument.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let candidate = |entry: &str| match entry.parse::<IpAddr>() {
            Ok(address) => Ok(Candidate::at(address, port)),
            Err(_) => Err(Problem::Misconfigured(format!(
                "{} is not an IP address; expected a list such as 10.0.0.1,10.0.0.2",
                quoted(entry)
            ))),
        };
        let candidates = entries.map(candidate).collect::<Result<Vec<_>, _>>()?;
        tracing::debug!(count = candidates.len(), "list read");
        Ok(Self { candidates })
    }

    /// Called repeatedly: returns all members known now. If there are none, the snapshot is
    /// empty. After a `Temporary` problem the host calls again.
    fn discover(&mut self) -> Result<Snapshot, Problem> {
        Ok(Snapshot::of(self.candidates.clone()))
    }
}

export_mode!(List);

#[cfg(test)]
mod tests {
    use super::*;

    fn configure(config: ModeConfig) -> Result<List, Problem> {
        List::configure(config, LocalMember::at("10.0.0.7", 6900))
    }

    #[test]
    fn every_address_of_the_list_is_a_candidate() {
        let config = ModeConfig::of("10.0.0.1, 2001:db8::2").with("port", 6900);
        let found = configure(config).unwrap().discover().unwrap();
        let expected = [Candidate::at("10.0.0.1", 6900), Candidate::at("2001:db8::2", 6900)];
        assert_eq!(found.candidates, expected);
    }

    #[test]
    fn an_empty_list_has_no_candidates() {
        assert!(configure(ModeConfig::of("")).unwrap().discover().unwrap().candidates.is_empty());
    }

    #[test]
    fn malformed_addresses_are_rejected() {
        let Err(Problem::Misconfigured(text)) = configure(ModeConfig::of("10.0.0.300")) else {
            panic!("it must be rejected");
        };
        assert!(text.starts_with("\"10.0.0.300\" is not an IP address"), "{text}");
        assert!(configure(ModeConfig::of("10.0.0.1").with("prot", 1)).is_err());
    }
}
