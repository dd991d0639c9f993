//! The arguments of a command, one after the other.

use convoke_grid::op::{Lifetime, float, integer};

use super::answer::Refusal;
use super::request::Request;

/// Arguments that were not read yet.
pub(crate) struct Args<'r, 'a> {
    request: &'r Request<'a>,
    at: usize,
}

impl<'r, 'a> Args<'r, 'a> {
    /// From the argument at `at` on; the command's name is at 0.
    pub(crate) fn new(request: &'r Request<'a>, at: usize) -> Self {
        Self { request, at }
    }

    /// How many are left.
    pub(crate) fn left(&self) -> usize {
        self.request.len().saturating_sub(self.at)
    }

    /// The next one, without reading it.
    pub(crate) fn peek(&self) -> Option<&'a [u8]> {
        self.request.get(self.at)
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Result<&'a [u8], Refusal> {
        let word = self.peek().ok_or(Refusal::SYNTAX)?;
        self.at += 1;
        Ok(word)
    }

    /// Reads the next one if it is this word, in capitals or not.
    pub(crate) fn is(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(is);
        is
    }

    /// The next one, as an integer.
    pub(crate) fn integer(&mut self) -> Result<i64, Refusal> {
        integer(self.next()?).ok_or(Refusal::INTEGER)
    }

    /// The next one, as a count that is not below zero.
    pub(crate) fn count(&mut self) -> Result<u64, Refusal> {
        let number = self.integer()?;
        u64::try_from(number)
            .map_err(|_| Refusal::of("ERR value is out of range, must be positive"))
    }

    /// The next one, as a number.
    pub(crate) fn float(&mut self) -> Result<f64, Refusal> {
        float(self.next()?).ok_or(Refusal::FLOAT)
    }

    /// All that are left.
    pub(crate) fn rest(&mut self) -> Vec<&'a [u8]> {
        let rest = self.request.from(self.at).collect();
        self.at = self.request.len();
        rest
    }

    /// The next so many.
    pub(crate) fn many(&mut self, count: usize) -> Result<Vec<&'a [u8]>, Refusal> {
        if count > self.left() {
            return Err(Refusal::SYNTAX);
        }
        let many = self.request.from(self.at).take(count).collect();
        self.at += count;
        Ok(many)
    }

    /// A number of keys, and those.
    pub(crate) fn counted_keys(&mut self, name: &str) -> Result<Vec<&'a [u8]>, Refusal> {
        let count = self.integer()?;
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            Refusal(format!("ERR at least 1 input key is needed for '{name}' command").into())
        })?;
        self.many(count)
    }

    /// Fails when anything is left.
    pub(crate) fn end(&self) -> Result<(), Refusal> {
        if self.left() > 0 { Err(Refusal::SYNTAX) } else { Ok(()) }
    }
}

/// How a time is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    AtSeconds,
    AtMilliseconds,
}

impl Unit {
    /// The unit of an option such as `EX`.
    pub(crate) fn option(args: &mut Args<'_, '_>) -> Option<Self> {
        let options = [
            ("ex", Self::Seconds),
            ("px", Self::Milliseconds),
            ("exat", Self::AtSeconds),
            ("pxat", Self::AtMilliseconds),
        ];
        options.into_iter().find(|(word, _)| args.is(word)).map(|(_, unit)| unit)
    }

    /// So much of it, which must be something.
    pub(crate) fn lifetime(self, number: i64, name: &str) -> Result<Lifetime, Refusal> {
        if number <= 0 {
            return Err(invalid(name));
        }
        self.any_lifetime(number, name)
    }

    /// So much of it; what is over already is removed.
    pub(crate) fn any_lifetime(self, number: i64, name: &str) -> Result<Lifetime, Refusal> {
        let ms = match self {
            Self::Seconds | Self::AtSeconds => {
                number.checked_mul(1_000).ok_or_else(|| invalid(name))?
            }
            Self::Milliseconds | Self::AtMilliseconds => number,
        };
        let now_ms = i64::try_from(super::server::now_ms()).unwrap_or(i64::MAX);
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

fn invalid(name: &str) -> Refusal {
    Refusal(format!("ERR invalid expire time in '{name}' command").into())
}
