//! What commands print to standard output.

use std::fmt;
use std::io::{self, Write as _};

/// As `println!`, but for one that reads no further, as `head`: that ends the command, and is no
/// fault of it.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(crate) use say;

/// The exit code of a command whose output cannot be written: as the shell shows a process that
/// `SIGPIPE` ended.
const UNWRITTEN: i32 = 141;

/// A number of things, in words.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Prints; ends the process if that cannot be done.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    if let Err(error) = io::stdout().lock().write_fmt(text) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            let _ = writeln!(io::stderr(), "error: cannot write to standard output: {error}");
        }
        std::process::exit(UNWRITTEN);
    }
}
