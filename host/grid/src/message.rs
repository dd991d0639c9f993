//! Messages between members about data.
//!
//! ```text
//! replicate  primary --Records--> each backup; the session's receipt is the
//!            acknowledgement, and lists refused records
//! copy       primary --Invite--> backup --SyncRequest--> primary, with digests of its data
//!            primary --SyncStart, Chunk …, SyncDone--> backup, Records between
//!            them; backup --Synced--> primary, primary --Completed--> coordinator
//! check      primary --Check--> backup, with digests of the primary's data
//! hand over  old primary --Handoff--> new primary, after the last Records
//! route      any --Request--> primary --Answer--> any
//! merge      member that was partitioned --MergeOffer--> primary --MergeRanges-->
//!            --Merge …--> primary --Merged-->
//! coordinate coordinator --Query--> member --Report--> coordinator, which
//!            sends Table to all members, and Heartbeat every second
//! lease      any --Renew--> coordinator, or all members; each answers Renewed
//! publish    Publish to all members, each answers Delivered; Events to interested
//!            members; Subscriptions to all members, each answers Subscribed
//! follow     Follow to all members; each sends Changes, or ChangesMissed
//! ```
//! All messages are sent in sessions, in order and exactly once, except for those of the lease.
//! These are out-of-band messages, as a slow member must not make the lease lapse.

use convoke_membership::MemberId;
use serde::{Deserialize, Serialize};

use crate::clock::Version;
use crate::encoding;
use crate::event::Event;
use crate::item::Held;
use crate::op::Op;
use crate::table::{Table, TableStamp};
use crate::topic::{SubscriptionInfo, SubscriptionQuery, TooManyNames};
use crate::tracking::Change;
use crate::{OpError, Reply};

/// Version of the encoding of messages and copies. Members with different ones cannot exchange
/// data.
pub const FORMAT: u16 = 8;

