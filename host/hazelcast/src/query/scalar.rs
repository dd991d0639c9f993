//! Values that can be compared: of attributes, and operands.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::mem::discriminant;

use uuid::Uuid;

use super::decimal::Decimal;
use super::{Attribute, Error, dates};
use crate::data::{LocalDate, LocalTime, Value};

/// A value that can be compared, of its type in Java.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Byte(i8),
    Char(u16),
    Short(i16),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Text(Cow<'a, str>),
    /// All of a document, which is in the order of its text.
    Document(Cow<'a, str>),
    Uuid(Uuid),
    Integer(Decimal),
    Decimal(Decimal),
    /// Milliseconds since the epoch.
    Date(i64),
    LocalDate(LocalDate),
    LocalTime(LocalTime),
    LocalDateTime(LocalDate, LocalTime),
    OffsetDateTime(LocalDate, LocalTime, i32),
}

/// A number of a primitive type.
#[derive(Clone, Copy)]
enum Primitive {
    Long(i64),
    Double(f64),
}

use Primitive::{Double, Long};

impl<'a> Scalar<'a> {
    /// What a value is as an attribute.
    pub(super) fn of(value: Value<'a>) -> Result<Attribute<'a>, Error> {
        Ok(Attribute::Scalar(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Byte(value) => Self::Byte(value),
            Value::Char(value) => Self::Char(value),
            Value::Short(value) => Self::Short(value),
            Value::Int(value) => Self::Int(value),
            Value::Long(value) => Self::Long(value),
            Value::Float(value) => Self::Float(value),
            Value::Double(value) => Self::Double(value),
            Value::Text(value) => Self::Text(value.into()),
            Value::Uuid(value) => Self::Uuid(value),
            Value::BigInteger(bytes) => Self::Integer(Decimal::from_bytes(bytes, 0)?),
            Value::BigDecimal(bytes, scale) => Self::Decimal(Decimal::from_bytes(bytes, scale)?),
            Value::Date(value) => Self::Date(value),
            Value::LocalDate(date) => Self::LocalDate(date),
            Value::LocalTime(time) => Self::LocalTime(time),
            Value::LocalDateTime(date, time) => Self::LocalDateTime(date, time),
            Value::OffsetDateTime(date, time, offset) => Self::OffsetDateTime(date, time, offset),
            Value::Bytes(_)
            | Value::Bools(_)
            | Value::Chars(_)
            | Value::Shorts(_)
            | Value::Ints(_)
            | Value::Longs(_)
            | Value::Floats(_)
            | Value::Doubles(_)
            | Value::Objects(_) => return Ok(Attribute::Opaque("it is an array or a list")),
            Value::Json(_) => return Ok(Attribute::Opaque("it is a document")),
            Value::Class(_) => return Ok(Attribute::Opaque("it is a class")),
            Value::Compact(..) => return Ok(Attribute::Opaque("it is a compact record")),
            Value::Identified(_) | Value::Other(..) => {
                return Ok(Attribute::Opaque("it is an object of a class that is unknown here"));
            }
        }))
    }

    /// Independent of the bytes that it was read from.
    pub(super) fn into_owned(self) -> Scalar<'static> {
        match self {
            Self::Text(text) => Scalar::Text(text.into_owned().into()),
            Self::Document(text) => Scalar::Document(text.into_owned().into()),
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(value),
            Self::Byte(value) => Scalar::Byte(value),
            Self::Char(value) => Scalar::Char(value),
            Self::Short(value) => Scalar::Short(value),
            Self::Int(value) => Scalar::Int(value),
            Self::Long(value) => Scalar::Long(value),
            Self::Float(value) => Scalar::Float(value),
            Self::Double(value) => Scalar::Double(value),
            Self::Uuid(value) => Scalar::Uuid(value),
            Self::Integer(value) => Scalar::Integer(value),
            Self::Decimal(value) => Scalar::Decimal(value),
            Self::Date(value) => Scalar::Date(value),
            Self::LocalDate(date) => Scalar::LocalDate(date),
            Self::LocalTime(time) => Scalar::LocalTime(time),
            Self::LocalDateTime(date, time) => Scalar::LocalDateTime(date, time),
            Self::OffsetDateTime(date, time, offset) => Scalar::OffsetDateTime(date, time, offset),
        }
    }

    fn primitive(&self) -> Option<Primitive> {
        Some(match *self {
            Self::Byte(value) => Long(value.into()),
            Self::Short(value) => Long(value.into()),
            Self::Int(value) => Long(value.into()),
            Self::Long(value) => Long(value),
            Self::Float(value) => Double(value.into()),
            Self::Double(value) => Double(value),
            _ => return None,
        })
    }

    /// As a number of a primitive type: of a longer one, its lowest bits.
    fn narrowed(&self) -> Result<Option<Primitive>, Error> {
        Ok(match self {
            Self::Integer(number) | Self::Decimal(number) => Some(Long(number.low_bits()?)),
            _ => self.primitive(),
        })
    }

    /// In the form in which equal numbers are the same: `long` if it is whole, or else `double`.
    pub(super) fn canonical(&self) -> Scalar<'_> {
        match self.primitive() {
            Some(Long(number)) => Scalar::Long(number),
            Some(Double(number)) => match self.exact_long() {
                Some(long) => Scalar::Long(long),
                None if number.is_nan() => Scalar::Double(f64::NAN),
                None => Scalar::Double(number),
            },
            None => self.clone(),
        }
    }

    /// As a `long`, if it is exactly one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked")]
    pub(super) fn exact_long(&self) -> Option<i64> {
        match self.primitive()? {
            Long(number) => Some(number),
            Double(number) => {
                let long = number as i64;
                ((long as f64).to_bits() == number.to_bits()).then_some(long)
            }
        }
    }

    /// As `longValue()`.
    pub(super) fn truncated_long(&self) -> Option<i64> {
        match self.narrowed().ok()?? {
            Long(number) => Some(number),
            #[expect(clippy::cast_possible_truncation, reason = "as in Java")]
            Double(number) => Some(number as i64),
        }
    }

    /// As a `double`; if `is_exact`, only if it is exactly one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked")]
    pub(super) fn double(&self, is_exact: bool) -> Option<f64> {
        match (self, self.primitive()) {
            (_, Some(Double(number))) => Some(number),
            (_, Some(Long(number))) => {
                let double = number as f64;
                (!is_exact || double as i64 == number).then_some(double)
            }
            (Self::Integer(number) | Self::Decimal(number), _) if !is_exact => {
                number.to_string().parse().ok()
            }
            _ => None,
        }
    }

    /// As an operand for an attribute of the type of `attribute`. The type of a number of a
    /// primitive type is kept, as numbers compare by value.
    pub(super) fn converted(&self, attribute: &Scalar<'_>) -> Result<Cow<'_, Self>, Error> {
        if matches!(self, Self::Null) || discriminant(self) == discriminant(attribute) {
            return Ok(Cow::Borrowed(self));
        }
        let cannot =
            |what: &str| Err(Error::invalid(format!("cannot convert an operand to {what}")));
        Ok(Cow::Owned(match attribute {
            Scalar::Null => return Ok(Cow::Borrowed(self)),
            Scalar::Byte(_) | Scalar::Short(_) | Scalar::Int(_) | Scalar::Long(_) => match self {
                Self::Text(text) => match text.parse() {
                    Ok(number) => Self::Long(number),
                    Err(_) => Self::Double(parse_double(text)?),
                },
                _ if self.is_number() => return Ok(Cow::Borrowed(self)),
                _ => return cannot("a number"),
            },
            Scalar::Float(_) | Scalar::Double(_) => match self {
                Self::Text(text) => Self::Double(parse_double(text)?),
                _ if self.is_number() => return Ok(Cow::Borrowed(self)),
                _ => return cannot("a number"),
            },
            Scalar::Integer(_) => Self::Integer(match (self, self.primitive()) {
                (Self::Decimal(number), _) => number.truncated()?,
                (_, Some(Long(number))) => Decimal::from_i64(number),
                #[expect(clippy::cast_possible_truncation, reason = "as in Java")]
                (_, Some(Double(number))) => Decimal::from_i64(number as i64),
                (Self::Bool(value), _) => Decimal::from_i64((*value).into()),
                _ => Decimal::parse_integer(&self.to_text()?)?,
            }),
            Scalar::Decimal(_) => Self::Decimal(match (self, self.primitive()) {
                (Self::Integer(number), _) => number.clone(),
                (_, Some(Long(number))) => Decimal::from_i64(number),
                (_, Some(Double(number))) => Decimal::parse(&double_to_text(number))?,
                (Self::Bool(value), _) => Decimal::from_i64((*value).into()),
                _ => Decimal::parse(&self.to_text()?)?,
            }),
            Scalar::Text(_) => Self::Text(self.to_text()?.into_owned().into()),
            Scalar::Bool(_) => Self::Bool(match (self, self.narrowed()?) {
                (Self::Text(text), _) => text.eq_ignore_ascii_case("true"),
                #[expect(clippy::cast_possible_truncation, reason = "as in Java")]
                (_, Some(Long(number))) => number as i32 != 0,
                #[expect(clippy::cast_possible_truncation, reason = "as in Java")]
                (_, Some(Double(number))) => number as i32 != 0,
                _ => return cannot("a boolean"),
            }),
            Scalar::Char(_) => Self::Char(match (self, self.narrowed()?) {
                (Self::Text(text), _) => {
                    let mut units = text.encode_utf16();
                    match (units.next(), units.next()) {
                        (Some(unit), None) => unit,
                        _ => return cannot("a character"),
                    }
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "as in Java"
                )]
                (_, Some(Long(number))) => number as u16,
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "as in Java"
                )]
                (_, Some(Double(number))) => number as i32 as u16,
                _ => return cannot("a character"),
            }),
            Scalar::Document(_) => return cannot("a document"),
            Scalar::Uuid(_) => match self {
                Self::Text(text) => Self::Uuid(parse_uuid(text)?),
                _ => return cannot("a UUID"),
            },
            Scalar::Date(_) => match self.narrowed()? {
                Some(Long(number)) => Self::Date(number),
                #[expect(clippy::cast_possible_truncation, reason = "as in Java")]
                Some(Double(number)) => Self::Date(number as i64),
                None if matches!(self, Self::Text(_)) => {
                    return Err(Error::unsupported("comparing a java.util.Date with a text"));
                }
                None => return cannot("a date"),
            },
            Scalar::LocalDate(_) => match self {
                Self::Text(text) => Self::LocalDate(dates::parse_date(text)?),
                _ => return self.cannot_be_a_time(),
            },
            Scalar::LocalTime(_) => match self {
                Self::Text(text) => Self::LocalTime(dates::parse_time(text)?),
                _ => return self.cannot_be_a_time(),
            },
            Scalar::LocalDateTime(..) => match self {
                Self::Text(text) => {
                    let (date, time) = dates::parse_date_time(text)?;
                    Self::LocalDateTime(date, time)
                }
                _ => return self.cannot_be_a_time(),
            },
            Scalar::OffsetDateTime(..) => match self {
                Self::Text(text) => {
                    let (date, time, offset) = dates::parse_offset_date_time(text)?;
                    Self::OffsetDateTime(date, time, offset)
                }
                _ => return self.cannot_be_a_time(),
            },
        }))
    }

    fn cannot_be_a_time<T>(&self) -> Result<T, Error> {
        if self.is_number() {
            // Hazelcast takes it for milliseconds, in the time zone of the member.
            return Err(Error::unsupported("comparing a date or time with a number"));
        }
        Err(Error::invalid("cannot convert an operand to a date or time"))
    }

    /// Whether it is a number of any type.
    pub(super) fn is_number(&self) -> bool {
        self.primitive().is_some() || matches!(self, Self::Integer(_) | Self::Decimal(_))
    }

    /// As Java's `toString()`.
    fn to_text(&self) -> Result<Cow<'_, str>, Error> {
        Ok(match self {
            Self::Null => "null".into(),
            Self::Text(text) | Self::Document(text) => text.as_ref().into(),
            Self::Bool(value) => value.to_string().into(),
            Self::Byte(value) => value.to_string().into(),
            Self::Short(value) => value.to_string().into(),
            Self::Int(value) => value.to_string().into(),
            Self::Long(value) => value.to_string().into(),
            Self::Float(value) => float_to_text(&format!("{value:e}"), (*value).into()).into(),
            Self::Double(value) => double_to_text(*value).into(),
            Self::Char(unit) => String::from_utf16_lossy(&[*unit]).into(),
            Self::Uuid(uuid) => uuid.to_string().into(),
            Self::Integer(number) | Self::Decimal(number) => number.to_string().into(),
            Self::Date(_) => return Err(Error::unsupported("a java.util.Date as a text")),
            Self::LocalDate(date) => dates::format_date(*date).into(),
            Self::LocalTime(time) => dates::format_time(*time).into(),
            Self::LocalDateTime(date, time) => {
                format!("{}T{}", dates::format_date(*date), dates::format_time(*time)).into()
            }
            Self::OffsetDateTime(date, time, offset) => format!(
                "{}T{}{}",
                dates::format_date(*date),
                dates::format_time(*time),
                dates::format_offset(*offset)
            )
            .into(),
        })
    }

    /// Whether an attribute is equal to a converted operand.
    pub(super) fn equals(&self, operand: &Scalar<'_>) -> bool {
        match (self, operand) {
            (Self::Null, _) | (_, Scalar::Null) => false,
            (Self::Decimal(a), Scalar::Decimal(b)) => a == b,
            // An instant with another offset is another value.
            (Self::OffsetDateTime(a, b, c), Scalar::OffsetDateTime(d, e, f)) => {
                (a, b, c) == (d, e, f)
            }
            _ => self.compare(operand).is_ok_and(Ordering::is_eq),
        }
    }

    /// Order of an attribute and a converted operand.
    pub(super) fn compare(&self, operand: &Scalar<'_>) -> Result<Ordering, Error> {
        if let (Some(a), Some(b)) = (self.primitive(), operand.primitive()) {
            return Ok(compare_numbers(a, b));
        }
        Ok(match (self, operand) {
            (Self::Bool(a), Scalar::Bool(b)) => a.cmp(b),
            (Self::Char(a), Scalar::Char(b)) => a.cmp(b),
            (Self::Text(a), Scalar::Text(b)) | (Self::Document(a), Scalar::Document(b)) => {
                crate::schema::java_order(a, b)
            }
            (Self::Uuid(a), Scalar::Uuid(b)) => {
                let halves = |id: &Uuid| {
                    let (high, low) = id.as_u64_pair();
                    (high.cast_signed(), low.cast_signed())
                };
                halves(a).cmp(&halves(b))
            }
            (Self::Integer(a), Scalar::Integer(b)) | (Self::Decimal(a), Scalar::Decimal(b)) => {
                a.compare(b)
            }
            (Self::Date(a), Scalar::Date(b)) => a.cmp(b),
            (Self::LocalDate(a), Scalar::LocalDate(b)) => {
                dates::date_key(*a).cmp(&dates::date_key(*b))
            }
            (Self::LocalTime(a), Scalar::LocalTime(b)) => {
                dates::time_key(*a).cmp(&dates::time_key(*b))
            }
            (Self::LocalDateTime(a, b), Scalar::LocalDateTime(c, d)) => {
                let key = |date, time| (dates::date_key(date), dates::time_key(time));
                key(*a, *b).cmp(&key(*c, *d))
            }
            (Self::OffsetDateTime(a, b, c), Scalar::OffsetDateTime(d, e, f)) => {
                let key = |date, time: LocalTime, offset| {
                    let instant = (dates::epoch_second(date, time, offset), time.nanosecond);
                    (instant, dates::date_key(date), dates::time_key(time))
                };
                key(*a, *b, *c).cmp(&key(*d, *e, *f))
            }
            _ => return Err(Error::Cast("values of different types cannot be compared".into())),
        })
    }

    /// `hashCode()` of a key, which decides the order of entries whose values are equal.
    pub(super) fn java_hash(&self) -> Option<i32> {
        let fold = |number: u64| {
            let (high, low) = ((number >> 32) as u32, (number & 0xffff_ffff) as u32);
            (high ^ low).cast_signed()
        };
        Some(match self {
            Self::Bool(value) => {
                if *value {
                    1231
                } else {
                    1237
                }
            }
            Self::Byte(value) => (*value).into(),
            Self::Short(value) => (*value).into(),
            Self::Int(value) => *value,
            Self::Char(value) => (*value).into(),
            Self::Long(value) | Self::Date(value) => fold(value.cast_unsigned()),
            Self::Float(value) => value.to_bits().cast_signed(),
            Self::Double(value) => fold(value.to_bits()),
            Self::Text(text) | Self::Document(text) => text
                .encode_utf16()
                .fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(unit.into())),
            Self::Uuid(id) => {
                let (high, low) = id.as_u64_pair();
                fold(high ^ low)
            }
            _ => return None,
        })
    }
}

