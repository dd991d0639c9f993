//! The modes in this binary: their components, and what each is given when the
//! operator says no more than its name and argument.
//!
//! A built-in mode has no privilege: its usual grants are what an operator could
//! write, cut down to what its argument and settings ask for.

mod dns;
mod domain;
mod kubernetes;
mod multicast;
mod tcpip;

use convoke_discovery::Grants;

use crate::interfaces::Choice;
use crate::settings::{ModeSettings, Settings};
pub(crate) use domain::is_loopback;

/// Which servers are asked, and as whom.
type Access = fn(&ModeSettings, &mut Grants) -> Result<(), String>;

/// One mode in this binary.
pub(crate) struct BuiltIn {
    pub(crate) name: &'static str,
    /// Its component, compiled ahead of time.
    pub(crate) component: &'static [u8],
    /// Settings that it gets unless the operator wrote them.
    pub(crate) settings: fn(&Settings, &Choice) -> Vec<(&'static str, String)>,
    /// Where its argument depends on this member: what it gets in place of the operator's.
    pub(crate) argument: Option<fn(&str, &Choice) -> String>,
    /// Grants that it gets unless the operator wrote some.
    pub(crate) grants: fn(&Settings, &Choice, &ModeSettings) -> Grants,
    /// Where its settings say something of the host's part: adds that to whatever
    /// grants it has.
    pub(crate) access: Option<Access>,
}

const TABLE: &[BuiltIn] =
    &[multicast::MODE, tcpip::MODE, dns::MODE, kubernetes::MODE, domain::MODE];

/// The mode of this name, if it is built in.
pub(crate) fn find(name: &str) -> Option<&'static BuiltIn> {
    TABLE.iter().find(|mode| mode.name == name)
}

/// The operator's value for one of a mode's settings.
fn setting<'a>(mode: &'a ModeSettings, key: &str) -> Option<&'a str> {
    mode.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use crate::settings::BUILT_IN;

    #[test]
    fn every_mode_that_users_can_name_is_here() {
        assert_eq!(TABLE.iter().map(|mode| mode.name).collect::<Vec<_>>(), BUILT_IN);
    }
}
