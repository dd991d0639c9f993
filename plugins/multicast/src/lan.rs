//! The joined group as the conversation sees it.

use convoke_mode_sdk::Problem;
use convoke_mode_sdk::multicast::{Datagram, Group, MulticastError};

use crate::place::Place;

/// A joined group: the host's, or a bus in memory under test.
pub(crate) trait Lan {
    /// Sends one datagram to all others.
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

/// What the host should do about an error.
pub(crate) fn problem(error: MulticastError, place: Place) -> Problem {
    match error {
        MulticastError::Denied => Problem::Denied(format!(
            "group {place} is not granted; add grant = {{ multicast = [\"{place}\"] }}"
        )),
        MulticastError::InvalidAddress => Problem::Misconfigured(format!(
            "group {place} is not one the host can join; {}",
            crate::place::EXPECTED
        )),
        MulticastError::TooFast => Problem::Temporary(format!(
            "group {place} takes no more datagrams from this member for now"
        )),
        MulticastError::Unavailable(why) => {
            Problem::Temporary(format!("group {place} cannot be reached: {why}"))
        }
        MulticastError::TooLarge(most) => Problem::Failed(format!(
            "a beacon is larger than the {most} bytes that group {place} takes"
        )),
        MulticastError::Other(why) => Problem::Failed(format!("group {place}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_sorted_by_what_the_host_should_do() {
        let place = Place::choose(&convoke_mode_sdk::ModeConfig {
            argument: String::new(),
            settings: Vec::new(),
        })
        .unwrap();
        assert_eq!(
            problem(MulticastError::Denied, place),
            Problem::Denied(
                "group 224.2.2.4:2904 is not granted; add grant = { multicast = \
                 [\"224.2.2.4:2904\"] }"
                    .to_owned()
            )
        );
        assert!(matches!(
            problem(MulticastError::InvalidAddress, place),
            Problem::Misconfigured(_)
        ));
        assert!(matches!(problem(MulticastError::TooFast, place), Problem::Temporary(_)));
        assert_eq!(
            problem(MulticastError::Unavailable("no interface is up".to_owned()), place),
            Problem::Temporary(
                "group 224.2.2.4:2904 cannot be reached: no interface is up".to_owned()
            )
        );
        assert!(matches!(problem(MulticastError::TooLarge(1024), place), Problem::Failed(_)));
        assert!(matches!(problem(MulticastError::Other(String::new()), place), Problem::Failed(_)));
    }
}
