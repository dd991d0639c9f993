//! The life cycle of a mode under its supervisor; in virtual time where no socket is involved.

use std::time::Duration;

use convoke_discovery::{ModeEvent, ModeHandle, ModeState, ModeStatus, Problem, Snapshot};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::guest::{Guest, LOG, MISCONFIGURED, Returned, TEMPORARY};
use crate::support::{Log, host, load, local};

/// Longer than any back-off.
const HOURS: Duration = Duration::from_secs(7200);

async fn start(guest: &Guest) -> (ModeHandle, mpsc::Receiver<ModeEvent>) {
    let host = host();
    let (events, received) = mpsc::channel(1);
    let handle = host.start(load(&host, guest).await.unwrap(), local(), events);
    // Modes keep the parts of the host that they need.
    drop(host);
    (handle, received)
}

async fn snapshot(events: &mut mpsc::Receiver<ModeEvent>) -> Snapshot {
    match timeout(HOURS, events.recv()).await.unwrap() {
        Some(ModeEvent::Snapshot { mode, snapshot }) if mode == "test" => snapshot,
        other => panic!("{other:?} instead of a snapshot"),
    }
}

async fn status(handle: &ModeHandle, wanted: impl FnMut(&ModeStatus) -> bool) -> ModeStatus {
    timeout(HOURS, handle.status().wait_for(wanted)).await.unwrap().unwrap().clone()
}

/// A mode whose call number `at` (from 1) of `discover` executes `then`, and whose other calls
/// return one candidate.
fn good_but(at: u32, then: &str) -> Guest {
    let mut guest = Guest::new();
    let found = guest.result(&Returned::Snapshot(&[("10.0.0.7", Some(6900))], Some(1_000)));
    guest.items("(global $calls (mut i32) (i32.const 0))").discover(&format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.eq (global.get $calls) (i32.const {at})) (then {then}))
        {found}"
    ))
}

#[tokio::test(start_paused = true)]
async fn a_mode_is_called_at_the_interval_it_returns() {
    let (handle, mut events) = start(&good_but(0, "unreachable")).await;
    snapshot(&mut events).await;
    for _ in 0..10 {
        let before = Instant::now();
        assert_eq!(snapshot(&mut events).await.candidates.len(), 1);
        let waited_ms = before.elapsed().as_millis();
        assert!((850..=1150).contains(&waited_ms), "{waited_ms} ms");
    }
    let seen = status(&handle, |status| status.looks >= 11).await;
    assert_eq!((seen.name.as_str(), seen.state), ("test", ModeState::Ready));
    assert!(seen.source.ends_with("test.wasm"));
    assert_eq!(seen.last_snapshot.unwrap().candidates, 1);
    assert_eq!((seen.restarts, seen.last_trap, seen.last_problem), (0, None, None));
}

#[tokio::test(start_paused = true)]
async fn the_default_interval_is_five_seconds() {
    let (_handle, mut events) = start(&Guest::new()).await;
    snapshot(&mut events).await;
    let before = Instant::now();
    snapshot(&mut events).await;
    let waited_ms = before.elapsed().as_millis();
    assert!((4_400..=5_600).contains(&waited_ms), "{waited_ms} ms");
}

