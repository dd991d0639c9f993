//! Every message is encoded as clients and members in Java do.

use data_encoding::HEXLOWER;

use super::request::repeat;
use super::*;
use crate::message::{Header, Message};

/// A request, a response or an event a line, in hexadecimal digits: each message of each service
/// that is supported, as the codecs of Hazelcast 5.7.0 encode it. The values of their fields are
/// arbitrary.
const MESSAGES: &str = include_str!("tests/messages.txt");

fn messages() -> impl Iterator<Item = Vec<u8>> {
    MESSAGES.lines().map(|line| HEXLOWER.decode(line.as_bytes()).unwrap())
}

/// Decodes a message and encodes it again.
fn repeated(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let message = Message::parse(bytes).unwrap();
    let Header { message_type, correlation_id, partition_id, .. } = message.header();
    let mut buffer = Vec::new();
    if message_type.is_request() {
        let request = Request::decode(message)?;
        assert_eq!(request.message_type(), message_type);
        assert_eq!(request.name(), message_name(message_type));
        request.write(&mut buffer, correlation_id, partition_id);
    } else if let Some(repeated) = repeat(message, &mut buffer) {
        repeated?;
    }
    Ok(buffer)
}

#[test]
fn each_message_is_encoded_as_in_java() {
    for bytes in messages() {
        let message_type = Message::parse(&bytes).unwrap().header().message_type;
        let repeated = repeated(&bytes).unwrap();
        assert_eq!(HEXLOWER.encode(&repeated), HEXLOWER.encode(&bytes), "{message_type:?}");
    }
}
