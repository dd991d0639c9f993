//! Configurations and policies of clients in Java, with `cache-api` 1.1.1 and Hazelcast 5.7.0.

use data_encoding::HEXLOWER;

use super::java::Stream;
use super::*;
use crate::codec::{Request, cache};
use crate::message::Message;

const ETERNAL: Lifetime = Lifetime::Eternal;

const fn ms(ms: u64) -> Lifetime {
    Lifetime::Ms(ms)
}

/// Blobs, one a line, in the order of [`FACTORIES`] and [`POLICIES`].
const BLOBS: &str = include_str!("tests/policies.txt");

/// What each factory makes: lifetimes on creation, access and update.
const FACTORIES: [(Lifetime, Option<Lifetime>, Option<Lifetime>); 9] = [
    (ms(30_000), None, None),
    (ms(1_500), Some(ms(1_500)), None),
    (ms(172_800_000), None, Some(ms(172_800_000))),
    (ms(0), Some(ms(0)), Some(ms(0))),
    (ETERNAL, None, None),
    (ETERNAL, None, None),
    (ETERNAL, None, None),
    (ms(1_000), Some(ms(2_000)), Some(ms(3_000))),
    (ms(3_600_000), None, Some(ETERNAL)),
];

const POLICIES: [(Lifetime, Option<Lifetime>, Option<Lifetime>); 6] = [
    (ms(30_000), None, None),
    (ms(30_000), Some(ms(30_000)), None),
    (ms(30_000), None, Some(ms(30_000))),
    (ms(3_600_000), Some(ms(3_600_000)), Some(ms(3_600_000))),
    (ETERNAL, None, None),
    (ms(1_000), Some(ms(2_000)), Some(ms(3_000))),
];

fn blobs() -> Vec<Vec<u8>> {
    BLOBS.lines().map(|line| HEXLOWER.decode(line.as_bytes()).unwrap()).collect()
}

fn policy(
    (creation, access, update): (Lifetime, Option<Lifetime>, Option<Lifetime>),
) -> ExpiryPolicy {
    ExpiryPolicy { creation, access, update }
}

#[test]
fn the_policies_of_factories_are_recognized() {
    for (at, (blob, expected)) in blobs().iter().zip(FACTORIES).enumerate() {
        let data = Data::new(blob).unwrap();
        assert_eq!(ExpiryPolicy::of_factory(data), Some(policy(expected)), "{at}");
        assert_eq!(ExpiryPolicy::decode(data), None, "{at}");
    }
}

#[test]
fn policies_are_recognized() {
    for (at, (blob, expected)) in blobs().iter().skip(FACTORIES.len()).zip(POLICIES).enumerate() {
        let data = Data::new(blob).unwrap();
        assert_eq!(ExpiryPolicy::decode(data), Some(policy(expected)), "{at}");
        assert_eq!(ExpiryPolicy::of_factory(data), None, "{at}");
    }
}

#[test]
fn a_policy_of_another_class_is_not_recognized() {
    let mut blob = blobs().swap_remove(0);
    let name = b"javax.cache.expiry.CreatedExpiryPolicy";
    let at = blob.windows(name.len()).position(|window| window == name).unwrap();
    blob[at] = b'J';
    assert_eq!(ExpiryPolicy::of_factory(Data::new(&blob).unwrap()), None);
}

#[test]
fn a_stream_ends_with_its_object() {
    let blob = blobs().swap_remove(0);
    let payload = Data::new(&blob).unwrap().payload();
    assert!(Stream::read(payload).is_some());
    for length in 0..payload.len() {
        assert!(Stream::read(&payload[..length]).is_none(), "{length}");
    }
    assert!(Stream::read(&[payload, &[0]].concat()).is_none());
}

/// A stream with a class without fields that has itself, by its handle, as superclass.
#[test]
fn an_item_cannot_refer_to_itself() {
    let class = b"\xac\xed\0\x05sr\0\x01A\0\0\0\0\0\0\0\0\x02\0\0xq\0\x7e\0\0";
    assert!(Stream::read(class).is_none());
}

/// The message `Cache.createConfig`.
fn create_config() -> Vec<u8> {
    let messages = include_str!("../codec/tests/messages.txt").lines();
    let mut messages = messages.map(|line| HEXLOWER.decode(line.as_bytes()).unwrap());
    messages.find(|bytes| bytes[6..10] == 0x13_0600_u32.to_le_bytes()).unwrap()
}

fn config(message: &[u8]) -> Option<Encoded<'_>> {
    match Request::decode(Message::parse(message).ok()?) {
        Ok(Request::Cache(cache::Request::CreateConfig(request))) => Some(request.cache_config),
        _ => None,
    }
}

#[test]
fn a_configuration_is_decoded() {
    let message = create_config();
    let config = CacheConfigHolder::decode(&config(&message).unwrap()).unwrap();
    assert_eq!((config.name, config.full_name().as_str()), ("c1", "/hz/my-manager/c1"));
    assert_eq!((config.backup_count, config.in_memory_format), (1, "BINARY"));
    assert_eq!(config.eviction_config_holder.eviction_policy, "LRU");
    assert_eq!((config.cache_loader_factory, config.cache_writer_factory), (None, None));
    assert_eq!(config.expiry_policy(), Some(policy((ms(30_000), None, None))));
}

#[test]
fn a_configuration_can_be_kept_and_sent_back() {
    let message = create_config();
    let config = config(&message).unwrap();
    let kept = config.bytes().to_vec();
    let kept = Encoded::from_bytes(&kept).unwrap();
    let mut response = Vec::new();
    cache::GetConfig::respond(&mut response, 1, 0, Some(kept));
    let message = Message::parse(&response).unwrap();
    assert_eq!(cache::GetConfig::read_response(message).unwrap(), (Some(config),));
}

#[test]
fn fuzz_java_stream() {
    let samples: Vec<_> = blobs().iter().map(|blob| blob[8..].to_vec()).collect();
    convoke_harness::check!(&samples, |bytes| {
        let Some(stream) = Stream::read(bytes) else { return };
        if let Some(root) = stream.root() {
            assert!(root.class_name().is_some());
        }
    });
}

#[test]
fn fuzz_expiry_policy() {
    convoke_harness::check!(&blobs(), |bytes| {
        let Some(data) = Data::new(bytes) else { return };
        let (made, policy) = (ExpiryPolicy::of_factory(data), ExpiryPolicy::decode(data));
        assert!(made.is_none() || policy.is_none());
    });
}

#[test]
fn fuzz_cache_config() {
    let sample = create_config();
    let config = config(&sample).unwrap();
    convoke_harness::check!(&[config.bytes()], |bytes| {
        let Some(config) = Encoded::from_bytes(bytes) else { return };
        let Ok(holder) = CacheConfigHolder::decode(&config) else { return };
        let _ = holder.expiry_policy();
        let mut message = Vec::new();
        let mut writer = Writer::response(&mut message, crate::message::MessageType(0), 0, 0);
        writer.end();
        holder.write(&mut writer);
        writer.finish();
        let mut frames = Message::parse(&message).unwrap().frames();
        assert_eq!(CacheConfigHolder::read(&mut frames), Ok(holder));
    });
}
