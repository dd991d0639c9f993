//! `grant = { store = "64KiB" }`: the size of a mode's store.

use std::fmt;
use std::str::FromStr;

use super::error::GrantError;

/// Largest size, in bytes. A store is for a few addresses, an index, a token; it is not a
/// database.
const BYTES_MAX: u64 = 16 << 20;

/// The size of a mode's store, names and values together, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreGrant(u64);

impl StoreGrant {
    /// The size, in bytes.
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for StoreGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

impl FromStr for StoreGrant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let malformed = |why: &str| GrantError::malformed("store", text, why);
        let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(at);
        let factor = match unit.trim_start() {
            "" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            _ => None,
        };
        let bytes = factor.and_then(|factor: u64| digits.parse::<u64>().ok()?.checked_mul(factor));
        match bytes {
            Some(bytes @ 1..=BYTES_MAX) => Ok(Self(bytes)),
            Some(0) => Err(malformed("a store of size 0 is useless; remove the grant")),
            Some(_) => Err(malformed("more than 16MiB; a store is for a few small values")),
            None => Err(malformed("not a size; expected \"65536\", \"64KiB\" or \"1MiB\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StoreGrant;

    #[test]
    fn sizes_are_in_bytes_or_binary_units() {
        for (text, bytes) in [("65536", 65_536), ("64KiB", 65_536), ("1 MiB", 1 << 20)] {
            assert_eq!(text.parse::<StoreGrant>().unwrap().bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn an_invalid_size_is_rejected_with_what_was_expected() {
        let refused = |text: &str| text.parse::<StoreGrant>().unwrap_err().to_string();
        for wrong in ["", "KiB", "64kb", "-1", "1.5MiB", "0x10"] {
            assert_eq!(
                refused(wrong),
                format!(
                    "store grant {wrong:?}: not a size; expected \"65536\", \"64KiB\" or \"1MiB\""
                )
            );
        }
        assert!(refused("0").contains("remove the grant"));
        assert!(refused("17MiB").contains("more than 16MiB"));
        assert!(refused("99999999999999999999MiB").contains("not a size"));
    }
}
