//! One configured mode, as the capabilities know it: what it may do, what has been logged about
//! it, and whether it is being stopped. It outlives the mode's instances.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::HostConfig;
use crate::grant::Grants;
use crate::limits;
use crate::lookup::Resolvers;
use crate::member::LocalAddresses;

/// Log target of the lines about each capability call of a mode.
pub(crate) const CALLS: &str = "convoke_discovery::calls";

/// One configured mode.
#[derive(Debug)]
pub(crate) struct Mode {
    pub(crate) name: String,
    pub(crate) grants: Grants,
    pub(crate) host: Arc<HostConfig>,
    /// The current addresses of this member.
    pub(crate) local_addresses: watch::Receiver<LocalAddresses>,
    /// Looks names up for every capability, so that all of them know which servers are down.
    pub(crate) resolvers: Resolvers,
    /// Events that have been logged, and are not logged again.
    reported: Mutex<HashSet<String>>,
    /// The number of denials logged.
    denials: AtomicU32,
    /// The mode's grants, extended by what was denied.
    needed: Mutex<NeededGrants>,
    /// Set during a rehearsal, to record what the mode requests.
    pub(crate) rehearsal: Option<Mutex<Rehearsal>>,
    phase: watch::Sender<Phase>,
}

/// Grants that cover everything that a mode has requested.
#[derive(Debug)]
struct NeededGrants {
    grants: Grants,
    /// Denied targets, such as `dns a.example`.
    added: HashSet<String>,
}

impl NeededGrants {
    fn of(grants: &Grants) -> Self {
        Self { grants: grants.clone(), added: HashSet::new() }
    }

    fn add(&mut self, capability: &str, target: &str) {
        let has_room = self.added.len() < limits::GRANTS_PROPOSED_MAX;
        if has_room && self.added.insert(format!("{capability} {target}")) {
            // A target that cannot be granted is skipped; the other grants are still of use.
            let _ = self.grants.add(capability, target);
        }
    }
}

/// The result of a rehearsal: what a mode does in its first calls, with every capability
/// failing. See [`DiscoveryHost::rehearse`](crate::DiscoveryHost::rehearse).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// The capability calls, such as `dns: addresses of a.example`; at most
    /// [`limits::REHEARSED_MAX`].
    pub calls: Vec<String>,
    /// The denials, such as `dns a.example`; at most [`limits::REHEARSED_MAX`].
    pub denied: Vec<String>,
    /// The grants that would cover all calls, including those that the mode has. `None` if
    /// nothing was denied.
    pub needed: Option<Grants>,
}

