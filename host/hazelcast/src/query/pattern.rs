//! `REGEX`: regular expressions of Java, as those of the `regex` crate, whose time is linear.
//!
//! The parts that mean the same in both are kept, some are rewritten, and the others are refused:
//! assertions about what precedes or follows, references to groups, possessive quantifiers, and
//! flags other than `i` and `s`.
//!
//! Source: the documentation of `java.util.regex.Pattern` and of the `regex` crate.

use regex::{Regex, RegexBuilder};

use super::{Error, REGEX_BYTES_MAX, REGEX_COMPILED_BYTES_MAX};

/// Maximum depth of groups and classes.
const DEPTH_MAX: u32 = 32;

/// Maximum of a counted repetition.
const REPETITIONS_MAX: u32 = 1000;

#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn new(expression: &str) -> Result<Self, Error> {
        if expression.len() > REGEX_BYTES_MAX {
            return Err(Error::Limit {
                what: "bytes in a regular expression",
                limit: REGEX_BYTES_MAX,
            });
        }
        let translated = Translator::new(expression).translate()?;
        RegexBuilder::new(&format!(r"\A(?:{translated})\z"))
            .size_limit(REGEX_COMPILED_BYTES_MAX)
            .dfa_size_limit(REGEX_COMPILED_BYTES_MAX)
            .nest_limit(DEPTH_MAX * 2)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(limit) => {
                    Error::Limit { what: "bytes in a compiled regular expression", limit }
                }
                _ => invalid(expression),
            })
    }

    /// Whether all of `text` matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn invalid(expression: &str) -> Error {
    let expression = expression.chars().take(80).collect::<String>();
    Error::invalid(format!("{expression:?} is not a valid regular expression"))
}

fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("{what} in a regular expression"))
}

/// What `.` matches: Java has more line terminators.
const NO_LINE_END: &str = r"[^\n\r\u{85}\u{2028}\u{2029}]";

#[derive(Clone, Copy, Default)]
struct Flags {
    ignores_case: bool,
    dot_matches_all: bool,
}

struct Translator<'a> {
    expression: &'a str,
    rest: std::str::Chars<'a>,
    output: String,
    flags: Flags,
    /// The flags outside of each open group.
    groups: Vec<Flags>,
}

impl<'a> Translator<'a> {
    fn new(expression: &'a str) -> Self {
        Self {
            expression,
            rest: expression.chars(),
            output: String::new(),
            flags: Flags::default(),
            groups: Vec::new(),
        }
    }

    fn invalid(&self) -> Error {
        invalid(self.expression)
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.as_str().strip_prefix(text);
        if let Some(rest) = rest {
            self.rest = rest.chars();
        }
        rest.is_some()
    }

    fn translate(mut self) -> Result<String, Error> {
        let mut can_repeat = false;
        while let Some(character) = self.rest.next() {
            let is_atom = match character {
                '\\' => self.escape()?,
                '[' => {
                    self.class(1)?;
                    true
                }
                '(' => {
                    self.open()?;
                    false
                }
                ')' => {
                    self.flags = self.groups.pop().ok_or_else(|| self.invalid())?;
                    self.output.push(')');
                    true
                }
                '*' | '+' | '?' => {
                    if !can_repeat {
                        return Err(self.invalid());
                    }
                    self.output.push(character);
                    self.quantified()?;
                    false
                }
                '{' => {
                    if !can_repeat {
                        return Err(self.invalid());
                    }
                    self.repetition()?;
                    self.quantified()?;
                    false
                }
                '.' => {
                    let any = if self.flags.dot_matches_all { "(?s:.)" } else { NO_LINE_END };
                    self.output.push_str(any);
                    true
                }
                '|' => {
                    self.output.push('|');
                    false
                }
                '^' => {
                    self.output.push_str(r"\A");
                    false
                }
                '$' => {
                    self.end_of_text()?;
                    false
                }
                _ => {
                    self.literal(character);
                    true
                }
            };
            can_repeat = is_atom;
        }
        if !self.groups.is_empty() {
            return Err(self.invalid());
        }
        Ok(self.output)
    }

    /// Java's `$` also matches in front of a line terminator at the end, which makes no difference
    /// if nothing can follow it, as all of a text has to match.
    fn end_of_text(&mut self) -> Result<(), Error> {
        let rest = self.rest.as_str();
        let is_last = rest.chars().all(|character| character == ')')
            || self.groups.is_empty() && rest.starts_with('|');
        if !is_last {
            return Err(unsupported("a $ that is not at the end"));
        }
        self.output.push_str(r"\z");
        Ok(())
    }

