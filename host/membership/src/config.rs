//! The timings of a cluster.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

/// Timings. All members of a cluster should run with the same ones; a member
/// with others works, and is slower or more nervous than its peers.
#[derive(Clone, Debug)]
pub struct Config {
    /// How often one member is probed (SWIM §3.1). Detection of a lost host
    /// takes about two periods plus [`Config::suspicion`].
    pub probe_period: Duration,
    /// How long a direct answer may take before others are asked to probe as
    /// well. A high quantile of the network's round trip.
    pub probe_rtt: Duration,
    /// How long a suspect may take to object (SWIM §4.2).
    pub suspicion: Duration,
    /// How often news is passed on, to three members each time.
    pub gossip_period: Duration,
    /// How often the whole of what SWIM knows is exchanged with one member.
    pub sync_period: Duration,
    /// The coordinator publishes at once, then not again for this long:
    /// members that join together are published together.
    pub publish_period: Duration,
    /// How long a member that starts waits for one that it met and that
    /// starts as well, before it founds a cluster of its own.
    pub founding_wait: Duration,
    /// How long a question to another member may go unanswered before it is
    /// asked again.
    pub answer_wait: Duration,
    /// How long a new coordinator gathers the views of the others.
    pub claim_wait: Duration,
    /// How often lost members are called, in case they come back.
    pub recall_period: Duration,
    /// How long a graceful leave waits for the others to know.
    pub leave_wait: Duration,
}

/// Largest SWIM packet, in bytes, so that it fits a sealed datagram.
pub const SWIM_PACKET_BYTES_MAX: usize = 1_200;

impl Default for Config {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(400),
            probe_rtt: Duration::from_millis(130),
            suspicion: Duration::from_millis(900),
            gossip_period: Duration::from_millis(100),
            sync_period: Duration::from_secs(15),
            publish_period: Duration::from_millis(50),
            founding_wait: Duration::from_millis(1_500),
            answer_wait: Duration::from_millis(500),
            claim_wait: Duration::from_millis(250),
            recall_period: Duration::from_millis(1_000),
            leave_wait: Duration::from_millis(1_000),
        }
    }
}

impl Config {
    /// The same in foca's terms for a cluster of `size` members.
    pub(crate) fn foca(&self, size: usize) -> foca::Config {
        // News reaches all of n members in O(log n) rounds (SWIM §4.1); five
        // is foca's own floor for small clusters.
        let rounds = (4.0 * ((size + 1) as f64).log10()).clamp(5.0, 20.0) as u8;
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: NonZeroUsize::new(3).expect("not zero"),
            max_transmissions: NonZeroU8::new(rounds).expect("at least five"),
            suspect_to_down_after: self.suspicion,
            remove_down_after: Some(Duration::from_secs(3_600)),
            max_packet_size: NonZeroUsize::new(SWIM_PACKET_BYTES_MAX).expect("not zero"),
            notify_down_members: true,
            // The view and the exchange of full states do what announcing is
            // for, and do it whole.
            periodic_announce: None,
            periodic_announce_to_down_members: None,
            periodic_gossip: Some(foca::PeriodicParams {
                frequency: self.gossip_period,
                num_members: NonZeroUsize::new(3).expect("not zero"),
            }),
        }
    }
}
