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
pub(crate) fn start(to_stderr: bool, usual: LevelFilter) {
    let filter = EnvFilter::builder().with_default_directive(usual.into()).with_env_var(FILTER);
    let mut filter = filter.from_env_lossy();
    if std::env::var_os(FILTER).is_none() {
        let silence = SILENT.iter().filter_map(|library| format!("{library}=off").parse().ok());
        filter = silence.fold(filter, EnvFilter::add_directive);
    }
    begin(to_stderr, filter);
}

/// For whoever tries a mode: what it logs and each call that it makes, beside the
/// result.
pub(crate) fn start_with_calls() {
    let filter = std::env::var(FILTER).unwrap_or_else(|_| {
        let silent = SILENT.map(|library| format!(",{library}=off")).concat();
        format!("info,convoke_discovery::calls=debug{silent}")
    });
    begin(true, EnvFilter::builder().parse_lossy(filter));
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
