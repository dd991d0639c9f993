//! Patterns of Lua, for long texts and patterns: the functions of Luau itself check no limit within
//! one repetition, and could not be interrupted for seconds. These check it, and search for a plain text
//! in linear time.

use std::cell::RefCell;
use std::rc::Rc;

use memchr::memmem;
use mlua::{Lua, LuaString, MultiValue, Table, Value};

use crate::deadline::{BYTES_PER_CHECK, Deadline};
use crate::library::plain;

/// Bytes of a text times those of a pattern that Luau may handle in any case.
const PRODUCT_MAX: i64 = 1 << 20;
/// Comparisons of a byte with an element of a set that Luau may do between two interrupts.
const STEPS_MAX: usize = 1 << 26;
/// The longest pattern that Luau matches, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Captures of a pattern, at most, as in Luau.
const CAPTURES_MAX: usize = 32;
/// Levels of repetitions and captures of a pattern, at most, as in Luau.
const DEPTH_MAX: usize = 200;
/// The longest text that a replacement becomes, in bytes.
const REPLACEMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that make a text a pattern.
const MAGIC: &[u8] = b"^$*+?.([%-";

/// Characters, sets and captures of a pattern that the host matches, at most.
const ITEMS_MAX: usize = 1 << 18;

/// Bytes that match.
#[derive(Clone, Copy, Debug)]
struct Set([u64; 4]);

impl Set {
    fn new(is_in: impl Fn(u8) -> bool) -> Self {
        let mut set = Self([0; 4]);
        (0..=u8::MAX).filter(|byte| is_in(*byte)).for_each(|byte| set.add(byte));
        set
    }

    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    One,
    /// `?`
    Optional,
    /// `*` or `+`: as many as possible, at least this many.
    Many(usize),
    /// `-`: as few as possible.
    Few,
}

enum Item {
    Byte(Set, Times),
    /// `(`
    Open,
    /// `()`
    Position,
    /// `)`
    Close,
    /// `%bxy`
    Balanced(u8, u8),
    /// `%f[set]`
    Frontier(Set),
    /// `%1`
    Captured(usize),
    /// `$` at the end
    End,
}

struct Pattern {
    is_anchored: bool,
    items: Vec<Item>,
    /// Elements of the longest set that is repeated.
    set_length: usize,
}

/// The bytes of `%a` and others.
fn is_of_class(byte: u8, class: u8) -> bool {
    let is_of = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        // A vertical tabulator is a space for C.
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return byte == class,
    };
    is_of != class.is_ascii_uppercase()
}

impl Pattern {
    fn new(text: &[u8], is_anchor_special: bool, deadline: &Deadline) -> Result<Self, String> {
        let is_anchored = is_anchor_special && text.first() == Some(&b'^');
        let text = if is_anchored { &text[1..] } else { text };
        let (mut items, mut set_length, mut at) = (Vec::new(), 1, 0);
        while let Some(byte) = text.get(at) {
            deadline.check()?;
            if items.len() == ITEMS_MAX {
                return Err("pattern too complex".into());
            }
            let next = text.get(at + 1);
            match (byte, next) {
                (b'(', Some(b')')) => (items.push(Item::Position), at += 2).1,
                (b'(', _) => (items.push(Item::Open), at += 1).1,
                (b')', _) => (items.push(Item::Close), at += 1).1,
                (b'$', None) => (items.push(Item::End), at += 1).1,
                (b'%', Some(b'b')) => {
                    let Some(&[open, close]) = text.get(at + 2..at + 4) else {
                        return Err("malformed pattern (missing arguments to '%b')".into());
                    };
                    items.push(Item::Balanced(open, close));
                    at += 4;
                }
                (b'%', Some(b'f')) => {
                    if text.get(at + 2) != Some(&b'[') {
                        return Err("missing '[' after '%f' in pattern".into());
                    }
                    let (set, end) = single(text, at + 2, deadline)?;
                    items.push(Item::Frontier(set));
                    at = end;
                }
                (b'%', Some(digit @ b'0'..=b'9')) => {
                    items.push(Item::Captured(usize::from(digit - b'0')));
                    at += 2;
                }
                _ => {
                    let (set, end) = single(text, at, deadline)?;
                    let times = match text.get(end) {
                        Some(b'?') => Times::Optional,
                        Some(b'*') => Times::Many(0),
                        Some(b'+') => Times::Many(1),
                        Some(b'-') => Times::Few,
                        _ => Times::One,
                    };
                    if let Times::Many(_) = times {
                        set_length = set_length.max(end - at);
                    }
                    items.push(Item::Byte(set, times));
                    at = end + usize::from(times != Times::One);
                }
            }
        }
        Ok(Self { is_anchored, items, set_length })
    }
}