#[tokio::test(start_paused = true)]
async fn a_crashed_mode_is_restarted_and_its_last_result_is_kept() {
    let (handle, mut events) = start(&good_but(3, "unreachable")).await;
    for _ in 0..2 {
        snapshot(&mut events).await;
    }
    let broken = status(&handle, |status| status.state == ModeState::BackingOff).await;
    assert_eq!(broken.looks, 2);
    assert_eq!(broken.last_snapshot.unwrap().candidates, 1);
    assert_eq!(
        broken.last_trap.as_deref(),
        Some("crashed: wasm `unreachable` instruction executed (in discover)")
    );
    snapshot(&mut events).await;
    let mended = status(&handle, |status| status.state == ModeState::Ready).await;
    assert_eq!(mended.restarts, 1);
    for _ in 0..6 {
        snapshot(&mut events).await;
    }
    assert!(status(&handle, |status| status.restarts >= 3).await.last_trap.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_always_crashes_is_restarted_with_a_growing_back_off() {
    let (handle, _events) = start(&Guest::new().discover("unreachable")).await;
    let started = Instant::now();
    let seen = status(&handle, |status| status.restarts == 10).await;
    assert_eq!((seen.state, seen.looks), (ModeState::BackingOff, 0));
    // 0.5 + 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 + 60 seconds.
    let waited = started.elapsed().as_secs();
    assert!((215..=275).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_temporary_problem_is_retried_with_the_same_instance() {
    let mut guest = Guest::new();
    let problem = guest.result(&Returned::Problem(TEMPORARY, "no answer from the name server"));
    let found = guest.result(&Returned::Snapshot(&[("10.0.0.7", Some(6900))], Some(1_000)));
    let guest = guest.items("(global $calls (mut i32) (i32.const 0))").discover(&format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (select {problem} {found} (i32.eq (global.get $calls) (i32.const 2)))"
    ));
    let (handle, mut events) = start(&guest).await;
    snapshot(&mut events).await;
    status(&handle, |status| status.state == ModeState::BackingOff).await;
    snapshot(&mut events).await;
    let seen = status(&handle, |status| status.state == ModeState::Ready).await;
    assert_eq!(seen.restarts, 0);
    assert_eq!(
        seen.last_problem,
        Some(Problem::Temporary("no answer from the name server".into()))
    );
}

/// A result without usable candidates counts as a failure: it is not reported, logged once, and
/// retried soon.
#[tokio::test(start_paused = true)]
async fn a_result_without_usable_candidates_is_a_failure() {
    let log = Log::capture();
    let mut guest = Guest::new();
    let in_vain =
        Returned::Snapshot(&[("a.example", Some(1)), ("10.0.0.7", Some(0))], Some(60_000));
    let in_vain = guest.result(&in_vain);
    let found = guest.result(&Returned::Snapshot(&[], Some(1_000)));
    let guest = guest.items("(global $calls (mut i32) (i32.const 0))").discover(&format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (select {in_vain} {found} (i32.lt_u (global.get $calls) (i32.const 4)))"
    ));
    let started = Instant::now();
    let (handle, mut events) = start(&guest).await;
    assert_eq!(snapshot(&mut events).await.candidates, [], "an empty result is conclusive");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(status(&handle, |status| status.looks > 0).await.looks, 1);
    assert_eq!(
        log.lines(),
        [
            "WARN mode \"test\": none of the candidates can be used (a.example:1: not an IPv4 or IPv6 literal; a mode resolves names itself; 10.0.0.7:0: port 0, which no process can listen on); retrying; this member does not found a cluster until it succeeds mode=test",
            "INFO mode \"test\" works again, and finds no members mode=test"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_misconfigured_mode_is_not_called_again() {
    let guest =
        Guest::new().discover_returns(&Returned::Problem(MISCONFIGURED, "no service is named"));
    let (handle, mut events) = start(&guest).await;
    let problem = Problem::Misconfigured("no service is named".into());
    let stopped = ModeEvent::Stopped { mode: "test".into(), problem: problem.clone() };
    assert_eq!(timeout(HOURS, events.recv()).await.unwrap(), Some(stopped));
    // Only the file is watched, for a new version.
    assert!(timeout(HOURS, events.recv()).await.is_err());
    let seen = handle.status().borrow().clone();
    assert_eq!(seen.state, ModeState::StoppedMisconfigured);
    assert_eq!(seen.last_problem, Some(problem));
    handle.stop().await;
    assert_eq!(timeout(HOURS, events.recv()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_announcement_comes_first_and_is_repeated_when_due() {
    // Each announcement increments the port of the one candidate.
    let mut guest = Guest::new();
    let found = guest.result(&Returned::Snapshot(&[("10.0.0.7", Some(6900))], Some(1_000)));
    let again = guest.result(&Returned::Again(10_000));
    let done = guest.result(&Returned::Done);
    let port = format!("(i32.add (i32.load offset=4 {found}) (i32.const 10))");
    let guest = guest.discover(&found).announcer(
        &format!("(i32.store16 {port} (i32.add (i32.load16_u {port}) (i32.const 1))) {again}"),
        &done,
    );
    let (_handle, mut events) = start(&guest).await;
    let started = Instant::now();
    let mut ports = Vec::new();
    while started.elapsed() < Duration::from_secs(35) {
        ports.push(snapshot(&mut events).await.candidates[0].address.port());
    }
    assert_eq!(ports[0], 6901);
    assert_eq!(*ports.last().unwrap(), 6904);
    assert!(ports.len() > 30);
}

/// If two members could discover but not announce, each would conclude that it is alone.
#[tokio::test(start_paused = true)]
async fn a_result_is_inconclusive_until_an_announcement_has_succeeded() {
    let mut guest = Guest::new();
    let found = guest.result(&Returned::Snapshot(&[], Some(1_000)));
    let refused = guest.result(&Returned::Problem(TEMPORARY, "may not write"));
    let again = guest.result(&Returned::Again(1_000));
    let done = guest.result(&Returned::Done);
    let guest = guest.discover(&found).items("(global $tries (mut i32) (i32.const 0))").announcer(
        &format!(
            "(global.set $tries (i32.add (global.get $tries) (i32.const 1)))
            (select {refused} {again} (i32.eq (i32.and (global.get $tries) (i32.const 3)) (i32.const 1)))"
        ),
        &done,
    );
    let (handle, mut events) = start(&guest).await;
    let doubt = snapshot(&mut events).await.doubt.unwrap();
    assert_eq!(doubt, "this member could not announce itself yet");
    for _ in 0..20 {
        // The fifth attempt fails as well, and the earlier announcement stays valid.
        assert_eq!(snapshot(&mut events).await.doubt, None);
    }
    handle.stop().await;
}

#[tokio::test]
async fn an_endless_loop_does_not_delay_the_stop() {
    let (handle, _events) =
        start(&Guest::new().discover("(loop $ever (br $ever)) unreachable")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = Instant::now();
    handle.stop().await;
    assert!(before.elapsed() < Duration::from_millis(800), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_mode_ends_when_its_receiver_is_dropped() {
    let (handle, events) = start(&good_but(0, "unreachable")).await;
    drop(events);
    assert_eq!(status(&handle, |status| status.state == ModeState::Stopped).await.looks, 1);
}

#[tokio::test]
async fn a_mode_that_imports_only_the_log_needs_no_grant() {
    let mut guest = Guest::new().import("convoke:host/log@0.1.0", LOG);
    let found = guest.result(&Returned::Snapshot(&[], None));
    let guest = guest.discover(&format!(
        "(call $log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) {found}"
    ));
    let (handle, mut events) = start(&guest).await;
    snapshot(&mut events).await;
    handle.stop().await;
}
