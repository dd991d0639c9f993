//! The state machine: one member's part in its cluster.
//!
//! Vocabulary, after quinn: `handle_*` take what happened, `poll_*` give what
//! to do, plain names ask. After any `handle_*`, drain
//! [`Membership::poll_output`] until it is empty, then ask
//! [`Membership::poll_timeout`]. Time is the time since the process started.
//!
//! - `admitting`: who is let in: a member that can be reached
//! - [`starting`](self): from the first step to a place in a cluster
//! - `coordinating`: what the oldest member does: admit, remove, publish, claim
//! - `doubting`: members that can be called no more
//! - `moving`: addresses that change while a member runs
//! - `meeting`: views of others: newer, older, foreign; splits and merges
//! - `reaching`: what calls to a member's addresses say about it
//! - `paths`: packets over streams, where datagrams do not pass
//! - `repairing`: catching up with what was missed, calling the lost

mod admitting;
mod coordinating;
mod doubting;
mod meeting;
mod moving;
mod paths;
mod reaching;
mod repairing;
mod starting;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::config::Config;
use crate::member::{Member, MemberId};
use crate::message::{DecodeError, Hello, Message, Packet, Refusal, Standing, Summary};
use crate::swim::{Change, Swim, SwimPacket};
use crate::terms::{Difference, Terms};
use crate::view::{Delta, Departure, Stamp, View};

use admitting::{Applicant, Calls, Losses, Merging, Met, Newcomer};
use coordinating::{Check, Claim};
use doubting::{Doubt, Parted, Report};
use moving::Moved;
use paths::Path;
pub use reaching::AtAddress;
use repairing::{Catchup, Lost};
use starting::Starting;

/// Steps of the view that are kept for members that lag behind.
const HISTORY_MAX: usize = 128;

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes in a datagram. May be lost.
    Packet {
        /// The receiver.
        to: MemberId,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Send this over a stream; open one if there is none. When that fails,
    /// say so by [`Membership::handle_reach`].
    Message {
        /// The receiver and its addresses.
        to: Member,
        /// What to say.
        message: Message,
    },
    /// Open a stream, even if there is one, and report by
    /// [`Membership::handle_connected`] and [`Membership::handle_reach`].
    Call {
        /// The receiver and its addresses.
        to: Member,
        /// Whether it may take its time: to find out whether there is any way, and not, how soon
        /// it answers.
        patient: bool,
    },
    /// For operators, and for the layers above.
    Event(Event),
}

/// How an attempt to reach a member ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It shook hands.
    Answered,
    /// Nothing listens at any of its addresses.
    Gone,
    /// Another process listens at one of its addresses, and nothing at the others. An address
    /// may belong to several hosts, so this alone is no proof that the member is dead.
    Displaced,
    /// No answer in time, or no way there.
    Silent,
}

/// A member that is no longer in the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// Who.
    pub member: Member,
    /// How.
    pub how: Departure,
}

/// What happened to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is a new view.
    View {
        /// The view.
        view: View,
        /// Who is new in it, oldest first.
        joined: Vec<Member>,
        /// Who was in the last one.
        departed: Vec<Departed>,
        /// Who is at other addresses than in the last one.
        moved: Vec<Member>,
    },
    /// Another cluster of this name and password was met.
    Met {
        /// The other cluster.
        other: Summary,
        /// Whether it comes to us, or we go to it.
        ours_leads: bool,
    },
    /// The others went on without this member, which asks to be let in again.
    Returning {
        /// Whom it asks.
        coordinator: Member,
    },
    /// This member is the oldest that is left and takes over.
    TakingOver {
        /// From whom.
        from: Member,
    },
    /// A member that was thought dead answers: it stays.
    FalseAlarm(Member),
    /// A member could not be called for a while, by this and another member, though it was heard:
    /// it is removed.
    Uncallable(Member),
    /// Two members cannot call each other, while others can call both: one of them is removed.
    Parted {
        /// The one that stays.
        stays: Member,
        /// The one that is removed, until both can call each other.
        goes: Member,
    },
    /// Several members of the view list an address, which so leads to none of them for sure:
    /// it is not used.
    SharedAddress {
        /// The address.
        address: SocketAddr,
        /// The two oldest of those members.
        members: [Member; 2],
    },
    /// A member that wants to join is not let in.
    NotLetIn {
        /// Who.
        member: Member,
        /// Why.
        why: Refusal,
    },
    /// The cluster does not let this member in.
    Refused {
        /// Its coordinator.
        by: Member,
        /// Why.
        why: Refusal,
        /// When this member asks again.
        retry: Duration,
    },
    /// A member that is let in, this one perhaps, or its cluster is changing settings.
    Changing {
        /// Who.
        member: Member,
        /// The cluster's values and the member's.
        changes: Vec<Difference>,
    },
    /// Datagrams do not pass between this member and another, streams do, and carry what the
    /// failure detector says.
    DatagramsBlocked {
        /// The other member.
        member: Member,
        /// Whether they do not arrive at this member. Then it is told of one member, not of all.
        here: bool,
    },
    /// Datagrams pass again between this member and another.
    DatagramsPass(Member),
    /// This member has left; nothing more will come.
    Left,
}

