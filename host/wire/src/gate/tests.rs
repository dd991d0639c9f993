use super::*;
use crate::handshake::connect;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{JoinHandle, JoinSet};

/// Attempts that a member may need to get in beside a crowd.
const ATTEMPTS_MAX: usize = 3;

type Outcome = Result<(SealedStream<DuplexStream>, Vec<u8>), HandshakeError>;

/// A gate and the handshakes at it.
struct Door {
    gate: Arc<HandshakeGate>,
    keys: Arc<ClusterKeys>,
    answers: JoinSet<Outcome>,
}

impl Door {
    fn new() -> Self {
        let keys = Arc::new(ClusterKeys::derive("development", b"").unwrap());
        Self { gate: Arc::new(HandshakeGate::new()), keys, answers: JoinSet::new() }
    }

    /// A peer connects: its end of the pipe.
    fn dial(&mut self, origin: Origin) -> DuplexStream {
        let (near, far) = duplex(4096);
        let (gate, keys) = (Arc::clone(&self.gate), Arc::clone(&self.keys));
        self.answers.spawn(async move { gate.accept(far, origin, &keys, b"here").await });
        near
    }

    /// Peers connect, one from each origin, and send nothing. Returns once all are at the gate.
    async fn dial_all(&mut self, origins: impl Iterator<Item = Origin>) -> Vec<DuplexStream> {
        let mut pipes = Vec::new();
        for origin in origins {
            pipes.push(self.dial(origin));
            tokio::task::yield_now().await;
        }
        pipes
    }

