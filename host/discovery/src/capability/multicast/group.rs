//! One joined multicast group: its links, the receive queue, and counters.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::link::Link;
use super::socket;
use crate::beacon::{BeaconCipher, BeaconRejection};
use crate::capability::mode::Mode;
use crate::capability::rate::Bucket;
use crate::limits;

/// Datagram counters of one mode's groups, over all its instances.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    sent: AtomicU64,
    received: AtomicU64,
    foreign: AtomicU64,
    malformed: AtomicU64,
    replayed: AtomicU64,
    dropped: AtomicU64,
}

/// Datagram counters of one mode's groups. This member's own datagrams, looped back, are not
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MulticastCounters {
    /// Datagrams sent, counted once for all interfaces.
    pub sent: u64,
    /// Datagrams decrypted and queued for the mode.
    pub received: u64,
    /// Datagrams of another cluster, or sealed with another password.
    pub foreign: u64,
    /// Datagrams that are not sealed by Convoke.
    pub malformed: u64,
    /// Datagrams received before: replayed, or received on two interfaces of one network.
    pub replayed: u64,
    /// Datagrams dropped because the mode's queue was full.
    pub dropped: u64,
}

impl Totals {
    pub(crate) fn read(&self) -> MulticastCounters {
        MulticastCounters {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            foreign: self.foreign.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            replayed: self.replayed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }
}

/// A decrypted datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) source: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

/// Why a datagram was not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    TooLarge,
    TooFast,
    Failed(String),
}

/// A joined group. Dropping it leaves the group and stops its tasks.
pub(crate) struct Group {
    mode: Arc<Mode>,
    totals: Arc<Totals>,
    links: Vec<Arc<Link>>,
    cipher: Arc<Mutex<Box<dyn BeaconCipher>>>,
    bucket: Bucket,
    queue: Arc<Queue>,
    sealed: Vec<u8>,
    _receiving: JoinSet<()>,
}

/// Received datagrams that the mode has not taken yet; the oldest are dropped when it is full.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    datagrams: Mutex<VecDeque<Received>>,
    arrived: Notify,
}

impl Group {
    /// Joins on every interface of the group's IP version; succeeds if one interface works.
    ///
    /// # Errors
    /// The reasons, when no interface can join.
    pub(crate) fn join(
        mode: &Arc<Mode>,
        totals: &Arc<Totals>,
        group: SocketAddr,
    ) -> Result<Self, String> {
        let host = &mode.host;
        if let Some(why) = host.backend.failing() {
            return Err(why);
        }
        if let Some(fakes) = host.backend.fakes() {
            return Ok(Self::on(mode, totals, group, vec![Link::fake(fakes, group)]));
        }
        let version = if group.is_ipv4() { 4 } else { 6 };
        let mut links = Vec::new();
        let mut refused = Vec::new();
        let interfaces = Arc::clone(&mode.local_addresses.borrow().interfaces);
        for interface in &*interfaces {
            if interface.address.is_ipv4() != group.is_ipv4() {
                continue;
            }
            match socket::open(group, *interface, host.multicast_hops) {
                Ok(socket) => links.push(Link::Socket(socket)),
                Err(error) => refused.push(format!("{}: {error}", interface.address)),
            }
        }
        if links.is_empty() {
            return Err(if refused.is_empty() {
                format!(
                    "none of the configured interfaces has an IPv{version} address, which the group {} needs",
                    group.ip()
                )
            } else {
                format!("{group} cannot be joined on {}", refused.join("; "))
            });
        }
        for reason in refused {
            if mode.first_report(format!("join {group} {reason}")) {
                tracing::warn!(mode = %mode.name, "{group} cannot be joined on {reason}; the other interfaces are used");
            }
        }
        Ok(Self::on(mode, totals, group, links))
    }

