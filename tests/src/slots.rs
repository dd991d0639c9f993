//! The owner of each slot.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use convoke_grid::slot::{SLOTS, slot};
use rustix::process::Signal;

use crate::resp::Value;
use crate::{Cluster, Member};

/// Time limit until all slots have an owner.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Polling interval.
const POLL: Duration = Duration::from_millis(5);

/// The owner of each slot.
pub struct Slots {
    owners: Vec<SocketAddr>,
}

impl Slots {
    /// Reads the slots from a lite Redis Cluster node that joins for it and leaves again, since
    /// `members` need not support `CLUSTER SLOTS`.
    ///
    /// # Panics
    /// If a slot has no owner.
    #[track_caller]
    #[must_use]
    pub fn of(cluster: &Cluster, members: &[Member]) -> Self {
        let mut node = cluster.launch().flag("--lite").flag("--redis-cluster").start();
        cluster.agree(members.iter().chain([&node]));
        let start = Instant::now();
        let owners = loop {
            let answer = node.client().command("CLUSTER SLOTS").expect("a member answers");
            if let Some(owners) = owners(&answer) {
                break owners;
            }
            assert!(start.elapsed() < WAIT_MAX, "some slots have no owner: {answer:?}");
            std::thread::sleep(POLL);
        };
        node.signal(Signal::TERM);
        node.wait_exit(WAIT_MAX);
        cluster.agree(members);
        Self { owners }
    }

    /// The RESP address of the owner of a key.
    #[must_use]
    pub fn owner(&self, key: &[u8]) -> SocketAddr {
        self.owners[usize::from(slot(key))]
    }
}

fn owners(answer: &Value) -> Option<Vec<SocketAddr>> {
    let mut owners = vec![None; usize::from(SLOTS)];
    for run in answer.list()? {
        let [first, last, node, ..] = run.list()? else { return None };
        let number = |value: &Value| value.integer().and_then(|n| usize::try_from(n).ok());
        let [ip, port, ..] = node.list()? else { return None };
        let ip = std::str::from_utf8(ip.bytes()?).ok()?.parse().ok()?;
        let port = u16::try_from(number(port)?).ok()?;
        owners.get_mut(number(first)?..=number(last)?)?.fill(Some(SocketAddr::new(ip, port)));
    }
    owners.into_iter().collect()
}
