//! Beacons over real sockets on loopback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use convoke_discovery::{
    BeaconCiphers, CallError, DiscoveryHost, HostConfig, Instance, Interface, LoadedMode, ModeSpec,
    MulticastCounters, Problem,
};
use tokio::sync::mpsc;

use crate::guest::{DENIED, FAILED, Guest, MULTICAST, Returned};
use crate::support::{PATIENCE, cluster, config, file, granted, group, local};

/// A mode that joins `group`, sends its argument as its beacon and returns each received
/// payload as a candidate. It sends `10.9.9.9` when it withdraws.
pub(crate) fn beacons(group: SocketAddr, receive_wait_ms: u32) -> Guest {
    let ip = group.ip().to_string();
    let mut guest = Guest::new().import("convoke:host/multicast@0.1.0", MULTICAST);
    guest.data(0x800, ip.as_bytes());
    guest.data(0x840, b"10.9.9.9");
    let done = guest.result(&Returned::Done);
    let denied = guest.result(&Returned::Problem(DENIED, "denied"));
    let failed = guest.result(&Returned::Problem(FAILED, "not sent"));
    let again = guest.result(&Returned::Again(50));
    guest
        .items(
            "(global $payload (mut i32) (i32.const 0))
            (global $length (mut i32) (i32.const 0))
            (global $group (mut i32) (i32.const 0))",
        )
        .configure(&format!(
            "(global.set $payload (local.get 0))
            (global.set $length (local.get 1))
            (call $join (i32.const 0x800) (i32.const {length}) (i32.const {port}) (i32.const 0x900))
            (global.set $group (i32.load (i32.const 0x904)))
            (if (i32.eqz (i32.load8_u (i32.const 0x900))) (then (return {done})))
            (if (i32.eqz (i32.load8_u (i32.const 0x904))) (then (return {denied})))
            ;; unavailable(text): temporary, with the text.
            (i32.store8 (i32.const 0xa00) (i32.const 1))
            (i32.store8 (i32.const 0xa04) (i32.const 2))
            (i32.store (i32.const 0xa08) (i32.load (i32.const 0x908)))
            (i32.store (i32.const 0xa0c) (i32.load (i32.const 0x90c)))
            (i32.const 0xa00)",
            length = ip.len(),
            port = group.port(),
        ))
        .discover(&format!(
            "(local $from i32) (local $to i32) (local $left i32)
            (call $receive (global.get $group)
                (i32.const 1000) (i32.const {receive_wait_ms}) (i32.const 0x910))
            (local.set $from (i32.load (i32.const 0x914)))
            (local.set $left (i32.load (i32.const 0x918)))
            (local.set $to (i32.const 0x8000))
            (i32.store8 (i32.const 0xb00) (i32.const 0))
            (i32.store (i32.const 0xb04) (local.get $to))
            (i32.store (i32.const 0xb08) (local.get $left))
            (i32.store (i32.const 0xb10) (i32.const 1))
            (i32.store (i32.const 0xb14) (i32.const 20))
            (block $end (loop $next
                (br_if $end (i32.eqz (local.get $left)))
                (i32.store (local.get $to) (i32.load offset=8 (local.get $from)))
                (i32.store offset=4 (local.get $to) (i32.load offset=12 (local.get $from)))
                (i32.store offset=8 (local.get $to) (i32.const {port}))
                (i32.store offset=12 (local.get $to) (i32.const 0))
                (i32.store offset=16 (local.get $to) (i32.const 0))
                (local.set $from (i32.add (local.get $from) (i32.const 16)))
                (local.set $to (i32.add (local.get $to) (i32.const 20)))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br $next)))
            (i32.const 0xb00)",
            port = 1 | 7000 << 16,
        ))
        .announcer(
            &format!(
                "(call $send (global.get $group)
                    (global.get $payload) (global.get $length) (i32.const 0x920))
                (select {failed} {again} (i32.load8_u (i32.const 0x920)))"
            ),
            &format!(
                "(call $send (global.get $group) (i32.const 0x840) (i32.const 8) (i32.const 0x920))
                {done}"
            ),
        )
}

pub(crate) fn beacon_spec(guest: &Guest, group: SocketAddr, argument: &str) -> ModeSpec {
    let folder = tempfile::tempdir().unwrap().keep();
    let spec = file(guest.write(&folder, "beacons"));
    ModeSpec { argument: argument.into(), ..granted(spec, &group.to_string()) }
}

fn host_on(address: IpAddr, beacon_ciphers: BeaconCiphers) -> DiscoveryHost {
    let interfaces = vec![Interface { address, index: Some(1) }];
    DiscoveryHost::new(HostConfig { interfaces, beacon_ciphers, ..config() }).unwrap()
}

async fn loaded(host: &DiscoveryHost, group: SocketAddr, argument: &str) -> LoadedMode {
    let spec = beacon_spec(&beacons(group, 200), group, argument);
    let loaded = host.load(&spec).await.unwrap();
    assert!(loaded.announces());
    loaded
}

