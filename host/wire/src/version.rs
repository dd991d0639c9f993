//! Which versions of the protocol two members have in common.

use std::fmt;

/// The versions of the stream protocol that this build speaks. Version 2 came with leases and
/// generations of copies, which a member of version 1 does not keep; version 3 with packets over
/// streams and admission of members that can be reached; version 4 with reports of members that
/// cannot call each other.
pub const PROTOCOL_VERSIONS: VersionRange = VersionRange { min: 4, max: 4 };

/// An inclusive range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest version spoken.
    pub min: u8,
    /// The newest version spoken.
    pub max: u8,
}

impl VersionRange {
    /// The newest version that both speak, if there is one.
    pub(crate) fn meet(self, other: Self) -> Option<u8> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }

    pub(crate) fn contains(self, version: u8) -> bool {
        (self.min..=self.max).contains(&version)
    }

    pub(crate) fn is_valid(self) -> bool {
        self.min <= self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { min, max } if min == max => write!(f, "{max}"),
            Self { min, max } => write!(f, "{min} to {max}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: u8, max: u8) -> VersionRange {
        VersionRange { min, max }
    }

    #[test]
    fn two_ranges_meet_at_the_newest_version_of_both() {
        assert_eq!(range(1, 3).meet(range(2, 9)), Some(3));
        assert_eq!(range(2, 9).meet(range(1, 3)), Some(3));
        assert_eq!(range(1, 1).meet(range(1, 1)), Some(1));
        assert_eq!(range(1, 2).meet(range(3, 4)), None);
        assert_eq!(range(3, 4).meet(range(1, 2)), None);
    }

    #[test]
    fn a_range_of_one_version_is_written_as_that_version() {
        assert_eq!(range(2, 2).to_string(), "2");
        assert_eq!(range(1, 3).to_string(), "1 to 3");
    }
}
