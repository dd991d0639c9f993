//! The messages between members.
//!
//! ```text
//! handshake  both send Hello, with their identity and the state of their cluster
//! join       newcomer --Join--> coordinator --View--> newcomer
//!            any other member replies Redirect{coordinator}; a member that is
//!            still starting keeps the Join until it belongs to a cluster
//! check      coordinator --CheckReach--> another member --ReachChecked--> coordinator; both
//!            call the newcomer. One that cannot be reached, or was configured
//!            with other terms than the cluster's, gets Refused
//! change     coordinator --Delta--> every member (datagrams; may be lost)
//! repair     each datagram has the sender's view stamp; a member that sees a
//!            newer one sends Pull and gets Deltas, or the complete View
//! merge      two clusters find each other: the lower-ranked one's coordinator
//!            sends Merge to the other's, and both sides get the merged View
//! leave      leaver --Leave--> coordinator, which publishes the view without it
//! sync       Sync: the full state of SWIM, in both directions, periodically
//! packets    Packet, over a stream, where datagrams do not arrive
//! addresses  Addresses: a member's addresses changed; repeated until the view has them
//! reasons    Departures, before a View: how members departed that it no longer has
//! ```
//! All messages are encrypted by the layer below: their senders know the cluster's name and
//! password.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::member::{ADDRESSES_MAX, Member, MemberId};
use crate::swim::Health;
use crate::terms::{DIFFERENCES_MAX, Difference, Terms};
use crate::view::{Delta, Departure, Rank, View, ViewStamp};

/// Maximum number of departures that are sent with a view; the most recent ones.
pub const DEPARTURES_MAX: usize = 64;

/// Maximum length of a packet, in bytes.
pub const PACKET_BYTES_MAX: usize = 2_048;

/// First byte of each datagram's payload: the version of its layout.
const PACKET_VERSION: u8 = 1;

/// Sent by both sides in each handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender.
    pub member: Member,
    /// Its state.
    pub standing: MemberStatus,
}

/// The state of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberStatus {
    /// A dry run (`convoke discover`), which never joins.
    Observer,
    /// Has no cluster yet.
    Starting,
    /// Belongs to this cluster.
    In(Box<Summary>),
    /// Is about to stop.
    Leaving,
    /// Opens a data stream, which does not concern membership.
    Data,
}

/// A summary of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// See [`View::lineage`].
    pub lineage: MemberId,
    /// The newest view that the sender has.
    pub stamp: ViewStamp,
    /// Number of members.
    pub members: u32,
    /// Number of members that store data.
    pub data_members: u32,
    /// The oldest member.
    pub coordinator: Member,
}

impl Summary {
    /// The summary of this view.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            lineage: view.lineage,
            stamp: view.stamp(),
            members: count(view.len()),
            data_members: count(view.data_members()),
            coordinator: view.coordinator().clone(),
        }
    }

    /// The rank that decides merges.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank::new(self.data_members as usize, self.members as usize, self.coordinator.id)
    }
}

