//! How long a call has computed: the time inside of polls of its future. What it waits
//! for in the host, of whatever interface, is between polls and free.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// One call's time of computing; clones are of the same call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Mutex<Computed>>);

#[derive(Debug, Default)]
struct Computed {
    before: Duration,
    /// Since when the running poll runs.
    since: Option<Instant>,
}

impl Meter {
    /// The next call starts at nothing.
    pub(crate) fn reset(&self) {
        *self.lock() = Computed::default();
    }

    /// So far, the running poll included.
    pub(crate) fn computed(&self) -> Duration {
        let computed = self.lock();
        computed.before + computed.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The same call, metered.
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
    async fn waiting_is_free_and_computing_is_not() {
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
        assert!(computed < Duration::from_millis(400), "the waits are not in it: {computed:?}");
        meter.reset();
        assert_eq!(meter.computed(), Duration::ZERO);
    }
}
