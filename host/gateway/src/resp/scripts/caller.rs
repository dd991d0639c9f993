//! What `redis.call` does: finds the command, checks whether the script may call it, and executes
//! it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::{Op, WatchedKey};
use convoke_grid::{ClientTraits, Map, OpError, Reply};
use convoke_script::{Commands, Interrupt, LogLevel, Value, Words};
use tracing::{debug, info, warn};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Parsed};
use super::super::client::{Client, with_traits};
use super::super::client_info::ClientInfo;
use super::super::command::{Command, CommandTable, Handle, HandleWithTable, Handler, Missing};
use super::super::command_state::CommandState;
use super::super::commands::introspection;
use super::super::read_keys::ReadKeys;
use super::super::request::Request;
use super::super::server::Server;
use super::super::stats::QUICK_BYTES_MAX;
use super::calls::Recorder;
use super::program::Notes;
use super::value::{of_answer, of_reply};
use crate::databases::DATABASES;
use crate::trust::Trust;

/// Messages that one script publishes, at most.
const PUBLISHED_MAX: usize = 100_000;
/// Bytes of a line that a script logs, at most.
const LOGGED_BYTES_MAX: usize = 1_024;

/// How the commands of a script reach the data.
pub(super) trait Data {
    /// Executes an operation on keys of a map, or of two.
    fn execute(
        &mut self,
        map: &Arc<Map>,
        other: Option<&Arc<Map>>,
        op: &Op<'_>,
    ) -> Result<Result<Reply, OpError>, Interrupt>;

    /// Whether these keys have the versions that they had.
    fn is_unchanged(&mut self, watched: &[WatchedKey<'_>]) -> Result<bool, Interrupt>;

    /// Executes a command of the gateway.
    fn run(
        &mut self,
        handle: Handle,
        caller: &Context,
        request: &Request<'_>,
    ) -> Result<Answer, Interrupt>;
}

/// The state of a script that its commands depend on.
pub(super) struct Context {
    pub(super) server: Arc<Server>,
    pub(super) table: &'static CommandTable,
    pub(super) database: usize,
    pub(super) map: Arc<Map>,
    pub(super) trust: Trust,
    /// It may call no command that writes.
    pub(super) reads: bool,
    /// What the client asks of the operations of the script.
    pub(super) traits: ClientTraits,
    /// Messages, which are published when the step is done.
    pub(super) published: Vec<Message>,
    /// The keys that scripts have read, if they are to be noted.
    pub(super) read_keys: Option<ReadKeys>,
    /// The commands that scripts call.
    pub(super) recorder: Recorder,
}

impl Context {
    /// A client on whose behalf a script calls a command of the gateway.
    pub(super) fn client(&self) -> Option<Client> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let buffer = self.server.pubsub.output_buffer();
        let info = ClientInfo::new(0, address, address, self.server.elapsed_ms(), buffer);
        let mut client = Client::new(&self.server, Arc::new(info))?;
        client.set_trust(self.trust);
        client.select(self.database).ok()?;
        Some(client)
    }
}

impl Context {
    /// What was noted and is to be published, once the step is done.
    pub(super) fn done(self) -> (Notes, Vec<Message>) {
        let (read, calls) = (self.read_keys.unwrap_or_default(), self.recorder.into_calls());
        (Notes { read, calls }, self.published)
    }
}

/// A message that a script publishes.
pub(super) struct Message {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// Whether the topic is a shard channel.
    pub(super) is_shard: bool,
}

/// Sends what a script has published.
pub(super) fn publish(server: &Server, messages: Vec<Message>) {
    for Message { topic, payload, is_shard } in messages {
        // Nobody waits for the number of subscribers.
        if is_shard {
            drop(server.grid.publish_shard(&topic, &payload));
        } else {
            drop(server.grid.publish(&topic, &payload));
        }
    }
}

/// Executes the commands of one run.
pub(super) struct Caller<D> {
    pub(super) context: Context,
    pub(super) data: D,
}

/// Commands of the gateway that a script may call. Redis lets it call SWAPDB too, see there, and
/// its commands for clusters.
const CALLABLE: &[&str] = &[
    "acl|whoami",
    "config|get",
    "dbsize",
    "echo",
    "flushall",
    "flushdb",
    "info",
    "keys",
    "lastsave",
    "latency|help",
    "memory|doctor",
    "memory|malloc-stats",
    "memory|purge",
    "memory|stats",
    "ping",
    "publish",
    "pubsub|channels",
    "pubsub|numpat",
    "pubsub|numsub",
    "randomkey",
    "scan",
    "select",
    "slowlog|get",
    "slowlog|help",
    "slowlog|len",
    "slowlog|reset",
    "spublish",
    "time",
    "wait",
    "waitaof",
];

impl<D: Data> Commands for Caller<D> {
    fn call(&mut self, words: Words<'_>) -> Result<Value, Interrupt> {
        let (bytes, ranges) = words.parts();
        let request = Request::of(bytes, ranges);
        let row = match self.row(words) {
            Ok(row) => row,
            Err(missing) => {
                let error = self.missing(&missing);
                self.context.recorder.reject(None, &error);
                return Ok(error);
            }
        };
        let command = &self.context.table.rows[row];
        if let Err(error) = self.admit(command, &request) {
            self.context.recorder.reject(Some((command, row)), &error);
            return Ok(error);
        }
        if command.is(Command::READ)
            && let Some(read) = &mut self.context.read_keys
        {
            command
                .keys_of(&words.iter().collect::<Vec<_>>())
                .into_iter()
                .for_each(|key| read.add(key));
        }
        let is_quick =
            command.is(Command::FAST) || (command.name == "set" && bytes.len() <= QUICK_BYTES_MAX);
        let begun = self.context.recorder.begin(&self.context.server, row, is_quick);
        let reply = self.execute_command(command, &request)?;
        let called = (self.context.database, &request);
        self.context.recorder.end(begun, command, called, &reply);
        Ok(reply)
    }

