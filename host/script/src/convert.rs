//! Values of commands as values of Lua, and back.

use bytes::Bytes;
use mlua::{Lua, LuaString, Table};

use crate::number::number_text;
use crate::value::Value;

/// Tables in tables that a reply may have, at most: few enough for the stack of any thread, also in
/// a build without optimizations.
const DEPTH_MAX: usize = 200;
/// What each element of a reply counts for beside its bytes.
const ELEMENT_BYTES: usize = 64;

/// Elements for which room is made before they are read, at most: a table may have more than a
/// reply.
const CAPACITY_MAX: usize = 1_024;

/// The protocol version that a script asked for with `redis.setresp`: how replies look to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resp {
    Two,
    Three,
}

/// Names of the fields of tables that stand for other replies than lists, as strings of a state:
/// made once, since making a string takes longer than finding a field.
pub(crate) struct Names {
    ok: LuaString,
    err: LuaString,
    /// Set in the errors that commands return, as in Redis: statistics count them already.
    is_counted: LuaString,
    double: LuaString,
    map: LuaString,
    set: LuaString,
    big_number: LuaString,
    verbatim_string: LuaString,
    format: LuaString,
    string: LuaString,
}

impl Names {
    /// The names in this state.
    pub(crate) fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self {
            ok: lua.create_string("ok")?,
            err: lua.create_string("err")?,
            is_counted: lua.create_string("ignore_error_stats_update")?,
            double: lua.create_string("double")?,
            map: lua.create_string("map")?,
            set: lua.create_string("set")?,
            big_number: lua.create_string("big_number")?,
            verbatim_string: lua.create_string("verbatim_string")?,
            format: lua.create_string("format")?,
            string: lua.create_string("string")?,
        })
    }
}

/// What a value takes in Lua beside the bytes of its string, at most: the string itself, a table
/// with a field, and a place in the table around it.
pub(crate) const VALUE_BYTES: usize = 256;

/// What the reply of a command takes in Lua, in bytes, at most.
pub(crate) fn size_in_lua(value: &Value) -> usize {
    let sum = |values: &[Value]| {
        values.iter().fold(0_usize, |sum, value| sum.saturating_add(size_in_lua(value)))
    };
    let within = match value {
        Value::Nil | Value::Integer(_) | Value::Double(_) | Value::Boolean(_) => 0,
        Value::Status(text)
        | Value::Error(text)
        | Value::Bulk(text)
        | Value::BigNumber(text)
        | Value::Decimal(text)
        | Value::Verbatim(_, text) => text.len(),
        Value::Array(values) | Value::Set(values) => sum(values),
        Value::Map(pairs) => pairs.iter().fold(0_usize, |sum, (key, value)| {
            sum.saturating_add(size_in_lua(key)).saturating_add(size_in_lua(value))
        }),
        // Each pair may be a table of its own.
        Value::Pairs(pairs) | Value::ByKey(pairs) => {
            pairs.iter().fold(0_usize, |sum, (key, value)| {
                let pair = size_in_lua(key).saturating_add(size_in_lua(value));
                sum.saturating_add(pair).saturating_add(VALUE_BYTES)
            })
        }
    };
    within.saturating_add(VALUE_BYTES)
}

