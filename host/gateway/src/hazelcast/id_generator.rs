//! Ids that are unique in the cluster and increase with time.
//!
//! ```text
//! id  [milliseconds since EPOCH_MS, 41 bits][sequence, 6 bits][number of the member, 16 bits]
//! ```
//!
//! This is the layout of Hazelcast with its default settings. Each member that generates ids has a
//! random number, which is registered in the grid for some time and renewed as long as it is used. So
//! a member that starts gets another number than those before it, also if its clock is behind, and
//! two sides of a split rarely choose the same one. All generators share one sequence: an id is
//! unique among all generators, and is not used again after a generator was destroyed.

use std::time::{Duration, Instant};

use convoke_grid::op::{KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf};
use convoke_grid::{Grid, OpError, Reply, Started};
use parking_lot::Mutex;
use uuid::Uuid;

use super::names;

/// The time 0 of ids, in milliseconds since 1970: the beginning of 2018, as in Hazelcast.
const EPOCH_MS: u64 = 1_514_764_800_000;
/// Number of bits for the sequence of a millisecond.
const SEQUENCE_BITS: u32 = 6;
/// Number of bits for the number of a member.
const NODE_BITS: u32 = 16;
/// Number of bits for the time.
const TIME_BITS: u32 = 41;
/// Distance between two ids of a member.
pub(super) const INCREMENT: i64 = 1 << NODE_BITS;
/// How far the time of an id may be ahead of the clock, in milliseconds. Requests beyond it wait.
const FUTURE_MS_MAX: u64 = 15_000;
/// For how long a number is registered, in milliseconds.
const REGISTERED_MS: u64 = 600_000;
/// For how long it may be used without being renewed, in milliseconds. Ids have to be in the past
/// when the number is free again.
const USED_MS_MAX: u64 = REGISTERED_MS / 2;
/// Interval at which it is renewed if it is used, in milliseconds.
const RENEW_MS: u64 = 60_000;
/// Number of random numbers that are tried before it is assumed that none is free.
const TRIES_MAX: usize = 64;

/// The number of this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    number: u16,
    registered: Instant,
}

impl Node {
    fn age(&self) -> Duration {
        self.registered.elapsed()
    }
}

/// Why there are no ids now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IdError {
    /// The number of this member cannot be registered.
    Grid(OpError),
    /// All numbers that were tried belong to other members.
    NoNumber,
    /// More ids were reserved than a request may wait for.
    TooMany,
    /// The clock is before [`EPOCH_MS`], or beyond the range of ids.
    Clock,
}

/// Ids that were reserved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The first one; the others follow at intervals of [`INCREMENT`].
    pub(super) base: i64,
    /// How long to wait before they are used, in milliseconds.
    pub(super) wait_ms: u64,
}

/// The ids of one member.
#[derive(Default)]
pub(super) struct IdGenerator {
    /// Locked while the number is registered, so that it is done once.
    node: tokio::sync::Mutex<Option<Node>>,
    /// The next time and sequence, of all numbers that this member has had.
    next: Mutex<u64>,
}

impl IdGenerator {
    /// Reserves this number of ids, which become valid within `wait_ms_max`.
    pub(super) async fn reserve(
        &self,
        grid: &Grid,
        count: u32,
        wait_ms_max: u64,
    ) -> Result<Batch, IdError> {
        let mut node = self.node.lock().await;
        let number = self.number(grid, &mut node).await?;
        // While `node` is locked: the number is still the one of this member.
        self.reserve_for(number, grid.now_ms(), count, wait_ms_max)
    }

    /// Reserves ids for a member's number.
    fn reserve_for(
        &self,
        number: u16,
        now_ms: u64,
        count: u32,
        wait_ms_max: u64,
    ) -> Result<Batch, IdError> {
        let since_ms = now_ms.checked_sub(EPOCH_MS).ok_or(IdError::Clock)?;
        let mut next = self.next.lock();
        let first = (since_ms << SEQUENCE_BITS).max(*next);
        let end = first + u64::from(count);
        let end_ms = end >> SEQUENCE_BITS;
        if end_ms >> TIME_BITS > 0 {
            return Err(IdError::Clock);
        }
        let wait_ms = end_ms.saturating_sub(FUTURE_MS_MAX).saturating_sub(since_ms);
        if wait_ms > wait_ms_max {
            return Err(IdError::TooMany);
        }
        *next = end;
        let base = (first << NODE_BITS | u64::from(number)).cast_signed();
        Ok(Batch { base, wait_ms })
    }