/// One member's part in its cluster. See the [module](self) for how to drive it.
pub struct Membership {
    config: Config,
    me: Member,
    /// As this member was configured; from its first view on, what holds in its cluster.
    terms: Terms,
    swim: Swim,
    rng: StdRng,
    phase: Phase,
    outputs: VecDeque<Output>,
    /// When something was last asked, told or forwarded to whom: keeps each
    /// within [`Config::answer_wait`].
    asked: HashMap<(Asked, MemberId), Duration>,
    /// When this process was last known to run.
    awake_at: Duration,
    /// How members went, the newest last.
    departures: VecDeque<(MemberId, Departure)>,
    /// Members to and from which datagrams do not all pass.
    paths: HashMap<MemberId, Path>,
    calls: Calls,
    /// Whether the view shows other addresses of this member than it has.
    has_moved: bool,
}

/// What is rationed by [`Membership::may_ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Pull,
    Tell,
    Sighting,
    Merge,
    Doubt,
    Uncallable,
    Moved,
}

enum Phase {
    Starting(Starting),
    In(Place),
    Left,
}

/// A place in a cluster.
struct Place {
    view: View,
    history: VecDeque<Delta>,
    /// To be admitted at the next publication, with the lineage of their ages.
    joining: BTreeMap<MemberId, (Member, Option<MemberId>)>,
    /// Those that are being called before they are admitted.
    newcomers: BTreeMap<MemberId, Newcomer>,
    merging: Option<Box<Merging>>,
    losses: BTreeMap<MemberId, Losses>,
    /// Members that did not answer calls, though SWIM hears them.
    doubts: BTreeMap<MemberId, Doubt>,
    /// Who reported, and of whom, that it cannot be called.
    uncallable: BTreeMap<(MemberId, MemberId), Report>,
    /// Members that were removed since another could not call them, or they not that one.
    parted: Parted,
    /// When a member of the view was lost last.
    lost_at: Option<Duration>,
    /// Addresses that several members list.
    shared: BTreeSet<SocketAddr>,
    /// Members with new addresses.
    moved: BTreeMap<MemberId, Moved>,
    /// To be removed at the next publication.
    departing: BTreeMap<MemberId, Departure>,
    published_at: Option<Duration>,
    /// Whether a view of this place has been shown yet.
    shown: bool,
    /// Whether SWIM found or lost somebody since the last review.
    unreviewed: bool,
    checks: BTreeMap<MemberId, Check>,
    claim: Option<Claim>,
    /// When this process was paused last, and went on.
    awake_since: Option<Duration>,
    /// A cluster that asked to be taken in, at a moment when that could not be decided.
    deferred: Option<Box<Met>>,
    /// Since when newer views have left this member out.
    passed_over_since: Option<Duration>,
    rejoin: Option<Box<Rejoin>>,
    /// Since when this member tries to leave.
    leaving_since: Option<Duration>,
    /// The coordinator that was asked to let it go.
    leave_asked_of: Option<MemberId>,
    catchup: Option<Catchup>,
    lost: BTreeMap<MemberId, Lost>,
    recall_at: Duration,
    sync_at: Duration,
}

