//! Failure detection: SWIM with suspicion (Das, Gupta, Motivala, 2002), by the crate `foca`.
//!
//! Only this file uses foca; the rest of the crate sees ids, generations and changes. It adds what
//! foca 2.0.0 leaves to its driver:
//! - A healthy member that refuted a suspicion is not sent `TurnUndead`. (Foca sends it whenever a
//!   suspicion's timer fires, even if the suspect refuted in time.)
//! - A member that is itself in trouble suspects no others until it recovers: its own late timers
//!   and a series of failed probes extend the suspicions that it holds (the local health multiplier
//!   of Lifeguard, Dadgar et al., 2018, §III-A).
//! - A suspect is notified by the members that suspect it for as long as they do, so that it can
//!   refute (Lifeguard's buddy system, §III-C). Foca gossips a suspicion a few times only, all of
//!   which may be lost in a short outage.
//! - A member that renews its identity continues to probe at once. (Foca stops until it receives a
//!   packet for the new identity, and there may be none.)
//! - Full states can be exchanged, to repair what gossip missed.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use foca::{
    Foca, Header, Message, Notification, PostcardCodec, ProbeNumber, Runtime, State, Timer,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::member::MemberId;
use crate::view::MEMBERS_MAX;

/// A timer that fires this late shows that this process was starved or paused.
const LATE_TIMER: Duration = Duration::from_millis(150);
/// Time for which a process that was starved suspects no others.
const RECOVERY: Duration = Duration::from_millis(1_000);
/// Maximum number of times that a suspicion is extended, so that a lost member is detected
/// eventually.
const STRETCHES_MAX: u8 = 2;
/// Maximum number of suspects that are notified in one probe period.
const SUSPECTS_NOTIFIED_MAX: usize = 8;
/// Maximum number of round-trip times that are kept until they are polled.
const ROUND_TRIPS_MAX: usize = 64;
/// Number of different members in a row whose probes must fail to indicate a fault on this side.
const UNHEALTHY_FAILED_PEERS: usize = 3;

/// The identity in SWIM's packets: a process, and how often it rejoined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Identity {
    id: MemberId,
    generation: u32,
}

impl foca::Identity for Identity {
    type Addr = MemberId;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> MemberId {
        self.id
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.generation > adversary.generation
    }
}

/// The liveness of one member as seen by another; part of a full state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    id: MemberId,
    generation: u32,
    incarnation: u16,
    state: Liveness,
}

/// The three states of SWIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Liveness {
    Alive,
    Suspect,
    Down,
}

/// A packet to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwimPacket {
    /// A packet of foca.
    Foca(Vec<u8>),
    /// Notifies the receiver that it is suspected, with its generation and incarnation.
    Suspicion(u32, u16),
}

/// A change of liveness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Alive, for the first time or again.
    Up(MemberId),
    /// Declared down, by this member or another.
    Down(MemberId),
    /// This member was declared down by others, and continues with this generation.
    Renewed(u32),
}

type Deadline = (Duration, u64);

/// The failure detector of one member. Pass it packets and the time; drain packets and changes
/// after each call.
pub struct Swim {
    config: Config,
    foca: Foca<Identity, PostcardCodec, StdRng, foca::NoCustomBroadcast>,
    rng: StdRng,
    outbox: Outbox,
    /// Timers by due time; the number distinguishes timers due at the same time.
    timers: BTreeMap<Deadline, Pending>,
    timer_count: u64,
    /// Highest known generation, and whether it is active.
    known: HashMap<MemberId, (u32, bool)>,
    failed_peers: HashSet<MemberId>,
    /// Members whose probes failed, for [`Swim::poll_unanswered`].
    unanswered: VecDeque<MemberId>,
    /// Suspects that were notified in this probe period.
    notified: HashSet<MemberId>,
    unhealthy_until: Duration,
    changes: VecDeque<Change>,
    /// The current probe: its target, its number, and when it started.
    probe: Option<(MemberId, ProbeNumber, Duration)>,
    round_trips: VecDeque<Duration>,
}

struct Pending {
    timer: Timer<Identity>,
    stretches: u8,
}

