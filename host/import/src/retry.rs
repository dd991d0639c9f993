//! Waiting before a step is tried again, and stopping when the user interrupts.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::trouble::Trouble;

/// First wait, in milliseconds. Each wait is twice as long as the one before it.
const WAIT_MS_MIN: u64 = 50;
/// Longest wait, in milliseconds.
const WAIT_MS_MAX: u64 = 5_000;
/// How long a server may be unavailable, in milliseconds.
pub(crate) const UNAVAILABLE_MS_MAX: u64 = 60_000;

/// Whether the user has interrupted the import.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Interrupts the import when the sender sends `true`.
    #[must_use]
    pub fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// Fails if the import was interrupted.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        if *self.0.borrow() { Err(Trouble::Interrupted) } else { Ok(()) }
    }

    /// Waits, unless the import is interrupted.
    async fn sleep(&mut self, time: Duration) -> Result<(), Trouble> {
        let interrupted = async {
            if self.0.wait_for(|stop| *stop).await.is_err() {
                // Nobody can interrupt it any more.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = interrupted => Err(Trouble::Interrupted),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

/// Waits of growing length, for a bounded time.
#[derive(Debug)]
pub(crate) struct Backoff {
    stop: Stop,
    wait_ms: u64,
    since: Instant,
}

impl Backoff {
    pub(crate) fn new(stop: &Stop) -> Self {
        Self { stop: stop.clone(), wait_ms: WAIT_MS_MIN, since: Instant::now() }
    }

    /// Begins again: a step has succeeded.
    pub(crate) fn reset(&mut self) {
        (self.wait_ms, self.since) = (WAIT_MS_MIN, Instant::now());
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// [`Trouble::Final`] with `why` if no step has succeeded for [`UNAVAILABLE_MS_MAX`].
    pub(crate) async fn wait(&mut self, why: &str) -> Result<(), Trouble> {
        if self.since.elapsed() >= Duration::from_millis(UNAVAILABLE_MS_MAX) {
            let seconds = UNAVAILABLE_MS_MAX / 1_000;
            return Err(Trouble::Final(format!("{why}; given up after {seconds} s")));
        }
        self.stop.sleep(Duration::from_millis(self.wait_ms)).await?;
        self.wait_ms = (self.wait_ms * 2).min(WAIT_MS_MAX);
        Ok(())
    }
}

/// Repeats a step that begins again from its start, until it has succeeded.
///
/// # Errors
/// As [`Backoff::wait`], and what else the step fails with.
pub(crate) async fn repeat<T>(
    stop: &Stop,
    mut step: impl AsyncFnMut() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut backoff = Backoff::new(stop);
    loop {
        match step().await {
            Err(Trouble::Lost(why)) => backoff.wait(&why).await?,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_end() {
        let (_sender, receiver) = watch::channel(false);
        let (mut backoff, start) = (Backoff::new(&Stop::new(receiver)), Instant::now());
        let mut waits = 0;
        let error = loop {
            match backoff.wait("gone").await {
                Ok(()) => waits += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, Trouble::Final("gone; given up after 60 s".to_owned()));
        assert!((15..25).contains(&waits), "{waits}");
        assert!(start.elapsed() < Duration::from_millis(UNAVAILABLE_MS_MAX + WAIT_MS_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn an_interruption_ends_a_wait() {
        let (sender, receiver) = watch::channel(false);
        let stop = Stop::new(receiver);
        let mut backoff = Backoff::new(&stop);
        assert_eq!(stop.check(), Ok(()));
        sender.send(true).unwrap();
        assert_eq!(backoff.wait("gone").await, Err(Trouble::Interrupted));
        assert_eq!(stop.check(), Err(Trouble::Interrupted));
    }
}
