//! `ITopic`.

use uuid::Uuid;

use super::field::{self, DecodeError};
use super::lists::List;
use crate::data::Data;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a topic.
    "Topic" 0x04;
    0x01 "publish" Publish<'a> (; name: &'a str, message: Data<'a>) -> (;);
    0x02 "addMessageListener" AddMessageListener<'a> (local_only: bool; name: &'a str)
        -> (response: Uuid;) events { TOPIC 2 TopicEvent };
    0x03 "removeMessageListener" RemoveMessageListener<'a> (registration_id: Uuid; name: &'a str)
        -> (response: bool;);
    0x04 "publishAll" PublishAll<'a> (; name: &'a str, messages: List<'a, Data<'a>>) -> (;);
}
