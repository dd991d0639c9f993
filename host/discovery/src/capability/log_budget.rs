//! The log lines of one call of a mode, written by `log` or printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::limits;

/// The log lines that the running call may still write, through `log` and standard output.
/// Clones share the budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogBudget {
    written: Arc<AtomicU32>,
    /// Set if nothing is to be written.
    is_silent: bool,
}

impl LogBudget {
    pub(crate) fn new(is_silent: bool) -> Self {
        Self { is_silent, ..Self::default() }
    }

    /// Takes one line from the budget; false if it is used up.
    pub(crate) fn take(&self) -> bool {
        !self.is_silent && self.written.fetch_add(1, Relaxed) < limits::LOG_LINES_PER_CALL_MAX
    }

    /// Resets the budget after a call. Logs how many lines were suppressed.
    pub(crate) fn renew(&self, mode: &str) {
        let suppressed =
            self.written.swap(0, Relaxed).saturating_sub(limits::LOG_LINES_PER_CALL_MAX);
        if suppressed > 0 {
            tracing::warn!(mode, "{suppressed} more lines of this call suppressed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogBudget;

    #[test]
    fn the_lines_of_a_call_are_limited() {
        let budget = LogBudget::default();
        assert_eq!((0..100).filter(|_| budget.take()).count(), 64);
        budget.renew("test");
        assert!(budget.take());
    }
}
