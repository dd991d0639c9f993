//! The library `cmsgpack`: MessagePack, as Redis' copy of lua-cmsgpack writes and reads it.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};

use crate::deadline::Deadline;
use crate::library::{Args, RESULTS_MAX, add, plain};

/// Tables in tables that are written, at most; deeper ones are written as nil.
const WRITE_DEPTH_MAX: usize = 16;
/// Arrays and maps in each other that are read, at most.
const READ_DEPTH_MAX: usize = 1_000;
/// The longest text that is written, in bytes.
const PACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The library.
pub(crate) fn library(lua: &Lua, guard: &Function, deadline: &Rc<Deadline>) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let ends = Rc::clone(deadline);
    add(lua, guard, &library, "pack", move |args| {
        if args.len() == 0 {
            return Err("MessagePack pack needs input.".into());
        }
        let mut writer = Writer { bytes: Vec::new(), deadline: &ends };
        for at in 0..args.len() {
            writer.pack(args.get(at).unwrap_or(&Value::Nil), 0)?;
        }
        args.returns_bytes(&writer.bytes)
    })?;
    let ends = Rc::clone(deadline);
    add(lua, guard, &library, "unpack", move |args| {
        let bytes = args.bytes(0)?;
        let mut reader = Reader::new(args.lua, &bytes, 0, &ends);
        let mut values = Vec::new();
        while reader.at < bytes.len() {
            reader.add_to(&mut values)?;
        }
        args.returns(values)
    })?;
    let limited = |name, count: fn(&Args<'_>) -> Result<(f64, f64), String>| {
        let ends = Rc::clone(deadline);
        add(lua, guard, &library, name, move |args| {
            let bytes = args.bytes(0)?;
            let (limit, offset) = count(args)?;
            if limit < 0.0 || offset < 0.0 || offset > bytes.len() as f64 {
                return Err(format!(
                    "Invalid request to unpack with offset of {offset} and limit of {}.",
                    bytes.len()
                ));
            }
            let mut reader = Reader::new(args.lua, &bytes, offset as usize, &ends);
            let mut values = vec![Value::Nil];
            let mut left = limit as u64;
            while reader.at < bytes.len() && left > 0 {
                reader.add_to(&mut values)?;
                left -= 1;
            }
            let is_end = reader.at == bytes.len();
            values[0] = Value::Number(if is_end { -1.0 } else { reader.at as f64 });
            args.returns(values)
        })
    };
    limited("unpack_one", |args| Ok((1.0, offset(args, 1)?)))?;
    limited("unpack_limit", |args| Ok((args.number(1)?, offset(args, 2)?)))?;
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        library.raw_set(name, text)?;
    }
    Ok(library)
}

fn offset(args: &Args<'_>, at: usize) -> Result<f64, String> {
    if args.len() > at { args.number(at) } else { Ok(0.0) }
}

struct Writer<'a> {
    bytes: Vec<u8>,
    deadline: &'a Deadline,
}

impl Writer<'_> {
    fn pack(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        self.deadline.check()?;
        let bytes = &mut self.bytes;
        match value {
            Value::Boolean(is_true) => bytes.push(if *is_true { 0xc3 } else { 0xc2 }),
            Value::Integer(number) => pack_integer(*number, bytes),
            Value::Number(number) => pack_number(*number, bytes),
            Value::String(text) => pack_string(&text.as_bytes(), bytes),
            Value::Table(table) if depth < WRITE_DEPTH_MAX => self.pack_table(table, depth + 1)?,
            _ => bytes.push(0xc0),
        }
        if self.bytes.len() > PACKED_BYTES_MAX {
            return Err("not enough memory".into());
        }
        Ok(())
    }

    fn pack_table(&mut self, table: &Table, depth: usize) -> Result<(), String> {
        let mut count = 0_usize;
        let mut last = 0_usize;
        let mut is_array = true;
        for pair in table.pairs::<Value, Value>() {
            self.deadline.check()?;
            let (key, _) = pair.map_err(|error| plain(&error))?;
            count += 1;
            match key {
                Value::Integer(key) if key > 0 => last = last.max(key as usize),
                Value::Number(key) if key > 0.0 && key.trunc() == key => {
                    last = last.max(key as usize);
                }
                _ => is_array = false,
            }
        }
        if is_array && last == count {
            pack_length(count, 0x90, 0xdc, &mut self.bytes);
            for at in 1..=count {
                let value = table.raw_get(at).map_err(|error| plain(&error))?;
                self.pack(&value, depth)?;
            }
            return Ok(());
        }
        pack_length(count, 0x80, 0xde, &mut self.bytes);
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(|error| plain(&error))?;
            self.pack(&key, depth)?;
            self.pack(&value, depth)?;
        }
        Ok(())
    }
}

