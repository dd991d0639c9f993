//! The membership state machine of one member.
//!
//! Naming follows quinn: `handle_*` methods take events, `poll_*` methods return what to do, and
//! other names are getters. After any `handle_*`, drain [`Membership::poll_output`] until it is
//! empty, then call [`Membership::poll_timeout`]. Times are durations since the process started.
//!
//! - `admission`: admission of members that can be reached
//! - [`startup`](self): from the start of a process to its first view
//! - `coordination`: the coordinator: admit, remove, publish, take over
//! - `reachability`: members that cannot be reached any more
//! - `address_changes`: addresses that change while a member runs
//! - `shared_addresses`: addresses that several members advertise
//! - `merging`: views of other members: newer, older, of another cluster; splits and merges
//! - `reach`: what calls to a member's addresses say about it
//! - `paths`: packets over streams, where datagrams do not arrive
//! - `repair`: catching up on missed views, calling lost members

mod address_changes;
mod admission;
mod coordination;
mod merging;
mod paths;
mod reach;
mod reachability;
mod repair;
mod shared_addresses;
mod startup;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::config::Config;
use crate::member::{Member, MemberId};
use crate::message::{DecodeError, Hello, JoinRefusal, MemberStatus, Message, Packet, Summary};
use crate::swim::{Change, Swim, SwimPacket};
use crate::terms::{Difference, Terms};
use crate::view::{Delta, Departure, View, ViewStamp};

use address_changes::Moved;
use admission::{Applicant, Calls, Losses, MergeRequest, Merging, Newcomer};
use coordination::{Check, Takeover};
use merging::FoundCluster;
use paths::Path;
pub use reach::AtAddress;
use reachability::{PartitionedPairs, Report, UnresponsiveMember};
use repair::{Catchup, Lost};
use shared_addresses::Shared;
use startup::Starting;

/// Maximum number of steps of the view that are kept for members that lag behind.
const HISTORY_MAX: usize = 128;

/// Actions for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes in a datagram. It may be lost.
    Packet {
        /// The receiver.
        to: MemberId,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Send this message over a stream; open one if there is none. If that fails, call
    /// [`Membership::handle_reach`].
    Message {
        /// The receiver and its addresses.
        to: Member,
        /// The message.
        message: Message,
    },
    /// Open a new stream, even if there is one, and report the result with
    /// [`Membership::handle_connected`] and [`Membership::handle_reach`].
    Call {
        /// The receiver and its addresses.
        to: Member,
        /// Whether the call may take longer: the question is whether there is any route, not how
        /// quickly the member answers.
        patient: bool,
    },
    /// For operators, and for the layers above.
    Event(Event),
}

/// The result of an attempt to reach a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The handshake succeeded.
    Answered,
    /// All its addresses refuse connections.
    Gone,
    /// Another process listens on one of its addresses, and nothing on the others. Several hosts
    /// may have the same address, so this alone does not prove that the member is dead.
    Displaced,
    /// No reply in time, or no route.
    Silent,
}

/// A member that is no longer in the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The member.
    pub member: Member,
    /// The kind of departure.
    pub how: Departure,
}

/// Events for operators and for the layers above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is a new view.
    View {
        /// The view.
        view: View,
        /// New members, oldest first.
        joined: Vec<Member>,
        /// Members of the previous view that are gone.
        departed: Vec<Departed>,
        /// Members whose addresses changed since the previous view.
        moved: Vec<Member>,
    },
    /// Another cluster with this name and password was found.
    ClusterFound {
        /// The other cluster.
        other: Summary,
        /// Whether it merges into this cluster, or this one into it.
        ours_leads: bool,
    },
    /// The other members removed this one, which asks to rejoin.
    Rejoining {
        /// The coordinator that it asks.
        coordinator: Member,
    },
    /// This member is the oldest remaining one and takes over as coordinator.
    TakingOver {
        /// The previous coordinator.
        from: Member,
    },
    /// A suspected member answered: it stays.
    SuspectAnswered(Member),
    /// A member is removed since this and another member could not reach it for a while, although
    /// it was heard.
    Unreachable(Member),
    /// Two members cannot connect to each other, while others can reach both: one of them is
    /// removed.
    PairPartitioned {
        /// The member that stays.
        stays: Member,
        /// The member that is removed, until both can connect to each other.
        goes: Member,
    },
    /// Several members of the view have advertised the same address for a while, so that it may
    /// lead to any of them: it is not used.
    SharedAddress {
        /// The address.
        address: SocketAddr,
        /// The two oldest of these members.
        members: [Member; 2],
    },
    /// A member that asked to join was refused.
    MemberRefused {
        /// The member.
        member: Member,
        /// The reason.
        why: JoinRefusal,
    },
    /// The cluster refuses this member.
    Refused {
        /// Its coordinator.
        by: Member,
        /// The reason.
        why: JoinRefusal,
        /// When this member asks again.
        retry: Duration,
    },
    /// A member that joins, perhaps this one, or its cluster is changing settings.
    Changing {
        /// The member.
        member: Member,
        /// The cluster's values and the member's.
        changes: Vec<Difference>,
    },
    /// Datagrams to or from another member do not arrive, while streams work; the failure
    /// detector's packets are sent over streams.
    DatagramsBlocked {
        /// The other member.
        member: Member,
        /// True if they do not arrive at this member. In that case only one member is reported, not
        /// all.
        here: bool,
    },
    /// Datagrams to and from another member arrive again.
    DatagramsRestored(Member),
    /// This member has left; no further outputs follow.
    Left,
}

