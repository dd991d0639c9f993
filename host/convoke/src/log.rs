//! The log: one line an event, to standard output; for commands that print a
//! result, to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Overrides what is logged, as in `CONVOKE_LOG=debug`.
const FILTER: &str = "CONVOKE_LOG";

/// Libraries whose failures are told by those who use them, in words for
/// operators; their own are shown when somebody sets the filter.
const SILENT: [&str; 2] = ["kube_client", "hickory_proto"];

/// Starts logging; `to_stderr` for commands whose result goes to standard output.
pub(crate) fn start(to_stderr: bool, usual: LevelFilter) -> Result<(), String> {
    begin(to_stderr, filter(&usual.to_string())?);
    Ok(())
}

/// For whoever tries a mode: what it logs and each call that it makes, beside the
/// result.
pub(crate) fn start_with_calls() -> Result<(), String> {
    begin(true, filter("info,convoke_discovery::calls=debug")?);
    Ok(())
}

/// What the environment says, or else what is usual.
fn filter(usual: &str) -> Result<EnvFilter, String> {
    let text = match std::env::var(FILTER) {
        Ok(text) if !text.trim().is_empty() => text,
        Err(std::env::VarError::NotUnicode(_)) => return Err(refused("no text")),
        _ => SILENT.iter().fold(usual.to_owned(), |all, library| format!("{all},{library}=off")),
    };
    // A word that is no level would be taken for a part of the program: its lines would be all
    // that is logged, and there are none.
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
        "{FILTER} has {given}; expected off, error, warn, info, debug or trace, or a part of the program with one of these, as in info,convoke_grid=debug"
    )
}

fn begin(to_stderr: bool, filter: EnvFilter) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        // A log that cannot be written, as on a full disk, costs the log and no more.
        .log_internal_errors(false);
    if to_stderr {
        builder.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
    } else {
        builder.with_ansi(std::io::stdout().is_terminal()).init();
    }
}
