//! Fields of messages, and how each type is encoded.

use std::fmt;

use thiserror::Error;
use uuid::Uuid;

use crate::data::Data;
use crate::frame::{Flags, Frame, Frames};
use crate::message::{MessageType, Writer};

/// Why a request, a response or an event cannot be decoded. The connection can be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("message {message_type}: {field}: {problem}")]
pub struct DecodeError {
    /// Type of the message.
    pub message_type: MessageType,
    /// Name of the field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// It is not there, or not all of it.
    #[error("missing")]
    Missing,
    /// It is null.
    #[error("null")]
    Null,
    /// A data structure where a value was expected, or the reverse.
    #[error("a frame of another kind was expected")]
    Frame,
    /// Text that is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// A blob that is shorter than its header.
    #[error("a blob is shorter than its header of 8 bytes")]
    Blob,
    /// Another type of message, such as an error in place of a response.
    #[error("a message of another type was expected")]
    Type,
    /// Packed values that do not fill their frame.
    #[error("the length of a frame is no multiple of that of its items")]
    Packed,
}

impl Problem {
    pub(crate) const fn of(self, message_type: MessageType, field: &'static str) -> DecodeError {
        DecodeError { message_type, field, problem: self }
    }
}

/// A type of fixed size. Its values are packed into the initial frame of a message, the first frame
/// of a data structure, or a list in one frame. Numbers are in little-endian order.
pub trait Fixed: Copy {
    /// Length of an encoded value, in bytes.
    const BYTES: usize;

    /// Takes a value from the start of `bytes`.
    ///
    /// # Errors
    /// [`Problem::Missing`] if there are fewer than [`Self::BYTES`] bytes; [`Problem::Null`].
    fn take(bytes: &mut &[u8]) -> Result<Self, Problem>;

    /// Appends a value to the frame that is open.
    fn put(self, writer: &mut Writer<'_>);
}

/// A type of variable size. A value has one or more frames.
pub trait Variable<'a>: Copy {
    /// Reads a value.
    ///
    /// # Errors
    /// The next frames are not a value of this type.
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem>;

    /// Writes a value.
    fn write(&self, writer: &mut Writer<'_>);
}

fn chunk<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Problem> {
    let (chunk, rest) = bytes.split_first_chunk().ok_or(Problem::Missing)?;
    *bytes = rest;
    Ok(*chunk)
}

macro_rules! fixed_numbers {
    ($($number:ty)*) => {$(
        impl Fixed for $number {
            const BYTES: usize = size_of::<$number>();

            fn take(bytes: &mut &[u8]) -> Result<Self, Problem> {
                chunk(bytes).map(Self::from_le_bytes)
            }

            fn put(self, writer: &mut Writer<'_>) {
                writer.fixed(&self.to_le_bytes());
            }
        }
    )*};
}

fixed_numbers!(u8 i32 i64);

impl Fixed for bool {
    const BYTES: usize = 1;

    fn take(bytes: &mut &[u8]) -> Result<Self, Problem> {
        u8::take(bytes).map(|byte| byte != 0)
    }

    fn put(self, writer: &mut Writer<'_>) {
        u8::from(self).put(writer);
    }
}

/// One byte that is 1 if the id is null, then its more and its less significant half.
impl Fixed for Option<Uuid> {
    const BYTES: usize = 17;

    fn take(bytes: &mut &[u8]) -> Result<Self, Problem> {
        let (is_null, high, low) = (bool::take(bytes)?, chunk(bytes)?, chunk(bytes)?);
        let id = Uuid::from_u64_pair(u64::from_le_bytes(high), u64::from_le_bytes(low));
        Ok((!is_null).then_some(id))
    }

    fn put(self, writer: &mut Writer<'_>) {
        self.is_none().put(writer);
        let (high, low) = self.unwrap_or_default().as_u64_pair();
        writer.fixed(&high.to_le_bytes());
        writer.fixed(&low.to_le_bytes());
    }
}

impl Fixed for Uuid {
    const BYTES: usize = 17;

    fn take(bytes: &mut &[u8]) -> Result<Self, Problem> {
        <Option<Self> as Fixed>::take(bytes)?.ok_or(Problem::Null)
    }

    fn put(self, writer: &mut Writer<'_>) {
        Some(self).put(writer);
    }
}

impl<A: Fixed, B: Fixed> Fixed for (A, B) {
    const BYTES: usize = A::BYTES + B::BYTES;

    fn take(bytes: &mut &[u8]) -> Result<Self, Problem> {
        Ok((A::take(bytes)?, B::take(bytes)?))
    }

