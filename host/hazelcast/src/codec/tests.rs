//! Every message is encoded as clients and members in Java do.

use std::num::NonZero;

use data_encoding::HEXLOWER;
use uuid::Uuid;

use super::request::repeat;
use super::*;
use crate::data::{self, Data, PARTITIONS, Value};
use crate::frame::{Flags, FrameError, Frames};
use crate::message::{Header, Message, MessageType, NO_PARTITION, Writer};

/// A request, a response or an event a line, in hexadecimal digits: each message of each service
/// that is supported, as the codecs of Hazelcast 5.7.0 encode it. The values of their fields are
/// arbitrary.
const MESSAGES: &str = include_str!("tests/messages.txt");

/// Requests that clients sent: Python 5.7.0, then JavaScript 5.7.0.
const SENT: &str = include_str!("tests/sent.txt");

fn decoded(lines: &str) -> impl Iterator<Item = Vec<u8>> {
    lines.lines().map(|line| HEXLOWER.decode(line.as_bytes()).unwrap())
}

/// The first message of this type in `lines`.
fn find(lines: &str, message_type: MessageType) -> Vec<u8> {
    let is_it = |bytes: &Vec<u8>| header(bytes).message_type == message_type;
    decoded(lines).find(is_it).unwrap()
}

fn header(bytes: &[u8]) -> Header {
    Message::parse(bytes).unwrap().header()
}

fn request(bytes: &[u8]) -> Result<Request<'_>, DecodeError> {
    Request::decode(Message::parse(bytes).unwrap())
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

/// A message with `change` applied to its frames: flags and content of each.
fn changed(bytes: &[u8], change: impl FnOnce(&mut Vec<(Flags, Vec<u8>)>)) -> Vec<u8> {
    let mut frames: Vec<_> = Frames::new(bytes)
        .map(|frame| (frame.flags.without(Flags::IS_FINAL), frame.content.to_vec()))
        .collect();
    change(&mut frames);
    let last = frames.last_mut().unwrap();
    last.0 = last.0 | Flags::IS_FINAL;
    let encoded = frames.iter().map(|(flags, content)| {
        let length = u32::try_from(content.len() + 6).unwrap().to_le_bytes();
        [&length[..], &flags.0.to_le_bytes(), content].concat()
    });
    encoded.collect::<Vec<_>>().concat()
}

#[test]
fn each_message_is_encoded_as_in_java() {
    for bytes in decoded(MESSAGES) {
        let repeated = repeated(&bytes).unwrap();
        let message_type = header(&bytes).message_type;
        assert_eq!(HEXLOWER.encode(&repeated), HEXLOWER.encode(&bytes), "{message_type}");
    }
}

#[test]
fn each_message_has_a_vector() {
    let mut vectors: Vec<_> = decoded(MESSAGES).map(|bytes| header(&bytes).message_type).collect();
    vectors.dedup();
    let requests = vectors.iter().filter(|message_type| message_type.is_request());
    assert!(requests.clone().all(|message_type| message_name(*message_type).is_some()));
    let known = (0..=u8::MAX)
        .flat_map(|service| (0..=u8::MAX).map(move |id| MessageType::request(service, id)))
        .filter(|message_type| request::is_supported(*message_type));
    assert_eq!(requests.count(), known.count());
}

#[test]
fn requests_of_clients_in_python_and_javascript_are_decoded() {
    for bytes in decoded(SENT) {
        let Header { message_type, flags, .. } = header(&bytes);
        let mut repeated = repeated(&bytes).unwrap();
        // Sent without the newest fields.
        if [client::Authentication::TYPE, map::KeySetWithPagingPredicate::TYPE]
            .contains(&message_type)
        {
            continue;
        }
        // Other flags: they can wait for backups.
        repeated[4..6].copy_from_slice(&flags.0.to_le_bytes());
        assert_eq!(HEXLOWER.encode(&repeated), HEXLOWER.encode(&bytes), "{message_type}");
    }
}

#[test]
fn clients_compute_the_same_partitions() {
    let partitions = NonZero::new(PARTITIONS).unwrap();
    for bytes in decoded(SENT) {
        let partition = match request(&bytes).unwrap() {
            Request::Map(map::Request::Put(put)) => put.key.partition(partitions),
            Request::Map(map::Request::Get(get)) => get.key.partition(partitions),
            Request::MultiMap(multi_map::Request::Put(put)) => put.key.partition(partitions),
            Request::Queue(queue::Request::Offer(offer)) => {
                data::partition_of_name(offer.name, partitions)
            }
            Request::Topic(topic::Request::Publish(publish)) => {
                data::partition_of_name(publish.name, partitions)
            }
            Request::Ringbuffer(ringbuffer::Request::Add(add)) => {
                data::partition_of_name(add.name, partitions)
            }
            Request::Set(set::Request::AddAll(add)) => {
                data::partition_of_name(add.name, partitions)
            }
            _ => continue,
        };
        let header = header(&bytes);
        assert_eq!(u32::try_from(header.partition_id), Ok(partition), "{header:?}");
    }
}

