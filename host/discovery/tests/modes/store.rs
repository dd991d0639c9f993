//! `convoke:host/store`: values that outlive an instance, a host, a process.

use std::fs;
use std::path::Path;

use convoke_discovery::{CallError, DiscoveryHost, Fakes, HostConfig, Instance, Problem};
use tokio::sync::mpsc;

use crate::guest::{FAILED, Guest, Returned, reported};
use crate::support::{Log, config, file, host, host_in, load, local, with_grants};

/// The imports of `convoke:host/store` under short names.
pub(crate) const STORE: &str = r#"
    (import "convoke:host/store@0.1.0" "load" (func $load (param i32 i32 i32)))
    (import "convoke:host/store@0.1.0" "save" (func $save (param i32 i32 i32 i32 i32)))
    (import "convoke:host/store@0.1.0" "remove" (func $remove (param i32 i32 i32)))
    (import "convoke:host/store@0.1.0" "names" (func $names (param i32)))
"#;

/// The offset of `store-error` in a result of `save` and `remove`, whose payload has the
/// alignment of a `u64`, and in one of `load` and `names`.
const ERROR: usize = 0x908;
const INVALID_NAME: u16 = 1;
const FULL: u16 = 2;
/// `save` and `remove` report 100 for success, and otherwise the case of the error.
const DONE: u16 = 100;

pub(crate) fn host_with(state: &Path) -> DiscoveryHost {
    let state_directory = Some(state.to_owned());
    DiscoveryHost::new(HostConfig { state_directory, ..config() }).unwrap()
}

/// A mode with `name` at 0x800 and the value at 0x840, which can call all functions of `STORE`.
pub(crate) fn storing(name: &str, value: &str) -> Guest {
    Guest::reporting()
        .import("convoke:host/store@0.1.0", STORE)
        .text(0x800, name)
        .text(0x840, value)
        .items(&format!(
            "(func $outcome (result i32)
                (select (i32.load8_u (i32.const {ERROR})) (i32.const {DONE})
                    (i32.load8_u (i32.const 0x900))))
            (func $save_it (param $length i32) (result i32)
                (call $save (i32.const 0x800) (i32.const {name})
                    (i32.const 0x840) (local.get $length) (i32.const 0x900))
                (call $outcome))
            ;; The length of the value, 50000 for none.
            (func $load_it (result i32)
                (call $load (i32.const 0x800) (i32.const {name}) (i32.const 0x900))
                (if (i32.load8_u (i32.const 0x900)) (then (return (i32.load8_u (i32.const {ERROR})))))
                (select (i32.load (i32.const 0x910)) (i32.const 50000)
                    (i32.load8_u (i32.const {ERROR}))))
            (func $remove_it (result i32)
                (call $remove (i32.const 0x800) (i32.const {name}) (i32.const 0x900))
                (call $outcome))
            (func $count (result i32)
                (call $names (i32.const 0x900))
                (i32.load (i32.const 0x90c)))",
            name = name.len(),
        ))
}

async fn opened(host: &DiscoveryHost, guest: &Guest, bytes: &str) -> Instance {
    let folder = tempfile::tempdir().unwrap();
    let spec = with_grants(file(guest.write(folder.path(), "test")), &[("store", bytes)]);
    host.open(&host.load(&spec).await.unwrap(), &local()).await.unwrap()
}

/// The number that one call of `guest` returns.
async fn run(host: &DiscoveryHost, guest: Guest, body: &str, bytes: &str) -> u16 {
    let guest = guest.discover(&format!("(call $report {body})"));
    reported(&opened(host, &guest, bytes).await.discover().await.unwrap())
}

const SAVE_5: &str = "(call $save_it (i32.const 5))";

#[tokio::test]
async fn a_value_outlives_its_host_and_is_a_readable_file() {
    let state = tempfile::tempdir().unwrap();
    let host = host_with(state.path());
    let kept = || storing("index", "hello");
    assert_eq!(run(&host, kept(), "(call $load_it)", "1KiB").await, 50_000);
    assert_eq!(run(&host, kept(), SAVE_5, "1KiB").await, DONE);
    assert_eq!(fs::read(state.path().join("modes/test/index")).unwrap(), b"hello");
    drop(host);

    let host = host_with(state.path());
    assert_eq!(run(&host, kept(), "(call $load_it)", "1KiB").await, 5);
    assert_eq!(run(&host, kept(), "(call $count)", "1KiB").await, 1);
    assert_eq!(run(&host, kept(), "(call $remove_it)", "1KiB").await, DONE);
    assert_eq!(run(&host, kept(), "(call $remove_it)", "1KiB").await, DONE);
    assert_eq!(run(&host, kept(), "(call $load_it)", "1KiB").await, 50_000);
    assert_eq!(run(&host, kept(), "(call $count)", "1KiB").await, 0);
}