fn pack_integer(number: i64, bytes: &mut Vec<u8>) {
    match number {
        0..=0x7f => bytes.push(number as u8),
        0x80..=0xff => bytes.extend([0xcc, number as u8]),
        0x100..=0xffff => {
            bytes.push(0xcd);
            bytes.extend((number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            bytes.push(0xce);
            bytes.extend((number as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            bytes.push(0xcf);
            bytes.extend(number.to_be_bytes());
        }
        -32..=-1 => bytes.push(number as u8),
        -0x80..=-33 => bytes.extend([0xd0, number as u8]),
        -0x8000..=-0x81 => {
            bytes.push(0xd1);
            bytes.extend((number as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            bytes.push(0xd2);
            bytes.extend((number as i32).to_be_bytes());
        }
        _ => {
            bytes.push(0xd3);
            bytes.extend(number.to_be_bytes());
        }
    }
}

fn pack_number(number: f64, bytes: &mut Vec<u8>) {
    // 2^63 and more is no integer of 64 bits.
    let is_whole = number.trunc() == number && number.abs() < 9_223_372_036_854_775_808.0;
    if is_whole {
        pack_integer(number as i64, bytes);
    } else if f64::from(number as f32) == number {
        bytes.push(0xca);
        bytes.extend((number as f32).to_be_bytes());
    } else {
        bytes.push(0xcb);
        bytes.extend(number.to_be_bytes());
    }
}

fn pack_string(text: &[u8], bytes: &mut Vec<u8>) {
    match text.len() {
        length @ 0..=31 => bytes.push(0xa0 | length as u8),
        length @ 32..=0xff => bytes.extend([0xd9, length as u8]),
        length @ 0x100..=0xffff => {
            bytes.push(0xda);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0xdb);
            bytes.extend((length as u32).to_be_bytes());
        }
    }
    bytes.extend_from_slice(text);
}

fn pack_length(length: usize, short: u8, long: u8, bytes: &mut Vec<u8>) {
    match length {
        0..=15 => bytes.push(short | length as u8),
        16..=0xffff => {
            bytes.push(long);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(long + 1);
            bytes.extend((length as u32).to_be_bytes());
        }
    }
}

struct Reader<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
    at: usize,
    deadline: &'a Deadline,
}

impl<'a> Reader<'a> {
    fn new(lua: &'a Lua, bytes: &'a [u8], at: usize, deadline: &'a Deadline) -> Self {
        Self { lua, bytes, at, deadline }
    }

    /// Reads one more result.
    fn add_to(&mut self, values: &mut Vec<Value>) -> Result<(), String> {
        if values.len() >= RESULTS_MAX {
            return Err("too many values to unpack".into());
        }
        values.push(self.value(0)?);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let missing = || String::from("Missing bytes in input.");
        let end = self.at.checked_add(count).ok_or_else(missing)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(missing)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, String> {
        Ok(self.take(bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn string(&mut self, length: usize) -> Result<Value, String> {
        let lua = self.lua;
        let text = lua.create_string(self.take(length)?).map_err(|error| plain(&error))?;
        Ok(Value::String(text))
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<Value, String> {
        // Each element has a byte at least: a length that is not true allocates nothing.
        let room = length.min(self.bytes.len() - self.at);
        let table = self.lua.create_table_with_capacity(room, 0).map_err(|e| plain(&e))?;
        for at in 1..=length {
            table.raw_set(at, self.value(depth)?).map_err(|error| plain(&error))?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, String> {
        let table = self.lua.create_table().map_err(|error| plain(&error))?;
        for _ in 0..length {
            let key = self.value(depth)?;
            let value = self.value(depth)?;
            table.raw_set(key, value).map_err(|error| plain(&error))?;
        }
        Ok(Value::Table(table))
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        self.deadline.check()?;
        if depth > READ_DEPTH_MAX {
            return Err("Too many nested arrays and maps in input.".into());
        }
        let depth = depth + 1;
        let number = |number: f64| Ok(Value::Number(number));
        let [kind] = self.array()?;
        match kind {
            0x00..=0x7f => number(f64::from(kind)),
            0x80..=0x8f => self.map(usize::from(kind & 15), depth),
            0x90..=0x9f => self.list(usize::from(kind & 15), depth),
            0xa0..=0xbf => self.string(usize::from(kind & 31)),
            0xc0 => Ok(Value::Nil),
            0xc2 => Ok(Value::Boolean(false)),
            0xc3 => Ok(Value::Boolean(true)),
            0xc4 | 0xd9 => {
                let length = self.length(1)?;
                self.string(length)
            }
            0xc5 | 0xda => {
                let length = self.length(2)?;
                self.string(length)
            }
            0xc6 | 0xdb => {
                let length = self.length(4)?;
                self.string(length)
            }
            0xca => number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => number(f64::from_be_bytes(self.array()?)),
            0xcc => number(f64::from(u8::from_be_bytes(self.array()?))),
            0xcd => number(f64::from(u16::from_be_bytes(self.array()?))),
            0xce => number(f64::from(u32::from_be_bytes(self.array()?))),
            0xcf => number(u64::from_be_bytes(self.array()?) as f64),
            0xd0 => number(f64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => number(f64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => number(f64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => number(i64::from_be_bytes(self.array()?) as f64),
            0xdc => {
                let length = self.length(2)?;
                self.list(length, depth)
            }
            0xdd => {
                let length = self.length(4)?;
                self.list(length, depth)
            }
            0xde => {
                let length = self.length(2)?;
                self.map(length, depth)
            }
            0xdf => {
                let length = self.length(4)?;
                self.map(length, depth)
            }
            0xe0..=0xff => number(f64::from(kind.cast_signed())),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => Err("Bad data format in input.".into()),
        }
    }
}
