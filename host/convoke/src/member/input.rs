//! What the driver of the membership core is told.

use std::net::{IpAddr, SocketAddr};

use convoke_membership::{Member, MemberId, Message, Reach};

use super::calls::Call;

/// Of these so many may wait for the driver.
pub(crate) const INPUTS_MAX: usize = 1_024;

/// What happens to a driver.
pub(crate) enum Input {
    /// A handshake succeeded; `called` says that this member called.
    Connected { call: Box<Call>, called: bool },
    /// A message came over a stream.
    Message { from: Box<Member>, message: Message },
    /// A stream ended; `fault` says why, if it was not closed in order.
    LinkEnded { id: MemberId, serial: u64, fault: Option<String> },
    /// A call ended.
    Reached { id: MemberId, reach: Reach },
    /// A stream of data to a member cannot be opened, or nothing comes back over it.
    Unserved { id: MemberId },
    /// Every mode has looked and every candidate answered or not.
    Settled,
    /// This host has other addresses now.
    Addresses {
        /// To tell others.
        told: Vec<SocketAddr>,
        /// Those of this host that are there.
        used: Vec<IpAddr>,
        /// Those whose sockets are of no use any more.
        closed: Vec<IpAddr>,
        /// Sockets of new ones, for datagrams; they belong to no runtime yet.
        opened: Vec<std::net::UdpSocket>,
    },
    /// The operator wants this member to leave.
    Leave,
}
