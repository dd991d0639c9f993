//! Publish/subscribe commands.

use std::collections::BTreeSet;

use bytes::Bytes;
use convoke_grid::topic::{SubscriptionInfo, SubscriptionQuery, TooManyNames};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, expect};
use super::super::client::{Client, SUBSCRIPTIONS_MAX};
use super::super::outcome::{Begun, Outcome};
use super::super::request::Request;
use crate::notifications::may_match_events;

pub(crate) fn publish(client: &mut Client, request: &Request<'_>) -> Begun {
    let mut args = Args::new(request, 1);
    let (topic, payload) = (args.next()?, args.next()?);
    if topic.len() > convoke_grid::topic::TOPIC_BYTES_MAX {
        return Err(CommandError::new("ERR the channel name is too long"));
    }
    let count = client.server.grid.publish(topic, payload)?;
    Ok(Outcome::Pending(Box::pin(async {
        Answer::integer(i64::try_from(count.await).unwrap_or(i64::MAX))
    })))
}

/// Confirms a subscription or its end, with the number of subscriptions left.
fn confirmation(kind: &'static str, topic: Answer, count: usize) -> Vec<Answer> {
    vec![Answer::bytes(kind.as_bytes()), topic, Answer::count(count)]
}

fn begin(client: &mut Client, request: &Request<'_>, is_pattern: bool) -> Begun {
    let topics = Args::new(request, 1).rest();
    if client.subscriptions() + topics.len() > SUBSCRIPTIONS_MAX {
        return Err(CommandError(
            format!("ERR a client can have at most {SUBSCRIPTIONS_MAX} subscriptions").into(),
        ));
    }
    if topics.iter().any(|topic| topic.len() > convoke_grid::topic::TOPIC_BYTES_MAX) {
        return Err(CommandError::new("ERR the channel name is too long"));
    }
    let kind = if is_pattern { "psubscribe" } else { "subscribe" };
    let of_keys = topics.iter().any(|topic| may_match_events(topic, is_pattern));
    let mut pushes = Vec::with_capacity(topics.len());
    for topic in topics {
        client.subscribe(topic, is_pattern);
        pushes.push(confirmation(kind, Answer::bytes(topic), client.subscriptions()));
    }
    if !of_keys {
        return Ok(Answer::Pushes(pushes).into());
    }
    // The primaries of the keys know of the subscription before it is confirmed.
    let known = client.server.grid.announcements_received();
    Ok(Outcome::Barrier(Box::pin(async move {
        known.await;
        Answer::Pushes(pushes)
    })))
}

fn end(client: &mut Client, request: &Request<'_>, is_pattern: bool) -> Begun {
    let mut topics: Vec<Bytes> = request.from(1).map(Bytes::copy_from_slice).collect();
    if topics.is_empty() {
        topics = client.all(is_pattern);
    }
    let kind = if is_pattern { "punsubscribe" } else { "unsubscribe" };
    if topics.is_empty() {
        let pushes = vec![confirmation(kind, Answer::NIL, client.subscriptions())];
        return Ok(Answer::Pushes(pushes).into());
    }
    let mut pushes = Vec::with_capacity(topics.len());
    for topic in topics {
        client.unsubscribe(&topic, is_pattern);
        pushes.push(confirmation(kind, Answer::bytes(&topic), client.subscriptions()));
    }
    Ok(Answer::Pushes(pushes).into())
}

pub(crate) fn subscribe(client: &mut Client, request: &Request<'_>) -> Begun {
    begin(client, request, false)
}

pub(crate) fn psubscribe(client: &mut Client, request: &Request<'_>) -> Begun {
    begin(client, request, true)
}

pub(crate) fn unsubscribe(client: &mut Client, request: &Request<'_>) -> Begun {
    end(client, request, false)
}

pub(crate) fn punsubscribe(client: &mut Client, request: &Request<'_>) -> Begun {
    end(client, request, true)
}

/// Queries the subscriptions of all members; with `--redis-cluster`, those of this member, since
/// cluster clients add up the replies of the nodes.
fn find(
    client: &Client,
    query: &SubscriptionQuery,
    answer: impl FnOnce(SubscriptionInfo) -> Answer + Send + 'static,
) -> Outcome {
    let server = &client.server;
    if server.settings.redis_cluster {
        return shown(server.grid.subscriptions_here(query), answer).into();
    }
    let found = server.grid.subscriptions(query);
    Outcome::Pending(Box::pin(async move { shown(found.await, answer) }))
}

fn shown(
    found: Result<SubscriptionInfo, TooManyNames>,
    answer: impl FnOnce(SubscriptionInfo) -> Answer,
) -> Answer {
    found.map_or_else(|error| CommandError(format!("ERR {error}").into()).into(), answer)
}

pub(crate) fn channels(client: &mut Client, request: &Request<'_>) -> Begun {
    expect(request, "pubsub|channels", 2..=3)?;
    let query = SubscriptionQuery::Topics(request.get(2).map(Bytes::copy_from_slice));
    Ok(find(client, &query, |found| {
        Answer::List(names(found).iter().map(|name| Answer::bytes(name)).collect())
    }))
}

pub(crate) fn numsub(client: &mut Client, request: &Request<'_>) -> Begun {
    let topics: Vec<Bytes> = request.from(2).map(Bytes::copy_from_slice).collect();
    Ok(find(client, &SubscriptionQuery::Counts(topics.clone()), move |found| {
        let SubscriptionInfo::Counts(counts) = found else { return Answer::List(Vec::new()) };
        let each = |(topic, count): (Bytes, u64)| {
            [Answer::bytes(&topic), Answer::integer(i64::try_from(count).unwrap_or(i64::MAX))]
        };
        Answer::List(topics.into_iter().zip(counts).flat_map(each).collect())
    }))
}

pub(crate) fn numpat(client: &mut Client, _: &Request<'_>) -> Begun {
    Ok(find(client, &SubscriptionQuery::Patterns, |found| Answer::count(names(found).len())))
}

fn names(found: SubscriptionInfo) -> BTreeSet<Bytes> {
    match found {
        SubscriptionInfo::Names(names) => names,
        SubscriptionInfo::Counts(_) => BTreeSet::new(),
    }
}

pub(crate) fn shardchannels(_: &mut Client, request: &Request<'_>) -> Begun {
    expect(request, "pubsub|shardchannels", 2..=3)?;
    Ok(Answer::List(Vec::new()).into())
}

pub(crate) fn shardnumsub(_: &mut Client, request: &Request<'_>) -> Begun {
    let each = |name| [Answer::bytes(name), Answer::count(0)];
    Ok(Answer::List(request.from(2).flat_map(each).collect()).into())
}
