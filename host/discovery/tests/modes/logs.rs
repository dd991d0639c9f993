//! The exact log lines.

use std::time::Duration;

use convoke_discovery::{CallError, HostConfig, ModeState};
use tokio::sync::mpsc;

use crate::guest::{Guest, LOG, Returned, TEMPORARY};
use crate::multicast::{beacon_spec, beacons};
use crate::support::{Log, PATIENCE, cluster, config, granted, group, host, load, local, open};

#[tokio::test]
async fn a_denial_is_logged_once_with_the_grant_that_would_allow_it() {
    let log = Log::capture();
    // The group is never joined, so parallel test runs do not interfere.
    let group = "224.2.2.4:29060".parse().unwrap();
    let host = host();
    let spec = granted(beacon_spec(&beacons(group, 0), group, ""), "224.2.2.4:29061");
    let loaded = host.load(&spec).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(host.check(&loaded, &local()).await, Err(CallError::Problem(_))));
    }
    assert_eq!(
        log.lines(),
        [
            "WARN mode \"test\" was denied multicast 224.2.2.4:29060; to allow it, its [[discovery]] needs: grant = { multicast = [\"224.2.2.4:29061\", \"224.2.2.4:29060\"] } mode=test"
        ]
    );
}

#[tokio::test]
async fn another_cluster_in_the_group_is_logged_once() {
    let group = group(29062);
    let mut other = {
        let host = convoke_discovery::DiscoveryHost::new(HostConfig {
            beacon_ciphers: cluster(b'x'),
            ..config()
        })
        .unwrap();
        let mut spec = beacon_spec(&beacons(group, 0), group, "10.6.6.6");
        spec.name = "other".into();
        host.open(&host.load(&spec).await.unwrap(), &local()).await.unwrap()
    };
    let log = Log::capture();
    let host = host();
    let spec = beacon_spec(&beacons(group, 50), group, "10.0.0.1");
    let (events, mut received) = mpsc::channel(16);
    let handle = host.start(host.load(&spec).await.unwrap(), local(), events);
    let drain = tokio::spawn(async move { while received.recv().await.is_some() {} });
    let mut status = handle.status();
    let wait = status.wait_for(|status| status.looks > 0);
    tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
    for _ in 0..3 {
        other.announce().await.unwrap();
    }
    let wait = status.wait_for(|status| status.multicast.foreign == 3);
    tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
    handle.stop().await;
    drain.await.unwrap();
    let mut lines = log.lines();
    lines.retain(|line| line.ends_with("mode=test"));
    assert_eq!(
        lines,
        [format!(
            "INFO another cluster, or another password, on {group} (first from 127.0.0.1); ignored mode=test"
        )]
    );
}

#[tokio::test]
async fn a_mode_logs_bounded_lines_under_its_name() {
    let mut guest = Guest::new().import("convoke:host/log@0.1.0", LOG);
    guest.data(0x800, b"hel\nlo");
    guest.data(0x810, &[0, 8, 0, 0, 3, 0, 0, 0, 0, 8, 0, 0, 6, 0, 0, 0]);
    let found = guest.result(&Returned::Snapshot(&[], None));
    let guest = guest.items("(global $n (mut i32) (i32.const 0))").discover(&format!(
        "(loop $more
            (call $log (i32.const 2) (i32.const 0x800) (i32.const 6)
                (i32.const 0x810) (i32.const 1))
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (global.get $n) (i32.const 100))))
        {found}"
    ));
    let log = Log::capture();
    open(&host(), &guest).await.unwrap().discover().await.unwrap();
    let lines = log.lines();
    assert_eq!(lines[0], "INFO hel\\nlo hel=\"hel\\nlo\" mode=\"test\"");
    assert_eq!(lines[64], "WARN 36 more lines of this call suppressed mode=\"test\"");
    assert_eq!(lines.len(), 65);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_logged_once_and_so_is_its_end() {
    let mut guest = Guest::new();
    let problem = guest.result(&Returned::Problem(TEMPORARY, "no answer from 10.0.0.53"));
    let found = guest.result(&Returned::Snapshot(&[], None));
    let guest = guest.items("(global $calls (mut i32) (i32.const 0))").discover(&format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (select {problem} {found} (i32.lt_u (global.get $calls) (i32.const 5)))"
    ));
    let log = Log::capture();
    let host = host();
    let (events, mut received) = mpsc::channel(16);
    let handle = host.start(load(&host, &guest).await.unwrap(), local(), events);
    received.recv().await.unwrap();
    assert_eq!(
        log.lines(),
        [
            "WARN mode \"test\": no answer from 10.0.0.53; retrying; this member does not found a cluster until it succeeds mode=test",
            "INFO mode \"test\" works again, and finds no members mode=test"
        ]
    );
    handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_logged_once_with_its_consequence() {
    let log = Log::capture();
    let host = host();
    let (events, _received) = mpsc::channel(16);
    let guest = Guest::new().discover("unreachable");
    let handle = host.start(load(&host, &guest).await.unwrap(), local(), events);
    let mut status = handle.status();
    let wait = status.wait_for(|status| status.restarts == 4);
    tokio::time::timeout(Duration::from_secs(600), wait).await.unwrap().unwrap();
    assert_eq!(status.borrow().state, ModeState::BackingOff);
    assert_eq!(
        log.lines(),
        [
            "ERROR mode \"test\" crashed: wasm `unreachable` instruction executed (in discover); restarting it; this member does not found a cluster until it succeeds mode=test"
        ]
    );
}
