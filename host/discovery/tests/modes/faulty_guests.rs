//! Modes that loop, crash, use too much memory or return invalid data.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use convoke_discovery::{CallError, DropReason, Problem};

use crate::guest::{DENIED, FAILED, Guest, LOG, MISCONFIGURED, MULTICAST, Returned, TEMPORARY};
use crate::support::{file, granted, host, local, open};

async fn failure_of(guest: &Guest) -> CallError {
    let mut instance = open(&host(), guest).await.unwrap();
    let error = instance.discover().await.unwrap_err();
    assert_eq!(instance.discover().await, Err(CallError::Dead), "after {error}");
    error
}

#[tokio::test(flavor = "current_thread")]
async fn an_endless_loop_is_stopped_while_others_continue() {
    let turns = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            counting.fetch_add(1, Ordering::Relaxed);
        }
    });
    let guest = Guest::new().discover("(loop $ever (br $ever)) unreachable");
    let mut instance = open(&host(), &guest).await.unwrap();
    let started = Instant::now();
    assert_eq!(instance.discover().await, Err(CallError::OutOfBudget));
    assert!(started.elapsed() > Duration::from_millis(900));
    assert!(started.elapsed() < Duration::from_secs(10));
    // A timer runs at least at each second tick, even during an endless loop on the same
    // thread.
    assert!(turns.load(Ordering::Relaxed) >= 5);
    other.abort();
}

#[tokio::test]
async fn an_endless_loop_in_configure_is_stopped() {
    let guest = Guest::new().configure("(loop $ever (br $ever)) unreachable");
    assert_eq!(open(&host(), &guest).await.err(), Some(CallError::OutOfBudget));
}

#[tokio::test]
async fn endless_recursion_is_a_crash() {
    let guest = Guest::new()
        .items("(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))")
        .discover("(call $deeper)");
    let CallError::Trap { message, backtrace } = failure_of(&guest).await else { panic!() };
    assert_eq!(message, "call stack exhausted");
    assert_eq!(backtrace.len(), 8);
}

#[tokio::test]
async fn a_panic_is_a_crash_with_function_names() {
    let guest =
        Guest::new().items("(func $oh_no unreachable)").discover("(call $oh_no) (i32.const 0)");
    let error = failure_of(&guest).await;
    assert_eq!(
        error.to_string(),
        "crashed: wasm `unreachable` instruction executed (in oh_no < discover)"
    );
}

#[tokio::test]
async fn exceeding_the_memory_limit_is_not_reported_as_a_panic() {
    let guest = Guest::new().discover(
        "(loop $more
            (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        unreachable",
    );
    let error = failure_of(&guest).await;
    assert_eq!(error.to_string(), "memory limit of 64 MiB reached");
}

#[tokio::test]
async fn a_result_that_is_too_large_is_rejected() {
    // Two million candidates that all use the same few bytes of memory.
    let mut guest = Guest::new();
    guest.data(0x800, &0x10000_u32.to_le_bytes());
    let guest = guest.discover(
        "(drop (memory.grow (i32.const 800)))
        (i32.store (i32.const 0x804) (i32.const 0x10000))
        (i32.store (i32.const 0x808) (i32.const 2000000))
        (i32.store (i32.const 0x800) (i32.const 0))
        (i32.const 0x800)",
    );
    let error = failure_of(&guest).await;
    assert_eq!(error.to_string(), "returned more than 32 MiB at once");
}

#[tokio::test]
async fn a_result_outside_of_memory_is_a_crash() {
    let guest = Guest::new().discover("(i32.const 0x7ffffff0)");
    assert!(matches!(failure_of(&guest).await, CallError::Trap { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_waits_forever_is_aborted() {
    let mut guest = Guest::new().import("convoke:host/multicast@0.1.0", MULTICAST);
    guest.data(0x800, b"224.2.2.4");
    let guest = guest.discover(
        "(call $join (i32.const 0x800) (i32.const 9) (i32.const 29046) (i32.const 0x900))
        (loop $ever
            (call $receive (i32.load (i32.const 0x904))
                (i32.const 10) (i32.const -1) (i32.const 0x910))
            (br $ever))
        unreachable",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = guest.write(folder.path(), "test");
    let host = host();
    let loaded = host.load(&granted(file(path), "224.2.2.4:29046")).await.unwrap();
    let mut instance = host.open(&loaded, &local()).await.unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(instance.discover().await, Err(CallError::OutOfTime { ms: 10_000 }));
    assert_eq!(started.elapsed(), Duration::from_secs(10));
}

#[tokio::test]
async fn a_mode_that_logs_too_much_is_limited_and_keeps_running() {
    let mut guest = Guest::new().import("convoke:host/log@0.1.0", LOG);
    guest.data(0x800, b"hello");
    let result = guest.result(&Returned::Snapshot(&[("10.0.0.1", None)], None));
    let guest = guest.items("(global $n (mut i32) (i32.const 0))").discover(&format!(
        "(loop $more
            (call $log (i32.const 2) (i32.const 0x800) (i32.const 5) (i32.const 0) (i32.const 0))
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (global.get $n) (i32.const 10000))))
        {result}"
    ));
    let mut instance = open(&host(), &guest).await.unwrap();
    assert_eq!(instance.discover().await.unwrap().candidates.len(), 3);
    instance.discover().await.unwrap();
}

#[tokio::test]
async fn unusable_candidates_are_dropped_with_a_reason() {
    let guest = Guest::new().discover_returns(&Returned::Snapshot(
        &[
            ("member.example", None),
            ("224.0.0.1", Some(1)),
            ("0.0.0.0", Some(1)),
            ("127.0.0.1", Some(6900)),
            ("10.0.0.7", Some(6901)),
        ],
        Some(250),
    ));
    let mut instance = open(&host(), &guest).await.unwrap();
    let snapshot = instance.discover().await.unwrap();
    assert_eq!(snapshot.candidates.len(), 1);
    assert_eq!(snapshot.candidates[0].address, "10.0.0.7:6901".parse().unwrap());
    assert_eq!(snapshot.look_again, Some(Duration::from_millis(250)));
    let reasons: Vec<DropReason> = snapshot.dropped.iter().map(|dropped| dropped.reason).collect();
    assert_eq!(
        reasons,
        [
            DropReason::NotAnAddress,
            DropReason::Multicast,
            DropReason::Unspecified,
            DropReason::ThisMember
        ]
    );
}

#[tokio::test]
async fn a_problem_has_the_modes_text_on_one_line() {
    let text = "no such\nhost";
    for (case, problem) in [
        (MISCONFIGURED, Problem::Misconfigured("no such\\nhost".into())),
        (DENIED, Problem::Denied("no such\\nhost".into())),
        (TEMPORARY, Problem::Temporary("no such\\nhost".into())),
        (FAILED, Problem::Failed("no such\\nhost".into())),
    ] {
        let guest = Guest::new().discover_returns(&Returned::Problem(case, text));
        let mut instance = open(&host(), &guest).await.unwrap();
        for _ in 0..2 {
            assert_eq!(instance.discover().await, Err(CallError::Problem(problem.clone())));
        }
        let guest = Guest::new().configure_returns(&Returned::Problem(case, text));
        assert_eq!(open(&host(), &guest).await.err(), Some(CallError::Problem(problem)));
    }
}
