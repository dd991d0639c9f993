//! Commands that are done in one step: `MULTI`, `EXEC`, `WATCH`.
//!
//! What lies in one partition is one step: keys of one slot always do. What lies in
//! several is done command by command, in order, and each element of the answer says
//! what came of its own command; with watched keys it is refused, since nobody could
//! vouch for it.
//!
//! What the gateway does itself (`PUBLISH`, `FLUSHDB`, …) is done only once the step is:
//! when that is refused, or a watched key has changed, nothing of the transaction was
//! done. Commands on whole databases before a command on keys make it one by one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use convoke_grid::op::{ANSWER_BYTES_MAX, GenericOp, KeyOp, Op};
use convoke_grid::{OpError, Reply, Started, Version};
use futures_util::future::join_all;

use super::super::answer::{Answer, Next, Outcome, Refusal};
use super::super::client::{
    Client, QUEUED_BYTES_MAX, QUEUED_MAX, Queued, Transaction, WATCHED_MAX, Watched,
};
use super::super::request::Request;
use super::spread::bytes_of;
use super::{Command, Keys, Run, Shape, admit, cluster, is_busy, one_partition, run};

type Begun = Result<Outcome, Refusal>;

/// Keeps a command for later.
pub(super) fn queue(
    client: &mut Client,
    command: &'static Command,
    request: &Request<'_>,
) -> Outcome {
    let server = Arc::clone(&client.server);
    let Some(transaction) = &mut client.transaction else { return Answer::DONE.into() };
    if server.settings.redis_cluster {
        let words: Vec<&[u8]> = request.from(0).collect();
        if let Err(refusal) = cluster::check(&server, command.keys_of(&words)) {
            transaction.broken = true;
            return refusal.into_outcome();
        }
    }
    let queued = Queued::new(command, request);
    let bytes = transaction.bytes + queued.bytes();
    if transaction.queued.len() >= QUEUED_MAX || bytes > QUEUED_BYTES_MAX {
        transaction.broken = true;
        return Refusal::of("ERR the transaction is too long").into_outcome();
    }
    transaction.bytes = bytes;
    transaction.queued.push(queued);
    client.card.queued.store(transaction.queued.len() as i64, Ordering::Relaxed);
    Answer::Reply(Reply::Word("QUEUED".into())).into()
}

impl Refusal {
    fn into_outcome(self) -> Outcome {
        Outcome::Now(self.into())
    }
}

pub(super) fn multi(client: &mut Client, _: &Request<'_>) -> Begun {
    if client.transaction.is_some() {
        return Err(Refusal::of("ERR MULTI calls can not be nested"));
    }
    client.transaction = Some(Transaction::default());
    client.card.queued.store(0, Ordering::Relaxed);
    Ok(Answer::DONE.into())
}

/// Ends the transaction, and what was watched for it.
fn end(client: &mut Client) -> Option<(Transaction, Vec<Watched>)> {
    let transaction = client.transaction.take()?;
    client.card.queued.store(-1, Ordering::Relaxed);
    Some((transaction, std::mem::take(&mut client.watched.lock())))
}

pub(super) fn discard(client: &mut Client, _: &Request<'_>) -> Begun {
    end(client).ok_or(Refusal::of("ERR DISCARD without MULTI"))?;
    Ok(Answer::DONE.into())
}

pub(super) fn unwatch(client: &mut Client, _: &Request<'_>) -> Begun {
    client.watched.lock().clear();
    Ok(Answer::DONE.into())
}

