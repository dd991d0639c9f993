//! References to components, as an operator writes them.

use std::fmt;
use std::str::FromStr;

use convoke_text::excerpt;

use crate::artifact::Artifact;
use crate::limits::{EXCERPT_CHARS_MAX, REFERENCE_BYTES_MAX};
use crate::web_address::WebAddress;

/// A reference to a component. It is logged as written, including its query, so it must not
/// contain a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A file on a web server: `https://host[:port]/path`.
    Https(WebAddress),
    /// A component in an OCI registry: `oci://registry[:port]/repository[:tag][@sha256:…]`.
    Oci(Artifact),
}

/// An invalid reference. Contains the text without user and password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It starts with neither `https://` nor `oci://`.
    #[error(
        "{0:?} is not a reference to a component; expected https://host[:port]/path or oci://registry[:port]/repository[:tag][@sha256:…]"
    )]
    Scheme(String),
    /// It starts with `http://`.
    #[error(
        "{0:?} is not allowed: plain http can be read and modified on its way; use https:// or a file"
    )]
    PlainHttp(String),
    /// It has a user or a password before the host.
    #[error(
        "{0:?} has a user or a password before its host, which would appear in logs; remove it: credentials are not supported"
    )]
    UserInfo(String),
    /// It has a fragment after a `#`.
    #[error("{0:?} has a fragment (\"#…\"), which is never sent to a server; remove it")]
    Fragment(String),
    /// It is longer than [`REFERENCE_BYTES_MAX`].
    #[error("{0:?} has {1} bytes; the limit is {REFERENCE_BYTES_MAX}")]
    TooLong(String, usize),
    /// An invalid HTTPS URL.
    #[error("{text:?} is not the URL of a file: {why}; expected https://host[:port]/path")]
    Https {
        /// The reference.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// An invalid OCI reference.
    #[error(
        "{text:?} is not a component in a registry: {why}; expected oci://registry[:port]/repository[:tag][@sha256:…]"
    )]
    Oci {
        /// The reference.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Reference {
    /// Whether `text` is a reference and not the path of a file: it starts with `scheme://`,
    /// for any scheme.
    pub fn is_one(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let shown = || excerpt(&without_user(text), EXCERPT_CHARS_MAX);
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(ReferenceError::TooLong(shown(), text.len()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(ReferenceError::Scheme(shown()));
        };
        if user_end(rest).is_some() {
            return Err(ReferenceError::UserInfo(shown()));
        }
        let https = |why| ReferenceError::Https { text: shown(), why };
        let oci = |why| ReferenceError::Oci { text: shown(), why };
        // URL parsing is lenient: it removes tabs, and treats \ as /.
        let invalid_char = text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '\\');
        let invalid_char = invalid_char.map(|c| format!("it contains {c:?}"));
        match scheme.to_ascii_lowercase().as_str() {
            "https" if rest.contains('#') => Err(ReferenceError::Fragment(shown())),
            "https" => match invalid_char {
                Some(why) => Err(https(why)),
                None => WebAddress::parse(rest).map(Self::Https).map_err(https),
            },
            "oci" if rest.contains('#') => Err(ReferenceError::Fragment(shown())),
            "oci" => match invalid_char {
                Some(why) => Err(oci(why)),
                None => Artifact::parse(rest).map(Self::Oci).map_err(oci),
            },
            "http" => Err(ReferenceError::PlainHttp(shown())),
            _ => Err(ReferenceError::Scheme(shown())),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https(address) => address.fmt(f),
            Self::Oci(artifact) => write!(f, "oci://{artifact}"),
        }
    }
}

/// The position of the `@` after a user, in the part after `scheme://`. An `@` after the first
/// slash is part of a path, or precedes a digest.
fn user_end(rest: &str) -> Option<usize> {
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    authority.rfind('@')
}

fn without_user(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let separator = if scheme.is_empty() { "" } else { "://" };
    match user_end(rest) {
        Some(end) => format!("{scheme}{separator}…{}", &rest[end..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
