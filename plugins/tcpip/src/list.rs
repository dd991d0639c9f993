//! Parses and expands the whole argument, after checking its size.

use std::collections::BTreeSet;

use convoke_mode_sdk::quoted;

use crate::entry::{Entry, Target};
use crate::ports::Ports;

/// Targets of one configuration. The host tries each of them.
const TARGETS_MAX: u128 = 65_536;

/// Expands the argument into targets, in the order of the list and without duplicates. Error
/// texts are for the operator, and start with the offending value.
pub(crate) fn expand(argument: &str, default_ports: Ports) -> Result<Vec<Target>, String> {
    let mut entries = Vec::new();
    let mut total: u128 = 0;
    for text in split(argument)? {
        let entry = Entry::parse(text, default_ports).map_err(|fault| fault.describe(text))?;
        let count = entry.count();
        if count > TARGETS_MAX {
            return Err(too_many(text, &entry));
        }
        total += count;
        if total > TARGETS_MAX {
            return Err(format!(
                "{} increases the list to {total} targets; the limit is {TARGETS_MAX}; shorten the \
                 list, or specify one port for each entry",
                quoted(text)
            ));
        }
        entries.push(entry);
    }
    let mut seen = BTreeSet::new();
    Ok(entries
        .iter()
        .flat_map(Entry::targets)
        .filter(|target| seen.insert(target.clone()))
        .collect())
}

/// Splits the argument at `,`, `;` and white space. White space beside a separator is ignored;
/// two separators with nothing between them are an error.
fn split(argument: &str) -> Result<Vec<&str>, String> {
    if argument.trim().is_empty() {
        return Err("the argument is empty; expected a list such as \
                    tcpip:10.0.0.1-20,10.0.1.0/28:6900-6902"
            .to_owned());
    }
    let mut texts = Vec::new();
    for (index, part) in argument.split([',', ';']).enumerate() {
        if part.trim().is_empty() {
            return Err(format!(
                "{} has an empty entry at position {}; expected a list such as \
                 10.0.0.1,10.0.0.2",
                quoted(argument),
                index + 1
            ));
        }
        texts.extend(part.split_whitespace());
    }
    Ok(texts)
}

fn too_many(text: &str, entry: &Entry) -> String {
    let (addresses, ports) = (entry.addresses.count(), entry.ports.count());
    let hint = if addresses <= TARGETS_MAX {
        let port = entry.ports.first();
        let host = text.strip_suffix(&format!(":{}", entry.ports)).unwrap_or(text);
        format!("specify one port, as in {host}:{port}")
    } else {
        "specify a smaller range or network".to_owned()
    };
    let ports = if ports == 1 { "1 port".to_owned() } else { format!("{ports} ports") };
    format!(
        "{} expands to {} targets ({} addresses × {ports}); the limit is {TARGETS_MAX}; {hint}",
        quoted(text),
        readable(entry.count()),
        readable(addresses),
    )
}

