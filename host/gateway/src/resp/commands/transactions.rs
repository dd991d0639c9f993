//! Commands that are done in one step: `MULTI`, `EXEC`, `WATCH`.
//!
//! What lies in one partition is one step: keys of one slot always do. What lies in
//! several is done command by command, in order; with watched keys it is refused, since nobody could vouch
//! for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use convoke_grid::op::{GenericOp, KeyOp, Op};
use convoke_grid::{OpError, Reply, Started, Version};
use futures_util::future::join_all;

use super::super::answer::{Answer, LaterAnswer, Outcome, Refusal};
use super::super::client::{
    Client, QUEUED_BYTES_MAX, QUEUED_MAX, Queued, Transaction, WATCHED_MAX, Watched,
};
use super::super::request::Request;
use super::{Command, Run, admit, cluster, one_partition, run};

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

/// A queued command's part in the answer.
enum Part {
    /// The answer of an operation, the next one, told like this.
    Asked(usize, Option<fn(usize, Reply) -> Answer>),
    /// Known already, or soon.
    Begun(Outcome),
}

pub(super) fn exec(client: &mut Client, _: &Request<'_>) -> Begun {
    let (transaction, watched) = end(client).ok_or(Refusal::of("ERR EXEC without MULTI"))?;
    if transaction.broken {
        return Err(Refusal::of("EXECABORT Transaction discarded because of previous errors."));
    }
    let requests: Vec<_> =
        transaction.queued.iter().map(|queued| (queued.command, queued.request())).collect();
    let mut ops = Vec::new();
    let mut kinds = Vec::new();
    for (command, request) in &requests {
        // The client may have become another user since.
        if let Err(refusal) = admit(client, command, request) {
            kinds.push(Ok(Part::Begun(refusal.into_outcome())));
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
                ops.push(op);
                Ok(Part::Asked(request.len(), shape))
            }
            Some((Err(refusal), _)) => Ok(Part::Begun(refusal.into_outcome())),
            None => Err((*command, request)),
        });
    }
    let changes_database =
        kinds.iter().any(|kind| kind.as_ref().is_err_and(|(command, _)| command.name == "select"));
    let mut keys: Vec<&[u8]> = ops.iter().flat_map(Op::keys).collect();
    keys.extend(watched.iter().map(|watched| &watched.key[..]));
    let place = match &keys[..] {
        [] => None,
        keys => one_partition(&client.server.grid, keys)?,
    };
    let is_one_database =
        !changes_database && watched.iter().all(|watched| watched.database == client.database);
    let is_one_step = is_one_database && (place.is_some() || keys.is_empty());
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
    if !is_one_step {
        return Ok(one_by_one(client, &transaction));
    }
    let batch = place.map(|partition| {
        let batch = Op::Batch { watched: versions, ops };
        server.grid.start(&client.map, partition, &batch)
    });
    // What the gateway does itself is done in between; no operation depends on it.
    let parts: Vec<Part> = kinds
        .into_iter()
        .map(|kind| {
            kind.unwrap_or_else(|(command, request)| {
                let begun = run(client, command, request);
                Part::Begun(begun.unwrap_or_else(Refusal::into_outcome))
            })
        })
        .collect();
    Ok(Outcome::Barrier(Box::pin(async move {
        let replies = match batch {
            Some(Started::Now(reply)) => reply,
            Some(Started::Later(later)) => later.await,
            None => Ok(Reply::List(Vec::new())),
        };
        let replies = match replies {
            Ok(Reply::List(replies)) => replies,
            Ok(_) => return Err(OpError::Malformed).into(),
            Err(OpError::Changed) => return Answer::Reply(Reply::NilList),
            Err(error) => return Err(error).into(),
        };
        let mut replies = replies.into_iter();
        let mut answers = Vec::with_capacity(parts.len());
        for part in parts {
            answers.push(match part {
                Part::Asked(arguments, shape) => {
                    let reply = replies.next().unwrap_or(Reply::Nil);
                    match shape {
                        Some(shape) if !matches!(reply, Reply::Failed(_)) => {
                            shape(arguments, reply)
                        }
                        _ => Answer::Reply(reply),
                    }
                }
                Part::Begun(outcome) => settled(outcome).await,
            });
        }
        Answer::List(answers)
    })))
}

pub(crate) async fn settled(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Now(answer) | Outcome::Last(answer) => answer,
        Outcome::Later(later) | Outcome::Barrier(later) | Outcome::Waits(later) => later.await,
    }
}

/// Each command by itself, all begun in order.
fn one_by_one(client: &mut Client, transaction: &Transaction) -> Outcome {
    let mut begun: Vec<Outcome> = Vec::with_capacity(transaction.queued.len());
    for queued in &transaction.queued {
        let (command, request) = (queued.command, queued.request());
        if let Err(refusal) = admit(client, command, &request) {
            begun.push(refusal.into_outcome());
            continue;
        }
        let outcome = match command.run {
            // It does not wait within a transaction.
            Run::Waits(parse, shape) => parse(&request).and_then(|(op, _)| {
                let later = super::start(client, &op)?;
                let arguments = request.len();
                Ok(Outcome::Later(Box::pin(async move {
                    let reply = match later {
                        Started::Now(reply) => reply,
                        Started::Later(later) => later.await,
                    };
                    reply.map_or_else(|error| Err(error).into(), |reply| shape(arguments, reply))
                })))
            }),
            _ => run(client, command, &request),
        };
        begun.push(outcome.unwrap_or_else(Refusal::into_outcome));
    }
    let later: LaterAnswer = Box::pin(async move {
        let all = begun.into_iter().map(settled);
        Answer::List(join_all(all).await)
    });
    Outcome::Barrier(later)
}
