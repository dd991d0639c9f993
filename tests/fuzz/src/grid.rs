//! Messages between members about data: two grids in this process, and a connection that mutates
//! them.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use convoke_grid::op::{
    End, GenericOp, KeyOp, Lifetime, ListOp, Op, PlainOp, PutAnswer, PutIf, WholeOp,
};
use convoke_grid::{Grid, MapCatalog, Receipt};
use convoke_harness::{mutate, noise};
use convoke_membership::{MemberId, View, ViewId};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::Run;
use crate::report::{caught, shown};
use crate::server::{Process, grid_settings, member};

/// Steps of one pair of grids before the next one: some minutes of their clock.
const STEPS: usize = 5_000;

/// Milliseconds between two ticks of a member.
const TICK_MS: u64 = 50;

/// Bytes of the length in front of each message of a session.
const LENGTH_BYTES: usize = 4;

/// Two grids of one view.
struct Pair {
    grids: [Grid; 2],
    processes: [Arc<Process>; 2],
    ids: [MemberId; 2],
    /// Connection ids, by the index of the sender.
    connections: [Option<u64>; 2],
    /// Messages that were delivered, from which mutations copy.
    seen: Vec<Vec<u8>>,
    /// The mutations, for the report of a finding.
    log: Vec<String>,
}

impl Pair {
    fn new() -> Self {
        let ids = [MemberId::from_bytes([1; 16]), MemberId::from_bytes([2; 16])];
        let processes = [Process::new(), Process::new()];
        let grid = |at: usize| {
            let process = Arc::clone(&processes[at]);
            Grid::new(ids[at], process, grid_settings(), MapCatalog::default())
        };
        let grids = [grid(0), grid(1)];
        let mut view = View::founded_by(member(ids[0], 1));
        grids[0].expect_view(&view);
        grids[0].handle_view(&view);
        grids[0].tick();
        let id = ViewId { version: view.id.version + 1, ..view.id };
        view = view.with(id, &[member(ids[1], 2)], &[]).expect("one joins");
        for grid in &grids {
            grid.expect_view(&view);
            grid.handle_view(&view);
            grid.tick();
        }
        Self { grids, processes, ids, connections: [None; 2], seen: Vec::new(), log: Vec::new() }
    }

    /// Delivers the messages of one grid to the other; `change` may mutate each batch.
    fn deliver(&mut self, from: usize, mut change: impl FnMut(&mut Vec<u8>, &mut Vec<String>)) {
        let to = 1 - from;
        let Some(peer) = self.grids[from].peer(self.ids[to]) else { return };
        let mut context = Context::from_waker(Waker::noop());
        if self.connections[from].is_none() {
            let session = peer.session();
            let acknowledged = peer.acknowledged();
            let opened = self.grids[to].handle_opened(self.ids[from], session, acknowledged);
            let Some(opened) = opened else { return };
            if let Receipt::Resume { session, received, refused } = opened.receipt {
                let is_useful =
                    self.grids[from].handle_resumed(self.ids[to], session, received, &refused);
                if !is_useful {
                    return;
                }
            }
            self.connections[from] = Some(opened.connection);
        }
        let connection = self.connections[from].unwrap_or_default();
        while let Poll::Ready(message) = peer.poll_out_of_band(&mut context) {
            self.grids[to].handle_out_of_band(self.ids[from], &message);
        }
        while let Poll::Ready(Some(batch)) = peer.poll_send(&mut context) {
            let mut bytes = batch.to_vec();
            self.seen.push(bytes.clone());
            self.seen.truncate(500);
            change(&mut bytes, &mut self.log);
            match self.grids[to].handle_bytes(self.ids[from], connection, &bytes) {
                Some(Receipt::Received { received, refused }) => {
                    let session = peer.session();
                    self.grids[from].handle_received(self.ids[to], session, received, &refused);
                }
                Some(Receipt::Resume { .. }) => {}
                None => {
                    peer.handle_closed();
                    self.connections[from] = None;
                    return;
                }
            }
        }
    }
}

/// Mutates one message of a batch, and keeps the lengths valid.
fn change(random: &mut StdRng, batch: &mut Vec<u8>, seen: &[u8], log: &mut Vec<String>) {
    let mut messages = Vec::new();
    let mut rest = &batch[..];
    while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let length = u32::from_be_bytes(*length) as usize;
        if behind.len() < length {
            break;
        }
        messages.push(behind[..length].to_vec());
        rest = &behind[length..];
    }
    if messages.is_empty() {
        return;
    }
    let at = random.random_range(0..messages.len());
    let before = messages[at].clone();
    match random.random_range(0..20) {
        0 => messages[at] = noise(random, 200),
        1 => messages[at] = seen.get(LENGTH_BYTES..).unwrap_or_default().to_vec(),
        _ => mutate(random, &mut messages[at], seen),
    }
    log.push(format!("{} -> {}", shown(&before), shown(&messages[at])));
    batch.clear();
    for message in messages {
        let length = u32::try_from(message.len()).expect("short messages");
        batch.extend_from_slice(&length.to_be_bytes());
        batch.extend_from_slice(&message);
    }
}

