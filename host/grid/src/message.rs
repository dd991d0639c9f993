//! What members say to one another about data.
//!
//! ```text
//! write      primary --Records--> each backup; the session's receipt is the
//!            acknowledgement, and says which records were refused
//! copy       primary --Invite--> backup --SyncAsk--> primary: "this is what I have"
//!            primary --SyncStart, Chunk …, SyncDone--> backup, Records between
//!            them; backup --Synced--> primary, primary --Completed--> coordinator
//! check      primary --Check--> backup: "this is what you should have"
//! hand over  old primary --Handoff--> new primary, behind the last Records
//! route      any --Ask--> primary --Answer--> any
//! merge      a member that was away --MergeAsk--> primary --MergeWant-->
//!            --Merge …--> primary --Merged-->
//! lead       coordinator --Query--> member --Report--> coordinator, which
//!            sends Table to all, and Pulse now and then
//! lease      any --Renew--> coordinator, or all; each answers Renewed
//! tell       Publish to all, each answers Delivered; Events to who is interested;
//!            Subscriptions to all, each answers Subscribed
//! ```
//! All travel in sessions: in order, each once. But for those of the lease, which are
//! asides: what waits for a slow member must not make the lease lapse.

use convoke_membership::MemberId;
use serde::{Deserialize, Serialize};

use crate::clock::Version;
use crate::encoding;
use crate::event::Event;
use crate::fragment::Held;
use crate::op::Op;
use crate::table::{Stamp, Table};
use crate::topic::{SubscriptionInfo, SubscriptionQuery, TooManyNames};
use crate::{OpError, Reply};

