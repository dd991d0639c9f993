//! The digest that an operator configures for a mode: `sha256:` and 64 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 digest of a component file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// An invalid digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It does not start with `sha256:`.
    #[error("digest {0:?} does not start with \"sha256:\"; no other algorithm is supported")]
    Algorithm(String),
    /// Not 64 digits.
    #[error(
        "digest {0:?} has {1} characters after \"sha256:\"; expected 64 hexadecimal digits, as sha256sum prints them"
    )]
    Length(String, usize),
    /// A character that is not a hexadecimal digit.
    #[error("digest {0:?} contains {1:?}, which is not a hexadecimal digit")]
    Character(String, char),
}

impl Digest {
    /// The 32 bytes of the digest.
    pub(crate) fn sha256(self) -> [u8; 32] {
        self.0
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.as_ref());
        Self(sha256)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let Some(digits) = text.strip_prefix("sha256:") else {
            return Err(DigestError::Algorithm(text.to_owned()));
        };
        if let Some(c) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(DigestError::Character(text.to_owned(), c));
        }
        if digits.len() != 64 {
            return Err(DigestError::Length(text.to_owned(), digits.len()));
        }
        let nibbles: Vec<u8> =
            digits.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        let mut sha256 = [0; 32];
        for (byte, pair) in sha256.iter_mut().zip(nibbles.chunks(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(sha256))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, DigestError};

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_round_trips_through_its_text() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Digest::of(b"")));
        assert_eq!(EMPTY.to_uppercase().replace("SHA256", "sha256").parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn an_invalid_digest_is_rejected_with_a_reason() {
        let refused = |text: &str| text.parse::<Digest>().unwrap_err().to_string();
        assert_eq!(
            refused("md5:00"),
            "digest \"md5:00\" does not start with \"sha256:\"; no other algorithm is supported"
        );
        assert_eq!(
            refused("sha256:00"),
            "digest \"sha256:00\" has 2 characters after \"sha256:\"; expected 64 hexadecimal digits, as sha256sum prints them"
        );
        assert_eq!(
            "sha256:0g".parse::<Digest>(),
            Err(DigestError::Character("sha256:0g".into(), 'g'))
        );
    }
}