pub(super) fn watch(client: &mut Client, request: &Request<'_>) -> Begun {
    if client.transaction.is_some() {
        return Err(Refusal::of("ERR WATCH inside MULTI is not allowed"));
    }
    let server = &client.server;
    if server.settings.redis_cluster {
        cluster::check(server, request.from(1))?;
    }
    let database = client.database;
    let mut asked = Vec::new();
    for key in request.from(1) {
        let known = client.watched.lock();
        if known.iter().any(|watched| watched.database == database && watched.key == key) {
            continue;
        }
        if known.len() + asked.len() >= WATCHED_MAX {
            return Err(Refusal(format!("ERR at most {WATCHED_MAX} keys can be watched").into()));
        }
        drop(known);
        let op = Op::Key(key, KeyOp::Generic(GenericOp::Version));
        let later = server.ask(&client.map, server.grid.partition_of(key), &op);
        let key = Bytes::copy_from_slice(key);
        asked.push(async move { (key, later.await) });
    }
    let all = Arc::clone(&client.watched);
    Ok(Outcome::Barrier(Box::pin(async move {
        let answers = join_all(asked).await;
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

/// A queued command's part in a transaction that is one step.
enum Part {
    /// The answer of an operation, the next one, told like this.
    Asked(usize, Option<Shape>),
    /// It is refused.
    Refused(Refusal),
    /// The gateway does it.
    Here(Queued),
}

pub(super) fn exec(client: &mut Client, _: &Request<'_>) -> Begun {
    let (transaction, watched) = end(client).ok_or(Refusal::of("ERR EXEC without MULTI"))?;
    if transaction.broken {
        return Err(Refusal::of("EXECABORT Transaction discarded because of previous errors."));
    }
    let is_about_data =
        |queued: &Queued| queued.command.is(Command::READ) || queued.command.is(Command::WRITE);
    if is_busy(client) && transaction.queued.iter().any(is_about_data) {
        return Err(Refusal::BUSY);
    }
    let requests: Vec<_> =
        transaction.queued.iter().map(|queued| (queued.command, queued.request())).collect();
    let mut ops = Vec::new();
    // What becomes of each command; `None` is for the gateway to do.
    let mut kinds = Vec::with_capacity(requests.len());
    let (mut is_ordered, mut whole_before, mut changes_database) = (true, false, false);
    for (command, request) in &requests {
        // The client may have become another user since.
        if let Err(refusal) = admit(client, command, request) {
            kinds.push(Some(Part::Refused(refusal)));
            continue;
        }
        let parsed = match command.run {
            Run::Op(parse) => Some((parse(request), None)),
            Run::Shaped(parse, shape) => Some((parse(request), Some(shape))),
            Run::Waits(parse, shape) => Some((parse(request).map(|(op, _)| op), Some(shape))),
            Run::Here(_) => None,
        };
        kinds.push(match parsed {
            Some((Ok(op), shape)) => {
                is_ordered &= !whole_before;
                ops.push(op);
                Some(Part::Asked(request.len(), shape))
            }
            Some((Err(refusal), _)) => Some(Part::Refused(refusal)),
            None => {
                whole_before |= is_about_all_keys(command);
                changes_database |= command.name == "select";
                None
            }
        });
    }
    let mut keys: Vec<&[u8]> = ops.iter().flat_map(Op::keys).collect();
    keys.extend(watched.iter().map(|watched| &watched.key[..]));
    let place = match &keys[..] {
        [] => None,
        keys => one_partition(&client.server.grid, keys)?,
    };
    let is_one_database =
        !changes_database && watched.iter().all(|watched| watched.database == client.database);
    let is_one_step = is_one_database && is_ordered && place.is_some();
    let server = Arc::clone(&client.server);
    if server.settings.redis_cluster {
        cluster::check(&server, keys.iter().copied())?;
    }
    if !is_one_step && !watched.is_empty() {
        return Err(Refusal::CROSS_SLOT);
    }
    let mut versions = Vec::new();
    for watched in &watched {
        let version = watched.version.clone().map_err(Refusal::from)?;
        versions.push((&watched.key[..], version));
    }
    let Some(partition) = place.filter(|_| is_one_step) else {
        let steps = OneByOne {
            left: transaction.queued.into(),
            begun: Vec::new(),
            done: Vec::new(),
            ends: false,
            bytes: 0,
        };
        return Ok(steps.go_on(client));
    };
    let step = Op::Batch { watched: versions, ops };
    let step = server.grid.start(&client.map, partition, &step);
    let parts: Vec<Part> = kinds
        .into_iter()
        .zip(transaction.queued)
        .map(|(part, queued)| part.unwrap_or(Part::Here(queued)))
        .collect();
    Ok(Outcome::Then(Box::pin(async move {
        let replies = match step {
            Started::Now(reply) => reply,
            Started::Later(later) => later.await,
        };
        let next: Next = Box::new(move |client| match replies {
            Ok(Reply::List(replies)) => after_step(client, parts, replies),
            Ok(_) => Outcome::Now(Err(OpError::Malformed).into()),
            Err(OpError::Changed) => Outcome::Now(Answer::Reply(Reply::NilList)),
            Err(error) => Outcome::Now(Err(error).into()),
        });
        next
    })))
}

/// Whether a command is about all keys, and so about what the others before it did.
fn is_about_all_keys(command: &Command) -> bool {
    let looks_or_writes = command.is(Command::READ) || command.is(Command::WRITE);
    looks_or_writes && command.keys == Keys::None && !command.is(Command::PUBSUB)
}

/// What is left of a transaction when its step is done: its answers, and what the gateway
/// does.
fn after_step(client: &mut Client, parts: Vec<Part>, replies: Vec<Reply>) -> Outcome {
    let mut replies = replies.into_iter();
    let (mut ends, mut outcomes) = (false, Vec::with_capacity(parts.len()));
    for part in parts {
        outcomes.push(match part {
            Part::Asked(arguments, shape) => {
                let reply = replies.next().unwrap_or(Reply::Nil);
                Outcome::Now(match shape {
                    Some(shape) if !matches!(reply, Reply::Failed(_)) => shape(arguments, reply),
                    _ => Answer::Reply(reply),
                })
            }
            Part::Refused(refusal) => refusal.into_outcome(),
            Part::Here(queued) => {
                let begun = run(client, queued.command, &queued.request());
                let begun = begun.unwrap_or_else(Refusal::into_outcome);
                ends |= matches!(begun, Outcome::Last(_));
                begun
            }
        });
    }
    all_of(outcomes, ends)
}

/// The answers of commands that are begun, in order. The connection is to end if one
/// of them `ends` it.
fn all_of(outcomes: Vec<Outcome>, ends: bool) -> Outcome {
    let last = move |answers| {
        let answer = Answer::List(answers);
        if ends { Outcome::Last(answer) } else { Outcome::Now(answer) }
    };
    if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Now(_) | Outcome::Last(_))) {
        let now = |outcome| match outcome {
            Outcome::Now(answer) | Outcome::Last(answer) => answer,
            _ => Answer::NIL,
        };
        return last(outcomes.into_iter().map(now).collect());
    }
    let answers = join_all(outcomes.into_iter().map(settled));
    Outcome::Then(Box::pin(async move {
        let answers = answers.await;
        let next: Next = Box::new(move |_| last(answers));
        next
    }))
}

/// The answer of a queued command; none of them goes on with the client at hand.
async fn settled(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Now(answer) | Outcome::Last(answer) => answer,
        Outcome::Later(later) | Outcome::Barrier(later) | Outcome::Waits(later) => later.await,
        Outcome::Then(_) => Err(OpError::Malformed).into(),
    }
}

/// A transaction that is not one step: its commands are begun in order. Those on keys
/// are on their way together; one on all keys waits for those before it, and those
/// behind it wait for it.
struct OneByOne {
    left: VecDeque<Queued>,
    begun: Vec<Outcome>,
    done: Vec<Answer>,
    /// One of them ends the connection.
    ends: bool,
    /// Bytes of the answers that were there at once.
    bytes: usize,
}

impl OneByOne {
    fn go_on(mut self, client: &mut Client) -> Outcome {
        while let Some(queued) = self.left.front() {
            let (command, request) = (queued.command, queued.request());
            let is_alone = is_about_all_keys(command);
            if is_alone && !self.begun.is_empty() {
                return self.after_those();
            }
            let outcome = admit(client, command, &request).and_then(|()| match command.run {
                // As within one step.
                _ if self.bytes >= ANSWER_BYTES_MAX && command.is(Command::READ) => {
                    Err(OpError::AnswerTooLong.into())
                }
                // It does not wait within a transaction.
                Run::Waits(parse, shape) => {
                    let (op, _) = parse(&request)?;
                    Ok(super::start(client, &op)?.outcome(request.len(), Some(shape)))
                }
                _ => run(client, command, &request),
            });
            let outcome = outcome.unwrap_or_else(Refusal::into_outcome);
            self.ends |= matches!(outcome, Outcome::Last(_));
            if let Outcome::Now(Answer::Reply(reply)) = &outcome {
                self.bytes += bytes_of(reply);
            }
            self.begun.push(outcome);
            self.left.pop_front();
            if is_alone {
                return self.after_those();
            }
        }
        let done = self.done.into_iter().map(Outcome::Now);
        all_of(done.chain(self.begun).collect(), self.ends)
    }

    /// Goes on once what is begun is done.
    fn after_those(self) -> Outcome {
        let Self { left, begun, mut done, ends, bytes } = self;
        let answers = join_all(begun.into_iter().map(settled));
        Outcome::Then(Box::pin(async move {
            done.extend(answers.await);
            let next: Next = Box::new(move |client| {
                Self { left, begun: Vec::new(), done, ends, bytes }.go_on(client)
            });
            next
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, client_of, lone_grid, server_on};
    use crate::trust::{Passwords, Trust};

    /// Sends lines, and returns the answer to the last one.
    async fn lines(client: &mut Client, lines: &[&str]) -> Answer {
        let mut answer = Answer::Nothing;
        for line in lines {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            answer = call(client, &words).await;
        }
        answer
    }

    fn list(answer: Answer) -> Vec<Answer> {
        let Answer::List(all) = answer else { panic!("{answer:?}") };
        all
    }

    #[tokio::test]
    async fn when_a_watched_key_has_changed_nothing_is_done() {
        let server = server_on(lone_grid(), Passwords::default());
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
            assert_eq!(other.mailbox.next(), Ok(None), "{line}");
        }
        let done = list(lines(&mut client, &["multi", "get a", "publish news x", "exec"]).await);
        assert_eq!(done, [Answer::bytes(b"2"), Answer::integer(1)]);
        assert!(other.mailbox.next().is_ok_and(|letter| letter.is_some()));
    }

    #[tokio::test]
    async fn commands_on_all_keys_keep_their_place_among_the_others() {
        let server = server_on(lone_grid(), Passwords::default());
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
    async fn over_several_partitions_each_command_has_its_own_answer() {
        let server = server_on(lone_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let queued = ["set l 1", "multi", "set a 1", "lpush l x", "set b 1", "get a", "exec"];
        let answers = list(lines(&mut client, &queued).await);
        assert_eq!((&answers[0], &answers[2]), (&Answer::DONE, &Answer::DONE));
        assert_eq!(answers[3], Answer::bytes(b"1"));
        let Answer::Error(text) = &answers[1] else { panic!("{answers:?}") };
        assert!(text.starts_with("WRONGTYPE "), "{text}");
    }
}
