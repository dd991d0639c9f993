//! Publish/subscribe commands.

use std::collections::BTreeSet;

use bytes::Bytes;
use convoke_grid::topic::{SubscriptionInfo, SubscriptionQuery, TooManyNames};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, expect};
use super::super::client::{Channel, Client, SUBSCRIPTIONS_MAX};
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::Request;
use super::super::routing::check_slot;
use crate::notifications::may_match_events;

pub(crate) fn publish(client: &mut Client, request: &Request<'_>) -> CommandResult {
    send(client, request, false)
}

/// The error for shard channels that clients of other protocols use.
pub(crate) const RESERVED: &str = "ERR the channel name is reserved";

/// `SPUBLISH`. The message is delivered on all members, so that it does not matter to which of them a
/// subscriber is connected.
pub(crate) fn spublish(client: &mut Client, request: &Request<'_>) -> CommandResult {
    if client.server.settings.redis_cluster {
        check_slot(&client.server, request.get(1))?;
    }
    send(client, request, true)
}

fn send(client: &Client, request: &Request<'_>, is_shard: bool) -> CommandResult {
    let mut args = Args::new(request, 1);
    let (topic, payload) = (args.next()?, args.next()?);
    if topic.len() > convoke_grid::topic::TOPIC_BYTES_MAX {
        return Err(CommandError::new("ERR the channel name is too long"));
    }
    if is_shard && convoke_grid::topic::is_internal(topic) {
        return Err(CommandError::new(RESERVED));
    }
    let grid = &client.server.grid;
    let count =
        if is_shard { grid.publish_shard(topic, payload) } else { grid.publish(topic, payload) }?;
    Ok(CommandState::Pending(Box::pin(async {
        Answer::integer(i64::try_from(count.await).unwrap_or(i64::MAX))
    })))
}

/// Confirms a subscription or its end, with the number of subscriptions left.
fn confirmation(kind: &'static str, topic: Answer, count: usize) -> Vec<Answer> {
    vec![Answer::bytes(kind.as_bytes()), topic, Answer::count(count)]
}

fn begin(client: &mut Client, request: &Request<'_>, channel: Channel) -> CommandResult {
    let topics = Args::new(request, 1).rest();
    if client.subscriptions() + topics.len() > SUBSCRIPTIONS_MAX {
        return Err(CommandError(
            format!("ERR a client can have at most {SUBSCRIPTIONS_MAX} subscriptions").into(),
        ));
    }
    if topics.iter().any(|topic| topic.len() > convoke_grid::topic::TOPIC_BYTES_MAX) {
        return Err(CommandError::new("ERR the channel name is too long"));
    }
    let is_internal = |topic: &&[u8]| convoke_grid::topic::is_internal(topic);
    if channel == Channel::Shard && topics.iter().any(is_internal) {
        return Err(CommandError::new(RESERVED));
    }
    let kind = match channel {
        Channel::Named => "subscribe",
        Channel::Pattern => "psubscribe",
        Channel::Shard => "ssubscribe",
    };
    let is_pattern = channel == Channel::Pattern;
    let of_keys =
        channel != Channel::Shard && topics.iter().any(|topic| may_match_events(topic, is_pattern));
    let mut pushes = Vec::with_capacity(topics.len());
    for topic in topics {
        client.subscribe(topic, channel);
        let count = client.subscriptions_like(channel);
        pushes.push(confirmation(kind, Answer::bytes(topic), count));
    }
    if !of_keys {
        return Ok(Answer::Pushes(pushes).into());
    }
    // The primaries of the keys know of the subscription before it is confirmed.
    let known = client.server.grid.announcements_received();
    Ok(CommandState::Barrier(Box::pin(async move {
        known.await;
        Answer::Pushes(pushes)
    })))
}

fn end(client: &mut Client, request: &Request<'_>, channel: Channel) -> CommandResult {
    let mut topics: Vec<Bytes> = request.from(1).map(Bytes::copy_from_slice).collect();
    if topics.is_empty() {
        topics = client.all(channel);
    }
    let kind = match channel {
        Channel::Named => "unsubscribe",
        Channel::Pattern => "punsubscribe",
        Channel::Shard => "sunsubscribe",
    };
    if topics.is_empty() {
        let pushes = vec![confirmation(kind, Answer::NIL, client.subscriptions_like(channel))];
        return Ok(Answer::Pushes(pushes).into());
    }
    let mut pushes = Vec::with_capacity(topics.len());
    for topic in topics {
        client.unsubscribe(&topic, channel);
        let count = client.subscriptions_like(channel);
        pushes.push(confirmation(kind, Answer::bytes(&topic), count));
    }
    Ok(Answer::Pushes(pushes).into())
}

