//! The task that runs one mode: it calls `discover` and `announce`, backs off after failures,
//! and replaces dead instances.

mod failures;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::candidate::{Problem, Snapshot};
use crate::capability::mode::{Mode, Phase};
use crate::instance::{CallError, Instance};
use crate::limits;
use crate::link::{LoadedMode, ModeLinker};
use crate::member::{LocalAddresses, LocalMember};
use crate::mode::{ModeEvent, ModeState, ModeStatus, SnapshotStatus};
use crate::reload::{NewVersion, Watch};
use crate::schedule::{self, BackOff};
use crate::thread::ModeThread;
use failures::Failures;

/// A running mode. Dropping it aborts the mode at once, without a withdrawal.
#[derive(Debug)]
pub struct ModeHandle {
    mode: Arc<Mode>,
    status: watch::Receiver<ModeStatus>,
    task: JoinHandle<()>,
    /// The thread on which the task runs; kept alive by this reference.
    _thread: Option<Arc<ModeThread>>,
}

impl ModeHandle {
    /// The mode's name.
    pub fn name(&self) -> &str {
        &self.mode.name
    }

    /// The status of the mode, updated after each call.
    pub fn status(&self) -> watch::Receiver<ModeStatus> {
        self.status.clone()
    }

    /// Lets the mode withdraw its announcement, and stops it. Takes at most twice
    /// [`limits::WITHDRAW_MS_MAX`]: once for the running call, once for `withdraw`.
    pub async fn stop(mut self) {
        self.mode.stop();
        // A mode that does not end in time is aborted by dropping the handle.
        let bound = Duration::from_millis(3 * limits::WITHDRAW_MS_MAX);
        let _ = tokio::time::timeout(bound, &mut self.task).await;
    }
}

impl Drop for ModeHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn start(
    linker: &ModeLinker,
    thread: Option<Arc<ModeThread>>,
    loaded: LoadedMode,
    local: LocalMember,
    events: mpsc::Sender<ModeEvent>,
) -> ModeHandle {
    let mode = Arc::clone(&loaded.mode);
    let status = watch::Sender::new(ModeStatus {
        name: loaded.spec.name.clone(),
        source: loaded.spec.source.to_string(),
        digest: loaded.digest.map(|digest| digest.to_string()),
        reloads: 0,
        state: ModeState::Starting,
        looks: 0,
        has_looked: false,
        last_snapshot: None,
        last_problem: None,
        last_trap: None,
        restarts: 0,
        multicast: loaded.shared.multicast.read(),
    });
    let receiver = status.subscribe();
    let phase = mode.phase();
    let local_addresses = mode.local_addresses.clone();
    let supervisor = Supervisor {
        local_addresses,
        loaded,
        local,
        events,
        status,
        phase,
        failures: Failures::default(),
        announcement: Announcement::NotTried,
        new_versions: None,
    };
    let runtime = thread.as_ref().map_or_else(Handle::current, |thread| thread.handle());
    let task = runtime.spawn(supervisor.run(linker.clone()));
    ModeHandle { mode, status: receiver, task, _thread: thread }
}

struct Supervisor {
    loaded: LoadedMode,
    local: LocalMember,
    events: mpsc::Sender<ModeEvent>,
    status: watch::Sender<ModeStatus>,
    phase: watch::Receiver<Phase>,
    local_addresses: watch::Receiver<LocalAddresses>,
    failures: Failures,
    announcement: Announcement,
    /// New versions of its file.
    new_versions: Option<Watch>,
}

/// Whether the mode has announced this member, so that others can find it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announcement {
    /// It has not tried, or has nothing to announce.
    NotTried,
    /// Every attempt has failed. If no member can announce itself, none finds another.
    Failed,
    /// It succeeded once. A later failure is no evidence about other members.
    Done,
}

/// The doubt of a result while this member could not be announced.
const UNANNOUNCED: &str = "this member could not announce itself yet";

/// Time that a leaving member waits for a running call.
const STOP_GRACE: Duration = Duration::from_millis(limits::WITHDRAW_MS_MAX);

/// When one instance is called next.
struct Schedule {
    look: Instant,
    /// `None` if no further announcement is needed.
    announce: Option<Instant>,
    /// The number of calls of `discover` so far.
    looks: u64,
}