/// A message over a stream, between members after their handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Asks to join. `lineage` is the cluster that the member's age belongs to, if it was in one.
    Join {
        /// The newcomer.
        member: Member,
        /// The lineage of its age.
        lineage: Option<MemberId>,
        /// The terms that it was configured with, or has adopted so far.
        terms: Terms,
    },
    /// Refers the sender of a `Join` to the coordinator.
    Redirect {
        /// The coordinator.
        coordinator: Member,
    },
    /// Requests the view, or the steps to it from the view that the sender has.
    Pull {
        /// The view that the sender has.
        have: Option<ViewStamp>,
    },
    /// The complete view.
    View {
        /// The view.
        view: View,
        /// The terms of that cluster.
        terms: Terms,
    },
    /// The steps from the receiver's view to the newest.
    Deltas(Vec<Delta>),
    /// To the sender's coordinator: another cluster was found.
    Sighting(Summary),
    /// From the coordinator of the lower-ranked cluster: asks to be merged.
    Merge {
        /// That cluster.
        view: View,
        /// The terms of that cluster.
        terms: Terms,
    },
    /// The sender is about to stop.
    Leave,
    /// The full state of the sender's SWIM; `reply` requests the same from the receiver.
    Sync {
        /// The liveness of all known members.
        health: Vec<Health>,
        /// Whether to reply.
        reply: bool,
    },
    /// Departures of members of earlier views, at most [`DEPARTURES_MAX`], the most recent last.
    /// Sent before a [`Message::View`] over the same stream, since a view does not contain the
    /// reasons.
    ///
    /// Not part of the first version of the protocol, whose members would close the stream when
    /// they receive it. See [`Message::is_supplement`].
    Departures(Vec<(MemberId, Departure)>),
    /// From the coordinator: asks whether this newcomer can be reached from the receiver.
    CheckReach {
        /// The newcomer.
        member: Member,
    },
    /// The reply to `CheckReach`.
    ReachChecked {
        /// The newcomer.
        id: MemberId,
        /// Whether it answered a call.
        reached: bool,
    },
    /// To the members that decide about either of the two: the sender cannot reach this member of
    /// the view.
    Unreachable {
        /// The member.
        id: MemberId,
        /// Time for which none of the sender's calls has been answered, in milliseconds.
        for_ms: u32,
    },
    /// To a member that asked to join: it is refused.
    Refused {
        /// The reason.
        why: JoinRefusal,
        /// When to ask again, in milliseconds from now.
        retry_ms: u32,
    },
    /// A packet, where datagrams do not arrive.
    Packet {
        /// Whether datagrams of the receiver arrive at the sender.
        heard: bool,
        /// The payload, at most [`PACKET_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// To the member that decides about it: the sender, a member of the view, has these addresses
    /// now.
    Addresses(Vec<SocketAddr>),
}

/// Why a member is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRefusal {
    /// It cannot be reached at any address that it advertises.
    Unreachable,
    /// It was lost repeatedly, and must answer calls for a while first.
    Unstable {
        /// Recent losses.
        losses: u32,
    },
    /// It was configured with other terms than the cluster's, or is the coordinator of a cluster
    /// with other terms. At most [`DIFFERENCES_MAX`] differences.
    Differs(Vec<Difference>),
    /// It and a member of the cluster cannot connect to each other.
    Partitioned {
        /// The address of that member.
        other: SocketAddr,
    },
}

impl JoinRefusal {
    fn is_valid(&self) -> bool {
        match self {
            Self::Unreachable | Self::Unstable { .. } | Self::Partitioned { .. } => true,
            Self::Differs(differences) => {
                differences.len() <= DIFFERENCES_MAX && differences.iter().all(Difference::is_valid)
            }
        }
    }
}

/// The contents of a datagram, after the stamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Packet<'a> {
    /// A packet of SWIM.
    Swim(&'a [u8]),
    /// The receiver, with this generation and incarnation, is suspected.
    Suspicion(u32, u16),
    /// A change of the view.
    Delta(Delta),
    /// Only the stamp.
    StampOnly,
}

/// The bytes are not a message of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of a supported version")]
pub struct DecodeError;

macro_rules! coded {
    ($type:ty) => {
        impl $type {
            /// Encodes it (postcard).
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                postcard::to_allocvec(self).expect("a message in memory can be written")
            }
        }
    };
}
coded!(Hello);
coded!(Message);

impl Hello {
    /// Decodes bytes from a peer.
    ///
    /// # Errors
    /// If the bytes are not a hello, or exceed a bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let hello: Self = postcard::from_bytes(bytes).map_err(|_| DecodeError)?;
        let sound = hello.member.is_valid()
            && match &hello.standing {
                MemberStatus::In(summary) => summary.coordinator.is_valid(),
                MemberStatus::Observer
                | MemberStatus::Starting
                | MemberStatus::Leaving
                | MemberStatus::Data => true,
            };
        sound.then_some(hello).ok_or(DecodeError)
    }
}

impl Message {
    /// Whether the receiver can ignore this message. Supplements are sent in frames of a kind of
    /// their own, which older members skip.
    #[must_use]
    pub fn is_supplement(&self) -> bool {
        matches!(self, Self::Departures(_))
    }