/// Changes with the layout of messages, or of what copies hold: members with different ones
/// understand nothing of one another's data.
pub const FORMAT: u16 = 3;

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Message<'a> {
    /// What changed in a partition, for the copy that was asked for with this number:
    /// a backup that has asked again since refuses it.
    Records {
        partition: u16,
        epoch: u64,
        copy: u64,
        /// The primary's time: what was over by then is over on the backup too.
        time_ms: u64,
        /// More of the same step follows: all of it is applied at once.
        more: bool,
        /// Records, one behind the other.
        #[serde(borrow, with = "serde_bytes")]
        records: &'a [u8],
    },
    /// The sender is there. Sent now and then, so that a connection that leads nowhere
    /// is noticed.
    Alive,
    /// "My copies of what others lead leave no room in this map: evict so many bytes of yours."
    MakeRoom { map: &'a str, bytes: u64 },
    /// "You are to have a copy; ask for it."
    Invite { partition: u16, epoch: u64 },
    /// "I am to have a copy; this is what I have."
    SyncAsk {
        partition: u16,
        epoch: u64,
        /// Tells one asking from another.
        ask: u64,
        place: u8,
        #[serde(borrow)]
        held: Vec<Held<'a>>,
    },
    /// "These ranges of these maps differ; what else you have is right."
    SyncStart {
        partition: u16,
        epoch: u64,
        ask: u64,
        #[serde(borrow)]
        maps: Vec<MapStart<'a>>,
    },
    /// Everything in one range, in place of what is there.
    Chunk {
        partition: u16,
        epoch: u64,
        #[serde(borrow)]
        map: &'a str,
        /// The hashes that it is about: from here on …
        start: u64,
        /// … up to but not including this.
        end: u64,
        /// What is there of them is to be dropped first.
        first: bool,
        /// Nothing of them is missing after this.
        last: bool,
        /// Items, one behind the other.
        #[serde(borrow, with = "serde_bytes")]
        items: &'a [u8],
    },
    /// "You have everything."
    SyncDone { partition: u16, epoch: u64, ask: u64 },
    /// "I have everything."
    Synced { partition: u16, epoch: u64, ask: u64 },
    /// "This is what you should have now."
    Check {
        partition: u16,
        epoch: u64,
        copy: u64,
        #[serde(borrow)]
        digests: Vec<(&'a str, u64)>,
    },
    /// "You lead now; you have seen all that I did."
    Handoff { partition: u16, epoch: u64 },
    /// "I went another way before this table: I hand nothing over with it."
    Diverged { stamp: Stamp },
    /// "Do this, you lead there."
    Ask {
        id: u64,
        /// The last that the asker saw.
        version: Version,
        partition: u16,
        #[serde(borrow)]
        map: &'a str,
        /// Wait for something to take, if there is nothing.
        waits: bool,
        #[serde(borrow)]
        op: Op<'a>,
    },
    /// "Nobody waits for that any more."
    Cancel { id: u64 },
    /// What came of it.
    Answer { id: u64, version: Version, outcome: Outcome },
    /// "I was away and hold this."
    MergeAsk {
        id: u64,
        partition: u16,
        #[serde(borrow)]
        held: Held<'a>,
    },
    /// "I want to see these ranges."
    MergeWant { id: u64, ranges: Vec<(u64, u64)> },
    /// Some of them.
    Merge {
        id: u64,
        partition: u16,
        /// Whether the sender was a member of this very cluster.
        same_cluster: bool,
        #[serde(borrow)]
        map: &'a str,
        /// Items, one behind the other.
        #[serde(borrow, with = "serde_bytes")]
        items: &'a [u8],
    },
    /// "Taken as the policy says, and my backups have it."
    Merged { id: u64, done: bool },
    /// "Which table do you follow?"
    Query,
    /// "This one."
    Report { version: Version, table: Option<Table> },
    /// "Follow this one; this is my clock."
    Table { version: Version, now_ms: u64, table: Table },
    /// "This is the newest, and this is my clock."
    Pulse { stamp: Stamp, now_ms: u64 },
    /// To the coordinator: "that copy is complete."
    Completed { partition: u16, epoch: u64, member: MemberId, place: u8 },
    /// To the coordinator: "that copy is not complete any more."
    Spoiled { partition: u16, epoch: u64, member: MemberId },
    /// To the coordinator: "I have brought in all that I held before I followed this table,
    /// which knows me under this generation."
    Settled { stamp: Stamp, generation: u32 },
    /// An aside: "may I go on answering for what this table gives me, which knows me under
    /// this generation?"
    Renew { nonce: u64, stamp: Stamp, generation: Option<u32> },
    /// An aside: yes, or not.
    Renewed { nonce: u64, yes: bool },
    /// To the coordinator: "I am about to leave."
    Leaving,
    /// To all: "tell your subscribers."
    Publish {
        id: u64,
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        #[serde(borrow, with = "serde_bytes")]
        payload: &'a [u8],
    },
    /// "So many got it."
    Delivered { id: u64, count: u64 },
    /// To all: "what did your clients subscribe to?"
    Subscriptions { id: u64, query: SubscriptionQuery },
    /// "This."
    Subscribed { id: u64, found: Result<SubscriptionInfo, TooManyNames> },
    /// To all: "tell me what happens in these maps."
    Interest { maps: Vec<String> },
    /// What happened.
    Events(Vec<Event>),
    /// To all: a setting of the whole cluster.
    Setting {
        #[serde(borrow)]
        name: &'a str,
        #[serde(borrow)]
        value: &'a str,
        version: Version,
    },
}

/// Where a copy of one map begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MapStart<'a> {
    #[serde(borrow)]
    pub(crate) map: &'a str,
    /// Everything up to this version was removed at once.
    pub(crate) cleared: Version,
    /// Removals up to this version were given up.
    pub(crate) floor: Version,
    /// What differs.
    pub(crate) ranges: Vec<(u64, u64)>,
}

/// What came of an operation elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It was done, or failed and changed nothing.
    Done(Result<Reply, OpError>),
    /// That member does not lead there, or not yet: nothing was done.
    NotHere,
}

impl<'a> Message<'a> {
    /// Appends it to `bytes`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        encoding::append(self, bytes);
    }

    /// From bytes of a member; `None` when they are no message.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::Item;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Message::decode(&bytes);
            let _ = crate::edit::Record::decode(&bytes);
        }
    }

    #[test]
    fn what_no_primary_sends_is_not_read() {
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
    fn messages_survive_the_wire() {
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
            Message::SyncAsk { partition: 1, epoch: 2, ask: 3, place: 1, held: vec![held.clone()] },
            Message::MergeAsk { id: 1, partition: 2, held },
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
