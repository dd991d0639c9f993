//! `domain`: one place to probe, the one that its argument names.

use convoke_discovery::Grants;

use super::BuiltIn;

/// The data grid port of a domain server.
const PORT: u16 = 4900;
/// For an argument that the mode will refuse in its own words: it gets a grant
/// that it will not use.
const UNUSED: &str = "127.0.0.1:4900";

pub(super) const MODE: BuiltIn = BuiltIn {
    name: "domain",
    component: include_bytes!(concat!(env!("OUT_DIR"), "/domain.cwasm")),
    settings: |_, _| Vec::new(),
    grants: |_, _, mode| {
        let grant = |place: &str| Grants::parse([("probe", [place].as_slice())]);
        grant(&place(mode.argument.trim())).or_else(|_| grant(UNUSED)).unwrap_or_default()
    },
    access: None,
};

/// The argument with its port, as a grant is written.
fn place(argument: &str) -> String {
    if argument.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{argument}]:{PORT}");
    }
    let has_port = argument.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port { argument.to_owned() } else { format!("{argument}:{PORT}") }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_place_has_its_port() {
        for (argument, expected) in [
            ("das", "das:4900"),
            ("das:7000", "das:7000"),
            ("fd00::5", "[fd00::5]:4900"),
            ("[fd00::5]", "[fd00::5]:4900"),
            ("[fd00::5]:7000", "[fd00::5]:7000"),
        ] {
            assert_eq!(place(argument), expected);
        }
    }
}
