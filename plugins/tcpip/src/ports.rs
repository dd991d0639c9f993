//! The ports of an entry.

use std::fmt;

use crate::fault::Fault;

/// The default start port of members.
pub(crate) const START_PORT: u16 = 6900;

/// Ports that are tried on an address without ports.
const PORTS_TRIED: u16 = 3;

/// A range of ports, including both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// A start port and the next two, up to the largest port.
    pub(crate) fn beside(start: u16) -> Self {
        Self { first: start, last: start.saturating_add(PORTS_TRIED - 1) }
    }

    /// Parses `6900` or `6900-6910`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let Some((first, last)) = text.split_once('-') else {
            let port = parse_port(text)?;
            return Ok(Self { first: port, last: port });
        };
        let (first, last) = (parse_port(first)?, parse_port(last)?);
        if first > last {
            return Err(Fault::new(text, "is a reversed range", "write the lower port first"));
        }
        Ok(Self { first, last })
    }

    /// The lowest port.
    pub(crate) fn first(self) -> u16 {
        self.first
    }

    /// The number of ports.
    pub(crate) fn count(self) -> u128 {
        u128::from(self.last - self.first) + 1
    }

    /// The ports in ascending order.
    pub(crate) fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

/// The form in which an operator writes it.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Parses one port, 1 to 65535, digits only.
pub(crate) fn parse_port(text: &str) -> Result<u16, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(Fault::new(
            text,
            "is not a port",
            "expected 1 to 65535, or a range such as 6900-6910",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ports_and_ranges_are_parsed() {
        let listed = |text| Ports::parse(text).unwrap().iter().collect::<Vec<_>>();
        assert_eq!(listed("6900"), [6900]);
        assert_eq!(listed("6900-6902"), [6900, 6901, 6902]);
        assert_eq!(Ports::parse("1-65535").unwrap().count(), 65_535);
    }

    #[test]
    fn invalid_ports_are_rejected() {
        let texts = ["", "0", "70000", "+80", " 80", "x", "80-", "-80", "80-90-100", "0-5", "2-1"];
        for text in texts {
            assert!(Ports::parse(text).is_err(), "{text:?}");
        }
    }
}
