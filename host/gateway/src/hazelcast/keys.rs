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
//!
//! In maps of plain bytes, which are shared with clients of other protocols, a key is in the partition of
//! its own bytes. Clients send requests on such a key to any member, which passes them on.

use std::num::NonZero;
use std::sync::OnceLock;

use bytes::Bytes;
use convoke_grid::op::PutIf;
use convoke_grid::{Map, map, slot};
use convoke_hazelcast::data::{Data, HEADER_BYTES, partition_of_name, type_id};
use convoke_hazelcast::error::ErrorCode;

use super::errors::Failure;
use crate::databases;

/// Kind of plain values that are blobs of Hazelcast.
pub(super) const BLOB_KIND: u8 = 1;
/// Kind of all other plain values.
const PLAIN_KIND: u8 = 0;
/// Marks a key without a hash.
const PLAIN: u8 = 1;
/// Marks a key with its hash.
const HASHED: u8 = 2;
/// Length of the hash tag with its braces, in bytes.
pub(super) const TAG_BYTES: usize = 4;
/// Length of the hash in a blob, in bytes.
const HASH_BYTES: usize = 4;
/// Where the type id of a blob begins.
const IDENTITY_AT: u32 = 4;
/// Length of the number before the bytes of a text or an array, in bytes.
const LENGTH_BYTES: usize = 4;

/// How the keys and values of a map are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As blobs, see the [module](self). Entries that were not written by clients of Hazelcast are
    /// not visible to them.
    Blobs,
    /// As plain bytes, which all protocols share. Clients see texts as strings, and all other bytes
    /// as arrays of bytes.
    Plain,
    /// As [`Format::Plain`], but each value is an array of bytes.
    PlainBytes,
}

impl Format {
    /// The format of a map that clients open.
    pub(super) fn of(map: &Map) -> Self {
        match map.settings().format {
            map::Format::Opaque => Self::Blobs,
            map::Format::Plain => Self::Plain,
            map::Format::PlainBytes => Self::PlainBytes,
            map::Format::Default if databases::is_map_name(&map.name) => Self::Plain,
            map::Format::Default => Self::Blobs,
        }
    }

    /// Whether keys and values are plain bytes.
    pub(super) fn is_plain(self) -> bool {
        self != Self::Blobs
    }

    /// The kind of its values in the grid.
    pub(super) fn kind(self) -> u8 {
        match self {
            Self::Blobs => BLOB_KIND,
            Self::Plain | Self::PlainBytes => PLAIN_KIND,
        }
    }

    /// Writes the stored form of a key to `stored`, which is cleared first. Returns the partition.
    pub(super) fn key(
        self,
        tags: &Tags,
        key: Data<'_>,
        stored: &mut Vec<u8>,
    ) -> Result<u16, Failure> {
        match self {
            Self::Blobs => Ok(write_key(tags, key, stored)),
            Self::Plain | Self::PlainBytes => {
                stored.clear();
                stored.extend_from_slice(plain_bytes(key).ok_or_else(|| not_plain("key"))?);
                Ok(tags.partition_of_stored(stored))
            }
        }
    }

    /// The blob of a stored key. `None` if it is not the key of a client.
    pub(super) fn client_key(self, stored: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Blobs => client_key(stored),
            Self::Plain | Self::PlainBytes => Some(text_or_bytes(stored)),
        }
    }

    /// The stored form of a value.
    pub(super) fn value(self, value: Data<'_>) -> Result<&[u8], Failure> {
        match self {
            Self::Blobs => Ok(value.bytes()),
            Self::Plain | Self::PlainBytes => plain_bytes(value).ok_or_else(|| not_plain("value")),
        }
    }

    /// The condition that a key has this value: its type and payload, not the hash before them.
    pub(super) fn has_value(self, value: Data<'_>) -> Result<PutIf<'_>, Failure> {
        Ok(match self {
            Self::Blobs => PutIf::ValueFrom(IDENTITY_AT, value.identity()),
            Self::Plain | Self::PlainBytes => PutIf::ValueFrom(0, self.value(value)?),
        })
    }

    /// The blob of a stored value. It is too short for one if no client of Hazelcast has written it.
    pub(super) fn client_value(self, stored: &Bytes) -> Bytes {
        self.encoded(stored).map_or_else(|| stored.clone(), Bytes::from)
    }

    /// Calls `take` with the blob of a stored value, if there is one.
    pub(super) fn with_value<R>(
        self,
        stored: Option<&[u8]>,
        take: impl FnOnce(Option<Data<'_>>) -> R,
    ) -> R {
        match stored.and_then(|stored| self.encoded(stored)) {
            Some(blob) => take(Data::new(&blob)),
            None => take(stored.and_then(Data::new)),
        }
    }

    /// The blob of a stored value, unless it is stored as one.
    fn encoded(self, stored: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Blobs => None,
            Self::Plain => Some(text_or_bytes(stored)),
            Self::PlainBytes => Some(encode(type_id::BYTE_ARRAY, stored)),
        }
    }
}

fn not_plain(what: &str) -> Failure {
    let text = format!("the map has plain bytes: its {what}s are of type String or byte[]");
    Failure::new(ErrorCode::IllegalArgument, text)
}

