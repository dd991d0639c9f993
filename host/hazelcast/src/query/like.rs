//! `LIKE`: `%` is any text, `_` any character, and a `\` in front of either makes it stand for
//! itself. Elsewhere a `\` stands for itself.

use super::{Error, TEXT_BYTES_MAX};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Character(char),
    AnyCharacter,
    AnyText,
}

#[derive(Clone, Debug)]
pub(super) struct Like {
    parts: Vec<Part>,
    ignores_case: bool,
}

impl Like {
    pub(super) fn new(expression: &str, ignores_case: bool) -> Result<Self, Error> {
        if expression.len() > TEXT_BYTES_MAX {
            return Err(Error::Limit { what: "bytes in LIKE", limit: TEXT_BYTES_MAX });
        }
        let mut parts = Vec::new();
        let mut is_escaped = false;
        for character in expression.chars() {
            let part = match character {
                '%' if !is_escaped => Part::AnyText,
                '_' if !is_escaped => Part::AnyCharacter,
                _ => Part::Character(if ignores_case { fold(character) } else { character }),
            };
            if is_escaped && matches!(character, '%' | '_') {
                parts.pop();
            }
            is_escaped = character == '\\';
            if part != Part::AnyText || parts.last() != Some(&Part::AnyText) {
                parts.push(part);
            }
        }
        Ok(Self { parts, ignores_case })
    }

    /// Whether all of `text` matches. Goes back to the last `%` only, so that time is at most the
    /// product of the lengths.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut parts = self.parts.as_slice();
        let mut last = None;
        loop {
            match parts.split_first() {
                Some((Part::AnyText, [])) => return true,
                Some((Part::AnyText, after)) => {
                    parts = after;
                    last = Some((after, rest.clone()));
                    continue;
                }
                Some((part, after)) => {
                    if let Some(character) = rest.next() {
                        if self.is_match(*part, character) {
                            parts = after;
                            continue;
                        }
                    } else {
                        return false;
                    }
                }
                None if rest.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after, start)) = &mut last else { return false };
            if start.next().is_none() {
                return false;
            }
            (parts, rest) = (*after, start.clone());
        }
    }

    fn is_match(&self, part: Part, character: char) -> bool {
        match part {
            Part::Character(expected) if self.ignores_case => expected == fold(character),
            Part::Character(expected) => expected == character,
            Part::AnyCharacter | Part::AnyText => true,
        }
    }
}

/// As Java ignores case: the lower case of the upper case, if each is one character.
fn fold(character: char) -> char {
    fn one(mut characters: impl Iterator<Item = char>, or: char) -> char {
        match (characters.next(), characters.next()) {
            (Some(character), None) => character,
            _ => or,
        }
    }
    let upper = one(character.to_uppercase(), character);
    one(upper.to_lowercase(), upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, text: &str) -> bool {
        Like::new(expression, false).unwrap().matches(text)
    }

    #[test]
    fn placeholders_match_and_escaped_ones_stand_for_themselves() {
        assert!(matches("a%b%c", "axxbyybc"));
        assert!(matches("%", "") && matches("", "") && !matches("", "a") && !matches("_", ""));
        assert!(matches("_\u{1d11e}_", "a\u{1d11e}b"));
        assert!(matches(r"100\%", "100%") && !matches(r"100\%", "1000"));
        assert!(matches(r"a\b", r"a\b") && matches("%a%", "a\nb"));
    }

    #[test]
    fn case_is_ignored_in_all_scripts() {
        let like = Like::new("ÉA%ß", true).unwrap();
        assert!(like.matches("éabcß") && !like.matches("eaß"));
    }

    #[test]
    fn fuzz_query_like() {
        convoke_harness::check!(&["a%b_\\%c\na12b3%c", "%%\nabc"], |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let (expression, text) = text.split_once('\n').unwrap_or((text, ""));
            let Ok(like) = Like::new(expression, text.len() % 2 == 1) else { return };
            like.matches(text);
            let Ok(any) = Like::new(&format!("%{expression}%"), false) else { return };
            assert!(
                expression.contains(['%', '_', '\\']) || any.matches(&format!("x{expression}y"))
            );
        });
    }
}