/// Why the work of one instance ended.
enum End {
    /// The member is leaving, or the receiver of the events is gone.
    Stopping,
    /// It has reached [`limits::LOOKS_PER_INSTANCE`].
    CallLimit,
    /// The member has new addresses.
    Moved,
    /// It is dead, or could not be created; the next one is created after this wait.
    Failed(Duration),
    /// The mode is not called again, for this reason.
    Permanent(Problem),
    /// The mode is not called again, and no new version of it can come.
    PermanentWithoutFile,
    /// A new version of its file takes over.
    Replaced(Box<NewVersion>),
}

impl Supervisor {
    async fn run(mut self, linker: ModeLinker) {
        self.new_versions = Watch::start(&linker, &self.loaded, &self.local);
        let mut ready = None;
        loop {
            let end = match self.live(ready.take()).await {
                End::Failed(back_off) => {
                    let again = self.sleep_until(Instant::now() + back_off).await;
                    self.status.send_modify(|status| status.restarts += 1);
                    again.err()
                }
                End::CallLimit => {
                    tracing::debug!(mode = %self.name(), "instance replaced at its call limit");
                    None
                }
                End::Permanent(problem) => Some(self.stop_permanently(problem).await),
                end => Some(end),
            };
            match end {
                None => {}
                Some(End::Replaced(new_version)) => ready = self.take_over(*new_version),
                Some(End::Moved) => {
                    self.local = self.local_addresses.borrow_and_update().of(&self.local);
                }
                Some(End::PermanentWithoutFile) => return,
                Some(_) => break,
            }
        }
        self.status.send_modify(|status| status.state = ModeState::Stopped);
    }

    /// Replaces the mode by the new version. Returns its instance, unless the member's
    /// addresses have changed since it was created.
    fn take_over(&mut self, new_version: NewVersion) -> Option<(Instance, Snapshot)> {
        let NewVersion { loaded, instance, snapshot } = new_version;
        self.loaded = loaded;
        self.failures = Failures::default();
        self.loaded.mode.forget_reports();
        let digest = self.loaded.digest.map(|digest| digest.to_string());
        let name = self.name();
        tracing::info!(
            mode = %name,
            digest = digest.as_deref().unwrap_or_default(),
            candidates = snapshot.candidates.len(),
            "the new version of mode {name:?} has taken over"
        );
        self.status.send_modify(|status| {
            status.digest = digest;
            status.reloads += 1;
        });
        (instance.local == self.local).then_some((instance, snapshot))
    }

    /// The life of one instance: from its creation, or from the point after its first call of
    /// `discover` if `ready` is given.
    async fn live(&mut self, ready: Option<(Instance, Snapshot)>) -> End {
        let now = Instant::now();
        let mut due = Schedule { look: now, announce: None, looks: 0 };
        let mut instance = match ready {
            Some((instance, snapshot)) => {
                due.looks = 1;
                match self.take(snapshot).await {
                    Ok(wait) => due.look = now + wait,
                    Err(end) => return end,
                }
                instance
            }
            None => {
                let opening = Instance::open(&self.loaded, &self.local);
                match unless_stopped(&self.phase, Duration::ZERO, opening).await {
                    None => return End::Stopping,
                    Some(Ok(instance)) => instance,
                    Some(Err(error)) => match self.failed(error) {
                        // The instance is not configured, and so cannot be used.
                        Ok(back_off) => return End::Failed(back_off),
                        Err(end) => return end,
                    },
                }
            }
        };
        due.announce = instance.announces().then_some(now);
        let end = self.work(&mut instance, &mut due).await;
        if matches!(end, End::Stopping) && instance.announces() {
            self.withdraw(&mut instance).await;
        }
        end
    }

    /// Calls `discover` and `announce`, each when it is due.
    async fn work(&mut self, instance: &mut Instance, due: &mut Schedule) -> End {
        while due.looks < limits::LOOKS_PER_INSTANCE
            && !(due.looks > 0 && instance.is_nearly_full())
        {
            let next = due.announce.map_or(due.look, |announce| announce.min(due.look));
            if let Err(end) = self.sleep_until(next).await {
                return end;
            }
            // The announcement comes first, so that the result after it may include responses
            // to it.
            if due.announce.is_some_and(|at| at <= Instant::now()) {
                match self.announce(instance).await {
                    Ok(again) => due.announce = again.map(|wait| Instant::now() + wait),
                    Err(end) => return end,
                }
            }
            if due.look <= Instant::now() {
                match self.look(instance).await {
                    Ok(wait) => due.look = Instant::now() + wait,
                    Err(end) => return end,
                }
                due.looks += 1;
            }
        }
        End::CallLimit
    }

