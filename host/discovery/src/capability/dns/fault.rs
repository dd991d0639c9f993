//! Why a server gave no answer, in words for the log.

use std::fmt;
use std::io;
use std::time::Duration;

use hickory_proto::op::ResponseCode;

/// Why one server could not say. Another one may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing came in that time.
    Silent(Duration),
    /// It answered with an error (RFC 1035, section 4.1.1, RCODE).
    Code(ResponseCode),
    /// It named other servers and did not ask them: it does not recurse, or is the wrong
    /// one for this name (a lame delegation).
    Referral,
    /// Nothing can be sent to it.
    Unreachable(String),
    /// It sent what is no answer.
    Unreadable(String),
    /// Its answer is too long for a datagram, and TCP failed.
    Tcp(Box<Self>),
}

impl Fault {
    /// Whether nothing at all was heard of it.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Unreachable(_))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(match error.kind() {
            io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".into(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "it closed the connection without an answer".into()
            }
            _ => error.to_string(),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(time) => write!(f, "no answer within {} ms", time.as_millis()),
            Self::Code(ResponseCode::ServFail) => f.write_str("it failed (SERVFAIL)"),
            Self::Code(ResponseCode::Refused) => f.write_str("it refuses to answer (REFUSED)"),
            Self::Code(ResponseCode::NotImp) => {
                f.write_str("it does not support the question (NOTIMP)")
            }
            Self::Code(ResponseCode::FormErr) => {
                f.write_str("it does not understand the question (FORMERR)")
            }
            Self::Code(code) => write!(f, "it answered with error {} ({code})", u16::from(*code)),
            Self::Referral => f.write_str(
                "it only refers to other servers (a referral); a server that asks them is needed",
            ),
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Unreadable(why) => write!(f, "its answer cannot be read: {why}"),
            Self::Tcp(fault) => {
                write!(f, "its answer needs TCP, which failed: {fault}")
            }
        }
    }
}
