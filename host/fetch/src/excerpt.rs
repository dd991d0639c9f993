//! Makes text of a server fit for one log line.

use crate::limits::EXCERPT_CHARS_MAX;

/// At most [`EXCERPT_CHARS_MAX`] characters of `text`, on one line, without control characters
/// and characters that change the text direction.
pub(crate) fn excerpt(text: &str) -> String {
    let clean: String = text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect();
    let mut words = String::new();
    for word in clean.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    match words.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{EXCERPT_CHARS_MAX, excerpt};

    #[test]
    fn an_excerpt_is_one_short_line_without_control_characters() {
        assert_eq!(excerpt(" not\r\n\x1b[31m found\u{202e}! "), "not [31m found !");
        assert_eq!(excerpt("\0"), "");
        let long = excerpt(&"é".repeat(1_000));
        assert_eq!(long.chars().count(), EXCERPT_CHARS_MAX + 1);
    }
}
