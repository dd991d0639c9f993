//! Programs: a script, or scripts and the commands before and after them in a transaction. The parts
//! are executed one after the other, and all of them as one step.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use convoke_grid::op::{ANSWER_BYTES_MAX, WatchedKey};
use convoke_grid::{ClientTraits, Map, OpError, Reply, Version};
use convoke_script::{Failure, Interrupt, Limits, ScriptError, Value};
use serde::{Deserialize, Serialize};

use super::super::answer::{Answer, CommandError, bytes_of};
use super::super::client::Client;
use super::super::command::{Command, CommandTable};
use super::super::encode::error_text;
use super::super::read_keys::ReadKeys;
use super::super::request::{OwnedRequest, Request};
use super::super::server::Server;
use super::caller::{Caller, Context, Data};
use super::calls::{Calls, Recorder};
use super::evaluation::{Code, Evaluation};
use super::with_engine;
use crate::trust::Trust;

/// Maximum size of the sources of one program, in bytes. A source that several scripts have in common
/// counts once.
const SOURCE_BYTES_MAX: usize = 16 << 20;

/// The source of scripts or of functions.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Source {
    text: Bytes,
    is_library: bool,
}

/// A command of a transaction that is not a script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QueuedOp {
    database: usize,
    /// What the client asks of the operation.
    client: ClientTraits,
    /// The command and its arguments.
    words: Vec<Bytes>,
}

/// What is executed as one.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Part {
    Script(Evaluation),
    Op(QueuedOp),
}

/// What is executed as one step; see the [module](self).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Program {
    sources: Vec<Source>,
    /// Databases, keys and versions: nothing is executed if one of the keys has changed.
    pub(crate) watched: Vec<(usize, Bytes, Version)>,
    parts: Vec<Part>,
    /// Whether the keys that its scripts read are returned.
    pub(crate) notes_reads: bool,
    /// Whether the lines for `MONITOR` of the commands that its scripts call are returned.
    pub(crate) shows_calls: bool,
}

/// A call of a script or of a function that was checked.
pub(crate) struct Call {
    pub(super) code: Code,
    /// The function, if the code is a library.
    pub(super) function: Option<Box<str>>,
    /// Whether it may call no command that writes.
    pub(super) reads: bool,
    pub(crate) keys: Vec<Bytes>,
    pub(super) args: Vec<Bytes>,
}

/// The reply of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum PartReply {
    Script(Value),
    /// The error of a command that a script has called and passed on.
    PassedOn(Bytes),
    Op(Reply),
}

impl PartReply {
    /// The reply to the client that called a script; `None` if it is not the reply of one.
    pub(crate) fn of_script(self) -> Option<Answer> {
        match self {
            Self::Script(value) => Some(Answer::Value(value)),
            Self::PassedOn(text) => Some(Answer::PassedOn(text)),
            Self::Op(_) => None,
        }
    }

    /// Size of the values in it, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Op(reply) => bytes_of(reply),
            Self::Script(value) => value.bytes(),
            Self::PassedOn(text) => text.len(),
        }
    }
}

/// What was noted while scripts were run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// The keys that they read, if these are noted.
    pub(crate) read: ReadKeys,
    /// The commands that they called.
    pub(crate) calls: Calls,
}

/// How a program has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Ended {
    /// It was executed.
    Done(Vec<PartReply>, Notes),
    /// A watched key has changed: nothing was executed.
    Changed,
    /// Nothing was executed, because of this error.
    Failed(Bytes),
}

impl Ended {
    pub(super) fn failed(error: &OpError) -> Self {
        Self::Failed(Bytes::from(error_text(error)))
    }
}

impl Program {
    /// Adds a script of a client, on a database. `codes` are its sources that were added so far.
    ///
    /// # Errors
    /// If there is no room for its source.
    pub(crate) fn add_call(
        &mut self,
        client: &Client,
        database: usize,
        call: Call,
        codes: &mut Vec<Code>,
    ) -> Result<(), CommandError> {
        let Call { code, function, reads, keys, args } = call;
        let (text, is_library) = (code.source(), matches!(code, Code::Library(_)));
        let known = self
            .sources
            .iter()
            .position(|source| source.is_library == is_library && source.text == *text);
        let source = match known {
            Some(source) => source,
            None => {
                let bytes: usize = self.sources.iter().map(|source| source.text.len()).sum();
                if bytes + text.len() > SOURCE_BYTES_MAX {
                    return Err(CommandError::new(
                        "ERR the scripts of the transaction exceed 16 MiB",
                    ));
                }
                self.sources.push(Source { text: text.clone(), is_library });
                codes.push(code);
                self.sources.len() - 1
            }
        };
        self.parts.push(Part::Script(Evaluation {
            database,
            is_trusted: client.trust == Trust::Full,
            reads,
            client: client.traits(),
            source,
            function,
            keys,
            args,
        }));
        Ok(())
    }

