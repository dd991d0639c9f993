//! Where a component lies, as an operator writes it.

use std::fmt;
use std::str::FromStr;

use crate::artifact::Artifact;
use crate::excerpt::excerpt;
use crate::limits::REFERENCE_BYTES_MAX;
use crate::web_address::WebAddress;

/// Where a component lies. It is logged as it was written, a query of it too: no place
/// for a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A file on a web server: `https://host[:port]/path`.
    Https(WebAddress),
    /// A component in a registry: `oci://registry[:port]/repository[:tag][@sha256:…]`.
    Oci(Artifact),
}

/// A reference that cannot be read. Holds what was read, without user and password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Neither `https://` nor `oci://` is in front.
    #[error(
        "{0:?} is no reference to a component; expected https://host[:port]/path or oci://registry[:port]/repository[:tag][@sha256:…]"
    )]
    Scheme(String),
    /// `http://`.
    #[error(
        "{0:?} is refused: over plain http anybody on the way sees and changes what is loaded; use https:// or a file"
    )]
    PlainHttp(String),
    /// Something before an `@` in front of the host.
    #[error(
        "{0:?} has a user or a password in front of its host, which would end in logs; leave it out: only what anybody may read is fetched"
    )]
    UserInfo(String),
    /// Something after a `#`.
    #[error("{0:?} has a fragment (\"#…\"), which no server sees; leave it out")]
    Fragment(String),
    /// More than [`REFERENCE_BYTES_MAX`].
    #[error("{0:?} has {1} bytes; at most {REFERENCE_BYTES_MAX} are taken")]
    TooLong(String, usize),
    /// After `https://` is no address of a file.
    #[error("{text:?} is no address of a file: {why}; expected https://host[:port]/path")]
    Https {
        /// What was read.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// After `oci://` is no component in a registry.
    #[error(
        "{text:?} is no component in a registry: {why}; expected oci://registry[:port]/repository[:tag][@sha256:…]"
    )]
    Oci {
        /// What was read.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Reference {
    /// Whether `text` is meant as a reference and not as the path of a file: it
    /// starts with `scheme://`, known or not.
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
        let shown = || excerpt(&without_user(text));
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
        // An address is read leniently: tabs vanish from it, and \ becomes /.
        let strange = text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '\\');
        let strange = strange.map(|c| format!("it contains {c:?}"));
        match scheme.to_ascii_lowercase().as_str() {
            "https" if rest.contains('#') => Err(ReferenceError::Fragment(shown())),
            "https" => match strange {
                Some(why) => Err(https(why)),
                None => WebAddress::parse(rest).map(Self::Https).map_err(https),
            },
            "oci" if rest.contains('#') => Err(ReferenceError::Fragment(shown())),
            "oci" => match strange {
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

/// Where the `@` behind a user is in what follows `scheme://`. One behind the first
/// slash is part of a path, or stands before a digest.
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
