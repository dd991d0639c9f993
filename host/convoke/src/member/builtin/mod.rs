//! The built-in modes: their components and default grants.
//!
//! A built-in mode has no privilege: its default grants are grants that an operator could write,
//! reduced to what its argument and settings need.

mod dns;
mod domain;
mod kubernetes;
mod multicast;
mod tcpip;

use convoke_discovery::Grants;

use crate::interfaces::Choice;
use crate::settings::{ModeSettings, Settings};
pub(crate) use domain::is_loopback;

/// Sets the servers and credentials that a mode's grants refer to.
type Access = fn(&ModeSettings, &mut Grants) -> Result<(), String>;

/// A built-in mode.
pub(crate) struct BuiltIn {
    pub(crate) name: &'static str,
    /// The precompiled component.
    pub(crate) component: &'static [u8],
    /// Settings that the mode gets, unless the operator set them.
    pub(crate) settings: fn(&Settings, &Choice) -> Vec<(&'static str, String)>,
    /// The argument that replaces the operator's, if it depends on this member.
    pub(crate) argument: Option<fn(&str, &Choice) -> String>,
    /// Grants that the mode gets, unless the operator configured grants.
    pub(crate) grants: fn(&Settings, &Choice, &ModeSettings) -> Grants,
    /// Applies those of its settings that concern the host; they extend any grants.
    pub(crate) access: Option<Access>,
}

const TABLE: &[BuiltIn] =
    &[multicast::MODE, tcpip::MODE, dns::MODE, kubernetes::MODE, domain::MODE];

/// The built-in mode of this name, if there is one.
pub(crate) fn find(name: &str) -> Option<&'static BuiltIn> {
    TABLE.iter().find(|mode| mode.name == name)
}

/// The operator's value of a mode's setting.
fn setting<'a>(mode: &'a ModeSettings, key: &str) -> Option<&'a str> {
    mode.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use crate::settings::BUILT_IN;

    #[test]
    fn the_table_has_every_built_in_mode() {
        assert_eq!(TABLE.iter().map(|mode| mode.name).collect::<Vec<_>>(), BUILT_IN);
    }
}