    /// The number of this member, registered or renewed if necessary.
    async fn number(&self, grid: &Grid, node: &mut Option<Node>) -> Result<u16, IdError> {
        if let Some(known) = *node {
            if known.age() < Duration::from_millis(RENEW_MS) {
                return Ok(known.number);
            }
            match register(grid, known.number, true).await {
                Ok(Some(renewed)) => {
                    *node = Some(renewed);
                    return Ok(renewed.number);
                }
                // Another member has it: that of another side of a split, for example.
                Ok(None) => *node = None,
                Err(_) if known.age() < Duration::from_millis(USED_MS_MAX) => {
                    return Ok(known.number);
                }
                Err(error) => return Err(IdError::Grid(error)),
            }
        }
        for _ in 0..TRIES_MAX {
            let number = random_number();
            if let Some(new) = register(grid, number, false).await.map_err(IdError::Grid)? {
                *node = Some(new);
                return Ok(new.number);
            }
        }
        Err(IdError::NoNumber)
    }
}

fn random_number() -> u16 {
    let [.., high, low] = *Uuid::now_v7().as_bytes();
    u16::from_be_bytes([high, low])
}

/// Registers a number for this member, or renews it. Returns `None` if another member has it, or it
/// is not known any more that this one has it.
async fn register(grid: &Grid, number: u16, renews: bool) -> Result<Option<Node>, OpError> {
    let map = grid.open_system(names::ID_GENERATORS)?;
    let key = number.to_string();
    let me = grid.me().to_string();
    let registered = Instant::now();
    let condition = if renews { PutIf::Value(me.as_bytes()) } else { PutIf::Absent };
    let put = PlainOp::Put {
        kind: 0,
        value: me.as_bytes(),
        lifetime: Lifetime::For(REGISTERED_MS),
        condition,
        answer: PutAnswer::Done,
    };
    let op = Op::Key(key.as_bytes(), KeyOp::Plain(put));
    let reply = match grid.start(&map, grid.partition_of(key.as_bytes()), &op) {
        Started::Now(reply) => reply,
        Started::Later(later) => later.await,
    }?;
    Ok((reply != Reply::Nil).then_some(Node { number, registered }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::single_member_grid;

    const NOW_MS: u64 = EPOCH_MS + 1_000_000;

    fn reserve(generator: &IdGenerator, now_ms: u64, count: u32) -> Batch {
        generator.reserve_for(5, now_ms, count, u64::MAX).unwrap()
    }

    #[test]
    fn ids_have_the_layout_of_hazelcast() {
        let batch = reserve(&IdGenerator::default(), NOW_MS, 1);
        assert_eq!(batch, Batch { base: (1_000_000 << 6) << 16 | 5, wait_ms: 0 });
    }

    #[test]
    fn no_id_is_used_twice_if_the_clock_stands_still_or_goes_back() {
        let generator = IdGenerator::default();
        let mut seen = BTreeSet::new();
        for now_ms in [NOW_MS, NOW_MS, NOW_MS - 500_000, NOW_MS + 1, NOW_MS + 60_000, NOW_MS] {
            let first = reserve(&generator, now_ms, 1_000).base;
            assert!(seen.last().is_none_or(|last| *last < first));
            for number in 0..1_000 {
                assert!(seen.insert(first + number * INCREMENT));
            }
        }
    }

    #[test]
    fn a_request_waits_if_its_ids_are_too_far_in_the_future() {
        let generator = IdGenerator::default();
        let per_second = 1_000 << SEQUENCE_BITS;
        assert_eq!(reserve(&generator, NOW_MS, 15 * per_second).wait_ms, 0);
        assert_eq!(reserve(&generator, NOW_MS, per_second).wait_ms, 1_000);
        assert_eq!(generator.reserve_for(5, NOW_MS, per_second, 1_999), Err(IdError::TooMany));
        assert_eq!(generator.reserve_for(5, 0, 1, u64::MAX), Err(IdError::Clock));
        assert_eq!(reserve(&generator, NOW_MS + 20_000, 1).wait_ms, 0);
    }

    #[tokio::test]
    async fn a_number_belongs_to_one_member() {
        let grid = single_member_grid();
        let node = register(&grid, 7, false).await.unwrap().unwrap();
        assert_eq!(node.number, 7);
        assert_eq!(register(&grid, 7, false).await, Ok(None));
        assert!(register(&grid, 7, true).await.unwrap().is_some());
        assert_eq!(register(&grid, 8, true).await, Ok(None));
        let generator = IdGenerator::default();
        let first = generator.reserve(&grid, 10, 0).await.unwrap();
        let second = generator.reserve(&grid, 10, 0).await.unwrap();
        assert!(second.base >= first.base + 10 * INCREMENT);
        assert_eq!(first.base & 0xffff, second.base & 0xffff);
    }
}
