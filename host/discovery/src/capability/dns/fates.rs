//! What became of each name last, for the log: each change of it is a line, and no more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::miss::{Absent, Unusable};
use crate::limits;
use crate::text::one_line;

/// Unusable records of one service in one line.
const SHOWN_MAX: usize = 5;
/// The words for one name, in bytes.
const WORDS_BYTES_MAX: usize = 400;

/// What was last said of names that lead nowhere.
#[derive(Debug, Default)]
pub(crate) struct Fates(Mutex<HashMap<String, String>>);

impl Fates {
    /// A server says that there is nothing.
    pub(super) fn absent(&self, mode: &str, name: &str, absent: &Absent) {
        let words = absent.to_string();
        if self.is_new(name, &words) {
            let server = &absent.server;
            tracing::warn!(%mode, name, %server, "{words}; it is asked for again, is it spelt right?");
        }
    }

    /// A service has records that lead nowhere, and `places` others.
    pub(super) fn unusable(&self, mode: &str, name: &str, unusable: &[Unusable], places: usize) {
        let mut shown: Vec<String> =
            unusable.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
        if unusable.len() > SHOWN_MAX {
            shown.push(format!("{} more", unusable.len() - SHOWN_MAX));
        }
        let words = one_line(&shown.join("; "), WORDS_BYTES_MAX);
        if self.is_new(name, &format!("{words} {}", places == 0)) {
            if places == 0 {
                tracing::warn!(%mode, name, "none of the SRV records of the service can be used: {words}");
            } else {
                tracing::warn!(%mode, name, places, "some SRV records of the service cannot be used: {words}");
            }
        }
    }

    /// It leads somewhere, or nobody can say: what was said before may be said again.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn is_new(&self, name: &str, words: &str) -> bool {
        let mut fates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fates.len() >= limits::FATES_MAX && !fates.contains_key(name) {
            fates.clear();
        }
        fates.insert(name.to_owned(), words.to_owned()).as_deref() != Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::Fates;

    #[test]
    fn the_same_is_said_once_until_it_was_otherwise() {
        let fates = Fates::default();
        assert!(fates.is_new("a", "gone") && !fates.is_new("a", "gone"));
        assert!(fates.is_new("b", "gone") && fates.is_new("a", "empty"));
        fates.forget("a");
        assert!(fates.is_new("a", "empty"));
    }
}
