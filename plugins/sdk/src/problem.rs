//! Problems: why a call failed, and how the host reacts.

use crate::Problem;
use crate::store::StoreError;

impl Problem {
    /// The text for the operator.
    ///
    /// ```
    /// use convoke_mode_sdk::Problem;
    ///
    /// assert_eq!(Problem::Temporary("no answer".to_owned()).text(), "no answer");
    /// ```
    pub fn text(&self) -> &str {
        match self {
            Self::Misconfigured(text)
            | Self::Denied(text)
            | Self::Temporary(text)
            | Self::Failed(text) => text,
        }
    }

    /// The same problem with a prefix, such as what was being done.
    ///
    /// ```
    /// use convoke_mode_sdk::Problem;
    ///
    /// let problem = Problem::Temporary("no answer".to_owned()).within("looking for shop");
    /// assert_eq!(problem, Problem::Temporary("looking for shop: no answer".to_owned()));
    /// ```
    #[must_use]
    pub fn within(self, what: &str) -> Self {
        let add = |text: String| format!("{what}: {text}");
        match self {
            Self::Misconfigured(text) => Self::Misconfigured(add(text)),
            Self::Denied(text) => Self::Denied(add(text)),
            Self::Temporary(text) => Self::Temporary(add(text)),
            Self::Failed(text) => Self::Failed(add(text)),
        }
    }
}

/// An error of the store is a fault of the mode, unless there is no grant.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Denied => Self::Denied("the store is not granted".to_owned()),
            StoreError::InvalidName => {
                Self::Failed("invalid name of a value in the store".to_owned())
            }
            StoreError::Full(bytes) => {
                Self::Failed(format!("the store is full: {bytes} bytes are granted"))
            }
            StoreError::Other(text) => Self::Failed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_error_is_a_denial_only_without_a_grant() {
        assert!(matches!(Problem::from(StoreError::Denied), Problem::Denied(_)));
        let Problem::Failed(text) = Problem::from(StoreError::Full(65_536)) else {
            panic!("expected a failure");
        };
        assert_eq!(text, "the store is full: 65536 bytes are granted");
    }
}
