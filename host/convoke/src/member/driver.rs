//! Drives the membership core: owns its datagram socket, its streams and its
//! clock, on a thread of its own so that busy guests cannot make it late.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_grid::Grid;
use convoke_membership::view::Departure;
use convoke_membership::{Event, Member, MemberId, Membership, Output, Refusal, Standing, Terms};
use convoke_wire::{ClusterKeys, DatagramOpener, DatagramSealer, OpenError, Opened, PeerId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::calls::{CONNECT_MS_MAX, Call};
use super::input::Input;
use super::links::Links;
use super::sockets::Sockets;
use super::state::{Counters, Place, bump};
use super::turns::{Turns, Work};
use crate::describe;
use crate::settings::agreed;

/// Largest UDP payload that is read, in bytes; a longer one is not ours.
const DATAGRAM_READ_BYTES: usize = 2_048;
/// Datagrams of senders that were not heard before that are opened in one turn, at most: each
/// costs a key of its own. A member is known by its first one; more are thrown away.
const UNKNOWN_PER_TURN_MAX: usize = 32;
/// Each member keeps streams to so many after it in the view, so that each is
/// watched by as many: when a process dies, its streams break at once.
const WATCHED: usize = 3;
/// How long a connection may take to open, in milliseconds, where only silence counts.
const PATIENT_MS_MAX: u64 = 3_000;
/// How long what was said last may take to go out when this member leaves.
const FLUSH_MS_MAX: u64 = 300;

/// What a driver needs.
pub(crate) struct Driver {
    pub(crate) core: Membership,
    /// Of the member port; they belong to no runtime yet.
    pub(crate) sockets: Vec<std::net::UdpSocket>,
    pub(crate) keys: Arc<ClusterKeys>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) input: mpsc::Sender<Input>,
    /// Where this member stands, for everybody else in the process.
    pub(crate) place: watch::Sender<Arc<Place>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) grid: Grid,
}

struct Running {
    core: Membership,
    sockets: Sockets,
    inputs: mpsc::Receiver<Input>,
    buffer: Box<[u8; DATAGRAM_READ_BYTES]>,
    /// Datagrams of unknown senders that may still be opened in this turn.
    unknown_left: usize,
    sealer: DatagramSealer,
    opener: DatagramOpener,
    links: Links,
    place: watch::Sender<Arc<Place>>,
    counters: Arc<Counters>,
    grid: Grid,
    started: Instant,
    /// Where members were reached last, by id.
    addresses: HashMap<MemberId, SocketAddr>,
    /// Members that did not answer at the last look.
    suspects: HashSet<MemberId>,
    /// As this member was configured.
    terms: Terms,
    /// What was published of it last.
    refusal: Option<Refusal>,
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
                warn!(%error, "the member port's datagram sockets are of no use");
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
            place: self.place,
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
                // Streams and calls, which are tasks of this thread, get their turn, and
                // what has come meanwhile is seen.
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

    /// Waits until there is something to do, and takes what comes first.
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