/// The reply of a command as a script sees it.
pub(crate) fn to_lua(
    lua: &Lua,
    names: &Names,
    value: &Value,
    resp: Resp,
) -> mlua::Result<mlua::Value> {
    let string = |bytes: &[u8]| lua.create_string(bytes).map(mlua::Value::String);
    let field = |name: &LuaString, value: mlua::Value| {
        let table = lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(mlua::Value::Table(table))
    };
    let list = |values: &[Value]| {
        let table = lua.create_table_with_capacity(values.len(), 0)?;
        for (at, value) in values.iter().enumerate() {
            table.raw_set(at + 1, to_lua(lua, names, value, resp)?)?;
        }
        Ok(table)
    };
    let flat = |pairs: &[(Value, Value)]| {
        let table = lua.create_table_with_capacity(pairs.len() * 2, 0)?;
        for (at, value) in pairs.iter().flat_map(|(key, value)| [key, value]).enumerate() {
            table.raw_set(at + 1, to_lua(lua, names, value, resp)?)?;
        }
        Ok(mlua::Value::Table(table))
    };
    let nested = |pairs: &[(Value, Value)]| {
        let table = lua.create_table_with_capacity(pairs.len(), 0)?;
        for (at, pair) in pairs.iter().enumerate() {
            table.raw_set(at + 1, flat(std::slice::from_ref(pair))?)?;
        }
        Ok(mlua::Value::Table(table))
    };
    match (value, resp) {
        (Value::Nil, Resp::Two) => Ok(mlua::Value::Boolean(false)),
        (Value::Nil, Resp::Three) => Ok(mlua::Value::Nil),
        (Value::Status(text), _) => field(&names.ok, string(text)?),
        (Value::Error(text), _) => {
            let table = lua.create_table_with_capacity(0, 2)?;
            table.raw_set(&names.err, string(text)?)?;
            table.raw_set(&names.is_counted, true)?;
            Ok(mlua::Value::Table(table))
        }
        (Value::Integer(number), _) => Ok(mlua::Value::Number(*number as f64)),
        (Value::Bulk(bytes), _) => string(bytes),
        (Value::Array(values), _) | (Value::Set(values), Resp::Two) => {
            list(values).map(mlua::Value::Table)
        }
        (Value::Map(pairs) | Value::Pairs(pairs), Resp::Two) => flat(pairs),
        (Value::ByKey(pairs), Resp::Two) | (Value::Pairs(pairs), Resp::Three) => nested(pairs),
        (Value::Map(pairs) | Value::ByKey(pairs), Resp::Three) => {
            let table = lua.create_table_with_capacity(0, pairs.len())?;
            for (key, value) in pairs {
                let key = to_lua(lua, names, key, resp)?;
                if !key.is_nil() {
                    table.raw_set(key, to_lua(lua, names, value, resp)?)?;
                }
            }
            field(&names.map, mlua::Value::Table(table))
        }
        (Value::Set(values), Resp::Three) => {
            let table = lua.create_table_with_capacity(0, values.len())?;
            for value in values {
                let value = to_lua(lua, names, value, resp)?;
                if !value.is_nil() {
                    table.raw_set(value, true)?;
                }
            }
            field(&names.set, mlua::Value::Table(table))
        }
        (Value::Double(number), Resp::Two) => string(number_text(*number).as_bytes()),
        (Value::Double(number), Resp::Three) => field(&names.double, mlua::Value::Number(*number)),
        (Value::Boolean(is_true), Resp::Two) => {
            Ok(mlua::Value::Number(if *is_true { 1.0 } else { 0.0 }))
        }
        (Value::Boolean(is_true), Resp::Three) => Ok(mlua::Value::Boolean(*is_true)),
        (Value::BigNumber(text), Resp::Three) => field(&names.big_number, string(text)?),
        (Value::Decimal(text), Resp::Three) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            field(&names.double, mlua::Value::Number(number.unwrap_or_default()))
        }
        (Value::BigNumber(text) | Value::Decimal(text) | Value::Verbatim(_, text), Resp::Two) => {
            string(text)
        }
        (Value::Verbatim(format, text), Resp::Three) => {
            let table = lua.create_table_with_capacity(0, 2)?;
            table.raw_set(&names.format, string(format)?)?;
            table.raw_set(&names.string, string(text)?)?;
            field(&names.verbatim_string, mlua::Value::Table(table))
        }
    }
}

/// An error that no command has returned, as a script sees it.
pub(crate) fn error_to_lua(lua: &Lua, names: &Names, text: &str) -> mlua::Result<mlua::Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(&names.err, text)?;
    Ok(mlua::Value::Table(table))
}

/// Whether a value of a script is an error that a command returned.
pub(crate) fn is_error_of_command(names: &Names, value: &mlua::Value) -> bool {
    let mlua::Value::Table(table) = value else { return false };
    matches!(table.raw_get(&names.is_counted), Ok(mlua::Value::Boolean(true)))
}

/// A number without what comes after its point. The least integer if it is none, or does not fit: so
/// x86-64 converts in C, and Redis there.
fn truncated(number: f64) -> i64 {
    /// 2^63, the first that does not fit.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// Why a value of a script is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidReply {
    /// Tables are nested too deeply, or contain themselves.
    Depth,
    /// It is longer than a reply may be.
    Length,
}

/// The reply that a script returned. Tables are read without their metatables. `is_list` is set if the
/// value is known to be a table that is a list.
pub(crate) fn from_lua(
    names: &Names,
    value: &mlua::Value,
    is_list: bool,
    resp: Resp,
    bytes_max: usize,
) -> Result<Value, InvalidReply> {
    let mut reader = Reader { names, resp, left: bytes_max };
    match value {
        mlua::Value::Table(table) if is_list => {
            reader.take(ELEMENT_BYTES)?;
            reader.list(table, 1)
        }
        value => reader.value(value, 0),
    }
}