/// A message. The order of the variants is part of the format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Message<'a> {
    /// Changes of a partition, for the copy with this number. A backup that has requested a newer
    /// copy refuses them.
    Records {
        partition: u16,
        epoch: u64,
        copy: u64,
        /// The primary's time, so that entries that have expired there expire on the backup too.
        time_ms: u64,
        /// Whether more records of the same step follow; all of them are applied at once.
        more: bool,
        /// Consecutive records.
        #[serde(borrow, with = "serde_bytes")]
        records: &'a [u8],
    },
    /// Sent periodically, so that a dead connection is noticed.
    KeepAlive,
    /// Asks a primary to evict this many bytes of a map, because the sender's copies of its
    /// entries take up the room.
    MakeRoom { map: &'a str, bytes: u64 },
    /// Invites a backup to ask for a copy.
    Invite { partition: u16, epoch: u64 },
    /// A backup asks for a copy, with digests of its data.
    SyncRequest {
        partition: u16,
        epoch: u64,
        /// Identifies this request.
        ask: u64,
        place: u8,
        #[serde(borrow)]
        held: Vec<Held<'a>>,
    },
    /// The ranges that differ, by map. The other data of the backup is up to date.
    SyncStart {
        partition: u16,
        epoch: u64,
        ask: u64,
        #[serde(borrow)]
        maps: Vec<MapStart<'a>>,
    },
    /// All items of a part of a range, which replace the backup's.
    Chunk {
        partition: u16,
        epoch: u64,
        #[serde(borrow)]
        map: &'a str,
        /// The first hash of the part.
        start: u64,
        /// The last hash of the part (exclusive).
        end: u64,
        /// Whether this is the first message of the part.
        first: bool,
        /// Whether this is the last message of the part.
        last: bool,
        /// Consecutive items.
        #[serde(borrow, with = "serde_bytes")]
        items: &'a [u8],
    },
    /// The copy is complete.
    SyncDone { partition: u16, epoch: u64, ask: u64 },
    /// The backup has the complete copy.
    Synced { partition: u16, epoch: u64, ask: u64 },
    /// The digests that the backup should have now.
    Check {
        partition: u16,
        epoch: u64,
        copy: u64,
        #[serde(borrow)]
        digests: Vec<(&'a str, u64)>,
    },
    /// The former primary has sent its last record, and the receiver may serve.
    Handoff { partition: u16, epoch: u64 },
    /// The sender's data diverged before it followed this table, so it will not send
    /// [`Message::Handoff`].
    Diverged { stamp: TableStamp },
    /// Asks the primary to execute an operation.
    Request {
        id: u64,
        /// The last version that the sender observed.
        version: Version,
        partition: u16,
        #[serde(borrow)]
        map: &'a str,
        /// Whether to block until there is an element to return.
        waits: bool,
        #[serde(borrow)]
        op: Op<'a>,
    },
    /// Cancels an operation that may still be waiting.
    Cancel { id: u64 },
    /// The outcome of an operation.
    Answer { id: u64, version: Version, outcome: RemoteResult },
    /// A member that was partitioned offers its data, with digests.
    MergeOffer {
        id: u64,
        partition: u16,
        #[serde(borrow)]
        held: Held<'a>,
    },
    /// The ranges that the primary requests for merging.
    MergeRanges { id: u64, ranges: Vec<(u64, u64)> },
    /// Items of these ranges.
    Merge {
        id: u64,
        partition: u16,
        /// Whether the sender was a member of this cluster.
        same_cluster: bool,
        #[serde(borrow)]
        map: &'a str,
        /// Consecutive items.
        #[serde(borrow, with = "serde_bytes")]
        items: &'a [u8],
    },
    /// Whether the items were merged by the map's policy, and the backups have the result.
    Merged { id: u64, done: bool },
    /// Asks which table the receiver follows.
    Query,
    /// The table that the sender follows.
    Report { version: Version, table: Option<Table> },
    /// The next table, and the coordinator's clock.
    Table { version: Version, now_ms: u64, table: Table },
    /// The stamp of the current table, and the coordinator's clock.
    Heartbeat { stamp: TableStamp, now_ms: u64 },
    /// To the coordinator: a copy is complete.
    Completed { partition: u16, epoch: u64, member: MemberId, place: u8 },
    /// To the coordinator: a copy is not complete any more.
    Incomplete { partition: u16, epoch: u64, member: MemberId },
    /// To the coordinator: the sender has merged its data from before it followed this table, in
    /// which it has this generation.
    DataMerged { stamp: TableStamp, generation: u32 },
    /// Out of band: the sender, which follows this table and has this generation in it, asks to
    /// renew its lease.
    Renew { nonce: u64, stamp: TableStamp, generation: Option<u32> },
    /// Out of band: whether the lease is renewed.
    Renewed { nonce: u64, yes: bool },
    /// To the coordinator: the sender is about to leave.
    Leaving,
    /// To all members: a message to their subscribers.
    Publish {
        id: u64,
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        #[serde(borrow, with = "serde_bytes")]
        payload: &'a [u8],
    },
    /// Number of subscribers that received it.
    Delivered { id: u64, count: u64 },
    /// To all members: a query for their clients' subscriptions.
    Subscriptions { id: u64, query: SubscriptionQuery },
    /// The answer to [`Message::Subscriptions`].
    Subscribed { id: u64, found: Result<SubscriptionInfo, TooManyNames> },
    /// To all members: the maps whose events the sender subscribes to.
    Interest { maps: Vec<(String, bool)> },
    /// Events of keys.
    Events(Vec<Event>),
    /// To all members: a cluster-wide setting.
    Setting {
        #[serde(borrow)]
        name: &'a str,
        #[serde(borrow)]
        value: &'a str,
        version: Version,
    },
    /// Like [`Message::Publish`], on a shard topic.
    PublishShard {
        id: u64,
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        #[serde(borrow, with = "serde_bytes")]
        payload: &'a [u8],
    },
    /// To all members: the maps of which the sender requests all changes; empty to stop.
    Follow { maps: Vec<String> },
    /// Changes of keys, to a member that follows their maps.
    Changes { changes: Vec<Change> },
    /// To a member that follows maps: it did not keep up, and changes were not sent.
    ChangesMissed,
}

/// The start of a copy of one map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MapStart<'a> {
    #[serde(borrow)]
    pub(crate) map: &'a str,
    /// All entries with a version up to this one were removed at once.
    pub(crate) cleared: Version,
    /// Removals up to this version were forgotten.
    pub(crate) floor: Version,
    /// The ranges of hashes that differ.
    pub(crate) ranges: Vec<(u64, u64)>,
}

