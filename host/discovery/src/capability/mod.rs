//! What a mode can import: one file each, of the same shape, and a line in [`TABLE`].
//!
//! A capability's file holds its [`Capability`], its part of the [`Context`], and
//! the host's side of its WIT interface as glue over plain Rust.

pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod kubernetes;
mod local_addresses;
pub(crate) mod log;
pub(crate) mod multicast;
pub(crate) mod probe;
mod rate;
pub(crate) mod store;
pub(crate) mod wasi;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use semver::Version;
use tokio::sync::watch;
use tokio::time::Instant;
use wasmtime::component::{Linker, ResourceTable};

use crate::grant::Grants;
use crate::host::{HostConfig, Surroundings};
use crate::instance::State;
use crate::limits;
use crate::ticker::Running;

/// One interface of `convoke:host`.
pub(crate) struct Capability {
    /// Without its version: `convoke:host/multicast`.
    pub(crate) interface: &'static str,
    /// `None` when every mode has it.
    pub(crate) grant: Option<Grant>,
    /// What a mode can do with it: "may …".
    pub(crate) in_words: &'static str,
    pub(crate) link: fn(&mut Linker<State>) -> wasmtime::Result<()>,
}

/// How a capability is granted.
#[derive(Clone, Copy)]
pub(crate) struct Grant {
    /// Whether anything of the capability is granted; its scope is checked at each call.
    pub(crate) is_granted: fn(&Grants) -> bool,
    /// As a grant names it.
    pub(crate) capability: &'static str,
    /// A pattern that grants some of it.
    pub(crate) example: &'static str,
}

/// Lines of this target tell of each call that a mode makes.
pub(crate) const CALLS: &str = "convoke_discovery::calls";

/// Every interface this host has.
pub(crate) const TABLE: &[Capability] = &[
    dns::CAPABILITY,
    kubernetes::CAPABILITY,
    log::CAPABILITY,
    multicast::CAPABILITY,
    probe::CAPABILITY,
    store::CAPABILITY,
];

/// The version of `convoke:host` that this host has.
pub(crate) fn host_version() -> Version {
    Version::new(0, 1, 0)
}

/// The interfaces of [`TABLE`], for an error text.
pub(crate) fn names() -> String {
    TABLE.iter().map(|capability| capability.interface).collect::<Vec<_>>().join(", ")
}

/// What stays the same for one configured mode while its instances come and go.
#[derive(Debug)]
pub(crate) struct Mode {
    pub(crate) name: String,
    pub(crate) grants: Grants,
    pub(crate) host: Arc<HostConfig>,
    /// Where this member is.
    pub(crate) surroundings: watch::Receiver<Surroundings>,
    pub(crate) dns: dns::Resolvers,
    pub(crate) kubernetes: kubernetes::Watchers,
    pub(crate) multicast: multicast::Totals,
    pub(crate) requests: http::Requests,
    pub(crate) store: store::Keeper,
    /// What the operator was told, and is not told again.
    told: Mutex<HashSet<String>>,
    /// Denials that it was told of.
    denials: AtomicU32,
    /// The grants, and what was denied beside them.
    wanted: Mutex<Wanted>,
    /// Set while the mode is only tried, to learn what it asks for.
    pub(crate) rehearsal: Option<Mutex<Rehearsal>>,
    phase: watch::Sender<Phase>,
}

/// Grants that would cover what a mode has asked for.
#[derive(Debug)]
struct Wanted {
    grants: Grants,
    /// What was denied, such as `dns a.example`.
    added: HashSet<String>,
}

impl Wanted {
    fn of(grants: &Grants) -> Self {
        Self { grants: grants.clone(), added: HashSet::new() }
    }

    fn add(&mut self, capability: &str, target: &str) {
        let has_room = self.added.len() < limits::GRANTS_PROPOSED_MAX;
        if has_room && self.added.insert(format!("{capability} {target}")) {
            // What no grant can name is left out, and the line helps with the rest.
            let _ = self.grants.add(capability, target);
        }
    }
}

/// What a mode does in its first look, with nothing behind its capabilities; see
/// [`DiscoveryHost::rehearse`](crate::DiscoveryHost::rehearse).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// Each call of a capability, such as `dns: addresses of a.example`; at most
    /// [`limits::REHEARSED_MAX`].
    pub asks: Vec<String>,
    /// What it was denied, such as `dns a.example`; as many at most.
    pub denied: Vec<String>,
    /// The grants that would cover all of it, those included that the mode has. `None` when
    /// nothing was denied.
    pub wanted: Option<Grants>,
}

