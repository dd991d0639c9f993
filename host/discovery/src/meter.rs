//! Measures the computing time of a call: the time inside polls of its future. Waits in the
//! host, in any interface, happen between polls and do not count.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The computing time of one call; clones measure the same call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Mutex<Computed>>);

#[derive(Debug, Default)]
struct Computed {
    before: Duration,
    /// The start of the running poll.
    since: Option<Instant>,
}

impl Meter {
    /// Resets the time for the next call.
    pub(crate) fn reset(&self) {
        *self.lock() = Computed::default();
    }

    /// The computing time so far, including the running poll.
    pub(crate) fn computed(&self) -> Duration {
        let computed = self.lock();
        computed.before + computed.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Runs `call` and measures it.
    pub(crate) async fn run<F: Future>(&self, call: F) -> F::Output {
        let mut call = Box::pin(call);
        std::future::poll_fn(|context| self.poll(call.as_mut(), context)).await
    }

    fn poll<F: Future>(&self, call: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.lock().since = Some(Instant::now());
        let polled = call.poll(context);
        let mut computed = self.lock();
        if let Some(since) = computed.since.take() {
            computed.before += since.elapsed();
        }
        polled
    }

    fn lock(&self) -> MutexGuard<'_, Computed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn computing_counts_and_waiting_does_not() {
        let meter = Meter::default();
        let computing = Duration::from_millis(30);
        let call = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let started = Instant::now();
            while started.elapsed() < computing {
                std::hint::spin_loop();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            meter.computed()
        };
        let computed = meter.run(call).await;
        assert!(computed >= computing, "{computed:?}");
        assert!(computed < Duration::from_millis(400), "waits do not count: {computed:?}");
        meter.reset();
        assert_eq!(meter.computed(), Duration::ZERO);
    }
}
