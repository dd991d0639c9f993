//! What a script gets from its caller, and what it calls.

use std::io::Write as _;

use mlua::{Either, IntoLua, Lua, MultiValue, Table};

use super::{Commands, Interrupt, LogLevel, Shared, stopped};
use crate::convert::{Names, VALUE_BYTES, error_to_lua, size_in_lua, to_lua};
use crate::deadline::Ending;
use crate::number::number_text;
use crate::value::Value;
use crate::words::WordBuffer;

/// What `prelude.lua` asks the host to do: to execute a command, to say whether it is allowed, or to
/// log a line.
pub(super) const CALL: i64 = 1;
pub(super) const ALLOWED: i64 = 2;
pub(super) const LOG: i64 = 3;

/// What a script passes to the host: what is to be done, the number of values, and the values. The
/// first ones are apart, since a list of values is an allocation.
pub(super) type Given =
    (i64, usize, mlua::Value, mlua::Value, mlua::Value, mlua::Value, MultiValue);

/// Lifts the memory limit of the state while the host adds values whose size it knows to fit: with
/// a limit, each allocation is a protected call.
pub(super) struct Unlimited<'a> {
    lua: &'a Lua,
    /// The limit to be restored, in bytes; `None` if it was not lifted.
    limit: Option<usize>,
}

impl<'a> Unlimited<'a> {
    /// Lifts the limit if `needed` more bytes are within it.
    pub(super) fn if_fits(lua: &'a Lua, shared: &Shared, needed: usize) -> Self {
        let limit = shared.limits.borrow().as_ref().map_or(0, |of| of.memory_bytes_max);
        let fits = || lua.used_memory().checked_add(needed).is_some_and(|bytes| bytes <= limit);
        let fits = fits() || {
            shared.collect(lua);
            fits()
        };
        if fits {
            let _ = lua.set_memory_limit(0);
        }
        Self { lua, limit: fits.then_some(limit) }
    }
}

impl Drop for Unlimited<'_> {
    fn drop(&mut self) {
        if let Some(limit) = self.limit {
            let _ = self.lua.set_memory_limit(limit);
        }
    }
}

/// What a list of these strings takes in Lua, in bytes, at most.
pub(super) fn size_of_list<'w>(words: impl Iterator<Item = &'w [u8]>) -> usize {
    words.fold(VALUE_BYTES, |sum, word| sum.saturating_add(VALUE_BYTES + word.len()))
}

/// A list of strings.
pub(super) fn list<'w>(
    lua: &Lua,
    words: impl ExactSizeIterator<Item = &'w [u8]>,
) -> mlua::Result<Table> {
    // Text goes to the stack of the state directly, and other bytes by a handle.
    lua.create_sequence_from(words.map(|word| match str::from_utf8(word) {
        Ok(text) => Either::Left(text),
        Err(_) => Either::Right(Word(word)),
    }))
}

/// A string that is not text.
struct Word<'a>(&'a [u8]);

impl IntoLua for Word<'_> {
    fn into_lua(self, lua: &Lua) -> mlua::Result<mlua::Value> {
        lua.create_string(self.0).map(mlua::Value::String)
    }
}

/// One call of a script to its commands. Returns whether it succeeded, and the result.
pub(super) fn execute(
    lua: &Lua,
    shared: &Shared,
    names: &Names,
    commands: &mut dyn Commands,
    (what, count, first, second, third, fourth, rest): Given,
) -> mlua::Result<(bool, mlua::Value)> {
    if shared.deadline.check().is_err() {
        return Err(stopped());
    }
    let mut values = [first, second, third, fourth].into_iter().chain(rest).take(count);
    if what == LOG {
        log(commands, values);
        return Ok((true, mlua::Value::Nil));
    }
    let failed = |text: &str| Ok((false, error_to_lua(lua, names, text)?));
    let mut buffer = shared.words.borrow_mut();
    buffer.clear();
    if !values.all(|value| add(&mut buffer, &value)) {
        return failed("ERR Lua redis lib command arguments must be strings or integers");
    }
    if buffer.is_empty() {
        return failed("ERR Please specify at least one argument for this redis.call() call");
    }
    if what == ALLOWED {
        return match commands.is_allowed(buffer.words()) {
            Some(is_allowed) => Ok((true, mlua::Value::Boolean(is_allowed))),
            None => failed("ERR Invalid command passed to redis.acl_check_cmd()"),
        };
    }
    let result = commands.call(buffer.words());
    buffer.clear();
    match result {
        Ok(value) => {
            let is_error = matches!(value, Value::Error(_));
            let _unlimited = Unlimited::if_fits(lua, shared, size_in_lua(&value));
            Ok((!is_error, to_lua(lua, names, &value, shared.resp())?))
        }
        Err(Interrupt) => {
            shared.deadline.end(Ending::Interrupted);
            Err(stopped())
        }
    }
}

fn log(commands: &mut dyn Commands, mut values: impl Iterator<Item = mlua::Value>) {
    let level = match values.next() {
        Some(mlua::Value::Integer(0)) => LogLevel::Debug,
        Some(mlua::Value::Integer(1)) => LogLevel::Verbose,
        Some(mlua::Value::Integer(2)) => LogLevel::Notice,
        _ => LogLevel::Warning,
    };
    let mut text = Vec::new();
    for value in values {
        if !text.is_empty() {
            text.push(b' ');
        }
        if !write(&mut text, &value) {
            text.extend_from_slice(value.type_name().as_bytes());
        }
    }
    commands.log(level, &text);
}

/// Adds an argument of a command. Returns whether the value can be one.
fn add(buffer: &mut WordBuffer, value: &mlua::Value) -> bool {
    let mut is_argument = false;
    buffer.add(|bytes| is_argument = write(bytes, value));
    is_argument
}

/// Writes a string or a number as text. Returns whether the value is one.
fn write(out: &mut Vec<u8>, value: &mlua::Value) -> bool {
    match value {
        mlua::Value::String(text) => out.extend_from_slice(&text.as_bytes()),
        mlua::Value::Integer(number) => {
            // Writing to a vector does not fail.
            let _ = write!(out, "{number}");
        }
        mlua::Value::Number(number) => out.extend_from_slice(number_text(*number).as_bytes()),
        _ => return false,
    }
    true
}