#[tokio::test]
async fn a_value_that_exceeds_the_grant_is_not_stored_and_the_old_one_is_kept() {
    let state = tempfile::tempdir().unwrap();
    let host = host_with(state.path());
    let kept = || storing("index", "hello");
    // Ten bytes: five of the name and five of the value.
    assert_eq!(run(&host, kept(), SAVE_5, "10").await, DONE);
    assert_eq!(run(&host, kept(), "(call $save_it (i32.const 6))", "10").await, FULL);
    assert_eq!(fs::read(state.path().join("modes/test/index")).unwrap(), b"hello");
    assert_eq!(run(&host, storing("b", "x"), "(call $save_it (i32.const 1))", "10").await, FULL);
}

#[tokio::test]
async fn path_like_names_are_rejected() {
    let state = tempfile::tempdir().unwrap();
    let host = host_with(state.path());
    for name in ["../index", "/etc/passwd", ".lock", "..", "", "A", "a\0b", &"x".repeat(64)] {
        let wanted = if name.len() == 64 { DONE } else { INVALID_NAME };
        let guest = storing(name, "");
        let saved = run(&host, guest, "(call $save_it (i32.const 0))", "1KiB").await;
        assert_eq!(saved, wanted, "{name:?}");
    }
    let left: Vec<_> = fs::read_dir(state.path().join("modes/test")).unwrap().collect();
    assert_eq!(left.len(), 2, "the lock and the one good name: {left:?}");
}

#[tokio::test]
async fn a_value_can_be_saved_during_withdraw() {
    let state = tempfile::tempdir().unwrap();
    let mut guest = storing("index", "hello");
    let (again, done) = (guest.result(&Returned::Again(10_000)), guest.result(&Returned::Done));
    let guest = guest.announcer(&again, &format!("(drop {SAVE_5}) {done}"));
    let folder = tempfile::tempdir().unwrap();
    let spec = with_grants(file(guest.write(folder.path(), "test")), &[("store", "1KiB")]);
    let host = host_with(state.path());
    let (events, mut received) = mpsc::channel(1);
    let handle = host.start(host.load(&spec).await.unwrap(), local(), events);
    received.recv().await.unwrap();
    handle.stop().await;
    assert_eq!(fs::read(state.path().join("modes/test/index")).unwrap(), b"hello");
}

#[tokio::test]
async fn two_hosts_with_one_state_directory_use_separate_folders() {
    let state = tempfile::tempdir().unwrap();
    let (one, other) = (host_with(state.path()), host_with(state.path()));
    let guest = storing("index", "hello").discover(&format!("(call $report {SAVE_5})"));
    let mut first = opened(&one, &guest, "1KiB").await;
    assert_eq!(reported(&first.discover().await.unwrap()), DONE);
    // The first host still holds its lock.
    let load = || storing("index", "hello");
    assert_eq!(run(&other, load(), "(call $load_it)", "1KiB").await, 50_000);
    assert!(state.path().join("modes/test-2").is_dir());
    drop(first);
    assert_eq!(run(&one, load(), "(call $load_it)", "1KiB").await, 5);
}

#[tokio::test]
async fn without_a_state_directory_the_error_names_the_option_to_set() {
    // The mode reports the host's text as its own problem.
    let mut guest = storing("index", "hello");
    let problem = guest.result(&Returned::Problem(FAILED, ""));
    let guest = guest.discover(&format!(
        "(drop {SAVE_5})
        (i32.store offset=8 {problem} (i32.load offset=8 (i32.const {ERROR})))
        (i32.store offset=12 {problem} (i32.load offset=12 (i32.const {ERROR})))
        {problem}"
    ));
    let mut instance = opened(&host(), &guest, "1KiB").await;
    assert_eq!(
        instance.discover().await,
        Err(CallError::Problem(Problem::Failed(
            "this member has no state directory; set state-directory, XDG_STATE_HOME or HOME"
                .into()
        )))
    );
}

#[tokio::test]
async fn without_a_grant_it_is_not_loaded() {
    let text = load(&host(), &storing("index", "")).await.err().unwrap().to_string();
    assert!(
        text.ends_with("it imports convoke:host/store@0.1.0, which is not granted; to allow it, its [[discovery]] needs: grant = { store = \"64KiB\" }"),
        "{text}"
    );
}

#[tokio::test]
async fn the_folder_is_logged_once() {
    let state = tempfile::tempdir().unwrap();
    let log = Log::capture();
    let host = host_with(state.path());
    let guest = storing("index", "hello").discover(&format!("(call $report {SAVE_5})"));
    let mut instance = opened(&host, &guest, "1KiB").await;
    for _ in 0..3 {
        instance.discover().await.unwrap();
    }
    let folder = state.path().join("modes/test");
    assert_eq!(log.lines(), [format!("INFO store opened mode=test folder={}", folder.display())]);
}

#[tokio::test]
async fn with_fakes_nothing_is_written_to_disk() {
    let fakes =
        Fakes { store: [("index".to_owned(), "made up".to_owned())].into(), ..Fakes::default() };
    let host = host_in(fakes);
    assert_eq!(run(&host, storing("index", "x"), "(call $load_it)", "1KiB").await, 7);
    assert_eq!(run(&host, storing("index", "x"), SAVE_5, "9").await, FULL);
}