    fn is_allowed(&mut self, words: Words<'_>) -> Option<bool> {
        let row = self.row(words).ok()?;
        let command = &self.context.table.rows[row];
        Some(self.context.trust == Trust::Full || !changes(command))
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        let text = String::from_utf8_lossy(&text[..text.len().min(LOGGED_BYTES_MAX)]);
        let text = convoke_text::escaped(&text, LOGGED_BYTES_MAX);
        match level {
            LogLevel::Warning => warn!("script log: {text}"),
            LogLevel::Notice => info!("script log: {text}"),
            LogLevel::Debug | LogLevel::Verbose => debug!("script log: {text}"),
        }
    }
}

fn not_allowed() -> Value {
    Value::error("ERR This Redis command is not allowed from script")
}

/// Whether any script may call a command.
fn is_callable(command: &Command) -> bool {
    if command.is(Command::NO_MULTI) || command.is(Command::NOT_QUEUED) {
        return false;
    }
    match command.handler {
        Handler::Op(_) | Handler::Shaped(..) | Handler::Streams(_) | Handler::Blocking(..) => true,
        Handler::Local(_) => CALLABLE.contains(&command.name),
        Handler::WithTable(_) => describes(command),
        Handler::Exec => false,
    }
}

/// Whether it only describes commands.
fn describes(command: &Command) -> bool {
    let (container, subcommand) = command.name.split_once('|').unwrap_or((command.name, ""));
    container == "command" || subcommand == "help" && container != "cluster"
}

fn changes(command: &Command) -> bool {
    command.is(Command::WRITE) || command.is(Command::ADMIN)
}

impl<D: Data> Caller<D> {
    /// The index of the row of a command.
    fn row(&self, words: Words<'_>) -> Result<usize, Missing> {
        self.context.table.resolve(words.get(0).unwrap_or_default(), words.get(1))
    }

    /// The error for a command that does not exist.
    fn missing(&self, missing: &Missing) -> Value {
        if let Missing::Subcommand(container) = missing {
            let rows = self.context.table.rows.iter();
            let mut others =
                rows.filter(|row| row.name.split_once('|').is_some_and(|(of, _)| of == *container));
            // Such as CLUSTER, of which scripts may call nothing.
            if others.all(|row| !is_callable(row)) {
                return not_allowed();
            }
        }
        Value::error("ERR Unknown Redis command called from script")
    }

    /// Whether the script may call a command with these arguments.
    fn admit(&self, command: &Command, request: &Request<'_>) -> Result<(), Value> {
        if !command.takes(request.len()) {
            return Err(Value::error("ERR Wrong number of args calling Redis command from script"));
        }
        if !is_callable(command) {
            return Err(not_allowed());
        }
        if self.context.reads && command.is(Command::WRITE) {
            return Err(Value::error("ERR Write commands are not allowed from read-only scripts."));
        }
        if self.context.trust < Trust::Full && changes(command) {
            let name = command.name;
            return Err(Value::error(format!(
                "NOPERM this user has no permissions to run the '{name}' command"
            )));
        }
        Ok(())
    }

