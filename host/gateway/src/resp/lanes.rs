//! Who is served when: connections take turns in the order in which they became ready.
//!
//! Plain clients rely on an order between their own connections: a `PUBLISH` that was
//! sent after a `SUBSCRIBE`, a `GET` that was sent after a `SET`, neither waiting for
//! the other's answer. The kernel reports sockets in the order in which they became
//! readable; a runtime's scheduler does not keep it (tokio runs the task that was woken
//! last first, and other workers steal tasks). So a lane keeps its own queue, first in,
//! first out: a connection that is woken goes to its end, and the one at its front has
//! one turn: one bounded read, and the commands that it brought.
//!
//! There are as many lanes as the runtime has workers. All connections from one IP
//! address share one, so that what the programs of one host send to this member begins
//! in the order in which it arrived. Between connections from different addresses
//! nothing is promised that no answer has confirmed.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tracing::error;

/// Turns of a lane before the other tasks of the runtime get theirs, and the kernel is
/// asked for what became ready meanwhile.
const TURNS_MAX: usize = 16;

/// What takes turns in a lane.
pub(crate) trait Turns: Send + 'static {
    /// One turn, of bounded work. `Poll::Ready` when it is over for good. What has more
    /// to do wakes itself, and gets another turn after all that are ready now.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// All lanes of a server.
pub(crate) struct Lanes {
    lanes: Vec<Arc<Lane>>,
    /// Which lane each address with connections has, and how many those are.
    homes: Mutex<HashMap<IpAddr, (usize, usize)>>,
}

/// One queue.
#[derive(Default)]
struct Lane {
    ready: Mutex<VecDeque<Arc<Seat>>>,
    waker: AtomicWaker,
}

/// The place of a connection. Every waker of it holds it.
struct Seat {
    lane: Arc<Lane>,
    is_queued: AtomicBool,
    occupant: Mutex<Option<Box<dyn Turns>>>,
}

/// The place of an address among the lanes, until it is dropped.
pub(crate) struct Home {
    lanes: Arc<Lanes>,
    address: IpAddr,
    lane: usize,
}

impl Lanes {
    /// `count` lanes, at least one. They do nothing until [`Lanes::start`].
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let lanes = (0..count.max(1)).map(|_| Arc::default()).collect();
        Arc::new(Self { lanes, homes: Mutex::default() })
    }

    /// Runs each lane as a task of the runtime that this is called in.
    pub(crate) fn start(&self) {
        for lane in &self.lanes {
            // It shares out turns itself.
            tokio::spawn(tokio::task::unconstrained(Arc::clone(lane).run()));
        }
    }

    /// The lane of an address: the one where it has connections, or else the one with
    /// the fewest.
    pub(crate) fn home(self: &Arc<Self>, address: IpAddr) -> Home {
        let address = address.to_canonical();
        let mut homes = self.homes.lock();
        let lane = homes.get(&address).map_or_else(
            || {
                let mut counts = vec![0; self.lanes.len()];
                homes.values().for_each(|(lane, count)| counts[*lane] += count);
                let least = counts.iter().enumerate().min_by_key(|(_, count)| **count);
                least.map_or(0, |(lane, _)| lane)
            },
            |(lane, _)| *lane,
        );
        homes.entry(address).or_insert((lane, 0)).1 += 1;
        Home { lanes: Arc::clone(self), address, lane }
    }
}

impl Home {
    /// Gives it turns, the first of them soon.
    pub(crate) fn seat(&self, occupant: Box<dyn Turns>) {
        let seat = Arc::new(Seat {
            lane: Arc::clone(&self.lanes.lanes[self.lane]),
            is_queued: AtomicBool::new(false),
            occupant: Mutex::new(Some(occupant)),
        });
        seat.wake();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let mut homes = self.lanes.homes.lock();
        if let Some((_, count)) = homes.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                homes.remove(&self.address);
            }
        }
    }
}

