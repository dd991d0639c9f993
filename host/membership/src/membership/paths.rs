//! How packets reach a member: by datagram, and over its stream as well where datagrams do
//! not pass, as behind a firewall that is open for TCP alone.
//!
//! Each side only knows what arrives. So a packet over a stream says whether datagrams of its
//! receiver arrive at its sender: where they do not, the receiver sends over the stream as
//! well. Datagrams go on being sent, and the first that arrives ends that.

use std::time::Duration;

use super::{Event, Membership, Output};
use crate::member::{Member, MemberId};
use crate::message::Message;

/// How long datagrams must have failed before operators are told: a short loss is none of
/// their business.
const REPORT_AFTER: Duration = Duration::from_secs(3);
/// How long it counts that a member said that datagrams do not arrive there.
const SAID_MAX: Duration = Duration::from_secs(30);

/// The way of datagrams between this member and another.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// A probe failed then, and no datagram has come since.
    unheard_since: Option<Duration>,
    /// The member said first, and last, that no datagram arrives there.
    unheard_there: Option<(Duration, Duration)>,
    /// Whether operators were told, of either direction.
    reported: bool,
}

impl Path {
    fn is_unheard_there(&self, now: Duration) -> bool {
        self.unheard_there.is_some_and(|(_, last)| now < last + SAID_MAX)
    }

    fn is_clear(&self, now: Duration) -> bool {
        self.unheard_since.is_none() && !self.is_unheard_there(now)
    }
}

impl Membership {
    /// Sends a packet.
    pub(super) fn send_packet(&mut self, now: Duration, to: MemberId, bytes: Vec<u8>) {
        let path = self.paths.get(&to);
        let by_stream = self.swim.is_told_suspect(to) || path.is_some_and(|p| !p.is_clear(now));
        if by_stream && let Some(member) = self.member_of_view(to) {
            let heard = path.is_none_or(|path| path.unheard_since.is_none());
            let message = Message::Packet { heard, bytes: bytes.clone() };
            self.outputs.push_back(Output::Message { to: member, message });
        }
        self.outputs.push_back(Output::Packet { to, bytes });
    }

    /// Probes of these members were not answered.
    pub(super) fn note_unanswered(&mut self, now: Duration) {
        while let Some(id) = self.swim.poll_unanswered() {
            self.paths.entry(id).or_default().unheard_since.get_or_insert(now);
            self.doubt(now, id);
        }
    }

    /// A datagram of a member arrived.
    pub(super) fn note_datagram(&mut self, now: Duration, from: MemberId) {
        let Some(path) = self.paths.get_mut(&from) else { return };
        if path.unheard_since.take().is_none() {
            return;
        }
        // It need not send over its stream any more.
        if path.is_unheard_there(now) || path.reported {
            self.acknowledge_datagrams(from);
        }
        self.report_path(now, from);
    }

    /// A packet came over a stream of a member.
    pub(super) fn note_stream_packet(&mut self, now: Duration, from: MemberId, heard: bool) {
        if self.member_of_view(from).is_none() {
            return;
        }
        let path = self.paths.entry(from).or_default();
        path.unheard_there = if heard {
            None
        } else {
            let first = path.unheard_there.filter(|(_, last)| now < *last + SAID_MAX);
            Some((first.map_or(now, |(first, _)| first), now))
        };
        self.report_path(now, from);
    }

    fn acknowledge_datagrams(&mut self, to: MemberId) {
        if let (Some(member), Some(stamp)) =
            (self.member_of_view(to), self.view().map(crate::view::View::stamp))
        {
            let bytes = crate::message::Packet::Stamp.encode(Some(stamp));
            let message = Message::Packet { heard: true, bytes };
            self.outputs.push_back(Output::Message { to: member, message });
        }
    }

    /// Tells operators when streams have replaced datagrams for a while, and when they need
    /// to no more.
    fn report_path(&mut self, now: Duration, id: MemberId) {
        let is_told_here =
            self.paths.values().any(|path| path.reported && path.unheard_since.is_some());
        let Some(member) = self.member_of_view(id) else { return };
        let Some(path) = self.paths.get_mut(&id) else { return };
        let lasts = |since: Duration| now >= since + REPORT_AFTER;
        if path.is_clear(now) {
            let was_reported = path.reported;
            self.paths.remove(&id);
            if was_reported {
                self.emit(Event::DatagramsPass(member));
            }
            return;
        }
        let here = path.unheard_since.is_some_and(lasts);
        let there = path.unheard_there.is_some_and(|(first, _)| lasts(first));
        if !path.reported && (here || there) {
            path.reported = true;
            // One line says it of this host, not one for each member.
            if !here || !is_told_here {
                self.emit(Event::DatagramsBlocked { member, here });
            }
        }
    }

    fn member_of_view(&self, id: MemberId) -> Option<Member> {
        self.view()?.get(id).cloned()
    }
}
