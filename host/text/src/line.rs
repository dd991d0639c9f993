//! Makes text fit for one line of a log.

use std::fmt::Write as _;

/// Whether a terminal shows the character as nothing, or as something else than it is: control
/// characters, line and paragraph separators, and the characters that hide text or change its
/// direction (Unicode Technical Report 36, section 3.8; the attack is CVE-2021-42574).
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text on one line of about `bytes_max` bytes at most: hidden characters are escaped, so that
/// nothing of the text is lost, and a longer text is cut, with the number of omitted bytes.
///
/// ```
/// assert_eq!(convoke_text::escaped("a\nb", 100), "a\\nb");
/// assert_eq!(convoke_text::escaped("abcdef", 3), "abc… (3 more bytes)");
/// ```
#[must_use]
pub fn escaped(text: &str, bytes_max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(bytes_max));
    for (at, c) in text.char_indices() {
        if line.len() + c.len_utf8() > bytes_max {
            let _ = write!(line, "… ({} more bytes)", text.len() - at);
            break;
        }
        if is_hidden(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// The words of the text on one line, `chars_max` characters at most: for pages and documents,
/// where line breaks and indentation say nothing. Hidden characters separate words; what is left
/// out at the end shows as an ellipsis.
///
/// ```
/// assert_eq!(convoke_text::excerpt("<p>\n  Not found\n</p>", 100), "<p> Not found </p>");
/// assert_eq!(convoke_text::excerpt("Not found", 3), "Not…");
/// ```
#[must_use]
pub fn excerpt(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    let mut chars = 0;
    let words = text.split(|c: char| c.is_whitespace() || is_hidden(c));
    for word in words.filter(|word| !word.is_empty()) {
        let separator = if line.is_empty() { None } else { Some(' ') };
        for c in separator.into_iter().chain(word.chars()) {
            if chars == chars_max {
                line.truncate(line.trim_end().len());
                line.push('…');
                return line;
            }
            line.push(c);
            chars += 1;
        }
    }
    line
}

/// A count with its noun, in the plural unless it is one. The plural of the noun has to be regular.
///
/// ```
/// assert_eq!(convoke_text::counted(1, "member"), "1 member");
/// assert_eq!(convoke_text::counted(0, "member"), "0 members");
/// ```
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::{escaped, excerpt, is_hidden};

    #[test]
    fn hidden_characters_are_escaped() {
        assert_eq!(
            escaped("a\nb\x1b[31m\u{202e}c\u{2066}", 100),
            "a\\nb\\u{1b}[31m\\u{202e}c\\u{2066}"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters_with_a_note() {
        assert_eq!(escaped("aé€", 3), "aé… (3 more bytes)");
        assert_eq!(escaped("aé€", 6), "aé€");
    }

    #[test]
    fn an_excerpt_is_one_line_of_words() {
        assert_eq!(excerpt(" not\r\n\x1b[31m found\u{202e}! ", 100), "not [31m found !");
        assert_eq!(excerpt("\0", 100), "");
        assert_eq!(excerpt("one two", 4), "one…");
        assert_eq!(excerpt("one two", 7), "one two");
        assert_eq!(excerpt(&"é".repeat(1_000), 200).chars().count(), 201);
    }

    /// The first byte of an input is the limit, the others are the text.
    #[test]
    fn fuzz_line() {
        let samples = [
            "\x03abcdef",
            "\x05a\u{e9}\u{20ac}",
            "\x20 not\r\n\x1b[31m found\u{202e}! ",
            "\x10\u{2066}\u{200b}\u{feff}\u{e0041}\0",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Some((max, bytes)) = bytes.split_first() else { return };
            let (max, text) = (usize::from(*max), String::from_utf8_lossy(bytes));
            let lines = [escaped(&text, max), excerpt(&text, max)];
            for line in &lines {
                assert!(!line.chars().any(is_hidden), "{line:?}");
            }
            let longest_end = "\\u{10ffff}… (1000000 more bytes)".len();
            assert!(lines[0].len() <= max + longest_end, "{:?}", lines[0]);
            assert!(lines[1].chars().count() <= max + 1, "{:?}", lines[1]);
        });
    }
}
