//! Attributes of documents (RFC 8259).
//!
//! A document is read up to the attribute: what follows it is not checked. A malformed document has
//! no attributes, which is not an error.

use std::borrow::Cow;

use super::path::Step;
use super::scalar::Scalar;
use super::{Attribute, Error, IsMissing, JSON_DEPTH_MAX, NULL, Visit};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// The name of a member, without quotes and with its escapes.
    Name(&'a str),
    Text(&'a str),
    Int(&'a str),
    Float(&'a str),
    Bool(bool),
    Null,
}

use Token::{ArrayEnd, ArrayStart, ObjectEnd, ObjectStart};

impl Token<'_> {
    const fn is_start(self) -> bool {
        matches!(self, ObjectStart | ArrayStart)
    }

    const fn is_scalar(self) -> bool {
        matches!(self, Self::Text(_) | Self::Int(_) | Self::Float(_) | Self::Bool(_) | Self::Null)
    }
}

/// The document is malformed.
#[derive(Debug, PartialEq)]
struct Malformed;

/// Why reading stopped.
enum Stop {
    Malformed,
    Error(Error),
}

impl From<Malformed> for Stop {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// A value; within an array at its start, also its end.
    Value,
    ValueOrEnd,
    /// The name of a member; after the start of an object, also its end.
    Name,
    NameOrEnd,
    /// A comma or the end.
    Comma,
}

/// Reads the tokens of a document.
struct Reader<'a> {
    rest: &'a str,
    /// The arrays and objects around: whether each is an object.
    stack: Vec<bool>,
    next: Next,
    token: Token<'a>,
}

impl<'a> Reader<'a> {
    /// At the first token.
    fn new(text: &'a str) -> Result<Self, Malformed> {
        let mut reader =
            Self { rest: text, stack: Vec::new(), next: Next::Value, token: Token::Null };
        reader.advance()?;
        Ok(reader)
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, character: char) -> bool {
        self.skip_spaces();
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn advance(&mut self) -> Result<Token<'a>, Malformed> {
        self.token = self.read()?;
        Ok(self.token)
    }

    fn read(&mut self) -> Result<Token<'a>, Malformed> {
        let (mut next, is_object) = (self.next, self.stack.last().copied());
        if matches!(next, Next::Comma | Next::ValueOrEnd | Next::NameOrEnd) {
            match is_object {
                Some(true) if self.eat('}') => return Ok(self.end(ObjectEnd)),
                Some(false) if self.eat(']') => return Ok(self.end(ArrayEnd)),
                _ => {}
            }
        }
        if next == Next::Comma {
            if is_object.is_none() || !self.eat(',') {
                return Err(Malformed);
            }
            next = if is_object == Some(true) { Next::Name } else { Next::Value };
        }
        if matches!(next, Next::Name | Next::NameOrEnd) {
            if !self.eat('"') {
                return Err(Malformed);
            }
            let name = self.text()?;
            if !self.eat(':') {
                return Err(Malformed);
            }
            self.next = Next::Value;
            return Ok(Token::Name(name));
        }
        self.value()
    }

    fn end(&mut self, token: Token<'a>) -> Token<'a> {
        self.stack.pop();
        self.next = Next::Comma;
        token
    }

    fn start(&mut self, is_object: bool) -> Result<Token<'a>, Malformed> {
        if self.stack.len() >= JSON_DEPTH_MAX {
            return Err(Malformed);
        }
        self.stack.push(is_object);
        self.next = if is_object { Next::NameOrEnd } else { Next::ValueOrEnd };
        Ok(if is_object { ObjectStart } else { ArrayStart })
    }

    fn value(&mut self) -> Result<Token<'a>, Malformed> {
        self.skip_spaces();
        let first = self.rest.bytes().next().ok_or(Malformed)?;
        match first {
            b'{' | b'[' => {
                self.rest = &self.rest[1..];
                return self.start(first == b'{');
            }
            _ => self.next = Next::Comma,
        }
        if first == b'"' {
            self.rest = &self.rest[1..];
            return self.text().map(Token::Text);
        }
        if first == b'-' || first.is_ascii_digit() {
            return self.number();
        }
        let word = |character: char| character.is_alphanumeric() || character == '_';
        let end = self.rest.find(|character| !word(character)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        match name {
            "true" => Ok(Token::Bool(true)),
            "false" => Ok(Token::Bool(false)),
            "null" => Ok(Token::Null),
            _ => Err(Malformed),
        }
    }

    /// What precedes the closing quote, with its escapes.
    fn text(&mut self) -> Result<&'a str, Malformed> {
        let mut bytes = self.rest.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    let text = &self.rest[..at];
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                b'\\' => match bytes.next().ok_or(Malformed)?.1 {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            if !bytes.next().ok_or(Malformed)?.1.is_ascii_hexdigit() {
                                return Err(Malformed);
                            }
                        }
                    }
                    _ => return Err(Malformed),
                },
                ..b' ' => return Err(Malformed),
                _ => {}
            }
        }
        Err(Malformed)
    }

    fn number(&mut self) -> Result<Token<'a>, Malformed> {
        let bytes = self.rest.as_bytes();
        let digits =
            |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let start = usize::from(bytes.first() == Some(&b'-'));
        let whole = digits(start);
        let has_leading_zero = bytes.get(start) == Some(&b'0') && whole > 1;
        if whole == 0 || has_leading_zero {
            return Err(Malformed);
        }
        let (mut end, mut is_int) = (start + whole, true);
        if bytes.get(end) == Some(&b'.') {
            let decimals = digits(end + 1);
            if decimals == 0 {
                return Err(Malformed);
            }
            (end, is_int) = (end + 1 + decimals, false);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent == 0 {
                return Err(Malformed);
            }
            (end, is_int) = (end + 1 + sign + exponent, false);
        }
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(if is_int { Token::Int(number) } else { Token::Float(number) })
    }

    /// From the start of an array or object to its end.
    fn skip_children(&mut self) -> Result<(), Malformed> {
        if !self.token.is_start() {
            return Ok(());
        }
        let depth = self.stack.len();
        while self.stack.len() >= depth {
            self.advance()?;
        }
        Ok(())
    }

    /// From the start of an object to the value of its first member of this name, if there is one,
    /// and otherwise to its end.
    fn find(&mut self, name: &str) -> Result<bool, Malformed> {
        if self.token != ObjectStart {
            return Ok(false);
        }
        loop {
            match self.advance()? {
                ObjectEnd => return Ok(false),
                Token::Name(found) if unescape(found) == name => {
                    self.advance()?;
                    return Ok(true);
                }
                _ => self.skip_children()?,
            }
        }
    }

    /// To the end of the object around.
    fn leave_object(&mut self) -> Result<(), Malformed> {
        while self.advance()? != ObjectEnd {
            self.skip_children()?;
        }
        Ok(())
    }

    fn attribute(&self) -> Result<Attribute<'a>, Malformed> {
        Ok(Attribute::Scalar(match self.token {
            Token::Text(text) => Scalar::Text(unescape(text)),
            Token::Int(number) => Scalar::Long(number.parse().map_err(|_| Malformed)?),
            Token::Float(number) => Scalar::Double(number.parse().map_err(|_| Malformed)?),
            Token::Bool(value) => Scalar::Bool(value),
            Token::Null => Scalar::Null,
            _ => return Ok(Attribute::Structure),
        }))
    }
}