/// Adds a line that is not there yet.
fn note(lines: &mut Vec<String>, line: String) {
    if lines.len() < limits::REHEARSED_MAX && !lines.contains(&line) {
        lines.push(line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a mode goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does.
    Wanted,
    /// It is asked to stop: waits in the host end early.
    Stopping,
    /// Its last call, which may wait again.
    Withdrawing,
}

/// What one instance's capabilities hold.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) mode: Arc<Mode>,
    pub(crate) resources: ResourceTable,
    pub(crate) log: log::Budget,
    pub(crate) probes: probe::Budget,
    /// Groups joined at present.
    pub(crate) groups: usize,
    /// Set while a call runs.
    pub(crate) running: Option<Running>,
    /// When that call is out of time.
    pub(crate) ends: Instant,
}

impl Mode {
    pub(crate) fn new(
        name: &str,
        grants: Grants,
        host: Arc<HostConfig>,
        surroundings: watch::Receiver<Surroundings>,
    ) -> Arc<Self> {
        Arc::new(Self::with(name, grants, host, surroundings, None))
    }

    /// One that is only tried: it says nothing, and notes what it asks for.
    pub(crate) fn rehearsing(
        name: &str,
        grants: Grants,
        host: Arc<HostConfig>,
        surroundings: watch::Receiver<Surroundings>,
    ) -> Arc<Self> {
        Arc::new(Self::with(name, grants, host, surroundings, Some(Mutex::default())))
    }

    fn with(
        name: &str,
        grants: Grants,
        host: Arc<HostConfig>,
        surroundings: watch::Receiver<Surroundings>,
        rehearsal: Option<Mutex<Rehearsal>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            wanted: Mutex::new(Wanted::of(&grants)),
            rehearsal,
            grants,
            host,
            surroundings,
            dns: dns::Resolvers::default(),
            kubernetes: kubernetes::Watchers::default(),
            multicast: multicast::Totals::default(),
            requests: http::Requests::default(),
            store: store::Keeper::default(),
            told: Mutex::default(),
            denials: AtomicU32::new(0),
            phase: watch::Sender::new(Phase::Wanted),
        }
    }

    /// What a rehearsal noted.
    pub(crate) fn rehearsed(&self) -> Rehearsal {
        let mut noted =
            self.rehearsal.as_ref().map_or_else(Rehearsal::default, |r| lock(r).clone());
        noted.wanted = (!noted.denied.is_empty()).then(|| lock(&self.wanted).grants.clone());
        noted
    }

    /// A new version of the mode is told everything once more.
    pub(crate) fn forget_told(&self) {
        lock(&self.told).clear();
        self.denials.store(0, Relaxed);
        *lock(&self.wanted) = Wanted::of(&self.grants);
    }

    /// True the first time that it is asked about `what`.
    pub(crate) fn tell_once(&self, what: String) -> bool {
        lock(&self.told).insert(what)
    }

    /// Denies these together: the line that would allow one of them has all of them in it.
    pub(crate) fn want<'a>(&self, capability: &str, targets: impl Iterator<Item = &'a str>) {
        let mut wanted = lock(&self.wanted);
        for target in targets {
            wanted.add(capability, target);
        }
    }

    /// The grant that would cover all that the mode has asked for, as one line of TOML.
    pub(crate) fn wanted(&self) -> String {
        lock(&self.wanted).grants.to_string()
    }

    /// One warning for each target, with the line of TOML that would grant it beside all that
    /// is granted and all that was denied before.
    pub(crate) fn warn_denied(&self, capability: &str, target: &str) {
        self.want(capability, std::iter::once(target));
        let to_allow = format!("to allow it, its [[discovery]] needs: {}", self.wanted());
        self.warn_denied_unless(capability, target, &to_allow);
    }

    /// The same, where more is to say than the line that would grant it.
    pub(crate) fn warn_denied_unless(&self, capability: &str, target: &str, to_allow: &str) {
        if let Some(rehearsal) = &self.rehearsal {
            note(&mut lock(rehearsal).denied, format!("{capability} {target}"));
            return;
        }
        if self.denials.load(Relaxed) > limits::DENIALS_TOLD_MAX {
            return;
        }
        if self.tell_once(format!("denied {capability} {target}")) {
            if self.denials.fetch_add(1, Relaxed) >= limits::DENIALS_TOLD_MAX {
                tracing::warn!(
                    mode = %self.name,
                    "mode {:?} was denied more than {} things; further denials are not shown",
                    self.name,
                    limits::DENIALS_TOLD_MAX
                );
                return;
            }
            tracing::warn!(
                mode = %self.name,
                "mode {:?} was denied {capability} {target}; {to_allow}",
                self.name
            );
        }
    }

    /// See [`Context::called`].
    pub(crate) fn called(&self, what: std::fmt::Arguments<'_>) {
        if let Some(rehearsal) = &self.rehearsal {
            note(&mut lock(rehearsal).asks, what.to_string());
        }
        tracing::debug!(target: CALLS, mode = %self.name, "{what}");
    }

    pub(crate) fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Nothing, for a mode that was not asked to stop.
    pub(crate) fn withdraw(&self) {
        self.phase.send_if_modified(|phase| {
            let is_last = *phase == Phase::Stopping;
            if is_last {
                *phase = Phase::Withdrawing;
            }
            is_last
        });
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// What `future` gives, unless the mode is asked to stop first.
    pub(crate) fn while_wanted<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>> {
        let mut phase = self.phase();
        async move {
            tokio::select! {
                given = future => Some(given),
                _ = phase.wait_for(|phase| *phase == Phase::Stopping) => None,
            }
        }
    }
}

impl Context {
    /// [`Mode::while_wanted`]; the wait does not count as computing.
    pub(crate) fn while_wanted<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>> {
        let waiting = self.running.as_ref().map(Running::wait);
        let given = self.mode.while_wanted(future);
        async move {
            let _waiting = waiting;
            given.await
        }
    }

    /// One line for whoever wants to see what a mode does.
    pub(crate) fn called(&self, what: std::fmt::Arguments<'_>) {
        self.mode.called(what);
    }

    pub(crate) fn new(mode: Arc<Mode>) -> Self {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(limits::RESOURCES_MAX);
        Self {
            log: log::Budget::new(mode.rehearsal.is_some()),
            mode,
            resources,
            probes: probe::Budget::default(),
            groups: 0,
            running: None,
            ends: Instant::now(),
        }
    }
}
