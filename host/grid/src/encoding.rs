//! Encoding of messages and stored records (postcard).

use serde::Serialize;

/// Appends the encoding of a value to `bytes`.
pub(crate) fn append(value: &impl Serialize, bytes: &mut Vec<u8>) {
    let buffer = std::mem::take(bytes);
    *bytes = postcard::to_extend(value, buffer).expect("writing to memory does not fail");
}

/// The encoding of a value.
pub(crate) fn encoded(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("writing to memory does not fail")
}
