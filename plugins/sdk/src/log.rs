//! Writes to the member's log.
//!
//! A line has a message and fields:
//!
//! ```
//! use convoke_mode_sdk::log;
//! log::info("group joined", &[("group", &"224.2.2.4"), ("port", &2904)]);
//! ```

use std::fmt::Display;

pub use crate::bindings::strategy::convoke::host::log::Level;

/// A key and a value of a log line.
pub type Field<'a> = (&'a str, &'a dyn Display);

/// Every step, for the author of a mode.
pub fn trace(message: &str, fields: &[Field<'_>]) {
    write(Level::Trace, message, fields);
}

/// Decisions, for troubleshooting.
pub fn debug(message: &str, fields: &[Field<'_>]) {
    write(Level::Debug, message, fields);
}

/// Significant events, a few lines for the life of a cluster; never one every second.
pub fn info(message: &str, fields: &[Field<'_>]) {
    write(Level::Info, message, fields);
}

/// Something that an operator should fix, although the mode keeps working.
pub fn warn(message: &str, fields: &[Field<'_>]) {
    write(Level::Warn, message, fields);
}

/// The mode cannot work.
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
#[allow(clippy::needless_pass_by_value, reason = "stored outside of WebAssembly")]
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

    /// A captured log line.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Line {
        /// The level.
        pub level: Level,
        /// The message.
        pub message: String,
        /// The fields, in order.
        pub fields: Vec<(String, String)>,
    }

    thread_local! {
        /// The captured lines of this thread, while capturing.
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

    /// Runs `call` and returns the lines that this thread logs meanwhile, including those of
    /// `tracing`. For tests, on targets other than WebAssembly only.
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
