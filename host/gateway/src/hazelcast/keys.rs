//! The stored form of the keys and values of clients.
//!
//! A client places a key by the hash of its blob, the grid by the slot of its hash tag. So each
//! stored key begins with a hash tag whose slot is in the partition that the client computes:
//!
//! ```text
//! key    '{' tag (2 bytes) '}' 1 [type id, 4 bytes][payload]
//!        '{' tag (2 bytes) '}' 2 [hash, 4 bytes][type id, 4 bytes][payload]
//! value  the blob
//! ```
//!
//! The second form is for keys whose hash was set by a partitioning strategy of the client.

use std::num::NonZero;
use std::sync::OnceLock;

use convoke_grid::slot;
use convoke_hazelcast::data::{Data, HEADER_BYTES, partition_of_name};

/// Kind of plain values that are blobs of Hazelcast; 0 is for all other bytes.
pub(super) const BLOB_KIND: u8 = 1;
/// Marks a key without a hash.
const PLAIN: u8 = 1;
/// Marks a key with its hash.
const HASHED: u8 = 2;
/// Length of the hash tag with its braces, in bytes.
pub(super) const TAG_BYTES: usize = 4;
/// Length of the hash in a blob, in bytes.
const HASH_BYTES: usize = 4;

/// How the keys and values of a map are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As blobs, see the [module](self). Entries that were not written by clients of Hazelcast are
    /// not visible to them.
    Blobs,
}

impl Format {
    /// Writes the stored form of a key to `stored`, which is cleared first. Returns the partition.
    pub(super) fn key(self, tags: &Tags, key: Data<'_>, stored: &mut Vec<u8>) -> u16 {
        match self {
            Self::Blobs => {
                let partition = tags.partition(key);
                stored.clear();
                tags.append_tag(partition, stored);
                let hash = &key.bytes()[..HASH_BYTES];
                if hash == [0; HASH_BYTES] {
                    stored.push(PLAIN);
                } else {
                    stored.push(HASHED);
                    stored.extend_from_slice(hash);
                }
                stored.extend_from_slice(key.identity());
                partition
            }
        }
    }

    /// Appends the blob of a stored key to `blob`. Returns whether it is the key of a client.
    pub(super) fn append_key(self, stored: &[u8], blob: &mut Vec<u8>) -> bool {
        match self {
            Self::Blobs => {
                let Some((tag, rest)) = stored.split_at_checked(TAG_BYTES) else { return false };
                if tag[0] != b'{' || tag[TAG_BYTES - 1] != b'}' {
                    return false;
                }
                match rest.split_first() {
                    Some((&PLAIN, rest)) if rest.len() >= HEADER_BYTES - HASH_BYTES => {
                        blob.extend_from_slice(&[0; HASH_BYTES]);
                        blob.extend_from_slice(rest);
                        true
                    }
                    Some((&HASHED, rest)) if rest.len() >= HEADER_BYTES => {
                        blob.extend_from_slice(rest);
                        true
                    }
                    _ => false,
                }
            }
        }
    }

    /// The blob of a stored key. `None` if it is not the key of a client.
    pub(super) fn client_key(self, stored: &[u8]) -> Option<Vec<u8>> {
        let mut blob = Vec::with_capacity(stored.len());
        self.append_key(stored, &mut blob).then_some(blob)
    }
}

/// A hash tag for each partition.
pub(super) struct Tags {
    tags: Box<[[u8; 2]]>,
    partitions: NonZero<u32>,
}

impl Tags {
    /// The tags for a number of partitions. `None` if there is none, or more than slots.
    fn new(partitions: u16) -> Option<Self> {
        let count = NonZero::new(u32::from(partitions))?;
        let mut tags: Vec<Option<[u8; 2]>> = vec![None; usize::from(partitions)];
        for number in 0..=u16::MAX {
            // Digits come first: they are easier to read in a log.
            let tag = number.to_be_bytes().map(|byte| byte ^ b'0');
            if tag.contains(&b'}') {
                continue;
            }
            let partition = slot::partition(slot::slot(&[b'{', tag[0], tag[1], b'}']), partitions);
            if let Some(place) = tags.get_mut(usize::from(partition)) {
                place.get_or_insert(tag);
            }
        }
        let tags = tags.into_iter().collect::<Option<Box<[_]>>>()?;
        Some(Self { tags, partitions: count })
    }

