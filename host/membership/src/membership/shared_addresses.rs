//! Addresses that several members advertise, such as that of a container bridge, which every host
//! has. Such an address may lead to any of them, so it is not used: see [`View::dial_addresses`].
//!
//! That is reported to operators if it lasts. A process that is restarted has the address of the
//! previous one, which stays in the view until it is found dead.

use std::net::SocketAddr;
use std::time::Duration;

use super::{ClusterState, Event, Membership, Phase};
use crate::view::View;

/// Time for which several members must have advertised an address before that is reported: longer
/// than the failure detector takes to declare one of them dead.
const REPORT_AFTER: Duration = Duration::from_secs(10);

/// An address that several members advertise.
pub(super) struct Shared {
    since: Duration,
    /// Whether it was reported to operators.
    reported: bool,
}

impl ClusterState {
    /// Records which addresses several members of a new view advertise.
    pub(super) fn note_shared_addresses(&mut self, now: Duration, view: &View) {
        let mut before = std::mem::take(&mut self.shared);
        let new = || Shared { since: now, reported: false };
        let shared = view.shared_addresses().into_keys();
        self.shared =
            shared.map(|address| (address, before.remove(&address).unwrap_or_else(new))).collect();
    }

    /// When the next report is due.
    pub(super) fn shared_due(&self) -> Option<Duration> {
        let pending = self.shared.values().filter(|shared| !shared.reported);
        pending.map(|shared| shared.since + REPORT_AFTER).min()
    }

    /// Addresses that are to be reported now.
    fn take_reports(&mut self, now: Duration) -> Vec<SocketAddr> {
        let is_due = |shared: &Shared| !shared.reported && now >= shared.since + REPORT_AFTER;
        let due = self.shared.iter_mut().filter(|(_, shared)| is_due(shared));
        due.map(|(address, shared)| {
            shared.reported = true;
            *address
        })
        .collect()
    }
}

impl Membership {
    pub(super) fn tick_shared(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let due = cluster.take_reports(now);
        if due.is_empty() {
            return;
        }
        let view = cluster.view.clone();
        let members = view.shared_addresses();
        for address in due {
            if let Some([one, other]) = members.get(&address)
                && let (Some(one), Some(other)) = (view.get(*one), view.get(*other))
            {
                let members = [one.clone(), other.clone()];
                self.emit(Event::SharedAddress { address, members });
            }
        }
    }
}
