//! Finds members at the addresses of a list: the argument, separated by commas.
//!
//! Replace the list by what you have: a file, a registry, a question over HTTP.

use std::net::IpAddr;

use convoke_mode_sdk::{
    Candidate, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, quoted, tracing,
};

/// The mode: its places.
struct List {
    places: Vec<Candidate>,
}

impl Mode for List {
    /// Called once: checks what the operator wrote. Whatever is malformed is
    /// `Misconfigured`, in words that start with the offending value.
    fn configure(config: ModeConfig, _me: LocalMember) -> Result<Self, Problem> {
        config.only(&["port"])?;
        // Without one: the cluster's own start port.
        let port = config.number("port", 1..=u16::MAX)?;
        let entries = config.argument.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let place = |entry: &str| match entry.parse::<IpAddr>() {
            Ok(address) => Ok(Candidate::at(address, port)),
            Err(_) => Err(Problem::Misconfigured(format!(
                "{} is not an IP address; expected a list such as 10.0.0.1,10.0.0.2",
                quoted(entry)
            ))),
        };
        let places = entries.map(place).collect::<Result<Vec<_>, _>>()?;
        tracing::debug!(places = places.len(), "list read");
        Ok(Self { places })
    }

    /// Called now and then: every place known now. Nobody found is an empty snapshot;
    /// what may pass is `Temporary`, and the host asks again.
    fn discover(&mut self) -> Result<Snapshot, Problem> {
        Ok(Snapshot::of(self.places.clone()))
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
    fn every_address_of_the_list_is_a_place() {
        let config = ModeConfig::of("10.0.0.1, 2001:db8::2").with("port", 6900);
        let found = configure(config).unwrap().discover().unwrap();
        let expected = [Candidate::at("10.0.0.1", 6900), Candidate::at("2001:db8::2", 6900)];
        assert_eq!(found.candidates, expected);
    }

    #[test]
    fn an_empty_list_is_nobody() {
        assert!(configure(ModeConfig::of("")).unwrap().discover().unwrap().candidates.is_empty());
    }

    #[test]
    fn what_is_no_address_is_for_the_operator() {
        let Err(Problem::Misconfigured(text)) = configure(ModeConfig::of("10.0.0.300")) else {
            panic!("it must be refused");
        };
        assert!(text.starts_with("\"10.0.0.300\" is not an IP address"), "{text}");
        assert!(configure(ModeConfig::of("10.0.0.1").with("prot", 1)).is_err());
    }
}