/// The way back into a cluster that went on without this member.
struct Rejoin {
    coordinator: Member,
    asked_at: Duration,
    tries: u32,
}

/// Times a cluster that went on without this member is asked to let it in.
const REJOIN_TRIES_MAX: u32 = 6;
/// Times that one is asked before another that went on as well.
const REJOIN_TRIES_MIN: u32 = 2;

impl Place {
    fn new(view: View, now: Duration, config: &Config, rng: &mut StdRng) -> Self {
        Self {
            view,
            history: VecDeque::new(),
            joining: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            merging: None,
            losses: BTreeMap::new(),
            doubts: BTreeMap::new(),
            uncallable: BTreeMap::new(),
            parted: Parted::new(),
            lost_at: None,
            shared: BTreeSet::new(),
            moved: BTreeMap::new(),
            departing: BTreeMap::new(),
            published_at: None,
            shown: false,
            unreviewed: true,
            checks: BTreeMap::new(),
            claim: None,
            awake_since: None,
            deferred: None,
            passed_over_since: None,
            rejoin: None,
            leaving_since: None,
            leave_asked_of: None,
            catchup: None,
            lost: BTreeMap::new(),
            recall_at: now + config.recall_period,
            sync_at: now + config.sync_period.mul_f64(rng.random_range(0.5..1.0)),
        }
    }
}

impl Membership {
    /// A member that starts at time zero, configured with `terms`. Its age and generation are
    /// given by the cluster that it joins.
    #[must_use]
    pub fn new(me: Member, terms: Terms, config: Config, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let swim_rng = StdRng::seed_from_u64(rng.next_u64());
        let me = Member { generation: 0, age: 0, ..me };
        Self {
            swim: Swim::new(me.id, 0, config.clone(), swim_rng),
            config,
            me,
            terms,
            rng,
            phase: Phase::Starting(Starting::default()),
            outputs: VecDeque::new(),
            asked: HashMap::new(),
            awake_at: Duration::ZERO,
            departures: VecDeque::new(),
            paths: HashMap::new(),
            calls: Calls::default(),
            has_moved: false,
        }
    }

