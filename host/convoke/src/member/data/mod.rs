//! The data of this member: its grid, the streams to the grids of others, and
//! the passing of time.

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
use super::state::{Counters, Place};
use crate::settings::DataSettings;

/// Streams of other members that wait to be taken over.
pub(crate) const STREAMS_MAX: usize = 256;

/// An [`Opening`]; the first frame of the sender.
const OPEN: u8 = 2;
/// Messages.
const MESSAGES: u8 = 3;
/// What became of them; from the receiver.
const RECEIPT: u8 = 4;
/// An aside of the receiver to the sender.
const ASIDE: u8 = 5;

/// What a sender says first.
struct Opening {
    /// The session that the stream is for.
    session: u64,
    /// The sender's number of partitions.
    partitions: u16,
    /// The last message that the sender knows to be dealt with.
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

/// What drives the data of a member.
pub(crate) struct Data {
    pub(crate) grid: Grid,
    /// None without a cluster: there is nobody to send to.
    pub(crate) keys: Option<Arc<ClusterKeys>>,
    pub(crate) place: watch::Receiver<Arc<Place>>,
    /// Is told of members that streams do not reach.
    pub(crate) driver: mpsc::Sender<Input>,
    /// Streams that other members opened.
    pub(crate) streams: mpsc::Receiver<Box<Call>>,
}

/// A grid for this member. Without keys it is alone, and its secret nobody's; with them it learns
/// how many partitions there are once it is in a cluster.
/// `changed` is told whenever its data may be another way.
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
    /// Drives the grid for as long as the process runs.
    pub(crate) async fn run(mut self) {
        let mut senders: HashMap<MemberId, Sender> = HashMap::new();
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.place.mark_changed();
        let mut is_placed = true;
        let viewed = watch::Sender::new(());
        loop {
            tokio::select! {
                _ = tick.tick() => self.grid.tick(),
                changed = self.place.changed(), if is_placed => {
                    // Without a cluster the first place is the last.
                    is_placed = changed.is_ok();
                    self.follow(&mut senders);
                    viewed.send_replace(());
                }
                Some(call) = self.streams.recv() => {
                    let viewed = viewed.subscribe();
                    tokio::spawn(receiver::receive(self.grid.clone(), viewed, call));
                }
            }
        }
    }

    /// There may be another view.
    fn follow(&mut self, senders: &mut HashMap<MemberId, Sender>) {
        let place = Arc::clone(&self.place.borrow_and_update());
        let Some(view) = &place.view else { return };
        self.grid.handle_view(view);
        let peers = self.grid.peers();
        // A member that was given up and came back is another peer.
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
                    place: self.place.clone(),
                    driver: self.driver.clone(),
                };
                Sender { peer, task: tokio::spawn(work.run()).abort_handle() }
            });
        }
    }
}

/// The task that sends to one member; it ends with the member.
struct Sender {
    peer: Arc<Peer>,
    task: AbortHandle,
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.task.abort();
    }
}
