//! Why a DNS server gave no usable answer, with texts for the log.

use std::fmt;
use std::io;
use std::time::Duration;

use hickory_proto::op::ResponseCode;

/// Why one server gave no usable answer. Another server may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No response within this time.
    Silent(Duration),
    /// The server responded with an error code (RCODE; RFC 1035, section 4.1.1).
    Code(ResponseCode),
    /// A referral: the server does not recurse, or is not responsible for the name (a lame
    /// delegation).
    Referral,
    /// Nothing can be sent to the server.
    Unreachable(String),
    /// The response cannot be decoded.
    Unreadable(String),
    /// The response does not fit a datagram, and the query over TCP failed.
    Tcp(Box<Self>),
}

impl Fault {
    /// Whether nothing was received from the server.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Unreachable(_))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "nothing listens on that port (connection refused)".into()
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "it closed the connection without a response".into()
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
                f.write_str("it does not support the query (NOTIMP)")
            }
            Self::Code(ResponseCode::FormErr) => {
                f.write_str("it does not understand the query (FORMERR)")
            }
            Self::Code(code) => write!(f, "it responded with error {} ({code})", u16::from(*code)),
            Self::Referral => f.write_str(
                "it returned a referral to other servers; configure a server that resolves names recursively",
            ),
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Unreadable(why) => write!(f, "its response cannot be decoded: {why}"),
            Self::Tcp(fault) => {
                write!(f, "its response is too long for UDP, and the query over TCP failed: {fault}")
            }
        }
    }
}