/// The bytes that the single character or set at this place matches, and where it ends.
fn single(text: &[u8], start: usize, deadline: &Deadline) -> Result<(Set, usize), String> {
    match text[start] {
        b'%' => {
            let class = *text.get(start + 1).ok_or("malformed pattern (ends with '%')")?;
            Ok((Set::new(|byte| is_of_class(byte, class)), start + 2))
        }
        b'.' => Ok((Set::new(|_| true), start + 1)),
        b'[' => set(text, start, deadline),
        literal => Ok((Set::new(|byte| byte == literal), start + 1)),
    }
}

/// A set in brackets.
fn set(text: &[u8], start: usize, deadline: &Deadline) -> Result<(Set, usize), String> {
    let is_negated = text.get(start + 1) == Some(&b'^');
    let first = start + 1 + usize::from(is_negated);
    // The first element may be a bracket.
    let mut end = first;
    loop {
        if end.is_multiple_of(BYTES_PER_CHECK) {
            deadline.check()?;
        }
        let byte = text.get(end).ok_or("malformed pattern (missing ']')")?;
        end += if *byte == b'%' && end + 1 < text.len() { 2 } else { 1 };
        if text.get(end) == Some(&b']') {
            break;
        }
    }
    let mut set = Set::new(|_| false);
    let mut at = first;
    while at < end {
        if at.is_multiple_of(BYTES_PER_CHECK) {
            deadline.check()?;
        }
        if text[at] == b'%' {
            let class = text[at + 1];
            (0..=u8::MAX).filter(|byte| is_of_class(*byte, class)).for_each(|byte| set.add(byte));
            at += 2;
        } else if text[at + 1] == b'-' && at + 2 < end {
            (text[at]..=text[at + 2]).for_each(|byte| set.add(byte));
            at += 3;
        } else {
            set.add(text[at]);
            at += 1;
        }
    }
    if is_negated {
        set = Set(set.0.map(|bits| !bits));
    }
    Ok((set, end + 1))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capture {
    /// It began here and is not closed.
    Open(usize),
    Text(usize, usize),
    Position(usize),
}

struct Matcher<'a> {
    text: &'a [u8],
    items: &'a [Item],
    captures: Vec<Capture>,
    depth: usize,
    deadline: &'a Deadline,
}