/// By value. Doubles are in the order of Java's `Double.compare`.
fn compare_numbers(a: Primitive, b: Primitive) -> Ordering {
    match (a, b) {
        (Long(a), Long(b)) => a.cmp(&b),
        (Double(a), Double(b)) => compare_doubles(a, b),
        (Long(a), Double(b)) => compare_long_with_double(a, b),
        (Double(a), Long(b)) => compare_long_with_double(b, a).reverse(),
    }
}

fn compare_doubles(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(&b),
        (a, b) => a.cmp(&b),
    }
}

fn compare_long_with_double(long: i64, double: f64) -> Ordering {
    /// Below this, each whole number is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    /// One more than the largest `long`.
    const LONG_END: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_precision_loss, reason = "what is not exact is outside of the range")]
    if double > -EXACT && double < EXACT {
        return compare_doubles(long as f64, double);
    }
    // As in Hazelcast, the least `long` is greater than the double that is equal to it.
    if double <= -LONG_END {
        return Ordering::Greater;
    }
    if double >= LONG_END || double.is_nan() {
        return Ordering::Less;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number within the range")]
    long.cmp(&(double as i64))
}

/// As `Double.parseDouble`, without hexadecimal numbers.
pub(super) fn parse_double(text: &str) -> Result<f64, Error> {
    let not_a_number = || {
        let text = text.chars().take(40).collect::<String>();
        Error::invalid(format!("{text:?} is not a number"))
    };
    let number = text.trim_matches(|character| character <= ' ');
    let (sign, unsigned) = match number.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, number.strip_prefix('+').unwrap_or(number)),
    };
    match unsigned {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(sign * f64::INFINITY),
        _ => {}
    }
    let digits = unsigned.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(unsigned);
    // Rust also accepts words such as `inf`.
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if !is_number {
        return Err(not_a_number());
    }
    digits.parse::<f64>().map(|number| sign * number).map_err(|_| not_a_number())
}

