//! Reads addresses and their changes from the Linux kernel over netlink (rtnetlink(7)).

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::task::AbortHandle;

use crate::local_address::Traits;

/// Time limit for the kernel to list the addresses, in milliseconds.
const LIST_MS_MAX: u64 = 500;

type Messages = futures_util::stream::BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>;

/// Notifications that links or addresses changed.
pub(super) struct Notifications {
    messages: Messages,
    connection: AbortHandle,
}

impl Drop for Notifications {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Notifications {
    pub(super) fn open() -> io::Result<Self> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&groups)?;
        let connection = tokio::spawn(connection).abort_handle();
        Ok(Self { messages: messages.map(|(message, _)| message).boxed(), connection })
    }

    /// Waits for the next notification; holds an address if it was removed. `None` when the socket
    /// is closed.
    pub(super) async fn next(&mut self) -> Option<Option<IpAddr>> {
        let message = self.messages.next().await?;
        Some(match message.payload {
            rtnetlink::packet_core::NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::DelAddress(gone),
            ) => address(&gone),
            _ => None,
        })
    }
}

/// The traits of each address, by interface. Empty if the kernel does not report them.
pub(super) async fn traits() -> HashMap<(u32, IpAddr), Traits> {
    let Ok((connection, handle, _)) = rtnetlink::new_connection() else { return HashMap::new() };
    let connection = tokio::spawn(connection).abort_handle();
    let listing = tokio::time::timeout(Duration::from_millis(LIST_MS_MAX), list(&handle)).await;
    connection.abort();
    listing.unwrap_or_default()
}

async fn list(handle: &Handle) -> HashMap<(u32, IpAddr), Traits> {
    let mut all = HashMap::new();
    let mut messages = std::pin::pin!(handle.address().get().execute());
    while let Some(Ok(message)) = messages.next().await {
        if let Some(ip) = address(&message) {
            all.insert((message.header.index, ip), of(&message, ip));
        }
    }
    all
}

fn of(message: &AddressMessage, ip: IpAddr) -> Traits {
    let is = |flag| message.header.flags.contains(flag);
    let is_second = is(AddressHeaderFlags::Secondary);
    Traits {
        // The same flag bit means "secondary" for IPv4 and "temporary" for IPv6.
        is_temporary: is_second && ip.is_ipv6(),
        is_secondary: (is_second && ip.is_ipv4()) || is(AddressHeaderFlags::Deprecated),
        is_unusable: (is(AddressHeaderFlags::Tentative) && !is(AddressHeaderFlags::Optimistic))
            || is(AddressHeaderFlags::Dadfailed),
    }
}

/// The host's own address in a message. On a point-to-point link the other attribute is the peer's
/// address.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => return Some(*ip),
            AddressAttribute::Address(ip) => found = Some(*ip),
            _ => {}
        }
    }
    found
}