impl Matcher<'_> {
    /// Where a match that begins here ends.
    fn matches(&mut self, item: usize, start: usize) -> Result<Option<usize>, String> {
        self.deadline.check()?;
        if self.depth == DEPTH_MAX {
            return Err("pattern too complex".into());
        }
        self.depth += 1;
        let end = self.matches_here(item, start);
        self.depth -= 1;
        end
    }

    fn matches_here(&mut self, mut item: usize, mut at: usize) -> Result<Option<usize>, String> {
        let items = self.items;
        while let Some(of) = items.get(item) {
            item += 1;
            at = match of {
                Item::Byte(set, times) => match (times, self.is_in(set, at)) {
                    (Times::One, true) => at + 1,
                    (Times::One, false) => return Ok(None),
                    (Times::Optional, true) => match self.matches(item, at + 1)? {
                        None => at,
                        end => return Ok(end),
                    },
                    (Times::Optional, false) => at,
                    (Times::Many(least), _) => return self.many(item, at, set, *least),
                    (Times::Few, _) => return self.few(item, at, set),
                },
                Item::Open => return self.capture(item, at, Capture::Open(at)),
                Item::Position => return self.capture(item, at, Capture::Position(at)),
                Item::Close => return self.close(item, at),
                Item::End if at == self.text.len() => at,
                Item::End => return Ok(None),
                Item::Balanced(open, close) => match self.balanced(at, *open, *close)? {
                    Some(end) => end,
                    None => return Ok(None),
                },
                Item::Frontier(set) => {
                    let before = at.checked_sub(1).map_or(0, |before| self.text[before]);
                    let here = self.text.get(at).copied().unwrap_or(0);
                    if set.has(before) || !set.has(here) {
                        return Ok(None);
                    }
                    at
                }
                Item::Captured(number) => {
                    let capture = number.checked_sub(1).and_then(|of| self.captures.get(of));
                    match capture {
                        None | Some(Capture::Open(_)) => {
                            return Err(format!("invalid capture index %{number}"));
                        }
                        Some(Capture::Position(_)) => return Ok(None),
                        Some(Capture::Text(from, to)) => {
                            let captured = &self.text[*from..*to];
                            if !self.text[at..].starts_with(captured) {
                                return Ok(None);
                            }
                            at + captured.len()
                        }
                    }
                }
            };
        }
        Ok(Some(at))
    }

    fn is_in(&self, set: &Set, at: usize) -> bool {
        self.text.get(at).is_some_and(|byte| set.has(*byte))
    }

    fn many(
        &mut self,
        item: usize,
        at: usize,
        set: &Set,
        least: usize,
    ) -> Result<Option<usize>, String> {
        let mut end = at;
        while self.is_in(set, end) {
            end += 1;
            if end.is_multiple_of(BYTES_PER_CHECK) {
                self.deadline.check()?;
            }
        }
        while end >= at + least {
            if let Some(end) = self.matches(item, end)? {
                return Ok(Some(end));
            }
            if end == 0 {
                break;
            }
            end -= 1;
        }
        Ok(None)
    }

    fn few(&mut self, item: usize, mut at: usize, set: &Set) -> Result<Option<usize>, String> {
        loop {
            if let Some(end) = self.matches(item, at)? {
                return Ok(Some(end));
            }
            if !self.is_in(set, at) {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn capture(
        &mut self,
        item: usize,
        at: usize,
        capture: Capture,
    ) -> Result<Option<usize>, String> {
        if self.captures.len() >= CAPTURES_MAX {
            return Err("too many captures".into());
        }
        self.captures.push(capture);
        let end = self.matches(item, at)?;
        if end.is_none() {
            self.captures.pop();
        }
        Ok(end)
    }

    fn close(&mut self, item: usize, at: usize) -> Result<Option<usize>, String> {
        let last = self.captures.iter().rposition(|of| matches!(of, Capture::Open(_)));
        let last = last.ok_or("invalid pattern capture")?;
        let open = self.captures[last];
        if let Capture::Open(start) = open {
            self.captures[last] = Capture::Text(start, at);
        }
        let end = self.matches(item, at)?;
        if end.is_none() {
            self.captures[last] = open;
        }
        Ok(end)
    }

    fn balanced(&self, at: usize, open: u8, close: u8) -> Result<Option<usize>, String> {
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut level = 1_usize;
        for (next, byte) in self.text.iter().enumerate().skip(at + 1) {
            if next.is_multiple_of(BYTES_PER_CHECK) {
                self.deadline.check()?;
            }
            if *byte == close {
                level -= 1;
                if level == 0 {
                    return Ok(Some(next + 1));
                }
            } else if *byte == open {
                level += 1;
            }
        }
        Ok(None)
    }
}

/// What was found: where it begins and ends, and the captures.
type Found = Option<(usize, usize, Vec<Capture>)>;

fn search(
    text: &[u8],
    pattern: &Pattern,
    init: usize,
    deadline: &Deadline,
) -> Result<Found, String> {
    let captures = Vec::new();
    let mut matcher = Matcher { text, items: &pattern.items, captures, depth: 0, deadline };
    for start in init..=text.len() {
        matcher.captures.clear();
        if let Some(end) = matcher.matches(0, start)? {
            if matcher.captures.iter().any(|of| matches!(of, Capture::Open(_))) {
                return Err("unfinished capture".into());
            }
            return Ok(Some((start, end, matcher.captures)));
        }
        if pattern.is_anchored {
            break;
        }
    }
    Ok(None)
}

/// A replacement with `%0` to `%9`, of the whole match and the captures.
fn expand(template: &[u8], values: &[LuaString], deadline: &Deadline) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut bytes = template.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        deadline.check()?;
        match bytes.next() {
            Some(digit @ b'0'..=b'9') => {
                let at = usize::from(digit - b'0');
                // Without captures, `%1` is the whole match.
                let at = if at == 1 && values.len() == 1 { 0 } else { at };
                let value = values.get(at).ok_or("invalid capture index")?;
                out.extend_from_slice(&value.as_bytes());
            }
            Some(b'%') => out.push(b'%'),
            _ => return Err("invalid use of '%' in replacement string".into()),
        }
        if out.len() > REPLACEMENT_BYTES_MAX {
            return Err("not enough memory".into());
        }
    }
    Ok(out)
}

fn returned(lua: &Lua, values: Result<Vec<Value>, String>) -> mlua::Result<MultiValue> {
    let (is_ok, values) = match values {
        Ok(values) => (true, values),
        Err(text) => (false, vec![Value::String(lua.create_string(text)?)]),
    };
    Ok(std::iter::once(Value::Boolean(is_ok)).chain(values).collect())
}

