//! The names of stored values, and why a value cannot be stored.

use crate::limits;

/// Why a value cannot be read or stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoreFailure {
    Full,
    Other(String),
}

/// Whether `text` is a valid name, and thereby a valid file name on every system.
pub(super) fn is_name(text: &str) -> bool {
    let is_valid =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    (1..=limits::STORE_NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(is_valid)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_plain_file_names() {
        for name in ["a", "addresses", "index-2.json", "0", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for wrong in ["", ".", "..", ".lock", "a/b", "a\\b", "A", "ä", "a b", "-a", &"x".repeat(65)]
        {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
