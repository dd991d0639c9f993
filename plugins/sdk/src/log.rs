//! Lines in the member's own log.
//!
//! A line is an event in words and its values as fields:
//!
//! ```
//! use convoke_mode_sdk::log;
//! log::info("group joined", &[("group", &"224.2.2.4"), ("port", &2904)]);
//! ```

use std::fmt::Display;

use crate::bindings::strategy::convoke::host::log::Level;

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
    #[cfg(target_arch = "wasm32")]
    crate::bindings::strategy::convoke::host::log::log(level, message, &fields);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message} {fields:?}");
}
