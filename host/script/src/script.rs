//! The source of a script: its name, its first line, its checksum.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest source of a script or of a library, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The flags that a script declares in its first line: `#!lua flags=no-writes,allow-stale`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// It calls no command that writes.
    pub no_writes: bool,
    /// It may run while no memory is left.
    pub allow_oom: bool,
    /// It may run on a replica without its primary.
    pub allow_stale: bool,
    /// It does not run in cluster mode.
    pub no_cluster: bool,
    /// Its keys may be in several slots.
    pub allow_cross_slot_keys: bool,
}

impl Flags {
    /// Sets the flag of this name. Returns whether there is one.
    pub(crate) fn set(&mut self, name: &str) -> bool {
        let flag = match name {
            "no-writes" => &mut self.no_writes,
            "allow-oom" => &mut self.allow_oom,
            "allow-stale" => &mut self.allow_stale,
            "no-cluster" => &mut self.no_cluster,
            "allow-cross-slot-keys" => &mut self.allow_cross_slot_keys,
            _ => return false,
        };
        *flag = true;
        true
    }

    /// The names of the flags that are set.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let all = [
            (self.no_writes, "no-writes"),
            (self.allow_oom, "allow-oom"),
            (self.allow_stale, "allow-stale"),
            (self.no_cluster, "no-cluster"),
            (self.allow_cross_slot_keys, "allow-cross-slot-keys"),
        ];
        all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
    }
}

/// Why a source is refused, as clients read it after `ERR`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScriptError {
    /// The source is too long.
    #[error("Script of {0} bytes is too long; at most {SOURCE_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The first line begins with `#!` and does not end.
    #[error("Invalid script shebang")]
    Shebang,
    /// The first line names another language.
    #[error("Could not find scripting engine '{0}'")]
    Engine(String),
    /// The first line names a flag that there is not.
    #[error("Unexpected flag in script shebang: {0}")]
    Flag(String),
    /// The first line has something else.
    #[error("Unknown lua shebang option: {0}")]
    Option(String),
    /// The first line of a library names another language.
    #[error("Engine '{0}' not found")]
    LibraryEngine(String),
    /// The first line of a library has something else.
    #[error("Invalid metadata value given: {0}")]
    Metadata(String),
    /// The first line of a library has several names.
    #[error("Invalid metadata value, name argument was given multiple times")]
    SeveralNames,
    /// A library has no first line that names it.
    #[error("Missing library metadata")]
    NoMetadata,
    /// A library has no name.
    #[error("Library name was not given")]
    NoName,
    /// A name has other characters.
    #[error(
        "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
    )]
    Name,
}

/// A script that can be run.
#[derive(Clone, Debug)]
pub struct Script {
    /// SHA-1 of its source, as 40 hexadecimal digits in lower case.
    pub sha: Arc<str>,
    /// As the client sent it.
    pub source: Bytes,
    /// `None` without such a line, as in scripts written before Redis 7.
    pub flags: Option<Flags>,
}

impl Script {
    /// Reads a source.
    ///
    /// # Errors
    /// If it is too long, or its first line is malformed.
    pub fn new(source: Bytes) -> Result<Self, ScriptError> {
        check_length(&source)?;
        let sha = sha1_hex(&source).into();
        let flags = match first_line(&source)? {
            None => None,
            Some(line) => {
                let mut flags = Flags::default();
                for option in options(&line)? {
                    let Some(names) = option.strip_prefix("flags=") else {
                        return Err(ScriptError::Option(option.into()));
                    };
                    for name in names.split(',').filter(|name| !name.is_empty()) {
                        if !flags.set(name) {
                            return Err(ScriptError::Flag(name.into()));
                        }
                    }
                }
                Some(flags)
            }
        };
        Ok(Self { sha, source, flags })
    }

    /// What is compiled: the source without its first line, which is left empty so that lines keep
    /// their numbers.
    pub(crate) fn body(&self) -> &[u8] {
        body(&self.source)
    }
}

/// A library: functions that are loaded once and called by name.
#[derive(Clone, Debug)]
pub struct Library {
    /// Its name, from its first line: `#!lua name=mylib`.
    pub name: String,
    /// SHA-1 of its source, as 40 hexadecimal digits in lower case.
    pub sha: Arc<str>,
    /// As the client sent it.
    pub source: Bytes,
}

impl Library {
    /// Reads a source.
    ///
    /// # Errors
    /// If it is too long, or its first line is malformed or does not name it.
    pub fn new(source: Bytes) -> Result<Self, ScriptError> {
        let name = library_name(&source)?;
        let sha = sha1_hex(&source).into();
        Ok(Self { name, sha, source })
    }

    /// What is compiled, as that of a [`Script`].
    pub(crate) fn body(&self) -> &[u8] {
        body(&self.source)
    }
}

