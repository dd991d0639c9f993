//! The joined group, as an interface for the protocol.

use convoke_mode_sdk::Problem;
use convoke_mode_sdk::multicast::{Datagram, Group, MulticastError};

use crate::group_address::GroupAddress;

/// A joined group: the host's, or a fake in tests.
pub(crate) trait Lan {
    /// Sends one datagram to all other members.
    fn send(&self, payload: &[u8]) -> Result<(), MulticastError>;

    /// Takes at most `max` datagrams, waiting up to `wait_ms` for the first.
    fn receive(&self, max: u32, wait_ms: u32) -> Result<Vec<Datagram>, MulticastError>;
}

impl Lan for Group {
    fn send(&self, payload: &[u8]) -> Result<(), MulticastError> {
        Self::send(self, payload)
    }

    fn receive(&self, max: u32, wait_ms: u32) -> Result<Vec<Datagram>, MulticastError> {
        Self::receive(self, max, wait_ms)
    }
}

/// Classifies an error by how the host should react.
pub(crate) fn problem(error: MulticastError, group: GroupAddress) -> Problem {
    match error {
        MulticastError::Denied => Problem::Denied(format!(
            "group {group} is not granted; add grant = {{ multicast = [\"{group}\"] }}"
        )),
        MulticastError::InvalidAddress => Problem::Misconfigured(format!(
            "group {group} cannot be joined; {}",
            crate::group_address::EXPECTED
        )),
        MulticastError::TooFast => {
            Problem::Temporary(format!("the send rate of group {group} is exceeded"))
        }
        MulticastError::Unavailable(why) => {
            Problem::Temporary(format!("group {group} cannot be reached: {why}"))
        }
        MulticastError::TooLarge(most) => {
            Problem::Failed(format!("a beacon exceeds the limit of {most} bytes for group {group}"))
        }
        MulticastError::Other(why) => Problem::Failed(format!("group {group}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_classified_by_how_the_host_should_react() {
        let group = GroupAddress::choose(&convoke_mode_sdk::ModeConfig {
            argument: String::new(),
            settings: Vec::new(),
        })
        .unwrap();
        assert_eq!(
            problem(MulticastError::Denied, group),
            Problem::Denied(
                "group 224.2.2.4:2904 is not granted; add grant = { multicast = \
                 [\"224.2.2.4:2904\"] }"
                    .to_owned()
            )
        );
        assert!(matches!(
            problem(MulticastError::InvalidAddress, group),
            Problem::Misconfigured(_)
        ));
        assert!(matches!(problem(MulticastError::TooFast, group), Problem::Temporary(_)));
        assert_eq!(
            problem(MulticastError::Unavailable("no interface is up".to_owned()), group),
            Problem::Temporary(
                "group 224.2.2.4:2904 cannot be reached: no interface is up".to_owned()
            )
        );
        assert!(matches!(problem(MulticastError::TooLarge(1024), group), Problem::Failed(_)));
        assert!(matches!(problem(MulticastError::Other(String::new()), group), Problem::Failed(_)));
    }
}
