//! The whole argument: entries, counted together and expanded.

use std::collections::BTreeSet;

use convoke_mode_sdk::quoted;

use crate::entry::{Entry, Place};
use crate::ports::Ports;

/// Places one configuration may stand for. Each is dialled by the host.
const PLACES_MAX: u128 = 65_536;

/// Expands the argument into places: in the order they were written, each
/// once. Errors are for the operator, and start with the offending value.
pub(crate) fn expand(argument: &str, default_ports: Ports) -> Result<Vec<Place>, String> {
    let mut entries = Vec::new();
    let mut total: u128 = 0;
    for text in split(argument)? {
        let entry = Entry::parse(text, default_ports).map_err(|fault| fault.describe(text))?;
        let count = entry.count();
        if count > PLACES_MAX {
            return Err(too_many(text, &entry));
        }
        total += count;
        if total > PLACES_MAX {
            return Err(format!(
                "{} brings the list to {total} places, at most {PLACES_MAX} in all: shorten the \
                 list, or name one port for each entry",
                quoted(text)
            ));
        }
        entries.push(entry);
    }
    let mut seen = BTreeSet::new();
    Ok(entries.iter().flat_map(Entry::places).filter(|place| seen.insert(place.clone())).collect())
}

/// Cuts the argument at `,`, `;` and white space. White space beside a
/// separator is only white space; two separators with nothing between them are
/// a slip.
fn split(argument: &str) -> Result<Vec<&str>, String> {
    if argument.trim().is_empty() {
        return Err("no address is given; expected a list such as \
                    tcpip:10.0.0.1-20,10.0.1.0/28:6900-6902"
            .to_owned());
    }
    let mut texts = Vec::new();
    for (index, part) in argument.split([',', ';']).enumerate() {
        if part.trim().is_empty() {
            return Err(format!(
                "{} has nothing between its separators at part {}; expected a list such as \
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
    let hint = if addresses <= PLACES_MAX {
        let port = entry.ports.first();
        let host = text.strip_suffix(&format!(":{}", entry.ports)).unwrap_or(text);
        format!("name one port, as in {host}:{port}")
    } else {
        "name a smaller range or network".to_owned()
    };
    let ports = if ports == 1 { "1 port".to_owned() } else { format!("{ports} ports") };
    format!(
        "{} stands for {} places ({} addresses × {ports}), at most {PLACES_MAX} in all: {hint}",
        quoted(text),
        in_words(entry.count()),
        in_words(addresses),
    )
}

/// A count that a reader can still take in.
fn in_words(count: u128) -> String {
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

    fn places(argument: &str) -> Vec<String> {
        let places = expand(argument, defaults()).unwrap();
        places.into_iter().map(|place| format!("{} {}", place.host(), place.port)).collect()
    }

    fn refusal(argument: &str) -> String {
        expand(argument, defaults()).unwrap_err()
    }

    #[test]
    fn entries_are_separated_by_commas_semicolons_or_white_space() {
        let expected = ["10.0.0.1 1", "10.0.0.2 2", "10.0.0.3 3", "::1 4"];
        assert_eq!(places("10.0.0.1:1,10.0.0.2:2;10.0.0.3:3 [::1]:4"), expected);
        assert_eq!(places(" 10.0.0.1:1 , 10.0.0.2:2 ;\t10.0.0.3:3\n[::1]:4 "), expected);
    }

    #[test]
    fn a_place_is_listed_once_where_it_was_first_written() {
        assert_eq!(
            places("10.0.0.3:1,10.0.0.1-3:1,localhost:1,127.0.0.1:1"),
            ["10.0.0.3 1", "10.0.0.1 1", "10.0.0.2 1", "127.0.0.1 1"]
        );
    }

    #[test]
    fn an_empty_list_is_refused() {
        for argument in ["", " ", "\t\n"] {
            assert_eq!(
                refusal(argument),
                "no address is given; expected a list such as \
                 tcpip:10.0.0.1-20,10.0.1.0/28:6900-6902"
            );
        }
    }

    #[test]
    fn an_empty_entry_is_refused() {
        assert_eq!(
            refusal("10.0.0.1,,10.0.0.2"),
            "\"10.0.0.1,,10.0.0.2\" has nothing between its separators at part 2; expected a list \
             such as 10.0.0.1,10.0.0.2"
        );
        for argument in [",", ";", "10.0.0.1,", ",10.0.0.1", "10.0.0.1; ;10.0.0.2"] {
            assert!(refusal(argument).contains("has nothing between its separators"), "{argument}");
        }
    }

    #[test]
    fn an_entry_that_stands_for_too_much_says_how_much_and_what_to_do() {
        assert_eq!(
            refusal("10.0.0.0/16"),
            "\"10.0.0.0/16\" stands for 196608 places (65536 addresses × 3 ports), at most 65536 \
             in all: name one port, as in 10.0.0.0/16:6900"
        );
        assert_eq!(
            refusal("10.0.*.*:7000-7001"),
            "\"10.0.*.*:7000-7001\" stands for 131072 places (65536 addresses × 2 ports), at most \
             65536 in all: name one port, as in 10.0.*.*:7000"
        );
        assert_eq!(
            refusal("10.0.0.0/8:7000"),
            "\"10.0.0.0/8:7000\" stands for 16777216 places (16777216 addresses × 1 port), at most \
             65536 in all: name a smaller range or network"
        );
        assert_eq!(
            refusal("::/0"),
            "\"::/0\" stands for more than 10^15 places (more than 10^15 addresses × 3 ports), at \
             most 65536 in all: name a smaller range or network"
        );
    }

    #[test]
    fn the_bound_holds_for_the_whole_list() {
        assert_eq!(expand("10.0.0.0/16:6900", defaults()).unwrap().len(), 65_536);
        assert_eq!(
            refusal("10.0.0.0/16:6900,::1"),
            "\"::1\" brings the list to 65539 places, at most 65536 in all: shorten the list, or \
             name one port for each entry"
        );
    }

    /// Texts that look like a list more often than chance would make them.
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
        fn no_text_makes_it_panic_or_exceed_the_bound(
            argument in prop_oneof![any::<String>(), almost_a_list()],
        ) {
            if let Ok(places) = expand(&argument, defaults()) {
                prop_assert!(!places.is_empty());
                prop_assert!(places.len() as u128 <= PLACES_MAX);
            }
        }

        #[test]
        fn what_is_written_as_a_place_is_read_as_that_place(
            places in prop::collection::vec((any::<IpAddr>(), 1_u16..), 1..20),
        ) {
            let written: Vec<_> = places
                .iter()
                .map(|&(address, port)| std::net::SocketAddr::new(address, port).to_string())
                .collect();
            let mut expected: Vec<(IpAddr, u16)> = Vec::new();
            for place in places {
                if !expected.contains(&place) {
                    expected.push(place);
                }
            }
            let read = expand(&written.join(","), defaults()).unwrap();
            let read: Vec<_> = read.iter().map(|place| (place.address, place.port)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn a_network_holds_exactly_the_addresses_that_share_its_prefix(
            bits: u32, prefix in 20_u32..=32,
        ) {
            let base = std::net::Ipv4Addr::from_bits(bits);
            let places = expand(&format!("{base}/{prefix}:1"), defaults()).unwrap();
            prop_assert_eq!(places.len(), 1 << (32 - prefix));
            prop_assert!(places.iter().any(|place| place.address == IpAddr::V4(base)));
            for place in places {
                let IpAddr::V4(address) = place.address else { unreachable!("an IPv4 network") };
                prop_assert_eq!((address.to_bits() ^ bits).checked_shr(32 - prefix).unwrap_or(0), 0);
            }
        }
    }
}
