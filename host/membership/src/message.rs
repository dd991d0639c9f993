//! What members say to one another.
//!
//! ```text
//! handshake  both send Hello; each learns who the other is and where it stands
//! join       newcomer --Join--> coordinator --View--> newcomer
//!            any other member answers Redirect{coordinator}; a member that is
//!            still starting keeps the Join until it knows where it belongs
//! check      coordinator --Vouch--> another member --Vouched--> coordinator; both
//!            call the newcomer. One that cannot be reached, or that was configured
//!            with other terms than the cluster has, gets Refused
//! change     coordinator --Delta--> every member (datagrams; may be lost)
//! repair     each datagram carries the sender's stamp; a member that sees a
//!            newer one sends Pull and gets Deltas, or the whole View
//! meet       two clusters see one another: the lower-ranked one's coordinator
//!            sends Merge to the other's, and both sides get the merged View
//! leave      leaver --Leave--> coordinator, which publishes the view without it
//! mend       Sync: all that SWIM knows, both ways, now and then
//! packets    Packet, over a stream, where datagrams do not pass
//! move       Addresses: a member's have changed; goes on until the view shows them
//! why        Departures, before a View: how those went that it no longer holds
//! ```
//! Everything here is sealed by the layer below: whoever speaks knows the
//! cluster's name and password.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::member::{ADDRESSES_MAX, Member, MemberId};
use crate::swim::Health;
use crate::terms::{DIFFERENCES_MAX, Difference, Terms};
use crate::view::{Delta, Departure, Rank, Stamp, View};

/// Departures that go with a view, at most: the newest.
pub const DEPARTURES_MAX: usize = 64;

/// Length of a packet, in bytes, at most.
pub const PACKET_BYTES_MAX: usize = 2_048;

/// First byte of each datagram's payload: the layout below.
const PACKET_VERSION: u8 = 1;

/// Says who one is and where one stands, in each handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The speaker.
    pub member: Member,
    /// Its place.
    pub standing: Standing,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Only looks who is there (`convoke discover`); never joins.
    Observer,
    /// Has no cluster yet.
    Starting,
    /// Belongs to this cluster.
    In(Box<Summary>),
    /// Is about to stop.
    Leaving,
    /// A member that opens a stream for the cluster's data, of which membership
    /// learns nothing.
    Data,
}

/// A cluster in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// See [`View::lineage`].
    pub lineage: MemberId,
    /// The newest view that the speaker holds.
    pub stamp: Stamp,
    /// Its number of members.
    pub members: u32,
    /// Its number of members that store data.
    pub data_members: u32,
    /// Its oldest member.
    pub coordinator: Member,
}

impl Summary {
    /// Of this view.
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

    /// Decides merges.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank::new(self.data_members as usize, self.members as usize, self.coordinator.id)
    }
}

/// Over a stream, between two members that shook hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Asks to be admitted. `lineage` is the cluster whose ages the member's
    /// age is of, if it was in one.
    Join {
        /// The newcomer.
        member: Member,
        /// Where its age comes from.
        lineage: Option<MemberId>,
        /// What it was configured with, or has followed so far.
        terms: Terms,
    },
    /// "Ask the coordinator, not me."
    Redirect {
        /// The coordinator.
        coordinator: Member,
    },
    /// Asks for the view, or for what leads to it from the one at hand.
    Pull {
        /// The view at hand.
        have: Option<Stamp>,
    },
    /// The whole view.
    View {
        /// The view.
        view: View,
        /// What holds in that cluster.
        terms: Terms,
    },
    /// The steps from the view at hand to the newest.
    Deltas(Vec<Delta>),
    /// To one's own coordinator: another cluster was seen.
    Sighting(Summary),
    /// From the coordinator of the lower-ranked cluster: "take us in".
    Merge {
        /// That cluster.
        view: View,
        /// What holds there.
        terms: Terms,
    },
    /// The sender is about to stop.
    Leave,
    /// All that the sender's SWIM knows; `reply` asks for the same.
    Sync {
        /// Who is alive.
        health: Vec<Health>,
        /// Whether to answer.
        reply: bool,
    },
    /// How members of earlier views went, at most [`DEPARTURES_MAX`], the newest last. Goes
    /// before a [`Message::View`] over the same stream: a view shows who is gone, and not why.
    ///
    /// Later than the first version of the protocol, to whose members it must not be sent as a
    /// message: they would end the stream. See [`Message::is_supplement`].
    Departures(Vec<(MemberId, Departure)>),
    /// From the coordinator: can this newcomer be reached from there?
    Vouch {
        /// The newcomer.
        member: Member,
    },
    /// The answer.
    Vouched {
        /// The newcomer.
        id: MemberId,
        /// Whether it answered a call.
        reached: bool,
    },
    /// To the members that decide about either of the two: the sender cannot call this member
    /// of the view.
    Uncallable {
        /// The member.
        id: MemberId,
        /// For how long none of the sender's calls has been answered, in milliseconds.
        for_ms: u32,
    },
    /// To who wants to be let in: not now.
    Refused {
        /// Why.
        why: Refusal,
        /// When to ask again, in milliseconds from now.
        retry_ms: u32,
    },
    /// What would go in a datagram, where datagrams do not pass.
    Packet {
        /// Whether datagrams of the receiver arrive at the sender.
        heard: bool,
        /// The payload, at most [`PACKET_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// To who decides about it: the sender, a member of the view, has these addresses now.
    Addresses(Vec<SocketAddr>),
}

