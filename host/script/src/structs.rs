//! The library `struct`: numbers and texts in binary form, as the one by Roberto Ierusalimschy.
//!
//! A format has, for each value, one of `b B` (8 bits), `h H` (16), `i I` (32, or as many bytes as
//! the digits after it say, up to eight), `l L T` (64), `f` (float), `d` (double), `s` (text that
//! ends with a zero byte), `cN` (text of N bytes; `c0`: of as many as the number before it says),
//! `x` (a byte that is skipped). `<`, `>` and `=` set the order of bytes, `!N` the alignment.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};

use crate::deadline::Deadline;
use crate::library::{Args, RESULTS_MAX, add, plain};

/// The longest text that is written, in bytes.
const PACKED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest whole number, in bytes.
const INTEGER_BYTES_MAX: usize = 8;

/// The library.
pub(crate) fn library(lua: &Lua, guard: &Function, deadline: &Rc<Deadline>) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let ends = Rc::clone(deadline);
    add(lua, guard, &library, "pack", move |args| pack(args, &ends))?;
    let ends = Rc::clone(deadline);
    add(lua, guard, &library, "unpack", move |args| unpack(args, &ends))?;
    let ends = Rc::clone(deadline);
    add(lua, guard, &library, "size", move |args| {
        let format = args.bytes(0)?;
        let mut format = Format::new(&format);
        let mut total = 0_usize;
        while let Some(item) = format.next(&ends)? {
            let bytes = match item {
                Item::Zero => return Err(args.invalid(0, "variable-size format in 'size'")),
                Item::Text(Some(bytes)) => bytes,
                Item::Text(None) => {
                    return Err(args.invalid(0, "variable-length format in 'size'"));
                }
                item => item.bytes(),
            };
            total = total.saturating_add(format.padding(&item, total)).saturating_add(bytes);
        }
        args.returns([Value::Number(total as f64)])
    })?;
    Ok(library)
}

/// One value of a format.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    /// A whole number of this many bytes.
    Integer {
        bytes: usize,
        is_signed: bool,
    },
    Float,
    Double,
    /// A text that ends with a zero byte.
    Zero,
    /// A text of this many bytes; `None` of as many as the number before it says.
    Text(Option<usize>),
    /// A byte that is skipped.
    Skip,
}

impl Item {
    fn bytes(self) -> usize {
        match self {
            Self::Integer { bytes, .. } => bytes,
            Self::Float => 4,
            Self::Double => 8,
            Self::Text(bytes) => bytes.unwrap_or(0),
            Self::Zero => 0,
            Self::Skip => 1,
        }
    }
}

struct Format<'a> {
    left: &'a [u8],
    is_little: bool,
    alignment: usize,
}

impl<'a> Format<'a> {
    fn new(format: &'a [u8]) -> Self {
        Self { left: format, is_little: cfg!(target_endian = "little"), alignment: 1 }
    }

    /// The number that comes next.
    fn digits(&mut self) -> Result<Option<usize>, String> {
        let count = self.left.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return Ok(None);
        }
        let (digits, left) = self.left.split_at(count);
        self.left = left;
        let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u32>().ok());
        let number = number.ok_or("integral size overflow")?;
        Ok(Some(number as usize))
    }

    fn integer(&mut self, default: usize, is_signed: bool) -> Result<Item, String> {
        let bytes = self.digits()?.unwrap_or(default);
        if bytes == 0 || bytes > INTEGER_BYTES_MAX {
            return Err(format!(
                "integral size {bytes} is larger than limit of {INTEGER_BYTES_MAX}"
            ));
        }
        Ok(Item::Integer { bytes, is_signed })
    }

    fn next(&mut self, deadline: &Deadline) -> Result<Option<Item>, String> {
        while let Some((option, left)) = self.left.split_first() {
            deadline.check()?;
            self.left = left;
            let fixed = |bytes, is_signed| Item::Integer { bytes, is_signed };
            let item = match option {
                b' ' => continue,
                b'<' => {
                    self.is_little = true;
                    continue;
                }
                b'>' => {
                    self.is_little = false;
                    continue;
                }
                b'=' => {
                    self.is_little = cfg!(target_endian = "little");
                    continue;
                }
                b'!' => {
                    let alignment = self.digits()?.unwrap_or(8);
                    if !alignment.is_power_of_two() || alignment > 16 {
                        return Err("alignment is not a power of 2".into());
                    }
                    self.alignment = alignment;
                    continue;
                }
                b'b' => fixed(1, true),
                b'B' => fixed(1, false),
                b'h' => fixed(2, true),
                b'H' => fixed(2, false),
                b'l' => fixed(8, true),
                b'L' | b'T' => fixed(8, false),
                b'i' => self.integer(4, true)?,
                b'I' => self.integer(4, false)?,
                b'f' => Item::Float,
                b'd' => Item::Double,
                b's' => Item::Zero,
                b'c' => match self.digits()? {
                    Some(0) => Item::Text(None),
                    bytes => Item::Text(Some(bytes.unwrap_or(1))),
                },
                b'x' => Item::Skip,
                other => {
                    return Err(format!("invalid format option '{}'", other.escape_ascii()));
                }
            };
            return Ok(Some(item));
        }
        Ok(None)
    }

    /// Bytes that are skipped before a value, to align it.
    fn padding(&self, item: &Item, position: usize) -> usize {
        let size = match item {
            Item::Integer { .. } | Item::Float | Item::Double => item.bytes(),
            _ => return 0,
        };
        let alignment = size.min(self.alignment);
        if alignment <= 1 || !alignment.is_power_of_two() {
            return 0;
        }
        position.wrapping_neg() & (alignment - 1)
    }

    fn write(&self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.is_little {
            out.extend_from_slice(bytes);
        } else {
            out.extend(bytes.iter().rev());
        }
    }

    /// Bytes in the order of little endian, to the left.
    fn read<const N: usize>(&self, bytes: &[u8]) -> [u8; N] {
        let mut array = [0; N];
        for (at, byte) in bytes.iter().enumerate() {
            let at = if self.is_little { at } else { bytes.len() - 1 - at };
            if let Some(place) = array.get_mut(at) {
                *place = *byte;
            }
        }
        array
    }
}

