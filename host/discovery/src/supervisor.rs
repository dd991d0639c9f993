//! The task that owns one mode: it looks, announces, backs off, and builds a new
//! instance when the old one is dead.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::back_off;
use crate::candidate::{Problem, Snapshot};
use crate::capability::{Mode, Phase};
use crate::host::{DiscoveryHost, LoadedMode, Surroundings};
use crate::instance::{CallError, Instance};
use crate::limits;
use crate::mode::{LocalMember, ModeEvent, ModeState, ModeStatus, SnapshotStatus};
use crate::successor::{Successor, Watch};
use crate::thread::ModeThread;

/// A running mode. Dropping it ends the mode at once, without a withdrawal.
#[derive(Debug)]
pub struct ModeHandle {
    mode: Arc<Mode>,
    status: watch::Receiver<ModeStatus>,
    task: JoinHandle<()>,
    /// Where the task runs, for as long as somebody holds it.
    _thread: Option<Arc<ModeThread>>,
}

impl ModeHandle {
    /// The mode's name.
    pub fn name(&self) -> &str {
        &self.mode.name
    }

    /// What is known of the mode; changes after each of its calls.
    pub fn status(&self) -> watch::Receiver<ModeStatus> {
        self.status.clone()
    }

    /// Lets the mode take its announcement back and ends it. At most twice
    /// [`limits::WITHDRAW_MS_MAX`]: once for the running call, once for `withdraw`.
    pub async fn stop(mut self) {
        self.mode.stop();
        // A mode that does not end in time is ended by dropping the handle.
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
    host: &DiscoveryHost,
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
        multicast: mode.multicast.read(),
    });
    let receiver = status.subscribe();
    let phase = mode.phase();
    let surroundings = mode.surroundings.clone();
    let host = host.clone();
    let supervisor = Supervisor {
        surroundings,
        loaded,
        local,
        events,
        status,
        phase,
        failures: Failures::default(),
        announcing: Announcing::Untried,
        successors: None,
    };
    let thread = host.thread.clone();
    let runtime = thread.as_ref().map_or_else(Handle::current, |thread| thread.handle());
    let task = runtime.spawn(supervisor.run(host));
    ModeHandle { mode, status: receiver, task, _thread: thread }
}

struct Supervisor {
    loaded: LoadedMode,
    local: LocalMember,
    events: mpsc::Sender<ModeEvent>,
    status: watch::Sender<ModeStatus>,
    phase: watch::Receiver<Phase>,
    surroundings: watch::Receiver<Surroundings>,
    failures: Failures,
    announcing: Announcing,
    /// New versions of its file.
    successors: Option<Watch>,
}

/// Whether others can find this member through the mode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announcing {
    /// It never tried, or has nothing to announce.
    Untried,
    /// Every try failed. Where no member can make itself known, each one finds nobody.
    InVain,
    /// Once it was done; that a later try fails is no news about who is there.
    Done,
}

/// The doubt of a look by a member that could not be found itself.
const UNANNOUNCED: &str = "this member could not make itself known yet";

/// What a leaving member waits for a running call.
const GRACE: Duration = Duration::from_millis(limits::WITHDRAW_MS_MAX);
const LOOK_AGAIN_DEFAULT: Duration = Duration::from_millis(limits::LOOK_AGAIN_MS_DEFAULT);

/// Bounds of the wait after a failure, in milliseconds.
const BACK_OFF: (u64, u64) = (limits::BACK_OFF_MS_MIN, limits::BACK_OFF_MS_MAX);
/// After a problem that the mode itself reported.
const PROBLEM_BACK_OFF: (u64, u64) =
    (limits::PROBLEM_BACK_OFF_MS_MIN, limits::PROBLEM_BACK_OFF_MS_MAX);

/// When one instance is called next.
struct Due {
    look: Instant,
    /// `None` when it has announced itself for good, or never does.
    announce: Option<Instant>,
    /// Looks so far.
    looks: u64,
}