/// The membership of one process. See the [module](self) for how to drive it.
pub struct Membership {
    config: Config,
    me: Member,
    /// The terms that this member was configured with; from its first view on, those of its
    /// cluster.
    terms: Terms,
    swim: Swim,
    rng: StdRng,
    phase: Phase,
    outputs: VecDeque<Output>,
    /// When a request was last sent to a member: at most one of each kind within
    /// [`Config::answer_wait`].
    asked: HashMap<(RequestKind, MemberId), Duration>,
    /// When this process last handled something.
    active_at: Duration,
    /// Recent departures, the latest last.
    departures: VecDeque<(MemberId, Departure)>,
    /// Members to or from which datagrams do not arrive.
    paths: HashMap<MemberId, Path>,
    calls: Calls,
    /// Whether the view has other addresses for this member than its current ones.
    has_moved: bool,
}

/// The requests that are limited by [`Membership::may_request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RequestKind {
    Pull,
    SendView,
    Sighting,
    Merge,
    UnresponsiveMember,
    Unreachable,
    Moved,
}

enum Phase {
    Starting(Starting),
    Joined(ClusterState),
    Left,
}

/// The state of a member that belongs to a cluster.
struct ClusterState {
    view: View,
    history: VecDeque<Delta>,
    /// Members to admit with the next publication, with the lineage of their ages.
    joining: BTreeMap<MemberId, (Member, Option<MemberId>)>,
    /// Members that are being called before they are admitted.
    newcomers: BTreeMap<MemberId, Newcomer>,
    merging: Option<Box<Merging>>,
    losses: BTreeMap<MemberId, Losses>,
    /// Members that do not answer calls, although SWIM hears them.
    doubts: BTreeMap<MemberId, UnresponsiveMember>,
    /// Reports that one member (first) cannot reach another (second).
    unreachable_reports: BTreeMap<(MemberId, MemberId), Report>,
    /// Members that were removed because they and another member could not connect to each other.
    partitioned: PartitionedPairs,
    /// When a member of the view was last lost.
    lost_at: Option<Duration>,
    /// Addresses that several members advertise.
    shared: BTreeMap<SocketAddr, Shared>,
    /// Members whose addresses changed.
    moved: BTreeMap<MemberId, Moved>,
    /// Members to remove with the next publication.
    departing: BTreeMap<MemberId, Departure>,
    published_at: Option<Duration>,
    /// Whether a view of this cluster was reported yet.
    shown: bool,
    /// Whether SWIM reported a change since the last review.
    unreviewed: bool,
    checks: BTreeMap<MemberId, Check>,
    claim: Option<Takeover>,
    /// The coordinator from which this member has taken over, for as long as it is in the view.
    took_over_from: Option<MemberId>,
    /// When this process last resumed after a pause.
    resumed_at: Option<Duration>,
    /// A cluster that asked to be merged when that could not be decided.
    deferred: Option<Box<MergeRequest>>,
    /// Since when newer views do not contain this member.
    left_out_since: Option<Duration>,
    rejoin: Option<Box<Rejoin>>,
    /// Other clusters that were reported, by coordinator.
    found_clusters: BTreeMap<MemberId, FoundCluster>,
    /// Since when this member is leaving.
    leaving_since: Option<Duration>,
    /// The coordinator that was asked to remove this member.
    leave_asked_of: Option<MemberId>,
    catchup: Option<Catchup>,
    lost: BTreeMap<MemberId, Lost>,
    recall_at: Duration,
    sync_at: Duration,
}