fn pack(args: &Args<'_>, deadline: &Deadline) -> crate::library::Returned {
    let format = args.bytes(0)?;
    let mut format = Format::new(&format);
    let mut out = Vec::new();
    let mut at = 1;
    while let Some(item) = format.next(deadline)? {
        let padding = format.padding(&item, out.len());
        out.resize(out.len() + padding, 0);
        match item {
            Item::Integer { bytes, .. } => {
                let number = args.number(at)?;
                // Beyond the signed numbers of 64 bits, the unsigned ones.
                let whole = if number < 9_223_372_036_854_775_808.0 {
                    number as i64
                } else {
                    (number as u64).cast_signed()
                };
                format.write(&whole.to_le_bytes()[..bytes], &mut out);
            }
            Item::Float => format.write(&(args.number(at)? as f32).to_le_bytes(), &mut out),
            Item::Double => format.write(&args.number(at)?.to_le_bytes(), &mut out),
            Item::Zero => {
                out.extend(args.bytes(at)?);
                out.push(0);
            }
            Item::Text(bytes) => {
                let text = args.bytes(at)?;
                let bytes = bytes.unwrap_or(text.len());
                let text = text.get(..bytes).ok_or_else(|| args.invalid(at, "string too short"))?;
                out.extend_from_slice(text);
            }
            Item::Skip => {
                out.push(0);
                continue;
            }
        }
        if out.len() > PACKED_BYTES_MAX {
            return Err("not enough memory".into());
        }
        at += 1;
    }
    args.returns_bytes(&out)
}

fn unpack(args: &Args<'_>, deadline: &Deadline) -> crate::library::Returned {
    let format = args.bytes(0)?;
    let mut format = Format::new(&format);
    let bytes = args.bytes(1)?;
    let start = if args.len() > 2 { args.number(2)? } else { 1.0 };
    if start < 1.0 {
        return Err(args.invalid(2, "offset must be 1 or greater"));
    }
    let mut position = start as usize - 1;
    let mut values: Vec<Value> = Vec::new();
    let short = || args.invalid(1, "data string too short");
    while let Some(item) = format.next(deadline)? {
        position = position.saturating_add(format.padding(&item, position));
        let wanted = match item {
            Item::Text(None) => match values.pop() {
                Some(Value::Number(number)) if number >= 0.0 => number as usize,
                _ => return Err("format 'c0' needs a previous size".into()),
            },
            Item::Zero => {
                let rest = bytes.get(position..).ok_or_else(short)?;
                rest.iter()
                    .position(|byte| *byte == 0)
                    .ok_or_else(|| args.invalid(1, "unfinished string in data"))?
            }
            item => item.bytes(),
        };
        let end = position.checked_add(wanted).ok_or_else(short)?;
        let taken = bytes.get(position..end).ok_or_else(short)?;
        position = end;
        if values.len() >= RESULTS_MAX {
            return Err("too many results to unpack".into());
        }
        values.push(match item {
            Item::Skip => continue,
            Item::Integer { bytes, is_signed } => {
                let whole = u64::from_le_bytes(format.read(taken));
                let unused = 64 - 8 * bytes as u32;
                Value::Number(if is_signed {
                    ((whole << unused).cast_signed() >> unused) as f64
                } else {
                    whole as f64
                })
            }
            Item::Float => Value::Number(f64::from(f32::from_le_bytes(format.read(taken)))),
            Item::Double => Value::Number(f64::from_le_bytes(format.read(taken))),
            Item::Zero | Item::Text(_) => {
                if item == Item::Zero {
                    position += 1;
                }
                let text = args.lua.create_string(taken).map_err(|error| plain(&error))?;
                Value::String(text)
            }
        });
    }
    values.push(Value::Number(position as f64 + 1.0));
    args.returns(values)
}