impl Lane {
    async fn run(self: Arc<Self>) {
        let mut batch = VecDeque::new();
        loop {
            poll_fn(|context| {
                // Registered first: what is queued from here on wakes it.
                self.waker.register(context.waker());
                let mut ready = self.ready.lock();
                if ready.is_empty() {
                    return Poll::Pending;
                }
                std::mem::swap(&mut *ready, &mut batch);
                Poll::Ready(())
            })
            .await;
            loop {
                for seat in batch.drain(..batch.len().min(TURNS_MAX)) {
                    seat.turn();
                }
                if batch.is_empty() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if !self.ready.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Seat {
    fn turn(self: Arc<Self>) {
        // What wakes it from here on is for another turn.
        self.is_queued.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self));
        let mut context = Context::from_waker(&waker);
        let mut place = self.occupant.lock();
        let Some(occupant) = &mut *place else { return };
        // One that fails takes no other one with it.
        let turn = catch_unwind(AssertUnwindSafe(|| occupant.turn(&mut context)));
        if matches!(turn, Ok(Poll::Pending)) {
            return;
        }
        if turn.is_err() {
            error!("a client's connection ends, since serving it failed");
        }
        let over = place.take();
        drop(place);
        drop(over);
    }
}

impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let lane = Arc::clone(&self.lane);
        let mut ready = lane.ready.lock();
        let was_empty = ready.is_empty();
        ready.push_back(self);
        drop(ready);
        if was_empty {
            lane.waker.wake();
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Most of the times it is queued already: that costs no reference.
        if !self.is_queued.load(Ordering::Acquire) {
            Arc::clone(self).wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const WAIT_MAX: Duration = Duration::from_secs(20);

    /// Says its number in each turn, and ends at the `last` one.
    struct Speaker {
        number: usize,
        last: usize,
        turns: usize,
        said: mpsc::Sender<usize>,
        /// Gives out what wakes it.
        wakers: mpsc::Sender<(usize, Waker)>,
    }

    impl Turns for Speaker {
        fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
            self.said.send(self.number).unwrap();
            self.wakers.send((self.number, context.waker().clone())).unwrap();
            self.turns += 1;
            if self.turns == self.last { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    /// Holds its lane until a message lets it go on.
    struct Holder {
        held: mpsc::Sender<()>,
        go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl Turns for Holder {
        fn turn(&mut self, _: &mut Context<'_>) -> Poll<()> {
            self.held.send(()).unwrap();
            self.go_on.lock().recv_timeout(WAIT_MAX).unwrap();
            Poll::Ready(())
        }
    }

    fn lanes(count: usize) -> (tokio::runtime::Runtime, Arc<Lanes>) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(count).build().unwrap();
        let lanes = Lanes::new(count);
        let _entered = runtime.enter();
        lanes.start();
        (runtime, lanes)
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn turns_are_taken_in_the_order_of_the_wakes_with_any_number_of_workers() {
        const COUNT: usize = 3 * TURNS_MAX;
        for workers in [1, 4] {
            let (_runtime, lanes) = lanes(workers);
            let home = lanes.home(HERE);
            let ((said, heard), (wakers, woken)) = (mpsc::channel(), mpsc::channel());
            for number in 0..COUNT {
                let (said, wakers) = (said.clone(), wakers.clone());
                home.seat(Box::new(Speaker { number, last: 2, turns: 0, said, wakers }));
            }
            let hear =
                || (0..COUNT).map(|_| heard.recv_timeout(WAIT_MAX).unwrap()).collect::<Vec<_>>();
            assert_eq!(hear(), (0..COUNT).collect::<Vec<_>>());
            let wakers: Vec<(usize, Waker)> =
                (0..COUNT).map(|_| woken.recv_timeout(WAIT_MAX).unwrap()).collect();
            // All are woken, some of them twice, while the lane is busy with another one.
            let ((held, is_held), (go, go_on)) = (mpsc::channel(), mpsc::channel());
            home.seat(Box::new(Holder { held, go_on: Mutex::new(go_on) }));
            is_held.recv_timeout(WAIT_MAX).unwrap();
            for (number, waker) in wakers.iter().rev() {
                waker.wake_by_ref();
                if number % 3 == 0 {
                    wakers[COUNT - 1].1.wake_by_ref();
                }
            }
            go.send(()).unwrap();
            assert_eq!(hear(), (0..COUNT).rev().collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_that_fails_takes_no_other_one_with_it() {
        struct Failing;
        impl Turns for Failing {
            fn turn(&mut self, _: &mut Context<'_>) -> Poll<()> {
                panic!("on purpose")
            }
        }
        let (_runtime, lanes) = lanes(1);
        let home = lanes.home(HERE);
        let ((said, heard), (wakers, _woken)) = (mpsc::channel(), mpsc::channel());
        home.seat(Box::new(Failing));
        home.seat(Box::new(Speaker { number: 7, last: 1, turns: 0, said, wakers }));
        assert_eq!(heard.recv_timeout(WAIT_MAX), Ok(7));
    }

    #[test]
    fn an_address_has_one_lane_while_it_has_connections_and_lanes_fill_evenly() {
        let lanes = Lanes::new(3);
        let address = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let first = [lanes.home(address(1)), lanes.home(address(1))];
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        assert_eq!(lanes.home(IpAddr::V6(mapped)).lane, first[0].lane);
        assert_eq!(first[1].lane, first[0].lane);
        let second = lanes.home(address(2));
        let third = lanes.home(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let mut used = [first[0].lane, second.lane, third.lane];
        used.sort_unstable();
        assert_eq!(used, [0, 1, 2]);
        assert_ne!(lanes.home(address(4)).lane, first[0].lane, "that one has two already");
        drop((first, second, third));
        assert!(lanes.homes.lock().is_empty());
    }
}