    fn put(self, writer: &mut Writer<'_>) {
        self.0.put(writer);
        self.1.put(writer);
    }
}

impl<'a> Variable<'a> for &'a [u8] {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        let Frame { flags, content } = next(frames)?;
        if flags.has(Flags::IS_NULL) {
            return Err(Problem::Null);
        }
        if flags.has(Flags::BEGIN_DATA_STRUCTURE) {
            return Err(Problem::Frame);
        }
        Ok(content)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.frame(Flags::NONE, self);
    }
}

impl<'a> Variable<'a> for &'a str {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        std::str::from_utf8(Variable::read(frames)?).map_err(|_| Problem::Utf8)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.as_bytes().write(writer);
    }
}

impl<'a> Variable<'a> for Data<'a> {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        Data::new(Variable::read(frames)?).ok_or(Problem::Blob)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.bytes().write(writer);
    }
}

impl<'a, T: Variable<'a>> Variable<'a> for Option<T> {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        if frames.peek().is_some_and(|flags| flags.has(Flags::IS_NULL)) {
            frames.next();
            return Ok(None);
        }
        T::read(frames).map(Some)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Some(value) => value.write(writer),
            None => writer.frame(Flags::IS_NULL, &[]),
        }
    }
}

/// A password or a token: text or bytes that are not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(&'a [u8]);

impl<'a> Secret<'a> {
    /// A secret.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The secret. A password is UTF-8.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'a> Variable<'a> for Secret<'a> {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        Variable::read(frames).map(Self)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.0.write(writer);
    }
}

/// An entry of a list: the frames of the key, then those of the value.
impl<'a, A: Variable<'a>, B: Variable<'a>> Variable<'a> for (A, B) {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        Ok((A::read(frames)?, B::read(frames)?))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.0.write(writer);
        self.1.write(writer);
    }
}

/// Whether there is no further field: the message ends, or the data structure.
pub(crate) fn at_end(frames: &Frames<'_>) -> bool {
    frames.peek().is_none_or(|flags| flags.has(Flags::END_DATA_STRUCTURE))
}

/// The next frame of a message or data structure.
fn next<'a>(frames: &mut Frames<'a>) -> Result<Frame<'a>, Problem> {
    if at_end(frames) {
        return Err(Problem::Missing);
    }
    frames.next().ok_or(Problem::Missing)
}

/// Checks the type of a message.
#[cfg(any(test, feature = "client"))]
pub(crate) fn check_type(
    message: crate::message::Message<'_>,
    expected: MessageType,
) -> Result<(), DecodeError> {
    let message_type = message.header().message_type;
    if message_type != expected {
        return Err(Problem::Type.of(message_type, "type"));
    }
    Ok(())
}

/// A field of fixed size. The default is for senders that do not know the field.
pub(crate) fn take_field<T: Fixed>(bytes: &mut &[u8], default: Option<T>) -> Result<T, Problem> {
    match default {
        Some(default) if bytes.len() < T::BYTES => {
            *bytes = &[];
            Ok(default)
        }
        _ => T::take(bytes),
    }
}

/// A field of variable size. The default is for senders that do not know the field.
pub(crate) fn read_field<'a, T: Variable<'a>>(
    frames: &mut Frames<'a>,
    default: Option<T>,
) -> Result<T, Problem> {
    match default {
        Some(default) if at_end(frames) => Ok(default),
        _ => T::read(frames),
    }
}

/// Reads the beginning of a data structure.
pub(crate) fn begin(frames: &mut Frames<'_>) -> Result<(), Problem> {
    let flags = next(frames)?.flags;
    if flags.has(Flags::IS_NULL) {
        return Err(Problem::Null);
    }
    if !flags.has(Flags::BEGIN_DATA_STRUCTURE) {
        return Err(Problem::Frame);
    }
    Ok(())
}

/// Reads up to the end of a data structure, over fields of newer versions.
pub(crate) fn end(frames: &mut Frames<'_>) -> Result<(), Problem> {
    let mut depth = 0_usize;
    for frame in frames {
        if frame.flags.has(Flags::BEGIN_DATA_STRUCTURE) {
            depth += 1;
        } else if frame.flags.has(Flags::END_DATA_STRUCTURE) {
            match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return Ok(()),
            }
        }
    }
    Err(Problem::Missing)
}

/// Writes the beginning of a data structure.
pub(crate) fn write_begin(writer: &mut Writer<'_>) {
    writer.frame(Flags::BEGIN_DATA_STRUCTURE, &[]);
}

/// Writes the end of a data structure.
pub(crate) fn write_end(writer: &mut Writer<'_>) {
    writer.frame(Flags::END_DATA_STRUCTURE, &[]);
}