/// As `UUID.fromString`, which accepts missing zeros.
fn parse_uuid(text: &str) -> Result<Uuid, Error> {
    let parse = || {
        if text.len() > 36 {
            return None;
        }
        let mut parts = text.split('-').map(|part| {
            let is_hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        });
        let mut next = || parts.next().flatten();
        let (a, b, c, d, e) = (next()?, next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return None;
        }
        let high = (a & 0xffff_ffff) << 32 | (b & 0xffff) << 16 | c & 0xffff;
        Some(Uuid::from_u64_pair(high, (d & 0xffff) << 48 | e & 0xffff_ffff_ffff))
    };
    parse().ok_or_else(|| {
        let text = text.chars().take(40).collect::<String>();
        Error::invalid(format!("{text:?} is not a UUID"))
    })
}

/// As `Double.toString`.
fn double_to_text(number: f64) -> String {
    float_to_text(&format!("{number:e}"), number)
}

/// As `toString` in Java, of a number in Rust's scientific notation.
fn float_to_text(scientific: &str, number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (sign, unsigned) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific),
    };
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let digits = mantissa.replace('.', "");
    let exponent = exponent.parse::<i32>().unwrap_or_default();
    let or_zero =
        |decimals: &str| if decimals.is_empty() { "0".to_owned() } else { decimals.to_owned() };
    match usize::try_from(exponent) {
        _ if number == 0.0 => format!("{sign}0.0"),
        Ok(exponent) if exponent < 7 => {
            let digits = format!("{digits:0<width$}", width = exponent + 1);
            let (whole, decimals) = digits.split_at(exponent + 1);
            format!("{sign}{whole}.{}", or_zero(decimals))
        }
        Err(_) if exponent >= -3 => {
            let zeros = usize::try_from(-exponent - 1).unwrap_or_default();
            format!("{sign}0.{}{digits}", "0".repeat(zeros))
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            format!("{sign}{first}.{}E{exponent}", or_zero(rest))
        }
    }
}

