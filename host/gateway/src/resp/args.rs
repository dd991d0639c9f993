//! A cursor over the arguments of a command.

use std::ops::RangeInclusive;

use convoke_grid::op::{ExpireIf, Lifetime, Op, float, integer};

use super::answer::CommandError;
use super::request::Request;
use crate::clock::unix_ms;

/// The operation that the arguments of a command describe, or what is wrong with them.
pub(crate) type Parsed<'a> = Result<Op<'a>, CommandError>;

/// Two arguments that belong together, such as a key and its value.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// The arguments that have not been consumed yet.
pub(crate) struct Args<'r, 'a> {
    request: &'r Request<'a>,
    at: usize,
}

impl<'r, 'a> Args<'r, 'a> {
    /// Starts at argument `at`; argument 0 is the command name.
    pub(crate) fn new(request: &'r Request<'a>, at: usize) -> Self {
        Self { request, at }
    }

    /// Number of arguments that have not been consumed.
    pub(crate) fn remaining(&self) -> usize {
        self.request.len().saturating_sub(self.at)
    }

    /// The next argument, without consuming it.
    pub(crate) fn peek(&self) -> Option<&'a [u8]> {
        self.request.get(self.at)
    }

    /// Consumes the next argument. `ERR syntax error` if there is none.
    pub(crate) fn next(&mut self) -> Result<&'a [u8], CommandError> {
        let argument = self.peek().ok_or(CommandError::SYNTAX)?;
        self.at += 1;
        Ok(argument)
    }

    /// Consumes the next argument if it equals `keyword`, ignoring case.
    pub(crate) fn take_keyword(&mut self, keyword: &str) -> bool {
        let matches = self.peek().is_some_and(|next| next.eq_ignore_ascii_case(keyword.as_bytes()));
        self.at += usize::from(matches);
        matches
    }

    /// Consumes the next argument if it is a condition of an expiry (`NX`, `XX`, `GT`, `LT`), and adds
    /// it to the others. Returns whether it is one.
    pub(crate) fn take_expire_condition(&mut self, condition: &mut ExpireIf) -> bool {
        let flag = if self.take_keyword("nx") {
            &mut condition.never
        } else if self.take_keyword("xx") {
            &mut condition.some
        } else if self.take_keyword("gt") {
            &mut condition.later
        } else if self.take_keyword("lt") {
            &mut condition.earlier
        } else {
            return false;
        };
        *flag = true;
        true
    }

    /// Consumes the next argument as a signed 64-bit integer.
    pub(crate) fn integer(&mut self) -> Result<i64, CommandError> {
        integer(self.next()?).ok_or(CommandError::INTEGER)
    }

    /// Consumes the next argument as an integer of at least 0.
    pub(crate) fn count(&mut self) -> Result<u64, CommandError> {
        let number = self.integer()?;
        u64::try_from(number)
            .map_err(|_| CommandError::new("ERR value is out of range, must be positive"))
    }

    /// Consumes the next argument as a floating-point number.
    pub(crate) fn float(&mut self) -> Result<f64, CommandError> {
        float(self.next()?).ok_or(CommandError::FLOAT)
    }

    /// Consumes all remaining arguments.
    pub(crate) fn rest(&mut self) -> Vec<&'a [u8]> {
        let rest = self.request.from(self.at).collect();
        self.at = self.request.len();
        rest
    }

    /// Consumes the next `count` arguments. `ERR syntax error` if there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Result<Vec<&'a [u8]>, CommandError> {
        if count > self.remaining() {
            return Err(CommandError::SYNTAX);
        }
        let taken = self.request.from(self.at).take(count).collect();
        self.at += count;
        Ok(taken)
    }

    /// Consumes `numkeys key [key ...]`. `name` is the command's name for the error message.
    pub(crate) fn counted_keys(&mut self, name: &str) -> Result<Vec<&'a [u8]>, CommandError> {
        let count = self.integer()?;
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            CommandError(format!("ERR at least 1 input key is needed for '{name}' command").into())
        })?;
        self.take(count)
    }

    /// Consumes the number of keys, at least 1, that precedes them.
    pub(crate) fn numkeys(&mut self) -> Result<usize, CommandError> {
        const WRONG: CommandError = CommandError::new("ERR numkeys should be greater than 0");
        let count = self.integer().map_err(|_| WRONG)?;
        usize::try_from(count).ok().filter(|count| *count > 0).ok_or(WRONG)
    }

    /// Consumes `numkeys key [key ...]`, as in `LMPOP` and `ZMPOP`.
    pub(crate) fn numbered_keys(&mut self) -> Result<Vec<&'a [u8]>, CommandError> {
        let count = self.numkeys()?;
        self.take(count)
    }

    /// Consumes all remaining arguments as pairs, at least one. `name` is the command's name for
    /// the error message.
    pub(crate) fn pairs(&mut self, name: &str) -> Result<Vec<Pair<'a>>, CommandError> {
        let count = self.remaining();
        if count == 0 || !count.is_multiple_of(2) {
            return Err(CommandError::arity(name));
        }
        let mut rest = self.request.from(self.at);
        self.at = self.request.len();
        let mut pairs = Vec::with_capacity(count / 2);
        while let (Some(first), Some(second)) = (rest.next(), rest.next()) {
            pairs.push((first, second));
        }
        Ok(pairs)
    }

    /// Consumes a trailing `[count [keyword]]` of a command that returns random elements. Returns
    /// the count, and whether the keyword follows; `None` for one element.
    pub(crate) fn sample(&mut self, keyword: &str) -> Result<Option<(i64, bool)>, CommandError> {
        if self.remaining() == 0 {
            return Ok(None);
        }
        let count = self.integer()?;
        let has_keyword = self.take_keyword(keyword);
        self.expect_end()?;
        // As in Redis: with values, the reply has twice as many elements.
        if !(-(i64::MAX / 2)..=i64::MAX / 2).contains(&count) {
            return Err(CommandError::new("ERR value is out of range"));
        }
        Ok(Some((count, has_keyword)))
    }

    /// Consumes an option for the lifetime of a key, if there is one: a time such as `EX seconds`, or
    /// `other`, such as `KEEPTTL`. As in Redis, an option may be repeated, but not combined with
    /// another one. The time is checked later, with [`Expiration::lifetime`].
    pub(crate) fn take_expiration(
        &mut self,
        other: (&str, Lifetime),
        found: &mut Option<Expiration<'a>>,
    ) -> Result<bool, CommandError> {
        let new = if self.take_keyword(other.0) {
            Expiration::Fixed(other.1)
        } else {
            let Some(unit) = Unit::option(self) else { return Ok(false) };
            Expiration::Time(unit, self.next()?)
        };
        if found.is_some_and(|found| !found.is_alike(&new)) {
            return Err(CommandError::SYNTAX);
        }
        *found = Some(new);
        Ok(true)
    }

    /// Consumes a trailing `[LIMIT n]`; zero means no limit.
    pub(crate) fn limit(&mut self) -> Result<u64, CommandError> {
        const WRONG: CommandError = CommandError::new("ERR LIMIT can't be negative");
        let mut limit = 0;
        if self.take_keyword("limit") {
            if self.remaining() == 0 {
                return Err(CommandError::SYNTAX);
            }
            limit = self.integer().map_err(|_| WRONG)?.try_into().map_err(|_| WRONG)?;
        }
        self.expect_end()?;
        Ok(limit)
    }

    /// Consumes a trailing `[COUNT n]`; the default is 1.
    pub(crate) fn pop_count(&mut self) -> Result<u64, CommandError> {
        let mut count = 1;
        if self.take_keyword("count") {
            let wrong = CommandError::new("ERR count should be greater than 0");
            count =
                self.integer().map_err(|_| wrong.clone())?.try_into().map_err(|_| wrong.clone())?;
            if count == 0 {
                return Err(wrong);
            }
        }
        self.expect_end()?;
        Ok(count)
    }

    /// `ERR syntax error` if any argument is left.
    pub(crate) fn expect_end(&self) -> Result<(), CommandError> {
        if self.remaining() > 0 { Err(CommandError::SYNTAX) } else { Ok(()) }
    }
}

