//! Replacing the file of a running mode: the new version is tried while the old one runs, and
//! takes over only after a successful call. In virtual time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convoke_discovery::{
    Digest, DiscoveryHost, ModeEvent, ModeHandle, ModeSpec, ModeState, ModeStatus, Problem, limits,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::guest::{FAILED, Guest, MISCONFIGURED, Returned, TEMPORARY};
use crate::store::{host_with, storing};
use crate::support::{Log, file, host, local, with_grants};

/// Longer than detecting and trying a change can take.
const SOON: Duration = Duration::from_secs(60);
/// A change is used once two checks give the same version.
const UNTIL_SEEN: Duration = Duration::from_millis(3 * limits::FILE_WATCH_MS);

const REJECTED: &str =
    "WARN the new version of mode \"test\" was rejected, and the running version is kept: ";
const TRIED: &str = "INFO the file of mode \"test\" has changed; trying the new version mode=test";

/// A mode that returns one candidate, this port of 10.0.0.7.
fn version(port: u16) -> Guest {
    Guest::new().discover_returns(&Returned::Snapshot(&[("10.0.0.7", Some(port))], Some(1_000)))
}

struct Running {
    handle: ModeHandle,
    events: mpsc::Receiver<ModeEvent>,
    path: PathBuf,
    log: Log,
    _folder: tempfile::TempDir,
}

impl Running {
    async fn start(first: &Guest) -> Self {
        Self::start_on(&host(), first, |spec| spec).await
    }

    async fn start_on(
        host: &DiscoveryHost,
        first: &Guest,
        specify: impl FnOnce(ModeSpec) -> ModeSpec,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = first.write(folder.path(), "test");
        let log = Log::capture();
        let loaded = host.load(&specify(file(&path))).await.unwrap();
        let (events, received) = mpsc::channel(1);
        let handle = host.start(loaded, local(), events);
        Self { handle, events: received, path, log, _folder: folder }
    }

    /// Replaces the file atomically, as installers do.
    fn replace(&self, bytes: &[u8]) {
        replace(&self.path, bytes);
    }

    async fn port(&mut self) -> u16 {
        match timeout(SOON, self.events.recv()).await.unwrap() {
            Some(ModeEvent::Snapshot { snapshot, .. }) => snapshot.candidates[0].address.port(),
            other => panic!("{other:?} instead of a snapshot"),
        }
    }

    /// Waits until a result contains this port.
    async fn until(&mut self, port: u16) {
        let search = async { while self.port().await != port {} };
        timeout(SOON, search).await.unwrap_or_else(|_| panic!("{port} was never found"));
    }

    /// Checks that only this port is found for as long as a change may take.
    async fn only(&mut self, port: u16) {
        let search = async {
            loop {
                assert_eq!(self.port().await, port);
            }
        };
        assert!(timeout(SOON, search).await.is_err());
    }