/// The outcome of an operation on another member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RemoteResult {
    /// It was executed, or failed without an effect.
    Done(Result<Reply, OpError>),
    /// The member is not the serving primary: nothing was done.
    NotPrimary,
}

impl<'a> Message<'a> {
    /// Appends its encoding to `bytes`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        encoding::append(self, bytes);
    }

    /// Decodes a message; `None` when it is malformed.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Class;
    use crate::item::Item;
    use crate::map::MapCatalog;
    use crate::op::{
        DistinctOp, ItemsOp, KeyOp, Lifetime, MapOp, PlainOp, PutAnswer, PutIf, RingOp,
        TransactionId, TransactionOp, WatchedKey,
    };
    use crate::tracking::{ClientTraits, Origin};

    fn samples() -> Vec<Vec<u8>> {
        let id = |n| MemberId::from_bytes([n; 16]);
        let (version, held) = (Version(7), Held { map: "m", digest: 3, ranges: vec![1, 2] });
        let table = Table::founded_by(id(1), 2, MapCatalog::default());
        let stamp = table.stamp;
        let origin = Origin { member: id(2), client: 7 };
        let put = PlainOp::Put {
            kind: 0,
            value: b"value",
            lifetime: Lifetime::For(60_000),
            condition: PutIf::Absent,
            answer: PutAnswer::Version,
        };
        let op = Op::Key(b"key", KeyOp::Plain(put));
        let batch = Op::Batch { watched: vec![(b"key", version)], ops: vec![op.clone(); 2] };
        let id_of_transaction =
            TransactionId { started: version, member: id(1), attempt: 1, home: 2 };
        let execute = TransactionOp::Execute {
            id: id_of_transaction,
            is_first: true,
            continues: false,
            prepare: true,
            watched: vec![WatchedKey { map: "m", key: b"key", version }],
            ops: vec![MapOp { map: "m", op: op.clone() }],
            maps: vec!["m", "other"],
        };
        let ask = |op| Message::Request { id: 1, version, partition: 2, map: "m", waits: true, op };
        let answer = |outcome| Message::Answer { id: 1, version, outcome };
        let reply = Reply::List(vec![Reply::Nil, Reply::Word("word".into()), Reply::Double(0.5)]);
        let map = MapStart { map: "m", cleared: version, floor: version, ranges: vec![(0, 9)] };
        let event = Event {
            map: "m".into(),
            class: Class::Expired,
            name: "expired".into(),
            is_first: true,
            key: b"key"[..].into(),
            value: None,
            old_value: Some(b"value"[..].into()),
        };
        let change = Change { map: "m".into(), key: Some(b"key"[..].into()), origin: Some(origin) };
        let clear = Change { map: "m".into(), key: None, origin: None };
        let item = encoding::encoded(&Item::Removal { key: b"k", version });
        let messages = [
            Message::Records {
                partition: 1,
                epoch: 2,
                copy: 4,
                time_ms: 3,
                more: true,
                records: b"r",
            },
            Message::MakeRoom { map: "m", bytes: 1 << 40 },
            Message::SyncRequest {
                partition: 1,
                epoch: 2,
                ask: 3,
                place: 1,
                held: vec![held.clone()],
            },
            Message::SyncStart { partition: 1, epoch: 2, ask: 3, maps: vec![map] },
            Message::Chunk {
                partition: 1,
                epoch: 2,
                map: "m",
                start: 0,
                end: 1 << 32,
                first: true,
                last: true,
                items: &item,
            },
            Message::Check { partition: 1, epoch: 2, copy: 3, digests: vec![("m", u64::MAX)] },
            Message::Diverged { stamp },
            ask(op.clone()),
            ask(batch),
            ask(Op::By { owner: b"owner", op: Box::new(op.clone()) }),
            ask(Op::From {
                client: ClientTraits { origin: Some(origin), no_touch: true },
                op: Box::new(op),
            }),
            ask(Op::Transaction(execute)),
            ask(Op::Transaction(TransactionOp::Commit(id_of_transaction))),
            ask(Op::Request { reads: true, request: b"request" }),
            ask(Op::Key(b"key", KeyOp::Items(ItemsOp::Replace(3, b"label item")))),
            ask(Op::Key(b"key", KeyOp::Distinct(DistinctOp::Add(vec![b"label item"])))),
            ask(Op::Key(b"key", KeyOp::Ring(RingOp::Read { from: 1, min: 2, max: 3 }))),
            answer(RemoteResult::Done(Ok(reply))),
            answer(RemoteResult::Done(Err(OpError::WrongType))),
            answer(RemoteResult::NotPrimary),
            Message::MergeOffer { id: 1, partition: 2, held },
            Message::MergeRanges { id: 1, ranges: vec![(0, 1 << 32)] },
            Message::Merge { id: 1, partition: 2, same_cluster: true, map: "m", items: &item },
            Message::Report { version, table: Some(table.clone()) },
            Message::Table { version, now_ms: 1_700_000_000_000, table },
            Message::Renew { nonce: 5, stamp, generation: Some(3) },
            Message::Publish { id: 1, topic: b"topic", payload: b"payload" },
            Message::Subscriptions {
                id: 1,
                query: SubscriptionQuery::Counts(vec![b"t"[..].into()]),
            },
            Message::Subscribed { id: 1, found: Ok(SubscriptionInfo::Counts(vec![1, 300])) },
            Message::Interest { maps: vec![("m".into(), true)] },
            Message::Events(vec![event]),
            Message::Setting { name: "n", value: "v", version },
            Message::PublishShard { id: 1, topic: b"topic", payload: b"payload" },
            Message::Subscriptions {
                id: 1,
                query: SubscriptionQuery::ShardTopics(Some(b"t*"[..].into())),
            },
            Message::Follow { maps: vec!["m".into()] },
            Message::Changes { changes: vec![change, clear] },
            Message::ChangesMissed,
        ];
        messages.iter().map(encoding::encoded).collect()
    }

    /// A decoded message has one encoding, which is decoded to an equal message.
    #[test]
    fn fuzz_message() {
        convoke_harness::check!(&samples(), |bytes| {
            let Some(message) = Message::decode(bytes) else { return };
            let encoded = encoding::encoded(&message);
            let again = Message::decode(&encoded).expect("its own encoding is decoded");
            assert_eq!(encoding::encoded(&again), encoded);
            if let Message::Report { table: Some(table), .. } | Message::Table { table, .. } = again
            {
                let _ = table.is_valid(2);
            }
        });
    }

    #[test]
    fn records_and_items_out_of_bounds_are_refused() {
        use crate::edit::{Edit, Record, RecordChange};
        let put = |kind, key| {
            let edit = Edit::Put { kind, value: b"v", expiry: crate::entry::Expiry::NEVER };
            Record { map: "m", version: Version(1), change: RecordChange::Key(key, edit) }
        };
        let long = vec![b'k'; crate::KEY_BYTES_MAX + 1];
        for (record, fits) in [
            (put(crate::KINDS_MAX - 1, b"k"), true),
            (put(crate::KINDS_MAX, b"k"), false),
            (put(0, &long), false),
        ] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(Record::decode(&bytes).is_some(), fits);
        }
        for (key, kind, fits) in [(&b"k"[..], 0, true), (&long, 0, false), (b"k", 16, false)] {
            let item = Item::Plain { key, meta: Default::default(), kind, value: b"v" };
            assert_eq!(Item::decode_all(&encoding::encoded(&item)).is_some(), fits);
        }
    }

    #[test]
    fn messages_can_be_encoded_and_decoded() {
        let held = Held { map: "m", digest: 3, ranges: vec![1, 2] };
        let version = Version(7);
        for message in [
            Message::Records {
                partition: 1,
                epoch: 2,
                copy: 4,
                time_ms: 3,
                more: true,
                records: b"abc",
            },
            Message::SyncRequest {
                partition: 1,
                epoch: 2,
                ask: 3,
                place: 1,
                held: vec![held.clone()],
            },
            Message::MergeOffer { id: 1, partition: 2, held },
            Message::Chunk {
                partition: 1,
                epoch: 2,
                map: "m",
                start: 0,
                end: 1 << 32,
                first: true,
                last: true,
                items: &encoding::encoded(&Item::Removal { key: b"k", version }),
            },
            Message::Setting { name: "n", value: "v", version },
        ] {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(Message::decode(&bytes), Some(message));
        }
    }
}
