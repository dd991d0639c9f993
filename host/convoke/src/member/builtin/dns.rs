//! `dns`: looks up the names in its argument, with the system's servers or those of the setting
//! `servers`.

use convoke_discovery::Grants;

use super::{BuiltIn, setting};
use crate::settings::ModeSettings;

/// Granted for an argument without a name: the mode then refuses its argument, or has nothing to
/// look up.
const UNUSED: &str = "localhost";

pub(super) const MODE: BuiltIn = BuiltIn {
    name: "dns",
    component: include_bytes!(concat!(env!("OUT_DIR"), "/dns.cwasm")),
    settings: |_, _| Vec::new(),
    argument: None,
    grants: |_, _, mode| {
        let mut grants = Grants::default();
        for name in names(&mode.argument) {
            grants.dns.add_name(name);
        }
        if grants.dns.is_empty() {
            grants.dns.add_name(UNUSED);
        }
        grants
    },
    access: Some(servers),
};

/// The names at the front of the argument's entries. Malformed entries are left for the mode to
/// refuse.
fn names(argument: &str) -> impl Iterator<Item = &str> {
    let separates = |c: char| matches!(c, ',' | ';') || c.is_whitespace();
    argument.split(separates).filter_map(|entry| {
        let service = entry.get(..4).filter(|front| front.eq_ignore_ascii_case("srv:"));
        let name = match service {
            Some(_) => &entry[4..],
            None => entry.split(':').next().unwrap_or_default(),
        };
        (!name.is_empty()).then_some(name)
    })
}

fn servers(mode: &ModeSettings, grants: &mut Grants) -> Result<(), String> {
    let Some(list) = setting(mode, "servers") else { return Ok(()) };
    let mut any = false;
    for server in list.split([',', ';', ' ']).filter(|server| !server.is_empty()) {
        any = true;
        grants.dns.add_server(server).map_err(|why| format!("servers: {why}"))?;
    }
    if any {
        return Ok(());
    }
    Err(format!(
        "servers: {list:?} has no DNS server; expected 10.0.0.53 or 10.0.0.53:53, [fd00::53]:53"
    ))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_are_taken_from_entries_of_all_kinds() {
        let found: Vec<&str> =
            names("a.example:6900, b;srv:_x._tcp.c\t[::1]:1,,10.0.0.1").collect();
        assert_eq!(found, ["a.example", "b", "_x._tcp.c", "[", "10.0.0.1"]);
    }
}