/// How one instance ended.
enum End {
    /// The member leaves, or nobody listens any more.
    Stopping,
    /// It lived long enough.
    Routine,
    /// The member has other addresses.
    Moved,
    /// It is dead, or never lived; another follows after this long.
    Failed(Duration),
    /// The mode is not to be asked again.
    ForGood(Problem),
    /// That, and no new version of it can come.
    Ended,
    /// A new version of its file takes over.
    Succeeded(Box<Successor>),
}

impl Supervisor {
    async fn run(mut self, host: DiscoveryHost) {
        self.successors = Watch::start(&host, &self.loaded, &self.local);
        let mut ready = None;
        loop {
            let end = match self.live(ready.take()).await {
                End::Failed(back_off) => {
                    let again = self.sleep_until(Instant::now() + back_off).await;
                    self.status.send_modify(|status| status.restarts += 1);
                    again.err()
                }
                End::Routine => {
                    tracing::debug!(mode = %self.name(), "instance replaced as a matter of routine");
                    None
                }
                End::ForGood(problem) => Some(self.stop_for_good(problem).await),
                end => Some(end),
            };
            match end {
                None => {}
                Some(End::Succeeded(successor)) => ready = self.take_over(*successor),
                Some(End::Moved) => {
                    self.local = self.surroundings.borrow_and_update().of(&self.local);
                }
                Some(End::Ended) => return,
                Some(_) => break,
            }
        }
        self.status.send_modify(|status| status.state = ModeState::Stopped);
    }