    /// Adds a command of a client, on a database.
    pub(crate) fn add_op(&mut self, client: &Client, database: usize, request: &Request<'_>) {
        let words = request.from(0).map(Bytes::copy_from_slice).collect();
        self.parts.push(Part::Op(QueuedOp { database, client: client.traits(), words }));
    }

    /// Parses its sources.
    pub(super) fn codes(&self) -> Result<Vec<Code>, ScriptError> {
        let all = self.sources.iter();
        all.map(|source| Code::of(source.text.clone(), source.is_library)).collect()
    }

    /// The keys that its parts name.
    pub(super) fn keys(&self, table: &CommandTable) -> Vec<&[u8]> {
        let mut keys: Vec<&[u8]> = Vec::new();
        for part in &self.parts {
            match part {
                Part::Script(script) => keys.extend(script.keys.iter().map(|key| &key[..])),
                Part::Op(op) => {
                    let words: Vec<&[u8]> = op.words.iter().map(|word| &word[..]).collect();
                    let name = words.first().copied().unwrap_or_default();
                    if let Ok(row) = table.resolve(name, words.get(1).copied()) {
                        keys.extend(table.rows[row].keys_of(&words));
                    }
                }
            }
        }
        keys.extend(self.watched.iter().map(|(_, key, _)| &key[..]));
        keys
    }

