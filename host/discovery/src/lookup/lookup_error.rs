//! Why a name does not resolve, with texts for the log.

use std::fmt;

/// Why the lookup of a name failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// A server gave a negative answer.
    Negative(NegativeAnswer),
    /// No server gave an answer: which servers, and why. May succeed later.
    Temporary(String),
    /// Any other failure, as text.
    Other(String),
}

/// A negative answer of a server (RFC 2308).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NegativeAnswer {
    pub(super) kind: NegativeKind,
    pub(super) sought: RecordTypes,
    /// The name that the answer is about, if the name that was asked for is an alias of it.
    pub(super) alias: Option<String>,
    /// The server that gave the answer.
    pub(crate) server: String,
    /// A server that is listed before `server` was backed off and has not been queried.
    pub(super) unsure: bool,
}

/// The kind of a negative answer (RFC 2308, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NegativeKind {
    /// NXDOMAIN: the name does not exist.
    NoName,
    /// NODATA: the name exists and has no record of the type.
    NoData,
}

/// The record types that were looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordTypes {
    Addresses,
    Service,
}

/// A record of a service that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The target is `.`: the service is not available (RFC 2782).
    NotOffered,
    /// Port 0 at this host.
    PortZero(String),
    /// The target is not a host name.
    NoName(String),
    /// This host does not resolve, and why.
    Host(String, String),
}

impl NegativeAnswer {
    /// The more specific of the answers for two names: the one about a name that exists.
    pub(super) fn or(self, other: Self) -> Self {
        match (self.kind, other.kind) {
            (NegativeKind::NoName, NegativeKind::NoData) => other,
            _ => self,
        }
    }

    /// Combines the answers for the A and AAAA records of one name: NXDOMAIN holds for both
    /// types.
    pub(super) fn and(self, other: Self) -> Self {
        let unsure = self.unsure || other.unsure;
        match (self.kind, other.kind) {
            (NegativeKind::NoData, NegativeKind::NoName) => Self { unsure, ..other },
            _ => Self { unsure, ..self },
        }
    }
}

impl fmt::Display for NegativeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.sought {
            RecordTypes::Addresses => "A or AAAA record",
            RecordTypes::Service => "SRV record",
        };
        match (self.kind, &self.alias) {
            (NegativeKind::NoName, None) => {
                f.write_str("the name does not exist in DNS (NXDOMAIN)")
            }
            (NegativeKind::NoName, Some(alias)) => write!(
                f,
                "the name is an alias (CNAME) of {alias}, which does not exist in DNS (NXDOMAIN)"
            ),
            (NegativeKind::NoData, None) => {
                write!(f, "the name exists in DNS, but has no {kind} (NODATA)")
            }
            (NegativeKind::NoData, Some(alias)) => {
                write!(f, "the name is an alias (CNAME) of {alias}, which has no {kind} (NODATA)")
            }
        }
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative(answer) => write!(f, "{answer}, according to {}", answer.server),
            Self::Temporary(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => {
                f.write_str("the target \".\" means that the service is not available (RFC 2782)")
            }
            Self::PortZero(host) => write!(f, "port 0 at {host} is not a valid port"),
            Self::NoName(host) => write!(f, "{host} is not a host name"),
            Self::Host(host, why) => write!(f, "{host}: {why}"),
        }
    }
}
