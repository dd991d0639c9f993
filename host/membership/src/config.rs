//! Timings of membership.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

/// Timings of failure detection, publishing and joining.
///
/// All members of a cluster should use the same values. A member with other ones still works, but
/// detects failures earlier or later than the others.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between two probes of the failure detector, each of one member (SWIM §3.1).
    ///
    /// Must be greater than [`Config::probe_rtt`]: a probe must be decided before the next one
    /// starts. The loss of a host is detected after about two periods plus [`Config::suspicion`].
    ///
    /// Rule of thumb: three times [`Config::probe_rtt`], which leaves time for indirect probes.
    pub probe_period: Duration,
    /// Time limit of a direct reply to a probe, after which other members are asked to probe as
    /// well (SWIM §3.1).
    ///
    /// Must be smaller than [`Config::probe_period`].
    ///
    /// Rule of thumb: a high quantile of the network's round-trip time, plus the delays of a busy
    /// host. On a local network this is far above the average.
    pub probe_rtt: Duration,
    /// Time that a suspected member has to refute the suspicion before it is declared down (SWIM
    /// §4.2).
    ///
    /// Must be at least two probe periods, so that the suspect learns of the suspicion in time to
    /// refute it. Together with [`Config::probe_period`] it must keep the detection of a loss
    /// longer than the lease of the data (1 s, `host/grid/src/lease.rs`).
    ///
    /// Rule of thumb: two to three probe periods. Longer means fewer false positives and slower
    /// detection.
    pub suspicion: Duration,
    /// Time between two rounds of gossip, each to three members.
    ///
    /// Must be smaller than [`Config::suspicion`], so that a suspicion and its refutation spread
    /// within it.
    ///
    /// Rule of thumb: a quarter of the probe period. News reaches all of n members in O(log n)
    /// rounds (SWIM §4.1).
    pub gossip_period: Duration,
    /// Time between two exchanges of the full SWIM state, each with one member.
    ///
    /// Must be much greater than [`Config::probe_period`]: a full state grows with the number of
    /// members and is sent over a stream.
    ///
    /// Rule of thumb: 10 to 30 s. It repairs what gossip missed, so it need not be fast.
    pub sync_period: Duration,
    /// Shortest time between two publications of the coordinator. The first change is published
    /// at once; members that join within this time are published together.
    ///
    /// Must be smaller than [`Config::founding_wait`], since starting members wait for the view
    /// that contains them.
    ///
    /// Rule of thumb: 50 ms. Longer means fewer views while many members join, and slower joins.
    pub publish_period: Duration,
    /// Time that a starting member waits for an older starting member that it has found, before it
    /// founds a cluster.
    ///
    /// Must be greater than [`Config::answer_wait`], so that a lost request is repeated at least
    /// once.
    ///
    /// Rule of thumb: three times [`Config::answer_wait`].
    pub founding_wait: Duration,
    /// Time without an answer after which a request to another member is repeated.
    ///
    /// Must be greater than the round-trip time of a stream, including its handshake.
    ///
    /// Rule of thumb: 500 ms.
    pub answer_wait: Duration,
    /// Time that a new coordinator waits for the views of the other members before it publishes.
    ///
    /// Must be smaller than [`Config::answer_wait`], so that members do not repeat requests to a
    /// coordinator that is taking over.
    ///
    /// Rule of thumb: twice [`Config::probe_rtt`]. Members that reply sooner end the wait.
    pub claim_wait: Duration,
    /// Time between two rounds of calls to lost members, which heal a split.
    ///
    /// Must be greater than [`Config::answer_wait`], so that calls of two rounds do not overlap.
    ///
    /// Rule of thumb: 1 s. A healed split is noticed after about one period.
    pub recall_period: Duration,
    /// Time limit for the other members to confirm a graceful leave.
    ///
    /// Must be greater than [`Config::answer_wait`], so that a lost request is repeated at least
    /// once.
    ///
    /// Rule of thumb: twice [`Config::answer_wait`]. Afterwards the member stops anyway, and the
    /// failure detector of the others finds it dead.
    pub leave_wait: Duration,
}

/// Largest SWIM packet, in bytes: fits into a sealed datagram.
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
    /// The configuration of foca for a cluster of `size` members.
    pub(crate) fn foca(&self, size: usize) -> foca::Config {
        // Gossip reaches all of n members in O(log n) rounds (SWIM §4.1); five is foca's own
        // minimum for small clusters.
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
            // Announcing is not needed: the view and the exchange of full states cover it.
            periodic_announce: None,
            periodic_announce_to_down_members: None,
            periodic_gossip: Some(foca::PeriodicParams {
                frequency: self.gossip_period,
                num_members: NonZeroUsize::new(3).expect("not zero"),
            }),
        }
    }
}
