//! Messages of reliable topics, which are items of a ringbuffer.

use crate::data::{Data, Identified, Input, Value};

/// Factory of the class of these messages.
pub const FACTORY_ID: i32 = -9;

/// Id of the class of these messages.
pub const CLASS_ID: i32 = 2;

/// Factory and class of addresses.
const ADDRESS_CLASS: (i32, i32) = (0, 1);

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
        skip_publisher(&mut input)?;
        let payload = Data::new(input.bytes()?)?;
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

/// Reads over the publisher: null, or the address of a member.
fn skip_publisher(input: &mut Input<'_>) -> Option<()> {
    match input.class()? {
        None => {}
        Some(ADDRESS_CLASS) => {
            let _port = input.i32()?;
            let _ip_version = input.u8()?;
            let _host = input.text()?;
        }
        Some(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// Published by a client in Java, without and with an address.
    const SENT: [&str; 2] = [
        "00000000fffffffe01fffffff700000002000001a23073dfa6000000000000000e00000000fffffff5\
         000000026869",
        "00000000fffffffe01fffffff700000002000001a23073dfa6fffffffe01000000000000000100001645\
         04000000093132372e302e302e310000000e00000000fffffff5000000026869",
    ];

    #[test]
    fn a_message_is_decoded_with_and_without_the_address_of_its_publisher() {
        for sent in SENT {
            let item = HEXLOWER.decode(sent.as_bytes()).unwrap();
            let message = ReliableTopicMessage::decode(Data::new(&item).unwrap()).unwrap();
            assert_eq!(message.publish_time_ms, 0x1a2_3073_dfa6);
            assert_eq!(Value::decode(message.payload), Some(Value::Text("hi")));
        }
    }

    #[test]
    fn a_message_without_an_address_is_encoded_as_clients_do() {
        let item = HEXLOWER.decode(SENT[0].as_bytes()).unwrap();
        let message = ReliableTopicMessage::decode(Data::new(&item).unwrap()).unwrap();
        assert_eq!(message.encode(), item);
    }

    #[test]
    fn other_objects_are_no_messages() {
        for value in [Value::Int(1), Value::Text("hi")] {
            let blob = value.encode();
            assert_eq!(ReliableTopicMessage::decode(Data::new(&blob).unwrap()), None);
        }
    }

    #[test]
    fn fuzz_reliable_topic_message() {
        let samples = SENT.map(|sent| HEXLOWER.decode(sent.as_bytes()).unwrap());
        convoke_harness::check!(&samples, |bytes| {
            let Some(data) = Data::new(bytes) else { return };
            let Some(message) = ReliableTopicMessage::decode(data) else { return };
            let encoded = message.encode();
            let decoded = Data::new(&encoded).and_then(ReliableTopicMessage::decode);
            assert_eq!(decoded, Some(message));
        });
    }
}
