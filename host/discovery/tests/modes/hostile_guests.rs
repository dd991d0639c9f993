//! Hostile modes: the line that is logged for each, and that another mode of the same host
//! keeps running.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use convoke_discovery::{
    CallError, DiscoveryHost, DropReason, FakeDns, Fakes, HostConfig, ModeState, ModeStatus,
    Probed, Prober, limits,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::guest::{Guest, LOG, Returned, reported};
use crate::support::{Log, config, file, host, host_in, load, local, open, with_grants};

/// Longer than any back-off.
const HOURS: Duration = Duration::from_secs(7200);

/// Runs `guest` until it has failed twice, together with a mode of the same host that has to keep
/// running. Returns the log line.
async fn failure_of(guest: &Guest) -> String {
    let log = Log::capture();
    let host = host();
    let good = Guest::new().discover_returns(&Returned::Snapshot(&[], Some(100)));
    let mut running = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    for (name, guest) in [("neighbour", &good), ("test", guest)] {
        let mut spec = file(guest.write(folder.path(), name));
        spec.name = name.into();
        let (events, mut received) = mpsc::channel(1);
        tokio::spawn(async move { while received.recv().await.is_some() {} });
        running.push(host.start(host.load(&spec).await.unwrap(), local(), events));
    }
    let [neighbour, hostile] = &running[..] else { unreachable!() };
    let mut status = hostile.status();
    let failed = status.wait_for(|status| status.restarts == 2);
    timeout(HOURS, failed).await.unwrap().unwrap();
    assert!(status.borrow().last_trap.is_some());

    let mut status = neighbour.status();
    let before = status.borrow().looks;
    timeout(HOURS, status.wait_for(|status| status.looks >= before + 3)).await.unwrap().unwrap();
    assert_eq!((status.borrow().state, status.borrow().restarts), (ModeState::Ready, 0));
    for handle in running {
        handle.stop().await;
    }
    let [line] = &log.lines()[..] else { panic!("not one line: {:?}", log.lines()) };
    let line = line.strip_prefix("ERROR mode \"test\" ").unwrap_or_else(|| panic!("{line}"));
    let end = "; restarting it; this member does not found a cluster until it succeeds mode=test";
    line.strip_suffix(end).unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_endless_loop_is_interrupted() {
    let guest = Guest::new().discover("(loop $ever (br $ever)) unreachable");
    assert_eq!(failure_of(&guest).await, "computed for more than 950 ms in one call");
}

#[tokio::test(start_paused = true)]
async fn endless_recursion_exhausts_only_the_stack_of_the_guest() {
    let guest = Guest::new()
        .items("(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))")
        .discover("(call $deeper)");
    let frames = ["deeper"; limits::BACKTRACE_FRAMES_MAX].join(" < ");
    assert_eq!(failure_of(&guest).await, format!("crashed: call stack exhausted (in {frames})"));
}

#[tokio::test(start_paused = true)]
async fn a_memory_bomb_reaches_the_limit() {
    // Each page is written to, so that it is resident.
    let guest = Guest::new().discover(
        "(local $page i32)
        (loop $more
            (local.set $page (memory.grow (i32.const 1)))
            (if (i32.ne (local.get $page) (i32.const -1)) (then
                (memory.fill (i32.shl (local.get $page) (i32.const 16))
                    (i32.const 1) (i32.const 65536))
                (br $more))))
        unreachable",
    );
    assert_eq!(failure_of(&guest).await, "memory limit of 64 MiB reached");
}

#[tokio::test(start_paused = true)]
async fn a_table_bomb_reaches_the_limit() {
    let guest = Guest::new().items("(table $t 1 funcref)").discover(
        "(loop $more
                (br_if $more (i32.ne
                    (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))))
            unreachable",
    );
    assert_eq!(
        failure_of(&guest).await,
        "crashed: wasm `unreachable` instruction executed (in discover)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_of_a_gib_is_rejected() {
    let guest = Guest::new().discover(
        "(i32.store (i32.const 0x804) (i32.const 0x10000))
        (i32.store (i32.const 0x808) (i32.const 53687091))
        (i32.const 0x800)",
    );
    assert_eq!(failure_of(&guest).await, "crashed: list pointer/length out of bounds of memory");
}

#[tokio::test(start_paused = true)]
async fn an_address_of_a_gib_is_rejected() {
    let guest = Guest::new().discover(
        "(i32.store (i32.const 0x804) (i32.const 0x900))
        (i32.store (i32.const 0x808) (i32.const 1))
        (i32.store (i32.const 0x900) (i32.const 0x10000))
        (i32.store (i32.const 0x904) (i32.const 0x40000000))
        (i32.const 0x800)",
    );
    assert_eq!(failure_of(&guest).await, "crashed: string pointer/length out of bounds of memory");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_not_utf8_is_rejected() {
    let mut guest = Guest::new();
    guest.data(0x900, &[0x80, 0x9, 0, 0, 2, 0, 0, 0]);
    guest.data(0x980, &[0xff, 0xfe]);
    let guest = guest.discover(
        "(i32.store (i32.const 0x804) (i32.const 0x900))
        (i32.store (i32.const 0x808) (i32.const 1))
        (i32.const 0x800)",
    );
    let line = failure_of(&guest).await;
    assert!(line.starts_with("crashed: ") && line.contains("utf-8"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_trap_in_any_export_is_logged_with_its_name() {
    let crashed =
        |export: &str| format!("crashed: wasm `unreachable` instruction executed (in {export})");
    let done = Guest::new().result(&Returned::Done);
    let in_configure = Guest::new().configure("unreachable");
    assert_eq!(failure_of(&in_configure).await, crashed("configure"));
    let in_discover = Guest::new().discover("unreachable");
    assert_eq!(failure_of(&in_discover).await, crashed("discover"));
    let in_announce = Guest::new().announcer("unreachable", &done);
    assert_eq!(failure_of(&in_announce).await, crashed("announce"));
}

#[tokio::test(start_paused = true)]
async fn a_trap_during_instantiation_is_logged() {
    let guest = Guest::new().items("(func $start unreachable) (start $start)");
    assert_eq!(
        failure_of(&guest).await,
        "crashed: wasm `unreachable` instruction executed (in start)"
    );
}

/// The log line when a mode that has announced itself is stopped.
async fn withdraw_failure_of(withdraw: &str) -> (String, Duration) {
    let log = Log::capture();
    let mut guest = Guest::new();
    let again = guest.result(&Returned::Again(10_000));
    let guest = guest.announcer(&again, withdraw);
    let host = host();
    let (events, mut received) = mpsc::channel(1);
    let handle = host.start(load(&host, &guest).await.unwrap(), local(), events);
    received.recv().await.unwrap();
    let before = Instant::now();
    handle.stop().await;
    let took = before.elapsed();
    let [line] = &log.lines()[..] else { panic!("not one line: {:?}", log.lines()) };
    let start = "WARN mode \"test\" did not withdraw its announcement: ";
    (line.strip_prefix(start).unwrap_or_else(|| panic!("{line}")).to_owned(), took)
}

#[tokio::test]
async fn a_trap_in_withdraw_does_not_delay_the_stop() {
    let (line, _) = withdraw_failure_of("unreachable").await;
    assert_eq!(line, "crashed: wasm `unreachable` instruction executed (in withdraw) mode=test");
}

#[tokio::test]
async fn an_endless_withdraw_is_aborted_after_500_ms() {
    let (line, took) = withdraw_failure_of("(loop $ever (br $ever)) unreachable").await;
    assert_eq!(line, "took longer than 500 ms mode=test");
    assert!(took < Duration::from_millis(3 * limits::WITHDRAW_MS_MAX), "{took:?}");
}

/// A running call of `discover` prevents `withdraw` from being called.
#[tokio::test]
async fn a_call_that_does_not_end_prevents_the_withdrawal_and_is_logged() {
    let log = Log::capture();
    let mut guest = Guest::new();
    let (again, done) = (guest.result(&Returned::Again(10_000)), guest.result(&Returned::Done));
    let guest = guest.announcer(&again, &done).discover("(loop $ever (br $ever)) unreachable");
    let host = host();
    let (events, _received) = mpsc::channel(1);
    let handle = host.start(load(&host, &guest).await.unwrap(), local(), events);
    let ready = |status: &ModeStatus| status.state == ModeState::Ready;
    handle.status().wait_for(ready).await.unwrap();
    handle.stop().await;
    assert_eq!(
        log.lines(),
        [
            "WARN mode \"test\" did not withdraw its announcement: its last call did not end within 500 ms mode=test"
        ]
    );
}

#[tokio::test]
async fn a_hundred_thousand_candidates_are_cut_to_65536() {
    // fd00::0000:0000 and following, all different.
    let guest = Guest::new()
        .text(0x900, "fd00::0000:0000")
        .items(
            "(func $hex (param $at i32) (param $digit i32)
                (local.set $digit (i32.and (local.get $digit) (i32.const 15)))
                (i32.store8 (local.get $at) (i32.add (local.get $digit)
                    (select (i32.const 48) (i32.const 87)
                        (i32.lt_u (local.get $digit) (i32.const 10))))))",
        )
        .discover(
            "(local $n i32) (local $record i32) (local $text i32)
            (drop (memory.grow (i32.const 64)))
            (local.set $record (i32.const 0x100000))
            (local.set $text (i32.const 0x2f0000))
            (loop $more
                (memory.copy (local.get $text) (i32.const 0x900) (i32.const 15))
                (call $hex (i32.add (local.get $text) (i32.const 9))
                    (i32.shr_u (local.get $n) (i32.const 16)))
                (call $hex (i32.add (local.get $text) (i32.const 11))
                    (i32.shr_u (local.get $n) (i32.const 12)))
                (call $hex (i32.add (local.get $text) (i32.const 12))
                    (i32.shr_u (local.get $n) (i32.const 8)))
                (call $hex (i32.add (local.get $text) (i32.const 13))
                    (i32.shr_u (local.get $n) (i32.const 4)))
                (call $hex (i32.add (local.get $text) (i32.const 14)) (local.get $n))
                (i32.store (local.get $record) (local.get $text))
                (i32.store offset=4 (local.get $record) (i32.const 15))
                (i32.store offset=8 (local.get $record) (i32.const 0x1af40001))
                (local.set $record (i32.add (local.get $record) (i32.const 20)))
                (local.set $text (i32.add (local.get $text) (i32.const 16)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const 100000))))
            (i32.store (i32.const 0x804) (i32.const 0x100000))
            (i32.store (i32.const 0x808) (i32.const 100000))
            (i32.const 0x800)",
        );
    let mut instance = open(&host(), &guest).await.unwrap();
    let snapshot = instance.discover().await.unwrap();
    assert_eq!(snapshot.candidates.len(), limits::CANDIDATES_MAX);
    assert_eq!(snapshot.candidates[0].address, "[fd00::]:6900".parse().unwrap());
    assert_eq!(snapshot.dropped_count, 100_000 - limits::CANDIDATES_MAX);
    assert_eq!(snapshot.dropped.len(), limits::DROPPED_KEPT_MAX);
    assert!(snapshot.dropped.iter().all(|dropped| dropped.reason == DropReason::TooMany));
}

#[tokio::test]
async fn unusable_candidates_are_dropped() {
    let long = "x".repeat(5_000);
    let wrong = [
        ("255.255.255.255", DropReason::Broadcast),
        ("239.255.255.255", DropReason::Multicast),
        ("ff02::1", DropReason::Multicast),
        ("0.0.0.0", DropReason::Unspecified),
        ("::", DropReason::Unspecified),
        ("fe80::1%nosuch0", DropReason::NoSuchInterface),
        ("", DropReason::NotAnAddress),
        ("10.0.0.1\nERROR forged", DropReason::NotAnAddress),
        ("10.0.0.1:6900", DropReason::NotAnAddress),
        ("0x0a000001", DropReason::NotAnAddress),
        ("010.0.0.1", DropReason::NotAnAddress),
        (&long, DropReason::NotAnAddress),
    ];
    let given: Vec<_> = wrong.iter().map(|(address, _)| (*address, Some(6900))).collect();
    let guest = Guest::new().discover_returns(&Returned::Snapshot(&given, None));
    let snapshot = open(&host(), &guest).await.unwrap().discover().await.unwrap();
    assert_eq!(snapshot.candidates, []);
    for (dropped, (address, reason)) in snapshot.dropped.iter().zip(wrong) {
        assert_eq!(dropped.reason, reason, "{address:?}");
        assert!(!dropped.address.contains('\n') && dropped.address.len() < 1_000);
    }
    assert_eq!(snapshot.dropped.len(), wrong.len());
}

const PROBE: &str = r#"
    (import "convoke:host/probe@0.1.0" "probe" (func $probe (param i32 i32 i32 i32)))
"#;

/// A mode with `number` targets, from `10.0.0.N`, and `$storm`, which probes some of them and
/// counts the outcomes of one case.
fn prober(number: usize) -> Guest {
    let mut guest = Guest::reporting().import("convoke:host/probe@0.1.0", PROBE);
    let (mut list, mut texts) = (Vec::new(), Vec::new());
    for n in 0..number {
        let text = format!("10.0.{}.{}", n / 256, n % 256);
        list.extend_from_slice(&((0x5000 + texts.len()) as u32).to_le_bytes());
        list.extend_from_slice(&(text.len() as u32).to_le_bytes());
        list.extend_from_slice(&6900_u32.to_le_bytes());
        texts.extend_from_slice(text.as_bytes());
    }
    guest.data(0x3000, &list);
    guest.data(0x5000, &texts);
    guest.items(
        "(func $storm (param $number i32) (param $case i32) (result i32)
            (local $at i32) (local $n i32) (local $counted i32)
            (global.set $heap (i32.const 0x10000))
            (call $probe (i32.const 0x3000) (local.get $number) (i32.const 50) (i32.const 0x900))
            (local.set $at (i32.load (i32.const 0x900)))
            (loop $more
                (local.set $counted (i32.add (local.get $counted)
                    (i32.eq (i32.load8_u (local.get $at)) (local.get $case))))
                (local.set $at (i32.add (local.get $at) (i32.const 48)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (local.get $number))))
            (local.get $counted))",
    )
}

const CLOSED: u32 = 3;
const PROBE_DENIED: u32 = 6;
const OTHER: u32 = 7;

/// A host that counts the addresses it probes.
fn counting_host() -> (DiscoveryHost, Arc<AtomicUsize>) {
    let probes = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&probes);
    let prober = Prober::new(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
        async { Probed::Closed }
    });
    (DiscoveryHost::new(HostConfig { prober, ..config() }).unwrap(), probes)
}

