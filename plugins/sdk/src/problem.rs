//! Why a call failed, and what the host does about it.

use crate::Problem;
use crate::store::StoreError;

impl Problem {
    /// The words for the operator.
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

    /// The same problem with words before its own, such as what was being done.
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

/// A value that is not kept is a fault of the mode, unless it is not granted.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Denied => Self::Denied("keeping values is not granted".to_owned()),
            StoreError::InvalidName => {
                Self::Failed("a value was to be kept under a name that is none".to_owned())
            }
            StoreError::Full(bytes) => {
                Self::Failed(format!("a value does not fit: {bytes} bytes are granted in all"))
            }
            StoreError::Other(text) => Self::Failed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_store_is_a_refusal_and_a_full_one_is_not() {
        assert!(matches!(Problem::from(StoreError::Denied), Problem::Denied(_)));
        let Problem::Failed(text) = Problem::from(StoreError::Full(65_536)) else {
            panic!("it is a fault");
        };
        assert_eq!(text, "a value does not fit: 65536 bytes are granted in all");
    }
}
