//! The simulated network: which packets and calls arrive, and when.

use std::collections::HashSet;
use std::time::Duration;

use convoke_membership::AtAddress;
use rand::RngExt as _;
use rand::rngs::StdRng;

/// The number of a simulated member.
pub(crate) type Node = usize;

/// Loss, delay, splits and faulty hosts.
pub(crate) struct Network {
    /// Share of datagrams that are lost, 0 to 1.
    pub(crate) loss: f64,
    /// One-way delay, minimum.
    pub(crate) delay_min: Duration,
    /// One-way delay, maximum.
    pub(crate) delay_max: Duration,
    /// Members whose datagrams and streams are delayed by up to `slowness_max`.
    pub(crate) slow: HashSet<Node>,
    /// See [`Network::slow`].
    pub(crate) slowness_max: Duration,
    /// Members on one side of a split, if there is one.
    pub(crate) island: Option<HashSet<Node>>,
    /// Members whose host lost its network link.
    pub(crate) unplugged: HashSet<Node>,
    /// Members that accept no connections; streams that they open work in both directions.
    pub(crate) closed: HashSet<Node>,
    /// Pairs of members between which nothing arrives.
    pub(crate) partitioned: HashSet<(Node, Node)>,
    /// Pairs of which the first cannot connect to the second; datagrams and other streams arrive.
    pub(crate) barred: HashSet<(Node, Node)>,
    /// Members that receive no datagrams; streams work.
    pub(crate) deaf: HashSet<Node>,
    /// Members whose datagrams are all lost; streams work.
    pub(crate) mute: HashSet<Node>,
    /// If not empty, every member has a second address, and each call to it has one of these
    /// results.
    pub(crate) second_address: Vec<AtAddress>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            loss: 0.0,
            delay_min: Duration::from_micros(100),
            delay_max: Duration::from_millis(2),
            slow: HashSet::new(),
            slowness_max: Duration::from_millis(1_500),
            island: None,
            unplugged: HashSet::new(),
            closed: HashSet::new(),
            partitioned: HashSet::new(),
            barred: HashSet::new(),
            deaf: HashSet::new(),
            mute: HashSet::new(),
            second_address: Vec::new(),
        }
    }
}

impl Network {
    /// Whether anything sent from one to the other arrives.
    pub(crate) fn connects(&self, a: Node, b: Node) -> bool {
        let split = self.island.as_ref().is_some_and(|i| i.contains(&a) != i.contains(&b));
        let partitioned = self.partitioned.contains(&(a, b)) || self.partitioned.contains(&(b, a));
        !split && !partitioned && !self.unplugged.contains(&a) && !self.unplugged.contains(&b)
    }

    /// Whether one can connect to the other.
    pub(crate) fn takes_call(&self, from: Node, to: Node) -> bool {
        self.connects(from, to) && !self.closed.contains(&to) && !self.barred.contains(&(from, to))
    }

    /// When a datagram arrives, if it does.
    pub(crate) fn datagram(&self, rng: &mut StdRng, from: Node, to: Node) -> Option<Duration> {
        let is_blocked = self.mute.contains(&from) || self.deaf.contains(&to);
        let arrives = self.connects(from, to) && !is_blocked && !rng.random_bool(self.loss);
        arrives.then(|| self.one_way(rng, from, to))
    }

    /// When something sent over a stream arrives: lost segments are retransmitted.
    pub(crate) fn stream(&self, rng: &mut StdRng, from: Node, to: Node) -> Option<Duration> {
        if !self.connects(from, to) {
            return None;
        }
        let mut delay = self.one_way(rng, from, to);
        while rng.random_bool(self.loss) && delay < Duration::from_secs(2) {
            delay += Duration::from_millis(200);
        }
        Some(delay)
    }

    /// The result of a call to a member's second address, if members have one.
    pub(crate) fn at_second_address(&self, rng: &mut StdRng) -> Option<AtAddress> {
        let count = self.second_address.len();
        (count > 0).then(|| self.second_address[rng.random_range(0..count)])
    }

    fn one_way(&self, rng: &mut StdRng, from: Node, to: Node) -> Duration {
        let mut delay = rng.random_range(self.delay_min..=self.delay_max);
        for end in [from, to] {
            if self.slow.contains(&end) {
                delay += rng.random_range(Duration::ZERO..=self.slowness_max);
            }
        }
        delay
    }
}
