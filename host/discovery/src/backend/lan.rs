//! A simulated multicast network, with loss and delay from a seed.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::mpsc;

use crate::limits;

/// A simulated network. Clones share it; time is tokio's, which a test may have paused.
#[derive(Clone, Debug)]
pub struct Lan(Arc<Mutex<Segment>>);

#[derive(Debug)]
struct Segment {
    loss: f64,
    delay: RangeInclusive<Duration>,
    random: StdRng,
    listeners: Vec<Listener>,
    recorded: Vec<Vec<u8>>,
    recorded_max: usize,
}

#[derive(Debug)]
struct Listener {
    group: SocketAddr,
    datagrams: mpsc::Sender<(Vec<u8>, SocketAddr)>,
}

/// A socket that has joined a group.
#[derive(Debug)]
pub(crate) struct LanSocket {
    lan: Lan,
    group: SocketAddr,
    address: SocketAddr,
    arrived: tokio::sync::Mutex<mpsc::Receiver<(Vec<u8>, SocketAddr)>>,
}

impl Lan {
    /// A network without loss or delay.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Segment {
            loss: 0.0,
            delay: Duration::ZERO..=Duration::ZERO,
            random: StdRng::seed_from_u64(seed),
            listeners: Vec::new(),
            recorded: Vec::new(),
            recorded_max: 0,
        })))
    }

    /// Sets the fraction of datagrams that are lost, 0.0 to 1.0, decided for each receiver.
    pub fn set_loss(&self, part: f64) {
        self.segment().loss = part.clamp(0.0, 1.0);
    }

    /// Sets the range from which the delay of each datagram is drawn.
    pub fn set_delay(&self, range: RangeInclusive<Duration>) {
        self.segment().delay = range;
    }

    /// Records the next `max` datagrams, as they are sent.
    pub fn record(&self, max: usize) {
        let mut segment = self.segment();
        segment.recorded.clear();
        segment.recorded_max = max;
    }

    /// The recorded datagrams, oldest first.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.segment().recorded.clone()
    }

    /// Sends a datagram without encryption, as a process that is not a member would.
    pub fn inject(&self, group: SocketAddr, from: SocketAddr, datagram: &[u8]) {
        self.send(group, from, datagram);
    }

    pub(crate) fn join(&self, group: SocketAddr, address: SocketAddr) -> LanSocket {
        let (datagrams, arrived) = mpsc::channel(limits::DATAGRAM_QUEUE_MAX);
        self.segment().listeners.push(Listener { group, datagrams });
        LanSocket { lan: self.clone(), group, address, arrived: tokio::sync::Mutex::new(arrived) }
    }

    fn send(&self, group: SocketAddr, from: SocketAddr, datagram: &[u8]) {
        let mut segment = self.segment();
        segment.listeners.retain(|listener| !listener.datagrams.is_closed());
        if segment.recorded.len() < segment.recorded_max {
            segment.recorded.push(datagram.to_vec());
        }
        let Segment { loss, delay, random, listeners, .. } = &mut *segment;
        for listener in listeners.iter().filter(|listener| listener.group == group) {
            if *loss > 0.0 && random.random_bool(*loss) {
                continue;
            }
            let wait = random.random_range(delay.clone());
            let (to, arriving) = (listener.datagrams.clone(), (datagram.to_vec(), from));
            if wait.is_zero() {
                // A full queue drops it, as a socket buffer does.
                let _ = to.try_send(arriving);
            } else {
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    let _ = to.try_send(arriving);
                });
            }
        }
    }

    fn segment(&self) -> MutexGuard<'_, Segment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LanSocket {
    pub(crate) fn send(&self, datagram: &[u8]) {
        self.lan.send(self.group, self.address, datagram);
    }

    /// Receives the next datagram, truncated to `buffer`.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        match self.arrived.lock().await.recv().await {
            Some((datagram, from)) => {
                let length = datagram.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram[..length]);
                (length, from)
            }
            // All senders are gone.
            None => std::future::pending().await,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
