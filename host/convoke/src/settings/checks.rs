//! Checks of single settings.

use convoke_membership::member::NAME_BYTES_MAX;

use super::error::SettingsError;

/// Default number of member ports that are tried.
pub(super) const START_PORT_RANGE: u16 = 100;
/// Maximum number of worker threads.
const WORKERS_MAX: u16 = 256;
/// Maximum number of worker threads by default.
const DEFAULT_WORKERS_MAX: usize = 16;

/// The number of worker threads. The default is the number of cores minus one: the kernel's network processing takes about one
/// core, and threads that compete for it cost more than they add. Modes have a thread of their own.
pub(super) fn workers(place: &str, given: Option<u16>) -> Result<u16, SettingsError> {
    match given {
        None => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let defaults = cores.saturating_sub(1).clamp(1, DEFAULT_WORKERS_MAX);
            Ok(u16::try_from(defaults).unwrap_or(1))
        }
        Some(count) if (1..=WORKERS_MAX).contains(&count) => Ok(count),
        Some(count) => {
            Err(SettingsError(format!("{place} is {count}; expected 1 to {WORKERS_MAX}")))
        }
    }
}

/// Refuses port 0.
pub(super) fn in_range(place: &str, port: u16) -> Result<u16, SettingsError> {
    if port == 0 {
        return Err(SettingsError(format!("{place} is 0; expected 1 to 65535")));
    }
    Ok(port)
}

/// Whether the text is valid as the name of a member or group.
pub(super) fn is_valid_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Refuses a name that is not valid.
pub(super) fn checked_name(place: &str, text: String) -> Result<String, SettingsError> {
    if is_valid_name(&text) {
        return Ok(text);
    }
    Err(SettingsError(format!(
        "{place} is {text:?}; it must have 1 to {NAME_BYTES_MAX} bytes and no control characters"
    )))
}

/// Refuses a cluster name without visible characters, or with control characters.
pub(super) fn cluster_name(place: &str, name: String) -> Result<String, SettingsError> {
    if name.chars().any(char::is_control) {
        return Err(SettingsError(format!(
            "{place} is {name:?}, with control characters; remove them"
        )));
    }
    if name.trim().is_empty() {
        return Err(SettingsError(format!(
            "{place} is empty; set a name, or omit it for \"development\""
        )));
    }
    Ok(name)
}

/// The number of member ports that are tried.
pub(super) fn start_port_range(place: &str, given: Option<u16>) -> Result<u16, SettingsError> {
    match given {
        Some(0) => Err(SettingsError(format!("{place} is 0; expected 1 or more ports"))),
        range => Ok(range.unwrap_or(START_PORT_RANGE)),
    }
}
