//! Fair scheduling of connections, in the order in which they became ready.
//!
//! Clients rely on an order between their own connections: a `PUBLISH` that was sent after a
//! `SUBSCRIBE`, or a `GET` that was sent after a `SET`, without waiting for the reply in between.
//! The kernel reports sockets in the order in which they became readable, but the scheduler of the
//! runtime does not keep that order: tokio runs the task that was woken last first, and other
//! workers steal tasks. A lane therefore has a FIFO queue of its own: a connection that is woken is
//! appended, and the one at the front gets one turn, which is one bounded read and the commands
//! that it brought.
//!
//! There are as many lanes as the runtime has worker threads. All connections from one IP address
//! share a lane, so that commands of the programs on one host start in the order in which they
//! arrived at this member. Between connections from different addresses no order is guaranteed
//! until a reply has confirmed the earlier command.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tracing::error;

/// Turns of a lane before it yields to the other tasks of the runtime, and the kernel is polled for
/// sockets that became ready meanwhile.
const TURNS_MAX: usize = 16;

/// A task that runs in turns in a lane.
pub(crate) trait LaneTask: Send + 'static {
    /// Runs one turn, which must do a bounded amount of work. Returns `Poll::Ready` when the task
    /// has finished. A task with more work wakes itself and gets its next turn after all tasks that
    /// are ready now.
    fn run_turn(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// All lanes of a server.
pub(crate) struct Lanes {
    lanes: Vec<Arc<Lane>>,
    /// For each address with connections, its lane and the number of connections.
    assigned: Mutex<HashMap<IpAddr, (usize, usize)>>,
}

/// One queue of ready tasks.
#[derive(Default)]
struct Lane {
    ready: Mutex<VecDeque<Arc<QueueEntry>>>,
    waker: AtomicWaker,
}

/// The queue entry of a task. Every waker of the task holds a reference to it.
struct QueueEntry {
    lane: Arc<Lane>,
    is_queued: AtomicBool,
    task: Mutex<Option<Box<dyn LaneTask>>>,
}

/// Assigns a connection to the lane of its address, until dropped.
pub(crate) struct LaneAssignment {
    lanes: Arc<Lanes>,
    address: IpAddr,
    lane: usize,
}

impl Lanes {
    /// Creates `count` lanes, at least one. They do nothing until [`Lanes::start`].
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let lanes = (0..count.max(1)).map(|_| Arc::default()).collect();
        Arc::new(Self { lanes, assigned: Mutex::default() })
    }

    /// Runs each lane as a task of the current runtime.
    pub(crate) fn start(&self) {
        for lane in &self.lanes {
            // The lane yields by itself after `TURNS_MAX` turns.
            tokio::spawn(tokio::task::unconstrained(Arc::clone(lane).run()));
        }
    }

    /// Assigns an address to the lane that serves its other connections, or else to the lane with
    /// the fewest connections.
    pub(crate) fn assign(self: &Arc<Self>, address: IpAddr) -> LaneAssignment {
        let address = address.to_canonical();
        let mut assigned = self.assigned.lock();
        let lane = assigned.get(&address).map_or_else(
            || {
                let mut counts = vec![0; self.lanes.len()];
                assigned.values().for_each(|(lane, count)| counts[*lane] += count);
                let emptiest = counts.iter().enumerate().min_by_key(|(_, count)| **count);
                emptiest.map_or(0, |(lane, _)| lane)
            },
            |(lane, _)| *lane,
        );
        assigned.entry(address).or_insert((lane, 0)).1 += 1;
        LaneAssignment { lanes: Arc::clone(self), address, lane }
    }
}

impl LaneAssignment {
    /// Number of the lane.
    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    /// Adds a task to the lane and queues its first turn.
    pub(crate) fn spawn(&self, task: Box<dyn LaneTask>) {
        let entry = Arc::new(QueueEntry {
            lane: Arc::clone(&self.lanes.lanes[self.lane]),
            is_queued: AtomicBool::new(false),
            task: Mutex::new(Some(task)),
        });
        entry.wake();
    }
}

impl Drop for LaneAssignment {
    fn drop(&mut self) {
        let mut assigned = self.lanes.assigned.lock();
        if let Some((_, count)) = assigned.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                assigned.remove(&self.address);
            }
        }
    }
}