    /// This member, as it would introduce itself.
    #[must_use]
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// As this member was configured; from its first view on, what holds in its cluster, with
    /// nothing left open.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The view, once there is one.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        match &self.phase {
            Phase::In(place) => Some(&place.view),
            Phase::Starting(_) | Phase::Left => None,
        }
    }

    /// Members of the view that do not answer and have not objected to that yet.
    pub fn suspects(&self) -> impl Iterator<Item = MemberId> {
        self.swim.suspects()
    }

    /// What to say in a handshake now.
    #[must_use]
    pub fn hello(&self) -> Hello {
        let standing = match &self.phase {
            Phase::Starting(_) => Standing::Starting,
            Phase::In(place) if place.leaving_since.is_some() => Standing::Leaving,
            Phase::In(place) => Standing::In(Box::new(Summary::of(&place.view))),
            Phase::Left => Standing::Leaving,
        };
        Hello { member: self.me.clone(), standing }
    }

    /// A handshake succeeded. `called` says that this member called the other, which so can be
    /// reached from here.
    pub fn handle_connected(&mut self, now: Duration, hello: Hello, called: bool) {
        self.notice_pause(now);
        let Hello { member, standing } = hello;
        if member.id == self.me.id {
            return;
        }
        if called {
            self.note_reached(now, member.id);
        } else {
            self.note_called(now, member.id);
        }
        if let Phase::In(place) = &mut self.phase {
            place.note_address_of_lost(&member);
        }
        match standing {
            Standing::Observer | Standing::Leaving | Standing::Data => {}
            Standing::Starting => self.meet_starting(now, member),
            Standing::In(summary) => self.meet_settled(now, member, *summary),
        }
        self.settle(now);
    }

    /// A datagram from an authenticated member.
    ///
    /// # Errors
    /// When the bytes are not of this version of the protocol.
    pub fn handle_packet(
        &mut self,
        now: Duration,
        from: MemberId,
        bytes: &[u8],
    ) -> Result<(), DecodeError> {
        self.notice_pause(now);
        self.note_datagram(now, from);
        let understood = self.take_packet(now, from, bytes);
        self.settle(now);
        understood
    }

    /// A packet, by datagram or stream.
    fn take_packet(
        &mut self,
        now: Duration,
        from: MemberId,
        bytes: &[u8],
    ) -> Result<(), DecodeError> {
        let (stamp, packet) = Packet::decode(bytes)?;
        let understood = match packet {
            Packet::Swim(packet) => {
                self.phase.place().is_none() || self.swim.handle_packet(now, packet)
            }
            Packet::Suspicion(generation, incarnation) => {
                self.swim.handle_suspicion(now, generation, incarnation);
                true
            }
            Packet::Delta(delta) => {
                self.take_delta(now, from, &delta);
                true
            }
            Packet::Stamp => true,
        };
        if let Some(stamp) = stamp {
            self.note_stamp(now, from, stamp);
        }
        if understood { Ok(()) } else { Err(DecodeError) }
    }

    /// A message from an authenticated member over a stream.
    pub fn handle_message(&mut self, now: Duration, from: &Member, message: Message) {
        self.notice_pause(now);
        match message {
            Message::Join { member, lineage, terms } => {
                self.take_join(now, Applicant { member, lineage, terms });
            }
            Message::Vouch { member } => self.take_vouch(from, member),
            Message::Vouched { id, reached } => self.take_vouched(now, from.id, id, reached),
            Message::Uncallable { id, for_ms } => {
                self.take_uncallable(now, from.id, id, Duration::from_millis(for_ms.into()));
            }
            Message::Refused { why, retry_ms } => self.take_refused(now, from, why, retry_ms),
            Message::Redirect { coordinator } => self.take_redirect(now, from, coordinator),
            Message::Pull { have } => self.answer_pull(from, have),
            Message::View { view, terms } => self.take_view(now, from, view, &terms),
            Message::Deltas(deltas) => {
                for delta in deltas {
                    self.take_delta(now, from.id, &delta);
                }
                self.claim_heard(now, from.id);
            }
            Message::Sighting(summary) => {
                if self.phase.place().is_some_and(|place| !place.view.contains(from.id)) {
                    // It takes this member for its coordinator, or is one: it
                    // is owed the truth.
                    self.tell(now, from);
                }
                self.sight(now, &summary);
            }
            Message::Merge { view, terms } => {
                self.take_merge(now, Met { from: from.clone(), view, terms });
            }
            Message::Leave => self.take_leave(from.id),
            Message::Addresses(addresses) => self.take_addresses(now, from.id, &addresses),
            Message::Departures(departures) => self.note_departures(departures),
            Message::Packet { heard, bytes } => {
                self.note_stream_packet(now, from.id, heard);
                // One that is not of this version is ignored, as a datagram would be.
                let _ = self.take_packet(now, from.id, &bytes);
            }
            Message::Sync { health, reply } => {
                if self.phase.place().is_some_and(|place| place.view.contains(from.id)) {
                    self.swim.absorb(now, health);
                    if reply {
                        let health = self.swim.state();
                        self.send(from.clone(), Message::Sync { health, reply: false });
                    }
                }
            }
        }
        self.settle(now);
    }

    /// An attempt to reach a member ended, or a stream to it broke and could
    /// not be opened again.
    pub fn handle_reach(&mut self, now: Duration, id: MemberId, reach: Reach) {
        self.notice_pause(now);
        match &self.phase {
            Phase::Starting(_) => {
                self.reach_newcomer(now, id, reach);
                self.reach_while_starting(now, id, reach);
            }
            Phase::In(_) => {
                self.reach_newcomer(now, id, reach);
                self.reach_lost(id, reach);
                self.reach_checked(now, id, reach);
                self.reach_doubted(now, id, reach);
            }
            Phase::Left => {}
        }
        self.settle(now);
    }

    /// Whatever else uses streams to a member cannot open one, or gets nothing back over it:
    /// it is called, and removed if it stays out of reach, although datagrams pass.
    pub fn handle_unserved(&mut self, now: Duration, id: MemberId) {
        self.notice_pause(now);
        self.doubt(now, id);
        self.settle(now);
    }

    /// Every mode has looked, and every candidate has answered or not: who was
    /// to be found is found.
    pub fn handle_discovery_settled(&mut self, now: Duration) {
        self.notice_pause(now);
        if let Phase::Starting(starting) = &mut self.phase {
            starting.settled_at.get_or_insert(now);
        }
        self.handle_timeout(now);
    }

    /// Starts to leave; [`Event::Left`] follows.
    pub fn handle_leave(&mut self, now: Duration) {
        self.start_leaving(now);
        self.settle(now);
    }

    /// When to call [`Membership::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let own = match &self.phase {
            Phase::Starting(starting) => starting.next_deadline(&self.config),
            Phase::In(place) => self.next_deadline(place),
            Phase::Left => return None,
        };
        [own, self.swim.poll_timeout()].into_iter().flatten().min()
    }

    /// How long a probe of another member took from here to its answer, for each that
    /// was answered since the last call; the oldest first, and a bounded number.
    pub fn poll_round_trip(&mut self) -> Option<Duration> {
        self.swim.poll_round_trip()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.notice_pause(now);
        self.tick_refusal(now);
        match self.phase {
            Phase::Starting(_) => self.tick_starting(now),
            Phase::In(_) => {
                self.swim.handle_timeout(now);
                self.settle(now);
                self.tick_newcomers(now);
                self.tick_doubts(now);
                self.tick_rejoin(now);
                self.tick_catchup(now);
                self.tick_claim(now);
                self.tick_deferred(now);
                self.tick_lost(now);
                self.tick_sync(now);
                self.tick_leaving(now);
            }
            Phase::Left => {}
        }
        self.settle(now);
    }

    /// The next thing to do. Whom to call is given without addresses that lead elsewhere as well;
    /// see [`View::ways_to`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let mut output = self.outputs.pop_front()?;
        if let Output::Message { to, .. } | Output::Call { to, .. } = &mut output
            && to.addresses.len() > 1
            && let Some(view) = self.view()
        {
            to.addresses = view.ways_to(to);
        }
        Some(output)
    }

    /// Draws the consequences of what was just handled: takes in what SWIM
    /// found, decides about the dead, publishes what is due.
    fn settle(&mut self, now: Duration) {
        while let Some(change) = self.swim.poll_change() {
            match change {
                Change::Up(id) => self.see_up(id),
                Change::Down(_) => {
                    if let Phase::In(place) = &mut self.phase {
                        place.unreviewed = true;
                    }
                }
                Change::Renewed(generation) => self.me.generation = generation,
            }
        }
        self.note_unanswered(now);
        self.follow_leave(now);
        self.tick_moving(now);
        self.review(now);
        self.publish_when_due(now);
        self.show_founded();
        let Phase::In(place) = &self.phase else { return };
        let stamp = place.view.stamp();
        self.send_swim(now, stamp);
    }

    /// Sends what SWIM wants sent, each packet with the stamp of the view.
    fn send_swim(&mut self, now: Duration, stamp: Stamp) {
        while let Some((to, packet)) = self.swim.poll_packet() {
            let packet = match &packet {
                SwimPacket::Foca(bytes) => Packet::Swim(bytes),
                SwimPacket::Suspicion(generation, incarnation) => {
                    Packet::Suspicion(*generation, *incarnation)
                }
            };
            let bytes = packet.encode(Some(stamp));
            self.send_packet(now, to, bytes);
        }
    }

    fn send(&mut self, to: Member, message: Message) {
        if let (Message::View { .. }, Some(departures)) = (&message, self.recent_departures()) {
            self.outputs.push_back(Output::Message { to: to.clone(), message: departures });
        }
        self.outputs.push_back(Output::Message { to, message });
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Whether this was not asked of `whom` within the last
    /// [`Config::answer_wait`]; notes that it is now.
    fn may_ask(&mut self, now: Duration, what: Asked, whom: MemberId) -> bool {
        let wait = self.config.answer_wait;
        if self.asked.get(&(what, whom)).is_some_and(|at| now < *at + wait) {
            return false;
        }
        if self.asked.len() >= HISTORY_MAX {
            self.asked.retain(|_, at| now < *at + wait);
        }
        self.asked.insert((what, whom), now);
        true
    }

    /// Reports the settings that a member changes, if there are any.
    fn report_changes(&mut self, member: &Member, changes: Vec<Difference>) {
        if !changes.is_empty() {
            self.emit(Event::Changing { member: member.clone(), changes });
        }
    }

    /// Asks a coordinator to be let in.
    fn apply_to(&mut self, coordinator: Member) {
        let (member, terms) = (self.me.clone(), self.terms.clone());
        let lineage = self.lineage();
        self.send(coordinator, Message::Join { member, lineage, terms });
    }

    /// A view, with what holds in its cluster, which is this member's.
    fn shown(&self, view: View) -> Message {
        Message::View { view, terms: self.terms.clone() }
    }

    /// The lineage that this member's age belongs to.
    fn lineage(&self) -> Option<MemberId> {
        self.phase.place().map(|place| place.view.lineage)
    }

    /// Takes `view` for the current one. `how` says why members went, where
    /// that is known.
    fn adopt(&mut self, now: Duration, view: View, how: &[(MemberId, Departure)]) {
        let Some(entry) = view.get(self.me.id).cloned() else { return };
        let (before, waiting) = match &mut self.phase {
            Phase::In(place) => (std::mem::replace(&mut place.view, view.clone()), Vec::new()),
            Phase::Starting(starting) => {
                let waiting = std::mem::take(&mut starting.waiting);
                let place = Place::new(view.clone(), now, &self.config, &mut self.rng);
                self.phase = Phase::In(place);
                (view.clone(), waiting)
            }
            Phase::Left => return,
        };
        let Phase::In(place) = &mut self.phase else { return };
        // A view that was never shown is no news to compare with.
        let old: &[Arc<Member>] = if place.shown { before.members() } else { &[] };
        place.shown = true;
        place.unreviewed = true;
        let was: HashMap<_, &Member> = old.iter().map(|m| (m.id, &**m)).collect();
        let is: HashSet<_> = view.members().iter().map(|m| m.id).collect();
        let (mut joined, mut moved) = (Vec::new(), Vec::new());
        for member in view.members() {
            match was.get(&member.id) {
                Some(known) if known.generation == member.generation => {
                    if known.addresses != member.addresses {
                        moved.push(Member::clone(member));
                    }
                }
                _ => joined.push(Member::clone(member)),
            }
        }
        let departed: Vec<Departed> = old
            .iter()
            .filter(|m| !is.contains(&m.id))
            .map(|m| {
                let known = how.iter().chain(self.departures.iter().rev());
                let how = known.into_iter().find(|(id, _)| *id == m.id);
                let how = how.map_or(Departure::Lost, |(_, how)| *how);
                Departed { member: Member::clone(m), how }
            })
            .collect();

        self.note_departures(departed.iter().map(|gone| (gone.member.id, gone.how)));

        let me = self.me.id;
        self.me.age = entry.age;
        self.has_moved = entry.addresses != self.me.addresses;
        if entry.generation > self.me.generation {
            // Admitted, or admitted again: what SWIM knew is of another time.
            self.me.generation = entry.generation;
            let peers: Vec<_> = view
                .members()
                .iter()
                .filter(|m| m.id != me)
                .map(|m| (m.id, m.generation))
                .collect();
            self.swim.restart(now, entry.generation, peers.into_iter());
            if view.coordinator().id != me {
                let health = self.swim.state();
                let coordinator = view.coordinator().clone();
                self.send(coordinator, Message::Sync { health, reply: true });
            }
        } else {
            let news = joined.iter().filter(|m| m.id != me).map(|m| (m.id, m.generation));
            self.swim.admit(now, news);
            for gone in &departed {
                self.swim.declare_down(now, gone.member.id);
            }
            self.swim.resize(view.len());
        }

        self.paths.retain(|id, _| is.contains(id));
        let Phase::In(place) = &mut self.phase else { return };
        if before.coordinator().id != view.coordinator().id {
            place.claim = None;
        }
        place.rejoin = None;
        place.passed_over_since = None;
        place.catchup = None;
        place.merging = None;
        place.newcomers.retain(|id, _| !is.contains(id));
        place.checks.retain(|id, _| is.contains(id));
        place.doubts.retain(|id, _| is.contains(id));
        place.moved.retain(|id, _| is.contains(id));
        place.departing.retain(|id, _| is.contains(id));
        for gone in departed.iter().filter(|gone| gone.how == Departure::Lost) {
            place.remember_lost(now, gone.member.clone());
            place.note_loss(now, gone.member.id);
        }
        for member in &joined {
            place.lost.remove(&member.id);
        }
        // Who asked this member to be let in while it led asks the new leader.
        if view.coordinator().id != me {
            let newcomers = std::mem::take(&mut place.newcomers).into_values();
            let joining = std::mem::take(&mut place.joining).into_values();
            let joining = joining.map(|(member, _)| member);
            for member in joining.chain(newcomers.map(Newcomer::into_member)) {
                let coordinator = view.coordinator().clone();
                self.send(member, Message::Redirect { coordinator });
            }
        }
        if view.len() > 1 {
            self.note_let_in();
        }
        if !joined.is_empty() || !moved.is_empty() || !departed.is_empty() {
            self.note_shared_addresses(&view);
        }
        for applicant in waiting {
            self.take_join(now, applicant);
        }
        self.emit(Event::View { view, joined, departed, moved });
    }

    fn note_shared_addresses(&mut self, view: &View) {
        let Phase::In(place) = &mut self.phase else { return };
        let shared = view.shared_addresses();
        let before = std::mem::replace(&mut place.shared, shared.keys().copied().collect());
        for (address, [one, other]) in shared {
            if !before.contains(&address)
                && let (Some(one), Some(other)) = (view.get(one), view.get(other))
            {
                let members = [one.clone(), other.clone()];
                self.emit(Event::SharedAddress { address, members });
            }
        }
    }

    /// Follows a step that the coordinator published.
    fn take_delta(&mut self, now: Duration, from: MemberId, delta: &Delta) {
        let Some(place) = self.phase.place_mut() else { return };
        if !delta.id.is_newer_than(&place.view.id) {
            return;
        }
        match place.view.apply(delta) {
            Some(view) if view.contains(self.me.id) => {
                place.remember_step(delta.clone());
                self.adopt(now, view, &delta.departed);
            }
            Some(_) if place.leaving_since.is_some() => self.finish_leaving(now),
            Some(view) => self.rejoin(now, view.coordinator().clone()),
            None => {
                self.note_departures(delta.departed.iter().copied());
                let stamp = Stamp { id: delta.id, digest: 0 };
                self.note_stamp(now, from, stamp);
            }
        }
    }

    fn next_deadline(&self, place: &Place) -> Option<Duration> {
        [
            self.publication_due(place),
            Self::newcomers_due(place),
            place.doubts_due(),
            self.moving_due(place),
            place.claim.as_ref().map(|claim| claim.since + self.config.claim_wait),
            place.claim.is_none().then(|| Self::deferred_due(place)).flatten(),
            // Whoever does not decide has no use for a second opinion.
            self.is_acting(place)
                .then(|| place.checks.values().map(Check::next_deadline).min())
                .flatten(),
            place.rejoin.as_ref().map(|rejoin| rejoin.asked_at + self.config.answer_wait),
            place.catchup.as_ref().map(|catchup| catchup.due_at),
            place.leaving_since.map(|since| since + self.config.leave_wait),
            (!place.lost.is_empty()).then_some(place.recall_at),
            Some(place.sync_at),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl Phase {
    fn place(&self) -> Option<&Place> {
        match self {
            Self::In(place) => Some(place),
            Self::Starting(_) | Self::Left => None,
        }
    }

    fn place_mut(&mut self) -> Option<&mut Place> {
        match self {
            Self::In(place) => Some(place),
            Self::Starting(_) | Self::Left => None,
        }
    }
}