/// A member of the cluster with key `key` that announces `argument`.
async fn member(interface: IpAddr, key: u8, group: SocketAddr, argument: &str) -> Instance {
    let host = host_on(interface, cluster(key));
    let loaded = loaded(&host, group, argument).await;
    host.open(&loaded, &local()).await.unwrap()
}

async fn discovered(instance: &mut Instance) -> Vec<String> {
    let snapshot = instance.discover().await.unwrap();
    snapshot.candidates.iter().map(|candidate| candidate.address.to_string()).collect()
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

async fn assert_two_members_find_each_other(interface: IpAddr, group: SocketAddr) {
    let mut one = member(interface, b'k', group, "10.0.0.1").await;
    let mut two = member(interface, b'k', group, "10.0.0.2").await;
    let mut other = member(interface, b'x', group, "10.6.6.6").await;
    for instance in [&mut one, &mut two, &mut other] {
        assert_eq!(instance.announce().await, Ok(Some(Duration::from_millis(50))));
    }
    assert_eq!(discovered(&mut one).await, ["10.0.0.2:7000"]);
    assert_eq!(discovered(&mut two).await, ["10.0.0.1:7000"]);
    assert_eq!(discovered(&mut other).await, [""; 0]);
    one.withdraw().await.unwrap();
    assert_eq!(discovered(&mut two).await, ["10.9.9.9:7000"]);
}

#[tokio::test]
async fn members_of_one_cluster_receive_each_others_beacons_over_ipv4() {
    assert_two_members_find_each_other(V4, group(29040)).await;
}

#[tokio::test]
#[ignore = "the next test runs it where the loopback interface has a route for IPv6 multicast"]
async fn over_ipv6_on_a_loopback_with_a_route() {
    for group in ["[ff15::2904]:29041", "[ff02::2904]:29041", "[ff01::2904]:29041"] {
        assert_two_members_find_each_other(V6, group.parse().unwrap()).await;
    }
}

/// Runs in a new network namespace, which on Linux needs user namespaces or root.
#[test]
fn members_of_one_cluster_receive_each_others_beacons_over_ipv6() {
    let prepare = "ip link set lo up && ip -6 route add local ff00::/8 dev lo table local";
    let test = "multicast::over_ipv6_on_a_loopback_with_a_route";
    let ran = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c"])
        .arg(format!("{prepare} && exec \"$0\" --ignored --exact {test}"))
        .arg(std::env::current_exe().unwrap())
        .output()
        .expect("unshare is part of util-linux");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.contains("1 passed"), "{out}{err}");
}

#[tokio::test]
async fn ipv6_without_a_route_is_unavailable_with_a_hint() {
    let group = "[ff15::2904]:29052".parse().unwrap();
    let host = host_on(V6, cluster(b'k'));
    let loaded = loaded(&host, group, "").await;
    match host.check(&loaded, &local()).await {
        // The route exists on this machine.
        Ok(()) => assert!(std::fs::read_to_string("/proc/net/ipv6_route").unwrap().contains("ff0")),
        Err(error) => assert_eq!(
            error.to_string(),
            "[ff15::2904]:29052 cannot be joined on ::1: there is no route for IPv6 multicast; on Linux add one with `ip -6 route add local ff00::/8 dev lo table local`"
        ),
    }
}

#[tokio::test]
async fn datagrams_of_others_are_counted_and_not_delivered() {
    let group = group(29042);
    let host = host_on(V4, cluster(b'k'));
    let (events, mut received) = mpsc::channel(16);
    let handle = host.start(loaded(&host, group, "10.0.0.1").await, local(), events);
    let drain = tokio::spawn(async move { while received.recv().await.is_some() {} });
    let mut status = handle.status();
    tokio::time::timeout(PATIENCE, status.wait_for(|status| status.looks > 0))
        .await
        .unwrap()
        .unwrap();

    let raw = socket2::Socket::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    raw.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let raw = UdpSocket::from(raw);
    let sent: [&[u8]; 6] =
        [b"", b"SSDP", b"Tx\x01\x01foreign", b"Tk\xfe\x01ok", b"Tk\xfe\x01ok", &[0; 60_000]];
    for datagram in sent {
        raw.send_to(datagram, group).unwrap();
    }
    let counted = |counters: &MulticastCounters| {
        (counters.malformed, counters.foreign, counters.received, counters.replayed)
    };
    tokio::time::timeout(
        PATIENCE,
        status.wait_for(|status| counted(&status.multicast) == (3, 1, 1, 1)),
    )
    .await
    .unwrap_or_else(|_| panic!("{:?}", handle.status().borrow().multicast))
    .unwrap();
    assert!(status.borrow().multicast.sent > 0);
    handle.stop().await;
    drain.await.unwrap();
}