    /// After a quantifier: `?` makes it reluctant.
    fn quantified(&mut self) -> Result<(), Error> {
        if self.eat("?") {
            self.output.push('?');
        } else if self.peek() == Some('+') {
            return Err(unsupported("a possessive quantifier"));
        }
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) {
            return Err(self.invalid());
        }
        Ok(())
    }

    fn repetition(&mut self) -> Result<(), Error> {
        let (counts, rest) = self.rest.as_str().split_once('}').ok_or_else(|| self.invalid())?;
        let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| is_number).ok_or_else(|| invalid(self.expression))
        };
        let least = number(least)?;
        let most = if most.is_empty() { None } else { Some(number(most)?) };
        if most.is_some_and(|most| most < least) {
            return Err(self.invalid());
        }
        if least.max(most.unwrap_or_default()) > REPETITIONS_MAX {
            return Err(Error::Limit {
                what: "repetitions in a regular expression",
                limit: usize::try_from(REPETITIONS_MAX).unwrap_or(usize::MAX),
            });
        }
        match most {
            Some(most) => self.output.push_str(&format!("{{{least},{most}}}")),
            None => self.output.push_str(&format!("{{{least},}}")),
        }
        self.rest = rest.chars();
        Ok(())
    }

    /// After `(`.
    fn open(&mut self) -> Result<(), Error> {
        if self.groups.len() >= usize::try_from(DEPTH_MAX).unwrap_or(usize::MAX) {
            return Err(Error::Limit {
                what: "nested groups in a regular expression",
                limit: usize::try_from(DEPTH_MAX).unwrap_or(usize::MAX),
            });
        }
        let outside = self.flags;
        if self.eat("?") {
            if ["=", "!", "<=", "<!"].iter().any(|start| self.rest.as_str().starts_with(start)) {
                return Err(unsupported("an assertion about what precedes or follows"));
            }
            if self.peek() == Some('>') {
                return Err(unsupported("an atomic group"));
            }
            if self.eat("<") {
                let (name, rest) =
                    self.rest.as_str().split_once('>').ok_or_else(|| self.invalid())?;
                let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if !is_name {
                    return Err(self.invalid());
                }
                // Names of groups have no effect, and a duplicate one is an error in Java only.
                self.rest = rest.chars();
            } else if self.flags()? {
                return Ok(());
            }
        }
        self.groups.push(outside);
        self.output.push_str("(?:");
        Ok(())
    }

    /// After `(?`. Returns whether the group ends after its flags, which hold for what follows.
    fn flags(&mut self) -> Result<bool, Error> {
        let mut value = true;
        loop {
            match self.rest.next() {
                Some(':') => return Ok(false),
                Some(')') => return Ok(true),
                Some('-') if value => value = false,
                Some('i') => self.flags.ignores_case = value,
                Some('s') => self.flags.dot_matches_all = value,
                Some(flag) if flag.is_ascii_alphabetic() => {
                    return Err(unsupported(&format!("flag {flag}")));
                }
                _ => return Err(self.invalid()),
            }
        }
    }

    /// Java ignores the case of ASCII letters only.
    fn literal(&mut self, character: char) {
        if self.flags.ignores_case && character.is_ascii_alphabetic() {
            let (lower, upper) = (character.to_ascii_lowercase(), character.to_ascii_uppercase());
            self.output.push_str(&format!("[{lower}{upper}]"));
        } else {
            push_literal(&mut self.output, character);
        }
    }

    /// After `\`, outside of a class. Returns whether it can be repeated.
    fn escape(&mut self) -> Result<bool, Error> {
        let Some(character) = self.peek() else { return Err(self.invalid()) };
        match character {
            'A' | 'z' | 'b' | 'B' => {
                self.rest.next();
                if matches!(character, 'b' | 'B') {
                    self.output.push_str(if character == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
                } else {
                    self.output.push_str(if character == 'A' { r"\A" } else { r"\z" });
                }
                Ok(false)
            }
            'Q' => {
                self.rest.next();
                let rest = self.rest.as_str();
                let (quoted, rest) = rest.split_once(r"\E").unwrap_or((rest, ""));
                self.rest = rest.chars();
                for character in quoted.chars() {
                    self.literal(character);
                }
                Ok(!quoted.is_empty())
            }
            '0'..='9' | 'k' if character != '0' => Err(unsupported("a reference to a group")),
            _ => {
                match self.escaped()? {
                    Escaped::Class(class) => self.output.push_str(&class),
                    Escaped::Character(character) => self.literal(character),
                }
                Ok(true)
            }
        }
    }

    /// After `\`, in and outside of classes.
    fn escaped(&mut self) -> Result<Escaped, Error> {
        let character = self.rest.next().ok_or_else(|| self.invalid())?;
        Ok(Escaped::Character(match character {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'a' => '\u{7}',
            'e' => '\u{1b}',
            'x' if self.peek() != Some('{') => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                let class = match character.to_ascii_lowercase() {
                    'd' => "0-9",
                    'w' => "a-zA-Z_0-9",
                    _ => r"\t\n\x0B\f\r ",
                };
                let not = if character.is_ascii_uppercase() { "^" } else { "" };
                return Ok(Escaped::Class(format!("[{not}{class}]")));
            }
            'p' | 'P' => return self.property(character == 'P').map(Escaped::Class),
            _ if character.is_ascii_alphanumeric() => {
                return Err(unsupported(&format!("\\{character}")));
            }
            _ => character,
        }))
    }

    fn hexadecimal(&mut self, length: usize) -> Result<char, Error> {
        let digits = self.rest.as_str().get(..length).ok_or_else(|| self.invalid())?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.invalid());
        }
        self.rest = self.rest.as_str()[length..].chars();
        let number = u32::from_str_radix(digits, 16).map_err(|_| self.invalid())?;
        char::from_u32(number).ok_or_else(|| unsupported("half of a surrogate pair"))
    }

    /// After `\p` or `\P`.
    fn property(&mut self, is_negated: bool) -> Result<String, Error> {
        let name = if self.eat("{") {
            let (name, rest) = self.rest.as_str().split_once('}').ok_or_else(|| self.invalid())?;
            self.rest = rest.chars();
            name.to_owned()
        } else {
            self.rest.next().ok_or_else(|| self.invalid())?.to_string()
        };
        const CATEGORIES: [&str; 36] = [
            "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P",
            "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl",
            "Zp", "C", "Cc", "Cf", "Co", "Cn",
        ];
        let not = if is_negated { "^" } else { "" };
        let ascii = match name.as_str() {
            "Lower" => "a-z",
            "Upper" => "A-Z",
            "ASCII" => r"\x00-\x7f",
            "Alpha" => "a-zA-Z",
            "Digit" => "0-9",
            "Alnum" => "a-zA-Z0-9",
            "Punct" => r"!-/:-@\[-`\{-~",
            "Graph" => "!-~",
            "Print" => " -~",
            "Blank" => r" \t",
            "Cntrl" => r"\x00-\x1f\x7f",
            "XDigit" => "0-9a-fA-F",
            "Space" => r" \t\n\x0B\f\r",
            _ if self.flags.ignores_case => {
                return Err(unsupported(&format!("\\p{{{name}}} with flag i")));
            }
            category if CATEGORIES.contains(&category) => {
                return Ok(format!(r"[{not}\p{{{category}}}]"));
            }
            _ => return Err(unsupported(&format!("\\p{{{name}}}"))),
        };
        if self.flags.ignores_case && matches!(name.as_str(), "Lower" | "Upper") {
            return Ok(format!("[{not}a-zA-Z]"));
        }
        Ok(format!("[{not}{ascii}]"))
    }

    /// After `[`.
    fn class(&mut self, depth: u32) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::Limit {
                what: "nested classes in a regular expression",
                limit: usize::try_from(DEPTH_MAX).unwrap_or(usize::MAX),
            });
        }
        self.output.push('[');
        if self.eat("^") {
            self.output.push('^');
        }
        let mut is_first = true;
        loop {
            let first = match self.rest.next().ok_or_else(|| self.invalid())? {
                ']' if !is_first => break,
                '[' => {
                    self.class(depth + 1)?;
                    is_first = false;
                    continue;
                }
                '&' if self.peek() == Some('&') => {
                    return Err(unsupported("an intersection of classes"));
                }
                '\\' if self.peek() == Some('Q') => return Err(unsupported("\\Q in a class")),
                '\\' => match self.escaped()? {
                    Escaped::Class(class) => {
                        self.output.push_str(&class);
                        is_first = false;
                        continue;
                    }
                    Escaped::Character(character) => character,
                },
                character => character,
            };
            is_first = false;
            let is_range = self.peek() == Some('-')
                && !matches!(self.rest.as_str().as_bytes().get(1), None | Some(b']' | b'['));
            if !is_range {
                self.range(first, first);
                continue;
            }
            self.rest.next();
            let last = match self.rest.next().ok_or_else(|| self.invalid())? {
                '\\' => match self.escaped()? {
                    Escaped::Class(_) => return Err(self.invalid()),
                    Escaped::Character(character) => character,
                },
                character => character,
            };
            if last < first {
                return Err(self.invalid());
            }
            self.range(first, last);
        }
        self.output.push(']');
        Ok(())
    }

    fn range(&mut self, first: char, last: char) {
        push_literal(&mut self.output, first);
        if first != last {
            self.output.push('-');
            push_literal(&mut self.output, last);
        }
        if !self.flags.ignores_case {
            return;
        }
        for (from, to) in [(b'a', b'A'), (b'A', b'a')] {
            let (start, end) = (u32::from(from), u32::from(from) + 25);
            let (low, high) = (u32::from(first).max(start), u32::from(last).min(end));
            if low <= high {
                let other = |letter: u32| char::from_u32(letter - start + u32::from(to));
                if let (Some(low), Some(high)) = (other(low), other(high)) {
                    self.output.push_str(&format!("{low}-{high}"));
                }
            }
        }
    }
}