async fn discover(host: &DiscoveryHost, guest: &Guest, grant: (&str, &str)) -> u16 {
    let folder = tempfile::tempdir().unwrap();
    let spec = with_grants(file(guest.write(folder.path(), "test")), &[grant]);
    let mut instance = host.open(&host.load(&spec).await.unwrap(), &local()).await.unwrap();
    reported(&instance.discover().await.unwrap())
}

#[tokio::test]
async fn at_most_256_targets_of_one_probe_are_probed() {
    for (case, wanted) in [(CLOSED, 256), (OTHER, 44)] {
        let guest = prober(300)
            .discover(&format!("(call $report (call $storm (i32.const 300) (i32.const {case})))"));
        let (host, probes) = counting_host();
        assert_eq!(discover(&host, &guest, ("probe", "10.0.0.0/16:*")).await, wanted);
        assert_eq!(probes.load(Ordering::Relaxed), limits::PROBE_TARGETS_MAX);
    }
}

#[tokio::test]
async fn the_probe_rate_is_limited() {
    let guest = prober(256).discover(&format!(
        "(local $n i32) (local $asked i32)
        (loop $more
            (local.set $asked (i32.add (local.get $asked)
                (call $storm (i32.const 256) (i32.const {CLOSED}))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 40))))
        (call $report (local.get $asked))"
    ));
    let (host, probes) = counting_host();
    let started = Instant::now();
    let reported = usize::from(discover(&host, &guest, ("probe", "10.0.0.0/16:*")).await);
    let seconds = started.elapsed().as_secs() as usize + 1;
    let (burst, each) = (limits::PROBES_BURST as usize, limits::PROBES_PER_SECOND as usize);
    assert!((burst..=burst + seconds * each).contains(&reported), "{reported} of 10240");
    assert_eq!(probes.load(Ordering::Relaxed), reported);
}

