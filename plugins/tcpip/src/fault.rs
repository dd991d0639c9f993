//! Errors of the parser.

use convoke_mode_sdk::quoted;

/// A parser error, in the order in which an operator reads it: the offending value, what is
/// wrong with it, and what to write instead.
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

    /// The error text. `text` is what the operator wrote; it is included if it is longer than
    /// the offending value.
    pub(crate) fn describe(&self, text: &str) -> String {
        let Self { value, what, hint } = self;
        let within = if value == text { String::new() } else { format!(" (in {})", quoted(text)) };
        format!("{} {what}{within}; {hint}", quoted(value))
    }
}