pub(crate) fn messages(run: &mut Run) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    // Tasks of the grids go there, and are never run longer than they are observed.
    let _guard = runtime.enter();
    while run.has_time() {
        let Some(mut pair) = caught(Pair::new) else {
            run.report.take_panics(|| "two grids that meet".to_owned());
            continue;
        };
        let rate = [0.02, 0.2, 0.8][run.random.random_range(0..3)];
        for _ in 0..STEPS {
            if !run.has_time() {
                return;
            }
            run.report.count();
            let is_whole = caught(|| step(run, &mut pair, &runtime, rate));
            let input = || {
                let last = pair.log.len().saturating_sub(3);
                pair.log[last..].join("\n    ")
            };
            if run.report.take_panics(input) || is_whole.is_none() {
                break;
            }
        }
    }
}

fn step(run: &mut Run, pair: &mut Pair, runtime: &tokio::runtime::Runtime, rate: f64) {
    let random = &mut run.random;
    let at = random.random_range(0..2);
    match random.random_range(0..6) {
        0 => {
            // Time advances by up to two ticks.
            let passed = random.random_range(0..2 * TICK_MS);
            pair.processes[0].advance(passed);
            pair.processes[1].advance(passed);
            if random.random_bool(0.002) {
                pair.processes[at].advance(60_000);
            }
            pair.grids[at].tick();
        }
        1 | 2 => write(random, &pair.grids[at]),
        3 if random.random_bool(0.05) => {
            if let Some(peer) = pair.grids[at].peer(pair.ids[1 - at]) {
                peer.handle_closed();
            }
            pair.connections[at] = None;
        }
        _ => {
            let seen = match pair.seen.len() {
                0 => Vec::new(),
                count => pair.seen[random.random_range(0..count)].clone(),
            };
            pair.deliver(at, |bytes, log| {
                if random.random_bool(rate) {
                    change(random, bytes, &seen, log);
                }
            });
        }
    }
    // Pending operations proceed.
    runtime.block_on(tokio::task::yield_now());
}

/// Starts a random operation on a random map, without waiting for the answer.
fn write(random: &mut StdRng, grid: &Grid) {
    let name = ["resp:0", "m"][random.random_range(0..2)];
    let Ok(map) = grid.open(name) else { return };
    let key = format!("k{}", random.random_range(0..40));
    let partition = grid.partition_of(key.as_bytes());
    let value = vec![b'v'; random.random_range(0..60)];
    let lifetimes =
        [Lifetime::Default, Lifetime::For(30), Lifetime::Forever, Lifetime::For(60_000)];
    let op = match random.random_range(0..10) {
        0 => Op::Whole(WholeOp::Clear),
        1 => Op::Key(key.as_bytes(), KeyOp::Generic(GenericOp::Remove)),
        2 => Op::Key(key.as_bytes(), KeyOp::List(ListOp::PopMany(End::Front, 3))),
        3..5 => {
            let elements = vec![&value[..]; 3];
            let push = ListOp::Push { end: End::Back, elements, present: false };
            Op::Key(key.as_bytes(), KeyOp::List(push))
        }
        _ => {
            let put = PlainOp::Put {
                kind: 0,
                value: &value,
                lifetime: lifetimes[random.random_range(0..lifetimes.len())],
                condition: PutIf::Always,
                answer: PutAnswer::Done,
            };
            Op::Key(key.as_bytes(), KeyOp::Plain(put))
        }
    };
    drop(grid.start(&map, partition, &op));
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn mutated_messages_are_those_of_grids_that_replicate_to_each_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _guard = runtime.enter();
        let (mut pair, mut random) = (Pair::new(), StdRng::seed_from_u64(1));
        for _ in 0..200 {
            for at in 0..2 {
                pair.processes[at].advance(TICK_MS);
                pair.grids[at].tick();
                write(&mut random, &pair.grids[at]);
                pair.deliver(at, |_, _| {});
            }
            runtime.block_on(tokio::task::yield_now());
        }
        let table = pair.grids[0].table().expect("they have a table");
        assert_eq!(Some(&table), pair.grids[1].table().as_ref());
        assert!(pair.grids.iter().all(Grid::is_safe), "{:?}", pair.grids[0].progress());
        assert!(pair.seen.len() > 100, "{}", pair.seen.len());
    }
}
