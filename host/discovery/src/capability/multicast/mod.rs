//! `convoke:host/multicast`: datagrams to and from a group. Granted by group and port.
//!
//! A mode sees payloads only. They are sealed in `send` and opened before `receive`; datagrams
//! of other clusters in the same group are counted and dropped.

mod group;
mod link;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wasmtime::component::{HasSelf, Resource};

use super::{Capability, Context, Grant};
use crate::bindings::imports::convoke::host::multicast::{self, Datagram, MulticastError};
use crate::limits;
use group::SendError;

#[allow(unreachable_pub, reason = "the bindings export it from a private module again")]
pub use group::Group;
pub use group::MulticastCounters;
pub(crate) use group::Totals;

pub(crate) const CAPABILITY: Capability = Capability {
    interface: "convoke:host/multicast",
    grant: Some(Grant {
        is_granted: |grants| !grants.multicast.is_empty(),
        capability: "multicast",
        example: "224.2.2.4:2904",
    }),
    description: "send to and receive from multicast groups",
    link: |linker| {
        multicast::add_to_linker::<_, HasSelf<_>>(linker, |state| &mut state.capabilities)
    },
};

impl multicast::Host for Context {}

impl multicast::HostGroup for Context {
    async fn join(
        &mut self,
        address: String,
        port: u16,
    ) -> wasmtime::Result<Result<Resource<Group>, MulticastError>> {
        let group: IpAddr = match address.parse() {
            Ok(group) if IpAddr::is_multicast(&group) && port != 0 => group,
            _ => return Ok(Err(MulticastError::InvalidAddress)),
        };
        let target = SocketAddr::new(group, port);
        if !self.mode.grants.grants_multicast(group, port) {
            self.mode.warn_denied("multicast", &target.to_string());
            return Ok(Err(MulticastError::Denied));
        }
        if self.groups == limits::GROUPS_MAX {
            return Ok(Err(MulticastError::Other(format!(
                "this mode has joined {} groups already; drop one first",
                limits::GROUPS_MAX
            ))));
        }
        self.called(format_args!("multicast: join {target}"));
        match Group::join(&self.mode, target) {
            Ok(group) => {
                let group = self.resources.push(group)?;
                self.groups += 1;
                Ok(Ok(group))
            }
            Err(reason) => Ok(Err(MulticastError::Unavailable(reason))),
        }
    }

    async fn send(
        &mut self,
        group: Resource<Group>,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), MulticastError>> {
        let sent = self.resources.get_mut(&group)?.send(&payload).await;
        Ok(sent.map_err(|error| match error {
            SendError::TooLarge => MulticastError::TooLarge(limits::PAYLOAD_BYTES_MAX as u32),
            SendError::TooFast => MulticastError::TooFast,
            SendError::Failed(reason) => MulticastError::Other(reason),
        }))
    }

    async fn receive(
        &mut self,
        group: Resource<Group>,
        max: u32,
        wait_ms: u32,
    ) -> wasmtime::Result<Result<Vec<Datagram>, MulticastError>> {
        let queue = self.resources.get(&group)?.queue();
        let wait = Duration::from_millis(wait_ms.min(limits::RECEIVE_WAIT_MS_MAX).into());
        let taking = queue.take(max.min(limits::RECEIVE_MAX) as usize, wait);
        let taken = self.unless_stopped(taking).await.unwrap_or_default();
        Ok(Ok(taken
            .into_iter()
            .map(|datagram| Datagram {
                source: datagram.source.to_string(),
                payload: datagram.payload,
            })
            .collect()))
    }

    async fn drop(&mut self, group: Resource<Group>) -> wasmtime::Result<()> {
        self.resources.delete(group)?;
        self.groups = self.groups.saturating_sub(1);
        Ok(())
    }
}