    /// A datagram is in the buffer.
    fn open(&mut self, length: usize, from: SocketAddr) {
        let mut payload = std::mem::take(&mut self.sealed);
        match self.open_into(length, &mut payload) {
            Ok(opened) => {
                let id = MemberId::from_bytes(opened.sender.0);
                self.learn(id, from);
                if self.core.handle_packet(self.now(), id, &payload).is_err() {
                    bump(&self.counters.malformed);
                }
            }
            Err(OpenError::Replayed | OpenError::Own) => {
                bump(&self.counters.replayed);
            }
            Err(error) => {
                if self.counters.foreign.fetch_add(1, Ordering::Relaxed) == 0 {
                    info!(%from, %error, "a datagram that is not this cluster's came to the member port; ignored, and counted from now on");
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
                        Standing::Observer | Standing::Leaving | Standing::Data
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
            Input::Addresses { told, used, closed, opened } => {
                let opened = opened.into_iter().filter_map(|s| UdpSocket::from_std(s).ok());
                self.sockets.change(&closed, opened.collect());
                self.core.handle_addresses(now, told);
                // What was published has the old ones.
                self.publish();
                for id in self.links.keep_from(&used) {
                    self.watch(id);
                }
            }
            Input::Unserved { id } => self.core.handle_unserved(now, id),
            Input::Settled => self.core.handle_discovery_settled(now),
            Input::Leave => self.core.handle_leave(now),
        }
    }

    /// A member's last stream ended: is it still there?
    fn watch(&mut self, id: MemberId) {
        let member = self.core.view().and_then(|view| view.get(id)).cloned();
        if let Some(member) = member {
            let hello = self.core.hello().encode();
            self.links.call(&member, &hello, CONNECT_MS_MAX);
        }
    }

    fn drain(&mut self) {
        // Before the log says so: whoever reads it finds the member not ready.
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
            // Nobody knows yet which of them leads there, or the one that did
            // leads there no more: whichever arrives is answered, and learned.
            (_, Some(member)) => {
                let ways = self.core.view().map(|view| view.ways_to(member)).unwrap_or_default();
                for address in ways {
                    self.sockets.send(&self.sealed, address);
                }
            }
            (Some(address), None) => self.sockets.send(&self.sealed, *address),
            (None, None) => {}
        }
    }

    /// A datagram of this member came from there: it can be reached there, if it
    /// is one of the addresses that it tells.
    fn learn(&mut self, id: MemberId, from: SocketAddr) {
        if self.addresses.get(&id) == Some(&from) {
            return;
        }
        let member = self.core.view().and_then(|view| view.get(id));
        let is_told = member.is_some_and(|member| member.addresses.contains(&from));
        if is_told && (!self.addresses.contains_key(&id) || self.suspects.contains(&id)) {
            self.addresses.insert(id, from);
        }
    }

    fn report(&mut self, event: Event) {
        let me = self.core.me().id;
        match event {
            Event::View { view, joined, departed, moved } => {
                let lost = departed.iter().filter(|gone| gone.how == Departure::Lost).count();
                self.counters.lost.fetch_add(lost as u64, Ordering::Relaxed);
                // What the log says is what the endpoints say by then.
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
                self.tend_watch();
            }
            Event::Met { other, ours_leads } => {
                let coordinator = other.coordinator.address();
                let what = if ours_leads { "it joins this one" } else { "this one joins it" };
                info!(%coordinator, members = other.members, "met another cluster of this name and password: {what}");
            }
            Event::Returning { coordinator } => {
                warn!(coordinator = %coordinator.address(), "the others went on without this member (it was cut off, stopped or too slow); asking to be let in again");
            }
            Event::TakingOver { from } => {
                info!(from = %from.address(), "the coordinator is gone; this member, the oldest left, takes over");
            }
            Event::FalseAlarm(member) => {
                info!(member = %member.address(), "a member that seemed dead answers; it stays");
            }
            Event::SharedAddress { address, members: [one, other] } => {
                warn!(%address, members = %format_args!("{} and {}", one.name, other.name), "several members advertise this address: it is used for none of them. Leave it out with --interfaces, or give each member one of its own");
            }
            Event::NotLetIn { member, why: Refusal::Unreachable }
                if !describe::nearby(&member).is_empty() =>
            {
                warn!(member = %member.address(), "a member is not let in: it advertises {}{}. Give it an address of the network with --interfaces", describe::addresses(&member), describe::nearby(&member));
            }
            Event::Refused { by, why: Refusal::Unreachable, retry }
                if !describe::nearby(self.core.me()).is_empty() =>
            {
                let me = self.core.me();
                warn!(by = %by.address(), again_in_s = retry.as_secs(), "the other members do not let this one in: it advertises {}{}. Give it an address of the network with --interfaces", describe::addresses(me), describe::nearby(me));
            }
            Event::NotLetIn { member, why: Refusal::Unreachable } => {
                warn!(member = %member.address(), "a member is not let in, since nobody can call it: no answer at {}. Open TCP port {} of its host, or give it a --public-address that leads there", describe::addresses(&member), member.address().port());
            }
            Event::NotLetIn { member, why: Refusal::Parted { other } } => {
                warn!(member = %member.address(), %other, "a member is not let in: it and {other} cannot call each other. Open the TCP ports of both for each other");
            }
            Event::Refused { by, why: why @ Refusal::Parted { .. }, retry } => {
                let why = describe::refusal(&why, self.core.me());
                warn!(by = %by.address(), again_in_s = retry.as_secs(), "the other members do not let this one in: {why}. Open the TCP ports of both for each other");
            }
            Event::NotLetIn { member, why: Refusal::Unsteady { losses } } => {
                warn!(member = %member.address(), losses, "a member was lost again and again; it is let in once it has answered all calls for a while, a longer one after each loss");
            }
            Event::NotLetIn { member, why: Refusal::Differs(differences) } => {
                let remedy = agreed::remedy(&differences, "there");
                let differences = agreed::differences(&differences, "this cluster");
                warn!(member = %member.address(), "a member is not let in: it has {differences}. {remedy}");
            }
            Event::Refused { by, why: Refusal::Differs(differences), retry } => {
                let remedy = agreed::remedy(&differences, "here");
                let differences = agreed::differences(&differences, "their cluster");
                warn!(by = %by.address(), again_in_s = retry.as_secs(), "the other members do not let this one in: it has {differences}. {remedy}");
            }
            Event::Changing { member, changes } => {
                let changes = agreed::differences(&changes, "this cluster");
                if member.id == me {
                    warn!(
                        "this member changes settings of maps: {changes}. They hold for all once it is the oldest"
                    );
                } else {
                    warn!(member = %member.address(), "a member changes settings of maps: {changes}. Those of the oldest member hold for all");
                }
            }
            Event::Refused { by, why: Refusal::Unreachable, retry } => {
                let me = self.core.me();
                warn!(by = %by.address(), again_in_s = retry.as_secs(), "the other members do not let this one in, since they cannot call it: no answer at {}. Open TCP port {} of this host, or set --public-address to where they can reach it", describe::addresses(me), me.address().port());
            }
            Event::Refused { by, why: Refusal::Unsteady { losses }, retry } => {
                warn!(by = %by.address(), losses, again_in_s = retry.as_secs(), "the other members do not let this one in yet, since they lost it again and again: it has to answer their calls for a while");
            }
            Event::Uncallable(member) => {
                warn!(member = %member.address(), "a member cannot be called any more at {}, though it calls: it is removed. Is its address gone, or a firewall closed?", describe::addresses(&member));
            }
            Event::Parted { stays, goes } => {
                warn!(member = %goes.address(), other = %stays.address(), "two members cannot call each other, though others can call both: {} at {}, and {} at {}. The first of them is removed until they can. Is a firewall closed between their hosts?", goes.name, describe::addresses(&goes), stays.name, describe::addresses(&stays));
            }
            Event::DatagramsBlocked { member, here: true } => {
                let port = self.core.me().address().port();
                warn!(member = %member.address(), "no UDP datagrams from this member arrive here, its TCP streams do; failure detection uses the streams. Open UDP port {port} of this host for the other members");
            }
            Event::DatagramsBlocked { member, here: false } => {
                let address = member.address();
                warn!(member = %address, "UDP datagrams from here do not arrive at this member, TCP streams do; failure detection uses the streams. Open UDP port {} of its host", address.port());
            }
            Event::DatagramsPass(member) => {
                info!(member = %member.address(), "UDP datagrams pass again");
            }
            Event::Left => {
                self.left = true;
                self.publish();
            }
        }
    }

    /// Keeps streams to the members after this one in the view.
    fn tend_watch(&mut self) {
        let me = self.core.me().id;
        let Some(view) = self.core.view() else { return };
        let members = view.members();
        let Some(place) = members.iter().position(|m| m.id == me) else { return };
        let hello = self.core.hello().encode();
        let watched: Vec<Member> = (1..members.len().min(WATCHED + 1))
            .map(|step| Member::clone(&members[(place + step) % members.len()]))
            .filter(|member| !self.links.is_open(member.id))
            .collect();
        for member in watched {
            self.links.call(&member, &hello, CONNECT_MS_MAX);
        }
    }

    /// Takes what holds in the cluster that this member is in now.
    fn settle(&self) {
        let terms = self.core.terms();
        let Some((partitions, catalog)) = agreed::settings(terms) else {
            error!(
                "what the members of this cluster agree on cannot be read, so this member serves nothing; is it of another version?"
            );
            return;
        };
        self.grid.settle(partitions, &catalog);
        let taken = agreed::taken(&self.terms, terms);
        if !taken.is_empty() {
            info!("settings that were left open here are the cluster's: {taken}");
        }
    }

    fn publish(&self) {
        if let Some(view) = self.core.view() {
            if self.grid.partitions() == 0 {
                self.settle();
            }
            self.grid.expect_view(view);
        }
        self.place.send_replace(Arc::new(Place {
            me: self.core.me().clone(),
            view: self.core.view().cloned(),
            hello: self.core.hello().encode().into(),
            suspects: self.suspects.iter().copied().collect(),
            leaving: self.left,
            refusal: self.refusal.clone(),
        }));
    }
}
