//! The library `cjson`: JSON, as Redis' copy of lua-cjson writes and reads it.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};

use crate::deadline::{BYTES_PER_CHECK, Deadline};
use crate::library::{Args, add, plain};
use crate::number::general;

/// The longest text that is written, in bytes.
const ENCODED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most that a script may allow.
const DEPTH_MAX: usize = 1_000;

/// What scripts can set. It lasts until the script ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    encode_depth: usize,
    decode_depth: usize,
    /// Significant digits of numbers.
    precision: usize,
    invalid_encoded: Invalid,
    decodes_invalid: bool,
    keeps_buffer: bool,
    /// Arrays with holes: whether they become objects, by how much longer than its elements an
    /// array may be, and up to which length that does not matter.
    sparse: (bool, f64, f64),
    array_metatables: bool,
}

/// How infinite numbers and those that are none are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            encode_depth: DEPTH_MAX,
            decode_depth: DEPTH_MAX,
            precision: 14,
            invalid_encoded: Invalid::Refused,
            decodes_invalid: true,
            keeps_buffer: true,
            sparse: (false, 2.0, 10.0),
            array_metatables: false,
        }
    }
}

/// The library. `options` are set to their defaults for each script.
pub(crate) fn library(
    lua: &Lua,
    guard: &Function,
    options: &Rc<Cell<Options>>,
    deadline: &Rc<Deadline>,
) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let (shared, ends) = (Rc::clone(options), Rc::clone(deadline));
    add(lua, guard, &library, "encode", move |args| {
        expect_one(args, "encode")?;
        let mut bytes = Vec::new();
        let value = args.get(0).unwrap_or(&Value::Nil);
        Writer { options: shared.get(), bytes: &mut bytes, deadline: &ends }.value(value, 0)?;
        args.returns_bytes(&bytes)
    })?;
    let (shared, ends) = (Rc::clone(options), Rc::clone(deadline));
    add(lua, guard, &library, "decode", move |args| {
        expect_one(args, "decode")?;
        let bytes = args.bytes(0)?;
        let (lua, options) = (args.lua, shared.get());
        let mut reader = Reader { lua, bytes: &bytes, at: 0, options, deadline: &ends };
        let value = reader.document()?;
        args.returns([value])
    })?;
    let depth = |name, field: fn(&mut Options) -> &mut usize| {
        let shared = Rc::clone(options);
        add(lua, guard, &library, name, move |args| {
            let mut options = shared.get();
            let depth = field(&mut options);
            if args.len() > 0 {
                let wanted = args.number(0)?;
                if wanted < 1.0 {
                    return Err(args.invalid(0, "expected integer between 1 and 2147483647"));
                }
                *depth = (wanted as usize).min(DEPTH_MAX);
            }
            let depth = *depth;
            shared.set(options);
            args.returns([Value::Number(depth as f64)])
        })
    };
    depth("encode_max_depth", |options| &mut options.encode_depth)?;
    depth("decode_max_depth", |options| &mut options.decode_depth)?;
    let shared = Rc::clone(options);
    add(lua, guard, &library, "encode_number_precision", move |args| {
        let mut options = shared.get();
        if args.len() > 0 {
            let wanted = args.number(0)?;
            if !(1.0..=17.0).contains(&wanted) {
                return Err(args.invalid(0, "expected integer between 1 and 17"));
            }
            options.precision = wanted as usize;
        }
        shared.set(options);
        args.returns([Value::Number(options.precision as f64)])
    })?;
    let switch = |name, field: fn(&mut Options) -> &mut bool| {
        let shared = Rc::clone(options);
        add(lua, guard, &library, name, move |args| {
            let mut options = shared.get();
            let is_on = field(&mut options);
            if args.len() > 0 {
                *is_on = is_on_or_off(args)?;
            }
            let is_on = *is_on;
            shared.set(options);
            args.returns([Value::Boolean(is_on)])
        })
    };
    switch("encode_keep_buffer", |options| &mut options.keeps_buffer)?;
    switch("decode_invalid_numbers", |options| &mut options.decodes_invalid)?;
    switch("decode_array_with_array_mt", |options| &mut options.array_metatables)?;
    let shared = Rc::clone(options);
    add(lua, guard, &library, "encode_invalid_numbers", move |args| {
        let mut options = shared.get();
        if args.len() > 0 {
            let is_null = matches!(args.get(0), Some(Value::String(text)) if text == "null");
            options.invalid_encoded = match is_null || is_on_or_off(args)? {
                true if is_null => Invalid::Null,
                true => Invalid::Written,
                false => Invalid::Refused,
            };
        }
        shared.set(options);
        let value = match options.invalid_encoded {
            Invalid::Null => return args.returns_bytes(b"null"),
            invalid => Value::Boolean(invalid == Invalid::Written),
        };
        args.returns([value])
    })?;
    let shared = Rc::clone(options);
    add(lua, guard, &library, "encode_sparse_array", move |args| {
        let mut options = shared.get();
        if args.len() > 0 {
            options.sparse.0 = is_on_or_off(args)?;
        }
        if args.len() > 1 {
            options.sparse.1 = args.number(1)?.max(0.0);
        }
        if args.len() > 2 {
            options.sparse.2 = args.number(2)?.max(0.0);
        }
        shared.set(options);
        let (converts, ratio, safe) = options.sparse;
        args.returns([Value::Boolean(converts), Value::Number(ratio), Value::Number(safe)])
    })?;
    library.raw_set("null", Value::NULL)?;
    library.raw_set("_NAME", "cjson")?;
    library.raw_set("_VERSION", "2.1.0")?;
    Ok(library)
}

