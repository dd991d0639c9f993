//! Drives the membership core: owns its UDP sockets, streams and clock. Runs on a separate thread,
//! so that WebAssembly guests cannot delay it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_grid::Grid;
use convoke_membership::view::Departure;
use convoke_membership::{
    Event, JoinRefusal, Member, MemberId, MemberStatus, Membership, Output, Terms,
};
use convoke_wire::{ClusterKeys, DatagramOpener, DatagramSealer, OpenError, Opened, PeerId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::calls::{CONNECT_MS_MAX, Call};
use super::input::Input;
use super::links::Links;
use super::schedule::{Turns, Work};
use super::sockets::Sockets;
use super::state::{Counters, MemberState, increment};
use crate::describe;
use crate::settings::agreed;

/// Maximum UDP payload that is read, in bytes; members send no longer ones.
const DATAGRAM_READ_BYTES: usize = 2_048;
/// Maximum number of datagrams from unknown senders that are opened in one turn: each costs a key
/// derivation. The rest are dropped; one datagram makes a sender known.
const UNKNOWN_PER_TURN_MAX: usize = 32;
/// Number of members after it in the view to which each member keeps streams open, so that each is
/// watched by as many: when a process dies, its streams break immediately.
const WATCHED: usize = 3;
/// Time limit for opening a connection, in milliseconds, to determine whether the member can be
/// reached at all.
const PATIENT_MS_MAX: u64 = 3_000;
/// Time limit for sending pending messages when this member leaves, in milliseconds.
const FLUSH_MS_MAX: u64 = 300;

/// Everything that the driver needs to run.
pub(crate) struct Driver {
    pub(crate) core: Membership,
    /// The sockets of the member port; not registered with a runtime yet.
    pub(crate) sockets: Vec<std::net::UdpSocket>,
    pub(crate) keys: Arc<ClusterKeys>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) input: mpsc::Sender<Input>,
    /// Publishes this member's state to the rest of the process.
    pub(crate) member_state: watch::Sender<Arc<MemberState>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) grid: Grid,
}

struct Running {
    core: Membership,
    sockets: Sockets,
    inputs: mpsc::Receiver<Input>,
    buffer: Box<[u8; DATAGRAM_READ_BYTES]>,
    /// Datagrams from unknown senders that may still be opened in this turn.
    unknown_left: usize,
    sealer: DatagramSealer,
    opener: DatagramOpener,
    links: Links,
    member_state: watch::Sender<Arc<MemberState>>,
    counters: Arc<Counters>,
    grid: Grid,
    started: Instant,
    /// The address at which each member was last reached.
    addresses: HashMap<MemberId, SocketAddr>,
    /// The suspected members at the last check.
    suspects: HashSet<MemberId>,
    /// The settings that this member was configured with.
    terms: Terms,
    /// The refusal that was last published.
    refusal: Option<JoinRefusal>,
    sealed: Vec<u8>,
    left: bool,
}

impl Work for Running {
    fn take_datagram(&mut self) -> bool {
        let received = self.sockets.try_receive(&mut self.buffer[..]);
        if let Some((length, from)) = received {
            self.open(length, from);
        }
        received.is_some()
    }

    fn take_input(&mut self) -> bool {
        match self.inputs.try_recv() {
            Ok(input) => self.take(input),
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => {
                self.left = true;
                return false;
            }
        }
        true
    }

    fn is_timer_due(&self) -> bool {
        self.core.poll_timeout().is_some_and(|at| at <= self.now())
    }

    fn fire_timers(&mut self) {
        self.core.handle_timeout(self.now());
        let suspects: HashSet<MemberId> = self.core.suspects().collect();
        if suspects != self.suspects {
            self.suspects = suspects;
            self.publish();
        }
    }
}

