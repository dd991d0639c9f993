//! Several members in one network that is made up, and in one time.

use std::cell::{RefCell, RefMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use convoke_discovery::{CallError, Lan as Network, Problem, Snapshot};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::cipher::{Key, frame_of_a_stranger, payload};
use crate::clock::Clock;
use crate::error::HarnessError;
use crate::harness::Harness;
use crate::log::LogLine;
use crate::mode::Mode;

/// A network of members, for modes that find one another by multicast. Nothing is lost
/// and nothing takes time, unless it is told so.
#[derive(Debug)]
pub struct Lan {
    clock: Rc<Clock>,
    network: Network,
    members: Vec<Rc<RefCell<Mode>>>,
    compiled: TempDir,
}

/// One member of a [`Lan`]; clones are the same one.
#[derive(Clone, Debug)]
pub struct Member(Rc<RefCell<Mode>>);

impl Lan {
    /// An empty network. What is lost and delayed follows from `seed`.
    ///
    /// # Errors
    /// When this machine has no thread or temporary folder left.
    pub fn new(seed: u64) -> Result<Self, HarnessError> {
        Ok(Self {
            clock: Clock::start()?,
            network: Network::new(seed),
            members: Vec::new(),
            compiled: TempDir::new()?,
        })
    }

    /// Loses this part of all datagrams, 0.0 to 1.0, each on its way to each member.
    #[must_use]
    pub fn loss(self, part: f64) -> Self {
        self.network.set_loss(part);
        self
    }

    /// Lets each datagram take a time of this range, so that they overtake each other.
    #[must_use]
    pub fn delay(self, range: RangeInclusive<Duration>) -> Self {
        self.network.set_delay(range);
        self
    }

    /// Opens a mode as a member at `address`, an IP address, with the identity
    /// `member-ADDRESS`. It is called in [`run`](Self::run).
    ///
    /// # Errors
    /// As [`Harness::open`].
    pub fn member(&mut self, address: &str, mode: &Harness) -> Result<Member, HarnessError> {
        let ip: IpAddr = address.parse().map_err(|_| HarnessError::Address(address.to_owned()))?;
        let mode = mode.clone().cache_or(self.compiled.path());
        let opened = mode.open_in(&self.clock, Some((self.network.clone(), ip)))?;
        let member = Rc::new(RefCell::new(opened));
        self.members.push(Rc::clone(&member));
        Ok(Member(member))
    }

    /// Lets all members look and announce for `time`, as the host has them do, but without
    /// its jitter. A call that has begun by then ends: some more time may have passed.
    /// Who crashed, or reported `misconfigured` or `denied`, is not called again.
    pub fn run(&self, time: Duration) {
        self.clock.run(async {
            let until = Instant::now() + time;
            let mut running = JoinSet::new();
            for (at, member) in self.members.iter().enumerate() {
                let mut member = member.borrow_mut();
                let Some(mut instance) = member.instance.take() else { continue };
                let (mut pace, mut tally) = (member.pace, std::mem::take(&mut member.tally));
                running.spawn(async move {
                    while tally.stopped.is_none() && pace.next() < until {
                        pace.step(&mut instance, &mut tally).await;
                    }
                    (at, instance, pace, tally)
                });
            }
            while let Some(ended) = running.join_next().await {
                let (at, instance, pace, tally) = match ended {
                    Ok(ended) => ended,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                };
                let mut member = self.members[at].borrow_mut();
                (member.instance, member.pace, member.tally) = (Some(instance), pace, tally);
            }
            sleep_until(until).await;
        });
    }

    /// Sends a datagram as it is: one that members do not open.
    pub fn inject(&self, group: SocketAddr, from: SocketAddr, datagram: &[u8]) {
        let _inside = self.clock.enter();
        self.network.inject(group, from, datagram);
    }

    /// Sends what a stranger in the cluster of this name would: its members open it, and
    /// their modes are given `payload`.
    pub fn say(&self, group: SocketAddr, from: SocketAddr, cluster: &str, payload: &[u8]) {
        self.say_as(group, from, Key::of(cluster), payload);
    }

    pub(crate) fn say_as(&self, group: SocketAddr, from: SocketAddr, key: Key, payload: &[u8]) {
        self.inject(group, from, &frame_of_a_stranger(key, payload));
    }

    /// Remembers the payloads of the next `max` datagrams for [`said`](Self::said).
    pub fn listen(&self, max: usize) {
        self.network.record(max);
    }

    /// The payloads that modes sent since [`listen`](Self::listen), the oldest first.
    pub fn said(&self) -> Vec<Vec<u8>> {
        self.network
            .recorded()
            .iter()
            .filter_map(|frame| payload(frame))
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// Virtual time since the network begun.
    pub fn now(&self) -> Duration {
        self.clock.elapsed()
    }
}

impl Member {
    /// What its last look found, of those that worked; none yet is empty.
    pub fn snapshot(&self) -> Snapshot {
        self.0.borrow().tally.snapshot.clone().unwrap_or_default()
    }

    /// Whom its last look found, in order of their addresses.
    pub fn found(&self) -> Vec<SocketAddr> {
        let mut found: Vec<_> =
            self.snapshot().candidates.iter().map(|candidate| candidate.address).collect();
        found.sort();
        found
    }

    /// Looks that worked.
    pub fn looks(&self) -> u64 {
        self.0.borrow().tally.looks
    }

    /// The last problem that passed.
    pub fn last_problem(&self) -> Option<Problem> {
        self.0.borrow().tally.last_problem.clone()
    }

    /// Why it is not called again, where that is so.
    pub fn stopped(&self) -> Option<CallError> {
        self.0.borrow().tally.stopped.clone()
    }

    /// Its mode, to call by hand between runs.
    ///
    /// # Panics
    /// While another borrow of it is held.
    pub fn mode(&self) -> RefMut<'_, Mode> {
        self.0.borrow_mut()
    }

    /// See [`Mode::log`].
    pub fn log(&self) -> Vec<LogLine> {
        self.0.borrow().log()
    }

    /// Takes its announcement back and is gone.
    ///
    /// # Errors
    /// As [`Mode::withdraw`]; it is gone all the same.
    pub fn leave(&self) -> Result<(), CallError> {
        let withdrawn = self.0.borrow_mut().withdraw();
        self.crash();
        withdrawn
    }

    /// Is gone without a word.
    pub fn crash(&self) {
        self.0.borrow_mut().instance = None;
    }
}
