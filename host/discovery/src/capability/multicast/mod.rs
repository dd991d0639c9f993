//! `convoke:host/multicast`: datagrams to and from a group. Granted by group and port.
//!
//! A mode sees payloads only. They are sealed in `send` and opened before `receive`; datagrams
//! of other clusters in the same group are counted and dropped.

mod group;
mod link;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Linker, Resource};

use super::view::{Capability, Context, Grant, HasContext, View};
use crate::bindings::imports::convoke::host::multicast::{
    self, Datagram, Group as Handle, MulticastError,
};
use crate::limits;
use group::{Group, SendError, Totals};

pub use group::MulticastCounters;

pub(crate) enum Multicast {}

impl Capability for Multicast {
    const INTERFACE: &'static str = "convoke:host/multicast";
    const GRANT: Option<Grant> = Some(Grant {
        is_granted: |grants| !grants.multicast.is_empty(),
        capability: "multicast",
        example: "224.2.2.4:2904",
    });
    const DESCRIPTION: &'static str = "send to and receive from multicast groups";

    type Shared = Arc<Totals>;
    type Own = Joined;

    fn add_to_linker<T: View<Self>>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
        multicast::add_to_linker::<_, HasContext<Self>>(linker, T::view)
    }
}

/// The number of groups that one instance has joined.
#[derive(Debug, Default)]
pub(crate) struct Joined(usize);

/// The entry of the resource table that a handle refers to.
fn entry(handle: &Resource<Handle>) -> Resource<Group> {
    Resource::new_own(handle.rep())
}

impl multicast::Host for Context<'_, Multicast> {}

impl multicast::HostGroup for Context<'_, Multicast> {
    async fn join(
        &mut self,
        address: String,
        port: u16,
    ) -> wasmtime::Result<Result<Resource<Handle>, MulticastError>> {
        let group: IpAddr = match address.parse() {
            Ok(group) if IpAddr::is_multicast(&group) && port != 0 => group,
            _ => return Ok(Err(MulticastError::InvalidAddress)),
        };
        let target = SocketAddr::new(group, port);
        let mode = &self.caller.mode;
        if !mode.grants.grants_multicast(group, port) {
            mode.warn_denied("multicast", &target.to_string());
            return Ok(Err(MulticastError::Denied));
        }
        if self.own.0 == limits::GROUPS_MAX {
            return Ok(Err(MulticastError::Other(format!(
                "this mode has joined {} groups already; drop one first",
                limits::GROUPS_MAX
            ))));
        }
        mode.called(format_args!("multicast: join {target}"));
        match Group::join(mode, self.shared, target) {
            Ok(group) => {
                let group = self.resources.push(group)?;
                self.own.0 += 1;
                Ok(Ok(Resource::new_own(group.rep())))
            }
            Err(reason) => Ok(Err(MulticastError::Unavailable(reason))),
        }
    }

    async fn send(
        &mut self,
        group: Resource<Handle>,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), MulticastError>> {
        let sent = self.resources.get_mut(&entry(&group))?.send(&payload).await;
        Ok(sent.map_err(|error| match error {
            SendError::TooLarge => MulticastError::TooLarge(limits::PAYLOAD_BYTES_MAX as u32),
            SendError::TooFast => MulticastError::TooFast,
            SendError::Failed(reason) => MulticastError::Other(reason),
        }))
    }

    async fn receive(
        &mut self,
        group: Resource<Handle>,
        max: u32,
        wait_ms: u32,
    ) -> wasmtime::Result<Result<Vec<Datagram>, MulticastError>> {
        let queue = self.resources.get(&entry(&group))?.queue();
        let wait = Duration::from_millis(wait_ms.min(limits::RECEIVE_WAIT_MS_MAX).into());
        let taking = queue.take(max.min(limits::RECEIVE_MAX) as usize, wait);
        let taken = self.caller.unless_stopped(taking).await.unwrap_or_default();
        Ok(Ok(taken
            .into_iter()
            .map(|datagram| Datagram {
                source: datagram.source.to_string(),
                payload: datagram.payload,
            })
            .collect()))
    }

    async fn drop(&mut self, group: Resource<Handle>) -> wasmtime::Result<()> {
        self.resources.delete(entry(&group))?;
        self.own.0 = self.own.0.saturating_sub(1);
        Ok(())
    }
}
