//! Streams of server-sent events: `/topics/{topic}`, `/topics?pattern=…` and `/events`; and `POST
//! /topics/{topic}`.
//!
//! A message is `{"topic": …, "text": …}`, with `base64` instead of `text` if the payload is not
//! UTF-8, and with `pattern` for a pattern subscription. A client that does not keep up gets an
//! event `overflow`, and its stream ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use convoke_grid::topic::TOPIC_BYTES_MAX;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;

use super::access::ConnectionInfo;
use super::body;
use super::failure::Failure;
use super::web::Web;
use crate::output_buffer::{OutboundMessage, OutputBuffer, Overflowed};
use crate::pubsub::Subscription;
use crate::{MEMBERS_TOPIC, PARTITIONS_TOPIC};

/// Maximum number of open streams.
pub(super) const STREAMS_MAX: usize = 512;
/// Interval of keep-alive comments on an idle stream, in milliseconds: reveals dead connections and
/// prevents timeouts of proxies.
const KEEP_ALIVE_MS: u64 = 15_000;

pub(super) async fn publish(
    State(web): State<Arc<Web>>,
    Path(topic): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Failure> {
    check_topic(&topic)?;
    let (payload, _permit) = body::read(&web, &headers, content).await?;
    let subscribers = web.grid.publish(topic.as_bytes(), &payload)?.await;
    Ok(Json(json!({ "subscribers": subscribers })).into_response())
}

pub(super) async fn topic(
    State(web): State<Arc<Web>>,
    Extension(connection_info): Extension<Arc<ConnectionInfo>>,
    Path(topic): Path<String>,
) -> Result<Response, Failure> {
    check_topic(&topic)?;
    let messages =
        EventStream::open(&web, &connection_info, &[(Bytes::from(topic), false)], message)?;
    web.grid.announcements_received().await;
    Ok(messages.into_response())
}

/// Query parameters of `/topics`.
#[derive(Deserialize)]
pub(super) struct StreamQuery {
    pattern: String,
}

pub(super) async fn topics(
    State(web): State<Arc<Web>>,
    Extension(connection_info): Extension<Arc<ConnectionInfo>>,
    Query(StreamQuery { pattern }): Query<StreamQuery>,
) -> Result<Response, Failure> {
    check_topic(&pattern)?;
    let messages =
        EventStream::open(&web, &connection_info, &[(Bytes::from(pattern), true)], message)?;
    web.grid.announcements_received().await;
    Ok(messages.into_response())
}

/// `GET /events`: the members and the state of the data, now and at each change.
pub(super) async fn events(
    State(web): State<Arc<Web>>,
    Extension(connection_info): Extension<Arc<ConnectionInfo>>,
) -> Result<Response, Failure> {
    let topics = [MEMBERS_TOPIC, PARTITIONS_TOPIC].map(|topic| (Bytes::from(topic), false));
    let mut messages = EventStream::open(&web, &connection_info, &topics, change)?;
    // Subscribed before the state is read: a concurrent change may be sent twice, but is never
    // missed.
    let now = [(MEMBERS_TOPIC, web.node.members()), (PARTITIONS_TOPIC, web.node.partitions())];
    messages.first = now
        .map(|(topic, now)| {
            let payload = Bytes::from(now.to_string());
            OutboundMessage { topic: topic.into(), payload, ..OutboundMessage::default() }
        })
        .into();
    Ok(messages.into_response())
}

fn check_topic(topic: &str) -> Result<(), Failure> {
    if topic.len() <= TOPIC_BYTES_MAX {
        Ok(())
    } else {
        Err(Failure::Malformed("the topic name is too long"))
    }
}

/// The event for a message of a topic.
fn message(message: &OutboundMessage) -> Event {
    Event::default().data(message_json(message).to_string())
}

fn message_json(message: &OutboundMessage) -> Value {
    let mut value = json!({ "topic": String::from_utf8_lossy(&message.topic) });
    if let Some(pattern) = &message.pattern {
        value["pattern"] = String::from_utf8_lossy(pattern).into();
    }
    match str::from_utf8(&message.payload) {
        Ok(text) => value["text"] = text.into(),
        Err(_) => value["base64"] = BASE64_STANDARD.encode(&message.payload).into(),
    }
    value
}

/// The event for a change of the cluster, for `/events`.
fn change(message: &OutboundMessage) -> Event {
    let name = if message.topic == MEMBERS_TOPIC { "members" } else { "partitions" };
    Event::default().event(name).data(String::from_utf8_lossy(&message.payload))
}

/// The stream of events of one client.
struct EventStream {
    write: fn(&OutboundMessage) -> Event,
    first: VecDeque<OutboundMessage>,
    output_buffer: Arc<OutputBuffer>,
    is_over: bool,
    web: Arc<Web>,
    _subscriptions: Vec<Subscription>,
}

impl EventStream {
    fn open(
        web: &Arc<Web>,
        connection_info: &ConnectionInfo,
        topics: &[(Bytes, bool)],
        write: fn(&OutboundMessage) -> Event,
    ) -> Result<Self, Failure> {
        let count = web.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let output_buffer = web.pubsub.output_buffer();
        let mut messages = Self {
            write,
            first: VecDeque::new(),
            output_buffer: Arc::clone(&output_buffer),
            is_over: false,
            web: Arc::clone(web),
            _subscriptions: Vec::new(),
        };
        if count > STREAMS_MAX {
            return Err(Failure::TooMany);
        }
        connection_info.is_streaming.store(true, Ordering::Relaxed);
        messages._subscriptions = topics
            .iter()
            .map(|(topic, is_pattern)| {
                web.pubsub.subscribe(topic, *is_pattern, Arc::clone(&output_buffer) as _)
            })
            .collect();
        Ok(messages)
    }

    fn into_response(self) -> Response {
        let interval = Duration::from_millis(KEEP_ALIVE_MS);
        Sse::new(self).keep_alive(KeepAlive::new().interval(interval)).into_response()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.web.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stream for EventStream {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(message) = self.first.pop_front() {
            return Poll::Ready(Some(Ok((self.write)(&message))));
        }
        self.output_buffer.waker.register(context.waker());
        match self.output_buffer.next() {
            Ok(Some(message)) => Poll::Ready(Some(Ok((self.write)(&message)))),
            Ok(None) => Poll::Pending,
            Err(Overflowed) => {
                warn!("closing the stream of an HTTP subscriber that does not keep up");
                self.is_over = true;
                let message = "messages were dropped because the client did not keep up";
                Poll::Ready(Some(Ok(Event::default().event("overflow").data(message))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_that_are_not_utf8_are_sent_as_base64() {
        let message = |payload: &'static [u8]| OutboundMessage {
            topic: "a".into(),
            pattern: Some("*".into()),
            payload: payload.into(),
            ..OutboundMessage::default()
        };
        assert_eq!(
            message_json(&message(b"x\ny")),
            json!({ "topic": "a", "pattern": "*", "text": "x\ny" })
        );
        assert_eq!(
            message_json(&message(&[0xff, 0])),
            json!({ "topic": "a", "pattern": "*", "base64": "/wA=" })
        );
    }
}