    /// A member connects from `origin`, again when it was cut off; the number of attempts.
    async fn join(&mut self, origin: Origin) -> usize {
        for attempt in 1..=ATTEMPTS_MAX {
            let pipe = self.dial(origin);
            match connect(pipe, &self.keys, b"a member").await {
                Ok((_, hello)) => {
                    assert_eq!(hello, b"here");
                    return attempt;
                }
                Err(error) => assert!(matches!(error, HandshakeError::Closed), "{error}"),
            }
        }
        panic!("not in after {ATTEMPTS_MAX} attempts");
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
async fn idle_peers_of_one_origin_keep_no_member_out_not_even_one_of_the_same_origin() {
    for member in [LOOPBACK, LOOPBACK + 1] {
        let mut door = Door::new();
        let _idle = door.dial_all((0..1_000).map(|_| origin(LOOPBACK))).await;
        assert_eq!(door.waiting(), WAITING_PER_ORIGIN_MAX);
        assert_eq!(door.join(origin(member)).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_peers_of_many_origins_keep_no_member_out() {
    let mut door = Door::new();
    let _idle = door.dial_all((0..5_000).map(origin)).await;
    assert_eq!(door.waiting(), WAITING_MAX);
    assert_eq!(door.join(origin(LOOPBACK)).await, 1);
    // Nor a member of an origin that others share with it.
    assert_eq!(door.join(origin(4_999)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn peers_that_send_a_byte_now_and_then_keep_no_member_out() {
    let mut door = Door::new();
    let mut pipes = door.dial_all((0..1_000).map(|n| origin(n % 7))).await;
    for byte in b"CNVK\x01" {
        for pipe in &mut pipes {
            // Those that were dropped do not take it.
            let _ = pipe.write_all(&[*byte]).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(door.join(origin(3)).await, 1);
    }
}

/// A share of the gate is newer than the member's connection only when this many come while its
/// first message is under way.
#[tokio::test(start_paused = true)]
async fn peers_that_connect_again_at_once_keep_no_member_out() {
    let mut door = Door::new();
    let (gate, keys) = (Arc::clone(&door.gate), Arc::clone(&door.keys));
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
        door.join(origin(LOOPBACK)).await;
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    crowd.abort();
}

/// The opening of a member, as it goes over the wire.
async fn opening(keys: &ClusterKeys) -> Vec<u8> {
    let (near, mut far) = duplex(4096);
    let mut bytes = vec![0; 9 + 48];
    tokio::select! {
        _ = connect(near, keys, b"") => panic!("nobody answers"),
        read = far.read_exact(&mut bytes) => assert_eq!(read.unwrap(), bytes.len()),
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_proved_to_know_the_password_is_never_dropped_for_others() {
    let mut door = Door::new();
    let bytes = opening(&door.keys).await;
    let mut member = door.dial(origin(LOOPBACK));
    member.write_all(&bytes).await.unwrap();
    // Its answer is under way: it is proved.
    let mut answer = [0; 9];
    member.read_exact(&mut answer).await.unwrap();
    let _idle = door.dial_all((0..2_000).map(|n| origin(n % 2 * LOOPBACK))).await;
    assert_eq!(door.gate.room().proved, 1);
    tokio::time::sleep(Duration::from_millis(CROWDED_MS_MAX * 2)).await;
    assert_eq!(door.gate.room().proved, 1, "it has its time, in a crowd as well");
    tokio::time::sleep(Duration::from_millis(HANDSHAKE_MS_MAX)).await;
    assert_eq!(door.gate.room().proved, 0, "and no more");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_has_less_time_than_a_few() {
    for (count, ms) in [(WAITING_MAX / 2, HANDSHAKE_MS_MAX), (WAITING_MAX / 2 + 1, CROWDED_MS_MAX)]
    {
        let mut door = Door::new();
        // Most of them early, the last one when the others have waited for a while.
        let _idle = door.dial_all((1..count as u32).map(origin)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let gate = Arc::clone(&door.gate);
        let (_last, far) = duplex(64);
        let error = gate.accept(far, origin(0), &door.keys, b"").await.unwrap_err();
        assert!(matches!(error, HandshakeError::TimedOut { ms_max } if ms_max == ms), "{error}");
        assert_eq!(began.elapsed(), Duration::from_millis(ms));
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_waited_for_long_make_room_for_a_crowd() {
    let mut door = Door::new();
    let _early = door.dial_all((0..100).map(origin)).await;
    tokio::time::sleep(Duration::from_millis(CROWDED_MS_MAX)).await;
    assert_eq!(door.waiting(), 100, "a few have time");
    let _late = door.dial_all((100..200).map(origin)).await;
    assert_eq!(door.waiting(), 100, "the early ones went as soon as there was a crowd");
}

#[tokio::test(start_paused = true)]
async fn only_a_peer_that_knows_the_password_gets_the_answer_busy() {
    let mut door = Door::new();
    door.gate.room().proved = PROVED_MAX;
    let pipe = door.dial(origin(1));
    let error = connect(pipe, &door.keys, b"").await.unwrap_err();
    assert!(matches!(error, HandshakeError::Busy), "{error}");
    let outcome = door.answers.join_next().await.unwrap().unwrap();
    assert!(matches!(outcome, Err(HandshakeError::Busy)));

    let mut idle = door.dial(origin(1));
    let mut read = Vec::new();
    idle.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"", "others get no answer");
    door.gate.room().proved = 0;
    assert_eq!(door.join(origin(1)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_dropped_is_hung_up_on_without_an_answer() {
    let mut door = Door::new();
    let mut first = door.dial(origin(LOOPBACK));
    tokio::task::yield_now().await;
    let _others = door.dial_all((0..WAITING_PER_ORIGIN_MAX).map(|_| origin(LOOPBACK))).await;
    let began = Instant::now();
    let mut read = Vec::new();
    first.read_to_end(&mut read).await.unwrap();
    assert_eq!((read.len(), began.elapsed()), (0, Duration::ZERO));
    let outcome = door.answers.join_next().await.unwrap().unwrap();
    assert!(matches!(outcome, Err(HandshakeError::Dropped)));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_ends_gives_its_place_back() {
    let mut door = Door::new();
    let idle = door.dial_all((0..300).map(|n| origin(n % 3))).await;
    assert_eq!(door.join(origin(7)).await, 1);
    drop(idle);
    while door.answers.join_next().await.is_some() {}
    let room = door.gate.room();
    assert_eq!((room.waiting.len(), room.by_origin.len(), room.proved), (0, 0, 0));
}

#[test]
fn an_origin_is_an_ipv4_address_or_a_network_of_ipv6() {
    let origin = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap());
    assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
    assert_eq!(origin("10.0.0.1"), origin("::ffff:10.0.0.1"));
    assert_eq!(origin("2001:db8:0:1::1"), origin("2001:db8:0:1:ffff::2"));
    assert_ne!(origin("2001:db8:0:1::1"), origin("2001:db8:0:2::1"));
}
