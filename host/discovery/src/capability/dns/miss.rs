//! Why a name leads nowhere, in words for the log.

use std::fmt;

/// Why a name gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// A server says that there is nothing.
    Absent(Absent),
    /// No server could say: which, and why.
    Temporary(String),
    /// Anything else, in words.
    Other(String),
}

/// What a server said that has nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absent {
    pub(super) absence: Absence,
    pub(super) sought: Sought,
    /// The name that it is said of, when the one that was asked for is its alias.
    pub(super) alias: Option<String>,
    /// Who says so.
    pub(super) server: String,
    /// A server that is listed before it was not asked.
    pub(super) unsure: bool,
}

/// What there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// The name (NXDOMAIN).
    NoName,
    /// A record of the kind, while the name exists (NODATA).
    NoData,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    Addresses,
    Service,
}

/// A record of a service that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its target is `.` (RFC 2782).
    NotOffered,
    /// Port 0 at this host.
    PortZero(String),
    /// Its target is no host's name.
    NoName(String),
    /// This host has no address, and why.
    Host(String, String),
}

impl Absent {
    /// The more telling one of what was said of two names: that one exists.
    pub(super) fn or(self, other: Self) -> Self {
        match (self.absence, other.absence) {
            (Absence::NoName, Absence::NoData) => other,
            _ => self,
        }
    }

    /// What was said of one name twice, of each kind of records: when it does not exist, it
    /// does not.
    pub(super) fn and(self, other: Self) -> Self {
        let unsure = self.unsure || other.unsure;
        match (self.absence, other.absence) {
            (Absence::NoData, Absence::NoName) => Self { unsure, ..other },
            _ => Self { unsure, ..self },
        }
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.sought {
            Sought::Addresses => "A or AAAA record",
            Sought::Service => "SRV record",
        };
        match (self.absence, &self.alias) {
            (Absence::NoName, None) => f.write_str("DNS knows no such name (NXDOMAIN)"),
            (Absence::NoName, Some(alias)) => write!(
                f,
                "the name is an alias (CNAME) of {alias}, and DNS knows no such name (NXDOMAIN)"
            ),
            (Absence::NoData, None) => {
                write!(f, "the name exists in DNS, but has no {kind} (NODATA)")
            }
            (Absence::NoData, Some(alias)) => {
                write!(f, "the name is an alias (CNAME) of {alias}, which has no {kind} (NODATA)")
            }
        }
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(absent) => write!(f, "{absent}, according to {}", absent.server),
            Self::Temporary(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("the target \".\" says that it is not offered"),
            Self::PortZero(host) => write!(f, "port 0 at {host} is no port"),
            Self::NoName(host) => write!(f, "{host} is no host's name"),
            Self::Host(host, why) => write!(f, "{host}: {why}"),
        }
    }
}
