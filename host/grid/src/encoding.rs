//! What travels, as bytes: postcard.

use serde::Serialize;

/// Appends a value to `bytes`.
pub(crate) fn append(value: &impl Serialize, bytes: &mut Vec<u8>) {
    let buffer = std::mem::take(bytes);
    *bytes = postcard::to_extend(value, buffer).expect("memory takes what is written");
}

/// A value as bytes.
pub(crate) fn encoded(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("memory takes what is written")
}
