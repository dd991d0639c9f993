//! The paths of packets to a member: datagrams, and also its stream if datagrams do not arrive, for
//! example because a firewall allows TCP only.
//!
//! Each side only knows what arrives. So a packet over a stream says whether the receiver's
//! datagrams arrive at the sender; if they do not, the receiver also sends over the stream.
//! Datagrams are still sent, and the first one that arrives ends this.

use std::time::Duration;

use super::{Event, Membership, Output};
use crate::member::{Member, MemberId};
use crate::message::Message;

/// Time for which datagrams must have failed before it is reported to operators; a short loss is
/// not reported.
const REPORT_AFTER: Duration = Duration::from_secs(3);
/// Time for which a member's report that datagrams do not arrive is valid.
const SAID_MAX: Duration = Duration::from_secs(30);

/// The state of datagrams between this member and another.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// When a probe failed, if no datagram has arrived since.
    unheard_since: Option<Duration>,
    /// When a packet first arrived over the stream since then: only from then on, it is known that
    /// it is the datagrams that do not arrive, and not everything.
    streamed_since: Option<Duration>,
    /// When the member first and last reported that no datagrams arrive there.
    unheard_there: Option<(Duration, Duration)>,
    /// Whether it was reported to operators, for either direction.
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
        let by_stream = self.swim.is_suspect_notified(to) || path.is_some_and(|p| !p.is_clear(now));
        if by_stream && let Some(member) = self.member_of_view(to) {
            let heard = path.is_none_or(|path| path.unheard_since.is_none());
            let message = Message::Packet { heard, bytes: bytes.clone() };
            self.outputs.push_back(Output::Message { to: member, message });
        }
        self.outputs.push_back(Output::Packet { to, bytes });
    }

    /// Handles unanswered probes.
    pub(super) fn note_unanswered(&mut self, now: Duration) {
        while let Some(id) = self.swim.poll_unanswered() {
            if self.member_of_view(id).is_none() {
                // It was removed while it was being probed.
                continue;
            }
            self.paths.entry(id).or_default().unheard_since.get_or_insert(now);
            self.doubt(now, id);
        }
    }

    /// Handles the arrival of a datagram from a member.
    pub(super) fn note_datagram(&mut self, now: Duration, from: MemberId) {
        let Some(path) = self.paths.get_mut(&from) else { return };
        path.streamed_since = None;
        if path.unheard_since.take().is_none() {
            return;
        }
        // Notifies it that it can stop sending over its stream.
        if path.is_unheard_there(now) || path.reported {
            self.acknowledge_datagrams(from);
        }
        self.report_path(now, from);
    }

    /// Handles a packet that arrived over a stream.
    pub(super) fn note_stream_packet(&mut self, now: Duration, from: MemberId, heard: bool) {
        if self.member_of_view(from).is_none() {
            return;
        }
        let path = self.paths.entry(from).or_default();
        if path.unheard_since.is_some() {
            path.streamed_since.get_or_insert(now);
        }
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
            let bytes = crate::message::Packet::StampOnly.encode(Some(stamp));
            let message = Message::Packet { heard: true, bytes };
            self.outputs.push_back(Output::Message { to: member, message });
        }
    }

    /// Reports to operators when streams have replaced datagrams for a while, and when they no
    /// longer need to.
    fn report_path(&mut self, now: Duration, id: MemberId) {
        let is_known_here =
            self.paths.values().any(|path| path.reported && path.unheard_since.is_some());
        let Some(member) = self.member_of_view(id) else { return };
        let Some(path) = self.paths.get_mut(&id) else { return };
        let lasts = |since: Duration| now >= since + REPORT_AFTER;
        if path.is_clear(now) {
            let was_reported = path.reported;
            self.paths.remove(&id);
            if was_reported {
                self.emit(Event::DatagramsRestored(member));
            }
            return;
        }
        let here = path.streamed_since.is_some_and(lasts);
        let there = path.unheard_there.is_some_and(|(first, _)| lasts(first));
        if !path.reported && (here || there) {
            path.reported = true;
            // One line for this host, not one for each member.
            if !here || !is_known_here {
                self.emit(Event::DatagramsBlocked { member, here });
            }
        }
    }

    fn member_of_view(&self, id: MemberId) -> Option<Member> {
        self.view()?.get(id).cloned()
    }
}
