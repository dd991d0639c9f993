//! The log: one line an event, on standard output; on standard error for commands that print a
//! result.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Environment variable that sets the log filter, as in `CONVOKE_LOG=debug`.
const FILTER: &str = "CONVOKE_LOG";

/// Libraries whose failures are logged by their callers. Their own lines are only logged if the
/// filter is set.
const SILENT: [&str; 2] = ["kube_client", "hickory_proto"];

/// Starts logging; `to_stderr` is for commands that print their result to standard output.
pub(crate) fn start(to_stderr: bool, default: LevelFilter) -> Result<(), String> {
    begin(to_stderr, filter(&default.to_string())?);
    Ok(())
}

/// Starts logging for the trial of a mode, with a line for each call that the mode makes.
pub(crate) fn start_with_calls() -> Result<(), String> {
    begin(true, filter("info,convoke_discovery::calls=debug")?);
    Ok(())
}

/// The filter of the environment, or else the default.
fn filter(default: &str) -> Result<EnvFilter, String> {
    let text = match std::env::var(FILTER) {
        Ok(text) if !text.trim().is_empty() => text,
        Err(std::env::VarError::NotUnicode(_)) => return Err(refused("a value that is not UTF-8")),
        _ => SILENT.iter().fold(default.to_owned(), |all, library| format!("{all},{library}=off")),
    };
    // `EnvFilter` treats an unknown word as a target, and would then log nothing.
    let is_known = |directive: &str| {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        level.trim().parse::<LevelFilter>().is_ok()
    };
    match text.split(',').find(|directive| !is_known(directive)) {
        Some(wrong) => Err(refused(&format!("{wrong:?}"))),
        None => EnvFilter::builder().parse(&text).map_err(|_| refused(&format!("{text:?}"))),
    }
}

fn refused(given: &str) -> String {
    format!(
        "{FILTER} has {given}; expected off, error, warn, info, debug or trace, or a target with one of these, as in info,convoke_grid=debug"
    )
}

fn begin(to_stderr: bool, filter: EnvFilter) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        // A log that cannot be written, as on a full disk, must not stop the member.
        .log_internal_errors(false);
    if to_stderr {
        builder.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
    } else {
        builder.with_ansi(std::io::stdout().is_terminal()).init();
    }
}
