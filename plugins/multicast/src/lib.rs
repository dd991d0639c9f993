//! Finds members that make themselves known to a multicast group.
//!
//! The argument is empty, `group`, `group:port` or `[group]:port`; it goes
//! before the settings `group` and `port`, which the host passes from
//! `--mc-address` and `--mc-port`. Without any of them: 224.2.2.4, port 2904.
//!
//! Members send small beacons: a *query* from one that looks for others, an
//! *announcement* now and then and in answer to a query, a *goodbye* from one
//! that leaves ([`beacon`]). Who says what when is [`conversation`]; who was
//! heard is kept in [`heard`]. The host seals the beacons, so all of them come
//! from this cluster. There is no clock here: the only waits are those of the
//! host's `receive`.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the glue only"))]

mod beacon;
mod conversation;
mod heard;
mod lan;
mod place;

use conversation::Conversation;
use convoke_mode_sdk::multicast::{Group, MulticastError};
use convoke_mode_sdk::{
    Announcer, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, log,
};
use place::Place;

/// The mode: where members meet, and what they have said.
struct Multicast {
    place: Place,
    group: Option<Group>,
    conversation: Conversation,
}

impl Multicast {
    /// Calls with the joined group; joins it first where that is still to be
    /// done. A group that broke is left, so that the next call joins anew.
    fn with_group<T>(
        &mut self,
        call: impl FnOnce(&mut Conversation, &Group) -> Result<T, MulticastError>,
    ) -> Result<T, Problem> {
        let result = match &self.group {
            Some(group) => call(&mut self.conversation, group),
            None => Group::join(&self.place.group.to_string(), self.place.port).and_then(|group| {
                log::debug("group joined", &[("group", &self.place)]);
                self.conversation.begin();
                call(&mut self.conversation, self.group.insert(group))
            }),
        };
        result.map_err(|error| {
            if !matches!(error, MulticastError::TooFast) {
                self.group = None;
            }
            lan::problem(error, self.place)
        })
    }
}

impl Mode for Multicast {
    fn configure(config: ModeConfig, me: LocalMember) -> Result<Self, Problem> {
        let place = Place::choose(&config).map_err(Problem::Misconfigured)?;
        let conversation = Conversation::new(me)?;
        Ok(Self { place, group: None, conversation })
    }

    fn discover(&mut self) -> Result<Snapshot, Problem> {
        let candidates = self.with_group(|conversation, group| conversation.look(group))?;
        // The waiting is done inside the look.
        Ok(Snapshot { candidates, complete: false, look_again_ms: Some(0) })
    }
}

impl Announcer for Multicast {
    fn announce(&mut self) -> Result<Option<u32>, Problem> {
        self.with_group(|conversation, group| conversation.announce(group))
    }

    fn withdraw(&mut self) -> Result<(), Problem> {
        if self.group.is_none() {
            return Ok(());
        }
        self.with_group(|conversation, group| conversation.withdraw(group))
    }
}

export_mode!(Multicast, announcer);
