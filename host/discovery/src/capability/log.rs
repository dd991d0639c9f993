//! `convoke:host/log`: lines of a mode in the member's log. Always granted.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use convoke_text::escaped;
use wasmtime::component::HasSelf;

use super::{Capability, Context};
use crate::bindings::imports::convoke::host::log::{self, Level};
use crate::limits;

pub(crate) const CAPABILITY: Capability = Capability {
    interface: "convoke:host/log",
    grant: None,
    description: "write lines into the member's log",
    link: |linker| log::add_to_linker::<_, HasSelf<_>>(linker, |state| &mut state.capabilities),
};

/// The log lines that the running call may still write, through `log` and standard output.
/// Clones share the budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    written: Arc<AtomicU32>,
    /// Set if nothing is to be written.
    is_silent: bool,
}

impl Budget {
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

impl log::Host for Context {
    async fn log(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        if self.log.take() {
            write(level, &self.mode.name, &line(&message, &fields));
        }
        Ok(())
    }
}

fn write(level: Level, mode: &str, line: &str) {
    match level {
        Level::Trace => tracing::trace!(mode, "{line}"),
        Level::Debug => tracing::debug!(mode, "{line}"),
        Level::Info => tracing::info!(mode, "{line}"),
        Level::Warn => tracing::warn!(mode, "{line}"),
        Level::Error => tracing::error!(mode, "{line}"),
    }
}

/// Formats a message and its fields as one line of bounded length: `found a member
/// address="10.0.0.1"`.
fn line(message: &str, fields: &[(String, String)]) -> String {
    let mut line = escaped(message, limits::LINE_BYTES_MAX);
    for (at, (key, value)) in fields.iter().enumerate() {
        let room = limits::LINE_BYTES_MAX.saturating_sub(line.len());
        if at == limits::LOG_FIELDS_MAX || room < key.len().saturating_add(value.len()) {
            let _ = write!(line, " … ({} more fields)", fields.len() - at);
            break;
        }
        let _ = write!(line, " {}={value:?}", escaped(key, room));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Budget, line};
    use crate::limits;

    fn field(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn a_line_has_message_and_fields_and_no_line_break() {
        assert_eq!(
            line("found\nit", &[field("address", "10.0.0.1"), field("a\tb", "c\nd")]),
            "found\\nit address=\"10.0.0.1\" a\\tb=\"c\\nd\""
        );
    }

    #[test]
    fn a_line_is_bounded_in_bytes_and_fields() {
        let long = "x".repeat(limits::LINE_BYTES_MAX + 5);
        assert!(line(&long, &[]).ends_with("x… (5 more bytes)"));
        assert!(line("m", &[field("key", &long)]).ends_with("m … (1 more fields)"));
        let many = vec![field("k", "v"); limits::LOG_FIELDS_MAX + 3];
        assert!(line("m", &many).ends_with(" … (3 more fields)"));
    }

    #[test]
    fn the_lines_of_a_call_are_limited() {
        let budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.take()).count(), 64);
        budget.renew("test");
        assert!(budget.take());
    }
}
