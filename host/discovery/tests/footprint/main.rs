//! Memory use of a process while modes run and after they have ended. A separate test program,
//! whose tests run sequentially, since it measures its own process.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "shared with the tests in `modes`")]
#[path = "../modes/guest.rs"]
mod guest;
#[allow(dead_code, reason = "shared with the tests in `modes`")]
#[path = "../modes/support.rs"]
mod support;

use convoke_discovery::{CallError, DiscoveryHost, HostConfig, ModeEvent, ModeState, Source};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use guest::{Guest, Returned};
use support::{PATIENCE, config, host, load, local, spec};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The resident set of this process, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[tokio::test]
async fn twenty_memory_bombs_do_not_leak_memory() {
    let _alone = ONE_AT_A_TIME.lock().await;
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
    let host = host();
    let loaded = load(&host, &guest).await.unwrap();
    let before = resident_mib();
    let mut most = before;
    for _ in 0..20 {
        let mut instance = host.open(&loaded, &local()).await.unwrap();
        assert_eq!(instance.discover().await, Err(CallError::OutOfMemory { mib: 64 }));
        assert_eq!(instance.memory_bytes(), 64 << 20);
        most = most.max(resident_mib());
    }
    let after = resident_mib();
    assert!(
        most - before >= 60,
        "the bombs took {} MiB: the memory was not touched",
        most - before
    );
    assert!(
        most - before <= 80,
        "{before} MiB grew to {most} MiB: more than one was held at a time"
    );
    assert!(after.saturating_sub(before) <= 8, "{before} MiB before, {after} MiB after");
}

#[tokio::test(start_paused = true)]
async fn forty_new_versions_do_not_leak_memory() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let version = |port| {
        let found = Returned::Snapshot(&[("10.0.0.7", Some(port))], Some(1_000));
        Guest::new().discover_returns(&found)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = version(6900).write(folder.path(), "test");
    let host = host();
    let loaded = host.load(&spec(Source::File(path.clone()))).await.unwrap();
    let (events, mut received) = mpsc::channel(1);
    let handle = host.start(loaded, local(), events);
    let mut before = 0;
    for port in 6901..=6950 {
        let new = version(port).write(folder.path(), "new");
        std::fs::rename(new, &path).unwrap();
        loop {
            let event = timeout(PATIENCE, received.recv()).await.unwrap();
            let Some(ModeEvent::Snapshot { snapshot, .. }) = event else { panic!("{event:?}") };
            if snapshot.candidates[0].address.port() == port {
                break;
            }
        }
        if port == 6910 {
            before = resident_mib();
        }
    }
    assert_eq!(handle.status().borrow().reloads, 50);
    handle.stop().await;
    let after = resident_mib();
    eprintln!("40 new versions: {before} MiB before, {after} MiB after");
    assert!(after.saturating_sub(before) <= 8, "{before} MiB before, {after} MiB after");
}

#[tokio::test]
async fn two_hundred_modes_run_and_stop() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let cache = tempfile::tempdir().unwrap();
    let cache_directory = Some(cache.path().to_owned());
    let host = DiscoveryHost::new(HostConfig { cache_directory, ..config() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let found = Returned::Snapshot(&[("10.0.0.7", Some(6900))], Some(250));
    let path = Guest::new().discover_returns(&found).write(folder.path(), "tiny");
    let before = resident_mib();
    let (events, mut received) = mpsc::channel(16);
    let mut handles = Vec::new();
    for n in 0..200 {
        let mut spec = spec(Source::File(path.clone()));
        spec.name = format!("tiny-{n}");
        let loaded = host.load(&spec).await.unwrap();
        handles.push(host.start(loaded, local(), events.clone()));
    }
    let all_called = async {
        let mut calls = std::collections::HashMap::<String, u32>::new();
        while calls.len() < 200 || calls.values().any(|calls| *calls < 3) {
            match received.recv().await.unwrap() {
                ModeEvent::Snapshot { mode, snapshot } => {
                    assert_eq!(snapshot.candidates.len(), 1);
                    *calls.entry(mode).or_default() += 1;
                }
                stopped => panic!("{stopped:?}"),
            }
        }
    };
    timeout(3 * PATIENCE, all_called).await.expect("all 200 are called three times");
    let during = resident_mib();
    assert!(during - before <= 200, "{} MiB for 200 modes", during - before);

    let mut states: Vec<_> = handles.iter().map(|handle| handle.status()).collect();
    for handle in handles {
        timeout(PATIENCE, handle.stop()).await.unwrap();
    }
    for status in &mut states {
        assert_eq!(status.borrow_and_update().state, ModeState::Stopped);
        assert_eq!(status.borrow().restarts, 0);
    }
    drop(events);
    while received.recv().await.is_some() {}
    eprintln!(
        "200 modes: {before} MiB before, {during} MiB while running, {} MiB after",
        resident_mib()
    );
}