/// Rejoining a cluster that removed this member.
struct Rejoin {
    coordinator: Member,
    asked_at: Duration,
    tries: u32,
}

/// Maximum number of requests to a cluster that removed this member.
const REJOIN_TRIES_MAX: u32 = 6;
/// Requests to one such cluster before another one is asked.
const REJOIN_TRIES_MIN: u32 = 2;

impl ClusterState {
    fn new(view: View, now: Duration, config: &Config, rng: &mut StdRng) -> Self {
        Self {
            view,
            history: VecDeque::new(),
            joining: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            merging: None,
            losses: BTreeMap::new(),
            doubts: BTreeMap::new(),
            unreachable_reports: BTreeMap::new(),
            partitioned: PartitionedPairs::new(),
            lost_at: None,
            shared: BTreeMap::new(),
            moved: BTreeMap::new(),
            departing: BTreeMap::new(),
            published_at: None,
            shown: false,
            unreviewed: true,
            checks: BTreeMap::new(),
            claim: None,
            took_over_from: None,
            resumed_at: None,
            deferred: None,
            left_out_since: None,
            rejoin: None,
            found_clusters: BTreeMap::new(),
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
    /// assigned by the cluster that it joins.
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
            active_at: Duration::ZERO,
            departures: VecDeque::new(),
            paths: HashMap::new(),
            calls: Calls::default(),
            has_moved: false,
        }
    }