#[tokio::test]
async fn targets_outside_of_the_grant_are_not_probed() {
    let guest = prober(2).discover(&format!(
        "(call $report (call $storm (i32.const 2) (i32.const {PROBE_DENIED})))"
    ));
    let log = Log::capture();
    let (host, probes) = counting_host();
    assert_eq!(discover(&host, &guest, ("probe", "10.0.0.0:6900")).await, 1);
    assert_eq!(probes.load(Ordering::Relaxed), 1);
    assert_eq!(
        log.lines(),
        [
            "WARN mode \"test\" was denied probe 10.0.0.1:6900; to allow it, its [[discovery]] needs: grant = { probe = [\"10.0.0.0:6900\", \"10.0.0.1:6900\"] } mode=test"
        ]
    );
}

#[tokio::test]
async fn a_denied_target_cannot_inject_grants_into_the_log_line() {
    let host = r#"x"], http = ["https://*:*"], dns = ["*"#;
    let mut guest = prober(1);
    guest.data(0x6000, host.as_bytes());
    guest.data(0x3000, &0x6000_u32.to_le_bytes());
    guest.data(0x3004, &(host.len() as u32).to_le_bytes());
    let guest = guest.discover(&format!(
        "(call $report (call $storm (i32.const 1) (i32.const {PROBE_DENIED})))"
    ));
    let log = Log::capture();
    discover(&counting_host().0, &guest, ("probe", "10.0.0.0:6900")).await;
    assert!(log.lines().iter().all(|line| !line.contains("http = [")), "{:?}", log.lines());
}