impl Swim {
    /// Starts alone, at time zero.
    #[must_use]
    pub fn new(id: MemberId, generation: u32, config: Config, mut rng: StdRng) -> Self {
        let foca = Foca::new(
            Identity { id, generation },
            config.foca(1),
            StdRng::seed_from_u64(rng.next_u64()),
            PostcardCodec,
        );
        Self {
            config,
            foca,
            rng,
            outbox: Outbox::default(),
            timers: BTreeMap::new(),
            timer_count: 0,
            known: HashMap::new(),
            failed_peers: HashSet::new(),
            unanswered: VecDeque::new(),
            notified: HashSet::new(),
            unhealthy_until: Duration::ZERO,
            changes: VecDeque::new(),
            probe: None,
            round_trips: VecDeque::new(),
        }
    }

    /// Forgets all state and restarts with `generation` and these `peers`. For joining another
    /// cluster, where members that were declared down here may be alive.
    pub fn restart(
        &mut self,
        now: Duration,
        generation: u32,
        peers: impl ExactSizeIterator<Item = (MemberId, u32)>,
    ) {
        let id = self.foca.identity().id;
        let rng = StdRng::seed_from_u64(self.rng.next_u64());
        let config = self.config.foca(peers.len() + 1);
        self.foca = Foca::new(Identity { id, generation }, config, rng, PostcardCodec);
        self.timers.clear();
        self.known.clear();
        self.failed_peers.clear();
        self.unanswered.clear();
        self.notified.clear();
        self.changes.clear();
        self.outbox = Outbox::default();
        self.admit(now, peers);
    }

    /// Treats `peers` as alive until they fail.
    pub fn admit(&mut self, now: Duration, peers: impl Iterator<Item = (MemberId, u32)>) {
        let updates: Vec<_> = peers
            .map(|(id, generation)| foca::Member::new(Identity { id, generation }, 0, State::Alive))
            .collect();
        self.call(now, |foca, out| foca.apply_many(updates.into_iter(), true, out));
    }

    /// Adjusts the spread of gossip to a cluster of `size` members.
    pub fn resize(&mut self, size: usize) {
        // Only fields that foca allows to change are changed, so this cannot fail.
        let _ = self.foca.set_config(self.config.foca(size));
    }

    /// Declares a member down on stronger evidence than a missed probe.
    pub fn declare_down(&mut self, now: Duration, id: MemberId) {
        let Some((generation, _)) = self.known.get(&id).copied() else { return };
        let down = foca::Member::down(Identity { id, generation });
        self.call(now, |foca, out| foca.apply_many(std::iter::once(down), true, out));
    }

    /// Whether the member is considered alive.
    #[must_use]
    pub fn is_active(&self, id: MemberId) -> bool {
        self.known.get(&id).is_some_and(|(_, active)| *active)
    }

    /// The highest known generation of a member.
    #[must_use]
    pub fn generation_of(&self, id: MemberId) -> Option<u32> {
        self.known.get(&id).map(|(generation, _)| *generation)
    }

    /// Handles a packet from an authenticated member. Returns false if it is not a packet of SWIM.
    pub fn handle_packet(&mut self, now: Duration, packet: &[u8]) -> bool {
        if let Some(Header { src, message: Message::Ack(number), .. }) = header(packet)
            && let Some((_, _, since)) =
                self.probe.take_if(|(id, probe, _)| (*id, *probe) == (src.id, number))
            && self.round_trips.len() < ROUND_TRIPS_MAX
        {
            self.round_trips.push_back(now.saturating_sub(since));
        }
        let mut understood = true;
        self.call(now, |foca, out| {
            let result = foca.handle_data(packet, out);
            understood = !matches!(
                result,
                Err(foca::Error::Decode(_)
                    | foca::Error::MalformedPacket
                    | foca::Error::DataTooBig)
            );
            result
        });
        understood
    }

    /// The round-trip time of the next answered probe.
    pub fn poll_round_trip(&mut self) -> Option<Duration> {
        self.round_trips.pop_front()
    }

