//! The keys that a script reads, for client-side caching.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Maximum number of keys of one script that are noted. Beyond it, the client is notified that any
/// key may have changed.
const KEYS_MAX: usize = 10_000;
/// Maximum size of these keys, in bytes.
const KEYS_BYTES_MAX: usize = 1 << 20;

/// The keys that a script has read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadKeys {
    keys: BTreeSet<Bytes>,
    bytes: usize,
    /// There were more.
    is_exceeded: bool,
}

impl ReadKeys {
    pub(crate) fn add(&mut self, key: &[u8]) {
        if self.is_exceeded || self.keys.contains(key) {
            return;
        }
        self.bytes += key.len();
        if self.keys.len() >= KEYS_MAX || self.bytes > KEYS_BYTES_MAX {
            *self = Self { is_exceeded: true, ..Self::default() };
        } else {
            self.keys.insert(Bytes::copy_from_slice(key));
        }
    }

    /// The keys; `None` if they are too many.
    pub(crate) fn into_keys(self) -> Option<BTreeSet<Bytes>> {
        (!self.is_exceeded && self.keys.len() <= KEYS_MAX).then_some(self.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_noted_once_and_up_to_a_limit() {
        let mut keys = ReadKeys::default();
        for key in [&b"b"[..], b"a", b"b"] {
            keys.add(key);
        }
        assert_eq!(keys.clone().into_keys(), Some(BTreeSet::from(["a".into(), "b".into()])));
        for number in 0..KEYS_MAX {
            keys.add(&number.to_be_bytes());
        }
        assert_eq!(keys.into_keys(), None);
        let mut long = ReadKeys::default();
        long.add(&[0; KEYS_BYTES_MAX]);
        long.add(b"k");
        assert_eq!(long.into_keys(), None);
    }
}