fn expect_one(args: &Args<'_>, name: &str) -> Result<(), String> {
    if args.len() == 1 {
        return Ok(());
    }
    Err(format!("bad argument #1 to '{name}' (expected 1 argument)"))
}

fn is_on_or_off(args: &Args<'_>) -> Result<bool, String> {
    match args.get(0) {
        Some(Value::Boolean(is_on)) => Ok(*is_on),
        Some(Value::String(text)) if text == "on" => Ok(true),
        Some(Value::String(text)) if text == "off" => Ok(false),
        _ => Err(args.invalid(0, "expected on, off, true or false")),
    }
}

struct Writer<'a> {
    options: Options,
    bytes: &'a mut Vec<u8>,
    deadline: &'a Deadline,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        self.deadline.check()?;
        match value {
            Value::Nil | Value::LightUserData(_) => self.bytes.extend_from_slice(b"null"),
            Value::Boolean(true) => self.bytes.extend_from_slice(b"true"),
            Value::Boolean(false) => self.bytes.extend_from_slice(b"false"),
            Value::Integer(number) => self.number(*number as f64)?,
            Value::Number(number) => self.number(*number)?,
            Value::String(text) => self.string(&text.as_bytes())?,
            Value::Table(table) => self.table(table, depth + 1)?,
            other => {
                let kind = other.type_name();
                return Err(format!("Cannot serialise {kind}: type not supported"));
            }
        }
        self.check_length()
    }

    fn check_length(&self) -> Result<(), String> {
        if self.bytes.len() > ENCODED_BYTES_MAX {
            return Err("not enough memory".into());
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), String> {
        if number.is_finite() {
            self.bytes.extend_from_slice(general(number, self.options.precision).as_bytes());
            return Ok(());
        }
        let text = match self.options.invalid_encoded {
            Invalid::Refused => {
                return Err("Cannot serialise number: must not be NaN or Inf".into());
            }
            Invalid::Null => "null",
            Invalid::Written if number.is_nan() => "nan",
            Invalid::Written if number > 0.0 => "inf",
            Invalid::Written => "-inf",
        };
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) -> Result<(), String> {
        self.bytes.push(b'"');
        for part in text.chunks(BYTES_PER_CHECK) {
            self.deadline.check()?;
            self.escaped(part);
            self.check_length()?;
        }
        self.bytes.push(b'"');
        Ok(())
    }

    fn escaped(&mut self, text: &[u8]) {
        for byte in text {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'/' => b"\\/",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0x08 => b"\\b",
                0x0c => b"\\f",
                0..=0x1f | 0x7f => {
                    self.bytes.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => {
                    self.bytes.push(*byte);
                    continue;
                }
            };
            self.bytes.extend_from_slice(escape);
        }
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<(), String> {
        if depth > self.options.encode_depth {
            return Err(format!("Cannot serialise, excessive depth ({depth})"));
        }
        if let Some(length) = self.array_length(table)? {
            self.bytes.push(b'[');
            for at in 1..=length {
                if at > 1 {
                    self.bytes.push(b',');
                }
                let value: Value = table.raw_get(at).map_err(|error| plain(&error))?;
                self.value(&value, depth)?;
            }
            self.bytes.push(b']');
            return Ok(());
        }
        self.bytes.push(b'{');
        let mut is_first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(|error| plain(&error))?;
            if !std::mem::take(&mut is_first) {
                self.bytes.push(b',');
            }
            match key {
                Value::String(key) => self.string(&key.as_bytes())?,
                Value::Integer(_) | Value::Number(_) => {
                    self.bytes.push(b'"');
                    self.value(&key, depth)?;
                    self.bytes.push(b'"');
                }
                other => {
                    let kind = other.type_name();
                    return Err(format!(
                        "Cannot serialise {kind}: table key must be a number or string"
                    ));
                }
            }
            self.bytes.push(b':');
            self.value(&value, depth)?;
        }
        self.bytes.push(b'}');
        Ok(())
    }

    /// The length of a table that is written as an array: its keys are whole numbers above zero.
    fn array_length(&self, table: &Table) -> Result<Option<usize>, String> {
        let (mut last, mut count) = (0.0_f64, 0.0_f64);
        for pair in table.pairs::<Value, Value>() {
            self.deadline.check()?;
            let (key, _) = pair.map_err(|error| plain(&error))?;
            let key = match key {
                Value::Integer(key) => key as f64,
                Value::Number(key) => key,
                _ => return Ok(None),
            };
            if key < 1.0 || key.trunc() != key {
                return Ok(None);
            }
            last = last.max(key);
            count += 1.0;
        }
        let (converts, ratio, safe) = self.options.sparse;
        if ratio > 0.0 && last > count * ratio && last > safe {
            if converts {
                return Ok(None);
            }
            return Err("Cannot serialise table: excessively sparse array".into());
        }
        Ok((count > 0.0).then_some(last as usize))
    }
}