impl Lane {
    async fn run(self: Arc<Self>) {
        let mut batch = VecDeque::new();
        loop {
            poll_fn(|context| {
                // Registered before the check, so that no wake-up is lost.
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
                for entry in batch.drain(..batch.len().min(TURNS_MAX)) {
                    entry.turn();
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

impl QueueEntry {
    fn turn(self: Arc<Self>) {
        // A wake-up from here on queues another turn.
        self.is_queued.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self));
        let mut context = Context::from_waker(&waker);
        let mut slot = self.task.lock();
        let Some(task) = &mut *slot else { return };
        // A panic of one task must not stop the lane.
        let turn = catch_unwind(AssertUnwindSafe(|| task.run_turn(&mut context)));
        if matches!(turn, Ok(Poll::Pending)) {
            return;
        }
        if turn.is_err() {
            error!("closing a client connection after a panic");
        }
        let finished = slot.take();
        drop(slot);
        drop(finished);
    }
}

impl Wake for QueueEntry {
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
        // Usually it is queued already; avoids cloning the reference.
        if !self.is_queued.load(Ordering::Acquire) {
            Arc::clone(self).wake();
        }
    }
}

/// Registers the connection with the runtime again. A stream returned by a listener is assumed to
/// be readable, so that data would be read before the kernel has reported it, ahead of connections
/// that became readable earlier.
pub(crate) fn without_assumed_readiness(stream: TcpStream) -> std::io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const WAIT_MAX: Duration = Duration::from_secs(20);

    /// Records its number in each turn, and finishes with turn `last`.
    struct Recorder {
        number: usize,
        last: usize,
        turns: usize,
        sent: mpsc::Sender<usize>,
        /// Receives the waker of each turn.
        wakers: mpsc::Sender<(usize, Waker)>,
    }

    impl LaneTask for Recorder {
        fn run_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
            self.sent.send(self.number).unwrap();
            self.wakers.send((self.number, context.waker().clone())).unwrap();
            self.turns += 1;
            if self.turns == self.last { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    /// Blocks its lane until it receives a message.
    struct Holder {
        held: mpsc::Sender<()>,
        go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl LaneTask for Holder {
        fn run_turn(&mut self, _: &mut Context<'_>) -> Poll<()> {
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
    fn tasks_run_in_the_order_in_which_they_were_woken() {
        const COUNT: usize = 3 * TURNS_MAX;
        for workers in [1, 4] {
            let (_runtime, lanes) = lanes(workers);
            let assignment = lanes.assign(HERE);
            let ((sent, received), (wakers, woken)) = (mpsc::channel(), mpsc::channel());
            for number in 0..COUNT {
                let (sent, wakers) = (sent.clone(), wakers.clone());
                assignment.spawn(Box::new(Recorder { number, last: 2, turns: 0, sent, wakers }));
            }
            let receive =
                || (0..COUNT).map(|_| received.recv_timeout(WAIT_MAX).unwrap()).collect::<Vec<_>>();
            assert_eq!(receive(), (0..COUNT).collect::<Vec<_>>());
            let wakers: Vec<(usize, Waker)> =
                (0..COUNT).map(|_| woken.recv_timeout(WAIT_MAX).unwrap()).collect();
            // All are woken, some of them twice, while the lane is busy with another task.
            let ((held, is_held), (go, go_on)) = (mpsc::channel(), mpsc::channel());
            assignment.spawn(Box::new(Holder { held, go_on: Mutex::new(go_on) }));
            is_held.recv_timeout(WAIT_MAX).unwrap();
            for (number, waker) in wakers.iter().rev() {
                waker.wake_by_ref();
                if number % 3 == 0 {
                    wakers[COUNT - 1].1.wake_by_ref();
                }
            }
            go.send(()).unwrap();
            assert_eq!(receive(), (0..COUNT).rev().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_of_one_task_does_not_stop_the_lane() {
        struct Failing;
        impl LaneTask for Failing {
            fn run_turn(&mut self, _: &mut Context<'_>) -> Poll<()> {
                panic!("on purpose")
            }
        }
        let (_runtime, lanes) = lanes(1);
        let assignment = lanes.assign(HERE);
        let ((sent, received), (wakers, _woken)) = (mpsc::channel(), mpsc::channel());
        assignment.spawn(Box::new(Failing));
        assignment.spawn(Box::new(Recorder { number: 7, last: 1, turns: 0, sent, wakers }));
        assert_eq!(received.recv_timeout(WAIT_MAX), Ok(7));
    }

    #[test]
    fn connections_of_one_address_share_a_lane_and_lanes_fill_evenly() {
        let lanes = Lanes::new(3);
        let address = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let first = [lanes.assign(address(1)), lanes.assign(address(1))];
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        assert_eq!(lanes.assign(IpAddr::V6(mapped)).lane, first[0].lane);
        assert_eq!(first[1].lane, first[0].lane);
        let second = lanes.assign(address(2));
        let third = lanes.assign(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let mut used = [first[0].lane, second.lane, third.lane];
        used.sort_unstable();
        assert_eq!(used, [0, 1, 2]);
        assert_ne!(
            lanes.assign(address(4)).lane,
            first[0].lane,
            "that lane has two connections already"
        );
        drop((first, second, third));
        assert!(lanes.assigned.lock().is_empty());
    }
}