    /// This member, as it introduces itself.
    #[must_use]
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// The terms that this member was configured with; from its first view on, those of its
    /// cluster, with nothing left open.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The view, once there is one.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        match &self.phase {
            Phase::Joined(cluster) => Some(&cluster.view),
            Phase::Starting(_) | Phase::Left => None,
        }
    }

    /// Members of the view that are suspected.
    pub fn suspects(&self) -> impl Iterator<Item = MemberId> {
        self.swim.suspects()
    }

    /// The hello for a handshake now.
    #[must_use]
    pub fn hello(&self) -> Hello {
        let standing = match &self.phase {
            Phase::Starting(_) => MemberStatus::Starting,
            Phase::Joined(cluster) if cluster.leaving_since.is_some() => MemberStatus::Leaving,
            Phase::Joined(cluster) => MemberStatus::In(Box::new(Summary::of(&cluster.view))),
            Phase::Left => MemberStatus::Leaving,
        };
        Hello { member: self.me.clone(), standing }
    }

    /// Handles a successful handshake. `called` is true if this member opened the connection, which
    /// proves that the other can be reached from here.
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
        if let Phase::Joined(cluster) = &mut self.phase {
            cluster.note_address_of_lost(&member);
        }
        match standing {
            MemberStatus::Observer | MemberStatus::Leaving | MemberStatus::Data => {}
            MemberStatus::Starting => self.meet_starting(now, member),
            MemberStatus::In(summary) => self.meet_settled(now, member, *summary),
        }
        self.after_input(now);
    }

    /// Handles a datagram from an authenticated member.
    ///
    /// # Errors
    /// If the bytes are not of this version of the protocol.
    pub fn handle_packet(
        &mut self,
        now: Duration,
        from: MemberId,
        bytes: &[u8],
    ) -> Result<(), DecodeError> {
        self.notice_pause(now);
        self.note_datagram(now, from);
        let understood = self.process_packet(now, from, bytes);
        self.after_input(now);
        understood
    }

    /// Handles a packet, from a datagram or a stream.
    fn process_packet(
        &mut self,
        now: Duration,
        from: MemberId,
        bytes: &[u8],
    ) -> Result<(), DecodeError> {
        let (stamp, packet) = Packet::decode(bytes)?;
        let understood = match packet {
            Packet::Swim(packet) => {
                self.phase.cluster().is_none() || self.swim.handle_packet(now, packet)
            }
            Packet::Suspicion(generation, incarnation) => {
                self.swim.handle_suspicion(now, generation, incarnation);
                true
            }
            Packet::Delta(delta) => {
                self.handle_delta(now, from, &delta, &[]);
                true
            }
            Packet::StampOnly => true,
        };
        if let Some(stamp) = stamp {
            self.note_stamp(now, from, stamp);
        }
        if understood { Ok(()) } else { Err(DecodeError) }
    }

    /// Handles a message from an authenticated member over a stream.
    pub fn handle_message(&mut self, now: Duration, from: &Member, message: Message) {
        self.notice_pause(now);
        match message {
            Message::Join { member, lineage, terms } => {
                self.handle_join(now, Applicant { member, lineage, terms });
            }
            Message::CheckReach { member } => self.handle_check_reach(from, member),
            Message::ReachChecked { id, reached } => {
                self.handle_reach_checked(now, from.id, id, reached);
            }
            Message::Unreachable { id, for_ms } => {
                self.handle_unreachable(now, from.id, id, Duration::from_millis(for_ms.into()));
            }
            Message::Refused { why, retry_ms } => self.handle_refused(now, from, why, retry_ms),
            Message::Redirect { coordinator } => self.handle_redirect(now, from, coordinator),
            Message::Pull { have } => self.answer_pull(from, have),
            Message::View { view, terms } => self.handle_view(now, from, view, &terms),
            Message::Deltas(deltas) => {
                for (at, delta) in deltas.iter().enumerate() {
                    self.handle_delta(now, from.id, delta, &deltas[at + 1..]);
                }
                self.claim_heard(now, from.id);
            }
            Message::Sighting(summary) => {
                if self.phase.cluster().is_some_and(|cluster| !cluster.view.contains(from.id)) {
                    // The sender takes this member for its coordinator, or is a coordinator itself:
                    // it needs the current view.
                    self.send_view(now, from);
                }
                self.sight(now, &summary);
            }
            Message::Merge { view, terms } => {
                self.handle_merge(now, MergeRequest { from: from.clone(), view, terms });
            }
            Message::Leave => self.handle_leave_request(from.id),
            Message::Addresses(addresses) => self.handle_addresses_of(now, from.id, &addresses),
            Message::Departures(departures) => self.note_departures(departures),
            Message::Packet { heard, bytes } => {
                self.note_stream_packet(now, from.id, heard);
                // A packet of another version is ignored, like a datagram.
                let _ = self.process_packet(now, from.id, &bytes);
            }
            Message::Sync { health, reply } => {
                if self.phase.cluster().is_some_and(|cluster| cluster.view.contains(from.id)) {
                    self.swim.absorb(now, health);
                    if reply {
                        let health = self.swim.state();
                        self.send(from.clone(), Message::Sync { health, reply: false });
                    }
                }
            }
        }
        self.after_input(now);
    }

    /// Handles the end of an attempt to reach a member; also when a stream to it broke and could
    /// not be reopened.
    pub fn handle_reach(&mut self, now: Duration, id: MemberId, reach: Reach) {
        self.notice_pause(now);
        match &self.phase {
            Phase::Starting(_) => {
                self.reach_newcomer(now, id, reach);
                self.reach_while_starting(now, id, reach);
            }
            Phase::Joined(_) => {
                self.reach_newcomer(now, id, reach);
                self.reach_lost(id, reach);
                self.reach_checked(now, id, reach);
                self.reach_doubted(now, id, reach);
            }
            Phase::Left => {}
        }
        self.after_input(now);
    }

    /// Handles that a data stream to a member cannot be opened, or carries no replies: the member
    /// is called, and removed if it stays unreachable although datagrams arrive.
    pub fn handle_data_unreachable(&mut self, now: Duration, id: MemberId) {
        self.notice_pause(now);
        self.doubt(now, id);
        self.after_input(now);
    }

    /// Every mode has completed a lookup, and every candidate has been called: all members that can
    /// be found are known.
    pub fn handle_discovery_done(&mut self, now: Duration) {
        self.notice_pause(now);
        if let Phase::Starting(starting) = &mut self.phase {
            starting.discovery_done_at.get_or_insert(now);
        }
        self.handle_timeout(now);
    }

    /// Starts to leave; [`Event::Left`] follows.
    pub fn handle_leave(&mut self, now: Duration) {
        self.start_leaving(now);
        self.after_input(now);
    }

    /// When to call [`Membership::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let own = match &self.phase {
            Phase::Starting(starting) => starting.next_deadline(&self.config),
            Phase::Joined(cluster) => self.next_deadline(cluster),
            Phase::Left => return None,
        };
        [own, self.swim.poll_timeout()].into_iter().flatten().min()
    }

    /// The round-trip time of each probe that was answered since the last call, the oldest first.
    /// The number is bounded.
    pub fn poll_round_trip(&mut self) -> Option<Duration> {
        self.swim.poll_round_trip()
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.notice_pause(now);
        self.tick_refusal(now);
        match self.phase {
            Phase::Starting(_) => self.tick_starting(now),
            Phase::Joined(_) => {
                self.swim.handle_timeout(now);
                self.after_input(now);
                self.tick_newcomers(now);
                self.tick_doubts(now);
                self.tick_rejoin(now);
                self.tick_catchup(now);
                self.tick_claim(now);
                self.tick_deferred(now);
                self.tick_lost(now);
                self.tick_sync(now);
                self.tick_leaving(now);
                self.tick_shared(now);
            }
            Phase::Left => {}
        }
        self.after_input(now);
    }

    /// The next output. Members to call are returned without addresses that may lead to another
    /// member; see [`View::dial_addresses`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let mut output = self.outputs.pop_front()?;
        if let Output::Message { to, .. } | Output::Call { to, .. } = &mut output
            && to.addresses.len() > 1
            && let Some(view) = self.view()
        {
            to.addresses = view.dial_addresses(to);
        }
        Some(output)
    }

    /// Acts on what was just handled: applies the changes that SWIM reported, reviews dead members,
    /// publishes what is due.
    fn after_input(&mut self, now: Duration) {
        while let Some(change) = self.swim.poll_change() {
            match change {
                Change::Up(id) => self.see_up(id),
                Change::Down(_) => {
                    if let Phase::Joined(cluster) = &mut self.phase {
                        cluster.unreviewed = true;
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
        let Phase::Joined(cluster) = &self.phase else { return };
        let stamp = cluster.view.stamp();
        self.send_swim(now, stamp);
    }

    /// Sends SWIM's pending packets, each with the stamp of the view.
    fn send_swim(&mut self, now: Duration, stamp: ViewStamp) {
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

    /// Whether no such request was sent to `receiver` within the last [`Config::answer_wait`]; if so,
    /// records that one is sent now.
    fn may_request(&mut self, now: Duration, what: RequestKind, receiver: MemberId) -> bool {
        let wait = self.config.answer_wait;
        if self.asked.get(&(what, receiver)).is_some_and(|at| now < *at + wait) {
            return false;
        }
        if self.asked.len() >= HISTORY_MAX {
            self.asked.retain(|_, at| now < *at + wait);
        }
        self.asked.insert((what, receiver), now);
        true
    }

    /// Reports the settings that a member changes, if there are any.
    fn report_changes(&mut self, member: &Member, changes: Vec<Difference>) {
        if !changes.is_empty() {
            self.emit(Event::Changing { member: member.clone(), changes });
        }
    }

    /// Asks a coordinator to join.
    fn apply_to(&mut self, coordinator: Member) {
        let (member, terms) = (self.me.clone(), self.terms.clone());
        let lineage = self.lineage();
        self.send(coordinator, Message::Join { member, lineage, terms });
    }

    /// A message with a view, and with the terms of this member's cluster.
    fn shown(&self, view: View) -> Message {
        Message::View { view, terms: self.terms.clone() }
    }

    /// The lineage that this member's age belongs to.
    fn lineage(&self) -> Option<MemberId> {
        self.phase.cluster().map(|cluster| cluster.view.lineage)
    }

    /// Makes `view` the current view. `how` has the reasons of departures, where they are known.
    fn adopt(&mut self, now: Duration, view: View, how: &[(MemberId, Departure)]) {
        let Some(entry) = view.get(self.me.id).cloned() else { return };
        let (before, waiting) = match &mut self.phase {
            Phase::Joined(cluster) => {
                (std::mem::replace(&mut cluster.view, view.clone()), Vec::new())
            }
            Phase::Starting(starting) => {
                let waiting = std::mem::take(&mut starting.waiting);
                let cluster = ClusterState::new(view.clone(), now, &self.config, &mut self.rng);
                self.phase = Phase::Joined(cluster);
                (view.clone(), waiting)
            }
            Phase::Left => return,
        };
        let Phase::Joined(cluster) = &mut self.phase else { return };
        // A view that was never reported is not compared with.
        let old: &[Arc<Member>] = if cluster.shown { before.members() } else { &[] };
        cluster.shown = true;
        cluster.unreviewed = true;
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
            // Admitted, or admitted again: SWIM's state of it is outdated.
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

        let is_new = |id: &MemberId| joined.iter().any(|member| member.id == *id);
        self.paths.retain(|id, _| is.contains(id) && !is_new(id));
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if before.coordinator().id != view.coordinator().id {
            cluster.claim = None;
            cluster.took_over_from = None;
        }
        cluster.rejoin = None;
        cluster.left_out_since = None;
        cluster.catchup = None;
        cluster.merging = None;
        cluster.newcomers.retain(|id, _| !is.contains(id));
        cluster.checks.retain(|id, _| is.contains(id));
        cluster.doubts.retain(|id, _| is.contains(id));
        cluster.moved.retain(|id, _| is.contains(id));
        cluster.departing.retain(|id, _| is.contains(id));
        cluster.found_clusters.retain(|id, _| !is.contains(id));
        for gone in departed.iter().filter(|gone| gone.how == Departure::Lost) {
            cluster.remember_lost(now, gone.member.clone());
            cluster.note_loss(now, gone.member.id);
        }
        for member in &joined {
            cluster.lost.remove(&member.id);
        }
        if !joined.is_empty() || !moved.is_empty() || !departed.is_empty() {
            cluster.note_shared_addresses(now, &view);
        }
        // Members that asked this one to join while it was coordinator must ask the new
        // coordinator.
        if view.coordinator().id != me {
            let newcomers = std::mem::take(&mut cluster.newcomers).into_values();
            let joining = std::mem::take(&mut cluster.joining).into_values();
            let joining = joining.map(|(member, _)| member);
            for member in joining.chain(newcomers.map(Newcomer::into_member)) {
                let coordinator = view.coordinator().clone();
                self.send(member, Message::Redirect { coordinator });
            }
        }
        if view.len() > 1 {
            self.note_let_in();
        }
        for applicant in waiting {
            self.handle_join(now, applicant);
        }
        self.emit(Event::View { view, joined, departed, moved });
    }

    /// Applies a step that the coordinator published; `later` has the steps that follow it, as far
    /// as they are known.
    fn handle_delta(&mut self, now: Duration, from: MemberId, delta: &Delta, later: &[Delta]) {
        let Some(cluster) = self.phase.cluster_mut() else { return };
        if !delta.id.is_newer_than(&cluster.view.id) {
            return;
        }
        match cluster.view.apply(delta) {
            Some(view) if view.contains(self.me.id) => {
                cluster.remember_step(delta.clone());
                self.adopt(now, view, &delta.departed);
            }
            Some(_) if cluster.leaving_since.is_some() => self.finish_leaving(now),
            Some(view) => {
                // Since that step, its coordinator may have left or been lost.
                let last = later.iter().try_fold(view.clone(), |view, step| view.apply(step));
                self.rejoin(now, last.unwrap_or(view).coordinator().clone());
            }
            None => {
                self.note_departures(delta.departed.iter().copied());
                let stamp = ViewStamp { id: delta.id, digest: 0 };
                self.note_stamp(now, from, stamp);
            }
        }
    }

    fn next_deadline(&self, cluster: &ClusterState) -> Option<Duration> {
        [
            self.publication_due(cluster),
            Self::newcomers_due(cluster),
            cluster.doubts_due(),
            cluster.shared_due(),
            self.moving_due(cluster),
            cluster.claim.as_ref().map(|claim| claim.since + self.config.claim_wait),
            cluster.claim.is_none().then(|| Self::deferred_due(cluster)).flatten(),
            // A member that does not decide needs no second opinion.
            self.is_acting(cluster)
                .then(|| cluster.checks.values().map(Check::next_deadline).min())
                .flatten(),
            cluster.rejoin.as_ref().map(|rejoin| rejoin.asked_at + self.config.answer_wait),
            cluster.catchup.as_ref().map(|catchup| catchup.due_at),
            cluster.leaving_since.map(|since| since + self.config.leave_wait),
            (!cluster.lost.is_empty()).then_some(cluster.recall_at),
            Some(cluster.sync_at),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl Phase {
    fn cluster(&self) -> Option<&ClusterState> {
        match self {
            Self::Joined(cluster) => Some(cluster),
            Self::Starting(_) | Self::Left => None,
        }
    }

    fn cluster_mut(&mut self) -> Option<&mut ClusterState> {
        match self {
            Self::Joined(cluster) => Some(cluster),
            Self::Starting(_) | Self::Left => None,
        }
    }
}
