//! Makes text of a mode fit for one log line.

use std::fmt::Write as _;

/// `text` on one line of at most about `bytes_max` bytes: control characters are escaped, and a
/// longer text is cut, with the number of omitted bytes.
pub(crate) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(bytes_max));
    for (at, c) in text.char_indices() {
        if line.len() + c.len_utf8() > bytes_max {
            let _ = write!(line, "… ({} more bytes)", text.len() - at);
            break;
        }
        if is_unprintable(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Control characters, and characters that reorder or hide text in a terminal.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(one_line("a\nb\x1b[31m\u{202e}c", 100), "a\\nb\\u{1b}[31m\\u{202e}c");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_with_a_note() {
        assert_eq!(one_line("aé€", 3), "aé… (3 more bytes)");
        assert_eq!(one_line("aé€", 6), "aé€");
    }
}