fn library_name(source: &[u8]) -> Result<String, ScriptError> {
    check_length(source)?;
    let line = first_line(source)?.ok_or(ScriptError::NoMetadata)?;
    let options = options(&line).map_err(|error| match error {
        ScriptError::Engine(name) => ScriptError::LibraryEngine(name),
        error => error,
    })?;
    let mut name = None;
    for option in options {
        match option.strip_prefix("name=") {
            Some(_) if name.is_some() => return Err(ScriptError::SeveralNames),
            Some(given) => name = Some(unquoted(given).to_owned()),
            None => return Err(ScriptError::Metadata(option.into())),
        }
    }
    let name = name.ok_or(ScriptError::NoName)?;
    if is_name(&name) { Ok(name) } else { Err(ScriptError::Name) }
}

/// A value without the quotation marks around it.
fn unquoted(text: &str) -> &str {
    let inner = |mark| text.strip_prefix(mark)?.strip_suffix(mark);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// Whether a library or a function may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(crate) fn body(source: &[u8]) -> &[u8] {
    if !source.starts_with(b"#!") {
        return source;
    }
    let end = source.iter().position(|b| *b == b'\n').unwrap_or(source.len());
    &source[end..]
}

fn check_length(source: &[u8]) -> Result<(), ScriptError> {
    if source.len() > SOURCE_BYTES_MAX { Err(ScriptError::TooLong(source.len())) } else { Ok(()) }
}

fn first_line(source: &[u8]) -> Result<Option<String>, ScriptError> {
    if !source.starts_with(b"#!") {
        return Ok(None);
    }
    let end = source.iter().position(|b| *b == b'\n').ok_or(ScriptError::Shebang)?;
    Ok(Some(String::from_utf8_lossy(&source[2..end]).into_owned()))
}

/// The options after the name of the language.
fn options(line: &str) -> Result<impl Iterator<Item = &str>, ScriptError> {
    let mut words = line.split_ascii_whitespace();
    let name =
        if line.starts_with(|c: char| c.is_ascii_whitespace()) { None } else { words.next() };
    match name {
        Some(name) if name.eq_ignore_ascii_case("lua") => Ok(words),
        name => Err(ScriptError::Engine(name.unwrap_or_default().into())),
    }
}

/// SHA-1 as 40 hexadecimal digits: names scripts, and is no protection against anything.
#[must_use]
pub fn sha1_hex(bytes: &[u8]) -> String {
    let mut sha = Sha1::default();
    sha.add(bytes);
    sha.hex()
}

/// The same of parts.
pub(crate) struct Sha1(Context);

impl Default for Sha1 {
    fn default() -> Self {
        Self(Context::new(&SHA1_FOR_LEGACY_USE_ONLY))
    }
}

impl Sha1 {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(crate) fn hex(self) -> String {
        HEXLOWER.encode(self.0.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(source: &str) -> Result<Script, ScriptError> {
        Script::new(Bytes::copy_from_slice(source.as_bytes()))
    }

    #[test]
    fn the_first_line_names_flags() {
        assert_eq!(script("return 1").unwrap().flags, None);
        assert_eq!(script("#!lua\nreturn 1").unwrap().flags, Some(Flags::default()));
        let both = script("#!lua flags=no-writes,allow-oom\nreturn 1").unwrap();
        assert_eq!(both.flags.unwrap().names(), ["no-writes", "allow-oom"]);
        assert_eq!(both.body(), b"\nreturn 1");
        let error = |source| script(source).unwrap_err().to_string();
        assert_eq!(error("#!lua flags=bad\nreturn 1"), "Unexpected flag in script shebang: bad");
        assert_eq!(error("#!lua bad=1\nreturn 1"), "Unknown lua shebang option: bad=1");
        assert_eq!(error("#!perl\nreturn 1"), "Could not find scripting engine 'perl'");
        assert_eq!(error("#!lua"), "Invalid script shebang");
    }

    #[test]
    fn a_library_is_named_by_its_first_line() {
        assert_eq!(library_name(b"#!lua name=my_lib1\n").unwrap(), "my_lib1");
        let error = |source: &str| library_name(source.as_bytes()).unwrap_err();
        assert_eq!(error("return 1"), ScriptError::NoMetadata);
        assert_eq!(error("#!lua\n"), ScriptError::NoName);
        assert_eq!(error("#!lua name=a-b\n"), ScriptError::Name);
        assert_eq!(error("#!lua name=a flags=b\n"), ScriptError::Metadata("flags=b".into()));
        assert_eq!(error("#!lua name=a name=b\n"), ScriptError::SeveralNames);
        assert_eq!(error("#!perl name=a\n"), ScriptError::LibraryEngine("perl".into()));
        assert_eq!(error("#! name=a\n"), ScriptError::LibraryEngine(String::new()));
        assert_eq!(library_name(b"#!lua name=\"a\"\n").unwrap(), "a");
    }

    #[test]
    fn sha1_is_that_of_redis() {
        assert_eq!(sha1_hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(sha1_hex(b"Pizza & Mandolino"), "74822d82031af7493c20eefa13bd07ec4fada82f");
    }
}
