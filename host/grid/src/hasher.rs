//! Hashes of keys, which order the entries of a fragment and are the same on all members.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// Hashes keys. The same on all members, and secret to the cluster.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher(SipHasher13);

impl KeyHasher {
    /// Creates a hasher with a secret that all members share.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&secret))
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = self.0;
        hasher.write(key);
        (hasher.finish() >> 32) as u32
    }
}
