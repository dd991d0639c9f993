//! Values in Redis' RDB encoding, as `DUMP` and `RESTORE` exchange them: a type, the value, the
//! version of the encoding, and a checksum; and libraries of functions likewise.
//!
//! Written is what every Redis from 7.0 on reads (from 7.4 on, if fields of a hash expire). Read
//! are all forms that Redis 5 to 8 write, except for the values of modules.
//!
//! This module does no I/O. The lengths in a payload are untrusted: each is compared with what
//! follows before anything is allocated, and all that a payload decodes to is bounded by
//! `DECODED_BYTES_MAX`.

mod checksum;
mod load;
mod lzf;
mod packed;
mod read;
mod save;
mod stream;

use std::borrow::Cow;

use convoke_grid::op::Content;

/// Maximum size of what one payload decodes to, in bytes, with [`ELEMENT_BYTES`] for each element:
/// payloads may be compressed.
pub(crate) const DECODED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Memory of one decoded element beside its bytes.
const ELEMENT_BYTES: usize = 32;
/// Version of the encoding that is written.
const VERSION: u16 = 10;
/// Version of the encoding that is written if fields of a hash expire.
const VERSION_WITH_FIELD_DEADLINES: u16 = 12;
/// The latest version that is read.
const VERSION_MAX: u16 = 13;
/// Bytes behind a value: version and checksum.
const FOOTER_BYTES: usize = 10;

/// The types of values, and the forms in which they are stored.
mod form {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const SORTED_SET_TEXT: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const SORTED_SET: u8 = 5;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const SORTED_SET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const SORTED_SET_LISTPACK: u8 = 17;
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    pub(super) const SET_LISTPACK: u8 = 20;
    /// Of release candidates: absolute deadlines, without the earliest one in front.
    pub(super) const HASH_DEADLINES_EARLY: u8 = 22;
    pub(super) const HASH_LISTPACK_DEADLINES_EARLY: u8 = 23;
    pub(super) const HASH_DEADLINES: u8 = 24;
    pub(super) const HASH_LISTPACK_DEADLINES: u8 = 25;
    /// Of Redis 5 and 6.
    pub(super) const STREAM: u8 = 15;
    /// With the counters of the stream and of its groups.
    pub(super) const STREAM_COUNTED: u8 = 19;
    /// From Redis 7.2 on: also with when a consumer last got an entry.
    pub(super) const STREAM_ACTIVE: u8 = 21;
}

/// Why a payload cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Its version is unknown, or it was damaged.
    Footer,
    /// Its content is malformed, too large, or of a type that is not known here.
    Data,
}

/// Precedes the source of a library of functions.
const LIBRARY: u8 = 245;

/// A value in RDB encoding, with version and checksum.
#[must_use]
pub fn payload(content: &Content<'_>) -> Vec<u8> {
    let (bytes, version) = save::save(content);
    with_footer(bytes, version)
}

/// The value in a payload.
///
/// # Errors
/// [`Unreadable`] as described there.
pub(crate) fn parse(payload: &[u8]) -> Result<Content<'_>, Unreadable> {
    load::load(without_footer(payload)?).ok_or(Unreadable::Data)
}

/// The sources of libraries of functions in RDB encoding, with version and checksum, as
/// `FUNCTION DUMP` returns them.
pub(crate) fn libraries_payload<'s>(sources: impl Iterator<Item = &'s [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for source in sources {
        bytes.push(LIBRARY);
        save::append_string(&mut bytes, source);
    }
    with_footer(bytes, VERSION)
}

/// The sources of libraries in a payload.
///
/// # Errors
/// [`Unreadable`] as described there.
pub(crate) fn parse_libraries(payload: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, Unreadable> {
    let mut reader = read::Reader::new(without_footer(payload)?);
    let mut sources = Vec::new();
    while !reader.is_at_end() {
        let source = reader.byte().filter(|mark| *mark == LIBRARY).and_then(|_| reader.string());
        sources.push(source.ok_or(Unreadable::Data)?);
    }
    Ok(sources)
}

fn with_footer(mut bytes: Vec<u8>, version: u16) -> Vec<u8> {
    bytes.extend_from_slice(&version.to_le_bytes());
    let checksum = checksum::crc64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn without_footer(payload: &[u8]) -> Result<&[u8], Unreadable> {
    let end = payload.len().checked_sub(FOOTER_BYTES).ok_or(Unreadable::Footer)?;
    let (body, footer) = payload.split_at(end);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let checksum = checksum::crc64(&payload[..end + 2]);
    if version > VERSION_MAX || footer[2..] != checksum.to_le_bytes() {
        return Err(Unreadable::Footer);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use checksum::crc64 as checksum_of;