/// Fails unless the number of arguments is in `range`.
pub(crate) fn expect(
    request: &Request<'_>,
    name: &str,
    range: RangeInclusive<usize>,
) -> Result<(), CommandError> {
    if range.contains(&request.len()) { Ok(()) } else { Err(CommandError::arity(name)) }
}

/// An option for the lifetime of a key.
#[derive(Clone, Copy)]
pub(crate) enum Expiration<'a> {
    /// A lifetime without a time.
    Fixed(Lifetime),
    /// A time, as text.
    Time(Unit, &'a [u8]),
}

impl Expiration<'_> {
    /// Whether the other one is the same option.
    fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(_), Self::Fixed(_)) => true,
            (Self::Time(unit, _), Self::Time(other, _)) => unit == other,
            _ => false,
        }
    }

    /// The lifetime. `name` is the command's name for the error message.
    pub(crate) fn lifetime(self, name: &str) -> Result<Lifetime, CommandError> {
        match self {
            Self::Fixed(lifetime) => Ok(lifetime),
            Self::Time(unit, text) => {
                unit.lifetime(integer(text).ok_or(CommandError::INTEGER)?, name)
            }
        }
    }
}

/// Unit and reference point of an expiry time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    AtSeconds,
    AtMilliseconds,
}

impl Unit {
    /// Consumes an option such as `EX` and returns its unit.
    fn option(args: &mut Args<'_, '_>) -> Option<Self> {
        let options = [
            ("ex", Self::Seconds),
            ("px", Self::Milliseconds),
            ("exat", Self::AtSeconds),
            ("pxat", Self::AtMilliseconds),
        ];
        options.into_iter().find(|(keyword, _)| args.take_keyword(keyword)).map(|(_, unit)| unit)
    }