    /// Whether it changes nothing.
    pub(super) fn reads(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Script(script) if script.reads))
    }

    /// The databases that it names. Scripts may use others.
    pub(super) fn databases(&self) -> Vec<usize> {
        let of_parts = self.parts.iter().map(|part| match part {
            Part::Script(evaluation) => evaluation.database,
            Part::Op(op) => op.database,
        });
        let mut all: Vec<usize> =
            of_parts.chain(self.watched.iter().map(|(database, ..)| *database)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The script at this place, with its source.
    pub(super) fn script(&self, place: usize) -> Option<(&Evaluation, &Bytes)> {
        let Some(Part::Script(evaluation)) = self.parts.get(place) else { return None };
        Some((evaluation, &self.sources.get(evaluation.source)?.text))
    }

    /// The state in which it is executed.
    pub(super) fn context(
        &self,
        server: &Arc<Server>,
        table: &'static CommandTable,
    ) -> Result<Context, OpError> {
        let database = self.databases().first().copied().unwrap_or_default();
        Ok(Context {
            server: Arc::clone(server),
            table,
            database,
            map: server.database(database)?,
            trust: Trust::ReadOnly,
            reads: true,
            traits: ClientTraits::default(),
            published: Vec::new(),
            read_keys: self.notes_reads.then(ReadKeys::default),
            recorder: Recorder::new(None, self.shows_calls),
        })
    }
}

/// Why the parts of a program were not all executed.
pub(super) enum Stop {
    /// A watched key has changed.
    Changed,
    /// A script was stopped or interrupted, or the time is over.
    Failure(Failure),
    /// A database cannot be opened.
    Failed(OpError),
}

impl From<Interrupt> for Stop {
    fn from(_: Interrupt) -> Self {
        Self::Failure(Failure::Interrupted)
    }
}

impl<D: Data> Caller<D> {
    /// Executes the parts of a program. `limits` returns those of the script at a place.
    pub(super) fn execute_all(
        &mut self,
        program: &Program,
        codes: &[Code],
        deadline: Instant,
        mut limits: impl FnMut(usize) -> Limits,
    ) -> Result<Vec<PartReply>, Stop> {
        if !program.watched.is_empty() && !self.is_unchanged(program)? {
            return Err(Stop::Changed);
        }
        let mut replies = Vec::with_capacity(program.parts.len());
        let mut bytes = 0;
        for (place, part) in program.parts.iter().enumerate() {
            let reply = match part {
                Part::Script(evaluation) => {
                    self.select_database(evaluation.database)?;
                    let context = &mut self.context;
                    context.trust = evaluation.trust();
                    (context.reads, context.traits) = (evaluation.reads, evaluation.client);
                    let limits = limits(place);
                    let rest = limits.reply_bytes_max.saturating_sub(bytes);
                    let limits = Limits { reply_bytes_max: rest, ..limits };
                    let code = codes.get(evaluation.source);
                    let code = code.ok_or(Stop::Failed(OpError::Malformed))?;
                    let ran = with_engine(|engine| code.run(engine, evaluation, &limits, self));
                    match ran {
                        Ok(ran) => ran.map_err(Stop::Failure)?,
                        Err(value) => PartReply::Script(value),
                    }
                }
                Part::Op(op) => {
                    if Instant::now() >= deadline {
                        return Err(Stop::Failure(Failure::TimedOut));
                    }
                    self.select_database(op.database)?;
                    self.context.traits = op.client;
                    PartReply::Op(self.execute_queued(op, bytes)?)
                }
            };
            bytes += reply.bytes();
            replies.push(reply);
        }
        Ok(replies)
    }

    /// Whether no watched key has changed.
    fn is_unchanged(&mut self, program: &Program) -> Result<bool, Stop> {
        let server = Arc::clone(&self.context.server);
        let mut watched: Vec<(Arc<Map>, &[u8], Version)> = Vec::new();
        for (database, key, version) in &program.watched {
            let map = server.database(*database).map_err(Stop::Failed)?;
            watched.push((map, key, *version));
        }
        let watched: Vec<WatchedKey<'_>> = watched
            .iter()
            .map(|(map, key, version)| WatchedKey { map: &map.name, key, version: *version })
            .collect();
        Ok(self.data.is_unchanged(&watched)?)
    }

    fn select_database(&mut self, database: usize) -> Result<(), Stop> {
        if self.context.database != database {
            self.context.map = self.context.server.database(database).map_err(Stop::Failed)?;
            self.context.database = database;
        }
        Ok(())
    }

    /// Executes a command of a transaction, whose replies have `bytes` so far.
    fn execute_queued(&mut self, op: &QueuedOp, bytes: usize) -> Result<Reply, Stop> {
        let owned = OwnedRequest::of(op.words.iter().map(|word| &word[..]));
        let request = owned.as_request();
        let name = request.get(0).unwrap_or_default();
        let Ok(row) = self.context.table.resolve(name, request.get(1)) else {
            return Ok(Reply::Failed(OpError::Malformed));
        };
        let command = &self.context.table.rows[row];
        if bytes >= ANSWER_BYTES_MAX && command.is(Command::READ) {
            return Ok(Reply::Failed(OpError::AnswerTooLong));
        }
        // The client's member has parsed it before.
        let Some(Ok(op)) = command.handler.parse(&request) else {
            return Ok(Reply::Failed(OpError::Malformed));
        };
        Ok(self.execute_op(op)?.unwrap_or_else(Reply::Failed))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Programs of each kind.
    pub(in super::super) fn programs() -> Vec<Program> {
        let texts = |all: &[&'static str]| {
            all.iter().map(|text| Bytes::from_static(text.as_bytes())).collect::<Vec<_>>()
        };
        let source = |text: &'static str, is_library| Source { text: text.into(), is_library };
        let script = Evaluation {
            client: ClientTraits::default(),
            database: 3,
            is_trusted: true,
            reads: false,
            source: 0,
            function: None,
            keys: texts(&["key", ""]),
            args: texts(&["argument"]),
        };
        let function = Evaluation { function: Some("name".into()), ..script.clone() };
        let op = QueuedOp {
            database: 0,
            client: ClientTraits::default(),
            words: texts(&["set", "key", "value"]),
        };
        vec![
            Program {
                sources: vec![source("return redis.call('get', KEYS[1])", false)],
                parts: vec![Part::Script(script.clone())],
                ..Program::default()
            },
            Program {
                sources: vec![source("return 1", false), source("#!lua name=a", true)],
                watched: vec![(1, "watched".into(), Version(7))],
                parts: vec![Part::Op(op), Part::Script(script), Part::Script(function)],
                notes_reads: true,
                shows_calls: true,
            },
        ]
    }

    /// How a program has ended, on its way to the client's member.
    #[test]
    fn fuzz_ended() {
        let mut notes = Notes { calls: Calls::sample(), ..Notes::default() };
        notes.read.add(b"key");
        let replies = vec![
            PartReply::Script(Value::Array(vec![Value::Nil])),
            PartReply::PassedOn("ERR".into()),
            PartReply::Op(Reply::Done),
        ];
        let samples = [Ended::Done(replies, notes), Ended::Changed, Ended::Failed("ERR".into())];
        let samples = samples.map(|sample| postcard::to_allocvec(&sample).unwrap());
        convoke_harness::check!(&samples, |bytes| {
            let Ok(ended) = postcard::from_bytes::<Ended>(bytes) else { return };
            let encoded = postcard::to_allocvec(&ended).unwrap();
            let again = postcard::from_bytes::<Ended>(&encoded).expect("its own encoding");
            assert_eq!(postcard::to_allocvec(&again).unwrap(), encoded);
        });
    }
}
