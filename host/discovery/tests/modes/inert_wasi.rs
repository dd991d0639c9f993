//! `wasi = "inert"`: what the runtime of a language can use.

use convoke_discovery::{CallError, Grants, Instance, ModeState};
use tokio::sync::mpsc;

use crate::guest::{Guest, reported};
use crate::support::{Log, PATIENCE, file, host, load, local};

const WASI: &str = r#"
    (import "wasi:cli/environment@0.2.12" "get-environment" (func $environment (param i32)))
    (import "wasi:cli/environment@0.2.12" "get-arguments" (func $arguments (param i32)))
    (import "wasi:cli/environment@0.2.12" "initial-cwd" (func $directory (param i32)))
    (import "wasi:cli/exit@0.2.12" "exit" (func $exit (param i32)))
    (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.12" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
        (func $write (param i32 i32 i32 i32)))
    (import "wasi:clocks/wall-clock@0.2.12" "now" (func $now (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $monotonic (result i64)))
    (import "wasi:random/random@0.2.12" "get-random-u64" (func $random (result i64)))
    (import "wasi:random/random@0.2.12" "get-random-bytes" (func $bytes (param i64 i32)))
    (import "wasi:random/insecure@0.2.12" "get-insecure-random-bytes"
        (func $insecure (param i64 i32)))
    (import "wasi:cli/stdin@0.2.12" "get-stdin" (func $stdin (result i32)))
    (import "wasi:io/streams@0.2.12" "[method]input-stream.blocking-read"
        (func $read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.write-zeroes"
        (func $zeroes (param i32 i64 i32)))
    (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration"
        (func $after (param i64) (result i32)))
    (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:filesystem/preopens@0.2.12" "get-directories" (func $folders (param i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket"
        (func $tcp (param i32 i32)))
    (import "wasi:sockets/udp-create-socket@0.2.12" "create-udp-socket"
        (func $udp (param i32 i32)))
    (import "wasi:sockets/instance-network@0.2.12" "instance-network"
        (func $network (result i32)))
    (import "wasi:sockets/ip-name-lookup@0.2.12" "resolve-addresses"
        (func $resolve (param i32 i32 i32 i32)))
"#;

/// All interfaces of [`WASI`]; the core imports are attached to the first.
fn guest() -> Guest {
    let mut guest = Guest::reporting();
    for (at, interface) in [
        "cli/environment",
        "cli/exit",
        "cli/stdout",
        "cli/stderr",
        "io/streams",
        "clocks/wall-clock",
        "clocks/monotonic-clock",
        "random/random",
        "filesystem/preopens",
        "sockets/tcp-create-socket",
        "sockets/udp-create-socket",
        "sockets/instance-network",
        "sockets/ip-name-lookup",
        "random/insecure",
        "cli/stdin",
        "io/poll",
    ]
    .into_iter()
    .enumerate()
    {
        let core = if at == 0 { WASI } else { "" };
        guest = guest.import(&format!("wasi:{interface}@0.2.12"), core);
    }
    guest
}

async fn opened(guest: &Guest) -> Instance {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = file(guest.write(folder.path(), "test"));
    spec.grants = Grants { inert_wasi: true, ..Grants::default() };
    let host = host();
    host.open(&host.load(&spec).await.unwrap(), &local()).await.unwrap()
}

/// The number that `expression` evaluates to in a mode.
async fn evaluate(expression: &str) -> u16 {
    let guest = guest().text(0x800, "localhost").discover(&format!("(call $report {expression})"));
    reported(&opened(&guest).await.discover().await.unwrap())
}

/// An expression for the value that `(call $function (i32.const 0x900))` stores `offset` bytes
/// after 0x900.
fn value_after(function: &str, offset: u32) -> String {
    format!(
        "(block (result i32) (call {function} (i32.const 0x900)) (i32.load offset={offset} (i32.const 0x900)))"
    )
}

#[tokio::test]
async fn without_it_a_component_is_rejected_with_the_required_line() {
    let text = load(&host(), &guest()).await.err().unwrap().to_string();
    let (_, listed) = text.split_once(" cannot be used: it imports ").unwrap();
    let (first, rest) = listed.split_once(" and ").unwrap();
    assert!(first.starts_with("wasi:"), "{text}");
    assert!(
        rest.ends_with(" more of WASI, as the runtimes of some languages do; to provide WASI without files, sockets and environment, add to its [[discovery]]: wasi = \"inert\"; or build it with WASI stubbed out"),
        "{text}"
    );
}

#[tokio::test]
async fn another_version_of_wasi_is_rejected_with_which_side_is_older() {
    let guest = guest().against(|text| text.replace("@0.2.12", "@0.3.0"));
    let text = load(&host(), &guest).await.err().unwrap().to_string();
    assert!(
        text.contains("it imports wasi:cli/environment 0.3.0, and this convoke has 0.2.12: this convoke is older; update convoke"),
        "{text}"
    );
}

#[tokio::test]
async fn an_older_0_2_version_is_compatible() {
    let guest = guest()
        .against(|text| text.replace("0.2.12", "0.2.11"))
        .discover("(call $report (i32.const 1))");
    assert_eq!(reported(&opened(&guest).await.discover().await.unwrap()), 1);
}

#[tokio::test]
async fn there_are_no_environment_variables_arguments_or_directories() {
    assert!(std::env::vars_os().next().is_some(), "this process has an environment");
    assert_eq!(evaluate(&value_after("$environment", 4)).await, 0);
    assert_eq!(evaluate(&value_after("$arguments", 4)).await, 0);
    assert_eq!(evaluate(&value_after("$folders", 4)).await, 0);
    assert_eq!(evaluate(&value_after("$directory", 0)).await, 0, "none");
}

/// `error-code.access-denied` of `wasi:sockets`, plus 1.
const ACCESS_DENIED: u16 = 1 + 1;

#[tokio::test]
async fn sockets_and_names_are_denied() {
    let error = "(i32.add (i32.load8_u (i32.const 0x904)) (i32.load8_u (i32.const 0x900)))";
    for family in [0, 1] {
        for create in ["$tcp", "$udp"] {
            let call = format!("(call {create} (i32.const {family}) (i32.const 0x900))");
            let code = evaluate(&format!("(block (result i32) {call} {error})")).await;
            assert_eq!(code, ACCESS_DENIED, "{create} {family}");
        }
    }
    let call = "(call $resolve (call $network) (i32.const 0x800) (i32.const 9) (i32.const 0x900))";
    let code = evaluate(&format!("(block (result i32) {call} {error})")).await;
    assert_ne!(code, 0, "localhost was looked up");
}

#[tokio::test]
async fn clocks_and_random_numbers_work() {
    // Seconds since 1970, in units of 2^20: between 2023 and 2055.
    let seconds = evaluate(
        "(block (result i32) (call $now (i32.const 0x900))
            (i32.wrap_i64 (i64.shr_u (i64.load (i32.const 0x900)) (i64.const 20))))",
    )
    .await;
    assert!((1_600..2_560).contains(&seconds), "{seconds}");
    let forward = evaluate("(i64.le_u (call $monotonic) (call $monotonic))").await;
    assert_eq!(forward, 1);
    let different = evaluate("(i64.ne (call $random) (call $random))").await;
    assert_eq!(different, 1);
}

#[tokio::test]
async fn more_than_65536_random_bytes_in_one_call_trap() {
    let bytes = |number: u32| {
        guest().discover(&format!(
            "(call $bytes (i64.const {number}) (i32.const 0x900))
            (call $report (i32.const 1))"
        ))
    };
    opened(&bytes(65_536)).await.discover().await.unwrap();
    let error = opened(&bytes(65_537)).await.discover().await.unwrap_err();
    assert!(matches!(error, CallError::Trap { .. }), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[tokio::test]
async fn a_length_from_a_mode_does_not_make_the_host_allocate() {
    for (call, crashes) in [
        ("(call $bytes (i64.const 0x10000000000) (i32.const 0x900))", true),
        ("(call $insecure (i64.const 0x10000000000) (i32.const 0x900))", true),
        ("(call $zeroes (call $stdout) (i64.const 0x10000000000) (i32.const 0x900))", true),
        ("(call $read (call $stdin) (i64.const 0x10000000000) (i32.const 0x900))", false),
    ] {
        let guest = guest().discover(&format!("{call} (call $report (i32.const 1))"));
        let look = opened(&guest).await.discover().await;
        match look {
            Err(CallError::Trap { message, .. }) if crashes => {
                assert!(!message.contains('\n') && message.len() < 300, "{call}: {message}");
            }
            Ok(_) if !crashes => {}
            other => panic!("{call}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_mode_is_aborted_after_10_s() {
    let guest = guest().discover(
        "(call $block (call $after (i64.const 3600000000000))) (call $report (i32.const 1))",
    );
    let mut instance = opened(&guest).await;
    let before = tokio::time::Instant::now();
    assert_eq!(instance.discover().await, Err(CallError::OutOfTime { ms: 10_000 }));
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn output_is_logged_line_by_line() {
    let guest = guest().text(0x800, "one\ntwo\n\nthr").text(0x810, "ee\n").discover(
        "(local $out i32) (local $err i32)
        (local.set $out (call $stdout))
        (local.set $err (call $stderr))
        (call $write (local.get $out) (i32.const 0x800) (i32.const 12) (i32.const 0x900))
        (call $write (local.get $err) (i32.const 0x800) (i32.const 4) (i32.const 0x900))
        (call $write (local.get $out) (i32.const 0x810) (i32.const 3) (i32.const 0x900))
        (call $report (i32.const 1))",
    );
    let log = Log::capture();
    let mut instance = opened(&guest).await;
    instance.discover().await.unwrap();
    assert_eq!(
        log.lines(),
        [
            "INFO one mode=\"test\"",
            "INFO two mode=\"test\"",
            "WARN one mode=\"test\"",
            "INFO three mode=\"test\"",
        ]
    );
}

/// A mode that prints 100 lines to standard output and 100 to standard error in each call.
fn flood() -> Guest {
    guest().text(0x800, "flood\n").items("(global $n (mut i32) (i32.const 0))").discover(
        "(local $out i32) (local $err i32)
            (local.set $out (call $stdout))
            (local.set $err (call $stderr))
            (global.set $n (i32.const 0))
            (loop $more
                (call $write
                    (select (local.get $out) (local.get $err)
                        (i32.lt_u (global.get $n) (i32.const 100)))
                    (i32.const 0x800) (i32.const 6) (i32.const 0x900))
                (global.set $n (i32.add (global.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (global.get $n) (i32.const 200))))
            (call $report (i32.const 1))",
    )
}

#[tokio::test]
async fn output_is_limited_to_64_lines_per_call() {
    let log = Log::capture();
    let mut instance = opened(&flood()).await;
    for _ in 0..2 {
        instance.discover().await.unwrap();
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 2 * 65, "{lines:?}");
    for call in lines.chunks(65) {
        assert!(call[..64].iter().all(|line| line == "INFO flood mode=\"test\""));
        assert_eq!(call[64], "WARN 136 more lines of this call suppressed mode=\"test\"");
    }
}

#[tokio::test]
async fn an_endless_line_is_split() {
    // 4,096 bytes without a line break, eight times.
    let guest = guest().text(0x2000, &"x".repeat(4_096)).discover(
        "(local $out i32) (local $n i32)
        (local.set $out (call $stdout))
        (loop $more
            (call $write (local.get $out) (i32.const 0x2000) (i32.const 4096) (i32.const 0x900))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 8))))
        (call $report (i32.const 1))",
    );
    let log = Log::capture();
    opened(&guest).await.discover().await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 32, "{lines:?}");
    assert!(lines.iter().all(|line| line.len() < 1_100));
}

#[tokio::test]
async fn a_runtime_that_exits_is_restarted_as_after_a_crash() {
    let guest = guest().discover("(call $exit (i32.const 1)) unreachable");
    let folder = tempfile::tempdir().unwrap();
    let mut spec = file(guest.write(folder.path(), "test"));
    spec.grants.inert_wasi = true;
    let log = Log::capture();
    let host = host();
    let (events, _received) = mpsc::channel(1);
    let handle = host.start(host.load(&spec).await.unwrap(), local(), events);
    let mut status = handle.status();
    let restarted = status.wait_for(|status| status.restarts == 1);
    tokio::time::timeout(PATIENCE, restarted).await.unwrap().unwrap();
    handle.stop().await;
    assert!(matches!(status.borrow().state, ModeState::BackingOff | ModeState::Stopped));
    let [line] = &log.lines()[..] else { panic!("{:?}", log.lines()) };
    assert!(line.starts_with("ERROR mode \"test\" crashed: ") && line.contains("xit"), "{line}");
}
