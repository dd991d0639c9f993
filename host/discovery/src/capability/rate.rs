//! A token bucket: a burst, and a sustained rate per second.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u32,
    burst: u32,
    /// The time at which the bucket is full again if nothing more is taken.
    full_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, full_at: Instant::now() }
    }

    /// Takes one token; false if there is none.
    pub(crate) fn take(&mut self) -> bool {
        let now = Instant::now();
        let one = Duration::from_secs(1) / self.per_second;
        let full_at = self.full_at.max(now) + one;
        if full_at - now > one * self.burst {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_applies() {
        let mut bucket = Bucket::new(200, 400);
        assert_eq!((0..1000).filter(|_| bucket.take()).count(), 400);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!((0..1000).filter(|_| bucket.take()).count(), 20);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((0..1000).filter(|_| bucket.take()).count(), 400);
    }
}
