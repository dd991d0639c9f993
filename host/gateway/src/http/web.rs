//! The state of the HTTP server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use convoke_grid::{Grid, VALUE_BYTES_MAX};
use tokio::sync::Semaphore;

use crate::pubsub::PubSub;
use crate::refusals::RefusalLog;
use crate::trust::Passwords;
use crate::{FINISH_MS_MAX, FINISH_POLL_MS, Node};

/// Limit of all request bodies in transfer together, in KiB: four values of maximum size.
const BODIES_KIB_MAX: usize = 4 * VALUE_BYTES_MAX / 1024;

/// The state of the HTTP server.
pub struct Web {
    pub(super) node: Arc<dyn Node>,
    pub(super) grid: Grid,
    pub(super) pubsub: Arc<PubSub>,
    pub(super) passwords: Passwords,
    pub(super) refusals: RefusalLog,
    /// Memory for request bodies in transfer; one permit is 1 KiB.
    pub(super) body_budget: Arc<Semaphore>,
    /// Number of open streams.
    pub(super) streams: AtomicUsize,
    /// Number of requests for data in progress.
    pub(super) in_flight: AtomicUsize,
    /// The member is leaving: no further request for data starts.
    pub(super) is_finishing: AtomicBool,
}

/// Counts a request for data as in progress until dropped.
pub(super) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Web {
    /// Creates the server of a member.
    #[must_use]
    pub fn new(
        node: Arc<dyn Node>,
        grid: Grid,
        pubsub: Arc<PubSub>,
        passwords: Passwords,
    ) -> Arc<Self> {
        let (streams, in_flight) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (body_budget, is_finishing) =
            (Arc::new(Semaphore::new(BODIES_KIB_MAX)), AtomicBool::new(false));
        Arc::new(Self {
            node,
            grid,
            pubsub,
            passwords,
            refusals: RefusalLog::new("HTTP"),
            body_budget,
            streams,
            in_flight,
            is_finishing,
        })
    }

    /// Starts a request for data; `None` if the member is leaving.
    pub(super) fn begin(&self) -> Option<InFlight<'_>> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let in_flight = InFlight(&self.in_flight);
        (!self.is_finishing.load(Ordering::SeqCst)).then_some(in_flight)
    }

    /// Rejects further requests for data and waits until those in progress are answered, for at
    /// most [`FINISH_MS_MAX`].
    pub async fn finish(&self) {
        self.is_finishing.store(true, Ordering::SeqCst);
        let end = Instant::now() + Duration::from_millis(FINISH_MS_MAX);
        // A finished response is sent within one poll interval, so two idle polls in a row are
        // needed.
        let mut idle_polls_left = 2;
        while idle_polls_left > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(FINISH_POLL_MS)).await;
            idle_polls_left =
                if self.in_flight.load(Ordering::SeqCst) > 0 { 2 } else { idle_polls_left - 1 };
        }
    }
}