enum Escaped {
    Character(char),
    Class(String),
}

/// A character that stands for itself, in and outside of classes.
fn push_literal(output: &mut String, character: char) {
    if character.is_ascii_alphanumeric() || !character.is_ascii() {
        output.push(character);
    } else {
        output.push_str(&format!("\\x{:02x}", u32::from(character)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, text: &str) -> bool {
        Pattern::new(expression).unwrap().matches(text)
    }

    #[test]
    fn classes_are_those_of_java() {
        assert!(matches(r"\d+", "12") && !matches(r"\d+", "١٢"));
        assert!(matches(r"\w", "a") && !matches(r"\w", "é") && matches(r"\W", "é"));
        assert!(matches(r"\p{Lower}", "a") && !matches(r"\p{Lower}", "é"));
        assert!(matches(r"[^\d\s]+", "abc") && matches("[a~~b-]+", "a~b-"));
        assert!(!matches(".", "\r") && !matches(".", "\u{2028}") && matches("(?s).", "\n"));
    }

    #[test]
    fn case_of_ascii_letters_is_ignored_within_its_group() {
        assert!(matches("(?i)k[a-c]É", "KBÉ") && !matches("(?i)k", "\u{212a}"));
        assert!(!matches("(?i)é", "É"));
        assert!(matches("(?:(?i)a)b", "Ab") && !matches("(?:(?i)a)b", "AB"));
        assert!(matches("(?i:a)b", "Ab") && !matches("(?i:a)b", "AB"));
    }

    #[test]
    fn what_cannot_be_matched_in_linear_time_is_refused() {
        for expression in [
            "(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", r"(a)\1", "a*+", "(?>a)", r"\G", r"\R",
            "(?m)^a", "a$b", "[a&&b]",
        ] {
            let error = Pattern::new(expression).unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)), "{expression}: {error}");
        }
    }

    #[test]
    fn size_is_limited() {
        for expression in [
            "(?:(?:a{1000}){1000}){1000}".to_owned(),
            "a{1001}".into(),
            "(".repeat(40),
            "[".repeat(40),
            "a".repeat(REGEX_BYTES_MAX + 1),
        ] {
            let error = Pattern::new(&expression).unwrap_err();
            assert!(matches!(error, Error::Limit { .. }), "{error}");
        }
    }

    #[test]
    fn fuzz_query_regex() {
        let samples =
            [r"(?i)a[b-d\w]{2,3}?|\p{L}+\Q.x\E", r"\x41(?<n>b)*[^\]\-a]$", "(?s:.)[[a]b]"];
        convoke_harness::check!(&samples, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let Ok(pattern) = Pattern::new(text) else { return };
            pattern.matches("abc");
            pattern.matches(text);
        });
    }
}