    /// Executes a command that the script may call.
    fn execute_command(
        &mut self,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Result<Value, Interrupt> {
        match command.handler {
            Handler::Op(parse) => self.execute(parse(request), of_reply),
            Handler::Shaped(parse, shape) => {
                let arguments = request.len();
                self.execute(parse(request), |reply| of_answer(shape(arguments, reply)))
            }
            // As in Redis, neither this nor a blocking command blocks in a script.
            Handler::Streams(parse) => self.execute(parse(request).map(|(op, _)| op), of_reply),
            Handler::Blocking(parse, shape) => {
                let arguments = request.len();
                let op = parse(request).map(|(op, _)| op);
                self.execute(op, |reply| of_answer(shape(arguments, reply)))
            }
            Handler::Local(handle) => self.run(command, handle, request),
            Handler::WithTable(handle) => Ok(self.describe(handle, request)),
            // `admit` has rejected it.
            Handler::Exec => Ok(not_allowed()),
        }
    }

    fn execute(
        &mut self,
        op: Parsed<'_>,
        shape: impl FnOnce(Reply) -> Value,
    ) -> Result<Value, Interrupt> {
        let op = match op {
            Ok(op) => op,
            Err(error) => return Ok(Value::error(error.0.into_owned())),
        };
        Ok(match self.execute_op(op)? {
            Ok(Reply::Failed(error)) | Err(error) => of_reply(Reply::Failed(error)),
            Ok(reply) => shape(reply),
        })
    }

    /// Executes an operation on the selected database.
    pub(super) fn execute_op(&mut self, op: Op<'_>) -> Result<Result<Reply, OpError>, Interrupt> {
        let op = with_traits(op, self.context.traits);
        let other = op.other_map().map(|name| self.context.server.grid.open(name));
        match other.transpose() {
            Ok(other) => self.data.execute(&self.context.map, other.as_ref(), &op),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Executes a command of the gateway.
    fn run(
        &mut self,
        command: &Command,
        handle: Handle,
        request: &Request<'_>,
    ) -> Result<Value, Interrupt> {
        let answered = match command.name {
            "select" => self.select(request),
            "publish" => self.publish(request, false),
            "spublish" => self.publish(request, true),
            // Backups get what a script changes when it has ended.
            "wait" => introspection::check_wait(request).map(|()| Value::Integer(0)),
            "waitaof" => introspection::check_waitaof(request)
                .map(|()| Value::Array(vec![Value::Integer(0), Value::Integer(0)])),
            _ => return Ok(of_answer(self.data.run(handle, &self.context, request)?)),
        };
        Ok(answered.unwrap_or_else(|error| Value::error(error.0.into_owned())))
    }

    /// Executes a command that describes commands, which waits for nothing.
    fn describe(&self, handle: HandleWithTable, request: &Request<'_>) -> Value {
        let Some(mut client) = self.context.client() else {
            return of_reply(Reply::Failed(OpError::Unavailable));
        };
        match handle(&mut client, self.context.table, request) {
            Ok(CommandState::Ready(answer)) => of_answer(answer),
            Ok(_) => not_allowed(),
            Err(error) => Value::error(error.0.into_owned()),
        }
    }

    /// Selects another database, for this script only.
    fn select(&mut self, request: &Request<'_>) -> Result<Value, CommandError> {
        let number = Args::new(request, 1).integer()?;
        let database = usize::try_from(number).ok().filter(|number| *number < DATABASES);
        let database = database.ok_or(CommandError::new("ERR DB index is out of range"))?;
        self.context.map = self.context.server.database(database)?;
        self.context.database = database;
        Ok(Value::status("OK"))
    }

    /// Keeps a message until the step is done. Returns the number of subscribers of this member, as a
    /// node of a Redis Cluster does.
    fn publish(&mut self, request: &Request<'_>, is_shard: bool) -> Result<Value, CommandError> {
        let mut args = Args::new(request, 1);
        let (topic, payload) = (args.next()?, args.next()?);
        if topic.len() > convoke_grid::topic::TOPIC_BYTES_MAX {
            return Err(CommandError::new("ERR the channel name is too long"));
        }
        if is_shard && convoke_grid::topic::is_internal(topic) {
            return Err(CommandError::new(crate::resp::commands::pubsub::RESERVED));
        }
        if self.context.published.len() >= PUBLISHED_MAX {
            return Err(CommandError::new("ERR a script publishes at most 100000 messages"));
        }
        let receivers = self.context.server.grid.receivers_here(topic, is_shard);
        let (topic, payload) = (Bytes::copy_from_slice(topic), Bytes::copy_from_slice(payload));
        self.context.published.push(Message { topic, payload, is_shard });
        Ok(Value::Integer(i64::try_from(receivers).unwrap_or(i64::MAX)))
    }
}
