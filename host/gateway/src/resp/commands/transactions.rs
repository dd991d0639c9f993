//! Commands that begin and abandon transactions: `MULTI`, `DISCARD`, `WATCH`, `UNWATCH`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use convoke_grid::op::{GenericOp, KeyOp, Op};
use convoke_grid::{OpError, Reply, Version};
use futures_util::future::join_all;

use super::super::answer::{Answer, CommandError};
use super::super::client::{Client, Transaction, WATCHED_MAX, Watched};
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::Request;
use super::super::routing::check_slot;

pub(crate) fn multi(client: &mut Client, _: &Request<'_>) -> CommandResult {
    if client.transaction.is_some() {
        return Err(CommandError::new("ERR MULTI calls can not be nested"));
    }
    client.transaction = Some(Transaction::default());
    client.info.queued.store(0, Ordering::Relaxed);
    Ok(Answer::DONE.into())
}

/// Ends the transaction and clears the watched keys.
pub(crate) fn end(client: &mut Client) -> Option<(Transaction, Vec<Watched>)> {
    let transaction = client.transaction.take()?;
    client.info.queued.store(-1, Ordering::Relaxed);
    client.info.watched.store(0, Ordering::Relaxed);
    Some((transaction, std::mem::take(&mut client.watched.lock())))
}

/// Ends the transaction, if there is one, and clears the watched keys.
pub(crate) fn discard_all(client: &mut Client) {
    end(client);
    clear_watched(client);
}

fn clear_watched(client: &Client) {
    client.watched.lock().clear();
    client.info.watched.store(0, Ordering::Relaxed);
}

pub(crate) fn discard(client: &mut Client, _: &Request<'_>) -> CommandResult {
    end(client).ok_or(CommandError::new("ERR DISCARD without MULTI"))?;
    Ok(Answer::DONE.into())
}

pub(crate) fn unwatch(client: &mut Client, _: &Request<'_>) -> CommandResult {
    clear_watched(client);
    Ok(Answer::DONE.into())
}

pub(crate) fn watch(client: &mut Client, request: &Request<'_>) -> CommandResult {
    if client.transaction.is_some() {
        return Err(CommandError::new("ERR WATCH inside MULTI is not allowed"));
    }
    let server = &client.server;
    if server.settings.redis_cluster {
        check_slot(server, request.from(1))?;
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
    let info = Arc::clone(&client.info);
    Ok(CommandState::Barrier(Box::pin(async move {
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
        info.watched.store(all.len(), Ordering::Relaxed);
        match failed {
            Some(error) => Err(error).into(),
            None => Answer::DONE,
        }
    })))
}
