//! Blocking queries: Consul holds a request until its result changes.
//!
//! Each response has an index (`X-Consul-Index`). A request with that index is held until there
//! is a newer one, or until its `wait` has passed. So a change is noticed at once, and an
//! unchanged list costs a request every few seconds.

use std::time::Duration;

use convoke_mode_sdk::http::Request;

/// The interval if Consul is not to hold requests.
const POLL: Duration = Duration::from_secs(1);

/// The wait after a change, since several often follow each other.
const SETTLE: Duration = Duration::from_millis(200);

/// Time added to `wait` for the timeout of a request: Consul adds up to a sixteenth, so that not
/// all requests end at the same time.
const MARGIN: Duration = Duration::from_secs(2);

/// The index of the last response, and how long to wait for a newer one.
#[derive(Debug)]
pub(crate) struct Watch {
    wait: Duration,
    /// 0 for none: the next response comes at once.
    index: u64,
}

impl Watch {
    /// If `wait` is zero, requests are not held, and Consul is polled every second.
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, index: 0 }
    }

    /// Makes the request a blocking query.
    pub(crate) fn hold(&self, request: Request) -> Request {
        let request = request.timeout(self.wait + MARGIN);
        if self.index == 0 || self.wait.is_zero() {
            return request;
        }
        request
            .query("index", &self.index.to_string())
            .query("wait", &format!("{}s", self.wait.as_secs()))
    }

    /// Records the index of a response and its duration; returns the interval until the next
    /// request.
    pub(crate) fn take(&mut self, index: Option<&str>, elapsed: Duration) -> Duration {
        if self.wait.is_zero() {
            return POLL;
        }
        let before = self.index;
        // A smaller index is that of another server: start again.
        self.index = index
            .and_then(|text| text.parse().ok())
            .filter(|&index| index >= before)
            .unwrap_or_default();
        match self.index {
            // The server does not support blocking queries.
            0 => self.wait,
            // The first response; the next request is held.
            _ if before == 0 => Duration::ZERO,
            index if index == before => self.wait.saturating_sub(elapsed),
            _ => SETTLE,
        }
    }

    /// Resets the index after a failure, so that the next response comes at once.
    pub(crate) fn forget(&mut self) {
        self.index = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    fn url_of(watch: &Watch) -> String {
        watch.hold(Request::get("http://a/b?passing=true")).url().to_owned()
    }

    #[test]
    fn the_first_request_is_not_held_and_the_next_one_is() {
        let mut watch = Watch::new(WAIT);
        assert_eq!(url_of(&watch), "http://a/b?passing=true");
        assert_eq!(watch.take(Some("7"), Duration::ZERO), Duration::ZERO);
        assert_eq!(url_of(&watch), "http://a/b?passing=true&index=7&wait=5s");
    }

    #[test]
    fn a_request_that_timed_out_is_repeated_at_once() {
        let mut watch = Watch::new(WAIT);
        watch.take(Some("7"), Duration::ZERO);
        assert_eq!(watch.take(Some("7"), WAIT), Duration::ZERO);
    }

    #[test]
    fn a_server_without_blocking_queries_is_polled() {
        let mut watch = Watch::new(WAIT);
        watch.take(Some("7"), Duration::ZERO);
        assert_eq!(watch.take(Some("7"), Duration::from_secs(1)), Duration::from_secs(4));
        assert_eq!(watch.take(None, Duration::ZERO), WAIT);
        assert_eq!(watch.take(Some("no number"), Duration::ZERO), WAIT);
    }

    #[test]
    fn after_a_change_further_changes_are_awaited() {
        let mut watch = Watch::new(WAIT);
        watch.take(Some("7"), Duration::ZERO);
        assert_eq!(watch.take(Some("9"), Duration::from_secs(1)), SETTLE);
        assert!(url_of(&watch).contains("index=9"));
    }

    #[test]
    fn a_smaller_index_and_a_failure_reset_the_watch() {
        let mut watch = Watch::new(WAIT);
        watch.take(Some("7"), Duration::ZERO);
        watch.take(Some("3"), Duration::ZERO);
        assert!(!url_of(&watch).contains("index"));
        watch.take(Some("3"), Duration::ZERO);
        watch.forget();
        assert!(!url_of(&watch).contains("index"));
    }

    #[test]
    fn without_a_wait_consul_is_polled() {
        let mut watch = Watch::new(Duration::ZERO);
        assert_eq!(watch.take(Some("7"), Duration::ZERO), POLL);
        assert!(!url_of(&watch).contains("index"));
    }
}
