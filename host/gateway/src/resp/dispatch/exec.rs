//! `EXEC`: executes the commands of a transaction.
//!
//! All commands on keys of a transaction are executed as one atomic step, in any partitions and
//! databases. Commands that the gateway executes itself (`PUBLISH`, `SELECT`, …) run after the
//! step: if it fails, or a watched key has changed, nothing of the transaction was executed. Scripts and
//! functions are part of the step.
//!
//! Commands on whole databases (`FLUSHDB`, `KEYS`, …) are not part of a step: the commands on keys
//! before and after such a command are separate steps. Watched keys are checked in the first step.

mod outcome;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use convoke_grid::op::{ANSWER_BYTES_MAX, ContentOp, KeyOp, MapOp, Op, WatchedKey};
use convoke_grid::{Later, Map, OpError, Reply, Started, Version};
use convoke_script::Value;
use futures_util::future::join_all;

use super::super::answer::{Answer, CommandError, Shape, bytes_of};
use super::super::client::{Client, QUEUED_BYTES_MAX, QUEUED_MAX, Queued, Watched, with_traits};
use super::super::command::{Command, Group, Keys};
use super::super::command_state::{CommandResult, CommandState, Continuation};
use super::super::commands::tracking;
use super::super::commands::transactions::end;
use super::super::rdb::DECODED_BYTES_MAX;
use super::super::request::{OwnedRequest, Request};
use super::super::routing::check_slot;
use super::super::scripts::evaluation::Code;
use super::super::scripts::program::{PartReply, Program};
use super::super::scripts::{self, Known, home, is_call, plan};
use super::super::stats;
use super::admit::{admit, is_busy};
use super::run::{check_other_map, run};
use super::table::{COMMANDS, TABLE};
use crate::databases::DATABASES;
use outcome::{NotDone, PlannedProgram, StepOutcome, of_grid, of_program};

/// Queues a command until `EXEC`.
pub(super) fn queue(client: &mut Client, index: usize, request: &Request<'_>) -> CommandState {
    let server = Arc::clone(&client.server);
    let Some(transaction) = &mut client.transaction else { return Answer::DONE.into() };
    if server.settings.redis_cluster {
        let args: Vec<&[u8]> = request.from(0).collect();
        if let Err(error) = check_slot(&server, COMMANDS[index].keys_of(&args)) {
            transaction.is_aborted = true;
            return error.into();
        }
    }
    let queued = Queued { command: index, request: OwnedRequest::from(request) };
    let bytes = transaction.bytes + queued.request.bytes();
    if transaction.queued.len() >= QUEUED_MAX || bytes > QUEUED_BYTES_MAX {
        transaction.is_aborted = true;
        return CommandError::new("ERR the transaction exceeds 65536 commands or 64 MiB").into();
    }
    transaction.bytes = bytes;
    transaction.queued.push(queued);
    client.info.queued.store(transaction.queued.len() as i64, Ordering::Relaxed);
    Answer::Reply(Reply::Word("QUEUED".into())).into()
}

/// The row of a queued command.
fn row(queued: &Queued) -> &'static Command {
    &COMMANDS[queued.command]
}

/// Where the reply of a queued command comes from.
enum ReplySource {
    /// The next reply of the step, with the number of arguments and a function that shapes the
    /// reply.
    Grid(usize, Option<Shape>),
    /// The next reply of the step: that of a script.
    Script,
    /// The command was rejected with this error.
    Failed(CommandError),
    /// The gateway executes the command after the step.
    Local(Queued),
}

