//! Remembers the last failure of each name, so that each change is logged once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use convoke_text::escaped;

use crate::limits;
use crate::lookup::{NegativeAnswer, Unusable};

/// Unusable records of one service listed in one log line.
const SHOWN_MAX: usize = 5;
/// Length of the text about one name, in bytes.
const TEXT_BYTES_MAX: usize = 400;

/// The last failure logged for each name that does not resolve.
#[derive(Debug, Default)]
pub(crate) struct FailureLog(Mutex<HashMap<String, String>>);

impl FailureLog {
    /// Logs a negative answer.
    pub(super) fn negative(&self, mode: &str, name: &str, answer: &NegativeAnswer) {
        let text = answer.to_string();
        if self.is_new(name, &text) {
            let server = &answer.server;
            tracing::warn!(%mode, name, %server, "{text}; retrying; check the spelling of the name");
        }
    }

    /// Logs the unusable records of a service that has `targets` usable ones.
    pub(super) fn unusable(&self, mode: &str, name: &str, unusable: &[Unusable], targets: usize) {
        let mut shown: Vec<String> =
            unusable.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
        if unusable.len() > SHOWN_MAX {
            shown.push(format!("{} more", unusable.len() - SHOWN_MAX));
        }
        let text = escaped(&shown.join("; "), TEXT_BYTES_MAX);
        if self.is_new(name, &format!("{text} {}", targets == 0)) {
            if targets == 0 {
                tracing::warn!(%mode, name, "none of the SRV records of the service can be used: {text}");
            } else {
                tracing::warn!(%mode, name, targets, "some SRV records of the service cannot be used: {text}");
            }
        }
    }

    /// Forgets the last failure of a name, so that the next one is logged again.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn is_new(&self, name: &str, text: &str) -> bool {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= limits::FAILED_NAMES_MAX && !failures.contains_key(name) {
            failures.clear();
        }
        failures.insert(name.to_owned(), text.to_owned()).as_deref() != Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::FailureLog;

    #[test]
    fn a_failure_is_logged_once_until_it_changes() {
        let log = FailureLog::default();
        assert!(log.is_new("a", "gone") && !log.is_new("a", "gone"));
        assert!(log.is_new("b", "gone") && log.is_new("a", "empty"));
        log.forget("a");
        assert!(log.is_new("a", "empty"));
    }
}
