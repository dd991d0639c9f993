//! Glob patterns for keys and topics, as in Redis: `*`, `?`, `[abc]`, `[^a]`, `[a-z]`, and `\`
//! before a literal byte.

use std::ops::RangeInclusive;

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// Any byte.
    Any,
    /// Any number of bytes.
    Many,
    /// One of these bytes, or any other byte if negated.
    Class { negated: bool, ranges: Vec<RangeInclusive<u8>> },
}

impl Glob {
    /// Parses a pattern. Parsing never fails: an invalid part matches itself.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            let part = match first {
                b'*' if parts.last() == Some(&Token::Many) => continue,
                b'*' => Token::Many,
                b'?' => Token::Any,
                b'[' => class(&mut rest),
                b'\\' if !rest.is_empty() => {
                    let byte = rest[0];
                    rest = &rest[1..];
                    Token::Byte(byte)
                }
                byte => Token::Byte(*byte),
            };
            parts.push(part);
        }
        Self { parts }
    }

    /// Whether it matches every text.
    #[must_use]
    pub fn matches_all(&self) -> bool {
        self.parts == [Token::Many]
    }

    /// The only text that it matches, if there is exactly one.
    #[must_use]
    pub fn literal(&self) -> Option<Vec<u8>> {
        let byte = |part: &Token| if let Token::Byte(byte) = part { Some(*byte) } else { None };
        self.parts.iter().map(byte).collect()
    }

    /// Whether it matches. In the worst case the time is proportional to the product of the
    /// lengths: of several `*`, only the last is retried.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Token::Many) => {
                    star = Some((part, at));
                    part += 1;
                }
                Some(one) if one.takes(text[at]) => {
                    part += 1;
                    at += 1;
                }
                _ => match star {
                    Some((many, from)) => {
                        part = many + 1;
                        at = from + 1;
                        star = Some((many, from + 1));
                    }
                    None => return false,
                },
            }
        }
        self.parts[part..].iter().all(|part| *part == Token::Many)
    }
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(one) => *one == byte,
            Self::Any => true,
            Self::Many => false,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|range| range.contains(&byte)) != *negated
            }
        }
    }
}

/// Parses what follows a `[`; a class that is not closed ends with the pattern.
fn class(rest: &mut &[u8]) -> Token {
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    let next = |rest: &mut &[u8]| -> Option<u8> {
        let (first, behind) = rest.split_first()?;
        *rest = behind;
        match (first, behind.split_first()) {
            (b'\\', Some((escaped, behind))) => {
                *rest = behind;
                Some(*escaped)
            }
            _ => Some(*first),
        }
    };
    loop {
        if rest.first() == Some(&b']') {
            *rest = &rest[1..];
            break;
        }
        let Some(start) = next(rest) else { break };
        if rest.first() == Some(&b'-') && rest.len() > 1 {
            *rest = &rest[1..];
            let end = next(rest).unwrap_or(start);
            ranges.push(start.min(end)..=start.max(end));
        } else {
            ranges.push(start..=start);
        }
    }
    Token::Class { negated, ranges }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Glob::new(pattern.as_bytes()).matches(text.as_bytes())
    }

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, text, expected) in [
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h*llo", "hllo", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hxllo", false),
            ("[\\]]", "]", true),
            ("[abc", "b", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("foo*", "foo", true),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        assert!(!fits(&"a*".repeat(50), &"b".repeat(100)));
        assert!(!fits(&format!("{}b", "a*".repeat(200)), &"a".repeat(5_000)));
    }

    /// A simple, slow implementation.
    fn model(parts: &[Token], text: &[u8]) -> bool {
        match parts.split_first() {
            None => text.is_empty(),
            Some((Token::Many, rest)) => (0..=text.len()).any(|n| model(rest, &text[n..])),
            Some((one, rest)) => {
                text.split_first().is_some_and(|(b, text)| one.takes(*b) && model(rest, text))
            }
        }
    }

    proptest! {
        #[test]
        fn it_matches_like_the_simple_implementation(
            pattern in "[ab*?\\[\\]^\\\\-]{0,8}", text in "[abc]{0,8}",
        ) {
            let glob = Glob::new(pattern.as_bytes());
            prop_assert_eq!(glob.matches(text.as_bytes()), model(&glob.parts, text.as_bytes()));
        }

    }

    /// The first byte is the length of the pattern; the text follows the pattern.
    #[test]
    fn fuzz_glob() {
        let samples = [
            "\x05h[a-z]*hello",
            "\x06a?[^b\\abc",
            "\x08foo\\*[]*foo*",
            "\x0c**********a*bbbbbbbbbbbbbbbbbbbb",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Some((length, rest)) = bytes.split_first() else { return };
            let (pattern, text) = rest.split_at(rest.len().min(usize::from(*length)));
            let glob = Glob::new(pattern);
            let matches = glob.matches(text);
            if let Some(literal) = glob.literal() {
                assert_eq!(matches, *literal == *text);
            }
        });
    }
}