pub(super) fn exec(client: &mut Client) -> CommandResult {
    let (transaction, watched) = end(client).ok_or(CommandError::new("ERR EXEC without MULTI"))?;
    if transaction.is_aborted {
        return Err(CommandError::new(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    let accesses_data =
        |queued: &Queued| row(queued).is(Command::READ) || row(queued).is(Command::WRITE);
    if is_busy(client) && transaction.queued.iter().any(accesses_data) {
        return Err(CommandError::BUSY);
    }
    let notes_reads = tracking::note_reads_of(client, &TABLE, &transaction.queued);
    let mut versions = Vec::with_capacity(watched.len());
    for Watched { database, key, version } in watched {
        versions.push((database, client.server.database(database)?, key, version?));
    }
    let steps = Steps {
        left: transaction.queued.into(),
        watched: versions,
        known: Known::default(),
        notes_reads,
        done: Vec::new(),
        closes: false,
        bytes: 0,
    };
    let begin =
        |steps: Steps, client: &mut Client| steps.begin(client).unwrap_or_else(CommandState::from);
    Ok(steps.prepare(client, begin))
}

/// Whether a command may depend on all keys, and so on the effects of the commands before it.
fn accesses_all_keys(command: &Command) -> bool {
    let accesses_data = command.is(Command::READ) || command.is(Command::WRITE);
    let is_alone =
        command.keys == Keys::None || (command.group == Group::Scripting && !is_call(command));
    accesses_data && is_alone && !command.is(Command::PUBSUB)
}

/// A transaction in execution.
struct Steps {
    left: VecDeque<Queued>,
    /// Watched keys for the first step: database, map, key, version.
    watched: Vec<(usize, Arc<Map>, Bytes, Version)>,
    /// What the scripts of the next step need.
    known: Known,
    /// Whether the keys that scripts read are noted.
    notes_reads: bool,
    done: Vec<Answer>,
    /// One of the commands closes the connection.
    closes: bool,
    /// Size of the replies so far, in bytes.
    bytes: usize,
}

/// A step that has not been started.
#[derive(Default)]
struct Step<'a> {
    /// Operations, each with its map.
    ops: Vec<(Arc<Map>, Op<'a>)>,
    /// The same operations and scripts, if there are scripts.
    program: Program,
    codes: Vec<Code>,
    /// Maps and keys that the scripts name.
    named: Vec<(Arc<Map>, Bytes)>,
    /// The source of the reply of each command; `None` if the gateway executes it.
    sources: Vec<Option<ReplySource>>,
}

impl Step<'_> {
    fn has_scripts(&self) -> bool {
        !self.codes.is_empty()
    }
}

impl Steps {
    /// Continues with `then` once this member has the scripts of the next step.
    fn prepare(
        mut self,
        client: &mut Client,
        then: impl FnOnce(Self, &mut Client) -> CommandState + Send + 'static,
    ) -> CommandState {
        let commands = self.left.iter().take_while(|queued| !accesses_all_keys(row(queued)));
        let commands = commands.map(|queued| (row(queued), queued.request.as_request()));
        let Some(read) = self.known.read(&client.server, commands) else {
            return then(self, client);
        };
        CommandState::Continue(Box::pin(async move {
            self.known = read.await;
            let next: Continuation = Box::new(move |client| then(self, client));
            next
        }))
    }

    /// Starts the first step at once if all its keys are in one partition.
    fn begin(mut self, client: &mut Client) -> CommandResult {
        let step = self.next_step(client);
        let mut keys: Vec<&[u8]> = step.ops.iter().flat_map(|(_, op)| op.keys()).collect();
        keys.extend(step.named.iter().map(|(_, key)| &key[..]));
        keys.extend(self.watched.iter().map(|(_, _, key, _)| &key[..]));
        if client.server.settings.redis_cluster {
            check_slot(&client.server, keys.iter().copied())?;
        }
        let partition = self.single_partition(client, &step);
        if step.has_scripts() {
            let mut planned = self.plan_program(client, step, partition);
            if let Some(partition) = partition
                && let Some(outcome) = planned.start_in(client, partition)
            {
                self.watched.clear();
                return Ok(self.after_step(outcome, planned.sources));
            }
            return Ok(CommandState::WhenIdle(Box::new(move |client| {
                self.run_program(client, planned)
            })));
        }
        let Some(partition) = partition else {
            drop(step);
            return Ok(CommandState::WhenIdle(Box::new(move |client| self.execute_next(client))));
        };
        let Step { ops, sources, .. } = step;
        let map = ops.first().map(|(map, _)| map).or(self.watched.first().map(|(_, map, ..)| map));
        let map = map.map_or_else(|| Arc::clone(&client.map), Arc::clone);
        let watched =
            self.watched.iter().map(|(_, _, key, version)| (&key[..], *version)).collect();
        let ops = ops.into_iter().map(|(_, op)| op).collect();
        let started = client.server.grid.start(&map, partition, &Op::Batch { watched, ops });
        self.watched.clear();
        Ok(self.after_step(of_grid(started), sources))
    }

    /// The partition of a step if all keys that it names are in one partition of one map.
    fn single_partition(&self, client: &Client, step: &Step<'_>) -> Option<u16> {
        if step.ops.iter().any(|(_, op)| op.has_unnamed_keys() || op.other_map().is_some()) {
            return None;
        }
        let of_ops =
            step.ops.iter().flat_map(|(map, op)| op.keys().into_iter().map(move |key| (map, key)));
        let of_scripts = step.named.iter().map(|(map, key)| (map, &key[..]));
        let of_watched = self.watched.iter().map(|(_, map, key, _)| (map, &key[..]));
        let mut locations = of_ops
            .chain(of_scripts)
            .chain(of_watched)
            .map(|(map, key)| (&*map.name, client.server.grid.partition_of(key)));
        let first = locations.next()?;
        locations.all(|location| location == first).then_some(first.1)
    }

    /// Parses the commands up to the next one that accesses all keys.
    fn next_step(&self, client: &Client) -> Step<'_> {
        let mut step = Step::default();
        let (mut map, mut database) = (Arc::clone(&client.map), client.database);
        let mut decoded_bytes = 0;
        let commands = || self.left.iter().take_while(|queued| !accesses_all_keys(row(queued)));
        let has_scripts = commands().any(|queued| is_call(row(queued)));
        for queued in commands() {
            let (command, request) = (row(queued), queued.request.as_request());
            // The client may have authenticated as another user since the command was queued.
            if let Err(error) = admit(client, command, &request) {
                step.sources.push(Some(ReplySource::Failed(error)));
                continue;
            }
            if self.bytes >= ANSWER_BYTES_MAX && command.is(Command::READ) {
                step.sources.push(Some(ReplySource::Failed(OpError::AnswerTooLong.into())));
                continue;
            }
            if is_call(command) {
                let source = plan(client, command, &request, &self.known).and_then(|call| {
                    let keys = call.keys.clone();
                    step.program.add_call(client, database, call, &mut step.codes)?;
                    step.named.extend(keys.into_iter().map(|key| (Arc::clone(&map), key)));
                    Ok(ReplySource::Script)
                });
                step.sources.push(Some(source.unwrap_or_else(ReplySource::Failed)));
                continue;
            }
            step.sources.push(match command.handler.parse(&request) {
                Some(Ok(op)) if let Err(error) = check_other_map(&client.server, &op) => {
                    Some(ReplySource::Failed(error))
                }
                Some(Ok(op)) if decoded_bytes + decoded(&op) > DECODED_BYTES_MAX => {
                    Some(ReplySource::Failed(OpError::TooLong.into()))
                }
                Some(Ok(op)) => {
                    decoded_bytes += decoded(&op);
                    if has_scripts {
                        step.program.add_op(client, database, &request);
                    }
                    step.ops.push((Arc::clone(&map), with_traits(op, client.traits())));
                    Some(ReplySource::Grid(request.len(), command.handler.shape()))
                }
                Some(Err(error)) => Some(ReplySource::Failed(error)),
                None => {
                    if command.name == "select"
                        && let Some((number, other)) = selected(client, &request)
                    {
                        (map, database) = (other, number);
                    }
                    None
                }
            });
        }
        step
    }

    /// The program of a step with scripts. `partition` is that of its keys, if they are in one.
    fn plan_program(
        &self,
        client: &Client,
        step: Step<'_>,
        partition: Option<u16>,
    ) -> PlannedProgram {
        let server = &client.server;
        let mut keys: Vec<&[u8]> = step.ops.iter().flat_map(|(_, op)| op.keys()).collect();
        keys.extend(step.named.iter().map(|(_, key)| &key[..]));
        keys.extend(self.watched.iter().map(|(_, _, key, _)| &key[..]));
        let home = partition.unwrap_or_else(|| home(server, keys.iter().copied()).0);
        let Step { mut program, codes, sources, .. } = step;
        let watched = self.watched.iter();
        program.watched =
            watched.map(|(database, _, key, version)| (*database, key.clone(), *version)).collect();
        program.notes_reads = self.notes_reads;
        program.shows_calls = server.monitors.is_any();
        let window = self.notes_reads.then(|| server.tracking.begin_reads(client.info.id));
        PlannedProgram { program, codes, home, sources, window }
    }

    /// Executes a program on the primary of its home partition.
    fn run_program(mut self, client: &mut Client, planned: PlannedProgram) -> CommandState {
        let PlannedProgram { program, home, sources, window, .. } = planned;
        let (server, lane) = (Arc::clone(&client.server), client.lane);
        let ended = scripts::run(Arc::clone(&server), &TABLE, program, home);
        let outcome = Box::pin(async move { of_program(ended.await, (&server, lane), window) });
        self.watched.clear();
        self.after_step(outcome, sources)
    }

    /// Executes the remaining commands, step by step.
    fn execute_next(self, client: &mut Client) -> CommandState {
        if let Some(queued) = self.left.front()
            && self.watched.is_empty()
            && accesses_all_keys(row(queued))
        {
            return self.run_alone(client);
        }
        if self.left.is_empty() && self.watched.is_empty() {
            let answer = Answer::List(self.done);
            return if self.closes {
                CommandState::Close(answer)
            } else {
                CommandState::Ready(answer)
            };
        }
        self.prepare(client, Self::execute_step)
    }

    /// Executes the commands up to the next one that accesses all keys.
    fn execute_step(mut self, client: &mut Client) -> CommandState {
        let step = self.next_step(client);
        if step.has_scripts() {
            let partition = self.single_partition(client, &step);
            let planned = self.plan_program(client, step, partition);
            return self.run_program(client, planned);
        }
        let watched: Vec<WatchedKey<'_>> = self
            .watched
            .iter()
            .map(|(_, map, key, version)| WatchedKey { map: &map.name, key, version: *version })
            .collect();
        let started = if step.ops.is_empty() && watched.is_empty() {
            Started::Now(Ok(Reply::List(Vec::new())))
        } else {
            let ops =
                step.ops.iter().map(|(map, op)| MapOp { map: &map.name, op: op.clone() }).collect();
            client.server.grid.transact(watched, ops, true)
        };
        let sources = step.sources;
        self.watched.clear();
        self.after_step(of_grid(started), sources)
    }

    /// Executes a command that accesses all keys.
    fn run_alone(mut self, client: &mut Client) -> CommandState {
        let Some(queued) = self.left.pop_front() else { return self.execute_next(client) };
        let (command, request) = (row(&queued), queued.request.as_request());
        let outcome = admit(client, command, &request).and_then(|()| {
            if self.bytes >= ANSWER_BYTES_MAX && command.is(Command::READ) {
                return Err(OpError::AnswerTooLong.into());
            }
            run(client, command, &request)
        });
        self.after_alone(client, outcome.unwrap_or_else(CommandState::from))
    }

    /// Continues once a command that was executed alone has completed.
    fn after_alone(mut self, client: &mut Client, outcome: CommandState) -> CommandState {
        let answer = match outcome {
            CommandState::WhenIdle(next) => {
                let outcome = next(client);
                return self.after_alone(client, outcome);
            }
            CommandState::Continue(next) => {
                return CommandState::Continue(Box::pin(async move {
                    let next = next.await;
                    let then: Continuation = Box::new(move |client| {
                        let outcome = next(client);
                        self.after_alone(client, outcome)
                    });
                    then
                }));
            }
            outcome => await_answer(outcome),
        };
        CommandState::Continue(Box::pin(async move {
            let answer = answer.await;
            let next: Continuation = Box::new(move |client| {
                if let Answer::Reply(reply) = &answer {
                    self.bytes += bytes_of(reply);
                }
                self.done.push(answer);
                self.execute_next(client)
            });
            next
        }))
    }

    /// Continues after a step: collects its replies and executes the commands of the gateway.
    fn after_step(
        mut self,
        outcome: Later<StepOutcome>,
        sources: Vec<Option<ReplySource>>,
    ) -> CommandState {
        let commands: Vec<Queued> = self.left.drain(..sources.len()).collect();
        CommandState::Continue(Box::pin(async move {
            let outcome = outcome.await;
            let next: Continuation = Box::new(move |client| {
                let mut replies = match outcome {
                    Ok(replies) => replies.into_iter(),
                    Err(NotDone::Changed) => {
                        return CommandState::Ready(Answer::Reply(Reply::NilList));
                    }
                    Err(NotDone::Failed(error)) if self.done.is_empty() => return error.into(),
                    // Earlier steps have been executed: each command of this one reports its error.
                    Err(NotDone::Failed(error)) => {
                        let error = Value::error(error.0);
                        vec![PartReply::Script(error); commands.len()].into_iter()
                    }
                };
                let mut outcomes = Vec::with_capacity(commands.len());
                for (source, queued) in sources.into_iter().zip(commands) {
                    let (lane, command) = (client.lane, queued.command);
                    client.server.stats.count(lane, command, None, stats::Ended::Done);
                    outcomes.push(match source.unwrap_or(ReplySource::Local(queued)) {
                        ReplySource::Script => {
                            let reply = replies.next();
                            self.bytes += reply.as_ref().map_or(0, PartReply::bytes);
                            let answer = reply.and_then(PartReply::of_script);
                            answer.unwrap_or_else(|| Err(OpError::Malformed).into()).into()
                        }
                        ReplySource::Grid(arguments, shape) => {
                            let reply = match replies.next() {
                                Some(PartReply::Op(reply)) => reply,
                                Some(other) => {
                                    let answer = other.of_script().unwrap_or(Answer::NIL);
                                    outcomes.push(CommandState::Ready(answer));
                                    continue;
                                }
                                None => Reply::Nil,
                            };
                            self.bytes += bytes_of(&reply);
                            CommandState::Ready(match shape {
                                Some(shape) if !matches!(reply, Reply::Failed(_)) => {
                                    shape(arguments, reply)
                                }
                                _ => Answer::Reply(reply),
                            })
                        }
                        ReplySource::Failed(error) => error.into(),
                        ReplySource::Local(queued) => {
                            let outcome = run(client, row(&queued), &queued.request.as_request());
                            let outcome = outcome.unwrap_or_else(CommandState::from);
                            self.closes |= matches!(outcome, CommandState::Close(_));
                            // The choice of `CLIENT CACHING` ends with the transaction.
                            tracking::end_choice(client, None);
                            outcome
                        }
                    });
                }
                self.after_commands(client, outcomes)
            });
            next
        }))
    }

    /// Continues once the commands of the gateway have completed.
    fn after_commands(mut self, client: &mut Client, outcomes: Vec<CommandState>) -> CommandState {
        if outcomes
            .iter()
            .all(|outcome| matches!(outcome, CommandState::Ready(_) | CommandState::Close(_)))
        {
            let now = |outcome| match outcome {
                CommandState::Ready(answer) | CommandState::Close(answer) => answer,
                _ => Answer::NIL,
            };
            self.done.extend(outcomes.into_iter().map(now));
            return self.execute_next(client);
        }
        let answers = join_all(outcomes.into_iter().map(await_answer));
        CommandState::Continue(Box::pin(async move {
            self.done.extend(answers.await);
            let next: Continuation = Box::new(move |client| self.execute_next(client));
            next
        }))
    }
}

/// Bytes of an operation that are not in the request: those of a value that was decoded.
fn decoded(op: &Op<'_>) -> usize {
    match op {
        Op::Key(_, KeyOp::Content(ContentOp::Restore { value, .. })) => value.len(),
        _ => 0,
    }
}

/// The database that a `SELECT` names, and its map, if the number is valid.
fn selected(client: &Client, request: &Request<'_>) -> Option<(usize, Arc<Map>)> {
    let number = std::str::from_utf8(request.get(1)?).ok()?.parse().ok()?;
    let map = (number < DATABASES).then(|| client.server.database(number).ok())??;
    Some((number, map))
}

/// Waits for the reply of a queued command. None of them needs a further step with the client.
async fn await_answer(outcome: CommandState) -> Answer {
    match outcome {
        CommandState::Ready(answer) | CommandState::Close(answer) => answer,
        CommandState::Pending(later)
        | CommandState::Barrier(later)
        | CommandState::Blocking(later) => later.await,
        CommandState::Continue(_) | CommandState::WhenIdle(_) => Err(OpError::Malformed).into(),
    }
}
