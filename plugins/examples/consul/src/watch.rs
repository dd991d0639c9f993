//! Blocking queries: Consul holds a question until its answer changes.
//!
//! Each answer carries an index (`X-Consul-Index`). A question with that index is held
//! until there is a newer one, or for as long as it says (`wait`). So a change is told
//! at once, and an unchanged list costs a question every few seconds.

use std::time::Duration;

use convoke_mode_sdk::http::Request;

/// Between two looks where Consul is not to hold a question.
const POLL: Duration = Duration::from_secs(1);

/// After a change: more of them often follow, and one answer has them all.
const SETTLE: Duration = Duration::from_millis(200);

/// What a question may take beyond the time that it is held: Consul adds up to a
/// sixteenth of it, so that not all questions end at once.
const MARGIN: Duration = Duration::from_secs(2);

/// What was answered last, and how long to wait for something else.
#[derive(Debug)]
pub(crate) struct Watch {
    wait: Duration,
    /// 0 for none: the next answer comes at once.
    index: u64,
}

impl Watch {
    /// `wait` of zero: nothing is held, and Consul is asked again every second.
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, index: 0 }
    }

    /// The question, to be held until there is news.
    pub(crate) fn hold(&self, request: Request) -> Request {
        let request = request.timeout(self.wait + MARGIN);
        if self.index == 0 || self.wait.is_zero() {
            return request;
        }
        request
            .query("index", &self.index.to_string())
            .query("wait", &format!("{}s", self.wait.as_secs()))
    }

    /// Takes an answer's index, and what it took to come; says when to ask again.
    pub(crate) fn take(&mut self, index: Option<&str>, elapsed: Duration) -> Duration {
        if self.wait.is_zero() {
            return POLL;
        }
        let before = self.index;
        // One that runs backwards is of another server's counting: begin anew.
        self.index = index
            .and_then(|text| text.parse().ok())
            .filter(|&index| index >= before)
            .unwrap_or_default();
        match self.index {
            // Whatever is there holds no question.
            0 => self.wait,
            // The first answer; the next question is held.
            _ if before == 0 => Duration::ZERO,
            index if index == before => self.wait.saturating_sub(elapsed),
            _ => SETTLE,
        }
    }

    /// There was no answer: the next one is to come at once.
    pub(crate) fn forget(&mut self) {
        self.index = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    fn asked(watch: &Watch) -> String {
        watch.hold(Request::get("http://a/b?passing=true")).url().to_owned()
    }

    #[test]
    fn the_first_question_is_answered_at_once_and_the_next_one_is_held() {
        let mut watch = Watch::new(WAIT);
        assert_eq!(asked(&watch), "http://a/b?passing=true");
        assert_eq!(watch.take(Some("7"), Duration::ZERO), Duration::ZERO);
        assert_eq!(asked(&watch), "http://a/b?passing=true&index=7&wait=5s");
    }

    #[test]
    fn a_question_that_was_held_in_vain_is_asked_again_at_once() {
        let mut watch = Watch::new(WAIT);
        watch.take(Some("7"), Duration::ZERO);
        assert_eq!(watch.take(Some("7"), WAIT), Duration::ZERO);
    }

    #[test]
    fn whoever_does_not_hold_questions_is_not_flooded() {
        let mut watch = Watch::new(WAIT);
        watch.take(Some("7"), Duration::ZERO);
        assert_eq!(watch.take(Some("7"), Duration::from_secs(1)), Duration::from_secs(4));
        assert_eq!(watch.take(None, Duration::ZERO), WAIT);
        assert_eq!(watch.take(Some("no number"), Duration::ZERO), WAIT);
    }

    #[test]
    fn after_a_change_more_are_waited_for() {
        let mut watch = Watch::new(WAIT);
        watch.take(Some("7"), Duration::ZERO);
        assert_eq!(watch.take(Some("9"), Duration::from_secs(1)), SETTLE);
        assert!(asked(&watch).contains("index=9"));
    }

    #[test]
    fn an_index_that_runs_backwards_and_a_failure_begin_anew() {
        let mut watch = Watch::new(WAIT);
        watch.take(Some("7"), Duration::ZERO);
        watch.take(Some("3"), Duration::ZERO);
        assert!(!asked(&watch).contains("index"));
        watch.take(Some("3"), Duration::ZERO);
        watch.forget();
        assert!(!asked(&watch).contains("index"));
    }

    #[test]
    fn without_a_wait_consul_is_polled() {
        let mut watch = Watch::new(Duration::ZERO);
        assert_eq!(watch.take(Some("7"), Duration::ZERO), POLL);
        assert!(!asked(&watch).contains("index"));
    }
}
