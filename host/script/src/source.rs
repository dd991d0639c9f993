//! Sources in Lua 5.1, as Luau reads them.
//!
//! In Lua 5.1, a backslash before a character without a meaning of its own stands for that
//! character, and a string may contain a NUL byte. Luau refuses both, and gives a meaning to `\x`,
//! `\u` and `\z`. ([Lua 5.1 reference manual], section 2.1.)
//!
//! [Lua 5.1 reference manual]: https://www.lua.org/manual/5.1/manual.html

use std::borrow::Cow;

/// The source with the escapes of Lua 5.1 written as Luau reads them. Lines keep their numbers.
pub(crate) fn for_luau(source: &[u8]) -> Cow<'_, [u8]> {
    let mut rewriter = Rewriter { source, at: 0, copied: 0, rewritten: Vec::new() };
    rewriter.run();
    let Rewriter { copied, mut rewritten, .. } = rewriter;
    if copied == 0 {
        return Cow::Borrowed(source);
    }
    rewritten.extend_from_slice(&source[copied..]);
    Cow::Owned(rewritten)
}

struct Rewriter<'a> {
    source: &'a [u8],
    at: usize,
    /// The source up to here is in `rewritten`.
    copied: usize,
    rewritten: Vec<u8>,
}

impl Rewriter<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn run(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' | b'\'' => self.string(byte),
                b'[' if self.long_bracket() => {}
                b'-' if self.peek(1) == Some(b'-') => {
                    self.at += 2;
                    if !self.long_bracket() {
                        self.skip_until(|byte| byte == b'\n');
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn skip_until(&mut self, is_end: impl Fn(u8) -> bool) {
        let rest = &self.source[self.at..];
        self.at += rest.iter().position(|&byte| is_end(byte)).unwrap_or(rest.len());
    }

    /// Skips a string or comment in long brackets. Returns whether there is one.
    fn long_bracket(&mut self) -> bool {
        if self.peek(0) != Some(b'[') {
            return false;
        }
        let rest = &self.source[self.at + 1..];
        let level = rest.iter().take_while(|&&byte| byte == b'=').count();
        if rest.get(level) != Some(&b'[') {
            return false;
        }
        self.at += level + 2;
        loop {
            self.skip_until(|byte| byte == b']');
            let Some(rest) = self.source.get(self.at + 1..) else { return true };
            let closes = rest.iter().take_while(|&&byte| byte == b'=').count();
            if closes == level && rest.get(level) == Some(&b']') {
                self.at += level + 2;
                return true;
            }
            self.at += 1;
        }
    }

    /// A string in quotes.
    fn string(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => self.escape(),
                0 => self.replace(1, b"\\000"),
                b'\n' => return,
                _ => {
                    self.at += 1;
                    if byte == quote {
                        return;
                    }
                }
            }
        }
    }

    fn escape(&mut self) {
        match self.peek(1) {
            Some(
                b'a'
                | b'b'
                | b'f'
                | b'n'
                | b'r'
                | b't'
                | b'v'
                | b'\\'
                | b'\''
                | b'"'
                | b'\n'
                | b'\r'
                | b'0'..=b'9',
            ) => self.at += 2,
            Some(0) => self.replace(2, b"\\000"),
            Some(_) => self.replace(1, b""),
            None => self.at += 1,
        }
    }

    /// Writes other bytes in place of the next `count`; those after them are not looked at again if
    /// the first was a backslash.
    fn replace(&mut self, count: usize, with: &[u8]) {
        self.rewritten.extend_from_slice(&self.source[self.copied..self.at]);
        self.rewritten.extend_from_slice(with);
        self.at += count;
        self.copied = self.at;
        if with.is_empty() {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_without_a_meaning_stand_for_their_character() {
        for (source, expected) in [
            (r#"return "\u00e9""#, r#"return "u00e9""#),
            (r#"return "C:\x" .. '\q\\x'"#, r#"return "C:x" .. 'q\\x'"#),
            ("return '\\z  b'", "return 'z  b'"),
            ("return 'a\x001'", "return 'a\\0001'"),
            ("return '\\\x001'", "return '\\0001'"),
            ("return '\\'\\\"\\n\\65'", "return '\\'\\\"\\n\\65'"),
            (
                "return [[\\x]] .. [==[ ]] \\u ]==] .. '\\x'",
                "return [[\\x]] .. [==[ ]] \\u ]==] .. 'x'",
            ),
            ("-- don't \\x\nreturn '\\x'", "-- don't \\x\nreturn 'x'"),
            ("--[[ ' \\x ]] return '\\x'", "--[[ ' \\x ]] return 'x'"),
            ("return a[1] .. '\\y'", "return a[1] .. 'y'"),
            ("return 'unfinished \\", "return 'unfinished \\"),
            ("return 'one\n'\\x'", "return 'one\n'x'"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&for_luau(source.as_bytes())),
                expected,
                "{source:?}"
            );
        }
        assert!(matches!(for_luau(b"return redis.call('get', KEYS[1])"), Cow::Borrowed(_)));
    }

    #[test]
    fn fuzz_escapes() {
        let samples = [b"return '\\x' .. [==[ \\u ]==] -- it's\n.. \"\0\"".to_vec()];
        convoke_harness::check!(&samples, |bytes| {
            let lines = |text: &[u8]| text.iter().filter(|&&byte| byte == b'\n').count();
            let rewritten = for_luau(bytes);
            assert_eq!(lines(&rewritten), lines(bytes));
            assert_eq!(*for_luau(&rewritten), *rewritten);
        });
    }
}