    /// Announces; returns the interval until the next announcement.
    async fn announce(&mut self, instance: &mut Instance) -> Result<Option<Duration>, End> {
        match unless_stopped(&self.phase, STOP_GRACE, instance.announce()).await {
            None => Err(End::Stopping),
            Some(Ok(again)) => {
                self.announcement = Announcement::Done;
                self.succeeded(true);
                Ok(again.map(schedule::jittered_interval))
            }
            Some(Err(error)) => {
                if self.announcement == Announcement::NotTried {
                    self.announcement = Announcement::Failed;
                }
                self.failed(error).map(Some)
            }
        }
    }

    /// Calls `discover` and reports the result; returns the interval until the next call.
    async fn look(&mut self, instance: &mut Instance) -> Result<Duration, End> {
        // Only a mode with an announcement to withdraw gets time to finish its call.
        let grace = if instance.announces() { STOP_GRACE } else { Duration::ZERO };
        match unless_stopped(&self.phase, grace, instance.discover()).await {
            None => Err(End::Stopping),
            Some(Ok(snapshot)) => self.take(snapshot).await,
            Some(Err(error)) => self.failed(error),
        }
    }

    /// Reports a result; returns the interval until the next call. A result without usable
    /// candidates counts as a failure; an inconclusive one with candidates is reported with its
    /// doubt.
    async fn take(&mut self, mut snapshot: Snapshot) -> Result<Duration, End> {
        let mut again = schedule::jittered_interval(schedule::look_again(snapshot.look_again));
        match snapshot.doubt.clone() {
            // The failed announcement has been logged already.
            None if self.announcement == Announcement::Failed => {
                snapshot.doubt = Some(UNANNOUNCED.to_owned());
            }
            None => {
                self.status.send_modify(|status| status.has_looked = true);
                self.succeeded(!snapshot.candidates.is_empty());
            }
            // A conclusive result was reported before; the mode itself logs what it misses now.
            Some(_) if !snapshot.candidates.is_empty() && self.status.borrow().has_looked => {
                self.succeeded(true);
            }
            Some(doubt) => {
                let wait = self.failed(CallError::Problem(Problem::Temporary(doubt)))?;
                if snapshot.candidates.is_empty() {
                    return Ok(wait);
                }
                // A member may be waiting for a conclusive result.
                again = again.min(Duration::from_millis(limits::PROBLEM_BACK_OFF_MS_MAX));
            }
        }
        if self.found(snapshot).await { Ok(again) } else { Err(End::Stopping) }
    }

    /// Sleeps until `at`, unless there is something else to do first.
    async fn sleep_until(&mut self, at: Instant) -> Result<(), End> {
        let (watch, local_addresses) = (&mut self.new_versions, &mut self.local_addresses);
        let sleep = async {
            tokio::select! {
                biased;
                () = changed(local_addresses) => Err(End::Moved),
                new_version = next(watch) => Err(End::Replaced(Box::new(new_version))),
                () = tokio::time::sleep_until(at) => Ok(()),
            }
        };
        unless_stopped(&self.phase, Duration::ZERO, sleep).await.unwrap_or(Err(End::Stopping))
    }