    /// When to call [`Swim::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(entry) = self.timers.first_entry() {
            let (due, _) = *entry.key();
            if due > now {
                break;
            }
            let pending = entry.remove();
            if now - due > LATE_TIMER {
                self.unhealthy_until = now + RECOVERY;
            }
            self.fire(now, pending);
        }
    }

    fn fire(&mut self, now: Duration, pending: Pending) {
        let Pending { timer, stretches } = pending;
        match &timer {
            Timer::ChangeSuspectToDown { member_id, .. } => {
                if self.is_unhealthy(now) && stretches < STRETCHES_MAX {
                    let stretched = Pending { timer, stretches: stretches + 1 };
                    self.schedule(now + self.config.suspicion, stretched);
                    return;
                }
                let suspect = *member_id;
                let packets = self.outbox.packets.len();
                self.call(now, |foca, out| foca.handle_timer(timer, out));
                if self.is_active(suspect.id) {
                    // It refuted in time: drop foca's `TurnUndead` to it.
                    self.outbox.packets.truncate(packets);
                }
            }
            Timer::ProbeRandomMember(_) => {
                let failures = self.outbox.failed.len();
                self.call(now, |foca, out| foca.handle_timer(timer, out));
                if self.outbox.failed.len() == failures {
                    self.failed_peers.clear();
                } else {
                    self.unanswered.extend(&self.outbox.failed);
                    self.failed_peers.extend(self.outbox.failed.drain(..));
                }
                self.notify_suspects();
            }
            _ => self.call(now, |foca, out| foca.handle_timer(timer, out)),
        }
    }

    fn notify_suspects(&mut self) {
        self.notified.clear();
        let suspects = self.foca.iter_membership_state().filter(|m| m.state() == State::Suspect);
        for suspect in suspects.take(SUSPECTS_NOTIFIED_MAX) {
            let Identity { id, generation } = *suspect.id();
            let packet = SwimPacket::Suspicion(generation, suspect.incarnation());
            self.outbox.packets.push_back((id, packet));
            self.notified.insert(id);
        }
    }

    /// Whether a member was notified, in this probe period, that this one suspects it.
    #[must_use]
    pub fn is_suspect_notified(&self, id: MemberId) -> bool {
        self.notified.contains(&id)
    }

    /// The next member that did not answer a probe, directly or through others.
    pub fn poll_unanswered(&mut self) -> Option<MemberId> {
        self.unanswered.pop_front()
    }

    /// Another member suspects this one: refutes it.
    pub fn handle_suspicion(&mut self, now: Duration, generation: u32, incarnation: u16) {
        let me = *self.foca.identity();
        if me.generation == generation {
            let suspected = foca::Member::new(me, incarnation, State::Suspect);
            self.call(now, |foca, out| foca.apply_many(std::iter::once(suspected), true, out));
        }
    }

    fn is_unhealthy(&self, now: Duration) -> bool {
        now < self.unhealthy_until || self.failed_peers.len() >= UNHEALTHY_FAILED_PEERS
    }

    /// The full state, for [`Swim::absorb`] on another member.
    #[must_use]
    pub fn state(&self) -> Vec<Health> {
        let me = *self.foca.identity();
        let own =
            Health { id: me.id, generation: me.generation, incarnation: 0, state: Liveness::Alive };
        let others = self.foca.iter_membership_state().map(|member| Health {
            id: member.id().id,
            generation: member.id().generation,
            incarnation: member.incarnation(),
            state: match member.state() {
                State::Alive => Liveness::Alive,
                State::Suspect => Liveness::Suspect,
                State::Down => Liveness::Down,
            },
        });
        std::iter::once(own).chain(others).take(MEMBERS_MAX).collect()
    }

    /// Members that are suspected by this one, or by one that reported it.
    pub fn suspects(&self) -> impl Iterator<Item = MemberId> {
        let all = self.foca.iter_membership_state();
        all.filter(|member| member.state() == State::Suspect).map(|member| member.id().id)
    }

    /// Merges the full state of another member, where it is newer.
    pub fn absorb(&mut self, now: Duration, state: Vec<Health>) {
        let me = *self.foca.identity();
        let updates: Vec<_> = state
            .into_iter()
            // Claims about this process arrive by gossip, where it can refute them; an old state
            // that is read late must not override it.
            .filter(|health| health.id != me.id)
            .map(|health| {
                let identity = Identity { id: health.id, generation: health.generation };
                let state = match health.state {
                    Liveness::Alive => State::Alive,
                    Liveness::Suspect => State::Suspect,
                    Liveness::Down => State::Down,
                };
                foca::Member::new(identity, health.incarnation, state)
            })
            .collect();
        self.call(now, |foca, out| foca.apply_many(updates.into_iter(), false, out));
    }

    /// Announces the leave: others stop probing at once.
    pub fn leave(&mut self, now: Duration) {
        self.call(now, |foca, out| foca.leave_cluster(out));
    }

    /// The next packet to send.
    pub fn poll_packet(&mut self) -> Option<(MemberId, SwimPacket)> {
        self.outbox.packets.pop_front()
    }

    /// The next change.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Calls foca and stores its outputs. Its errors concern single packets and timers, and are
    /// documented as recoverable.
    fn call(
        &mut self,
        now: Duration,
        f: impl FnOnce(
            &mut Foca<Identity, PostcardCodec, StdRng, foca::NoCustomBroadcast>,
            &mut Outbox,
        ) -> Result<(), foca::Error>,
    ) {
        let sent_before = self.outbox.packets.len();
        let _ = f(&mut self.foca, &mut self.outbox);
        for (to, packet) in self.outbox.packets.iter().skip(sent_before) {
            if let SwimPacket::Foca(packet) = packet
                && let Some(Header { message: Message::Ping(number), .. }) = header(packet)
            {
                self.probe = Some((*to, number, now));
            }
        }
        if self.outbox.notices.iter().any(|notice| matches!(notice, Notice::Renewed(_))) {
            let _ = self.foca.apply_many(std::iter::empty(), false, &mut self.outbox);
        }
        for (after, timer) in std::mem::take(&mut self.outbox.timers) {
            self.schedule(now + after, Pending { timer, stretches: 0 });
        }
        for notice in std::mem::take(&mut self.outbox.notices) {
            let change = match notice {
                Notice::Up(who) => {
                    self.known.insert(who.id, (who.generation, true));
                    Change::Up(who.id)
                }
                Notice::Down(who) => {
                    self.known.insert(who.id, (who.generation, false));
                    Change::Down(who.id)
                }
                Notice::Renamed(who) => {
                    self.known.entry(who.id).or_insert((0, false)).0 = who.generation;
                    continue;
                }
                Notice::Renewed(generation) => Change::Renewed(generation),
            };
            self.changes.push_back(change);
        }
    }

    fn schedule(&mut self, at: Duration, pending: Pending) {
        self.timer_count += 1;
        self.timers.insert((at, self.timer_count), pending);
    }
}