    fn status(&self) -> ModeStatus {
        self.handle.status().borrow().clone()
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_working_new_version_takes_over() {
    let mut running = Running::start(&version(6901)).await;
    running.until(6901).await;
    let before = running.status();
    let new = version(6902).build();
    running.replace(&new);
    running.until(6902).await;
    running.only(6902).await;

    let after = running.status();
    assert_eq!((before.reloads, after.reloads), (0, 1));
    assert_ne!(before.digest, after.digest);
    assert_eq!(after.digest, Some(Digest::of(&new).to_string()));
    assert!(after.looks > before.looks, "counters are kept");
    assert_eq!((after.state, after.restarts), (ModeState::Ready, 0));
    assert_eq!(
        running.log.lines(),
        [
            TRIED.to_owned(),
            format!(
                "INFO the new version of mode \"test\" has taken over mode=test digest=\"{}\" candidates=1",
                Digest::of(&new)
            )
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_further_version_takes_over() {
    let mut running = Running::start(&version(6901)).await;
    for port in 6902..6912 {
        running.replace(&version(port).build());
        running.until(port).await;
    }
    assert_eq!(running.status().reloads, 10);
    running.handle.stop().await;
}

/// Why a new file was rejected, from the log.
async fn rejection_of(bytes: &[u8], specify: impl FnOnce(ModeSpec) -> ModeSpec) -> String {
    let mut running = Running::start_on(&host(), &version(6901), specify).await;
    running.until(6901).await;
    let digest = running.status().digest;
    running.replace(bytes);
    running.only(6901).await;
    let after = running.status();
    assert_eq!((after.reloads, after.restarts, after.digest), (0, 0, digest));
    assert_eq!(after.state, ModeState::Ready);
    let [tried, warning] = &running.log.lines()[..] else { panic!("{:?}", running.log.lines()) };
    assert_eq!(tried, TRIED);
    let path = running.path.display().to_string();
    warning.strip_prefix(REJECTED).unwrap_or_else(|| panic!("{warning}")).replace(&path, "FILE")
}

#[tokio::test(start_paused = true)]
async fn a_broken_new_file_is_rejected() {
    let whole = version(6902).build();
    let cut = rejection_of(&whole[..whole.len() / 2], |spec| spec).await;
    assert!(cut.starts_with("mode \"test\": FILE is damaged, truncated, or uses"), "{cut}");
    assert_eq!(
        rejection_of(b"", |spec| spec).await,
        "mode \"test\": FILE is empty; build or download it again mode=test"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_crashes_is_rejected() {
    let crashing = Guest::new().discover("unreachable").build();
    assert_eq!(
        rejection_of(&crashing, |spec| spec).await,
        "it crashed: wasm `unreachable` instruction executed (in discover) mode=test"
    );
    let crashing = Guest::new().configure("unreachable").build();
    assert_eq!(
        rejection_of(&crashing, |spec| spec).await,
        "it crashed: wasm `unreachable` instruction executed (in configure) mode=test"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_needs_more_grants_is_rejected() {
    let text = rejection_of(&storing("index", "").build(), |spec| spec).await;
    assert!(text.contains("to allow it, its [[discovery]] needs: grant = { store"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_is_misconfigured_is_rejected() {
    let misconfigured = Returned::Problem(MISCONFIGURED, "setting \"row\" is missing");
    for guest in [
        Guest::new().configure_returns(&misconfigured),
        Guest::new().discover_returns(&misconfigured),
    ] {
        assert_eq!(
            rejection_of(&guest.build(), |spec| spec).await,
            "setting \"row\" is missing mode=test"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_pinned_file_may_not_change() {
    let pinned = Digest::of(&version(6901).build());
    let new = version(6902).build();
    let text = rejection_of(&new, |mut spec| {
        spec.digest = Some(pinned);
        spec
    })
    .await;
    assert_eq!(
        text,
        format!(
            "mode \"test\": FILE has digest {}, but the configuration requires {pinned}; get the right file, or change `digest` mode=test",
            Digest::of(&new)
        )
    );
}

/// A version whose first `failing` calls report a problem.
fn failing_at_first(failing: u32, case: u8) -> Guest {
    let mut guest = Guest::new();
    let problem = guest.result(&Returned::Problem(case, "no answer from the shelf"));
    let found = guest.result(&Returned::Snapshot(&[("10.0.0.7", Some(6902))], Some(1_000)));
    guest.items("(global $calls (mut i32) (i32.const 0))").discover(&format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (select {problem} {found} (i32.le_u (global.get $calls) (i32.const {failing})))"
    ))
}

#[tokio::test(start_paused = true)]
async fn a_new_version_may_fail_at_first() {
    for case in [TEMPORARY, FAILED] {
        let mut running = Running::start(&version(6901)).await;
        running.until(6901).await;
        running.replace(&failing_at_first(limits::TRIAL_LOOKS_MAX, case).build());
        running.until(6902).await;
        assert_eq!(running.status().reloads, 1);
        assert_eq!(running.status().last_problem, None, "the running version never failed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_keeps_failing_is_rejected() {
    let failing = failing_at_first(limits::TRIAL_LOOKS_MAX + 1, TEMPORARY).build();
    assert_eq!(rejection_of(&failing, |spec| spec).await, "no answer from the shelf mode=test");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_still_being_written_is_not_read() {
    let mut running = Running::start(&version(6901)).await;
    running.until(6901).await;
    let new = version(6902).build();
    // Faster than the interval of the watch, so that no two checks give the same version.
    for part in 1..=20 {
        fs::write(&running.path, &new[..new.len() * part / 20]).unwrap();
        let pause = sleep(Duration::from_millis(limits::FILE_WATCH_MS));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                port = running.port() => assert!(port == 6901 || part == 20),
                () = &mut pause => break,
            }
        }
    }
    running.until(6902).await;
    assert_eq!(running.status().reloads, 1);
    assert_eq!(running.log.lines().len(), 2, "{:?}", running.log.lines());
}

#[tokio::test(start_paused = true)]
async fn a_partial_file_is_rejected_once_and_the_complete_one_takes_over() {
    let mut running = Running::start(&version(6901)).await;
    running.until(6901).await;
    let new = version(6902).build();
    fs::write(&running.path, &new[..new.len() / 2]).unwrap();
    running.only(6901).await;
    fs::write(&running.path, &new).unwrap();
    running.until(6902).await;
    let lines = running.log.lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[1].starts_with(REJECTED), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_removed_and_created_again_is_a_change() {
    let mut running = Running::start(&version(6901)).await;
    running.until(6901).await;
    fs::remove_file(&running.path).unwrap();
    running.only(6901).await;
    assert_eq!(running.log.lines(), [""; 0], "a missing file is not logged");
    fs::write(&running.path, version(6902).build()).unwrap();
    running.until(6902).await;
}

#[tokio::test(start_paused = true)]
async fn rewriting_the_same_content_changes_nothing() {
    let mut running = Running::start(&version(6901)).await;
    running.until(6901).await;
    running.replace(&version(6901).build());
    running.only(6901).await;
    assert_eq!(running.status().reloads, 0);
    assert_eq!(
        running.log.lines(),
        [TRIED, "INFO the file of mode \"test\" was rewritten with the same content mode=test"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_stopped_permanently_restarts_with_a_fixed_file() {
    let wrong = Guest::new()
        .discover_returns(&Returned::Problem(MISCONFIGURED, "setting \"row\" is missing"));
    let mut running = Running::start(&wrong).await;
    let stopped = ModeEvent::Stopped {
        mode: "test".into(),
        problem: Problem::Misconfigured("setting \"row\" is missing".into()),
    };
    assert_eq!(timeout(SOON, running.events.recv()).await.unwrap(), Some(stopped));
    assert_eq!(running.status().state, ModeState::StoppedMisconfigured);
    running.replace(&version(6902).build());
    running.until(6902).await;
    running.only(6902).await;
    let status = running.status();
    assert_eq!((status.state, status.reloads), (ModeState::Ready, 1));
    running.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashing_mode_is_replaced_during_its_back_off() {
    let mut running = Running::start(&Guest::new().discover("unreachable")).await;
    let mut status = running.handle.status();
    let crashed = status.wait_for(|status| status.restarts == 8);
    timeout(Duration::from_secs(600), crashed).await.unwrap().unwrap();
    running.replace(&version(6902).build());
    running.until(6902).await;
    assert_eq!(running.status().state, ModeState::Ready);
}

#[tokio::test(start_paused = true)]
async fn the_store_is_kept_for_the_new_version() {
    let state = tempfile::tempdir().unwrap();
    let old = storing("index", "hello").discover("(call $report (call $save_it (i32.const 5)))");
    let new = storing("index", "").discover("(call $report (call $load_it))");
    let granted = |spec| with_grants(spec, &[("store", "1KiB")]);
    let mut running = Running::start_on(&host_with(state.path()), &old, granted).await;
    running.until(101).await;
    running.replace(&new.build());
    running.until(6).await;
    let folders = fs::read_dir(state.path().join("modes")).unwrap().count();
    assert_eq!(folders, 1, "the new version has no folder of its own");
}

#[tokio::test(start_paused = true)]
async fn the_announcement_stays_and_is_withdrawn_by_the_new_version() {
    let announcing = |port, withdraw: &str| {
        let mut guest = version(port);
        let again = guest.result(&Returned::Again(10_000));
        let done = guest.result(&Returned::Done);
        guest.announcer(&again, &withdraw.replace("DONE", &done))
    };
    let mut running = Running::start(&announcing(6901, "DONE")).await;
    running.until(6901).await;
    running.replace(&announcing(6902, "unreachable").build());
    running.until(6902).await;
    running.handle.stop().await;
    let lines = running.log.lines();
    assert_eq!(
        lines.last().unwrap(),
        "WARN mode \"test\" did not withdraw its announcement: crashed: wasm `unreachable` instruction executed (in withdraw) mode=test"
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_mode_does_not_watch_its_file() {
    let mut running = Running::start(&version(6901)).await;
    running.until(6901).await;
    let (log, path) = (running.log, running.path);
    running.handle.stop().await;
    replace(&path, &version(6902).build());
    sleep(UNTIL_SEEN).await;
    assert_eq!(log.lines(), [""; 0]);
}
