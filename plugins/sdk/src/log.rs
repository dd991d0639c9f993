//! Lines in the member's own log.
//!
//! A line is an event in words and its values as fields:
//!
//! ```
//! use convoke_mode_sdk::log;
//! log::info("group joined", &[("group", &"224.2.2.4"), ("port", &2904)]);
//! ```

use std::fmt::Display;

pub use crate::bindings::strategy::convoke::host::log::Level;

/// A key and a value of one line.
pub type Field<'a> = (&'a str, &'a dyn Display);

/// Every step, for the author of a mode.
pub fn trace(message: &str, fields: &[Field<'_>]) {
    write(Level::Trace, message, fields);
}

/// Decisions, for somebody who looks for a fault.
pub fn debug(message: &str, fields: &[Field<'_>]) {
    write(Level::Debug, message, fields);
}

/// The story of a cluster, in a few lines; never once a second.
pub fn info(message: &str, fields: &[Field<'_>]) {
    write(Level::Info, message, fields);
}

/// Something an operator should mend, though the mode goes on.
pub fn warn(message: &str, fields: &[Field<'_>]) {
    write(Level::Warn, message, fields);
}

/// The mode cannot do its work.
pub fn error(message: &str, fields: &[Field<'_>]) {
    write(Level::Error, message, fields);
}

fn write(level: Level, message: &str, fields: &[Field<'_>]) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect();
    line(level, message, fields);
}

#[cfg(target_arch = "wasm32")]
#[inline]
#[allow(clippy::needless_pass_by_value, reason = "kept, away from WebAssembly")]
pub(crate) fn line(level: Level, message: &str, fields: Vec<(String, String)>) {
    crate::bindings::strategy::convoke::host::log::log(level, message, &fields);
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::line;
#[cfg(not(target_arch = "wasm32"))]
pub use native::{Line, captured};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::cell::RefCell;

    use super::Level;

    /// One line of the log, as a mode wrote it.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Line {
        /// Who should read it.
        pub level: Level,
        /// The event in words.
        pub message: String,
        /// Its values, in their order.
        pub fields: Vec<(String, String)>,
    }

    thread_local! {
        /// Lines of this thread, while somebody wants them.
        static LINES: RefCell<Option<Vec<Line>>> = const { RefCell::new(None) };
    }

    pub(crate) fn line(level: Level, message: &str, fields: Vec<(String, String)>) {
        eprintln!("{level:?}: {message} {fields:?}");
        let message = message.to_owned();
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(Line { level, message, fields });
            }
        });
    }

    /// Calls, and gives the lines that were written meanwhile by this thread, those of
    /// `tracing` too: for tests, away from WebAssembly only.
    ///
    /// ```
    /// use convoke_mode_sdk::log;
    ///
    /// let ((), lines) = log::captured(|| log::warn("a name, not an address", &[("name", &"db")]));
    /// assert_eq!(lines[0].message, "a name, not an address");
    /// assert_eq!(lines[0].fields, [("name".to_owned(), "db".to_owned())]);
    /// ```
    pub fn captured<T>(call: impl FnOnce() -> T) -> (T, Vec<Line>) {
        #[cfg(feature = "tracing")]
        crate::trace::install();
        let outer = LINES.replace(Some(Vec::new()));
        let result = call();
        (result, LINES.replace(outer).unwrap_or_default())
    }
}
