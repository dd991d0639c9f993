//! Several members in a simulated network, with a common virtual clock.

use std::cell::{RefCell, RefMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use convoke_discovery::{CallError, Lan as Network, Problem, Snapshot};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::cipher::{Key, frame_from_new_sender, payload};
use crate::clock::Clock;
use crate::error::HarnessError;
use crate::harness::Harness;
use crate::log::LogLine;
use crate::mode::Mode;

/// A simulated network of members, for modes that find one another by multicast. By default
/// without loss and delay.
#[derive(Debug)]
pub struct Lan {
    clock: Rc<Clock>,
    network: Network,
    members: Vec<Rc<RefCell<Mode>>>,
    compiled: TempDir,
}

/// One member of a [`Lan`]; clones refer to the same member.
#[derive(Clone, Debug)]
pub struct Member(Rc<RefCell<Mode>>);

impl Lan {
    /// An empty network. Loss and delay are derived from `seed`.
    ///
    /// # Errors
    /// A thread or a temporary folder cannot be created.
    pub fn new(seed: u64) -> Result<Self, HarnessError> {
        Ok(Self {
            clock: Clock::start()?,
            network: Network::new(seed),
            members: Vec::new(),
            compiled: TempDir::new()?,
        })
    }

    /// Sets the fraction of datagrams that are lost, 0.0 to 1.0, decided for each receiver.
    #[must_use]
    pub fn loss(self, part: f64) -> Self {
        self.network.set_loss(part);
        self
    }

    /// Sets the range from which the delay of each datagram is drawn, so that datagrams may be
    /// reordered.
    #[must_use]
    pub fn delay(self, range: RangeInclusive<Duration>) -> Self {
        self.network.set_delay(range);
        self
    }

    /// Opens a mode as a member at `address`, an IP address, with the member id
    /// `member-ADDRESS`. Its calls are made by [`run`](Self::run).
    ///
    /// # Errors
    /// As for [`Harness::open`].
    pub fn member(&mut self, address: &str, mode: &Harness) -> Result<Member, HarnessError> {
        let ip: IpAddr = address.parse().map_err(|_| HarnessError::Address(address.to_owned()))?;
        let mode = mode.clone().cache_or(self.compiled.path());
        let opened = mode.open_in(&self.clock, Some((self.network.clone(), ip)))?;
        let member = Rc::new(RefCell::new(opened));
        self.members.push(Rc::clone(&member));
        Ok(Member(member))
    }

    /// Lets all members discover and announce for `time` of virtual time, at the intervals of
    /// the host but without jitter. Running calls are completed, so more time may pass. A mode
    /// that crashed, or reported `misconfigured` or `denied`, is not called again.
    pub fn run(&self, time: Duration) {
        self.clock.run(async {
            let until = Instant::now() + time;
            let mut running = JoinSet::new();
            for (at, member) in self.members.iter().enumerate() {
                let mut member = member.borrow_mut();
                let Some(mut instance) = member.instance.take() else { continue };
                let (mut schedule, mut tally) =
                    (member.schedule, std::mem::take(&mut member.tally));
                running.spawn(async move {
                    while tally.stopped.is_none() && schedule.next() < until {
                        schedule.step(&mut instance, &mut tally).await;
                    }
                    (at, instance, schedule, tally)
                });
            }
            while let Some(ended) = running.join_next().await {
                let (at, instance, schedule, tally) = match ended {
                    Ok(ended) => ended,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                };
                let mut member = self.members[at].borrow_mut();
                (member.instance, member.schedule, member.tally) =
                    (Some(instance), schedule, tally);
            }
            sleep_until(until).await;
        });
    }

    /// Sends a datagram that is not sealed, so members cannot open it.
    pub fn inject(&self, group: SocketAddr, from: SocketAddr, datagram: &[u8]) {
        let _inside = self.clock.enter();
        self.network.inject(group, from, datagram);
    }

    /// Sends a sealed datagram as another member of the named cluster: its members open it, and
    /// their modes receive `payload`.
    pub fn inject_sealed(
        &self,
        group: SocketAddr,
        from: SocketAddr,
        cluster: &str,
        payload: &[u8],
    ) {
        self.inject_with_key(group, from, Key::of(cluster), payload);
    }

    pub(crate) fn inject_with_key(
        &self,
        group: SocketAddr,
        from: SocketAddr,
        key: Key,
        payload: &[u8],
    ) {
        self.inject(group, from, &frame_from_new_sender(key, payload));
    }

    /// Records the payloads of the next `max` datagrams for [`recorded`](Self::recorded).
    pub fn record(&self, max: usize) {
        self.network.record(max);
    }

    /// The payloads that modes sent since [`record`](Self::record), oldest first.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.network
            .recorded()
            .iter()
            .filter_map(|frame| payload(frame))
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// The virtual time since the network was created.
    pub fn now(&self) -> Duration {
        self.clock.elapsed()
    }
}

impl Member {
    /// The result of its last successful call of `discover`; empty before the first.
    pub fn snapshot(&self) -> Snapshot {
        self.0.borrow().tally.snapshot.clone().unwrap_or_default()
    }

    /// The addresses of its last successful result, sorted.
    pub fn found(&self) -> Vec<SocketAddr> {
        let mut found: Vec<_> =
            self.snapshot().candidates.iter().map(|candidate| candidate.address).collect();
        found.sort();
        found
    }

    /// The number of successful calls of `discover`.
    pub fn calls(&self) -> u64 {
        self.0.borrow().tally.calls
    }

    /// The last problem that was not permanent.
    pub fn last_problem(&self) -> Option<Problem> {
        self.0.borrow().tally.last_problem.clone()
    }

    /// Why it is not called again, if that is so.
    pub fn stopped(&self) -> Option<CallError> {
        self.0.borrow().tally.stopped.clone()
    }

    /// Its mode, to be called directly between runs.
    ///
    /// # Panics
    /// If another borrow of it is held.
    pub fn mode(&self) -> RefMut<'_, Mode> {
        self.0.borrow_mut()
    }

    /// See [`Mode::log`].
    pub fn log(&self) -> Vec<LogLine> {
        self.0.borrow().log()
    }

    /// Withdraws its announcement and leaves the network.
    ///
    /// # Errors
    /// As for [`Mode::withdraw`]; it leaves the network in any case.
    pub fn leave(&self) -> Result<(), CallError> {
        let withdrawn = self.0.borrow_mut().withdraw();
        self.crash();
        withdrawn
    }

    /// Leaves the network without withdrawing.
    pub fn crash(&self) {
        self.0.borrow_mut().instance = None;
    }
}
