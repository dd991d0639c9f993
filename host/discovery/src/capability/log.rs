//! `convoke:host/log`: lines of a mode in the member's log. Always granted.

use std::fmt::Write as _;

use convoke_text::escaped;
use wasmtime::component::Linker;

use super::view::{Capability, Context, Grant, HasContext, View};
use crate::bindings::imports::convoke::host::log::{self, Level};
use crate::limits;

pub(crate) enum Log {}

impl Capability for Log {
    const INTERFACE: &'static str = "convoke:host/log";
    const GRANT: Option<Grant> = None;
    const DESCRIPTION: &'static str = "write lines into the member's log";

    type Shared = ();
    type Own = ();

    fn add_to_linker<T: View<Self>>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
        log::add_to_linker::<_, HasContext<Self>>(linker, T::view)
    }
}

impl log::Host for Context<'_, Log> {
    async fn log(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        if self.caller.log.take() {
            write(level, &self.caller.mode.name, &line(&message, &fields));
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
    use super::line;
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
}
