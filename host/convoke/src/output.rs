//! Output of commands on standard output.

use std::fmt;
use std::io::{self, Write as _};

/// Like `println!`, but exits silently if the reader has closed the pipe, as `head` does.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(crate) use say;

/// Exit code of a command whose output cannot be written; a shell reports the same for a process
/// that was ended by `SIGPIPE`.
const UNWRITTEN: i32 = 141;

/// Prints; exits the process if that fails.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    if let Err(error) = io::stdout().lock().write_fmt(text) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            let _ = writeln!(io::stderr(), "error: cannot write to standard output: {error}");
        }
        std::process::exit(UNWRITTEN);
    }
}