struct Reader<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
    at: usize,
    options: Options,
    deadline: &'a Deadline,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Value, String> {
        let value = self.value(0)?;
        self.skip();
        if self.at < self.bytes.len() {
            return Err(self.expected("the end"));
        }
        Ok(value)
    }

    fn skip(&mut self) {
        let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        while self.bytes.get(self.at).is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn expected(&self, what: &str) -> String {
        let found = match self.bytes.get(self.at) {
            None => "T_END",
            Some(b'{') => "T_OBJ_BEGIN",
            Some(b'}') => "T_OBJ_END",
            Some(b'[') => "T_ARR_BEGIN",
            Some(b']') => "T_ARR_END",
            Some(b',') => "T_COMMA",
            Some(b':') => "T_COLON",
            Some(b'"') => "T_STRING",
            Some(b'0'..=b'9' | b'-') => "T_NUMBER",
            Some(_) => "invalid token",
        };
        format!("Expected {what} but found {found} at character {}", self.at + 1)
    }

    /// Reads these bytes, if they come next.
    fn eat(&mut self, text: &[u8]) -> bool {
        let is_next = self.bytes[self.at..].starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        self.deadline.check()?;
        self.skip();
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => {
                let text = self.string()?;
                self.lua.create_string(text).map(Value::String).map_err(|error| plain(&error))
            }
            Some(b't') if self.eat(b"true") => Ok(Value::Boolean(true)),
            Some(b'f') if self.eat(b"false") => Ok(Value::Boolean(false)),
            Some(b'n') if self.eat(b"null") => Ok(Value::NULL),
            Some(b'0'..=b'9' | b'-' | b'+' | b'i' | b'I' | b'n' | b'N') => self.number(),
            _ => Err(self.expected("value")),
        }
    }

    fn enter(&self, depth: usize) -> Result<(), String> {
        if depth > self.options.decode_depth {
            return Err(format!("Found too many nested data structures ({depth})"));
        }
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.enter(depth)?;
        self.at += 1;
        let table = self.lua.create_table().map_err(|error| plain(&error))?;
        self.skip();
        if self.eat(b"}") {
            return Ok(Value::Table(table));
        }
        loop {
            self.skip();
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(self.expected("object key string"));
            }
            let key = self.string()?;
            let key = self.lua.create_string(key).map_err(|error| plain(&error))?;
            self.skip();
            if !self.eat(b":") {
                return Err(self.expected("colon"));
            }
            let value = self.value(depth)?;
            table.raw_set(key, value).map_err(|error| plain(&error))?;
            self.skip();
            if self.eat(b"}") {
                return Ok(Value::Table(table));
            }
            if !self.eat(b",") {
                return Err(self.expected("comma or object end"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.enter(depth)?;
        self.at += 1;
        let table = self.lua.create_table().map_err(|error| plain(&error))?;
        self.skip();
        if self.eat(b"]") {
            return Ok(Value::Table(table));
        }
        for at in 1_usize.. {
            let value = self.value(depth)?;
            table.raw_set(at, value).map_err(|error| plain(&error))?;
            self.skip();
            if self.eat(b"]") {
                break;
            }
            if !self.eat(b",") {
                return Err(self.expected("comma or array end"));
            }
        }
        Ok(Value::Table(table))
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        let rest = &self.bytes[start..];
        let word = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
        let word = &rest[..word.count()];
        let is_digits = word.iter().all(|b| b.is_ascii_digit() || b"+-.eE".contains(b));
        let text = std::str::from_utf8(word).unwrap_or_default();
        let number = match text.parse::<f64>().ok().or_else(|| hexadecimal(text)) {
            Some(number) if is_digits || self.options.decodes_invalid => number,
            _ => return Err(self.expected("value")),
        };
        self.at += word.len();
        Ok(Value::Number(number))
    }

    fn string(&mut self) -> Result<Vec<u8>, String> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            if self.at.is_multiple_of(BYTES_PER_CHECK) {
                self.deadline.check()?;
            }
            let byte = *self.bytes.get(self.at).ok_or_else(|| self.expected("string end"))?;
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => self.escape(&mut text)?,
                // As in Redis, other control characters stand for themselves.
                0 => return Err(self.expected("string end")),
                _ => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), String> {
        let invalid =
            |at| format!("Expected value but found invalid escape code at character {at}");
        let start = self.at + 1;
        let code = *self.bytes.get(self.at + 1).ok_or_else(|| invalid(start))?;
        self.at += 2;
        text.push(match code {
            b'"' | b'\\' | b'/' => code,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = self.unit().ok_or_else(|| invalid(start))?;
                if (0xd800..0xdc00).contains(&unit) {
                    // The second half of a pair has to follow.
                    let low = if self.eat(b"\\u") { self.unit() } else { None };
                    let low = low.filter(|low| (0xdc00..0xe000).contains(low));
                    let low = low.ok_or_else(|| invalid(start))?;
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                let c = char::from_u32(unit).ok_or_else(|| invalid(start))?;
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(invalid(start)),
        });
        Ok(())
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        let unit = digits.iter().try_fold(0, |unit, digit| {
            char::from(*digit).to_digit(16).map(|digit| unit << 4 | digit)
        })?;
        self.at += 4;
        Some(unit)
    }
}

/// A whole number in hexadecimal notation, which Redis decodes as well.
fn hexadecimal(text: &str) -> Option<f64> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let mut number = 0.0;
    for digit in digits.chars() {
        number = number * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let number = if is_negative { -number } else { number };
    (!digits.is_empty()).then_some(number)
}