    async fn withdraw(&self, instance: &mut Instance) {
        let why = match instance.withdraw().await {
            Ok(()) => return,
            Err(CallError::Dead) => {
                format!("its last call did not end within {} ms", STOP_GRACE.as_millis())
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(mode = %self.name(), "mode {:?} did not withdraw its announcement: {why}", self.name());
    }

    /// Reports a result; false if the mode is to stop.
    async fn found(&self, snapshot: Snapshot) -> bool {
        let seen = SnapshotStatus {
            candidates: snapshot.candidates.len(),
            dropped: snapshot.dropped_count,
            taken_at_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as u64),
        };
        self.status.send_modify(|status| {
            status.looks += 1;
            status.last_snapshot = Some(seen);
        });
        let event = ModeEvent::Snapshot { mode: self.name().to_owned(), snapshot };
        let sent = unless_stopped(&self.phase, Duration::ZERO, self.events.send(event)).await;
        matches!(sent, Some(Ok(())))
    }

    fn succeeded(&mut self, found_any: bool) {
        if self.failures.succeeded() {
            // A mode may report an empty result instead of a failure.
            let how = if found_any { "works again" } else { "works again, and finds no members" };
            tracing::info!(mode = %self.name(), "mode {:?} {how}", self.name());
        }
        self.set_state(ModeState::Ready);
    }

    /// Records a failure. Returns the wait until the next call if the instance can be used
    /// again, and otherwise why it ended.
    fn failed(&mut self, error: CallError) -> Result<Duration, End> {
        let text = error.to_string();
        let waits = match error {
            CallError::Problem(_) => BackOff::PROBLEM,
            _ => BackOff::FAILURE,
        };
        let (back_off, notice) = self.failures.failed(&text, waits);
        let name = self.name();
        let meanwhile = notice.map(|notice| format!("{}{}", self.meanwhile(), notice.outlook()));
        let CallError::Problem(problem) = error else {
            if let Some(meanwhile) = meanwhile {
                tracing::error!(
                    mode = %name,
                    "mode {name:?} {text}; restarting it; {meanwhile}"
                );
            }
            self.status.send_modify(|status| status.last_trap = Some(text));
            self.set_state(ModeState::BackingOff);
            return Err(End::Failed(back_off));
        };
        self.status.send_modify(|status| status.last_problem = Some(problem.clone()));
        match (&problem, meanwhile) {
            (Problem::Misconfigured(_) | Problem::Denied(_), _) => {
                return Err(End::Permanent(problem));
            }
            (Problem::Temporary(text), Some(meanwhile)) => {
                tracing::warn!(mode = %name, "mode {name:?}: {text}; retrying; {meanwhile}");
            }
            (Problem::Failed(text), Some(meanwhile)) => {
                tracing::error!(
                    mode = %name,
                    "mode {name:?} failed: {text}; retrying; {meanwhile}"
                );
            }
            (_, None) => {}
        }
        self.set_state(ModeState::BackingOff);
        Ok(back_off)
    }

    /// The consequence for this member, for a log line.
    fn meanwhile(&self) -> &'static str {
        match self.status.borrow().has_looked {
            true => "its last result stays in use",
            false => "this member does not found a cluster until it succeeds",
        }
    }

    /// Stops the mode until the member leaves or a new version of the file works.
    async fn stop_permanently(&mut self, problem: Problem) -> End {
        let name = self.name();
        let meanwhile = self.meanwhile();
        let state = match &problem {
            Problem::Denied(_) => ModeState::StoppedDenied,
            _ => ModeState::StoppedMisconfigured,
        };
        tracing::error!(
            mode = %name,
            "mode {name:?} stopped: {problem}; {meanwhile}; fix its [[discovery]] and restart this member"
        );
        self.set_state(state);
        let event = ModeEvent::Stopped { mode: name.to_owned(), problem };
        unless_stopped(&self.phase, Duration::ZERO, self.events.send(event)).await;
        let watch = &mut self.new_versions;
        if watch.is_none() {
            // The last state stays visible in the status.
            return End::PermanentWithoutFile;
        }
        match unless_stopped(&self.phase, Duration::ZERO, next(watch)).await {
            Some(new_version) => End::Replaced(Box::new(new_version)),
            None => End::Stopping,
        }
    }

    fn set_state(&self, state: ModeState) {
        let multicast = self.loaded.shared.multicast.read();
        self.status.send_modify(|status| {
            status.state = state;
            status.multicast = multicast;
        });
    }

    fn name(&self) -> &str {
        &self.loaded.spec.name
    }
}

/// The result of `future`; `None` if the mode is asked to stop and `grace` passes first.
async fn unless_stopped<T>(
    phase: &watch::Receiver<Phase>,
    grace: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut phase = phase.clone();
    let given_up = async {
        // An error means that the handle was dropped; the task is then aborted.
        let _ = phase.wait_for(|phase| *phase != Phase::Active).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        result = future => Some(result),
        () = given_up => None,
    }
}

/// Waits until the member's addresses change.
async fn changed(local_addresses: &mut watch::Receiver<LocalAddresses>) {
    if local_addresses.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The next version of the mode; never resolves if its file is not watched.
async fn next(watch: &mut Option<Watch>) -> NewVersion {
    if let Some(watch) = watch
        && let Some(new_version) = watch.new_versions.recv().await
    {
        return new_version;
    }
    std::future::pending().await
}
