//! Text of a file as an error or a log line quotes it.

use convoke_text::excerpt;

/// Characters of a quoted value.
const VALUE_CHARS_MAX: usize = 80;
/// Characters of a path.
const PATH_CHARS_MAX: usize = 200;

/// A value or a name.
pub(super) fn quoted(text: &str) -> String {
    excerpt(text, VALUE_CHARS_MAX)
}

/// A path, which may hold names of maps.
pub(super) fn shown_path(path: &str) -> String {
    excerpt(path, PATH_CHARS_MAX)
}

/// An error that names a path of the file.
pub(super) fn one_line(error: &str) -> String {
    excerpt(error, usize::MAX)
}