    /// A group joined on each of `links`.
    fn on(mode: &Arc<Mode>, totals: &Arc<Totals>, group: SocketAddr, links: Vec<Link>) -> Self {
        let links: Vec<Arc<Link>> = links.into_iter().map(Arc::new).collect();
        let cipher = Arc::new(Mutex::new(mode.host.beacon_ciphers.make(group)));
        let queue = Arc::new(Queue::default());
        for datagram in mode.host.backend.fakes().into_iter().flat_map(|fakes| &fakes.datagrams) {
            if datagram.group == group {
                queue.put(Received { source: datagram.from, payload: datagram.payload() });
            }
        }
        let mut receiving = JoinSet::new();
        for link in &links {
            let receiver = Receiver {
                mode: Arc::clone(mode),
                totals: Arc::clone(totals),
                group,
                link: Arc::clone(link),
                cipher: Arc::clone(&cipher),
                queue: Arc::clone(&queue),
            };
            receiving.spawn(receiver.run());
        }
        Self {
            mode: Arc::clone(mode),
            totals: Arc::clone(totals),
            links,
            cipher,
            bucket: Bucket::new(limits::SENDS_PER_SECOND, limits::SENDS_BURST),
            queue,
            sealed: Vec::new(),
            _receiving: receiving,
        }
    }

    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Seals `payload` and sends it on every interface; succeeds if one interface works.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > limits::PAYLOAD_BYTES_MAX {
            return Err(SendError::TooLarge);
        }
        if !self.bucket.take() {
            return Err(SendError::TooFast);
        }
        self.sealed.clear();
        lock(&self.cipher).seal(payload, &mut self.sealed).map_err(SendError::Failed)?;
        let mut sent = false;
        let mut refused = Vec::new();
        for link in &self.links {
            match link.send(&self.sealed).await {
                Ok(()) => sent = true,
                Err(error) => refused.push(format!("{}: {error}", link.interface())),
            }
        }
        if !sent {
            return Err(SendError::Failed(refused.join("; ")));
        }
        for reason in refused {
            if self.mode.first_report(format!("send {reason}")) {
                tracing::warn!(mode = %self.mode.name, "multicast cannot be sent on {reason}; the other interfaces work");
            }
        }
        self.totals.sent.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl Queue {
    /// Takes at most `max` datagrams, waiting up to `wait` for the first.
    pub(crate) async fn take(&self, max: usize, wait: Duration) -> Vec<Received> {
        let deadline = Instant::now() + wait;
        loop {
            let arrived = self.arrived.notified();
            let taken: Vec<Received> = {
                let mut datagrams = lock(&self.datagrams);
                let some = max.min(datagrams.len());
                datagrams.drain(..some).collect()
            };
            if !taken.is_empty() || tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return taken;
            }
        }
    }

    /// Adds a datagram; true if the oldest was dropped for it.
    fn put(&self, datagram: Received) -> bool {
        let full = {
            let mut datagrams = lock(&self.datagrams);
            let full = datagrams.len() == limits::DATAGRAM_QUEUE_MAX;
            if full {
                datagrams.pop_front();
            }
            datagrams.push_back(datagram);
            full
        };
        self.arrived.notify_one();
        full
    }
}

/// Receives datagrams from one link while the group is joined.
struct Receiver {
    mode: Arc<Mode>,
    totals: Arc<Totals>,
    group: SocketAddr,
    link: Arc<Link>,
    cipher: Arc<Mutex<Box<dyn BeaconCipher>>>,
    queue: Arc<Queue>,
}

impl Receiver {
    async fn run(self) {
        let mut buffer = vec![0; limits::DATAGRAM_BYTES_MAX];
        loop {
            match self.link.receive(&mut buffer).await {
                Ok((length, source)) => self.handle(&buffer[..length], source),
                Err(error) => {
                    let interface = self.link.interface();
                    if self.mode.first_report(format!("receive {interface} {error}")) {
                        tracing::warn!(mode = %self.mode.name, "cannot receive for {} on {interface}: {error}; retrying", self.group);
                    }
                    tokio::time::sleep(Duration::from_millis(limits::RECEIVE_RETRY_MS)).await;
                }
            }
        }
    }

    fn handle(&self, datagram: &[u8], source: SocketAddr) {
        let totals = &self.totals;
        let mut payload = Vec::new();
        let opened = lock(&self.cipher).open(datagram, &mut payload);
        let counter = match opened {
            Ok(()) => {
                if self.queue.put(Received { source, payload }) {
                    totals.dropped.fetch_add(1, Relaxed);
                }
                &totals.received
            }
            Err(BeaconRejection::Own) => return,
            Err(BeaconRejection::Foreign) => {
                self.report_foreign(source);
                &totals.foreign
            }
            Err(BeaconRejection::Replayed) => &totals.replayed,
            Err(BeaconRejection::Malformed) => &totals.malformed,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn report_foreign(&self, source: SocketAddr) {
        let group = self.group;
        if self.mode.first_report(format!("foreign {group}")) {
            tracing::info!(
                mode = %self.mode.name,
                "another cluster, or another password, on {group} (first from {}); ignored",
                source.ip()
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Queue, Received};
    use std::time::Duration;

    fn datagram(number: u8) -> Received {
        Received { source: "127.0.0.1:1".parse().unwrap(), payload: vec![number] }
    }

    #[tokio::test(start_paused = true)]
    async fn taking_waits_for_the_first_datagram_up_to_the_bound() {
        let queue = Queue::default();
        let started = tokio::time::Instant::now();
        assert_eq!(queue.take(10, Duration::from_millis(700)).await, []);
        assert_eq!(started.elapsed(), Duration::from_millis(700));
        let put = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            queue.put(datagram(1));
        };
        let (taken, ()) = tokio::join!(queue.take(10, Duration::from_secs(5)), put);
        assert_eq!(taken, [datagram(1)]);
        assert_eq!(started.elapsed(), Duration::from_millis(800));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_drops_the_oldest() {
        let queue = Queue::default();
        let lost = (0..=255).chain(0..2).filter(|number| queue.put(datagram(*number))).count();
        assert_eq!(lost, 2);
        let taken = queue.take(300, Duration::ZERO).await;
        assert_eq!(taken.len(), 256);
        assert_eq!((taken[0].payload[0], taken[255].payload[0]), (2, 1));
    }
}