#[test]
fn an_older_client_is_authenticated_without_the_newer_fields() {
    let bytes = find(SENT, client::Authentication::TYPE);
    let Ok(Request::Client(client::Request::Authentication(request))) = request(&bytes) else {
        panic!();
    };
    assert_eq!((request.cluster_name, request.client_type), ("dev", "PYH"));
    assert_eq!((request.username, request.password), (None, None));
    assert_eq!(request.routing_mode, client::ROUTING_UNKNOWN);
    assert!(!request.cp_direct_to_leader_routing);
    assert!(request.labels.is_empty());
}

#[test]
fn secrets_are_not_shown() {
    let secret = Secret::new(b"secret");
    assert_eq!(format!("{secret:?}"), "Secret");
    let token = client::TpcAuthentication { uuid: Uuid::nil(), token: secret };
    assert!(format!("{token:?}").ends_with("token: Secret }"));
}

#[test]
fn the_fields_of_a_put_are_those_that_were_sent() {
    let bytes = find(SENT, map::Put::TYPE);
    let Ok(Request::Map(map::Request::Put(put))) = request(&bytes) else { panic!() };
    assert_eq!((put.name, put.ttl), ("people", 2_500));
    assert_eq!(Value::decode(put.key), Some(Value::Text("key-1")));
    assert_eq!(Value::decode(put.value), Some(Value::Text("schön")));
}

#[test]
fn what_a_newer_client_adds_is_ignored() {
    for name in [map::Put::TYPE, map::PutAll::TYPE, client::SendSchema::TYPE] {
        let bytes = find(SENT, name);
        let newer = changed(&bytes, |frames| {
            frames[0].1.extend([1, 2, 3]);
            frames.push((Flags::NONE, b"new".to_vec()));
            frames.push((Flags::BEGIN_DATA_STRUCTURE, vec![]));
            frames.push((Flags::END_DATA_STRUCTURE, vec![]));
        });
        assert_eq!(request(&newer), request(&bytes));
    }
}

#[test]
fn what_a_newer_client_adds_to_a_structure_is_ignored() {
    let bytes = find(SENT, client::SendSchema::TYPE);
    let newer = changed(&bytes, |frames| {
        let end = frames.len() - 1;
        let nested = [Flags::BEGIN_DATA_STRUCTURE, Flags::NONE, Flags::END_DATA_STRUCTURE];
        drop(frames.splice(end..end, nested.map(|flags| (flags, vec![]))));
    });
    assert_eq!(request(&newer), request(&bytes));
}

#[test]
fn a_field_without_a_default_has_to_be_there() {
    let bytes = find(SENT, map::Put::TYPE);
    let error = |bytes: &[u8]| request(bytes).unwrap_err().to_string();
    let without_value = changed(&bytes, |frames| drop(frames.pop()));
    assert_eq!(error(&without_value), "message 0x010100: value: missing");
    let without_ttl = changed(&bytes, |frames| frames[0].1.truncate(24));
    assert_eq!(error(&without_ttl), "message 0x010100: ttl: missing");
}

#[test]
fn a_field_has_to_be_of_its_type() {
    let bytes = find(SENT, map::Put::TYPE);
    let replaced = |flags: Flags, content: &[u8]| {
        let bytes = changed(&bytes, |frames| frames[2] = (flags, content.to_vec()));
        Message::parse(&bytes).map(|message| Request::decode(message).unwrap_err().problem)
    };
    assert_eq!(replaced(Flags::NONE, &[0; 7]), Ok(Problem::Blob));
    assert_eq!(replaced(Flags::IS_NULL, &[]), Ok(Problem::Null));
    assert_eq!(replaced(Flags::BEGIN_DATA_STRUCTURE, &[]), Err(FrameError::Unbalanced));
    let latin = changed(&bytes, |frames| frames[1].1 = b"sch\xf6n".to_vec());
    assert_eq!(request(&latin).unwrap_err().problem, Problem::Utf8);
}