pub(crate) fn subscribe(client: &mut Client, request: &Request<'_>) -> CommandResult {
    begin(client, request, Channel::Named)
}

pub(crate) fn psubscribe(client: &mut Client, request: &Request<'_>) -> CommandResult {
    begin(client, request, Channel::Pattern)
}

pub(crate) fn unsubscribe(client: &mut Client, request: &Request<'_>) -> CommandResult {
    end(client, request, Channel::Named)
}

pub(crate) fn punsubscribe(client: &mut Client, request: &Request<'_>) -> CommandResult {
    end(client, request, Channel::Pattern)
}

pub(crate) fn ssubscribe(client: &mut Client, request: &Request<'_>) -> CommandResult {
    if client.server.settings.redis_cluster {
        check_slot(&client.server, request.from(1))?;
    }
    begin(client, request, Channel::Shard)
}

pub(crate) fn sunsubscribe(client: &mut Client, request: &Request<'_>) -> CommandResult {
    end(client, request, Channel::Shard)
}

/// Queries the subscriptions of all members; with `--redis-cluster`, those of this member, since
/// cluster clients add up the replies of the nodes.
fn find(
    client: &Client,
    query: &SubscriptionQuery,
    answer: impl FnOnce(SubscriptionInfo) -> Answer + Send + 'static,
) -> CommandState {
    let server = &client.server;
    if server.settings.redis_cluster {
        return shown(server.grid.subscriptions_here(query), answer).into();
    }
    let found = server.grid.subscriptions(query);
    CommandState::Pending(Box::pin(async move { shown(found.await, answer) }))
}

fn shown(
    found: Result<SubscriptionInfo, TooManyNames>,
    answer: impl FnOnce(SubscriptionInfo) -> Answer,
) -> Answer {
    found.map_or_else(|error| CommandError(format!("ERR {error}").into()).into(), answer)
}

fn list_channels(
    client: &Client,
    request: &Request<'_>,
    query: fn(Option<Bytes>) -> SubscriptionQuery,
) -> CommandState {
    let query = query(request.get(2).map(Bytes::copy_from_slice));
    find(client, &query, |found| {
        Answer::List(names(found).iter().map(|name| Answer::bytes(name)).collect())
    })
}

fn count_subscribers(
    client: &Client,
    request: &Request<'_>,
    query: fn(Vec<Bytes>) -> SubscriptionQuery,
) -> CommandState {
    let topics: Vec<Bytes> = request.from(2).map(Bytes::copy_from_slice).collect();
    find(client, &query(topics.clone()), move |found| {
        let SubscriptionInfo::Counts(counts) = found else { return Answer::List(Vec::new()) };
        let each = |(topic, count): (Bytes, u64)| {
            [Answer::bytes(&topic), Answer::integer(i64::try_from(count).unwrap_or(i64::MAX))]
        };
        Answer::List(topics.into_iter().zip(counts).flat_map(each).collect())
    })
}

pub(crate) fn channels(client: &mut Client, request: &Request<'_>) -> CommandResult {
    expect(request, "pubsub|channels", 2..=3)?;
    Ok(list_channels(client, request, SubscriptionQuery::Topics))
}

pub(crate) fn numsub(client: &mut Client, request: &Request<'_>) -> CommandResult {
    Ok(count_subscribers(client, request, SubscriptionQuery::Counts))
}

pub(crate) fn numpat(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(find(client, &SubscriptionQuery::Patterns, |found| Answer::count(names(found).len())))
}

fn names(found: SubscriptionInfo) -> BTreeSet<Bytes> {
    match found {
        SubscriptionInfo::Names(names) => names,
        SubscriptionInfo::Counts(_) => BTreeSet::new(),
    }
}

pub(crate) fn shardchannels(client: &mut Client, request: &Request<'_>) -> CommandResult {
    expect(request, "pubsub|shardchannels", 2..=3)?;
    Ok(list_channels(client, request, SubscriptionQuery::ShardTopics))
}

pub(crate) fn shardnumsub(client: &mut Client, request: &Request<'_>) -> CommandResult {
    Ok(count_subscribers(client, request, SubscriptionQuery::ShardCounts))
}
