//! A `tracing` subscriber that writes to the member's log.

use std::cell::RefCell;
use std::fmt::{self, Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::log::{self, Level};

/// Fields that are kept of one event, and of one span; further ones are dropped.
const FIELDS_MAX: usize = 16;

/// Length of a message, and of a value, in bytes; longer ones are cut.
const TEXT_BYTES_MAX: usize = 1_024;

/// Number of spans that are kept. Further ones have no name and fields, so that spans that are
/// never closed use a bounded amount of memory.
const SPANS_MAX: usize = 64;

/// Innermost spans that a line includes.
const DEPTH_MAX: usize = 4;

thread_local! {
    /// The spans that have been entered and not exited, innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Installs the subscriber, unless the mode has set one.
pub(crate) fn install() {
    let _ = tracing::dispatcher::set_global_default(tracing::Dispatch::new(Lines::new()));
}

/// The subscriber. The host's log level decides which lines are written.
struct Lines {
    next: AtomicU64,
    /// At most [`SPANS_MAX`].
    spans: Mutex<Vec<Span>>,
}

struct Span {
    id: u64,
    name: &'static str,
    fields: Vec<(String, String)>,
    handles: usize,
}

impl Lines {
    const fn new() -> Self {
        Self { next: AtomicU64::new(1), spans: Mutex::new(Vec::new()) }
    }

    fn with_spans<T>(&self, call: impl FnOnce(&mut Vec<Span>) -> T) -> T {
        call(&mut self.spans.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `None` if the span was not kept.
    fn with_span<T>(&self, id: &Id, call: impl FnOnce(&mut Span) -> T) -> Option<T> {
        let id = id.into_u64();
        self.with_spans(|spans| spans.iter_mut().find(|span| span.id == id).map(call))
    }

    /// The fields for the spans around an event: `span` with the span names, outermost first,
    /// and each field as `name.field`.
    fn place(&self) -> Vec<(String, String)> {
        let entered = ENTERED
            .with_borrow(|entered| entered[entered.len().saturating_sub(DEPTH_MAX)..].to_vec());
        self.with_spans(|spans| {
            let open: Vec<&Span> =
                entered.iter().filter_map(|id| spans.iter().find(|span| span.id == *id)).collect();
            if open.is_empty() {
                return Vec::new();
            }
            let names: Vec<&str> = open.iter().map(|span| span.name).collect();
            let mut place = vec![("span".to_owned(), names.join(":"))];
            for span in open {
                let named = |(key, value): &(String, String)| {
                    (format!("{}.{key}", span.name), value.clone())
                };
                place.extend(span.fields.iter().map(named));
            }
            place
        })
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        // Formatted before locking, since formatting a value may log.
        let mut values = Values::default();
        span.record(&mut values);
        let span = Span { id, name: span.metadata().name(), fields: values.all(), handles: 1 };
        self.with_spans(|spans| {
            if spans.len() < SPANS_MAX {
                spans.push(span);
            }
        });
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, record: &Record<'_>) {
        let mut values = Values::default();
        record.record(&mut values);
        self.with_span(id, |span| {
            for (key, value) in values.all() {
                let known = span.fields.iter().position(|(known, _)| *known == key);
                match known {
                    Some(at) => span.fields[at].1 = value,
                    None if span.fields.len() < FIELDS_MAX => span.fields.push((key, value)),
                    None => {}
                }
            }
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut values = Values::default();
        event.record(&mut values);
        let message = values.message.unwrap_or_else(|| event.metadata().name().to_owned());
        values.fields.extend(self.place());
        log::line(level(event.metadata().level()), &message, values.fields);
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|entered| *entered == id.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.with_span(id, |span| span.handles += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let is_last = self.with_span(&id, |span| {
            span.handles -= 1;
            span.handles == 0
        });
        if is_last == Some(true) {
            self.with_spans(|spans| spans.retain(|span| span.id != id.into_u64()));
        }
        is_last == Some(true)
    }
}

fn level(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::TRACE => Level::Trace,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::INFO => Level::Info,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::ERROR => Level::Error,
    }
}

/// The formatted values of an event or a span.
#[derive(Default)]
struct Values {
    message: Option<String>,
    fields: Vec<(String, String)>,
}

impl Values {
    /// The message and the fields: for spans, the message is an ordinary field.
    fn all(self) -> Vec<(String, String)> {
        let message = self.message.map(|message| ("message".to_owned(), message));
        message.into_iter().chain(self.fields).collect()
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let is_message = field.name() == "message";
        if !is_message && self.fields.len() >= FIELDS_MAX {
            return;
        }
        let mut text = Bounded::default();
        // An error means that the limit is reached, or that the value cannot be formatted; the
        // text so far is kept.
        let _ = text.write_fmt(value);
        if is_message {
            self.message = Some(text.0);
        } else {
            self.fields.push((field.name().to_owned(), text.0));
        }
    }
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

/// Text of at most [`TEXT_BYTES_MAX`].
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_BYTES_MAX.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Dispatch, debug, error, info, info_span, trace, warn};

    use super::*;
    use crate::log::Line;

    fn lines(call: impl FnOnce()) -> Vec<Line> {
        log::captured(call).1
    }

    fn field(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn an_event_is_a_line_with_its_values_as_fields() {
        let lines = lines(|| {
            info!(port = 2904, group = "224.2.2.4", why = ?Some("x"), "group {}", "joined");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].level, lines[0].message.as_str()), (Level::Info, "group joined"));
        assert_eq!(
            lines[0].fields,
            [field("port", "2904"), field("group", "224.2.2.4"), field("why", "Some(\"x\")")]
        );
    }

    #[test]
    fn levels_are_mapped() {
        let levels: Vec<Level> = lines(|| {
            trace!("m");
            debug!("m");
            info!("m");
            warn!("m");
            error!("m");
        })
        .iter()
        .map(|line| line.level)
        .collect();
        assert_eq!(levels, [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error]);
    }

    #[test]
    fn an_event_without_a_message_has_its_location() {
        let lines = lines(|| info!(port = 1));
        assert!(lines[0].message.starts_with("event "), "{}", lines[0].message);
    }

    #[test]
    fn an_event_in_spans_carries_their_names_and_fields() {
        let lines = lines(|| {
            let look = info_span!("lookup", service = "shop", index = tracing::field::Empty);
            let entered = look.enter();
            look.record("index", 7);
            info_span!("ask").in_scope(|| info!(status = 200, "answered"));
            drop(entered);
            info!("outside");
        });
        assert_eq!(
            lines[0].fields,
            [
                field("status", "200"),
                field("span", "lookup:ask"),
                field("lookup.service", "shop"),
                field("lookup.index", "7"),
            ]
        );
        assert!(lines[1].fields.is_empty());
    }

    #[test]
    fn spans_that_are_never_closed_use_bounded_memory() {
        let dispatch = Dispatch::new(Lines::new());
        tracing::dispatcher::with_default(&dispatch, || {
            for at in 0..SPANS_MAX * 2 {
                std::mem::forget(info_span!("kept", at));
            }
        });
        let lines: &Lines = dispatch.downcast_ref().expect("it is ours");
        assert_eq!(lines.with_spans(|spans| spans.len()), SPANS_MAX);
    }

    #[test]
    fn closed_spans_are_removed() {
        let dispatch = Dispatch::new(Lines::new());
        tracing::dispatcher::with_default(&dispatch, || {
            let span = info_span!("lookup", port = 1);
            let again = span.clone();
            drop(span);
            again.in_scope(|| info!("in it"));
        });
        let lines: &Lines = dispatch.downcast_ref().expect("it is ours");
        assert_eq!(lines.with_spans(|spans| spans.len()), 0);
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let lines = lines(|| info!(long = "é".repeat(5_000), "{}", "x".repeat(5_000)));
        assert_eq!(lines[0].message, format!("{}…", "x".repeat(TEXT_BYTES_MAX)));
        assert_eq!(lines[0].fields[0].1, format!("{}…", "é".repeat(TEXT_BYTES_MAX / 2)));
    }
}
