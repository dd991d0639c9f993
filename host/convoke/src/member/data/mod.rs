//! Runs the data side of a member: its grid, the data streams to other members, and the grid's
//! timers.

mod host;
mod receiver;
mod sender;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::grid::TICK_MS;
use convoke_grid::{Grid, GridSettings, KeyHasher, Peer};
use convoke_membership::MemberId;
use convoke_wire::ClusterKeys;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;

use super::calls::Call;
use super::input::Input;
use super::state::{Counters, MemberState};
use crate::settings::DataSettings;

/// Maximum number of incoming data streams that wait to be accepted.
pub(crate) const STREAMS_MAX: usize = 256;

/// Frame kind: an [`Opening`], the first frame of the sender.
const OPEN: u8 = 2;
/// Frame kind: grid messages.
const MESSAGES: u8 = 3;
/// Frame kind: the receiver's acknowledgement of messages.
const RECEIPT: u8 = 4;
/// Frame kind: an unnumbered message from the receiver to the sender.
const OUT_OF_BAND: u8 = 5;

/// The first frame of a sender.
struct Opening {
    /// The session that the stream is for.
    session: u64,
    /// The sender's number of partitions.
    partitions: u16,
    /// The last message that the sender knows to have been processed.
    acknowledged: u64,
}

impl Opening {
    fn encode(&self) -> Vec<u8> {
        let Self { session, partitions, acknowledged } = self;
        [&session.to_be_bytes()[..], &partitions.to_be_bytes(), &acknowledged.to_be_bytes()]
            .concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (session, rest) = bytes.split_first_chunk::<8>()?;
        let (partitions, rest) = rest.split_first_chunk::<2>()?;
        let acknowledged = <[u8; 8]>::try_from(rest).ok()?;
        Some(Self {
            session: u64::from_be_bytes(*session),
            partitions: u16::from_be_bytes(*partitions),
            acknowledged: u64::from_be_bytes(acknowledged),
        })
    }
}

/// The data side of a member.
pub(crate) struct Data {
    pub(crate) grid: Grid,
    /// `None` without a cluster, where there are no other members.
    pub(crate) keys: Option<Arc<ClusterKeys>>,
    pub(crate) member_state: watch::Receiver<Arc<MemberState>>,
    /// Notified of members that data streams cannot reach.
    pub(crate) driver: mpsc::Sender<Input>,
    /// Streams opened by other members.
    pub(crate) streams: mpsc::Receiver<Box<Call>>,
}

/// Creates the grid of this member. Without keys the member is alone, and its hash secret is
/// random; with keys, the grid learns the number of partitions when the member joins a cluster.
/// `changed` is notified whenever data may have to move.
pub(crate) fn grid(
    me: MemberId,
    settings: &DataSettings,
    keys: Option<&ClusterKeys>,
    counters: &Arc<Counters>,
    changed: &Arc<Notify>,
) -> Grid {
    let secret = keys.map_or_else(rand::random, ClusterKeys::data_hashing);
    let grid_settings = GridSettings {
        partitions: keys.is_none().then_some(settings.partitions),
        min_members: settings.min_members,
        hasher: KeyHasher::new(secret),
    };
    let process = host::Process::new(Arc::clone(counters), Arc::clone(changed));
    Grid::new(me, process, grid_settings, settings.catalog.clone())
}

impl Data {
    /// Runs the grid for as long as the process runs.
    pub(crate) async fn run(mut self) {
        let mut senders: HashMap<MemberId, Sender> = HashMap::new();
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.member_state.mark_changed();
        let mut is_placed = true;
        let viewed = watch::Sender::new(());
        loop {
            tokio::select! {
                _ = tick.tick() => self.grid.tick(),
                changed = self.member_state.changed(), if is_placed => {
                    // Without a cluster the view never changes.
                    is_placed = changed.is_ok();
                    self.apply_view(&mut senders);
                    viewed.send_replace(());
                }
                Some(call) = self.streams.recv() => {
                    let viewed = viewed.subscribe();
                    tokio::spawn(receiver::receive(self.grid.clone(), viewed, call));
                }
            }
        }
    }

    /// Applies the current view, which may be a new one.
    fn apply_view(&mut self, senders: &mut HashMap<MemberId, Sender>) {
        let member_state = Arc::clone(&self.member_state.borrow_and_update());
        let Some(view) = &member_state.view else { return };
        self.grid.handle_view(view);
        let peers = self.grid.peers();
        // A member that was removed and rejoined is a new peer.
        senders.retain(|id, sender| {
            peers.iter().any(|peer| peer.id() == *id && Arc::ptr_eq(peer, &sender.peer))
        });
        let Some(keys) = &self.keys else { return };
        for peer in peers {
            senders.entry(peer.id()).or_insert_with(|| {
                let work = sender::Sending {
                    grid: self.grid.clone(),
                    peer: Arc::clone(&peer),
                    keys: Arc::clone(keys),
                    member_state: self.member_state.clone(),
                    driver: self.driver.clone(),
                };
                Sender { peer, task: tokio::spawn(work.run()).abort_handle() }
            });
        }
    }
}

/// The task that sends to one member. It is aborted when this is dropped.
struct Sender {
    peer: Arc<Peer>,
    task: AbortHandle,
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first frame of a data stream.
    #[test]
    fn fuzz_opening() {
        let samples =
            [(7, 271, 0), (u64::MAX, u16::MAX, 300)].map(|(session, partitions, number)| {
                Opening { session, partitions, acknowledged: number }.encode()
            });
        convoke_harness::check!(&samples, |bytes| {
            match Opening::decode(bytes) {
                Some(opening) => assert_eq!(opening.encode(), bytes),
                None => assert_ne!(bytes.len(), samples[0].len()),
            }
        });
    }
}
