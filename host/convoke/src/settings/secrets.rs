//! Passwords, and the files that contain them.

use std::path::PathBuf;

use convoke_wire::PASSWORD_BYTES_MAX;
use zeroize::Zeroizing;

use super::cli::Rank;
use super::error::SettingsError;
use super::read::read_bounded;
use super::sources::{Sources, variable};

/// The UTF-8 byte order mark (Unicode 15, section 23.8), which some Windows editors write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Largest password file, in bytes: a password, and a trailing line break.
const PASSWORD_FILE_BYTES_MAX: usize = BYTE_ORDER_MARK.len() + PASSWORD_BYTES_MAX + 2;

/// Of a secret and a file that contains it, keeps the one from the command line if the other one is
/// from the environment.
pub(super) fn pick_source(
    sources: &Sources<'_>,
    key: &str,
    text: &mut Option<String>,
    file: &mut Option<PathBuf>,
    notes: &mut Vec<String>,
) {
    if text.is_none() || file.is_none() {
        return;
    }
    let file_key = format!("{key}-file");
    let rank = |key| sources.given(key).map(|given| given.rank);
    match (rank(key), rank(&file_key)) {
        (Some(Rank::Environment), Some(Rank::CommandLine)) => {
            notes.push(format!("--{file_key} overrides {}", variable(key)));
            *text = None;
        }
        (Some(Rank::CommandLine), Some(Rank::Environment)) => {
            notes.push(format!("--{key} overrides {}", variable(&file_key)));
            *file = None;
        }
        _ => {}
    }
}

/// Reads a secret: the text itself, or the file that contains it; empty if neither is set. `place` is
/// where the text is from.
pub(crate) fn password(
    what: &str,
    place: &str,
    text: Option<String>,
    file: Option<PathBuf>,
) -> Result<Zeroizing<Vec<u8>>, SettingsError> {
    match (text, file) {
        (Some(_), Some(_)) => {
            Err(SettingsError(format!("both {what} and {what}-file are set; keep one of them")))
        }
        // A variable without a value must not turn protection off.
        (Some(text), None) if text.is_empty() => {
            Err(SettingsError(format!("{place} is empty; set a password, or remove it")))
        }
        (Some(text), None) => Ok(Zeroizing::new(text.into_bytes())),
        (None, Some(path)) => {
            let mut bytes =
                Zeroizing::new(read_bounded(&path, PASSWORD_FILE_BYTES_MAX).map_err(|e| {
                    SettingsError(format!(
                        "the password file {} cannot be read: {e}",
                        path.display()
                    ))
                })?);
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            if bytes.contains(&0) {
                return Err(SettingsError(format!(
                    "the password file {} contains NUL bytes; save it as UTF-8 text",
                    path.display()
                )));
            }
            if bytes.len() > PASSWORD_BYTES_MAX {
                return Err(SettingsError(format!(
                    "the password file {} has more than {PASSWORD_BYTES_MAX} bytes",
                    path.display()
                )));
            }
            if bytes.is_empty() {
                let path = path.display();
                return Err(SettingsError(format!("the password file {path} is empty")));
            }
            Ok(bytes)
        }
        (None, None) => Ok(Zeroizing::default()),
    }
}