/// A number, unless it is too large to be readable.
fn readable(count: u128) -> String {
    const READABLE_MAX: u128 = 1_000_000_000_000_000;
    if count > READABLE_MAX { "more than 10^15".to_owned() } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn defaults() -> Ports {
        Ports::beside(6900)
    }

    fn targets(argument: &str) -> Vec<String> {
        let targets = expand(argument, defaults()).unwrap();
        targets.into_iter().map(|target| format!("{} {}", target.host(), target.port)).collect()
    }

    fn refusal(argument: &str) -> String {
        expand(argument, defaults()).unwrap_err()
    }

    #[test]
    fn entries_are_separated_by_commas_semicolons_or_white_space() {
        let expected = ["10.0.0.1 1", "10.0.0.2 2", "10.0.0.3 3", "::1 4"];
        assert_eq!(targets("10.0.0.1:1,10.0.0.2:2;10.0.0.3:3 [::1]:4"), expected);
        assert_eq!(targets(" 10.0.0.1:1 , 10.0.0.2:2 ;\t10.0.0.3:3\n[::1]:4 "), expected);
    }

    #[test]
    fn duplicates_are_removed() {
        assert_eq!(
            targets("10.0.0.3:1,10.0.0.1-3:1,localhost:1,127.0.0.1:1"),
            ["10.0.0.3 1", "10.0.0.1 1", "10.0.0.2 1", "127.0.0.1 1"]
        );
    }

    #[test]
    fn an_empty_list_is_rejected() {
        for argument in ["", " ", "\t\n"] {
            assert_eq!(
                refusal(argument),
                "the argument is empty; expected a list such as \
                 tcpip:10.0.0.1-20,10.0.1.0/28:6900-6902"
            );
        }
    }

    #[test]
    fn an_empty_entry_is_rejected() {
        assert_eq!(
            refusal("10.0.0.1,,10.0.0.2"),
            "\"10.0.0.1,,10.0.0.2\" has an empty entry at position 2; expected a list \
             such as 10.0.0.1,10.0.0.2"
        );
        for argument in [",", ";", "10.0.0.1,", ",10.0.0.1", "10.0.0.1; ;10.0.0.2"] {
            assert!(refusal(argument).contains("has an empty entry"), "{argument}");
        }
    }

    #[test]
    fn an_entry_that_is_too_large_is_rejected_with_its_size_and_a_hint() {
        assert_eq!(
            refusal("10.0.0.0/16"),
            "\"10.0.0.0/16\" expands to 196608 targets (65536 addresses × 3 ports); the limit is \
             65536; specify one port, as in 10.0.0.0/16:6900"
        );
        assert_eq!(
            refusal("10.0.*.*:7000-7001"),
            "\"10.0.*.*:7000-7001\" expands to 131072 targets (65536 addresses × 2 ports); the limit is \
             65536; specify one port, as in 10.0.*.*:7000"
        );
        assert_eq!(
            refusal("10.0.0.0/8:7000"),
            "\"10.0.0.0/8:7000\" expands to 16777216 targets (16777216 addresses × 1 port); the limit is \
             65536; specify a smaller range or network"
        );
        assert_eq!(
            refusal("::/0"),
            "\"::/0\" expands to more than 10^15 targets (more than 10^15 addresses × 3 ports); the \
             limit is 65536; specify a smaller range or network"
        );
    }

    #[test]
    fn the_limit_applies_to_the_whole_list() {
        assert_eq!(expand("10.0.0.0/16:6900", defaults()).unwrap().len(), 65_536);
        assert_eq!(
            refusal("10.0.0.0/16:6900,::1"),
            "\"::1\" increases the list to 65539 targets; the limit is 65536; shorten the list, or \
             specify one port for each entry"
        );
    }

    /// Generates texts that resemble a list.
    fn almost_a_list() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "10",
            "0",
            "255",
            "256",
            ".",
            ".",
            ".",
            "-",
            "*",
            ":",
            "::",
            "/",
            "[",
            "]",
            ",",
            ";",
            " ",
            "6900",
            "70000",
            "fd00",
            "1",
            "24",
            "120",
            "localhost",
            "é",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn parsing_never_panics_or_exceeds_the_limit(
            argument in prop_oneof![any::<String>(), almost_a_list()],
        ) {
            if let Ok(targets) = expand(&argument, defaults()) {
                prop_assert!(!targets.is_empty());
                prop_assert!(targets.len() as u128 <= TARGETS_MAX);
            }
        }

        #[test]
        fn a_written_target_is_parsed_as_that_target(
            targets in prop::collection::vec((any::<IpAddr>(), 1_u16..), 1..20),
        ) {
            let written: Vec<_> = targets
                .iter()
                .map(|&(address, port)| std::net::SocketAddr::new(address, port).to_string())
                .collect();
            let mut expected: Vec<(IpAddr, u16)> = Vec::new();
            for target in targets {
                if !expected.contains(&target) {
                    expected.push(target);
                }
            }
            let read = expand(&written.join(","), defaults()).unwrap();
            let read: Vec<_> = read.iter().map(|target| (target.address, target.port)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn a_network_contains_exactly_the_addresses_with_its_prefix(
            bits: u32, prefix in 20_u32..=32,
        ) {
            let base = std::net::Ipv4Addr::from_bits(bits);
            let targets = expand(&format!("{base}/{prefix}:1"), defaults()).unwrap();
            prop_assert_eq!(targets.len(), 1 << (32 - prefix));
            prop_assert!(targets.iter().any(|target| target.address == IpAddr::V4(base)));
            for target in targets {
                let IpAddr::V4(address) = target.address else { unreachable!("an IPv4 network") };
                prop_assert_eq!((address.to_bits() ^ bits).checked_shr(32 - prefix).unwrap_or(0), 0);
            }
        }
    }
}