    /// A stored key of a partition that is the key of no client.
    pub(super) fn any_key(&self, partition: u16) -> [u8; TAG_BYTES] {
        let [first, second] = self.tag(partition);
        [b'{', first, second, b'}']
    }

    fn tag(&self, partition: u16) -> [u8; 2] {
        self.tags.get(usize::from(partition)).copied().unwrap_or_default()
    }

    /// Appends the hash tag of a partition.
    pub(super) fn append_tag(&self, partition: u16, stored: &mut Vec<u8>) {
        stored.push(b'{');
        stored.extend_from_slice(&self.tag(partition));
        stored.push(b'}');
    }

    /// The partition of a data structure of this name that is in one partition.
    pub(super) fn partition_of_name(&self, name: &str) -> u16 {
        // Below the number of partitions, which is a `u16`.
        partition_of_name(name, self.partitions) as u16
    }

    /// The partition of a key.
    pub(super) fn partition(&self, key: Data<'_>) -> u16 {
        // Below the number of partitions, which is a `u16`.
        key.partition(self.partitions) as u16
    }

    /// The number of partitions.
    pub(super) fn partitions(&self) -> u16 {
        self.tags.len() as u16
    }
}

/// The tags, once the number of partitions is known.
#[derive(Default)]
pub(super) struct LateTags(OnceLock<Option<Tags>>);

impl LateTags {
    /// The tags for this number of partitions, which never changes once it is not 0.
    pub(super) fn get(&self, partitions: u16) -> Option<&Tags> {
        if partitions == 0 {
            return None;
        }
        self.0.get_or_init(|| Tags::new(partitions)).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_a_tag() {
        for partitions in [1, 7, 271, 1_009, 5_003, 16_000] {
            let tags = Tags::new(partitions).unwrap();
            for partition in 0..partitions {
                let [first, second] = tags.tag(partition);
                let key = [b'{', first, second, b'}', PLAIN, b'{', b'x', b'}'];
                assert_eq!(slot::partition(slot::slot(&key), partitions), partition);
            }
        }
        assert!(Tags::new(0).is_none());
    }

    #[test]
    fn a_key_is_stored_in_the_partition_that_clients_compute() {
        let tags = Tags::new(271).unwrap();
        let mut stored = Vec::new();
        // The text "a", in the partition that clients in Python and JavaScript compute.
        let text = b"\0\0\0\0\xff\xff\xff\xf5\0\0\0\x01a";
        for (blob, expected) in [(&text[..], 73), (b"\0\0\0\x05\xff\xff\xff\xf5\0\0\0\x01a", 5)] {
            let key = Data::new(blob).unwrap();
            let partition = Format::Blobs.key(&tags, key, &mut stored);
            assert_eq!(partition, expected);
            assert_eq!(slot::partition(slot::slot(&stored), 271), expected);
            assert_eq!(Format::Blobs.client_key(&stored).unwrap(), blob);
        }
    }

    #[test]
    fn fuzz_stored_key() {
        let tags = Tags::new(271).unwrap();
        let samples =
            [&b"{xy}\x01\xff\xff\xff\xf5\0\0\0\x01a"[..], b"{xy}\x02\0\0\0\x05\xff\xff\xff\xf5"];
        convoke_harness::check!(&samples, |bytes| {
            let Some(blob) = Format::Blobs.client_key(bytes) else { return };
            let key = Data::new(&blob).unwrap();
            let mut stored = Vec::new();
            Format::Blobs.key(&tags, key, &mut stored);
            // A hash of 0 is not stored.
            assert_eq!(Format::Blobs.client_key(&stored).as_deref(), Some(&blob[..]));
        });
    }
}
