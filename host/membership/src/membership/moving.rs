//! Members whose addresses change while they run: DHCP, a card that is replaced, an address
//! that a host gets or loses.
//!
//! A member tells the coordinator the addresses that it has now, until the view shows them. The
//! coordinator publishes the member with them, in its place and under its generation: to the
//! layers above it is the same member. One whose addresses change again and again is published
//! no more than once within [`MOVED_PERIOD`]. One that cannot be called at its new addresses is
//! found out like any other; see `doubting`.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Asked, Membership, Phase, Place};
use crate::member::{Member, MemberId};
use crate::message::Message;

/// How long new addresses of one member are not published again.
const MOVED_PERIOD: Duration = Duration::from_secs(5);

/// New addresses of a member of the view.
pub(super) struct Moved {
    /// To be published, if they have not been.
    addresses: Option<Vec<SocketAddr>>,
    /// When that may happen; once it has, when it may happen again.
    due: Duration,
}

impl Place {
    /// When the next of them is to be published.
    pub(super) fn moved_due(&self) -> Option<Duration> {
        let waiting = self.moved.values().filter(|moved| moved.addresses.is_some());
        waiting.map(|moved| moved.due).min()
    }

    /// The members that are to be published with new addresses now.
    pub(super) fn take_moved(&mut self, now: Duration) -> Vec<Member> {
        let mut taken = Vec::new();
        for (id, moved) in &mut self.moved {
            // One that goes, or comes anew, is published as that.
            let is_out = self.departing.contains_key(id) || self.joining.contains_key(id);
            if now < moved.due || is_out {
                continue;
            }
            if let Some(known) = self.view.get(*id)
                && let Some(addresses) = moved.addresses.take()
            {
                moved.due = now + MOVED_PERIOD;
                taken.push(Member { addresses, ..Member::clone(known) });
            }
        }
        taken
    }

    fn note_moved(&mut self, now: Duration, id: MemberId, addresses: &[SocketAddr]) {
        let Some(known) = self.view.get(id) else { return };
        let news = (known.addresses != addresses).then(|| addresses.to_vec());
        if let Some(moved) = self.moved.get_mut(&id) {
            moved.addresses = news;
        } else if news.is_some() {
            self.moved.insert(id, Moved { addresses: news, due: now });
        }
    }
}

impl Membership {
    /// This member has these addresses from now on, the one to try first at the front: at least
    /// one, at most [`ADDRESSES_MAX`](crate::member::ADDRESSES_MAX); others are ignored.
    pub fn handle_addresses(&mut self, now: Duration, addresses: Vec<SocketAddr>) {
        self.notice_pause(now);
        let me = Member { addresses, ..self.me.clone() };
        if me.is_sound() {
            self.me = me;
        }
        let listed = self.view().and_then(|view| view.get(self.me.id));
        self.has_moved = listed.is_some_and(|listed| listed.addresses != self.me.addresses);
        self.settle(now);
    }

    /// A member of the view has other addresses now.
    pub(super) fn take_addresses(&mut self, now: Duration, id: MemberId, addresses: &[SocketAddr]) {
        let Phase::In(place) = &self.phase else { return };
        if !self.is_acting(place) {
            return;
        }
        if let Phase::In(place) = &mut self.phase {
            place.note_moved(now, id, addresses);
        }
    }

    /// Whether the others are to be told of new addresses.
    fn must_tell(&self, place: &Place) -> bool {
        self.has_moved && place.rejoin.is_none() && place.leaving_since.is_none()
    }

    /// Sees to it that the view shows the addresses that this member has.
    pub(super) fn tick_moving(&mut self, now: Duration) {
        let Phase::In(place) = &self.phase else { return };
        if !self.must_tell(place) {
            return;
        }
        let (coordinator, addresses) = (self.acting(place).clone(), self.me.addresses.clone());
        if self.is_acting(place) {
            self.take_addresses(now, self.me.id, &addresses);
        } else if self.may_ask(now, Asked::Moved, coordinator.id) {
            self.send(coordinator, Message::Addresses(addresses));
        }
    }

    /// When to do that again.
    pub(super) fn moving_due(&self, place: &Place) -> Option<Duration> {
        if !self.must_tell(place) || self.is_acting(place) {
            return None;
        }
        let asked = self.asked.get(&(Asked::Moved, self.acting(place).id));
        Some(asked.map_or(Duration::ZERO, |at| *at + self.config.answer_wait))
    }
}