impl Driver {
    /// Runs until this member has left.
    pub(crate) async fn run(self) {
        let me = PeerId(*self.core.me().id.as_bytes());
        let terms = self.core.terms().clone();
        let sockets = self.sockets.into_iter().map(UdpSocket::from_std);
        let sockets = match sockets.collect::<Result<_, _>>().and_then(Sockets::new) {
            Ok(sockets) => sockets,
            Err(error) => {
                warn!(%error, "cannot use the UDP sockets of the member port");
                return;
            }
        };
        let mut running = Running {
            inputs: self.inputs,
            buffer: Box::new([0; DATAGRAM_READ_BYTES]),
            unknown_left: UNKNOWN_PER_TURN_MAX,
            sealer: DatagramSealer::new(self.keys.gossip(), me),
            opener: DatagramOpener::new(self.keys.gossip(), me),
            links: Links::new(self.core.me().id, Arc::clone(&self.keys), self.input),
            core: self.core,
            sockets,
            member_state: self.member_state,
            counters: self.counters,
            grid: self.grid,
            started: Instant::now(),
            addresses: HashMap::new(),
            suspects: HashSet::new(),
            terms,
            refusal: None,
            sealed: Vec::new(),
            left: false,
        };
        running.drain();
        let (mut turns, mut more) = (Turns::default(), false);
        while !running.left {
            if !more {
                running.wait().await;
            }
            if more || running.is_timer_due() {
                // Streams and calls are tasks of this thread: yield, so that they make progress and
                // new input is seen.
                tokio::task::yield_now().await;
            }
            running.unknown_left = UNKNOWN_PER_TURN_MAX;
            more = turns.turn(&mut running);
            while let Some(took) = running.core.poll_round_trip() {
                running.counters.round_trips.add(took);
            }
            running.drain();
        }
        let flush = running.links.flush();
        let _ = tokio::time::timeout(Duration::from_millis(FLUSH_MS_MAX), flush).await;
    }
}