/// Adds a line unless it is there.
fn note(lines: &mut Vec<String>, line: String) {
    if lines.len() < limits::REHEARSED_MAX && !lines.contains(&line) {
        lines.push(line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The life-cycle phase of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It runs.
    Active,
    /// It is being stopped: waits in the host end early.
    Stopping,
    /// Its last call (`withdraw`) runs; waits are allowed again.
    Withdrawing,
}

impl Mode {
    pub(crate) fn new(
        name: &str,
        grants: Grants,
        host: Arc<HostConfig>,
        local_addresses: watch::Receiver<LocalAddresses>,
    ) -> Arc<Self> {
        Arc::new(Self::with(name, grants, host, local_addresses, None))
    }

    /// The state of a rehearsal: nothing is logged, and calls are recorded.
    pub(crate) fn rehearsing(
        name: &str,
        grants: Grants,
        host: Arc<HostConfig>,
        local_addresses: watch::Receiver<LocalAddresses>,
    ) -> Arc<Self> {
        Arc::new(Self::with(name, grants, host, local_addresses, Some(Mutex::default())))
    }

    fn with(
        name: &str,
        grants: Grants,
        host: Arc<HostConfig>,
        local_addresses: watch::Receiver<LocalAddresses>,
        rehearsal: Option<Mutex<Rehearsal>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            needed: Mutex::new(NeededGrants::of(&grants)),
            rehearsal,
            grants,
            host,
            local_addresses,
            resolvers: Resolvers::default(),
            reported: Mutex::default(),
            denials: AtomicU32::new(0),
            phase: watch::Sender::new(Phase::Active),
        }
    }

    /// The result of the rehearsal.
    pub(crate) fn rehearsed(&self) -> Rehearsal {
        let mut noted =
            self.rehearsal.as_ref().map_or_else(Rehearsal::default, |r| lock(r).clone());
        noted.needed = (!noted.denied.is_empty()).then(|| lock(&self.needed).grants.clone());
        noted
    }

    /// Resets what was logged, for a new version of the mode.
    pub(crate) fn forget_reports(&self) {
        lock(&self.reported).clear();
        self.denials.store(0, Relaxed);
        *lock(&self.needed) = NeededGrants::of(&self.grants);
    }

    /// True at the first report of `what`.
    pub(crate) fn first_report(&self, what: String) -> bool {
        lock(&self.reported).insert(what)
    }

    /// Records denied targets together, so that the proposed grant covers all of them.
    pub(crate) fn record_denied<'a>(
        &self,
        capability: &str,
        targets: impl Iterator<Item = &'a str>,
    ) {
        let mut needed = lock(&self.needed);
        for target in targets {
            needed.add(capability, target);
        }
    }

    /// The grants that would cover everything the mode has requested, as one line of TOML.
    pub(crate) fn grants_needed(&self) -> String {
        lock(&self.needed).grants.to_string()
    }

    /// Logs a denial, once for each target, with the line of TOML that would allow it together
    /// with everything granted or denied before.
    pub(crate) fn warn_denied(&self, capability: &str, target: &str) {
        self.record_denied(capability, std::iter::once(target));
        let to_allow = format!("to allow it, its [[discovery]] needs: {}", self.grants_needed());
        self.warn_denied_with(capability, target, &to_allow);
    }

    /// Logs a denial with the given hint `to_allow`.
    pub(crate) fn warn_denied_with(&self, capability: &str, target: &str, to_allow: &str) {
        if let Some(rehearsal) = &self.rehearsal {
            note(&mut lock(rehearsal).denied, format!("{capability} {target}"));
            return;
        }
        if self.denials.load(Relaxed) > limits::DENIALS_LOGGED_MAX {
            return;
        }
        if self.first_report(format!("denied {capability} {target}")) {
            if self.denials.fetch_add(1, Relaxed) >= limits::DENIALS_LOGGED_MAX {
                tracing::warn!(
                    mode = %self.name,
                    "mode {:?} was denied more than {} targets; further denials are not logged",
                    self.name,
                    limits::DENIALS_LOGGED_MAX
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

    /// Records and logs a capability call.
    pub(crate) fn called(&self, what: std::fmt::Arguments<'_>) {
        if let Some(rehearsal) = &self.rehearsal {
            note(&mut lock(rehearsal).calls, what.to_string());
        }
        tracing::debug!(target: CALLS, mode = %self.name, "{what}");
    }

    pub(crate) fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Allows waits again for `withdraw`, if the mode was asked to stop.
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

    /// The result of `future`; `None` if the mode is asked to stop first.
    pub(crate) fn unless_stopped<T>(
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

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::Mode;
    use crate::backend::{Backend, Fakes};
    use crate::beacon::BeaconCiphers;
    use crate::config::HostConfig;
    use crate::grant::Grants;
    use crate::member::LocalAddresses;

    /// A mode with fakes and these grants, for tests of a capability.
    pub(crate) fn mode(fakes: Fakes, grants: &[(&str, &[&str])]) -> Arc<Mode> {
        let fakes = Arc::new(fakes);
        let host = HostConfig {
            interfaces: Vec::new(),
            multicast_hops: 1,
            default_ports: Vec::new(),
            cache_directory: None,
            state_directory: None,
            beacon_ciphers: BeaconCiphers::none(),
            prober: fakes.prober(),
            backend: Backend::Fake(fakes),
            on_own_thread: false,
        };
        let addresses = LocalAddresses { interfaces: [].into(), addresses: None };
        let grants = Grants::parse(grants.iter().copied()).expect("valid grants");
        Mode::new("test", grants, Arc::new(host), watch::Sender::new(addresses).subscribe())
    }

    #[test]
    fn the_needed_grants_cover_what_is_granted_and_what_was_denied() {
        let mode = mode(Fakes::default(), &[("dns", &["a.example"])]);
        mode.record_denied("dns", ["b.example", "b.example", "not a name"].into_iter());
        mode.warn_denied("store", "64KiB");
        let needed = "grant = { dns = [\"a.example\", \"b.example\"], store = \"64KiB\" }";
        assert_eq!(mode.grants_needed(), needed);
        mode.forget_reports();
        assert_eq!(mode.grants_needed(), "grant = { dns = [\"a.example\"] }");
    }
}