/// A text without its escapes. Halves of surrogate pairs are replaced.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut units = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let unit = match character {
            '\\' => match characters.next() {
                Some('b') => 8,
                Some('f') => 12,
                Some('n') => 10,
                Some('r') => 13,
                Some('t') => 9,
                Some('u') => (0..4).fold(0, |unit, _| {
                    let digit = characters.next().and_then(|digit| digit.to_digit(16));
                    unit << 4 | u16::try_from(digit.unwrap_or_default()).unwrap_or_default()
                }),
                Some(escaped) => u16::try_from(u32::from(escaped)).unwrap_or_default(),
                None => break,
            },
            _ => {
                units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
                continue;
            }
        };
        units.push(unit);
    }
    String::from_utf16_lossy(&units).into()
}

/// The values at the end of `steps`.
pub(super) fn read<'a>(
    text: &'a str,
    steps: &[Step],
    visit: Visit<'_, 'a>,
) -> Result<IsMissing, Error> {
    if steps.contains(&Step::Any) {
        // Items in front of a malformed one do not count: read all of them first.
        match walk(text, steps, &mut |_| {}) {
            Ok(()) => {}
            Err(Stop::Malformed) => {
                visit(NULL);
                return Ok(false);
            }
            Err(Stop::Error(error)) => return Err(error),
        }
    }
    match walk(text, steps, visit) {
        Ok(()) => {}
        Err(Stop::Malformed) => visit(NULL),
        Err(Stop::Error(error)) => return Err(error),
    }
    Ok(false)
}