    /// The lifetime of `number` units, which must be positive.
    pub(crate) fn lifetime(self, number: i64, name: &str) -> Result<Lifetime, CommandError> {
        if number <= 0 {
            return Err(invalid(name));
        }
        self.any_lifetime(number, name)
    }

    /// The lifetime of `number` units; zero and negative values expire at once.
    pub(crate) fn any_lifetime(self, number: i64, name: &str) -> Result<Lifetime, CommandError> {
        let ms = match self {
            Self::Seconds | Self::AtSeconds => {
                number.checked_mul(1_000).ok_or_else(|| invalid(name))?
            }
            Self::Milliseconds | Self::AtMilliseconds => number,
        };
        let now_ms = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        let is_relative = matches!(self, Self::Seconds | Self::Milliseconds);
        if is_relative && ms.checked_add(now_ms).is_none() {
            return Err(invalid(name));
        }
        Ok(match self {
            Self::AtSeconds | Self::AtMilliseconds => Lifetime::Until(ms),
            Self::Seconds | Self::Milliseconds => match u64::try_from(ms) {
                Ok(ms) => Lifetime::For(ms),
                Err(_) => Lifetime::Until(0),
            },
        })
    }
}

fn invalid(name: &str) -> CommandError {
    CommandError(format!("ERR invalid expire time in '{name}' command").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_request;

    /// Parses the words of a line.
    fn parsed<R>(line: &str, parse: impl FnOnce(&mut Args<'_, '_>) -> R) -> R {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        with_request(&words, |request| parse(&mut Args::new(request, 0)))
    }

    #[test]
    fn pairs_are_complete() {
        let read = |line| {
            parsed(line, |args| {
                args.pairs("mset").map(|pairs| pairs.len()).map_err(|error| error.0.into_owned())
            })
        };
        assert_eq!(read("a 1 b 2"), Ok(2));
        let wrong = "ERR wrong number of arguments for 'mset' command";
        assert_eq!(read("a 1 b"), Err(wrong.to_owned()));
        assert_eq!(read(""), Err(wrong.to_owned()));
    }

    #[test]
    fn numbers_of_keys_are_positive() {
        let wrong = CommandError::new("ERR numkeys should be greater than 0");
        for line in ["0 a", "-1 a", "x a", ""] {
            assert_eq!(parsed(line, |args| args.numbered_keys().map(|_| ())), Err(wrong.clone()));
        }
        let keys = |line| parsed(line, |args| args.numbered_keys().map(|keys| keys.len()));
        assert_eq!(keys("2 a b c"), Ok(2));
        assert_eq!(keys("2 a"), Err(CommandError::SYNTAX));
    }

    #[test]
    fn a_sample_has_an_optional_count_and_keyword() {
        let read = |line| parsed(line, |args| args.sample("withscores"));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("-3"), Ok(Some((-3, false))));
        assert_eq!(read("3 WITHSCORES"), Ok(Some((3, true))));
        assert_eq!(read("3 withvalues"), Err(CommandError::SYNTAX));
        assert_eq!(read("x"), Err(CommandError::INTEGER));
        let range = CommandError::new("ERR value is out of range");
        assert_eq!(read("9223372036854775807"), Err(range.clone()));
        assert_eq!(read("-9223372036854775808"), Err(range));
    }

    #[test]
    fn a_limit_is_optional_and_not_negative() {
        let read = |line| parsed(line, |args| args.limit());
        assert_eq!(read(""), Ok(0));
        assert_eq!(read("LIMIT 7"), Ok(7));
        assert_eq!(read("limit"), Err(CommandError::SYNTAX));
        assert_eq!(read("limit 7 8"), Err(CommandError::SYNTAX));
        let wrong = CommandError::new("ERR LIMIT can't be negative");
        assert_eq!(read("limit -1"), Err(wrong.clone()));
        assert_eq!(read("limit x"), Err(wrong));
    }
}
