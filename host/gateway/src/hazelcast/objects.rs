//! The data structures that clients have named: changes that this member makes known, and the keys
//! by which the cluster knows them.

use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Maximum number of changes that were not written yet. Further ones are not reported to listeners.
const CHANGES_MAX: usize = 10_000;
/// Separates the name of a service and that of a data structure in a key.
const SEPARATOR: u8 = 0;

/// What has happened to a data structure.
pub(super) struct Change {
    pub(super) key: Vec<u8>,
    pub(super) is_created: bool,
}

/// Changes that this member makes, written one after the other.
pub(super) struct Objects {
    changes: Sender<Change>,
    /// Until the server serves.
    pub(super) unwritten: Mutex<Option<Receiver<Change>>>,
}

impl Default for Objects {
    fn default() -> Self {
        let (changes, unwritten) = mpsc::channel(CHANGES_MAX);
        Self { changes, unwritten: Mutex::new(Some(unwritten)) }
    }
}

impl Objects {
    /// A client names a data structure, or destroys it.
    pub(super) fn change(&self, service: &str, name: &str, is_created: bool) {
        let key = [service.as_bytes(), &[SEPARATOR], name.as_bytes()].concat();
        let _ = self.changes.try_send(Change { key, is_created });
    }
}

/// The service and the name of a data structure.
pub(super) fn decode(key: &[u8]) -> Option<(&str, &str)> {
    let at = key.iter().position(|byte| *byte == SEPARATOR)?;
    let (service, name) = key.split_at_checked(at)?;
    Some((std::str::from_utf8(service).ok()?, std::str::from_utf8(name.get(1..)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_service_and_data_structure() {
        assert_eq!(decode(b"hz:impl:mapService\0a\0b"), Some(("hz:impl:mapService", "a\0b")));
        assert_eq!(decode(b"hz:impl:mapService"), None);
    }
}