/// The header of a foca packet.
fn header(packet: &[u8]) -> Option<Header<Identity>> {
    postcard::take_from_bytes(packet).ok().map(|(header, _)| header)
}

/// The outputs of foca during one call.
#[derive(Default)]
struct Outbox {
    packets: VecDeque<(MemberId, SwimPacket)>,
    timers: Vec<(Duration, Timer<Identity>)>,
    notices: Vec<Notice>,
    failed: Vec<MemberId>,
}

enum Notice {
    Up(Identity),
    Down(Identity),
    Renamed(Identity),
    Renewed(u32),
}

impl Runtime<Identity> for Outbox {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        let notice = match notification {
            Notification::MemberUp(who) => Notice::Up(*who),
            Notification::MemberDown(who) => Notice::Down(*who),
            Notification::Rename(_, after) => Notice::Renamed(*after),
            Notification::Rejoin(me) => Notice::Renewed(me.generation),
            Notification::ProbeFailed(_, who) => {
                self.failed.push(who.id);
                return;
            }
            _ => return,
        };
        self.notices.push(notice);
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.packets.push_back((to.id, SwimPacket::Foca(data.to_vec())));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push((after, event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;

    const SECOND: Duration = Duration::from_secs(1);

    fn swim(n: u8) -> Swim {
        Swim::new(member(n).id, 1, Config::default(), StdRng::seed_from_u64(u64::from(n)))
    }

    fn deliver(to: &mut Swim, now: Duration, packet: SwimPacket) {
        match packet {
            SwimPacket::Foca(bytes) => assert!(to.handle_packet(now, &bytes)),
            SwimPacket::Suspicion(generation, incarnation) => {
                to.handle_suspicion(now, generation, incarnation);
            }
        }
    }

    /// Runs two members until `end`, delivering each packet for which `link` returns true.
    fn run(
        a: &mut Swim,
        b: &mut Swim,
        end: Duration,
        mut link: impl FnMut(Duration, MemberId) -> bool,
    ) -> Vec<(MemberId, Change)> {
        let ids = [a.foca.identity().id, b.foca.identity().id];
        let mut seen = Vec::new();
        loop {
            let next = [a.poll_timeout(), b.poll_timeout()].into_iter().flatten().min();
            let Some(now) = next.filter(|at| *at <= end) else { return seen };
            a.handle_timeout(now);
            b.handle_timeout(now);
            loop {
                let mut quiet = true;
                while let Some((to, packet)) = a.poll_packet() {
                    assert_eq!(to, ids[1]);
                    quiet = false;
                    if link(now, ids[0]) {
                        deliver(b, now, packet);
                    }
                }
                while let Some((to, packet)) = b.poll_packet() {
                    assert_eq!(to, ids[0]);
                    quiet = false;
                    if link(now, ids[1]) {
                        deliver(a, now, packet);
                    }
                }
                if quiet {
                    break;
                }
            }
            while let Some(change) = a.poll_change() {
                seen.push((ids[0], change));
            }
            while let Some(change) = b.poll_change() {
                seen.push((ids[1], change));
            }
        }
    }

    fn pair() -> (Swim, Swim) {
        let (mut a, mut b) = (swim(1), swim(2));
        a.admit(Duration::ZERO, std::iter::once((member(2).id, 1)));
        b.admit(Duration::ZERO, std::iter::once((member(1).id, 1)));
        (a, b)
    }

    #[test]
    fn a_silent_member_is_down_within_three_seconds() {
        let (mut a, mut b) = pair();
        run(&mut a, &mut b, SECOND * 2, |_, _| true);
        assert!(a.is_active(member(2).id));
        let changes = run(&mut a, &mut b, SECOND * 5, |_, from| from != member(2).id);
        assert!(changes.contains(&(member(1).id, Change::Down(member(2).id))));
    }

    #[test]
    fn a_suspect_that_refutes_in_time_is_not_sent_turn_undead() {
        let (mut a, mut b) = pair();
        let deaf = |now: Duration, _| now < SECOND || now > Duration::from_millis(2_000);
        let changes = run(&mut a, &mut b, SECOND * 10, deaf);
        assert!(
            !changes.iter().any(|(_, change)| matches!(change, Change::Renewed(_))),
            "{changes:?}"
        );
        assert!(a.is_active(member(2).id) && b.is_active(member(1).id));
    }

    #[test]
    fn a_member_that_was_paused_does_not_suspect_others_when_it_resumes() {
        let (mut a, mut b) = pair();
        run(&mut a, &mut b, SECOND, |_, _| true);
        // `a` is paused: its timers fire thirty seconds late, all at once.
        a.handle_timeout(SECOND * 31);
        a.handle_timeout(SECOND * 31 + Duration::from_millis(950));
        assert!(a.is_active(member(2).id));
    }

    #[test]
    fn exchanging_full_states_repairs_what_gossip_missed() {
        let (mut a, _) = pair();
        let mut c = swim(3);
        c.admit(Duration::ZERO, std::iter::once((member(1).id, 1)));
        c.absorb(Duration::ZERO, a.state());
        assert!(c.is_active(member(2).id));
        a.declare_down(Duration::ZERO, member(2).id);
        c.absorb(Duration::ZERO, a.state());
        assert!(!c.is_active(member(2).id));
    }

    #[test]
    fn a_restart_with_a_higher_generation_forgets_members_that_were_down() {
        let (mut a, _) = pair();
        a.declare_down(Duration::ZERO, member(2).id);
        a.restart(SECOND, 2, [(member(2).id, 1)].into_iter());
        assert!(a.is_active(member(2).id));
    }

    /// A packet, to a member that knows the sender of the samples.
    #[test]
    fn fuzz_swim_packet() {
        let (mut a, mut b) = pair();
        let mut samples = Vec::new();
        while samples.len() < 12 {
            let now = a.poll_timeout().max(b.poll_timeout()).expect("they probe each other");
            a.handle_timeout(now);
            b.handle_timeout(now);
            while let Some((_, packet)) = b.poll_packet() {
                if let SwimPacket::Foca(bytes) = &packet {
                    samples.push(bytes.clone());
                }
                deliver(&mut a, now, packet);
            }
            while let Some((_, packet)) = a.poll_packet() {
                deliver(&mut b, now, packet);
            }
        }
        convoke_harness::check!(&samples, |bytes| {
            let (mut a, _) = pair();
            a.handle_packet(Duration::ZERO, bytes);
            // Its effects are bounded and can be executed.
            for _ in 0..10 {
                let Some(now) = a.poll_timeout() else { break };
                a.handle_timeout(now);
            }
            assert!(std::iter::from_fn(|| a.poll_packet()).take(1_000).count() < 1_000);
            assert!(std::iter::from_fn(|| a.poll_change()).take(1_000).count() < 1_000);
        });
    }
}
