//! The digest of a component or a manifest: `sha256:` and 64 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// A SHA-256 digest. Parses digits in either case, and displays them in lower case.
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
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The 64 digits in lower case.
    pub(crate) fn digits(self) -> String {
        HEXLOWER.encode(&self.0)
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
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap_or_default();
        let sha256 = <[u8; 32]>::try_from(bytes);
        sha256.map(Self).map_err(|_| DigestError::Length(text.to_owned(), digits.len()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode_display(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a digest incrementally.
pub(crate) struct Hasher(ring::digest::Context);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.0.finish().as_ref());
        Digest(sha256)
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
        assert_eq!(format!("sha256:{}", Digest::of(b"").digits()), EMPTY);
        assert_eq!(EMPTY.to_uppercase().replace("SHA256", "sha256").parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn an_invalid_digest_is_rejected_with_a_reason() {
        let refused = |text: &str| text.parse::<Digest>().unwrap_err().to_string();
        assert_eq!(
            refused("md5:00"),
            "digest \"md5:00\" does not start with \"sha256:\"; no other algorithm is supported"
        );
        for (digits, number) in [("", 0), ("00", 2), ("000", 3), (&*"0".repeat(66), 66)] {
            let text = format!("sha256:{digits}");
            assert_eq!(
                refused(&text),
                format!(
                    "digest {text:?} has {number} characters after \"sha256:\"; expected 64 hexadecimal digits, as sha256sum prints them"
                )
            );
        }
        for (digits, c) in [("0g", 'g'), (&*"é".repeat(32), 'é')] {
            let text = format!("sha256:{digits}");
            assert_eq!(text.parse::<Digest>(), Err(DigestError::Character(text, c)));
        }
    }

    #[test]
    fn fuzz_digest() {
        let samples = [EMPTY, "sha256:00", "sha512:00", &EMPTY[1..]];
        convoke_harness::check!(&samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let Ok(digest) = text.parse::<Digest>() else { return };
            assert_eq!(digest.to_string(), text.to_ascii_lowercase());
            assert_eq!(digest.to_string().parse(), Ok(digest));
        });
    }
}
