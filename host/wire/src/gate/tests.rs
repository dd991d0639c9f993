use super::*;
use crate::handshake::connect;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{JoinHandle, JoinSet};

/// Attempts that a member may need to connect while the gate is crowded.
const ATTEMPTS_MAX: usize = 3;

type HandshakeResult = Result<(SealedStream<DuplexStream>, Vec<u8>), HandshakeError>;

/// A gate and the handshakes in it.
struct Harness {
    gate: Arc<HandshakeGate>,
    keys: Arc<ClusterKeys>,
    answers: JoinSet<HandshakeResult>,
}

impl Harness {
    fn new() -> Self {
        let keys = Arc::new(ClusterKeys::derive("development", b"").unwrap());
        Self { gate: Arc::new(HandshakeGate::new()), keys, answers: JoinSet::new() }
    }

    /// Connects a peer; returns its end of the pipe.
    fn connect_peer(&mut self, origin: Origin) -> DuplexStream {
        let (near, far) = duplex(4096);
        let (gate, keys) = (Arc::clone(&self.gate), Arc::clone(&self.keys));
        self.answers.spawn(async move { gate.accept(far, origin, &keys, b"here").await });
        near
    }

    /// Connects one peer from each origin; they send nothing. Returns once all are in the gate.
    async fn connect_peers(&mut self, origins: impl Iterator<Item = Origin>) -> Vec<DuplexStream> {
        let mut pipes = Vec::new();
        for origin in origins {
            pipes.push(self.connect_peer(origin));
            tokio::task::yield_now().await;
        }
        pipes
    }

    /// Connects a member from `origin`, and again when it is dropped; returns the number of
    /// attempts.
    async fn join(&mut self, origin: Origin) -> usize {
        for attempt in 1..=ATTEMPTS_MAX {
            let pipe = self.connect_peer(origin);
            match connect(pipe, &self.keys, b"a member").await {
                Ok((_, hello)) => {
                    assert_eq!(hello, b"here");
                    return attempt;
                }
                Err(error) => assert!(matches!(error, HandshakeError::Closed), "{error}"),
            }
        }
        panic!("not connected after {ATTEMPTS_MAX} attempts");
    }

    fn waiting(&self) -> usize {
        self.gate.room().waiting.len()
    }
}

fn origin(number: u32) -> Origin {
    IpAddr::from(number.to_be_bytes()).into()
}

const LOOPBACK: u32 = 0x7f00_0001;

