//! Transactions: `MULTI`, `EXEC`, `WATCH`.
//!
//! All commands on keys of a transaction are executed as one atomic step, in any partitions and
//! databases. Commands that the gateway executes itself (`PUBLISH`, `SELECT`, …) run after the
//! step: if it fails, or a watched key has changed, nothing of the transaction was executed.
//!
//! Commands on whole databases (`FLUSHDB`, `KEYS`, …) are not part of a step: the commands on keys
//! before and after such a command are separate steps. Watched keys are checked in the first step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use convoke_grid::op::{ANSWER_BYTES_MAX, GenericOp, KeyOp, MapOp, Op, WatchedKey};
use convoke_grid::{Map, OpError, Reply, Started, Version};
use futures_util::future::join_all;

use super::super::answer::{Answer, CommandError};
use super::super::client::{
    Client, QUEUED_BYTES_MAX, QUEUED_MAX, Queued, Transaction, WATCHED_MAX, Watched,
};
use super::super::outcome::{Continuation, Outcome};
use super::super::request::Request;
use super::multi_partition::bytes_of;
use super::{Command, Handler, Keys, Shape, admit, cluster, is_busy, run};
use crate::databases::DATABASES;

type Begun = Result<Outcome, CommandError>;

/// Queues a command until `EXEC`.
pub(super) fn queue(
    client: &mut Client,
    command: &'static Command,
    request: &Request<'_>,
) -> Outcome {
    let server = Arc::clone(&client.server);
    let Some(transaction) = &mut client.transaction else { return Answer::DONE.into() };
    if server.settings.redis_cluster {
        let args: Vec<&[u8]> = request.from(0).collect();
        if let Err(error) = cluster::check(&server, command.keys_of(&args)) {
            transaction.is_aborted = true;
            return error.into();
        }
    }
    let queued = Queued::new(command, request);
    let bytes = transaction.bytes + queued.bytes();
    if transaction.queued.len() >= QUEUED_MAX || bytes > QUEUED_BYTES_MAX {
        transaction.is_aborted = true;
        return CommandError::new("ERR the transaction exceeds 65536 commands or 64 MiB").into();
    }
    transaction.bytes = bytes;
    transaction.queued.push(queued);
    client.info.queued.store(transaction.queued.len() as i64, Ordering::Relaxed);
    Answer::Reply(Reply::Word("QUEUED".into())).into()
}

pub(super) fn multi(client: &mut Client, _: &Request<'_>) -> Begun {
    if client.transaction.is_some() {
        return Err(CommandError::new("ERR MULTI calls can not be nested"));
    }
    client.transaction = Some(Transaction::default());
    client.info.queued.store(0, Ordering::Relaxed);
    Ok(Answer::DONE.into())
}

/// Ends the transaction and clears the watched keys.
fn end(client: &mut Client) -> Option<(Transaction, Vec<Watched>)> {
    let transaction = client.transaction.take()?;
    client.info.queued.store(-1, Ordering::Relaxed);
    Some((transaction, std::mem::take(&mut client.watched.lock())))
}

pub(super) fn discard(client: &mut Client, _: &Request<'_>) -> Begun {
    end(client).ok_or(CommandError::new("ERR DISCARD without MULTI"))?;
    Ok(Answer::DONE.into())
}

pub(super) fn unwatch(client: &mut Client, _: &Request<'_>) -> Begun {
    client.watched.lock().clear();
    Ok(Answer::DONE.into())
}

pub(super) fn watch(client: &mut Client, request: &Request<'_>) -> Begun {
    if client.transaction.is_some() {
        return Err(CommandError::new("ERR WATCH inside MULTI is not allowed"));
    }
    let server = &client.server;
    if server.settings.redis_cluster {
        cluster::check(server, request.from(1))?;
    }
    let database = client.database;
    let mut versions = Vec::new();
    for key in request.from(1) {
        let known = client.watched.lock();
        if known.iter().any(|watched| watched.database == database && watched.key == key) {
            continue;
        }
        if known.len() + versions.len() >= WATCHED_MAX {
            return Err(CommandError(
                format!("ERR at most {WATCHED_MAX} keys can be watched").into(),
            ));
        }
        drop(known);
        let op = Op::Key(key, KeyOp::Generic(GenericOp::Version));
        let later = server.submit(&client.map, server.grid.partition_of(key), &op);
        let key = Bytes::copy_from_slice(key);
        versions.push(async move { (key, later.await) });
    }
    let all = Arc::clone(&client.watched);
    Ok(Outcome::Barrier(Box::pin(async move {
        let answers = join_all(versions).await;
        let mut failed = None;
        let mut all = all.lock();
        for (key, reply) in answers {
            let version = match reply {
                Ok(Reply::Integer(number)) => Ok(Version(number.cast_unsigned())),
                Ok(_) => Err(OpError::Malformed),
                Err(error) => Err(error),
            };
            if let Err(error) = &version {
                failed = Some(error.clone());
            }
            all.push(Watched { database, key, version });
        }
        match failed {
            Some(error) => Err(error).into(),
            None => Answer::DONE,
        }
    })))
}