/// The bytes of a text or of an array of bytes.
fn plain_bytes(blob: Data<'_>) -> Option<&[u8]> {
    if ![type_id::STRING, type_id::BYTE_ARRAY].contains(&blob.type_id()) {
        return None;
    }
    let (length, bytes) = blob.payload().split_first_chunk()?;
    let length = u32::try_from(i32::from_be_bytes(*length)).ok()?;
    (bytes.len() == usize::try_from(length).ok()?).then_some(bytes)
}

fn text_or_bytes(stored: &[u8]) -> Vec<u8> {
    let is_text = std::str::from_utf8(stored).is_ok();
    encode(if is_text { type_id::STRING } else { type_id::BYTE_ARRAY }, stored)
}

/// The blob of a text or of an array of bytes.
fn encode(type_id: i32, bytes: &[u8]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(HEADER_BYTES + LENGTH_BYTES + bytes.len());
    blob.extend_from_slice(&[0; HASH_BYTES]);
    blob.extend_from_slice(&type_id.to_be_bytes());
    // The grid limits values to far less.
    blob.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
    blob.extend_from_slice(bytes);
    blob
}

/// Writes the stored form of a key of a map of blobs to `stored`, which is cleared first. Returns the
/// partition.
pub(super) fn write_key(tags: &Tags, key: Data<'_>, stored: &mut Vec<u8>) -> u16 {
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

/// The blob of a stored key of a map of blobs. `None` if it is not the key of a client.
pub(super) fn client_key(stored: &[u8]) -> Option<Vec<u8>> {
    let (tag, rest) = stored.split_at_checked(TAG_BYTES)?;
    if tag[0] != b'{' || tag[TAG_BYTES - 1] != b'}' {
        return None;
    }
    match rest.split_first() {
        Some((&PLAIN, rest)) if rest.len() >= HEADER_BYTES - HASH_BYTES => {
            Some([&[0; HASH_BYTES], rest].concat())
        }
        Some((&HASHED, rest)) if rest.len() >= HEADER_BYTES => Some(rest.to_vec()),
        _ => None,
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

    /// The partition of a stored key.
    fn partition_of_stored(&self, stored: &[u8]) -> u16 {
        slot::partition(slot::slot(stored), self.partitions())
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
            let partition = write_key(&tags, key, &mut stored);
            assert_eq!(partition, expected);
            assert_eq!(slot::partition(slot::slot(&stored), 271), expected);
            assert_eq!(client_key(&stored).unwrap(), blob);
        }
    }

    #[test]
    fn plain_maps_have_texts_and_bytes() {
        let tags = Tags::new(271).unwrap();
        let mut stored = Vec::new();
        let text = b"\0\0\0\0\xff\xff\xff\xf5\0\0\0\x01a";
        let bytes = b"\0\0\0\0\xff\xff\xff\xf4\0\0\0\x01a";
        for blob in [text, bytes] {
            let data = Data::new(blob).unwrap();
            let partition = Format::Plain.key(&tags, data, &mut stored).unwrap();
            assert_eq!(
                (&stored[..], partition),
                (&b"a"[..], slot::partition(slot::slot(b"a"), 271))
            );
            assert_eq!(Format::PlainBytes.value(data).unwrap(), b"a");
        }
        assert_eq!(Format::Plain.client_key(b"a").unwrap(), text);
        assert_eq!(Format::PlainBytes.client_key(b"a").unwrap(), text);
        assert_eq!(Format::Plain.client_value(&Bytes::from_static(b"a")), &text[..]);
        assert_eq!(Format::PlainBytes.client_value(&Bytes::from_static(b"a")), &bytes[..]);
        let other = Format::Plain.client_value(&Bytes::from_static(b"\xff"));
        assert_eq!(&other[..], b"\0\0\0\0\xff\xff\xff\xf4\0\0\0\x01\xff");
        // A number, a text without its end, and one with more.
        for blob in [
            &b"\0\0\0\0\xff\xff\xff\xf9\0\0\0\x01"[..],
            b"\0\0\0\0\xff\xff\xff\xf5\0\0\0\x02a",
            b"\0\0\0\0\xff\xff\xff\xf5\0\0\0\x01aa",
            b"\0\0\0\0\xff\xff\xff\xf5\xff\xff\xff\xff",
            b"\0\0\0\0\xff\xff\xff\xf5",
        ] {
            let data = Data::new(blob).unwrap();
            assert!(Format::Plain.key(&tags, data, &mut stored).is_err(), "{blob:?}");
            assert!(Format::PlainBytes.value(data).is_err(), "{blob:?}");
        }
    }

    #[test]
    fn fuzz_stored_key() {
        let tags = Tags::new(271).unwrap();
        let samples =
            [&b"{xy}\x01\xff\xff\xff\xf5\0\0\0\x01a"[..], b"{xy}\x02\0\0\0\x05\xff\xff\xff\xf5"];
        convoke_harness::check!(&samples, |bytes| {
            let Some(blob) = client_key(bytes) else { return };
            let key = Data::new(&blob).unwrap();
            let mut stored = Vec::new();
            write_key(&tags, key, &mut stored);
            // A hash of 0 is not stored.
            assert_eq!(client_key(&stored).as_deref(), Some(&blob[..]));
        });
    }
}
