//! Reads the addresses of this host, and reports changes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::netlink;
use crate::local_address::{LocalAddress, Traits, is_link_local};

/// Changes within this time are handled together, in milliseconds.
const SETTLE_MS: u64 = 150;
/// Interval at which the addresses are polled on systems without notifications, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// The addresses of all interfaces that are up, in the system's order for each interface.
pub(crate) async fn local_addresses() -> io::Result<Vec<LocalAddress>> {
    #[cfg(target_os = "linux")]
    let traits = netlink::traits().await;
    #[cfg(not(target_os = "linux"))]
    let traits = HashMap::new();
    list(&traits)
}

fn list(traits: &HashMap<(u32, IpAddr), Traits>) -> io::Result<Vec<LocalAddress>> {
    let mut addresses: Vec<LocalAddress> = if_addrs::get_if_addrs()?
        .into_iter()
        // The operational state of loopback is reported as "unknown".
        .filter(|i| i.is_loopback() || i.oper_status != if_addrs::IfOperStatus::Down)
        .map(|interface| {
            let ip = interface.ip();
            let prefix = match &interface.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            };
            let known = interface.index.and_then(|index| traits.get(&(index, ip)));
            LocalAddress {
                index: interface.index,
                interface: interface.name,
                ip,
                prefix,
                traits: known.copied().unwrap_or_default(),
            }
        })
        .filter(|address| !address.traits.is_unusable)
        .collect();
    addresses.sort_by_key(|address| address.index);
    mark_single(&mut addresses);
    Ok(addresses)
}

/// Marks an address in a network of its own, beside a wider network on the same interface, as
/// secondary, even if the system does not.
pub(super) fn mark_single(addresses: &mut [LocalAddress]) {
    let is_single = |a: &LocalAddress| a.prefix == if a.ip.is_ipv4() { 32 } else { 128 };
    let wide: Vec<(String, bool)> = addresses
        .iter()
        .filter(|address| !is_single(address) && !is_link_local(address.ip))
        .map(|address| (address.interface.clone(), address.ip.is_ipv4()))
        .collect();
    for address in addresses.iter_mut().filter(|address| is_single(address)) {
        address.traits.is_secondary |=
            wide.contains(&(address.interface.clone(), address.ip.is_ipv4()));
    }
}

/// The source address that the system would use to reach `to`. Connecting a UDP socket sends
/// nothing.
pub(crate) fn source_to(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Reports when this host's addresses may have changed.
pub(crate) struct Changes {
    #[cfg(target_os = "linux")]
    notifications: Option<netlink::Notifications>,
}

impl Changes {
    /// Reports changes from now on.
    pub(crate) fn watch() -> Self {
        #[cfg(target_os = "linux")]
        {
            let opened = netlink::Notifications::open();
            if let Err(error) = &opened {
                tracing::debug!(%error, "cannot subscribe to address changes; polling instead");
            }
            Self { notifications: opened.ok() }
        }
        #[cfg(not(target_os = "linux"))]
        Self {}
    }

    /// Waits for a change. Returns the addresses that were removed, even if they have been added
    /// again since.
    pub(crate) async fn next(&mut self) -> Vec<IpAddr> {
        #[cfg(target_os = "linux")]
        if let Some(notifications) = &mut self.notifications {
            let mut gone = Vec::new();
            match notifications.next().await {
                Some(taken) => gone.extend(taken),
                None => self.notifications = None,
            }
            let settle = tokio::time::sleep(Duration::from_millis(SETTLE_MS));
            tokio::pin!(settle);
            while let Some(notifications) = &mut self.notifications {
                tokio::select! {
                    () = &mut settle => break,
                    next = notifications.next() => match next {
                        Some(taken) => gone.extend(taken),
                        None => self.notifications = None,
                    }
                }
            }
            return gone;
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        Vec::new()
    }
}