    /// Decodes bytes from a peer.
    ///
    /// # Errors
    /// If the bytes are not a message, or exceed a bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: Self = postcard::from_bytes(bytes).map_err(|_| DecodeError)?;
        let sound = match &message {
            Self::Join { member, terms, .. } => member.is_valid() && terms.is_valid(),
            Self::CheckReach { member } => member.is_valid(),
            Self::Redirect { coordinator } => coordinator.is_valid(),
            Self::Sighting(summary) => summary.coordinator.is_valid(),
            // A view checks itself when decoded; a delta is checked with the view that it results
            // in.
            Self::View { terms, .. } | Self::Merge { terms, .. } => terms.is_valid(),
            Self::Deltas(_) => true,
            Self::Refused { why, .. } => why.is_valid(),
            Self::Departures(departures) => departures.len() <= DEPARTURES_MAX,
            Self::Addresses(addresses) => (1..=ADDRESSES_MAX).contains(&addresses.len()),
            Self::Packet { bytes, .. } => bytes.len() <= PACKET_BYTES_MAX,
            Self::ReachChecked { .. } | Self::Unreachable { .. } => true,
            Self::Pull { .. } | Self::Leave | Self::Sync { .. } => true,
        };
        sound.then_some(message).ok_or(DecodeError)
    }
}

