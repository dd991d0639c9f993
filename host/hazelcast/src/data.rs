//! Blobs: serialized keys and values, as clients send and receive them.
//!
//! ```text
//! blob  [i32 BE partition hash, 0: computed][i32 BE type id][payload]
//! ```
//!
//! A server compares, hashes and returns blobs; it has to understand few of them. All that is
//! within a blob is in big-endian order.
//!
//! Source: Hazelcast Open Binary Client Protocol 2.10, "Serialization"; the vectors in the tests
//! come from clients.

mod array;
mod input;
mod murmur;
mod objects;
pub mod type_id;
mod value;

pub use array::{Array, Element};
pub use input::Input;
pub use murmur::murmur3;
pub use objects::Objects;
pub use value::{Identified, LocalDate, LocalTime, Value};

use std::fmt;
use std::num::NonZero;

/// Length of partition hash and type id, in bytes.
pub const HEADER_BYTES: usize = 8;

/// The number of partitions that members have unless it is configured.
pub const PARTITIONS: u32 = 271;

/// A blob with a complete header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    bytes: &'a [u8],
}

impl<'a> Data<'a> {
    /// A blob. `None` if it is shorter than its header.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES { None } else { Some(Self { bytes }) }
    }

    /// All of it. Return a value as it was stored, with this header.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Type id and payload: blobs are equal if these are, also if their hashes differ. The payload
    /// alone does not suffice, `""` and the number 0 have the same.
    #[must_use]
    pub fn identity(self) -> &'a [u8] {
        self.bytes.get(4..).unwrap_or_default()
    }

    /// Type id: a constant of [`type_id`], or the positive id of a client's own serializer.
    #[must_use]
    pub fn type_id(self) -> i32 {
        self.number(4)
    }

    /// Whether it is the null of a client that serializes it.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.type_id() == type_id::NULL
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// The hash that determines the partition of a key: that of the header, which a partitioning
    /// strategy of the client has set, or else Murmur3 of the payload. The type id does not count.
    #[must_use]
    pub fn hash(self) -> i32 {
        match self.number(0) {
            0 => murmur3(self.payload()),
            hash => hash,
        }
    }

    /// The partition of a key, below `partitions`.
    #[must_use]
    pub fn partition(self, partitions: NonZero<u32>) -> u32 {
        partition_of_hash(self.hash(), partitions)
    }

    fn number(self, at: usize) -> i32 {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| i32::from_be_bytes(*bytes))
    }
}

/// The length only: values of users do not belong in logs.
impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data")
            .field("type_id", &self.type_id())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// The partition of a hash, below `partitions`: its absolute value modulo `partitions`, and 0 for
/// `i32::MIN`, which has none in Java. Clients in Python and JavaScript differ for this hash: send
/// their requests to the right partition.
#[must_use]
pub fn partition_of_hash(hash: i32, partitions: NonZero<u32>) -> u32 {
    hash.checked_abs().map_or(0, i32::unsigned_abs) % partitions
}

/// The partition of a data structure that is in one partition, such as a queue: that of its name,
/// or of what follows the first `@` in it.
#[must_use]
pub fn partition_of_name(name: &str, partitions: NonZero<u32>) -> u32 {
    let key = partition_key(name);
    let length = i32::try_from(key.len()).unwrap_or(i32::MAX);
    let hash = murmur::murmur3_after(length.to_be_bytes(), key.as_bytes());
    partition_of_hash(hash, partitions)
}

/// The part of a name, or of a text that is a key, that determines the partition: what follows the
/// first `@`, or all of it.
#[must_use]
pub fn partition_key(name: &str) -> &str {
    name.split_once('@').map_or(name, |(_, key)| key)
}

#[cfg(test)]
mod tests;
