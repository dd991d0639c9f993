//! A call of a script or of a function, as it is sent to the member that runs it.

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::ClientTraits;
use convoke_script::{
    Commands, Engine, Failure, Library, Limits, Script, ScriptError, Value, sha1_hex,
};
use serde::{Deserialize, Serialize};

use super::super::script_cache::RunningInfo;
use super::program::PartReply;
use crate::trust::Trust;

/// Words of the command of a running script that are shown, and bytes of each, at most.
const SHOWN_WORDS_MAX: usize = 32;
const SHOWN_BYTES_MAX: usize = 128;

/// A script, or a function of a library.
#[derive(Clone, Copy)]
pub(super) enum Callee<'a> {
    Script(&'a Arc<Script>),
    Function(&'a Arc<Library>, &'a str),
}

impl Callee<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// If it is stopped or interrupted.
    pub(super) fn run<'w>(
        self,
        engine: &mut Engine,
        keys: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        args: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        limits: &Limits,
        commands: &mut dyn Commands,
    ) -> Result<PartReply, Failure> {
        let ran = match self {
            Self::Script(script) => engine.run(script, keys, args, limits, commands),
            Self::Function(library, name) => {
                engine.run_function(library, name, keys, args, limits, commands)
            }
        };
        Ok(match ran {
            // As in Redis, what happened before an error stays.
            Ok(Value::Error(text)) | Err(Failure::Error(text)) => {
                if engine.has_passed_on_an_error() {
                    PartReply::PassedOn(text)
                } else {
                    PartReply::Script(Value::Error(text))
                }
            }
            Ok(value) => PartReply::Script(value),
            Err(failure) => return Err(failure),
        })
    }

    /// The source, and the name of the function.
    pub(super) fn parts(self) -> (Code, Option<Box<str>>) {
        match self {
            Self::Script(script) => (Code::Script(Arc::clone(script)), None),
            Self::Function(library, name) => {
                (Code::Library(Arc::clone(library)), Some(name.into()))
            }
        }
    }
}

/// What is run: compiled once in each thread.
#[derive(Clone)]
pub(crate) enum Code {
    Script(Arc<Script>),
    /// A library of functions.
    Library(Arc<Library>),
}

impl Code {
    pub(super) fn source(&self) -> &Bytes {
        match self {
            Self::Script(script) => &script.source,
            Self::Library(library) => &library.source,
        }
    }

    /// Parses a source, which is that of a library or of a script.
    pub(super) fn of(source: Bytes, is_library: bool) -> Result<Self, ScriptError> {
        Ok(if is_library {
            Self::Library(Arc::new(Library::new(source)?))
        } else {
            Self::Script(Arc::new(Script::new(source)?))
        })
    }

    pub(super) fn run(
        &self,
        engine: &mut Engine,
        evaluation: &Evaluation,
        limits: &Limits,
        commands: &mut dyn Commands,
    ) -> Result<PartReply, Failure> {
        let keys = evaluation.keys.iter().map(|key| &key[..]);
        let args = evaluation.args.iter().map(|arg| &arg[..]);
        let callee = match self {
            Self::Script(script) => Callee::Script(script),
            Self::Library(library) => {
                Callee::Function(library, evaluation.function.as_deref().unwrap_or_default())
            }
        };
        callee.run(engine, keys, args, limits, commands)
    }
}

/// A script with its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    pub(super) database: usize,
    /// Whether the user may change something.
    pub(super) is_trusted: bool,
    /// Whether the script may call no command that writes.
    pub(super) reads: bool,
    /// What the client asks of the operations of the script.
    pub(super) client: ClientTraits,
    /// The place of its source in the program.
    pub(super) source: usize,
    /// The function, if the source is that of a library.
    pub(super) function: Option<Box<str>>,
    pub(super) keys: Vec<Bytes>,
    pub(super) args: Vec<Bytes>,
}

impl Evaluation {
    pub(super) fn trust(&self) -> Trust {
        if self.is_trusted { Trust::Full } else { Trust::ReadOnly }
    }

    /// The command that runs it, as far as it is shown.
    pub(super) fn shown(&self, source: &Bytes) -> RunningInfo {
        let (name, command) = match &self.function {
            None => (sha1_hex(source), "eval"),
            Some(name) => (name.to_string(), "fcall"),
        };
        let first = if self.function.is_some() { name.as_bytes() } else { source };
        let count = self.keys.len().to_string();
        let words = [command.as_bytes(), first, count.as_bytes()].into_iter();
        let words = words.chain(self.keys.iter().chain(&self.args).map(|word| &word[..]));
        let shorten =
            |word: &[u8]| Bytes::copy_from_slice(&word[..word.len().min(SHOWN_BYTES_MAX)]);
        RunningInfo {
            is_function: self.function.is_some(),
            command: words.take(SHOWN_WORDS_MAX).map(shorten).collect(),
            name: name.clone(),
            ms: 0,
        }
    }
}
