//! YAML as a tree of strings. A plain `no`, `on`, `007`, `1_000` or `~` stays a string: the code
//! that reads it decides what is a boolean or a number, as in Hazelcast (YAML 1.2, JSON schema).
//! Numbers with a fraction or an exponent are normalized as in Hazelcast: `1.50` becomes `1.5`, and
//! `1e3` becomes `1000.0`.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, StrInput};

use super::quoted::quoted;

/// Maximum number of values of a file, including the files that it imports.
pub(super) const VALUES_MAX: usize = 20_000;
/// Maximum nesting of lists and maps in a file.
const DEPTH_MAX: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// Empty, or `null`.
    Nothing,
    Text(String),
    List(Vec<Self>),
    /// In the order of the file.
    Map(Vec<(String, Self)>),
}

impl Tree {
    /// The strings in it, at any depth.
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Text(text) => vec![text.clone()],
            Self::List(values) => values.iter().flat_map(Self::texts).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(_, value)| value.texts()).collect(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Nothing | Self::Text(_) => 1,
            Self::List(values) => 1 + values.iter().map(Self::size).sum::<usize>(),
            Self::Map(entries) => 1 + entries.iter().map(|(_, value)| value.size()).sum::<usize>(),
        }
    }
}

/// Reads a file with one document.
pub(super) fn read(text: &str) -> Result<Tree, String> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), room: VALUES_MAX };
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(Tree::Nothing),
            Event::StreamStart | Event::DocumentStart(..) => {}
            event => {
                let tree = reader.value(event, 0)?;
                loop {
                    match reader.next()? {
                        Event::StreamEnd => return Ok(tree),
                        Event::DocumentStart(..) => {
                            return Err("it has a second document, after `---`; Hazelcast reads only one: keep one of them".to_owned());
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Tree>,
    /// Number of values that the file may still have, including values repeated by an alias.
    room: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        loop {
            match self.parser.next_event() {
                None => return Ok(Event::StreamEnd),
                Some(Ok((Event::Comment(..) | Event::Anchor(..), _))) => {}
                Some(Ok((event, _))) => return Ok(event),
                Some(Err(error)) => {
                    let why = quoted(&error.to_string());
                    return Err(format!("the file is not well-formed YAML: {why}"));
                }
            }
        }
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Tree, String> {
        if depth > DEPTH_MAX {
            return Err(format!("it has more than {DEPTH_MAX} levels"));
        }
        self.take_room(1)?;
        let (tree, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == ScalarStyle::Plain;
                let tree = match &*text {
                    "" | "null" if is_plain => Tree::Nothing,
                    number if is_plain && is_float(number) => Tree::Text(float(number)),
                    _ => Tree::Text(text.into_owned()),
                };
                (tree, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut values = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => values.push(self.value(event, depth + 1)?),
                    }
                }
                (Tree::List(values), anchor)
            }
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => {
                let tree = self.anchors.get(&anchor).cloned();
                let tree = tree.ok_or_else(|| "an alias contains itself".to_owned())?;
                self.take_room(tree.size())?;
                (tree, 0)
            }
            _ => return Ok(Tree::Nothing),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, tree.clone());
        }
        Ok(tree)
    }

    fn map(&mut self, depth: usize) -> Result<Tree, String> {
        let mut entries: Vec<(String, Tree)> = Vec::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(Tree::Map(entries)),
                event => self.value(event, depth + 1)?,
            };
            let Tree::Text(key) = key else {
                return Err("it has a key that is not a string".to_owned());
            };
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(format!("it has the key {:?} twice", quoted(&key)));
            }
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            entries.push((key, value));
        }
    }

    fn take_room(&mut self, values: usize) -> Result<(), String> {
        self.room = self
            .room
            .checked_sub(values)
            .ok_or_else(|| format!("it has more than {VALUES_MAX} values"))?;
        Ok(())
    }
}

/// Whether a plain scalar is a floating-point number (YAML 1.2, section 10.2.1.4).
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_whole =
        !whole.is_empty() && digits(whole) && (whole.len() == 1 || !whole.starts_with('0'));
    let is_exponent = |exponent: &str| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    };
    (fraction.is_some() || exponent.is_some())
        && is_whole
        && fraction.is_none_or(digits)
        && exponent.is_none_or(is_exponent)
}

/// A number as Java's `Double.toString` writes it; unchanged if it does not fit a `double`.
fn float(text: &str) -> String {
    /// Numbers without an exponent.
    const PLAIN: std::ops::Range<f64> = 1e-3..1e7;
    let number: f64 = match text.parse() {
        Ok(number) if f64::is_finite(number) => number,
        _ => return text.to_owned(),
    };
    if number == 0.0 || PLAIN.contains(&number.abs()) {
        return format!("{number:?}");
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let fraction = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{fraction}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Tree {
        Tree::Text(text.to_owned())
    }

    #[test]
    fn words_and_integers_stay_strings() {
        let tree = read("[no, on, 007, 1_000, 0x10, true, 'null', null, ~, '', 5]").unwrap();
        let texts = ["no", "on", "007", "1_000", "0x10", "true", "null"].map(text);
        let mut wanted = texts.to_vec();
        wanted.extend([Tree::Nothing, text("~"), text(""), text("5")]);
        assert_eq!(tree, Tree::List(wanted));
    }

    #[test]
    fn numbers_with_a_fraction_are_normalized() {
        for (written, kept) in [
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("5.", "5.0"),
            ("-0.0", "-0.0"),
            ("12345678.5", "1.23456785E7"),
            ("-1.5e-7", "-1.5E-7"),
            ("1e10", "1.0E10"),
            ("0.001", "0.001"),
            // Not numbers in YAML 1.2.
            ("-.5", "-.5"),
            ("01.5", "01.5"),
            ("1.2.3", "1.2.3"),
            ("10.0.0.1", "10.0.0.1"),
            (".inf", ".inf"),
            ("1e", "1e"),
            ("+1.5", "+1.5"),
            ("1e999", "1e999"),
        ] {
            assert_eq!(read(written), Ok(text(kept)), "{written}");
            assert_eq!(read(&format!("'{written}'")), Ok(text(written)), "quoted");
        }
    }

    #[test]
    fn an_alias_has_the_value_of_its_anchor() {
        let tree = read("# above\na: &x [1, 2] # beside\n# between\nb: *x\n").unwrap();
        let Tree::Map(entries) = tree else { panic!("a map") };
        assert_eq!(entries[0].1, entries[1].1);
    }

    #[test]
    fn too_large_or_ambiguous_files_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let alias = format!("*a{}", n - 1);
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![alias; 10].join(", ")));
        }
        for (text, expected) in [
            (bomb.as_str(), "more than 20000 values"),
            ("a: 1\na: 2", "the key \"a\" twice"),
            ("a: [", "not well-formed YAML"),
            (&format!("{}{}", "[".repeat(100), "]".repeat(100)), "levels"),
            ("[a]: b", "a key that is not a string"),
        ] {
            let refusal = read(text).unwrap_err();
            assert!(refusal.contains(expected), "{refusal}");
        }
        assert_eq!(read(""), Ok(Tree::Nothing));
    }
}