    /// From now on the new version is the mode. Gives its instance, unless the member has moved
    /// since that was made.
    fn take_over(&mut self, successor: Successor) -> Option<(Instance, Snapshot)> {
        let Successor { loaded, instance, snapshot } = successor;
        self.loaded = loaded;
        self.failures = Failures::default();
        self.loaded.mode.forget_told();
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

    /// One instance's life, from its beginning, or from its first look when that is
    /// done already.
    async fn live(&mut self, ready: Option<(Instance, Snapshot)>) -> End {
        let now = Instant::now();
        let mut due = Due { look: now, announce: None, looks: 0 };
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
                match while_wanted(&self.phase, Duration::ZERO, opening).await {
                    None => return End::Stopping,
                    Some(Ok(instance)) => instance,
                    Some(Err(error)) => match self.failed(error) {
                        // Not configured, so of no use even if it is alive.
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

    /// Looks and announces, each when it is due.
    async fn work(&mut self, instance: &mut Instance, due: &mut Due) -> End {
        while due.looks < limits::LOOKS_PER_INSTANCE
            && !(due.looks > 0 && instance.is_nearly_full())
        {
            let next = due.announce.map_or(due.look, |announce| announce.min(due.look));
            if let Err(end) = self.sleep_until(next).await {
                return end;
            }
            // The announcement first: the look after it may already see the answers.
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
        End::Routine
    }

    /// Announces, and says when to do so again.
    async fn announce(&mut self, instance: &mut Instance) -> Result<Option<Duration>, End> {
        match while_wanted(&self.phase, GRACE, instance.announce()).await {
            None => Err(End::Stopping),
            Some(Ok(again)) => {
                self.announcing = Announcing::Done;
                self.succeeded(true);
                Ok(again.map(interval))
            }
            Some(Err(error)) => {
                if self.announcing == Announcing::Untried {
                    self.announcing = Announcing::InVain;
                }
                self.failed(error).map(Some)
            }
        }
    }

    /// Looks, reports, and says when to look again.
    async fn look(&mut self, instance: &mut Instance) -> Result<Duration, End> {
        // Only a mode that has an announcement to take back is waited for.
        let grace = if instance.announces() { GRACE } else { Duration::ZERO };
        match while_wanted(&self.phase, grace, instance.discover()).await {
            None => Err(End::Stopping),
            Some(Ok(snapshot)) => self.take(snapshot).await,
            Some(Err(error)) => self.failed(error),
        }
    }

    /// What a look found: reports it, and says when to look again. One of which nothing can
    /// be used has failed; one that leaves a doubt beside what it found is reported with it.
    async fn take(&mut self, mut snapshot: Snapshot) -> Result<Duration, End> {
        let mut again = interval(snapshot.look_again.unwrap_or(LOOK_AGAIN_DEFAULT));
        match snapshot.doubt.clone() {
            // The log was told why when it failed.
            None if self.announcing == Announcing::InVain => {
                snapshot.doubt = Some(UNANNOUNCED.to_owned());
            }
            None => {
                self.status.send_modify(|status| status.has_looked = true);
                self.succeeded(!snapshot.candidates.is_empty());
            }
            // Who is there was shown before: the mode itself says what it misses now.
            Some(_) if !snapshot.candidates.is_empty() && self.status.borrow().has_looked => {
                self.succeeded(true);
            }
            Some(doubt) => {
                let wait = self.failed(CallError::Problem(Problem::Temporary(doubt)))?;
                if snapshot.candidates.is_empty() {
                    return Ok(wait);
                }
                // A member may be waiting for it.
                again = again.min(Duration::from_millis(limits::PROBLEM_BACK_OFF_MS_MAX));
            }
        }
        if self.found(snapshot).await { Ok(again) } else { Err(End::Stopping) }
    }

    /// Sleeps, unless there is something else to do first.
    async fn sleep_until(&mut self, at: Instant) -> Result<(), End> {
        let (watch, surroundings) = (&mut self.successors, &mut self.surroundings);
        let sleep = async {
            tokio::select! {
                biased;
                () = changed(surroundings) => Err(End::Moved),
                successor = next(watch) => Err(End::Succeeded(Box::new(successor))),
                () = tokio::time::sleep_until(at) => Ok(()),
            }
        };
        while_wanted(&self.phase, Duration::ZERO, sleep).await.unwrap_or(Err(End::Stopping))
    }

    async fn withdraw(&self, instance: &mut Instance) {
        let why = match instance.withdraw().await {
            Ok(()) => return,
            Err(CallError::Dead) => {
                format!("its last call did not end within {} ms", GRACE.as_millis())
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(mode = %self.name(), "mode {:?} did not take its announcement back: {why}", self.name());
    }

    /// Reports a look; false when the mode is to stop.
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
        let sent = while_wanted(&self.phase, Duration::ZERO, self.events.send(event)).await;
        matches!(sent, Some(Ok(())))
    }

    fn succeeded(&mut self, has_found: bool) {
        if self.failures.succeeded() {
            // A mode may have given up looking, and go on without what it looked for.
            let how = if has_found { "works again" } else { "goes on, and finds nobody" };
            tracing::info!(mode = %self.name(), "mode {:?} {how}", self.name());
        }
        self.set_state(ModeState::Ready);
    }

    /// Writes a failure down. Gives the time until the next call when the instance
    /// can take one, and else its end.
    fn failed(&mut self, error: CallError) -> Result<Duration, End> {
        let text = error.to_string();
        let bounds = match error {
            CallError::Problem(_) => PROBLEM_BACK_OFF,
            _ => BACK_OFF,
        };
        let (back_off, news) = self.failures.failed(&text, bounds);
        let name = self.name();
        let meanwhile = news.map(|news| format!("{}{}", self.meanwhile(), news.outlook()));
        let CallError::Problem(problem) = error else {
            if let Some(meanwhile) = meanwhile {
                tracing::error!(
                    mode = %name,
                    "mode {name:?} {text}; it is started again, and {meanwhile}"
                );
            }
            self.status.send_modify(|status| status.last_trap = Some(text));
            self.set_state(ModeState::BackingOff);
            return Err(End::Failed(back_off));
        };
        self.status.send_modify(|status| status.last_problem = Some(problem.clone()));
        match (&problem, meanwhile) {
            (Problem::Misconfigured(_) | Problem::Denied(_), _) => {
                return Err(End::ForGood(problem));
            }
            (Problem::Temporary(text), Some(meanwhile)) => {
                tracing::warn!(mode = %name, "mode {name:?}: {text}; it is asked again, and {meanwhile}");
            }
            (Problem::Failed(text), Some(meanwhile)) => {
                tracing::error!(
                    mode = %name,
                    "mode {name:?} failed: {text}; it is asked again, and {meanwhile}"
                );
            }
            (_, None) => {}
        }
        self.set_state(ModeState::BackingOff);
        Ok(back_off)
    }

    /// What holds while the mode cannot look.
    fn meanwhile(&self) -> &'static str {
        match self.status.borrow().has_looked {
            true => "what it found before stands",
            false => "this member starts no cluster before it has looked",
        }
    }

    /// Stops, until the member leaves or a new version of the file does better.
    async fn stop_for_good(&mut self, problem: Problem) -> End {
        let name = self.name();
        let meanwhile = self.meanwhile();
        let state = match &problem {
            Problem::Denied(_) => ModeState::StoppedDenied,
            _ => ModeState::StoppedMisconfigured,
        };
        tracing::error!(
            mode = %name,
            "mode {name:?} stopped: {problem}; {meanwhile}: mend its [[discovery]] and start this member again"
        );
        self.set_state(state);
        let event = ModeEvent::Stopped { mode: name.to_owned(), problem };
        while_wanted(&self.phase, Duration::ZERO, self.events.send(event)).await;
        let watch = &mut self.successors;
        if watch.is_none() {
            // Keeps its last state, for the status page to show.
            return End::Ended;
        }
        match while_wanted(&self.phase, Duration::ZERO, next(watch)).await {
            Some(successor) => End::Succeeded(Box::new(successor)),
            None => End::Stopping,
        }
    }

    fn set_state(&self, state: ModeState) {
        let multicast = self.loaded.mode.multicast.read();
        self.status.send_modify(|status| {
            status.state = state;
            status.multicast = multicast;
        });
    }

    fn name(&self) -> &str {
        &self.loaded.spec.name
    }
}

/// What `future` gives, unless the mode is asked to stop and `grace` is over first.
async fn while_wanted<T>(
    phase: &watch::Receiver<Phase>,
    grace: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut phase = phase.clone();
    let given_up = async {
        // An error means that nobody is left who could ask; the task is then aborted.
        let _ = phase.wait_for(|phase| *phase != Phase::Wanted).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        result = future => Some(result),
        () = given_up => None,
    }
}

/// Waits until the member has other addresses.
async fn changed(surroundings: &mut watch::Receiver<Surroundings>) {
    if surroundings.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The next version of a mode; never where there is none to come.
async fn next(watch: &mut Option<Watch>) -> Successor {
    if let Some(watch) = watch
        && let Some(successor) = watch.successors.recv().await
    {
        return successor;
    }
    std::future::pending().await
}

/// What a mode asked for, kept within limits, with jitter.
fn interval(asked: Duration) -> Duration {
    let (min, max) = (
        Duration::from_millis(limits::LOOK_AGAIN_MS_MIN),
        Duration::from_millis(limits::LOOK_AGAIN_MS_MAX),
    );
    back_off::jittered(asked.clamp(min, max)).max(min)
}

/// The failures since a mode was last healthy, and what the log says of them. Its last line is
/// true: a failure that lasts stands there, and so does its end.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// Since when calls succeed again.
    well_since: Option<Instant>,
    /// Lines of failures.
    lines: usize,
    /// What was logged since the log last said that the mode works.
    logged: Vec<String>,
}

/// A failure that is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Failure,
    /// The last line before the mode is healthy again: it comes and goes.
    Last,
}

impl News {
    /// What a line says of the lines to come.
    fn outlook(self) -> String {
        match self {
            Self::Failure => String::new(),
            Self::Last => format!(
                "; it fails again and again: no more is logged of it until it has worked for {} s",
                limits::HEALTHY_MS / 1_000
            ),
        }
    }
}

impl Failures {
    /// One more: how long to wait, and whether to log it.
    fn failed(&mut self, text: &str, bounds: (u64, u64)) -> (Duration, Option<News>) {
        if self.well_since.take().is_some_and(is_healthy) {
            *self = Self::default();
        }
        let back_off = back_off::after(self.count, bounds);
        self.count += 1;
        if self.is_silent() || self.logged.iter().any(|logged| logged == text) {
            return (back_off, None);
        }
        self.logged.push(text.to_owned());
        self.lines += 1;
        (back_off, Some(if self.is_silent() { News::Last } else { News::Failure }))
    }

    /// A success: true when the log says that the mode fails, and is to say that it works.
    fn succeeded(&mut self) -> bool {
        if self.count == 0 {
            return false;
        }
        let since = *self.well_since.get_or_insert_with(Instant::now);
        if self.is_silent() {
            let is_healthy = is_healthy(since);
            if is_healthy {
                *self = Self::default();
            }
            return is_healthy;
        }
        !std::mem::take(&mut self.logged).is_empty()
    }

    /// Whether no more is logged until the mode is healthy.
    fn is_silent(&self) -> bool {
        self.lines >= limits::FAILURES_LOGGED_MAX
    }
}

/// Whether a mode that works since then is healthy.
fn is_healthy(since: Instant) -> bool {
    since.elapsed() >= Duration::from_millis(limits::HEALTHY_MS)
}

#[cfg(test)]
mod tests {
    use super::{BACK_OFF, Failures, News, interval};
    use crate::limits;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_each_time_and_are_logged_once() {
        let mut failures = Failures::default();
        let mut expected_ms = 500.0;
        for n in 0..20 {
            let (back_off, news) = failures.failed("crashed", BACK_OFF);
            let ms = back_off.as_secs_f64() * 1000.0;
            assert!((expected_ms * 0.9..=expected_ms * 1.1).contains(&ms), "{n}: {ms}");
            assert_eq!(news, (n == 0).then_some(News::Failure));
            expected_ms = f64::min(expected_ms * 2.0, 60_000.0);
        }
        assert!(failures.failed("something else", BACK_OFF).1.is_some());
        assert!(failures.succeeded());
        assert!(!failures.succeeded());
    }

    #[tokio::test(start_paused = true)]
    async fn a_mode_that_stays_well_starts_anew() {
        let mut failures = Failures::default();
        for _ in 0..5 {
            failures.failed("crashed", BACK_OFF);
        }
        failures.succeeded();
        tokio::time::advance(Duration::from_millis(limits::HEALTHY_MS / 2)).await;
        assert!(failures.failed("crashed", BACK_OFF).0 > Duration::from_secs(10));
        failures.succeeded();
        tokio::time::advance(Duration::from_millis(limits::HEALTHY_MS)).await;
        let (back_off, news) = failures.failed("crashed", BACK_OFF);
        assert!(back_off < Duration::from_millis(600));
        assert_eq!(news, Some(News::Failure));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_line_of_a_mode_that_comes_and_goes_is_true() {
        let mut failures = Failures::default();
        for n in 1..limits::FAILURES_LOGGED_MAX {
            let first = failures.failed("unreachable", BACK_OFF).1;
            assert_eq!(first, Some(News::Failure), "{n}: it worked before, as the log has it");
            assert_eq!(failures.failed("unreachable", BACK_OFF).1, None);
            assert!(failures.succeeded());
            assert!(!failures.succeeded());
        }
        assert_eq!(failures.failed("unreachable", BACK_OFF).1, Some(News::Last));
        assert!(!failures.succeeded());
        assert_eq!(failures.failed("something else", BACK_OFF).1, None);
        assert!(!failures.succeeded());
        tokio::time::advance(Duration::from_millis(limits::HEALTHY_MS)).await;
        assert!(failures.succeeded(), "it is healthy, and that is said");
        assert!(!failures.succeeded());
        assert_eq!(failures.failed("unreachable", BACK_OFF).1, Some(News::Failure));
    }

    #[test]
    fn what_a_mode_asks_for_is_kept_within_limits() {
        for _ in 0..100 {
            assert!(interval(Duration::ZERO) >= Duration::from_millis(20));
            assert!(interval(Duration::MAX) <= Duration::from_millis(330_000));
            let second = interval(Duration::from_secs(1)).as_millis();
            assert!((900..=1100).contains(&second));
        }
    }
}
