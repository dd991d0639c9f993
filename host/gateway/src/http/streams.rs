//! Streams of server-sent events: `/topics/{topic}`, `/topics?pattern=…` and
//! `/events`. And `POST /topics/{topic}`.
//!
//! A message is `{"topic": …, "text": …}`, with `base64` in place of `text` when it
//! is no UTF-8, and with the `pattern` that it came by. A client that does not keep
//! up is told so, with an event `overflow`, and its stream ends.

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

use super::access::Caller;
use super::failure::Failure;
use super::{Web, body};
use crate::output_buffer::{OutboundMessage, OutputBuffer, Overflowed};
use crate::pubsub::Subscription;
use crate::{MEMBERS_TOPIC, PARTITIONS_TOPIC};

/// Streams at once.
pub(super) const STREAMS_MAX: usize = 512;
/// A comment goes to a client that was told nothing for so long: connections that
/// are dead show, and proxies stay patient.
const KEEP_ALIVE_MS: u64 = 15_000;

pub(super) async fn publish(
    State(web): State<Arc<Web>>,
    Path(topic): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Failure> {
    fits(&topic)?;
    let (payload, _room) = body::read(&web, &headers, content).await?;
    let subscribers = web.grid.publish(topic.as_bytes(), &payload)?.await;
    Ok(Json(json!({ "subscribers": subscribers })).into_response())
}

pub(super) async fn topic(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(topic): Path<String>,
) -> Result<Response, Failure> {
    fits(&topic)?;
    let messages = EventStream::open(&web, &caller, &[(Bytes::from(topic), false)], message)?;
    web.grid.announcements_received().await;
    Ok(messages.into_response())
}

/// What is asked behind `/topics`.
#[derive(Deserialize)]
pub(super) struct Wanted {
    pattern: String,
}

pub(super) async fn topics(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Arc<Caller>>,
    Query(Wanted { pattern }): Query<Wanted>,
) -> Result<Response, Failure> {
    fits(&pattern)?;
    let messages = EventStream::open(&web, &caller, &[(Bytes::from(pattern), true)], message)?;
    web.grid.announcements_received().await;
    Ok(messages.into_response())
}

/// Who is here and whether the data is safe: now, and at each change.
pub(super) async fn events(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, Failure> {
    let topics = [MEMBERS_TOPIC, PARTITIONS_TOPIC].map(|topic| (Bytes::from(topic), false));
    let mut messages = EventStream::open(&web, &caller, &topics, change)?;
    // What changes just now is told twice rather than not at all.
    let now = [(MEMBERS_TOPIC, web.node.members()), (PARTITIONS_TOPIC, web.node.partitions())];
    messages.first = now
        .map(|(topic, now)| {
            let payload = Bytes::from(now.to_string());
            OutboundMessage { topic: topic.into(), pattern: None, payload }
        })
        .into();
    Ok(messages.into_response())
}

fn fits(topic: &str) -> Result<(), Failure> {
    if topic.len() <= TOPIC_BYTES_MAX {
        Ok(())
    } else {
        Err(Failure::Malformed("the topic's name is too long"))
    }
}

/// A message, for whoever asked for a topic.
fn message(message: &OutboundMessage) -> Event {
    Event::default().data(told(message).to_string())
}

fn told(message: &OutboundMessage) -> Value {
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

/// A change of the cluster, for whoever asked for `/events`.
fn change(message: &OutboundMessage) -> Event {
    let name = if message.topic == MEMBERS_TOPIC { "members" } else { "partitions" };
    Event::default().event(name).data(String::from_utf8_lossy(&message.payload))
}

/// What one client is told, for as long as it stays.
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
        caller: &Caller,
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
        caller.is_streaming.store(true, Ordering::Relaxed);
        messages._subscriptions = topics
            .iter()
            .map(|(topic, is_pattern)| {
                web.pubsub.subscribe(topic, *is_pattern, Arc::clone(&output_buffer) as _)
            })
            .collect();
        Ok(messages)
    }

    fn into_response(self) -> Response {
        let patience = Duration::from_millis(KEEP_ALIVE_MS);
        Sse::new(self).keep_alive(KeepAlive::new().interval(patience)).into_response()
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
                warn!("a subscriber over HTTP does not keep up; its stream ends");
                self.is_over = true;
                let words = "messages were lost, since they were not taken in time";
                Poll::Ready(Some(Ok(Event::default().event("overflow").data(words))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_as_base64() {
        let message = |payload: &'static [u8]| OutboundMessage {
            topic: "a".into(),
            pattern: Some("*".into()),
            payload: payload.into(),
        };
        assert_eq!(
            told(&message(b"x\ny")),
            json!({ "topic": "a", "pattern": "*", "text": "x\ny" })
        );
        assert_eq!(
            told(&message(&[0xff, 0])),
            json!({ "topic": "a", "pattern": "*", "base64": "/wA=" })
        );
    }
}