#[tokio::test(start_paused = true)]
async fn idle_peers_of_one_origin_do_not_keep_out_members_of_any_origin() {
    for member in [LOOPBACK, LOOPBACK + 1] {
        let mut harness = Harness::new();
        let _idle = harness.connect_peers((0..1_000).map(|_| origin(LOOPBACK))).await;
        assert_eq!(harness.waiting(), WAITING_PER_ORIGIN_MAX);
        assert_eq!(harness.join(origin(member)).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_peers_of_many_origins_do_not_keep_out_members() {
    let mut harness = Harness::new();
    let _idle = harness.connect_peers((0..5_000).map(origin)).await;
    assert_eq!(harness.waiting(), WAITING_MAX);
    assert_eq!(harness.join(origin(LOOPBACK)).await, 1);
    // Also a member of an origin that it shares with idle peers.
    assert_eq!(harness.join(origin(4_999)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn slow_peers_do_not_keep_out_members() {
    let mut harness = Harness::new();
    let mut pipes = harness.connect_peers((0..1_000).map(|n| origin(n % 7))).await;
    for byte in b"CNVK\x01" {
        for pipe in &mut pipes {
            // Dropped peers do not receive it.
            let _ = pipe.write_all(&[*byte]).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(harness.join(origin(3)).await, 1);
    }
}

/// A member is dropped only if a whole share of newer connections arrives while its first message
/// is in transit.
#[tokio::test(start_paused = true)]
async fn peers_that_reconnect_at_once_do_not_keep_out_members() {
    let mut harness = Harness::new();
    let (gate, keys) = (Arc::clone(&harness.gate), Arc::clone(&harness.keys));
    let crowd: JoinHandle<()> = tokio::spawn(async move {
        let mut idle = Vec::new();
        loop {
            for _ in 0..WAITING_PER_ORIGIN_MAX / 2 {
                let (near, far) = duplex(64);
                let (gate, keys) = (Arc::clone(&gate), Arc::clone(&keys));
                idle.push(near);
                tokio::spawn(async move {
                    let _ = gate.accept(far, origin(LOOPBACK), &keys, b"").await;
                });
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            idle.drain(..idle.len().saturating_sub(WAITING_MAX));
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..20 {
        harness.join(origin(LOOPBACK)).await;
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    crowd.abort();
}

/// The first message of a member, as sent over the network.
async fn opening(keys: &ClusterKeys) -> Vec<u8> {
    let (near, mut far) = duplex(4096);
    let mut bytes = vec![0; 9 + 48];
    tokio::select! {
        _ = connect(near, keys, b"") => panic!("no peer responds"),
        read = far.read_exact(&mut bytes) => assert_eq!(read.unwrap(), bytes.len()),
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn an_authenticated_peer_is_never_dropped_for_others() {
    let mut harness = Harness::new();
    let bytes = opening(&harness.keys).await;
    let mut member = harness.connect_peer(origin(LOOPBACK));
    member.write_all(&bytes).await.unwrap();
    // The reply is in transit, so the handshake is proved.
    let mut answer = [0; 9];
    member.read_exact(&mut answer).await.unwrap();
    let _idle = harness.connect_peers((0..2_000).map(|n| origin(n % 2 * LOOPBACK))).await;
    assert_eq!(harness.gate.room().proved, 1);
    tokio::time::sleep(Duration::from_millis(CROWDED_MS_MAX * 2)).await;
    assert_eq!(harness.gate.room().proved, 1, "it keeps its time in a crowded gate");
    tokio::time::sleep(Duration::from_millis(HANDSHAKE_MS_MAX)).await;
    assert_eq!(harness.gate.room().proved, 0, "and is dropped after that");
}

#[tokio::test(start_paused = true)]
async fn handshakes_have_less_time_in_a_crowded_gate() {
    for (count, ms) in [(WAITING_MAX / 2, HANDSHAKE_MS_MAX), (WAITING_MAX / 2 + 1, CROWDED_MS_MAX)]
    {
        let mut harness = Harness::new();
        // Most of them connect early, the last one after the others have waited for a while.
        let _idle = harness.connect_peers((1..count as u32).map(origin)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let gate = Arc::clone(&harness.gate);
        let (_last, far) = duplex(64);
        let error = gate.accept(far, origin(0), &harness.keys, b"").await.unwrap_err();
        assert!(matches!(error, HandshakeError::TimedOut { ms_max } if ms_max == ms), "{error}");
        assert_eq!(began.elapsed(), Duration::from_millis(ms));
    }
}

#[tokio::test(start_paused = true)]
async fn overdue_handshakes_are_dropped_when_the_gate_becomes_crowded() {
    let mut harness = Harness::new();
    let _early = harness.connect_peers((0..100).map(origin)).await;
    tokio::time::sleep(Duration::from_millis(CROWDED_MS_MAX)).await;
    assert_eq!(harness.waiting(), 100, "not crowded");
    let _late = harness.connect_peers((100..200).map(origin)).await;
    assert_eq!(harness.waiting(), 100, "the early ones were dropped as soon as it was crowded");
}

#[tokio::test(start_paused = true)]
async fn only_an_authenticated_peer_receives_busy() {
    let mut harness = Harness::new();
    harness.gate.room().proved = PROVED_MAX;
    let pipe = harness.connect_peer(origin(1));
    let error = connect(pipe, &harness.keys, b"").await.unwrap_err();
    assert!(matches!(error, HandshakeError::Busy), "{error}");
    let result = harness.answers.join_next().await.unwrap().unwrap();
    assert!(matches!(result, Err(HandshakeError::Busy)));

    let mut idle = harness.connect_peer(origin(1));
    let mut read = Vec::new();
    idle.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"", "unauthenticated peers get no reply");
    harness.gate.room().proved = 0;
    assert_eq!(harness.join(origin(1)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_peer_is_disconnected_without_a_reply() {
    let mut harness = Harness::new();
    let mut first = harness.connect_peer(origin(LOOPBACK));
    tokio::task::yield_now().await;
    let _others =
        harness.connect_peers((0..WAITING_PER_ORIGIN_MAX).map(|_| origin(LOOPBACK))).await;
    let began = Instant::now();
    let mut read = Vec::new();
    first.read_to_end(&mut read).await.unwrap();
    assert_eq!((read.len(), began.elapsed()), (0, Duration::ZERO));
    let result = harness.answers.join_next().await.unwrap().unwrap();
    assert!(matches!(result, Err(HandshakeError::Dropped)));
}

#[tokio::test(start_paused = true)]
async fn a_finished_handshake_frees_its_slot() {
    let mut harness = Harness::new();
    let idle = harness.connect_peers((0..300).map(|n| origin(n % 3))).await;
    assert_eq!(harness.join(origin(7)).await, 1);
    drop(idle);
    while harness.answers.join_next().await.is_some() {}
    let room = harness.gate.room();
    assert_eq!((room.waiting.len(), room.by_origin.len(), room.proved), (0, 0, 0));
}

#[test]
fn an_origin_is_an_ipv4_address_or_an_ipv6_network() {
    let origin = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap());
    assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
    assert_eq!(origin("10.0.0.1"), origin("::ffff:10.0.0.1"));
    assert_eq!(origin("2001:db8:0:1::1"), origin("2001:db8:0:1:ffff::2"));
    assert_ne!(origin("2001:db8:0:1::1"), origin("2001:db8:0:2::1"));
}
