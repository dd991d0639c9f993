//! Conditions on the value of a key.

use xxhash_rust::xxh3::xxh3_64;

use super::plain::PutIf;
use crate::OpError;
use crate::access::Access;
use crate::clock::Version;

/// Length of a digest, in hexadecimal digits.
const DIGEST_DIGITS: usize = 16;

/// The XXH3 hash with 64 bits, as hexadecimal digits.
pub(super) fn digest(value: &[u8]) -> String {
    format!("{:0DIGEST_DIGITS$x}", xxh3_64(value))
}

/// Whether a condition holds for a key.
///
/// # Errors
/// [`OpError::WrongType`] if it compares values, and the key has none that is plain;
/// [`OpError::NotADigest`] if a value exists that cannot be compared.
pub(super) fn holds(
    condition: PutIf<'_>,
    access: &mut Access<'_>,
    key: &[u8],
) -> Result<bool, OpError> {
    Ok(match condition {
        PutIf::Always => true,
        PutIf::Absent => access.peek(key).is_none(),
        PutIf::Present => access.peek(key).is_some(),
        PutIf::Version(version) => {
            access.peek(key).map_or(Version::NONE, |entry| entry.version()) == version
        }
        PutIf::Value(value) => has(access, key, value)?.unwrap_or(false),
        PutIf::OtherValue(value) => !has(access, key, value)?.unwrap_or(false),
        PutIf::Digest(digest) => has_digest(access, key, digest)?.unwrap_or(false),
        PutIf::OtherDigest(digest) => !has_digest(access, key, digest)?.unwrap_or(false),
        PutIf::ValueFrom(from, bytes) => {
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            access.plain(key)?.is_some_and(|entry| entry.value().get(from..) == Some(bytes))
        }
    })
}

/// Whether a key has this value; `None` if it does not exist.
fn has(access: &mut Access<'_>, key: &[u8], value: &[u8]) -> Result<Option<bool>, OpError> {
    Ok(access.plain(key)?.map(|entry| entry.value() == value))
}

/// Whether the value of a key has this digest; `None` if it does not exist.
fn has_digest(access: &mut Access<'_>, key: &[u8], text: &[u8]) -> Result<Option<bool>, OpError> {
    let Some(entry) = access.plain(key)? else { return Ok(None) };
    // As in Redis, other characters are those of another digest.
    if text.len() != DIGEST_DIGITS {
        return Err(OpError::NotADigest);
    }
    Ok(Some(digest(entry.value()).as_bytes().eq_ignore_ascii_case(text)))
}