const DNS: &str = r#"
    (import "convoke:host/dns@0.1.0" "lookup-addresses" (func $look_up (param i32 i32 i32)))
"#;

/// A mode that looks up `names`; `$leak` counts the errors of one case.
fn leaking(names: &[String]) -> Guest {
    let mut guest = Guest::reporting().import("convoke:host/dns@0.1.0", DNS);
    let (mut list, mut texts) = (Vec::new(), Vec::new());
    for name in names {
        list.extend_from_slice(&((0x5000 + texts.len()) as u32).to_le_bytes());
        list.extend_from_slice(&(name.len() as u32).to_le_bytes());
        texts.extend_from_slice(name.as_bytes());
    }
    guest.data(0x3000, &list);
    guest.data(0x5000, &texts);
    guest.items(&format!(
        "(func $leak (param $case i32) (result i32)
            (local $at i32) (local $n i32) (local $counted i32)
            (global.set $heap (i32.const 0x10000))
            (call $look_up (i32.const 0x3000) (i32.const {number}) (i32.const 0x900))
            (local.set $at (i32.load (i32.const 0x900)))
            (loop $more
                (local.set $counted (i32.add (local.get $counted)
                    (i32.and (i32.load8_u (local.get $at))
                        (i32.eq (i32.load8_u offset=4 (local.get $at)) (local.get $case)))))
                (local.set $at (i32.add (local.get $at) (i32.const 16)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const {number}))))
            (local.get $counted))",
        number = names.len(),
    ))
}