/// Why a member is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It cannot be called at any address that it advertises.
    Unreachable,
    /// It was lost too often, and has to answer calls for a while first.
    Unsteady {
        /// How often, of late.
        losses: u32,
    },
    /// It was configured with other terms than hold in the cluster, or leads a cluster with
    /// others. At most [`DIFFERENCES_MAX`].
    Differs(Vec<Difference>),
    /// A member of the cluster cannot call it, or it cannot call that one.
    Parted {
        /// Where that member is.
        other: SocketAddr,
    },
}

impl Refusal {
    fn is_sound(&self) -> bool {
        match self {
            Self::Unreachable | Self::Unsteady { .. } | Self::Parted { .. } => true,
            Self::Differs(differences) => {
                differences.len() <= DIFFERENCES_MAX && differences.iter().all(Difference::is_sound)
            }
        }
    }
}

/// In a datagram, after the stamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Packet<'a> {
    /// One of SWIM's packets.
    Swim(&'a [u8]),
    /// The receiver, under this generation and incarnation, is suspected.
    Suspicion(u32, u16),
    /// A change of the view.
    Delta(Delta),
    /// Nothing but the stamp.
    Stamp,
}

/// The bytes are not a message of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message that this version understands")]
pub struct DecodeError;

macro_rules! coded {
    ($type:ty) => {
        impl $type {
            /// As bytes (postcard).
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
    /// From bytes that a peer sent.
    ///
    /// # Errors
    /// When they are not a hello, or break a bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let hello: Self = postcard::from_bytes(bytes).map_err(|_| DecodeError)?;
        let sound = hello.member.is_sound()
            && match &hello.standing {
                Standing::In(summary) => summary.coordinator.is_sound(),
                Standing::Observer | Standing::Starting | Standing::Leaving | Standing::Data => {
                    true
                }
            };
        sound.then_some(hello).ok_or(DecodeError)
    }
}

impl Message {
    /// Whether the receiver can do without this message, and an older one does not know it. It
    /// travels in frames of a kind of their own, which a member that does not know them skips.
    #[must_use]
    pub fn is_supplement(&self) -> bool {
        matches!(self, Self::Departures(_))
    }

    /// From bytes that a peer sent.
    ///
    /// # Errors
    /// When they are not a message, or break a bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: Self = postcard::from_bytes(bytes).map_err(|_| DecodeError)?;
        let sound = match &message {
            Self::Join { member, terms, .. } => member.is_sound() && terms.is_sound(),
            Self::Vouch { member } => member.is_sound(),
            Self::Redirect { coordinator } => coordinator.is_sound(),
            Self::Sighting(summary) => summary.coordinator.is_sound(),
            // Views check themselves; a delta, the view that results from it.
            Self::View { terms, .. } | Self::Merge { terms, .. } => terms.is_sound(),
            Self::Deltas(_) => true,
            Self::Refused { why, .. } => why.is_sound(),
            Self::Departures(departures) => departures.len() <= DEPARTURES_MAX,
            Self::Addresses(addresses) => (1..=ADDRESSES_MAX).contains(&addresses.len()),
            Self::Packet { bytes, .. } => bytes.len() <= PACKET_BYTES_MAX,
            Self::Vouched { .. } | Self::Uncallable { .. } => true,
            Self::Pull { .. } | Self::Leave | Self::Sync { .. } => true,
        };
        sound.then_some(message).ok_or(DecodeError)
    }
}

impl<'a> Packet<'a> {
    pub(crate) fn encode(&self, stamp: Option<Stamp>) -> Vec<u8> {
        postcard::to_allocvec(&(PACKET_VERSION, stamp, self))
            .expect("a packet in memory can be written")
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<(Option<Stamp>, Self), DecodeError> {
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
    use proptest::prelude::*;

    fn terms() -> Terms {
        made(&["- partitions 271?", "* backups 1"])
    }

    #[test]
    fn messages_survive_the_wire() {
        let view = View::founded_by(member(1));
        let hello =
            Hello { member: member(1), standing: Standing::In(Box::new(Summary::of(&view))) };
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
    fn unsound_content_is_refused() {
        let nowhere = Member { addresses: vec![], ..member(1) };
        let join = |member| Message::Join { member, lineage: None, terms: terms() };
        let message = join(nowhere.clone());
        assert_eq!(Message::decode(&message.encode()), Err(DecodeError));
        let hello = Hello { member: nowhere, standing: Standing::Starting };
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
        for (count, is_sound) in [(DIFFERENCES_MAX, true), (DIFFERENCES_MAX + 1, false)] {
            let why = Refusal::Differs(vec![difference.clone(); count]);
            let message = Message::Refused { why, retry_ms: 1 };
            assert_eq!(Message::decode(&message.encode()).is_ok(), is_sound);
        }
        let departures = vec![(member(1).id, Departure::Left); DEPARTURES_MAX + 1];
        let message = Message::Departures(departures);
        assert_eq!(Message::decode(&message.encode()), Err(DecodeError));
    }

    #[test]
    fn a_packet_of_another_layout_is_refused() {
        let mut bytes = Packet::Stamp.encode(None);
        bytes[0] = PACKET_VERSION + 1;
        assert_eq!(Packet::decode(&bytes), Err(DecodeError));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Hello::decode(&bytes);
            let _ = Packet::decode(&bytes);
            let _ = Message::decode(&bytes);
        }
    }
}
