//! Chooses this member's addresses by its settings.

use tracing::{info, warn};

use super::builtin;
use crate::address_list::AddressList;
use crate::describe;
use crate::interfaces::{self, Choice, Preferences, zone};
use crate::local_address::LocalAddress;
use crate::settings::Settings;

/// The input of the choice among this host's addresses.
pub(super) fn preferences(settings: &Settings) -> Preferences {
    let mut listed = AddressList::default();
    for mode in settings.modes.iter().filter(|mode| mode.plugin.is_none()) {
        match mode.name.as_str() {
            "tcpip" => listed.add(&mode.argument),
            // With this mode, loopback means this member's own address.
            "domain" if !builtin::is_loopback(&mode.argument) => listed.add(&mode.argument),
            _ => {}
        }
    }
    // Members that are also found by other modes must be able to dial this one.
    let is_all = settings.modes.iter().all(|mode| mode.name == "tcpip");
    if listed.is_loopback_only() && !is_all {
        listed = AddressList::default();
    }
    Preferences { patterns: settings.interfaces.clone(), listed }
}

/// A member list without an address in this host's networks may be that of another cluster, or
/// outdated: then no member is found, and this one founds a cluster of its own.
fn warn_of_foreign_member_list(settings: &Settings, listed: &AddressList, have: &[LocalAddress]) {
    let is_all = settings.modes.iter().all(|m| m.plugin.is_none() && m.name == "tcpip");
    let touches = listed.is_empty() || have.iter().any(|own| listed.overlaps_network_of(own));
    if !is_all || touches || settings.public_address.is_some() {
        return;
    }
    let networks = have.iter().filter(|own| !own.ip.is_loopback());
    let networks: Vec<String> = networks.map(|own| format!("{own}, /{}", own.prefix)).collect();
    warn!(
        "the member list has no address in a network of this host ({}); if no listed member answers, this member founds a cluster of its own. Check the list",
        networks.join("; ")
    );
}

/// Chooses this member's addresses, and logs the choice.
pub(super) async fn choose_interface(
    settings: &Settings,
    preferences: &Preferences,
) -> Result<Choice, String> {
    let have = interfaces::local_addresses()
        .await
        .map_err(|error| format!("cannot list this host's addresses: {error}"))?;
    let choice = preferences.choose(&have, &interfaces::system_route)?;
    zone::set(choice.primary.index);
    if !preferences.patterns.is_empty() && settings.public_address.is_none() {
        let named = have.iter().filter(|own| preferences.listed.contains(own));
        let named: Vec<String> = named.map(|own| own.ip.to_string()).collect();
        if !named.is_empty()
            && !choice.all.iter().any(|address| preferences.listed.contains(address))
        {
            warn!(
                "--interfaces selects {}, but the member list has {} for this host: members that use the list will not find this one",
                choice.primary,
                named.join(", ")
            );
        }
    }
    let unmatched = preferences.unmatched(&have);
    if !unmatched.is_empty() {
        warn!(
            unmatched = unmatched.join(", "),
            "no address of this host matches some patterns of --interfaces"
        );
    }
    warn_of_foreign_member_list(settings, &preferences.listed, &have);
    info!(
        address = %choice.primary,
        because = choice.reason,
        also = describe::list(&choice.all[1..]),
        not = choice.others.join("; "),
        "address chosen"
    );
    Ok(choice)
}
