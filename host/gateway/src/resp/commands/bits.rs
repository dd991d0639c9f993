//! Commands on the bits of strings.

use convoke_grid::op::{
    BitCombine, BitRange, BitsOp, Field, FieldAction, FieldOverflow, KeyOp, Op, SeveralOp, integer,
};

use super::super::answer::CommandError;
use super::super::args::{Args, Parsed};
use super::super::request::Request;

/// Bits of a string in Redis, with its default settings.
const BITS_MAX: u64 = 8 << 29;

const WRONG_OFFSET: CommandError =
    CommandError::new("ERR bit offset is not an integer or out of range");
const WRONG_BIT: CommandError = CommandError::new("ERR bit is not an integer or out of range");
const WRONG_TYPE: CommandError = CommandError::new(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

fn bits(key: &[u8], op: BitsOp) -> Op<'_> {
    Op::Key(key, KeyOp::Bits(op))
}

/// Parses the index of a bit; with `#`, that of a field of this width.
fn offset(text: &[u8], width: Option<u8>) -> Result<u64, CommandError> {
    let (text, factor) = match (text.strip_prefix(b"#"), width) {
        (Some(text), Some(width)) => (text, width.into()),
        _ => (text, 1),
    };
    let number = integer(text).and_then(|number| number.checked_mul(factor));
    number
        .and_then(|number| u64::try_from(number).ok())
        .filter(|number| *number < BITS_MAX)
        .ok_or(WRONG_OFFSET)
}

pub(crate) fn setbit<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, at) = (args.next()?, offset(args.next()?, None)?);
    let on = match integer(args.next()?) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(WRONG_BIT),
    };
    Ok(bits(key, BitsOp::Set { at, on }))
}

pub(crate) fn getbit<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(bits(args.next()?, BitsOp::Get(offset(args.next()?, None)?)))
}

/// Consumes a trailing `BYTE` or `BIT`, and returns whether it is `BIT`.
fn unit(args: &mut Args<'_, '_>) -> Result<bool, CommandError> {
    let in_bits = args.take_keyword("bit");
    if !in_bits && args.remaining() > 0 && !args.take_keyword("byte") {
        return Err(CommandError::SYNTAX);
    }
    args.expect_end()?;
    Ok(in_bits)
}

pub(crate) fn bitcount<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    if args.remaining() == 0 {
        return Ok(bits(key, BitsOp::Count(BitRange::ALL)));
    }
    if args.remaining() == 1 {
        return Err(CommandError::SYNTAX);
    }
    let (first, last) = (args.integer()?, args.integer()?);
    Ok(bits(key, BitsOp::Count(BitRange { first, last, in_bits: unit(&mut args)? })))
}

pub(crate) fn bitpos<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let on = match args.integer()? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::new("ERR The bit argument must be 1 or 0.")),
    };
    let mut range = BitRange::ALL;
    if args.remaining() > 0 {
        range.first = args.integer()?;
    }
    let open = args.remaining() == 0;
    if !open {
        // As in Redis, a wrong unit is reported rather than a wrong number before it.
        let last = args.next()?;
        range.in_bits = unit(&mut args)?;
        range.last = integer(last).ok_or(CommandError::INTEGER)?;
    }
    Ok(bits(key, BitsOp::Find { on, range, open }))
}

pub(crate) fn bitop<'a>(request: &Request<'a>) -> Parsed<'a> {
    let operations = [
        ("and", BitCombine::And),
        ("or", BitCombine::Or),
        ("xor", BitCombine::Xor),
        ("not", BitCombine::Not),
        ("diff", BitCombine::Diff),
        ("diff1", BitCombine::Diff1),
        ("andor", BitCombine::AndOr),
        ("one", BitCombine::One),
    ];
    let mut args = Args::new(request, 1);
    let found = operations.into_iter().find(|(name, _)| args.take_keyword(name));
    let (name, how) = found.ok_or(CommandError::SYNTAX)?;
    let (store, keys) = (args.next()?, args.rest());
    match how {
        BitCombine::Not if keys.len() != 1 => {
            Err(CommandError::new("ERR BITOP NOT must be called with a single source key."))
        }
        BitCombine::Diff | BitCombine::Diff1 | BitCombine::AndOr if keys.len() < 2 => {
            let name = name.to_uppercase();
            let text = format!("ERR BITOP {name} must be called with at least two source keys.");
            Err(CommandError(text.into()))
        }
        _ => Ok(Op::Several(SeveralOp::CombineBits { how, keys, store })),
    }
}

/// Parses the type of a field, such as `i16`: whether it is signed, and its width.
fn field_type(text: &[u8]) -> Result<(bool, u8), CommandError> {
    let (is_signed, width, most) = match text {
        [b'i', width @ ..] => (true, width, 64),
        [b'u', width @ ..] => (false, width, 63),
        _ => return Err(WRONG_TYPE),
    };
    let width = integer(width).and_then(|width| u8::try_from(width).ok());
    let width = width.filter(|width| (1..=most).contains(width)).ok_or(WRONG_TYPE)?;
    Ok((is_signed, width))
}

/// Consumes the fields that a command reads and writes.
fn fields(args: &mut Args<'_, '_>) -> Result<Vec<Field>, CommandError> {
    let (mut fields, mut overflow) = (Vec::new(), FieldOverflow::Wrap);
    while let Some(name) = args.peek() {
        let name = name.to_ascii_lowercase();
        let wanted = match &name[..] {
            b"overflow" => 1,
            b"get" => 2,
            b"set" | b"incrby" => 3,
            _ => return Err(CommandError::SYNTAX),
        };
        args.next()?;
        if args.remaining() < wanted {
            return Err(CommandError::SYNTAX);
        }
        if name == b"overflow" {
            overflow = match &args.next()?.to_ascii_lowercase()[..] {
                b"wrap" => FieldOverflow::Wrap,
                b"sat" => FieldOverflow::Saturate,
                b"fail" => FieldOverflow::Fail,
                _ => return Err(CommandError::new("ERR Invalid OVERFLOW type specified")),
            };
            continue;
        }
        let (is_signed, width) = field_type(args.next()?)?;
        let at = offset(args.next()?, Some(width))?;
        let action = match &name[..] {
            b"get" => FieldAction::Get,
            b"set" => FieldAction::Set(args.integer()?, overflow),
            _ => FieldAction::Add(args.integer()?, overflow),
        };
        fields.push(Field { at, is_signed, bits: width, action });
    }
    Ok(fields)
}

pub(crate) fn bitfield<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    Ok(bits(key, BitsOp::Fields(fields(&mut args)?)))
}

pub(crate) fn bitfield_ro<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let fields = fields(&mut args)?;
    if fields.iter().any(|field| field.action != FieldAction::Get) {
        return Err(CommandError::new("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    Ok(bits(key, BitsOp::Fields(fields)))
}
