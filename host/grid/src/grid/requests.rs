//! Requests that the grid routes to the primary of a partition without interpreting them: scripts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::state::{Grid, Inner};
use crate::partition::{Executed, Slot};
use crate::{OpError, Reply};

/// The future reply of a request; `None` if this member is no longer the primary and nothing was
/// done.
pub type Running = Pin<Box<dyn Future<Output = Option<Result<Reply, OpError>>> + Send>>;

/// Runs a request.
pub(super) type Runner = Box<dyn Fn(u16, Vec<u8>) -> Running + Send + Sync>;

impl Grid {
    /// Sets the function that runs requests ([`Op::Request`](crate::Op::Request)) which other
    /// members send to this member as the primary of a partition. Can be set once.
    pub fn run_requests_with(&self, run: impl Fn(u16, Vec<u8>) -> Running + Send + Sync + 'static) {
        let _ = self.inner.requests.set(Box::new(run));
    }
}

impl Inner {
    /// Starts a request, if this member is the primary of the partition.
    pub(super) fn start_request(self: &Arc<Self>, partition: u16, request: &[u8]) -> Executed {
        if self.partitions[usize::from(partition)].lock().serving_primary().is_none() {
            return Executed::NotPrimary;
        }
        let Some(run) = self.requests.get() else {
            return Executed::Done(Err(OpError::Unavailable), None);
        };
        let slot = Arc::new(Slot::default());
        slot.claim();
        let (filled, running) = (Arc::clone(&slot), run(partition, request.to_vec()));
        self.shared.host.spawn(Box::pin(async move {
            filled.fill(match running.await {
                Some(reply) => Executed::Done(reply, None),
                None => Executed::NotPrimary,
            });
        }));
        Executed::Runs(slot)
    }
}