/// Where the reply of a queued command comes from.
enum ReplySource {
    /// The next reply of the step, with the number of arguments and a function that shapes the
    /// reply.
    Grid(usize, Option<Shape>),
    /// The command was rejected with this error.
    Failed(CommandError),
    /// The gateway executes the command after the step.
    Local(Queued),
}

pub(super) fn exec(client: &mut Client, _: &Request<'_>) -> Begun {
    let (transaction, watched) = end(client).ok_or(CommandError::new("ERR EXEC without MULTI"))?;
    if transaction.is_aborted {
        return Err(CommandError::new(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    let accesses_data =
        |queued: &Queued| queued.command.is(Command::READ) || queued.command.is(Command::WRITE);
    if is_busy(client) && transaction.queued.iter().any(accesses_data) {
        return Err(CommandError::BUSY);
    }
    let mut versions = Vec::with_capacity(watched.len());
    for Watched { database, key, version } in watched {
        versions.push((client.server.database(database)?, key, version?));
    }
    let steps = Steps {
        left: transaction.queued.into(),
        watched: versions,
        done: Vec::new(),
        closes: false,
        bytes: 0,
    };
    steps.begin(client)
}

/// Whether a command depends on all keys, and so on the effects of the commands before it.
fn accesses_all_keys(command: &Command) -> bool {
    let accesses_data = command.is(Command::READ) || command.is(Command::WRITE);
    accesses_data && command.keys == Keys::None && !command.is(Command::PUBSUB)
}

/// A transaction in execution.
struct Steps {
    left: VecDeque<Queued>,
    /// Watched keys for the first step: map, key, version.
    watched: Vec<(Arc<Map>, Bytes, Version)>,
    done: Vec<Answer>,
    /// One of the commands closes the connection.
    closes: bool,
    /// Size of the replies so far, in bytes.
    bytes: usize,
}

/// A step that has not been started.
struct Step<'a> {
    ops: Vec<(Arc<Map>, Op<'a>)>,
    /// The source of the reply of each command; `None` if the gateway executes it.
    sources: Vec<Option<ReplySource>>,
}

impl Steps {
    /// Starts the first step at once if all its keys are in one partition.
    fn begin(mut self, client: &mut Client) -> Begun {
        let step = self.next_step(client);
        let mut keys: Vec<&[u8]> = step.ops.iter().flat_map(|(_, op)| op.keys()).collect();
        keys.extend(self.watched.iter().map(|(_, key, _)| &key[..]));
        if client.server.settings.redis_cluster {
            cluster::check(&client.server, keys.iter().copied())?;
        }
        let Some(partition) = self.single_partition(client, &step) else {
            drop(step);
            return Ok(Outcome::WhenIdle(Box::new(move |client| self.execute_next(client))));
        };
        let Step { ops, sources } = step;
        let map = ops.first().map(|(map, _)| map).or(self.watched.first().map(|(map, ..)| map));
        let map = map.map_or_else(|| Arc::clone(&client.map), Arc::clone);
        let watched = self.watched.iter().map(|(_, key, version)| (&key[..], *version)).collect();
        let ops = ops.into_iter().map(|(_, op)| op).collect();
        let started = client.server.grid.start(&map, partition, &Op::Batch { watched, ops });
        self.watched.clear();
        Ok(self.after_step(started, sources))
    }

    /// The partition of a step if all its keys are in one partition of one map.
    fn single_partition(&self, client: &Client, step: &Step<'_>) -> Option<u16> {
        let of_ops =
            step.ops.iter().flat_map(|(map, op)| op.keys().into_iter().map(move |key| (map, key)));
        let of_watched = self.watched.iter().map(|(map, key, _)| (map, &key[..]));
        let mut locations = of_ops
            .chain(of_watched)
            .map(|(map, key)| (&*map.name, client.server.grid.partition_of(key)));
        let first = locations.next()?;
        locations.all(|location| location == first).then_some(first.1)
    }

    /// Parses the commands up to the next one that accesses all keys.
    fn next_step(&self, client: &Client) -> Step<'_> {
        let mut step = Step { ops: Vec::new(), sources: Vec::new() };
        let mut map = Arc::clone(&client.map);
        for queued in self.left.iter().take_while(|queued| !accesses_all_keys(queued.command)) {
            let (command, request) = (queued.command, queued.request());
            // The client may have authenticated as another user since the command was queued.
            if let Err(error) = admit(client, command, &request) {
                step.sources.push(Some(ReplySource::Failed(error)));
                continue;
            }
            if self.bytes >= ANSWER_BYTES_MAX && command.is(Command::READ) {
                step.sources.push(Some(ReplySource::Failed(OpError::AnswerTooLong.into())));
                continue;
            }
            let parsed = match command.handler {
                Handler::Op(parse) => Some((parse(&request), None)),
                Handler::Shaped(parse, shape) => Some((parse(&request), Some(shape))),
                // Blocking commands do not block in a transaction.
                Handler::Blocking(parse, shape) => {
                    Some((parse(&request).map(|(op, _)| op), Some(shape)))
                }
                Handler::Local(_) => None,
            };
            step.sources.push(match parsed {
                Some((Ok(op), shape)) => {
                    step.ops.push((Arc::clone(&map), op));
                    Some(ReplySource::Grid(request.len(), shape))
                }
                Some((Err(error), _)) => Some(ReplySource::Failed(error)),
                None => {
                    if command.name == "select"
                        && let Some(other) = selected(client, &request)
                    {
                        map = other;
                    }
                    None
                }
            });
        }
        step
    }

    /// Executes the remaining commands, step by step.
    fn execute_next(mut self, client: &mut Client) -> Outcome {
        if let Some(queued) = self.left.front()
            && self.watched.is_empty()
            && accesses_all_keys(queued.command)
        {
            return self.run_alone(client);
        }
        if self.left.is_empty() && self.watched.is_empty() {
            let answer = Answer::List(self.done);
            return if self.closes { Outcome::Close(answer) } else { Outcome::Ready(answer) };
        }
        let step = self.next_step(client);
        let watched: Vec<WatchedKey<'_>> = self
            .watched
            .iter()
            .map(|(map, key, version)| WatchedKey { map: &map.name, key, version: *version })
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
        self.after_step(started, sources)
    }

    /// Executes a command that accesses all keys.
    fn run_alone(mut self, client: &mut Client) -> Outcome {
        let Some(queued) = self.left.pop_front() else { return self.execute_next(client) };
        let (command, request) = (queued.command, queued.request());
        let outcome = admit(client, command, &request).and_then(|()| {
            if self.bytes >= ANSWER_BYTES_MAX && command.is(Command::READ) {
                return Err(OpError::AnswerTooLong.into());
            }
            run(client, command, &request)
        });
        let answer = await_answer(outcome.unwrap_or_else(Outcome::from));
        Outcome::Continue(Box::pin(async move {
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
    fn after_step(mut self, started: Started, sources: Vec<Option<ReplySource>>) -> Outcome {
        let commands: Vec<Queued> = self.left.drain(..sources.len()).collect();
        Outcome::Continue(Box::pin(async move {
            let reply = match started {
                Started::Now(reply) => reply,
                Started::Later(later) => later.await,
            };
            let next: Continuation = Box::new(move |client| {
                let mut replies = match reply {
                    Ok(Reply::List(replies)) => replies.into_iter(),
                    Ok(_) => return Outcome::Ready(Err(OpError::Malformed).into()),
                    Err(OpError::Changed) => return Outcome::Ready(Answer::Reply(Reply::NilList)),
                    Err(error) if self.done.is_empty() => return Outcome::Ready(Err(error).into()),
                    // Earlier steps have been executed: each command of this one reports its error.
                    Err(error) => vec![Reply::Failed(error); commands.len()].into_iter(),
                };
                let mut outcomes = Vec::with_capacity(commands.len());
                for (source, queued) in sources.into_iter().zip(commands) {
                    outcomes.push(match source.unwrap_or(ReplySource::Local(queued)) {
                        ReplySource::Grid(arguments, shape) => {
                            let reply = replies.next().unwrap_or(Reply::Nil);
                            self.bytes += bytes_of(&reply);
                            Outcome::Ready(match shape {
                                Some(shape) if !matches!(reply, Reply::Failed(_)) => {
                                    shape(arguments, reply)
                                }
                                _ => Answer::Reply(reply),
                            })
                        }
                        ReplySource::Failed(error) => error.into(),
                        ReplySource::Local(queued) => {
                            let outcome = run(client, queued.command, &queued.request());
                            let outcome = outcome.unwrap_or_else(Outcome::from);
                            self.closes |= matches!(outcome, Outcome::Close(_));
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
    fn after_commands(mut self, client: &mut Client, outcomes: Vec<Outcome>) -> Outcome {
        if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Ready(_) | Outcome::Close(_))) {
            let now = |outcome| match outcome {
                Outcome::Ready(answer) | Outcome::Close(answer) => answer,
                _ => Answer::NIL,
            };
            self.done.extend(outcomes.into_iter().map(now));
            return self.execute_next(client);
        }
        let answers = join_all(outcomes.into_iter().map(await_answer));
        Outcome::Continue(Box::pin(async move {
            self.done.extend(answers.await);
            let next: Continuation = Box::new(move |client| self.execute_next(client));
            next
        }))
    }
}

/// The map of the database that a `SELECT` names, if the number is valid.
fn selected(client: &Client, request: &Request<'_>) -> Option<Arc<Map>> {
    let number = std::str::from_utf8(request.get(1)?).ok()?.parse().ok()?;
    (number < DATABASES).then(|| client.server.database(number).ok())?
}

/// Waits for the reply of a queued command. None of them needs a further step with the client.
async fn await_answer(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Ready(answer) | Outcome::Close(answer) => answer,
        Outcome::Pending(later) | Outcome::Barrier(later) | Outcome::Blocking(later) => later.await,
        Outcome::Continue(_) | Outcome::WhenIdle(_) => Err(OpError::Malformed).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::SmallRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::testing::{call, client_of, server_on, single_member_grid};
    use crate::trust::{Passwords, Trust};

    /// Executes the lines and returns the last reply.
    async fn lines(client: &mut Client, lines: &[&str]) -> Answer {
        let mut answer = Answer::Nothing;
        for line in lines {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            answer = call(client, &args).await;
        }
        answer
    }

    fn list(answer: Answer) -> Vec<Answer> {
        let Answer::List(all) = answer else { panic!("{answer:?}") };
        all
    }

    #[tokio::test]
    async fn a_changed_watched_key_prevents_the_whole_transaction() {
        let server = server_on(single_member_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let mut other = client_of(&server, Trust::Full);
        lines(&mut other, &["subscribe news"]).await;
        for line in ["publish news x", "flushdb", "client setname x", "incr a"] {
            lines(&mut client, &["set a 1", "watch a"]).await;
            call(&mut client_of(&server, Trust::Full), &[b"set", b"a", b"2"]).await;
            let done = lines(&mut client, &["multi", "get a", line, "exec"]).await;
            assert_eq!(done, Answer::Reply(Reply::NilList), "{line}");
            assert_eq!(lines(&mut client, &["get a"]).await, Answer::bytes(b"2"), "{line}");
            assert_eq!(lines(&mut client, &["client getname"]).await, Answer::NIL, "{line}");
            assert_eq!(other.output_buffer.next(), Ok(None), "{line}");
        }
        let done = list(lines(&mut client, &["multi", "get a", "publish news x", "exec"]).await);
        assert_eq!(done, [Answer::bytes(b"2"), Answer::integer(1)]);
        assert!(other.output_buffer.next().is_ok_and(|message| message.is_some()));
    }

    #[tokio::test]
    async fn commands_on_all_keys_run_in_the_order_of_the_transaction() {
        let server = server_on(single_member_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        for (first, second) in [("a", "b"), ("{t}a", "{t}b")] {
            let (first, second) = (format!("set {first} 1"), format!("set {second} 1"));
            let queued =
                ["multi", &first, "dbsize", "flushdb", "dbsize", &second, "dbsize", "exec"];
            let answers = list(lines(&mut client, &queued).await);
            let number = |at: usize| answers[at].clone();
            let counts = [number(1), number(3), number(5)];
            assert_eq!(counts, [1, 0, 1].map(Answer::integer), "{first}");
            assert_eq!(lines(&mut client, &["dbsize"]).await, Answer::integer(1));
            lines(&mut client, &["flushdb"]).await;
        }
    }

    #[tokio::test]
    async fn over_several_partitions_each_command_has_its_own_reply() {
        let server = server_on(single_member_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let queued = ["set l 1", "multi", "set a 1", "lpush l x", "set b 1", "get a", "exec"];
        let answers = list(lines(&mut client, &queued).await);
        assert_eq!((&answers[0], &answers[2]), (&Answer::DONE, &Answer::DONE));
        assert_eq!(answers[3], Answer::bytes(b"1"));
        assert_eq!(answers[1], Answer::Reply(Reply::Failed(OpError::WrongType)));
    }

    #[tokio::test]
    async fn commands_on_several_partitions_behave_as_on_one() {
        let server = server_on(single_member_grid(), Passwords::default());
        let mut rng = SmallRng::seed_from_u64(7);
        let (mut one, mut several) =
            (client_of(&server, Trust::Full), client_of(&server, Trust::Full));
        let mut seen = BTreeSet::new();
        for round in 0..60 {
            lines(&mut one, &["flushdb"]).await;
            let mut in_multi = false;
            for _ in 0..120 {
                let mut line = random_command(&mut rng);
                match rng.random_range(0..12) {
                    0 if !in_multi => line = "multi".into(),
                    0 => line = "exec".into(),
                    _ => {}
                }
                in_multi = match &*line {
                    "multi" => true,
                    "exec" => false,
                    _ => in_multi,
                };
                let tagged = line.replace("k:", "{t}k:");
                let expected = format!("{:?}", lines(&mut one, &[&tagged]).await);
                let found = format!("{:?}", lines(&mut several, &[&line]).await);
                let expected = expected.replace("{t}", "");
                assert_eq!(found, expected, "round {round}: {line}");
                seen.insert(line.split(' ').next().unwrap_or_default().to_owned());
            }
            for client in [&mut one, &mut several] {
                lines(client, &["discard"]).await;
            }
        }
        assert!(seen.len() > 35, "{seen:?}");
    }

    /// A random command on a few keys of all types. The order of set members is unspecified, so
    /// sets are read only by commands that do not depend on it.
    fn random_command(rng: &mut SmallRng) -> String {
        const COMMANDS: &[&str] = &[
            "set K V",
            "append K V",
            "getrange K 0 -1",
            "rpush K V V",
            "lpush K V",
            "lrange K 0 -1",
            "sadd K V V",
            "srem K V",
            "scard K",
            "sismember K V",
            "zadd K N V",
            "zrange K 0 -1 withscores",
            "hset K V V",
            "hgetall K",
            "type K",
            "pexpire K 100000000",
            "persist K",
            "rename K K",
            "renamenx K K",
            "copy K K",
            "copy K K replace",
            "smove K K V",
            "lmove K K left right",
            "lmove K K right left",
            "rpoplpush K K",
            "msetnx K V K V",
            "mset K V K V",
            "mget K K K",
            "del K K",
            "exists K K K",
            "touch K K",
            "sinterstore K K K",
            "sunionstore K K K",
            "sdiffstore K K K",
            "sintercard 2 K K",
            "zinterstore K 2 K K weights 2 3",
            "zunionstore K 2 K K aggregate max",
            "zdiffstore K 2 K K",
            "zrangestore K K 0 1",
            "zintercard 2 K K limit 1",
            "zunion 2 K K withscores",
            "lmpop 2 K K left count 2",
            "zmpop 2 K K max",
        ];
        let command = COMMANDS[rng.random_range(0..COMMANDS.len())];
        let word = |word| match word {
            "K" => format!("k:{}", rng.random_range(0..6)),
            "V" => format!("v{}", rng.random_range(0..4)),
            "N" => rng.random_range(0..9).to_string(),
            word => word.to_owned(),
        };
        command.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn a_transaction_is_atomic_over_several_databases() {
        let server = server_on(single_member_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let watched = ["select 0", "set a 1", "select 3", "watch b", "select 0", "watch a"];
        let queued = ["multi", "incr a", "select 3", "set b 7", "get a", "exec"];
        let all: Vec<&str> = watched.iter().chain(&queued).copied().collect();
        let answers = list(lines(&mut client, &all).await);
        let expected = [Answer::integer(2), Answer::DONE, Answer::DONE, Answer::NIL];
        assert_eq!(answers, expected);
        assert_eq!(lines(&mut client, &["get b"]).await, Answer::bytes(b"7"), "in database 3");
        // The watched key of the other database changes.
        lines(&mut client, &watched).await;
        let mut other = client_of(&server, Trust::Full);
        lines(&mut other, &["select 3", "set b 8"]).await;
        assert_eq!(lines(&mut client, &queued).await, Answer::Reply(Reply::NilList));
        assert_eq!(lines(&mut client, &["get a"]).await, Answer::bytes(b"1"));
    }
}
