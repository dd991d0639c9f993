//! Any request.

use super::field::DecodeError;
use super::names::UNSUPPORTED;
use super::{
    cache, client, flake_id, list, map, multi_map, pn_counter, queue, replicated_map, ringbuffer,
    set, topic,
};
use crate::message::{Message, MessageType};

macro_rules! services {
    ($($(#[$attribute:meta])* $service:ident $module:ident;)*) => {
        /// A request, borrowed from its message.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Request<'a> {
            $($(#[$attribute])* $service($module::Request<'a>),)*
            /// A request of another service, an unknown one, or something that is no request.
            /// Answer with [`respond_unsupported`](crate::error::respond_unsupported), and keep the
            /// connection: a client would reconnect, and send it again.
            Unsupported(MessageType),
        }

        impl<'a> Request<'a> {
            /// Decodes a request.
            ///
            /// # Errors
            /// A field is missing or invalid. Answer with
            /// [`ErrorCode::HazelcastSerialization`](crate::error::ErrorCode) and keep the
            /// connection.
            pub fn decode(message: Message<'a>) -> Result<Self, DecodeError> {
                let message_type = message.header().message_type;
                let decoded = match message_type.service_id() {
                    _ if !message_type.is_request() => None,
                    $($module::SERVICE_ID => {
                        $module::Request::decode(message).map(|request| request.map(Self::$service))
                    })*
                    _ => None,
                };
                decoded.unwrap_or(Ok(Self::Unsupported(message_type)))
            }

            /// Type of the message.
            #[must_use]
            pub const fn message_type(&self) -> MessageType {
                match self {
                    $(Self::$service(request) => request.message_type(),)*
                    Self::Unsupported(message_type) => *message_type,
                }
            }

            /// Names of service and method, such as `Map.put`. `None` if they are unknown.
            #[must_use]
            pub fn name(&self) -> Option<&'static str> {
                match self {
                    $(Self::$service(request) => Some(request.name()),)*
                    Self::Unsupported(_) => None,
                }
            }
        }

        #[cfg(any(test, feature = "client"))]
        impl Request<'_> {
            /// Appends the request to `buffer`; nothing if it is not supported.
            pub fn write(&self, buffer: &mut Vec<u8>, correlation_id: i64, partition_id: i32) {
                match self {
                    $(Self::$service(request) => {
                        request.write(buffer, correlation_id, partition_id);
                    })*
                    Self::Unsupported(_) => {}
                }
            }
        }

        /// Decodes a response or an event, and appends it to `buffer`. `None` if there is none of
        /// its type.
        #[cfg(test)]
        pub(super) fn repeat(
            message: Message<'_>,
            buffer: &mut Vec<u8>,
        ) -> Option<Result<(), DecodeError>> {
            match message.header().message_type.service_id() {
                $($module::SERVICE_ID => $module::repeat(message, buffer),)*
                _ => None,
            }
        }

        /// The names of a service that has rows.
        fn supported(service_id: u8) -> Option<&'static [(u8, &'static str)]> {
            match service_id {
                $($module::SERVICE_ID => Some($module::NAMES),)*
                _ => None,
            }
        }
    };
}

services! {
    /// About the client and the cluster.
    Client client;
    /// Of a map.
    Map map;
    /// Of a multimap.
    MultiMap multi_map;
    /// Of a queue.
    Queue queue;
    /// Of a topic.
    Topic topic;
    /// Of a list.
    List list;
    /// Of a set.
    Set set;
    /// Of a replicated map.
    ReplicatedMap replicated_map;
    /// Of a cache.
    Cache cache;
    /// Of a ringbuffer.
    Ringbuffer ringbuffer;
    /// Of a generator of ids.
    FlakeIdGenerator flake_id;
    /// Of a counter.
    PnCounter pn_counter;
}

/// Names of service and method of a request of this type, such as `Sql.execute`, also if it is not
/// supported. `None` if it is unknown.
#[must_use]
pub fn message_name(message_type: MessageType) -> Option<&'static str> {
    if let Some(names) = supported(message_type.service_id()) {
        let found = names.iter().find(|(method_id, _)| *method_id == message_type.method_id());
        if let Some((_, name)) = found.filter(|_| message_type.is_request()) {
            return Some(name);
        }
    }
    let at = UNSUPPORTED.binary_search_by_key(&message_type.0, |(value, _)| *value).ok()?;
    UNSUPPORTED.get(at).map(|(_, name)| *name)
}

/// Whether there is a row for requests of this type.
#[cfg(test)]
pub(super) fn is_supported(message_type: MessageType) -> bool {
    let names = supported(message_type.service_id()).unwrap_or_default();
    names.iter().any(|(method_id, _)| *method_id == message_type.method_id())
}
