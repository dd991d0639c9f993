//! Inputs of the driver of the membership core.

use std::net::{IpAddr, SocketAddr};

use convoke_membership::{Member, MemberId, Message, Reach};

use super::calls::Call;

/// Maximum number of inputs queued for the driver.
pub(crate) const INPUTS_MAX: usize = 1_024;

/// An input of the driver.
pub(crate) enum Input {
    /// A handshake succeeded. `called` is true when this member opened the connection.
    Connected { call: Box<Call>, called: bool },
    /// A message arrived over a stream.
    Message { from: Box<Member>, message: Message },
    /// A stream ended. `fault` is the reason, unless it was closed in order.
    LinkEnded { id: MemberId, serial: u64, fault: Option<String> },
    /// A call ended.
    Reached { id: MemberId, reach: Reach },
    /// A data stream to a member cannot be opened, or carries no replies.
    DataUnreachable { id: MemberId },
    /// Every mode has completed a lookup, and every candidate has been called.
    FirstRoundDone,
    /// This host's addresses changed.
    Addresses {
        /// The addresses to advertise to other members.
        advertised_addresses: Vec<SocketAddr>,
        /// The local addresses in use.
        used: Vec<IpAddr>,
        /// Addresses whose sockets are to be closed.
        closed: Vec<IpAddr>,
        /// UDP sockets for the new addresses; not registered with a runtime yet.
        opened: Vec<std::net::UdpSocket>,
    },
    /// The operator asked this member to leave.
    Leave,
}
