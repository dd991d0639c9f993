//! Finds members by beacons in a multicast group.
//!
//! The argument is empty, `group`, `group:port` or `[group]:port`. It takes precedence over the
//! settings `group` and `port`, which the host passes from `--mc-address` and `--mc-port`. The
//! defaults are 224.2.2.4 and port 2904.
//!
//! Members send small beacons: a *query* to look for others, an *announcement* periodically and
//! in response to a query, and a *goodbye* when leaving ([`beacon`]). [`protocol`] decides when
//! each is sent; [`heard`] keeps the members that were heard. The host encrypts the beacons, so
//! all of them come from this cluster. There is no clock here: the only waits are those of the
//! host's `receive`.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the glue only"))]

mod beacon;
mod group_address;
mod heard;
mod lan;
mod protocol;

use convoke_mode_sdk::multicast::{Group, MulticastError};
use convoke_mode_sdk::{
    Announcer, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, log,
};
use group_address::GroupAddress;
use protocol::Protocol;

/// The mode: the group, and the state of the protocol.
struct Multicast {
    address: GroupAddress,
    group: Option<Group>,
    protocol: Protocol,
}

impl Multicast {
    /// Calls `call` with the joined group, which is joined first if needed. After an error the
    /// group is dropped, so that the next call joins it again.
    fn with_group<T>(
        &mut self,
        call: impl FnOnce(&mut Protocol, &Group) -> Result<T, MulticastError>,
    ) -> Result<T, Problem> {
        let result = match &self.group {
            Some(group) => call(&mut self.protocol, group),
            None => {
                Group::join(&self.address.group.to_string(), self.address.port).and_then(|group| {
                    log::debug("group joined", &[("group", &self.address)]);
                    self.protocol.begin();
                    call(&mut self.protocol, self.group.insert(group))
                })
            }
        };
        result.map_err(|error| {
            if !matches!(error, MulticastError::TooFast) {
                self.group = None;
            }
            lan::problem(error, self.address)
        })
    }
}

impl Mode for Multicast {
    fn configure(config: ModeConfig, me: LocalMember) -> Result<Self, Problem> {
        let address = GroupAddress::choose(&config).map_err(Problem::Misconfigured)?;
        let protocol = Protocol::new(me)?;
        Ok(Self { address, group: None, protocol })
    }

    fn discover(&mut self) -> Result<Snapshot, Problem> {
        let candidates = self.with_group(|protocol, group| protocol.call(group))?;
        // The call itself waits.
        Ok(Snapshot { candidates, complete: false, look_again_ms: Some(0) })
    }
}

impl Announcer for Multicast {
    fn announce(&mut self) -> Result<Option<u32>, Problem> {
        self.with_group(|protocol, group| protocol.announce(group))
    }

    fn withdraw(&mut self) -> Result<(), Problem> {
        if self.group.is_none() {
            return Ok(());
        }
        self.with_group(|protocol, group| protocol.withdraw(group))
    }
}

export_mode!(Multicast, announcer);