fn walk<'a>(text: &'a str, steps: &[Step], visit: Visit<'_, 'a>) -> Result<(), Stop> {
    let mut reader = Reader::new(text)?;
    let mut steps = steps.iter();
    while let Some(step) = steps.next() {
        let is_found = match step {
            Step::Any => return walk_items(&mut reader, steps.as_slice(), visit),
            Step::Name(name) => reader.find(name)?,
            Step::Index(index) => {
                let index = index.ok_or_else(|| {
                    Stop::Error(Error::invalid("the index of an attribute is not a number"))
                })?;
                reader.token == ArrayStart && go_to_item(&mut reader, index)?
            }
        };
        if !is_found {
            visit(NULL);
            return Ok(());
        }
    }
    visit(reader.attribute()?);
    Ok(())
}

/// From the start of an array to an item, or to the end, which Hazelcast does not take for a missing
/// item if the index is the number of items.
fn go_to_item(reader: &mut Reader<'_>, index: usize) -> Result<bool, Malformed> {
    let mut token = reader.advance()?;
    for _ in 0..index {
        if token == ArrayEnd {
            return Ok(false);
        }
        reader.skip_children()?;
        token = reader.advance()?;
    }
    Ok(true)
}

/// `[any]`, and the names that follow it.
fn walk_items<'a>(
    reader: &mut Reader<'a>,
    steps: &[Step],
    visit: Visit<'_, 'a>,
) -> Result<(), Stop> {
    const NESTED: &str = "an attribute path with an array within [any]";
    if reader.token != ArrayStart {
        visit(NULL);
        return Ok(());
    }
    let is_array = |step: &Step| !matches!(step, Step::Name(_));
    loop {
        let token = reader.advance()?;
        if token == ArrayEnd {
            return Ok(());
        }
        let Some(first) = steps.first() else {
            if token.is_scalar() {
                visit(reader.attribute()?);
            }
            reader.skip_children()?;
            continue;
        };
        if token.is_start() && is_array(first) {
            return Err(Stop::Error(Error::unsupported(NESTED)));
        }
        if token != ObjectStart {
            reader.skip_children()?;
            continue;
        }
        let mut depth = 0;
        let mut is_found = true;
        for step in steps {
            let Step::Name(name) = step else {
                return Err(Stop::Error(Error::unsupported(NESTED)));
            };
            if !reader.find(name)? {
                is_found = false;
                break;
            }
            depth += 1;
        }
        if is_found {
            visit(match reader.attribute()? {
                Attribute::Structure => Attribute::Opaque("it is an array or object"),
                attribute => attribute,
            });
        }
        reader.skip_children()?;
        for _ in 0..depth {
            reader.leave_object()?;
        }
    }
}

/// The text of the array or object at the end of `steps`. `None` if there is none.
pub(super) fn structure<'a>(text: &'a str, steps: &[Step]) -> Option<&'a str> {
    let mut reader = Reader::new(text).ok()?;
    for step in steps {
        let is_found = match step {
            Step::Name(name) => reader.find(name).ok()?,
            Step::Index(Some(index)) => {
                reader.token == ArrayStart && go_to_item(&mut reader, *index).ok()?
            }
            Step::Index(None) | Step::Any => false,
        };
        if !is_found {
            return None;
        }
    }
    if !reader.token.is_start() {
        return None;
    }
    // Its first character has been read.
    let start = text.len() - reader.rest.len() - 1;
    reader.skip_children().ok()?;
    text.get(start..text.len() - reader.rest.len())
}