#[test]
fn an_unknown_request_keeps_its_type() {
    for (message_type, name) in [
        (0x21_0400, Some("Sql.execute")),
        (0x00_1700, Some("Client.addCPGroupViewListener")),
        (0x15_0200, Some("Transaction.create")),
        (0x01_ff00, None),
        (0xff_0100, None),
        (0x01_0101, None),
        (0x0101_0100, None),
        (0, None),
    ] {
        let message_type = MessageType(message_type);
        let mut bytes = Vec::new();
        let mut writer = Writer::request(&mut bytes, Flags::NONE, message_type, 1, NO_PARTITION);
        writer.end();
        writer.finish();
        assert_eq!(request(&bytes), Ok(Request::Unsupported(message_type)));
        assert_eq!(message_name(message_type), name);
    }
}

#[test]
fn the_names_of_unsupported_requests_are_in_the_order_of_their_types() {
    assert!(names::UNSUPPORTED.is_sorted_by(|(a, _), (b, _)| a < b));
    assert_eq!(message_name(map::PutIfAbsent::TYPE), Some("Map.putIfAbsent"));
}

#[test]
fn a_request_is_small_enough_to_be_returned() {
    assert!(size_of::<Request<'_>>() <= 320, "{}", size_of::<Request<'_>>());
}

#[test]
fn an_error_is_no_response() {
    let mut error = Vec::new();
    crate::error::ErrorCode::Io.respond(&mut error, 1, "failed");
    let response = map::Get::read_response(Message::parse(&error).unwrap());
    assert_eq!(response.unwrap_err().problem, Problem::Type);
}

#[test]
fn a_list_is_borrowed_or_made_of_a_slice() {
    let (one, two) = (Value::Int(1).encode(), Value::Int(2).encode());
    let keys = [&one, &two].map(|blob| Data::new(blob).unwrap());
    let mut response = Vec::new();
    map::KeySet::respond(&mut response, 1, 0, List::from(&keys));
    let message = Message::parse(&response).unwrap();
    let (received,) = map::KeySet::read_response(message).unwrap();
    assert_eq!((received.len(), received.iter().len()), (2, 2));
    assert!(received.into_iter().eq(keys));
    assert_eq!(received, List::from(&keys));
    assert_ne!(received, List::from(&keys[..1]));
}

#[test]
fn the_partition_table_has_the_partitions_of_each_owner() {
    let (first, second) = (Uuid::from_u64_pair(1, 2), Uuid::from_u64_pair(3, 4));
    let (owners, partitions) = ([first, second], [Packed::from(&[0, 2]), Packed::from(&[1])]);
    let partitions = PartitionTable::new(Packed::from(&owners), List::from(&partitions));
    let mut event = Vec::new();
    let view = events::PartitionsView { version: 1, partitions };
    view.write(&mut event, client::AddClusterViewListener::PARTITIONS_VIEW, 9);
    let received = events::PartitionsView::decode(Message::parse(&event).unwrap()).unwrap();
    let table: Vec<_> = received
        .partitions
        .iter()
        .map(|(owner, partitions)| (owner, partitions.iter().collect::<Vec<_>>()))
        .collect();
    assert_eq!(table, [(first, vec![0, 2]), (second, vec![1])]);
}

#[test]
fn fuzz_request() {
    let samples: Vec<_> = decoded(MESSAGES).chain(decoded(SENT)).collect();
    convoke_harness::check!(&samples, |bytes| {
        let Ok(message) = Message::parse(bytes) else { return };
        let Ok(request) = Request::decode(message) else { return };
        let Header { correlation_id, partition_id, .. } = message.header();
        let mut again = Vec::new();
        request.write(&mut again, correlation_id, partition_id);
        if matches!(request, Request::Unsupported(_)) {
            return;
        }
        let again = Message::parse(&again).unwrap();
        assert_eq!(Request::decode(again), Ok(request));
        // Each item of a list can be read.
        let _ = format!("{request:?}");
    });
}

#[test]
fn fuzz_response() {
    let is_no_request = |bytes: &Vec<u8>| !header(bytes).message_type.is_request();
    let samples: Vec<_> = decoded(MESSAGES).filter(is_no_request).collect();
    convoke_harness::check!(&samples, |bytes| {
        let encoded = |bytes: &[u8]| {
            let message = Message::parse(bytes).ok()?;
            let mut again = Vec::new();
            repeat(message, &mut again)?.ok()?;
            Some(again)
        };
        let Some(first) = encoded(bytes) else { return };
        assert_eq!(header(&first).message_type, header(bytes).message_type);
        assert_eq!(header(&first).correlation_id, header(bytes).correlation_id);
        let second = encoded(&first).unwrap();
        assert_eq!(HEXLOWER.encode(&second), HEXLOWER.encode(&first));
    });
}
