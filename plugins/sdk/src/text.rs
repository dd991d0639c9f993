//! Formatting for error texts.

/// Characters of a quoted value that are shown.
const QUOTED_CHARS_MAX: usize = 80;

/// A value for an error text: in quotes, with control characters escaped, and cut after 80
/// characters.
pub fn quoted(value: &str) -> String {
    match value.char_indices().nth(QUOTED_CHARS_MAX) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}", format!("{}…", &value[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn values_are_quoted_escaped_and_cut() {
        assert_eq!(quoted("10.0.0.300"), r#""10.0.0.300""#);
        assert_eq!(quoted("a\"b\n"), r#""a\"b\n""#);
        assert_eq!(quoted(&"é".repeat(80)), format!("\"{}\"", "é".repeat(80)));
        assert_eq!(quoted(&"é".repeat(81)), format!("\"{}…\"", "é".repeat(80)));
    }
}
