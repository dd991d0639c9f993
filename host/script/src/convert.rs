//! Values of commands as values of Lua, and back.

use bytes::Bytes;
use mlua::{Lua, Table};

use crate::number::number_text;
use crate::value::Value;

/// Tables in tables that a reply may have, at most: few enough for the stack of any thread, also in
/// a build without optimizations.
const DEPTH_MAX: usize = 200;
/// What each element of a reply counts for beside its bytes.
const ELEMENT_BYTES: usize = 64;

/// The protocol version that a script asked for with `redis.setresp`: how replies look to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resp {
    Two,
    Three,
}

/// The reply of a command as a script sees it.
pub(crate) fn to_lua(lua: &Lua, value: &Value, resp: Resp) -> mlua::Result<mlua::Value> {
    let string = |bytes: &[u8]| lua.create_string(bytes).map(mlua::Value::String);
    let field = |name: &str, value: mlua::Value| {
        let table = lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(mlua::Value::Table(table))
    };
    let list = |values: &[Value]| {
        let table = lua.create_table_with_capacity(values.len(), 0)?;
        for (at, value) in values.iter().enumerate() {
            table.raw_set(at + 1, to_lua(lua, value, resp)?)?;
        }
        Ok(table)
    };
    match (value, resp) {
        (Value::Nil, Resp::Two) => Ok(mlua::Value::Boolean(false)),
        (Value::Nil, Resp::Three) => Ok(mlua::Value::Nil),
        (Value::Status(text), _) => field("ok", string(text)?),
        (Value::Error(text), _) => field("err", string(text)?),
        (Value::Integer(number), _) => Ok(mlua::Value::Number(*number as f64)),
        (Value::Bulk(bytes), _) => string(bytes),
        (Value::Array(values), _) | (Value::Set(values), Resp::Two) => {
            list(values).map(mlua::Value::Table)
        }
        (Value::Map(pairs), Resp::Two) => {
            let table = lua.create_table_with_capacity(pairs.len() * 2, 0)?;
            for (at, value) in pairs.iter().flat_map(|(key, value)| [key, value]).enumerate() {
                table.raw_set(at + 1, to_lua(lua, value, resp)?)?;
            }
            Ok(mlua::Value::Table(table))
        }
        (Value::Map(pairs), Resp::Three) => {
            let table = lua.create_table_with_capacity(0, pairs.len())?;
            for (key, value) in pairs {
                let key = to_lua(lua, key, resp)?;
                if !key.is_nil() {
                    table.raw_set(key, to_lua(lua, value, resp)?)?;
                }
            }
            field("map", mlua::Value::Table(table))
        }
        (Value::Set(values), Resp::Three) => {
            let table = lua.create_table_with_capacity(0, values.len())?;
            for value in values {
                let value = to_lua(lua, value, resp)?;
                if !value.is_nil() {
                    table.raw_set(value, true)?;
                }
            }
            field("set", mlua::Value::Table(table))
        }
        (Value::Double(number), Resp::Two) => string(number_text(*number).as_bytes()),
        (Value::Double(number), Resp::Three) => field("double", mlua::Value::Number(*number)),
        (Value::Boolean(is_true), Resp::Two) => {
            Ok(mlua::Value::Number(if *is_true { 1.0 } else { 0.0 }))
        }
        (Value::Boolean(is_true), Resp::Three) => Ok(mlua::Value::Boolean(*is_true)),
        (Value::BigNumber(text), Resp::Three) => field("big_number", string(text)?),
        (Value::BigNumber(text) | Value::Verbatim(_, text), Resp::Two) => string(text),
        (Value::Verbatim(format, text), Resp::Three) => {
            let table = lua.create_table_with_capacity(0, 2)?;
            table.raw_set("format", string(format)?)?;
            table.raw_set("string", string(text)?)?;
            field("verbatim_string", mlua::Value::Table(table))
        }
    }
}

/// Why a value of a script is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidReply {
    /// Tables are nested too deeply, or contain themselves.
    Depth,
    /// It is longer than a reply may be.
    Length,
}

/// The reply that a script returned. Tables are read without their metatables.
pub(crate) fn from_lua(
    value: &mlua::Value,
    resp: Resp,
    bytes_max: usize,
) -> Result<Value, InvalidReply> {
    Reader { resp, left: bytes_max }.value(value, 0)
}

struct Reader {
    resp: Resp,
    /// Bytes that the reply may still have.
    left: usize,
}

impl Reader {
    fn take(&mut self, bytes: usize) -> Result<(), InvalidReply> {
        self.left = self.left.checked_sub(bytes).ok_or(InvalidReply::Length)?;
        Ok(())
    }

    fn bytes(&mut self, string: &mlua::LuaString) -> Result<Bytes, InvalidReply> {
        let bytes = string.as_bytes();
        self.take(bytes.len())?;
        Ok(Bytes::copy_from_slice(&bytes))
    }

    /// A text on one line.
    fn line(&mut self, string: &mlua::LuaString) -> Result<Bytes, InvalidReply> {
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
            // As in C, what comes after the point is dropped.
            mlua::Value::Number(number) => Ok(Value::Integer(*number as i64)),
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
        let get = |name: &str| table.raw_get::<mlua::Value>(name).unwrap_or(mlua::Value::Nil);
        if let mlua::Value::String(text) = get("err") {
            return self.line(&text).map(Value::Error);
        }
        if let mlua::Value::String(text) = get("ok") {
            return self.line(&text).map(Value::Status);
        }
        match get("double") {
            mlua::Value::Number(number) => return Ok(Value::Double(number)),
            mlua::Value::Integer(number) => return Ok(Value::Double(number as f64)),
            _ => {}
        }
        if let mlua::Value::Table(map) = get("map") {
            let mut pairs = Vec::new();
            for pair in map.pairs::<mlua::Value, mlua::Value>().flatten() {
                pairs.push((self.value(&pair.0, depth)?, self.value(&pair.1, depth)?));
            }
            return Ok(Value::Map(pairs));
        }
        if let mlua::Value::Table(set) = get("set") {
            let mut values = Vec::new();
            for pair in set.pairs::<mlua::Value, mlua::Value>().flatten() {
                values.push(self.value(&pair.0, depth)?);
            }
            return Ok(Value::Set(values));
        }
        if let mlua::Value::String(digits) = get("big_number") {
            return self.line(&digits).map(Value::BigNumber);
        }
        if let mlua::Value::Table(verbatim) = get("verbatim_string") {
            let part = |name: &str| verbatim.raw_get::<mlua::Value>(name);
            if let (Ok(mlua::Value::String(format)), Ok(mlua::Value::String(text))) =
                (part("format"), part("string"))
                && let Ok(format) = <[u8; 3]>::try_from(&*format.as_bytes())
            {
                return Ok(Value::Verbatim(format, self.bytes(&text)?));
            }
        }
        let mut values = Vec::new();
        for at in 1_usize.. {
            match table.raw_get::<mlua::Value>(at) {
                Ok(mlua::Value::Nil) | Err(_) => break,
                Ok(value) => values.push(self.value(&value, depth)?),
            }
        }
        Ok(Value::Array(values))
    }
}