#[tokio::test]
async fn another_group_on_the_same_port_is_not_received() {
    let mut one = member(V4, b'k', group(29043), "10.0.0.1").await;
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let other_port = SocketAddr::from(([239, 254, high, low], 29043));
    let mut two = member(V4, b'k', other_port, "10.0.0.2").await;
    two.announce().await.unwrap();
    one.announce().await.unwrap();
    assert_eq!(discovered(&mut one).await, [""; 0]);
    assert_eq!(discovered(&mut two).await, [""; 0]);
}

#[tokio::test]
async fn a_group_that_was_not_granted_is_denied() {
    let group = group(29044);
    let host = host_on(V4, cluster(b'k'));
    let mut spec = beacon_spec(&beacons(group, 0), group, "");
    spec = granted(spec, "224.2.2.4:29045");
    let loaded = host.load(&spec).await.unwrap();
    let error = host.check(&loaded, &local()).await.unwrap_err();
    assert_eq!(error, CallError::Problem(Problem::Denied("denied".into())));
}

#[tokio::test]
async fn a_group_of_an_ip_version_that_no_interface_has_is_unavailable() {
    let group = "[ff15::2904]:29041".parse().unwrap();
    let host = host_on(V4, cluster(b'k'));
    let loaded = loaded(&host, group, "").await;
    let error = host.check(&loaded, &local()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "none of the configured interfaces has an IPv6 address, which the group ff15::2904 needs"
    );
}

/// The result of a mode's `discover` that returns a number as the port of a candidate.
async fn number_from(group: SocketAddr, body: &str) -> u16 {
    let mut guest = Guest::new().import("convoke:host/multicast@0.1.0", MULTICAST);
    guest.data(0x800, group.ip().to_string().as_bytes());
    let result = guest.result(&Returned::Snapshot(&[("10.0.0.1", Some(1))], None));
    let join = format!(
        "(call $join (i32.const 0x800) (i32.const {}) (i32.const {}) (i32.const 0x900))",
        group.ip().to_string().len(),
        group.port()
    );
    let guest = guest.items(&format!("(func $enter {join})")).discover(&format!(
        "(local $n i32) (local $i i32)
        {body}
        (i32.store16 (i32.add (i32.load offset=4 {result}) (i32.const 10)) (local.get $n))
        {result}"
    ));
    let host = host_on(V4, cluster(b'k'));
    let loaded = host.load(&beacon_spec(&guest, group, "")).await.unwrap();
    let snapshot = host.open(&loaded, &local()).await.unwrap().discover().await.unwrap();
    snapshot.candidates[0].address.port()
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_rejected_with_the_limit() {
    let body = "(call $enter)
        (call $send (i32.load (i32.const 0x904)) (i32.const 0) (i32.const 1025) (i32.const 0x910))
        ;; too-large is case 2 of the error.
        (if (i32.eq (i32.load8_u (i32.const 0x914)) (i32.const 2))
            (then (local.set $n (i32.load (i32.const 0x918)))))";
    assert_eq!(number_from(group(29047), body).await, 1024);
}

#[tokio::test]
async fn the_send_rate_is_limited() {
    let body = "(call $enter)
        (loop $more
            (call $send (i32.load (i32.const 0x904)) (i32.const 0) (i32.const 8) (i32.const 0x910))
            ;; too-fast is case 3 of the error.
            (if (i32.and (i32.load8_u (i32.const 0x910))
                    (i32.eq (i32.load8_u (i32.const 0x914)) (i32.const 3)))
                (then (local.set $n (i32.add (local.get $n) (i32.const 1)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $i) (i32.const 2000))))";
    let refused = number_from(group(29048), body).await;
    assert!((1000..=1600).contains(&refused), "{refused}");
}

#[tokio::test]
async fn dropping_a_group_leaves_it() {
    let body = "(loop $more
            (call $enter)
            (if (i32.eqz (i32.load8_u (i32.const 0x900)))
                (then (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (call $leave (i32.load (i32.const 0x904)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $i) (i32.const 200))))";
    assert_eq!(number_from(group(29049), body).await, 200);
}

#[tokio::test]
async fn the_number_of_joined_groups_is_limited() {
    let body = "(loop $more
            (call $enter)
            (if (i32.eqz (i32.load8_u (i32.const 0x900)))
                (then (local.set $n (i32.add (local.get $n) (i32.const 1)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $i) (i32.const 80))))";
    assert_eq!(number_from(group(29050), body).await, 64);
}

#[tokio::test]
async fn stopping_interrupts_a_wait_and_withdraws() {
    let group = group(29051);
    let mut other = member(V4, b'k', group, "10.0.0.2").await;
    let host = host_on(V4, cluster(b'k'));
    let spec = beacon_spec(&beacons(group, 5_000), group, "10.0.0.1");
    let (events, _received) = mpsc::channel(16);
    let handle = host.start(host.load(&spec).await.unwrap(), local(), events);
    assert_eq!(discovered(&mut other).await, ["10.0.0.1:7000"]);
    let started = Instant::now();
    handle.stop().await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(discovered(&mut other).await, ["10.9.9.9:7000"]);
}
