//! Protocol versions and their negotiation.

use std::fmt;

/// The versions of the stream protocol that this build supports. Version 2 added leases and
/// generations of replicas; version 3, packets over streams and reachability checks on admission;
/// version 4, reports of members that cannot connect to each other; version 5, the endpoint for clients
/// of Hazelcast in the description of a member.
pub const PROTOCOL_VERSIONS: VersionRange = VersionRange { min: 5, max: 5 };

/// An inclusive range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest supported version.
    pub min: u8,
    /// The newest supported version.
    pub max: u8,
}

impl VersionRange {
    /// The newest version that both support, if there is one.
    pub(crate) fn newest_common(self, other: Self) -> Option<u8> {
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
    fn two_ranges_agree_on_the_newest_common_version() {
        assert_eq!(range(1, 3).newest_common(range(2, 9)), Some(3));
        assert_eq!(range(2, 9).newest_common(range(1, 3)), Some(3));
        assert_eq!(range(1, 1).newest_common(range(1, 1)), Some(1));
        assert_eq!(range(1, 2).newest_common(range(3, 4)), None);
        assert_eq!(range(3, 4).newest_common(range(1, 2)), None);
    }

    #[test]
    fn a_range_of_one_version_is_formatted_as_that_version() {
        assert_eq!(range(2, 2).to_string(), "2");
        assert_eq!(range(1, 3).to_string(), "1 to 3");
    }
}