struct Reader<'a> {
    names: &'a Names,
    resp: Resp,
    /// Bytes that the reply may still have.
    left: usize,
}

impl Reader<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), InvalidReply> {
        self.left = self.left.checked_sub(bytes).ok_or(InvalidReply::Length)?;
        Ok(())
    }

    fn bytes(&mut self, string: &LuaString) -> Result<Bytes, InvalidReply> {
        let bytes = string.as_bytes();
        self.take(bytes.len())?;
        Ok(Bytes::copy_from_slice(&bytes))
    }

    /// A text on one line.
    fn line(&mut self, string: &LuaString) -> Result<Bytes, InvalidReply> {
        let bytes = self.bytes(string)?;
        let is_break = |b: &u8| matches!(b, b'\r' | b'\n');
        if !bytes.iter().any(is_break) {
            return Ok(bytes);
        }
        let end = bytes.iter().rposition(|b| !is_break(b)).map_or(0, |at| at + 1);
        Ok(bytes[..end].iter().map(|b| if is_break(b) { b' ' } else { *b }).collect())
    }

    fn value(&mut self, value: &mlua::Value, depth: usize) -> Result<Value, InvalidReply> {
        self.take(ELEMENT_BYTES)?;
        match value {
            mlua::Value::String(string) => self.bytes(string).map(Value::Bulk),
            mlua::Value::Integer(number) => Ok(Value::Integer(*number)),
            mlua::Value::Number(number) => Ok(Value::Integer(truncated(*number))),
            mlua::Value::Boolean(is_true) => Ok(match (self.resp, is_true) {
                (Resp::Three, is_true) => Value::Boolean(*is_true),
                (Resp::Two, true) => Value::Integer(1),
                (Resp::Two, false) => Value::Nil,
            }),
            mlua::Value::Table(_) if depth >= DEPTH_MAX => Err(InvalidReply::Depth),
            mlua::Value::Table(table) => self.table(table, depth + 1),
            _ => Ok(Value::Nil),
        }
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<Value, InvalidReply> {
        let names = self.names;
        let get = |name: &LuaString| table.raw_get::<mlua::Value>(name).unwrap_or(mlua::Value::Nil);
        if let mlua::Value::String(text) = get(&names.err) {
            return self.line(&text).map(Value::Error);
        }
        if let mlua::Value::String(text) = get(&names.ok) {
            return self.line(&text).map(Value::Status);
        }
        match get(&names.double) {
            mlua::Value::Number(number) => return Ok(Value::Double(number)),
            mlua::Value::Integer(number) => return Ok(Value::Double(number as f64)),
            _ => {}
        }
        if let mlua::Value::Table(map) = get(&names.map) {
            let mut pairs = Vec::new();
            for pair in map.pairs::<mlua::Value, mlua::Value>().flatten() {
                pairs.push((self.value(&pair.0, depth)?, self.value(&pair.1, depth)?));
            }
            return Ok(Value::Map(pairs));
        }
        if let mlua::Value::Table(set) = get(&names.set) {
            let mut values = Vec::new();
            for pair in set.pairs::<mlua::Value, mlua::Value>().flatten() {
                values.push(self.value(&pair.0, depth)?);
            }
            return Ok(Value::Set(values));
        }
        if let mlua::Value::String(digits) = get(&names.big_number) {
            return self.line(&digits).map(Value::BigNumber);
        }
        if let mlua::Value::Table(verbatim) = get(&names.verbatim_string) {
            let part = |name: &LuaString| verbatim.raw_get::<mlua::Value>(name);
            if let (Ok(mlua::Value::String(format)), Ok(mlua::Value::String(text))) =
                (part(&names.format), part(&names.string))
                && let Ok(format) = <[u8; 3]>::try_from(&*format.as_bytes())
            {
                return Ok(Value::Verbatim(format, self.bytes(&text)?));
            }
        }
        self.list(table, depth)
    }

    fn list(&mut self, table: &Table, depth: usize) -> Result<Value, InvalidReply> {
        let mut values = Vec::with_capacity(table.raw_len().min(CAPACITY_MAX));
        for at in 1_usize.. {
            match table.raw_get::<mlua::Value>(at) {
                Ok(mlua::Value::Nil) | Err(_) => break,
                Ok(value) => values.push(self.value(&value, depth)?),
            }
        }
        Ok(Value::Array(values))
    }
}