impl Running {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until there is something to do, and handles what arrives first.
    async fn wait(&mut self) {
        let wake = self.core.poll_timeout().map(|at| self.started + at);
        let sleep = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((length, from)) = self.sockets.receive(&mut self.buffer[..]) => {
                self.open(length, from);
            }
            input = self.inputs.recv() => self.take_or_end(input),
            () = sleep => {}
        }
    }

    fn take_or_end(&mut self, input: Option<Input>) {
        match input {
            Some(input) => self.take(input),
            None => self.left = true,
        }
    }

    /// Opens the datagram in the buffer.
    fn open(&mut self, length: usize, from: SocketAddr) {
        let mut payload = std::mem::take(&mut self.sealed);
        match self.open_into(length, &mut payload) {
            Ok(opened) => {
                let id = MemberId::from_bytes(opened.sender.0);
                self.learn(id, from);
                if self.core.handle_packet(self.now(), id, &payload).is_err() {
                    increment(&self.counters.malformed);
                }
            }
            Err(OpenError::Replayed | OpenError::Own) => {
                increment(&self.counters.replayed);
            }
            Err(error) => {
                if self.counters.foreign.fetch_add(1, Ordering::Relaxed) == 0 {
                    info!(%from, %error, "ignored a UDP datagram that is not from this cluster; further ones are only counted, as foreign_datagrams in /status");
                }
            }
        }
        self.sealed = payload;
    }

    fn open_into(&mut self, length: usize, payload: &mut Vec<u8>) -> Result<Opened, OpenError> {
        let datagram = &self.buffer[..length];
        if !self.opener.is_known(self.opener.claimed_sender(datagram)?) {
            self.unknown_left = self.unknown_left.checked_sub(1).ok_or(OpenError::Foreign)?;
        }
        self.opener.open(datagram, payload)
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Connected { call, called } => {
                let Call { hello, stream } = *call;
                if hello.member.id == self.core.me().id
                    || matches!(
                        hello.standing,
                        MemberStatus::Observer | MemberStatus::Leaving | MemberStatus::Data
                    )
                {
                    return;
                }
                if let Ok(address) = stream.get_ref().peer_addr()
                    && hello.member.addresses.contains(&address)
                {
                    self.addresses.insert(hello.member.id, address);
                }
                self.links.add(&hello, stream);
                self.core.handle_connected(now, hello, called);
            }
            Input::Message { from, message } => self.core.handle_message(now, &from, message),
            Input::LinkEnded { id, serial, fault } => {
                debug!(member = %id, fault = fault.as_deref().unwrap_or("closed"), "stream ended");
                if self.links.ended(id, serial) {
                    self.watch(id);
                }
            }
            Input::Reached { id, reach } => {
                self.links.called(id);
                self.core.handle_reach(now, id, reach);
            }
            Input::Addresses { advertised_addresses, used, closed, opened } => {
                let opened = opened.into_iter().filter_map(|s| UdpSocket::from_std(s).ok());
                self.sockets.change(&closed, opened.collect());
                self.core.handle_addresses(now, advertised_addresses);
                // The published state still has the old addresses.
                self.publish();
                for id in self.links.keep_from(&used) {
                    self.watch(id);
                }
            }
            Input::DataUnreachable { id } => self.core.handle_data_unreachable(now, id),
            Input::FirstRoundDone => self.core.handle_discovery_done(now),
            Input::Leave => self.core.handle_leave(now),
        }
    }

    /// The last stream to a member ended: checks whether the member is still alive.
    fn watch(&mut self, id: MemberId) {
        let member = self.core.view().and_then(|view| view.get(id)).cloned();
        if let Some(member) = member {
            let hello = self.core.hello().encode();
            self.links.call(&member, &hello, CONNECT_MS_MAX);
        }
    }

    fn drain(&mut self) {
        // Published before the log line is written: a reader of the line must find the member not
        // ready.
        if self.core.refusal() != self.refusal.as_ref() {
            self.refusal = self.core.refusal().cloned();
            self.publish();
        }
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Packet { to, bytes } => self.send(to, &bytes),
                Output::Message { to, message } => {
                    self.links.send(&to, message, || self.core.hello().encode());
                }
                Output::Call { to, patient } => {
                    let hello = self.core.hello().encode();
                    let connect_ms = if patient { PATIENT_MS_MAX } else { CONNECT_MS_MAX };
                    self.links.call(&to, &hello, connect_ms);
                }
                Output::Event(event) => self.report(event),
            }
        }
        self.counters.links.store(self.links.count(), Ordering::Relaxed);
    }

    fn send(&mut self, to: MemberId, payload: &[u8]) {
        if self.sealer.seal(PeerId(*to.as_bytes()), payload, &mut self.sealed).is_err() {
            return;
        }
        let member = self.core.view().and_then(|view| view.get(to));
        match (self.addresses.get(&to), member) {
            (Some(address), _) if !self.suspects.contains(&to) => {
                self.sockets.send(&self.sealed, *address);
            }
            // No address is confirmed yet, or the confirmed one no longer works: send to all of
            // them, and remember the one from which the member answers.
            (_, Some(member)) => {
                let ways =
                    self.core.view().map(|view| view.dial_addresses(member)).unwrap_or_default();
                for address in ways {
                    self.sockets.send(&self.sealed, address);
                }
            }
            (Some(address), None) => self.sockets.send(&self.sealed, *address),
            (None, None) => {}
        }
    }

    /// Remembers that a member can be reached at the source address of its datagram, if that is one
    /// of the addresses that it advertises.
    fn learn(&mut self, id: MemberId, from: SocketAddr) {
        if self.addresses.get(&id) == Some(&from) {
            return;
        }
        let member = self.core.view().and_then(|view| view.get(id));
        let is_advertised = member.is_some_and(|member| member.addresses.contains(&from));
        if is_advertised && (!self.addresses.contains_key(&id) || self.suspects.contains(&id)) {
            self.addresses.insert(id, from);
        }
    }

    fn report(&mut self, event: Event) {
        let me = self.core.me().id;
        match event {
            Event::View { view, joined, departed, moved } => {
                let lost = departed.iter().filter(|gone| gone.how == Departure::Lost).count();
                self.counters.lost.fetch_add(lost as u64, Ordering::Relaxed);
                // Published first, so that the HTTP endpoints agree with the log line.
                self.publish();
                info!(
                    "{}\n\n{}\n",
                    describe::change(&view, &joined, &departed, &moved, me),
                    describe::blocks(&view, me)
                );
                self.addresses.retain(|id, address| {
                    view.get(*id).is_some_and(|member| member.addresses.contains(address))
                });
                self.links.keep_only(|id| view.contains(id));
                self.maintain_watch();
            }
            Event::ClusterFound { other, ours_leads } => {
                let coordinator = other.coordinator.address();
                let what = if ours_leads {
                    "it merges into this cluster"
                } else {
                    "this cluster merges into it"
                };
                info!(%coordinator, members = other.members, "found another cluster with the same name and password: {what}");
            }
            Event::Rejoining { coordinator } => {
                warn!(coordinator = %coordinator.address(), "the other members removed this one (it was partitioned, paused or too slow); rejoining");
            }
            Event::TakingOver { from } => {
                info!(from = %from.address(), "the coordinator was lost; this member is the oldest remaining one and takes over");
            }
            Event::SuspectAnswered(member) => {
                info!(member = %member.address(), "a suspected member answered; it stays in the cluster");
            }
            Event::SharedAddress { address, members: [one, other] } => {
                warn!(%address, members = %format_args!("{} and {}", one.name, other.name), "several members advertise the same address, so it is not used for any of them. Exclude it with --interfaces, or give each member its own address");
            }
            Event::MemberRefused { member, why: JoinRefusal::Unreachable }
                if describe::is_local_only(&member) && !describe::is_local_only(self.core.me()) =>
            {
                warn!(member = %member.address(), "refused a member: it advertises {}{}. Set its --interfaces to an address that other hosts can reach", describe::addresses(&member), describe::nearby(&member));
            }
            Event::Refused { by, why: JoinRefusal::Unreachable, retry }
                if describe::is_local_only(self.core.me()) && !describe::is_local_only(&by) =>
            {
                let me = self.core.me();
                warn!(by = %by.address(), again_in_s = whole_seconds(retry), "join refused: this member advertises {}{}. Set --interfaces to an address that other hosts can reach", describe::addresses(me), describe::nearby(me));
            }
            Event::MemberRefused { member, why: JoinRefusal::Unreachable } => {
                warn!(member = %member.address(), "refused a member: no member can connect to it at {}. Open TCP port {} on its host, or set its --public-address to an address that other members can reach", describe::addresses(&member), member.address().port());
            }
            Event::MemberRefused { member, why: JoinRefusal::Partitioned { other } } => {
                warn!(member = %member.address(), %other, "refused a member: it and {other} cannot connect to each other. Open the TCP member ports between their hosts");
            }
            Event::Refused { by, why: why @ JoinRefusal::Partitioned { .. }, retry } => {
                let why = describe::refusal(&why, self.core.me());
                warn!(by = %by.address(), again_in_s = whole_seconds(retry), "join refused: {why}. Open the TCP member ports between their hosts");
            }
            Event::MemberRefused { member, why: JoinRefusal::Unstable { losses } } => {
                warn!(member = %member.address(), losses, "refused a member that was lost repeatedly: it may join once it has answered every connection attempt for a while; the required time grows with each loss");
            }
            Event::MemberRefused { member, why: JoinRefusal::Differs(differences) } => {
                let remedy = agreed::remedy(&differences, "there");
                let differences = agreed::differences(&differences, "this cluster");
                warn!(member = %member.address(), "refused a member: it has {differences}. {remedy}");
            }
            Event::Refused { by, why: JoinRefusal::Differs(differences), retry } => {
                let remedy = agreed::remedy(&differences, "here");
                let differences = agreed::differences(&differences, "their cluster");
                warn!(by = %by.address(), again_in_s = whole_seconds(retry), "join refused: this member has {differences}. {remedy}");
            }
            Event::Changing { member, changes } => {
                let changes = agreed::differences(&changes, "this cluster");
                if member.id == me {
                    warn!(
                        "this member changes map settings: {changes}. They take effect once it is the oldest member"
                    );
                } else {
                    warn!(member = %member.address(), "a member changes map settings: {changes}. The settings of the oldest member apply");
                }
            }
            Event::Refused { by, why: JoinRefusal::Unreachable, retry } => {
                let me = self.core.me();
                warn!(by = %by.address(), again_in_s = whole_seconds(retry), "join refused: the other members cannot connect to this one at {}. Open TCP port {} on this host, or set --public-address to an address that they can reach", describe::addresses(me), me.address().port());
            }
            Event::Refused { by, why: JoinRefusal::Unstable { losses }, retry } => {
                warn!(by = %by.address(), losses, again_in_s = whole_seconds(retry), "join refused for now: this member was lost repeatedly, and must first answer every connection attempt for a while");
            }
            Event::Unreachable(member) => {
                warn!(member = %member.address(), "removing a member: it can connect to others, but no member can connect to it any more at {}. Check whether its address was removed or a firewall blocks it", describe::addresses(&member));
            }
            Event::PairPartitioned { stays, goes } => {
                warn!(member = %goes.address(), other = %stays.address(), "removing a member: {} at {} and {} at {} cannot connect to each other, though others can reach both; the first may rejoin once they can. Check the firewalls between their hosts", goes.name, describe::addresses(&goes), stays.name, describe::addresses(&stays));
            }
            Event::DatagramsBlocked { member, here: true } => {
                let port = self.core.me().address().port();
                warn!(member = %member.address(), "no UDP datagrams arrive from this member, though its TCP streams work; failure detection uses TCP instead. Open UDP port {port} on this host for the other members");
            }
            Event::DatagramsBlocked { member, here: false } => {
                let address = member.address();
                warn!(member = %address, "UDP datagrams to this member do not arrive, though TCP streams work; failure detection uses TCP instead. Open UDP port {} on its host", address.port());
            }
            Event::DatagramsRestored(member) => {
                info!(member = %member.address(), "UDP datagrams arrive again");
            }
            Event::Left => {
                self.left = true;
                self.publish();
            }
        }
    }

    /// Keeps streams open to the members after this one in the view.
    fn maintain_watch(&mut self) {
        let me = self.core.me().id;
        let Some(view) = self.core.view() else { return };
        let members = view.members();
        let Some(member_state) = members.iter().position(|m| m.id == me) else { return };
        let hello = self.core.hello().encode();
        let watched: Vec<Member> = (1..members.len().min(WATCHED + 1))
            .map(|step| Member::clone(&members[(member_state + step) % members.len()]))
            .filter(|member| !self.links.is_open(member.id))
            .collect();
        for member in watched {
            self.links.call(&member, &hello, CONNECT_MS_MAX);
        }
    }

    /// Applies the settings that the members of this cluster agreed on.
    fn adopt_settings(&self) {
        let terms = self.core.terms();
        let Some((partitions, catalog)) = agreed::settings(terms) else {
            error!(
                "cannot read the settings that this cluster agreed on, so this member does not serve data; the members may run different versions of Convoke"
            );
            return;
        };
        self.grid.adopt_settings(partitions, &catalog);
        let taken = agreed::taken(&self.terms, terms);
        if !taken.is_empty() {
            info!("settings taken from the cluster: {taken}");
        }
    }

    fn publish(&self) {
        if let Some(view) = self.core.view() {
            if self.grid.partitions() == 0 {
                self.adopt_settings();
            }
            self.grid.expect_view(view);
        }
        self.member_state.send_replace(Arc::new(MemberState {
            me: self.core.me().clone(),
            view: self.core.view().cloned(),
            hello: self.core.hello().encode().into(),
            suspects: self.suspects.iter().copied().collect(),
            leaving: self.left,
            refusal: self.refusal.clone(),
        }));
    }
}

/// A wait in seconds, rounded up, so that half a second does not become zero.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