const DNS_DENIED: u32 = 0;
const INVALID_NAME: u32 = 1;
const NOT_FOUND: u32 = 2;
const DNS_OTHER: u32 = 4;

#[tokio::test]
async fn names_outside_of_the_grant_are_not_looked_up() {
    let names: Vec<String> = [
        "c2vjcmv0.evil.example",
        "c2vjcmv0.shop.example.evil.example",
        "c2vjcmv0.xshop.example",
        "evil.example",
        "c2vjcmv0.shop.example",
        "a b.shop.example",
        "c2vjcmv0..shop.example",
    ]
    .map(str::to_owned)
    .into();
    let overlong = format!("{}.shop.example", "x".repeat(64));
    let names = [names, vec![overlong]].concat();
    let counted = async |case: u32| {
        let guest =
            leaking(&names).discover(&format!("(call $report (call $leak (i32.const {case})))"));
        let world = Fakes { dns: FakeDns::default(), ..Fakes::default() };
        discover(&host_in(world), &guest, ("dns", "*.shop.example")).await
    };
    let log = Log::capture();
    assert_eq!(counted(DNS_DENIED).await, 4);
    assert_eq!(log.lines().len(), 4, "one line for each name: {:?}", log.lines());
    assert_eq!(
        log.lines()[0],
        "WARN mode \"test\" was denied dns c2vjcmv0.evil.example; to allow it, its [[discovery]] needs: grant = { dns = [\"*.shop.example\", \"c2vjcmv0.evil.example\", \"c2vjcmv0.shop.example.evil.example\", \"c2vjcmv0.xshop.example\", \"evil.example\"] } mode=test"
    );
    assert_eq!(counted(INVALID_NAME).await, 3);
    assert_eq!(counted(NOT_FOUND).await, 1);
}