/// Whether `IN` finds an attribute, with null among the operands.
pub(super) fn is_same_in_set(a: &Scalar<'_>, b: &Scalar<'_>) -> bool {
    match (a, b) {
        (Scalar::Null, Scalar::Null) => true,
        _ => a.equals(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_java() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1_234_567.5, "1234567.5"),
            (1e7, "1.0E7"),
            (0.001, "0.001"),
            (0.000_12, "1.2E-4"),
            (-123.456, "-123.456"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double_to_text(number), text);
        }
        assert_eq!(Scalar::Float(0.1).to_text().unwrap(), "0.1");
    }

    #[test]
    fn numbers_are_parsed_as_in_java() {
        for text in ["1", " 1.0 ", "1d", "1.F", "+1", "1e0", "10E-1"] {
            assert_eq!(parse_double(text), Ok(1.0), "{text:?}");
        }
        assert_eq!(parse_double("-Infinity"), Ok(f64::NEG_INFINITY));
        for text in ["", "inf", "nan", "1x", "e1", ".", "--1", "0x1p3", "1 2"] {
            assert!(parse_double(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_and_doubles_compare_exactly() {
        let compare = |a, b| Scalar::Long(a).compare(&Scalar::Double(b)).unwrap();
        assert_eq!(compare(0, 0.0), Ordering::Equal);
        assert_eq!(compare(0, -0.0), Ordering::Greater);
        assert_eq!(compare(9_007_199_254_740_993, 9_007_199_254_740_992.0), Ordering::Greater);
        assert_eq!(compare(i64::MAX, 9_223_372_036_854_775_808.0), Ordering::Less);
        assert_eq!(compare(i64::MAX, f64::NAN), Ordering::Less);
    }

    #[test]
    fn ids_are_parsed_as_in_java() {
        assert_eq!(
            parse_uuid("1-2-3-4-5").unwrap().to_string(),
            "00000001-0002-0003-0004-000000000005"
        );
        for text in ["", "1-2-3-4", "1-2-3-4-5-6", "g-2-3-4-5", "1-2--4-5", "+1-2-3-4-5"] {
            assert!(parse_uuid(text).is_err(), "{text:?}");
        }
    }
}
