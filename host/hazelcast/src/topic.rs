//! Messages of reliable topics, which are items of a ringbuffer.

use crate::data::{Data, Identified, Input, Value};

/// Factory of the class of these messages.
pub const FACTORY_ID: i32 = -9;

/// Id of the class of these messages.
pub const CLASS_ID: i32 = 2;

/// What the name of the ringbuffer of a reliable topic begins with; the name of the topic follows.
pub const RINGBUFFER_PREFIX: &str = "_hz_rb_";

/// A message of a reliable topic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliableTopicMessage<'a> {
    /// When it was published, in milliseconds since the epoch.
    pub publish_time_ms: i64,
    /// What the client sent.
    pub payload: Data<'a>,
}

impl<'a> ReliableTopicMessage<'a> {
    /// Decodes an item. `None` if it is none of this class.
    #[must_use]
    pub fn decode(item: Data<'a>) -> Option<Self> {
        let Some(Value::Identified(Identified { factory_id, class_id, fields })) =
            Value::decode(item)
        else {
            return None;
        };
        if (factory_id, class_id) != (FACTORY_ID, CLASS_ID) {
            return None;
        }
        let mut input = Input::new(fields);
        let publish_time_ms = input.i64()?;
        let payload = publisher_then_payload(input)?;
        Some(Self { publish_time_ms, payload })
    }

    /// The item, without the address of a publisher.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = self.publish_time_ms.to_be_bytes().to_vec();
        Value::Null.encode_object(&mut fields);
        let payload = self.payload.bytes();
        fields.extend_from_slice(&i32::try_from(payload.len()).unwrap_or(i32::MAX).to_be_bytes());
        fields.extend_from_slice(payload);
        let class = Identified { factory_id: FACTORY_ID, class_id: CLASS_ID, fields: &fields };
        Value::Identified(class).encode()
    }
}
