//! Why a text was refused.

use convoke_mode_sdk::quoted;

/// A refusal, in the order in which an operator reads it: the offending value,
/// what is wrong with it, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    value: String,
    what: &'static str,
    hint: String,
}

impl Fault {
    pub(crate) fn new(value: &str, what: &'static str, hint: impl Into<String>) -> Self {
        Self { value: value.to_owned(), what, hint: hint.into() }
    }

    /// The whole sentence. `text` is what the operator wrote, and is shown
    /// where it is more than the offending value.
    pub(crate) fn describe(&self, text: &str) -> String {
        let Self { value, what, hint } = self;
        let place = if value == text { String::new() } else { format!(" (in {})", quoted(text)) };
        format!("{} {what}{place}; {hint}", quoted(value))
    }
}
