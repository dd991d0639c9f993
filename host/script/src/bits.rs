//! The library `bit`: operations on 32 bits, as those of LuaBitOp.

use mlua::{Function, Lua, Table, Value};

use crate::library::{Args, add};

/// The number modulo 2^32, as a signed number.
fn bits(number: f64) -> i32 {
    /// 2^32.
    const RANGE: f64 = 4_294_967_296.0;
    (number.round_ties_even().rem_euclid(RANGE) as u64 as u32).cast_signed()
}

fn number(bits: i32) -> [Value; 1] {
    [Value::Number(f64::from(bits))]
}

/// The library.
pub(crate) fn library(lua: &Lua, guard: &Function) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let all = |name, fold: fn(i32, i32) -> i32| {
        add(lua, guard, &library, name, move |args: &Args<'_>| {
            let mut result = bits(args.number(0)?);
            for at in 1..args.len() {
                result = fold(result, bits(args.number(at)?));
            }
            args.returns(number(result))
        })
    };
    all("band", |a, b| a & b)?;
    all("bor", |a, b| a | b)?;
    all("bxor", |a, b| a ^ b)?;
    let one = |name, map: fn(i32) -> i32| {
        add(lua, guard, &library, name, move |args: &Args<'_>| {
            args.returns(number(map(bits(args.number(0)?))))
        })
    };
    one("tobit", |a| a)?;
    one("bnot", |a| !a)?;
    one("bswap", i32::swap_bytes)?;
    // Of the count, the lowest five bits are used.
    let shift = |name, shift: fn(i32, u32) -> i32| {
        add(lua, guard, &library, name, move |args: &Args<'_>| {
            let count = bits(args.number(1)?).cast_unsigned() & 31;
            args.returns(number(shift(bits(args.number(0)?), count)))
        })
    };
    shift("lshift", |a, count| a << count)?;
    shift("rshift", |a, count| (a.cast_unsigned() >> count).cast_signed())?;
    shift("arshift", |a, count| a >> count)?;
    shift("rol", i32::rotate_left)?;
    shift("ror", i32::rotate_right)?;
    add(lua, guard, &library, "tohex", |args| {
        let value = bits(args.number(0)?).cast_unsigned();
        let digits = if args.len() > 1 { bits(args.number(1)?) } else { 8 };
        let count = (digits.unsigned_abs() as usize).min(8);
        let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
        args.returns_bytes(&text.as_bytes()[8 - count..])
    })?;
    Ok(library)
}