#[tokio::test]
async fn at_most_256_names_of_one_call_are_looked_up() {
    let names: Vec<String> = (0..300).map(|n| format!("n{n}.shop.example")).collect();
    for (case, wanted) in [(NOT_FOUND, 256), (DNS_OTHER, 44)] {
        let guest =
            leaking(&names).discover(&format!("(call $report (call $leak (i32.const {case})))"));
        let host = host_in(Fakes::default());
        assert_eq!(discover(&host, &guest, ("dns", "*.shop.example")).await, wanted);
    }
}

#[tokio::test]
async fn the_log_lines_about_denied_names_are_limited() {
    let names: Vec<String> = (0..250).map(|n| format!("n{n}.evil.example")).collect();
    let guest =
        leaking(&names).discover(&format!("(call $report (call $leak (i32.const {DNS_DENIED})))"));
    let log = Log::capture();
    assert_eq!(discover(&host_in(Fakes::default()), &guest, ("dns", "*.shop.example")).await, 250);
    assert!(log.lines().len() <= 65, "{} lines", log.lines().len());
}

#[tokio::test]
async fn a_call_logs_at_most_64_lines_of_bounded_length() {
    // 10,000 lines of 60,000 bytes each.
    let mut guest = Guest::new().import("convoke:host/log@0.1.0", LOG);
    let found = guest.result(&Returned::Snapshot(&[], None));
    let guest = guest.items("(global $n (mut i32) (i32.const 0))").discover(&format!(
        "(memory.fill (i32.const 0x10000) (i32.const 120) (i32.const 60000))
        (loop $more
            (call $log (i32.const 2) (i32.const 0x10000) (i32.const 60000)
                (i32.const 0) (i32.const 0))
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (global.get $n) (i32.const 10000))))
        {found}"
    ));
    let log = Log::capture();
    open(&host(), &guest).await.unwrap().discover().await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 65);
    assert!(lines.iter().all(|line| line.len() < limits::LINE_BYTES_MAX + 100));
    assert_eq!(lines[64], "WARN 9936 more lines of this call suppressed mode=\"test\"");
}

/// The ends of the sections of a component.
fn sections(component: &[u8]) -> Vec<usize> {
    let mut ends = vec![8];
    let mut at = 8;
    while at < component.len() {
        let (mut length, mut shift) = (0, 0);
        loop {
            at += 1;
            length |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + length;
        ends.push(at);
    }
    assert_eq!(at, component.len());
    ends
}

#[tokio::test]
async fn a_truncated_component_is_rejected_with_one_line() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/0.1.0/tcpip.wasm");
    let component = fs::read(path).unwrap();
    let ends = sections(&component);
    let mut lengths: Vec<usize> = (0..64).chain((64..component.len()).step_by(1_009)).collect();
    lengths.extend(ends.iter().flat_map(|end| [end - 1, *end, end + 1]));
    lengths.sort_unstable();
    lengths.dedup();
    lengths.retain(|length| *length < component.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.wasm");
    let (host, mut cut) = (host(), 0);
    for length in lengths {
        fs::write(&path, &component[..length]).unwrap();
        let text = match host.load(&file(&path)).await {
            Ok(_) => {
                // Only name and producers sections follow.
                assert!(ends.contains(&length) && length * 2 > component.len(), "at {length}");
                continue;
            }
            Err(error) => error.to_string(),
        };
        let line = text.replace(&path.display().to_string(), "FILE");
        let wanted = match length {
            0 => "FILE is empty",
            1..8 => "FILE ends within its first 8 bytes",
            _ if ends.contains(&length) && line.contains("cannot be used") => {
                "(FILE) cannot be used: it does not export convoke:discovery/strategy@0.1.0"
            }
            _ => "FILE is damaged, truncated, or uses WebAssembly features",
        };
        assert!(line.starts_with("mode \"test\"") && line.contains(wanted), "at {length}: {line}");
        assert!(!line.contains('\n') && line.len() < 2_000, "at {length}: {line}");
        cut += 1;
    }
    assert!(cut > 150, "{cut}");
}

#[tokio::test]
async fn a_failed_instance_is_unusable_and_a_new_one_works() {
    let guest = Guest::new().discover("unreachable");
    let host = host();
    let loaded = load(&host, &guest).await.unwrap();
    for _ in 0..50 {
        let mut instance = host.open(&loaded, &local()).await.unwrap();
        assert!(matches!(instance.discover().await, Err(CallError::Trap { .. })));
        assert_eq!(instance.discover().await, Err(CallError::Dead));
    }
    open(&host, &Guest::new()).await.unwrap().discover().await.unwrap();
}