impl<'a> Packet<'a> {
    pub(crate) fn encode(&self, stamp: Option<ViewStamp>) -> Vec<u8> {
        postcard::to_allocvec(&(PACKET_VERSION, stamp, self))
            .expect("a packet in memory can be written")
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<(Option<ViewStamp>, Self), DecodeError> {
        let (version, stamp, packet): (u8, _, _) =
            postcard::from_bytes(bytes).map_err(|_| DecodeError)?;
        (version == PACKET_VERSION).then_some((stamp, packet)).ok_or(DecodeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;
    use crate::terms::tests::terms as made;
    use crate::view::{MEMBERS_MAX, ViewId};

    fn terms() -> Terms {
        made(&["- partitions 271?", "* backups 1"])
    }

    #[test]
    fn messages_round_trip() {
        let view = View::founded_by(member(1));
        let hello =
            Hello { member: member(1), standing: MemberStatus::In(Box::new(Summary::of(&view))) };
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        for message in [
            Message::Join { member: member(2), lineage: Some(member(1).id), terms: terms() },
            Message::View { view: view.clone(), terms: terms() },
            Message::Sighting(Summary::of(&view)),
            Message::Pull { have: Some(view.stamp()) },
            Message::Departures(vec![(member(3).id, Departure::Left)]),
            Message::Addresses(member(2).addresses),
        ] {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn out_of_bounds_content_is_refused() {
        let nowhere = Member { addresses: vec![], ..member(1) };
        let join = |member| Message::Join { member, lineage: None, terms: terms() };
        let message = join(nowhere.clone());
        assert_eq!(Message::decode(&message.encode()), Err(DecodeError));
        let hello = Hello { member: nowhere, standing: MemberStatus::Starting };
        assert_eq!(Hello::decode(&hello.encode()), Err(DecodeError));
        for count in [0, ADDRESSES_MAX + 1] {
            let message = Message::Addresses(vec![member(1).address(); count]);
            assert_eq!(Message::decode(&message.encode()), Err(DecodeError));
        }
        let difference = Difference {
            scope: String::new(),
            name: "partitions".into(),
            cluster: "271".into(),
            newcomer: "7".into(),
        };
        for (count, is_valid) in [(DIFFERENCES_MAX, true), (DIFFERENCES_MAX + 1, false)] {
            let why = JoinRefusal::Differs(vec![difference.clone(); count]);
            let message = Message::Refused { why, retry_ms: 1 };
            assert_eq!(Message::decode(&message.encode()).is_ok(), is_valid);
        }
        let departures = vec![(member(1).id, Departure::Left); DEPARTURES_MAX + 1];
        let message = Message::Departures(departures);
        assert_eq!(Message::decode(&message.encode()), Err(DecodeError));
    }

    #[test]
    fn a_packet_of_another_layout_is_refused() {
        let mut bytes = Packet::StampOnly.encode(None);
        bytes[0] = PACKET_VERSION + 1;
        assert_eq!(Packet::decode(&bytes), Err(DecodeError));
    }

    fn view() -> View {
        let view = View::founded_by(member(1));
        view.with(view.id, &[member(2), member(3)], &[]).unwrap()
    }

    fn delta() -> Delta {
        Delta {
            base: view().stamp(),
            id: ViewId { version: view().id.version + 1, ..view().id },
            joined: vec![member(4)],
            departed: vec![(member(2).id, Departure::Left)],
        }
    }

    /// Checks the invariants of a view.
    fn check(view: &View) {
        assert!((1..=MEMBERS_MAX).contains(&view.len()));
        assert!(view.members().is_sorted_by_key(|member| member.seniority()));
        assert!(view.members().iter().all(|member| member.is_valid()));
    }

    #[test]
    fn fuzz_hello() {
        let summary = Box::new(Summary::of(&view()));
        let samples = [MemberStatus::Starting, MemberStatus::In(summary), MemberStatus::Data]
            .map(|standing| Hello { member: member(1), standing }.encode());
        convoke_harness::check!(&samples, |bytes| {
            let Ok(hello) = Hello::decode(bytes) else { return };
            assert!(hello.member.is_valid());
            if let MemberStatus::In(summary) = &hello.standing {
                assert!(summary.coordinator.is_valid());
            }
            assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        });
    }

    #[test]
    fn fuzz_message() {
        let difference = Difference {
            scope: "cache-*".into(),
            name: "backups".into(),
            cluster: "1".into(),
            newcomer: "2".into(),
        };
        let refused = |why| Message::Refused { why, retry_ms: 500 };
        let samples = [
            Message::Join { member: member(4), lineage: Some(member(1).id), terms: terms() },
            Message::Redirect { coordinator: member(1) },
            Message::Pull { have: Some(view().stamp()) },
            Message::View { view: view(), terms: terms() },
            Message::Deltas(vec![delta()]),
            Message::Sighting(Summary::of(&view())),
            Message::Merge { view: view(), terms: terms() },
            Message::Leave,
            Message::Departures(vec![(member(3).id, Departure::Left)]),
            Message::CheckReach { member: member(5) },
            Message::ReachChecked { id: member(5).id, reached: true },
            Message::Unreachable { id: member(2).id, for_ms: 70_000 },
            refused(JoinRefusal::Differs(vec![difference; 2])),
            refused(JoinRefusal::Unstable { losses: 3 }),
            refused(JoinRefusal::Partitioned { other: member(2).address() }),
            Message::Packet { heard: true, bytes: vec![1; 20] },
            Message::Addresses(member(2).addresses),
        ]
        .map(|message| message.encode());
        convoke_harness::check!(&samples, |bytes| {
            let Ok(message) = Message::decode(bytes) else { return };
            match &message {
                Message::View { view, .. } | Message::Merge { view, .. } => check(view),
                Message::Deltas(deltas) => {
                    deltas.iter().filter_map(|delta| view().apply(delta)).for_each(|v| check(&v));
                }
                Message::Join { member, .. } | Message::CheckReach { member } => {
                    assert!(member.is_valid());
                }
                Message::Packet { bytes, .. } => assert!(bytes.len() <= PACKET_BYTES_MAX),
                Message::Departures(departures) => assert!(departures.len() <= DEPARTURES_MAX),
                Message::Addresses(addresses) => {
                    assert!((1..=ADDRESSES_MAX).contains(&addresses.len()));
                }
                _ => {}
            }
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        });
    }

    #[test]
    fn fuzz_packet() {
        let samples = [
            Packet::Swim(b"a packet of SWIM").encode(Some(view().stamp())),
            Packet::Suspicion(7, 300).encode(None),
            Packet::Delta(delta()).encode(Some(view().stamp())),
            Packet::StampOnly.encode(Some(view().stamp())),
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Ok((stamp, packet)) = Packet::decode(bytes) else { return };
            assert_eq!(Packet::decode(&packet.encode(stamp)), Ok((stamp, packet)));
        });
    }
}
