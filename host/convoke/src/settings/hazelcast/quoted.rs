//! Quotes texts of a file for errors and log lines.

use convoke_text::excerpt;

/// Maximum length of a quoted value, in characters.
const VALUE_CHARS_MAX: usize = 80;
/// Maximum length of a path, in characters.
const PATH_CHARS_MAX: usize = 200;

/// A value or a name.
pub(super) fn quoted(text: &str) -> String {
    excerpt(text, VALUE_CHARS_MAX)
}

/// A path, which may contain names of maps.
pub(super) fn shown_path(path: &str) -> String {
    excerpt(path, PATH_CHARS_MAX)
}

/// An error that names a path of the file.
pub(super) fn one_line(error: &str) -> String {
    excerpt(error, usize::MAX)
}