/// All of a document, which has to be a scalar.
pub(super) fn whole(text: &str) -> Result<Attribute<'_>, Error> {
    let malformed = |Malformed| Error::invalid("the document is malformed");
    let mut reader = Reader::new(text).map_err(malformed)?;
    let token = reader.token;
    let attribute = match token {
        Token::Float(number) if !number.contains('.') => {
            return Err(Error::invalid("a number with an exponent is not a long"));
        }
        _ => reader.attribute().map_err(malformed)?,
    };
    reader.skip_children().map_err(malformed)?;
    reader.skip_spaces();
    if !reader.rest.is_empty() {
        return Err(malformed(Malformed));
    }
    Ok(match attribute {
        Attribute::Structure => Attribute::Opaque("it is an array or object"),
        attribute => attribute,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::path::Path;

    fn attributes(text: &str, path: &str) -> Result<Vec<Attribute<'static>>, Error> {
        let (path, mut attributes) = (Path::new(path)?, Vec::new());
        read(text, path.json_steps()?, &mut |attribute| {
            attributes.push(match attribute {
                Attribute::Scalar(scalar) => Attribute::Scalar(scalar.into_owned()),
                Attribute::Structure => Attribute::Structure,
                Attribute::Opaque(reason) => Attribute::Opaque(reason),
            });
        })?;
        Ok(attributes)
    }

    #[test]
    fn escapes_are_decoded() {
        let text = Attribute::Scalar(Scalar::Text("\"\\/\u{8}\u{c}\n\r\té𝄞\u{fffd}".into()));
        let document = r#"{"\u0061":"\"\\\/\b\f\n\r\t\u00e9\ud834\udd1e\ud834"}"#;
        assert_eq!(attributes(document, "a"), Ok(vec![text]));
    }

    #[test]
    fn malformed_documents_have_no_attributes() {
        for text in [
            "",
            "{",
            r#"{"a"1}"#,
            r#"{"a":1x}"#,
            r#"{"a":01}"#,
            r#"{"b":1 "a":2}"#,
            r#"{"a":"x}"#,
            r#"{"b":[1,],"a":1}"#,
            r#"{"b":tru,"a":1}"#,
            "{'a':1}",
            r#"{"a":.5}"#,
            r#"{"a":1.}"#,
            r#"{"a":-}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            r#"{"b":1]"#,
        ] {
            let found = attributes(text, "a").unwrap();
            // What follows the value is not read.
            let is_value = text == r#"{"a":1x}"#;
            assert!(found == [NULL] || is_value, "{text}: {found:?}");
        }
        assert_eq!(attributes(r#"{"a":[1, 2"#, "a[any]"), Ok(vec![NULL]));
    }

    #[test]
    fn depth_is_limited() {
        let nested =
            |depth: usize| format!("{{\"b\":{}{},\"a\":1}}", "[".repeat(depth), "]".repeat(depth));
        let one = Attribute::Scalar(Scalar::Long(1));
        assert_eq!(attributes(&nested(JSON_DEPTH_MAX - 1), "a"), Ok(vec![one]));
        assert_eq!(attributes(&nested(JSON_DEPTH_MAX), "a"), Ok(vec![NULL]));
    }

    #[test]
    fn fuzz_query_json() {
        let samples = [
            r#"{"a":[{"b":{"c":"x\u00e9"}},1,[2]],"d":-1.5e3,"e":[true,false,null]}"#,
            r#"[1, "text", {"a": {}}]"#,
            " 12.5 ",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            for path in ["a", "a[any].b.c", "a[0].b", "e[any]", "d", "a[2].a"] {
                let count = attributes(text, path).map_or(0, |attributes| attributes.len());
                assert!(count <= text.len() + 1);
            }
            let _ = whole(text);
        });
    }
}