/// The pattern that was compiled last: a search for the next match uses it again.
#[derive(Default)]
pub(crate) struct Patterns(RefCell<Option<(LuaString, bool, Rc<Pattern>)>>);

impl Patterns {
    fn get(
        &self,
        text: &LuaString,
        is_anchor_special: bool,
        deadline: &Deadline,
    ) -> Result<Rc<Pattern>, String> {
        if let Some((known, is_special, pattern)) = &*self.0.borrow()
            // Equal strings of one state are the same object.
            && known.to_pointer() == text.to_pointer()
            && *is_special == is_anchor_special
        {
            return Ok(Rc::clone(pattern));
        }
        let pattern = Rc::new(Pattern::new(&text.as_bytes(), is_anchor_special, deadline)?);
        *self.0.borrow_mut() = Some((text.clone(), is_anchor_special, Rc::clone(&pattern)));
        Ok(pattern)
    }

    /// Forgets it.
    pub(crate) fn clear(&self) {
        if self.0.borrow().is_some() {
            *self.0.borrow_mut() = None;
        }
    }
}

/// Adds the functions to those that `strings.lua` gets. Each returns whether it succeeded, and its
/// results or an error as text.
pub(crate) fn add(
    lua: &Lua,
    host: &Table,
    patterns: &Rc<Patterns>,
    deadline: &Rc<Deadline>,
) -> mlua::Result<()> {
    host.raw_set("PRODUCT_MAX", PRODUCT_MAX)?;
    // Whether Luau would match this pattern without an interrupt for too long.
    let (known, ends) = (Rc::clone(patterns), Rc::clone(deadline));
    let is_long = move |lua: &Lua, (bytes, pattern): (usize, LuaString)| {
        let is_long = if pattern.as_bytes().len() > PATTERN_BYTES_MAX {
            Ok(true)
        } else {
            let pattern = known.get(&pattern, true, &ends);
            pattern.map(|pattern| bytes.saturating_mul(pattern.set_length) > STEPS_MAX)
        };
        returned(lua, is_long.map(|is_long| vec![Value::Boolean(is_long)]))
    };
    host.raw_set("is_long", lua.create_function(is_long)?)?;
    // A plain text: where it begins; nothing if it is not there.
    let locate = |_: &Lua, (text, needle, init): (LuaString, LuaString, usize)| {
        let (text, needle) = (text.as_bytes(), needle.as_bytes());
        let rest = text.get(init - 1..);
        Ok(rest.and_then(|rest| memmem::find(rest, &needle)).map(|at| at + init))
    };
    host.raw_set("locate", lua.create_function(locate)?)?;
    let has_magic =
        |_: &Lua, text: LuaString| Ok(text.as_bytes().iter().any(|byte| MAGIC.contains(byte)));
    host.raw_set("has_magic", lua.create_function(has_magic)?)?;
    // A pattern: where the match begins and ends, and the captures.
    let (known, ends) = (Rc::clone(patterns), Rc::clone(deadline));
    let found = move |lua: &Lua,
                      (text, pattern, init, is_anchor_special): (
        LuaString,
        LuaString,
        usize,
        bool,
    )| {
        let text = text.as_bytes();
        let found = known
            .get(&pattern, is_anchor_special, &ends)
            .and_then(|pattern| search(&text, &pattern, init - 1, &ends));
        let values = found.and_then(|found| {
            let Some((start, end, captures)) = found else {
                return Ok(Vec::new());
            };
            let number = |number: usize| Value::Number(number as f64);
            let mut values = vec![number(start + 1), number(end)];
            for capture in captures {
                values.push(match capture {
                    Capture::Position(at) | Capture::Open(at) => number(at + 1),
                    Capture::Text(from, to) => Value::String(
                        lua.create_string(&text[from..to]).map_err(|error| plain(&error))?,
                    ),
                });
            }
            Ok(values)
        });
        returned(lua, values)
    };
    host.raw_set("search", lua.create_function(found)?)?;
    let ends = Rc::clone(deadline);
    let expanded = move |lua: &Lua, (template, values): (LuaString, mlua::Variadic<LuaString>)| {
        let text = expand(&template.as_bytes(), &values, &ends).and_then(|text| {
            lua.create_string(text).map(Value::String).map_err(|error| plain(&error))
        });
        returned(lua, text.map(|text| vec![text]))
    };
    host.raw_set("expand", lua.create_function(expanded)?)
}

#[cfg(test)]
mod tests;
