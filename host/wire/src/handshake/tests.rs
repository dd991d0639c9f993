use super::*;
use crate::error::StreamError;
use crate::frame::Frame;
use crate::limits::FRAME_BYTES_MAX;
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

type HandshakeResult<S> = Result<(SealedStream<S>, Vec<u8>), HandshakeError>;

const CREDENTIALS: &str =
    "cluster name or password differs from the peer's; both must be the same on all members";

/// The version that two members of this build agree on.
const VERSION: u8 = PROTOCOL_VERSIONS.max;

fn keys() -> ClusterKeys {
    ClusterKeys::derive("development", b"").unwrap()
}

async fn connect_pair(
    initiator: &ClusterKeys,
    responder: &ClusterKeys,
) -> (HandshakeResult<DuplexStream>, HandshakeResult<DuplexStream>) {
    let (near, far) = duplex(4096);
    tokio::join!(
        connect(near, initiator, b"I am the initiator"),
        accept(far, responder, b"I am the responder")
    )
}

async fn streams() -> (SealedStream<DuplexStream>, SealedStream<DuplexStream>) {
    let (initiator, responder) = connect_pair(&keys(), &keys()).await;
    (initiator.unwrap().0, responder.unwrap().0)
}

/// A peer that sends `bytes` and returns everything that it receives.
async fn send_and_receive(mut io: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    // The other end may close the connection before it has read everything; this is what is tested.
    let _ = io.write_all(bytes).await;
    let mut read = Vec::new();
    let _ = io.read_to_end(&mut read).await;
    read
}

async fn accept_from(bytes: &[u8]) -> (HandshakeError, Vec<u8>) {
    let (near, far) = duplex(4096);
    let keys = keys();
    let (result, answer) =
        tokio::join!(accept(far, &keys, b"secret hello"), send_and_receive(near, bytes));
    (result.unwrap_err(), answer)
}

async fn connect_to(bytes: &[u8]) -> HandshakeError {
    let (near, far) = duplex(4096);
    let keys = keys();
    let (result, _) =
        tokio::join!(connect(near, &keys, b"secret hello"), send_and_receive(far, bytes));
    result.unwrap_err()
}

/// The result of `tested`, with `helper` running concurrently for as long as that takes.
async fn run_alongside<T>(helper: impl Future, tested: impl Future<Output = T>) -> T {
    let helper = async {
        helper.await;
        std::future::pending::<T>().await
    };
    tokio::select! {
        given = tested => given,
        given = helper => given,
    }
}

fn frame(kind: u8, request: u32, payload: impl Into<bytes::Bytes>) -> Frame {
    Frame { kind, request, payload: payload.into() }
}

#[tokio::test]
async fn two_members_of_a_cluster_connect_and_exchange_hellos() {
    let (initiator, responder) = connect_pair(&keys(), &keys()).await;
    let (initiator, responder) = (initiator.unwrap(), responder.unwrap());
    assert_eq!(initiator.1, b"I am the responder");
    assert_eq!(responder.1, b"I am the initiator");
    assert_eq!((initiator.0.version(), responder.0.version()), (VERSION, VERSION));
}

#[tokio::test]
async fn a_hello_may_be_empty_or_as_long_as_the_limit_and_no_longer() {
    let keys = keys();
    for hello in [&[][..], &[5; HELLO_BYTES_MAX]] {
        let (near, far) = duplex(100);
        let (near, far) = tokio::join!(connect(near, &keys, hello), accept(far, &keys, hello));
        assert_eq!((&near.unwrap().1[..], &far.unwrap().1[..]), (hello, hello));
    }
    let (near, far) = duplex(100);
    let long = [5; HELLO_BYTES_MAX + 1];
    for error in [
        connect(near, &keys, &long).await.unwrap_err(),
        accept(far, &keys, &long).await.unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            "a hello of 3073 bytes is too large; at most 3072 are allowed"
        );
    }
}

#[tokio::test]
async fn another_password_is_refused_at_the_first_message_and_both_sides_report_it() {
    let (right, wrong) = (
        ClusterKeys::derive("development", b"right").unwrap(),
        ClusterKeys::derive("development", b"wrong").unwrap(),
    );
    let open = keys();
    for (a, b) in [(&right, &wrong), (&right, &open), (&open, &right)] {
        let (initiator, responder) = connect_pair(a, b).await;
        assert_eq!(initiator.unwrap_err().to_string(), CREDENTIALS);
        assert_eq!(responder.unwrap_err().to_string(), CREDENTIALS);
    }
}

#[tokio::test]
async fn another_cluster_name_is_refused_at_the_first_message_and_both_sides_report_it() {
    let other = ClusterKeys::derive("production", b"").unwrap();
    let (initiator, responder) = connect_pair(&keys(), &other).await;
    assert_eq!(initiator.unwrap_err().to_string(), CREDENTIALS);
    assert_eq!(responder.unwrap_err().to_string(), CREDENTIALS);
}

#[tokio::test]
async fn a_refusal_has_nine_bytes_and_reveals_nothing_about_the_responder() {
    let opening = with_header([VERSION, VERSION, 0], &[0x55; MESSAGE_1_BYTES]);
    let (error, answer) = accept_from(&opening).await;
    assert_eq!(error.to_string(), CREDENTIALS);
    assert_eq!(answer, b"CNVK\x02\0\0\0\0");
}

#[tokio::test]
async fn a_refusal_over_tcp_reaches_the_initiator() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(dialled, listener.accept());
    let other = ClusterKeys::derive("production", b"").unwrap();
    let ours = keys();
    let (initiator, responder) =
        tokio::join!(connect(near.unwrap(), &ours, b""), accept(far.unwrap().0, &other, b""));
    assert_eq!(initiator.unwrap_err().to_string(), CREDENTIALS);
    assert_eq!(responder.unwrap_err().to_string(), CREDENTIALS);
}

#[tokio::test]
async fn another_program_that_connects_is_recognized_and_gets_no_reply() {
    let (error, answer) = accept_from(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(
        error.to_string(),
        "the peer is not a Convoke member (it began with \"GET / HTT\"); is this the right port?"
    );
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn another_program_that_responds_is_recognized() {
    for (banner, began) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP/1.1 "),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-O"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "\\x15\\x03\\x01\\x00\\x02\\x02\\x16"),
        (b"CNV-1", "CNV-1"),
    ] {
        assert_eq!(
            connect_to(banner).await.to_string(),
            format!(
                "the peer is not a Convoke member (it began with \"{began}\"); is this the right \
                 port?"
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_times_out_after_two_seconds() {
    let began = tokio::time::Instant::now();
    let (near, far) = duplex(4096);
    let keys = keys();
    let (near, far) = tokio::join!(
        async {
            let (io, _silent) = duplex(4096);
            let result = connect(io, &keys, b"").await;
            drop(near);
            result
        },
        accept(far, &keys, b""),
    );
    for error in [near.unwrap_err(), far.unwrap_err()] {
        assert_eq!(
            error.to_string(),
            "no handshake within 2000 ms; the peer does not respond, is overloaded, or is not a member"
        );
    }
    assert_eq!(began.elapsed(), Duration::from_millis(HANDSHAKE_MS_MAX));
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_has_no_more_time_than_a_silent_one() {
    let (mut near, far) = duplex(4096);
    let opening = with_header([VERSION, VERSION, 0], &[0x55; MESSAGE_1_BYTES]);
    let keys = keys();
    let (result, ()) = tokio::join!(accept(far, &keys, b""), async {
        for byte in opening {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if near.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    });
    assert!(matches!(result, Err(HandshakeError::TimedOut { .. })));
}

#[tokio::test]
async fn a_peer_that_closes_early_is_reported_as_closed() {
    let keys = keys();
    for sent in [&b""[..], b"CN", b"CNVK\x00\x02\0\0\x30half of message 1"] {
        let (mut near, far) = duplex(4096);
        near.write_all(sent).await.unwrap();
        drop(near);
        let error = accept(far, &keys, b"").await.unwrap_err();
        assert_eq!(error.to_string(), "the peer closed the connection during the handshake");
        let (near, mut far) = duplex(4096);
        far.write_all(sent.strip_suffix(b"half of message 1").unwrap_or(sent)).await.unwrap();
        far.shutdown().await.unwrap();
        let (result, _) = tokio::join!(connect(near, &keys, b""), send_and_receive(far, b""));
        let error = result.unwrap_err();
        assert!(
            matches!(error, HandshakeError::Closed | HandshakeError::Malformed { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_newer_initiator_receives_our_versions_and_we_report_that_we_are_older() {
    let (error, answer) =
        accept_from(&with_header([VERSION + 1, VERSION + 2, 9], &[0x55; 200])).await;
    assert_eq!(
        error.to_string(),
        format!(
            "no protocol version in common: this member supports {VERSION}, the peer {} to {}; this \
             member is older: upgrade it",
            VERSION + 1,
            VERSION + 2
        )
    );
    assert_eq!(answer, with_header([REFUSED_VERSION, VERSION, VERSION], &[]));
}

#[tokio::test]
async fn an_older_initiator_receives_our_versions_and_we_report_that_it_is_older() {
    let (error, answer) = accept_from(&with_header([0, 0, 0], &[])).await;
    assert_eq!(
        error.to_string(),
        format!(
            "no protocol version in common: this member supports {VERSION}, the peer 0; the peer is \
             older: upgrade it"
        )
    );
    assert_eq!(answer, with_header([REFUSED_VERSION, VERSION, VERSION], &[]));
}

#[tokio::test]
async fn a_refused_first_message_is_read_completely() {
    // Otherwise TCP would respond to the rest of it with a reset, which can overtake the refusal.
    let (mut near, far) = duplex(16);
    let keys = keys();
    let newer = async {
        near.write_all(&with_header([VERSION + 1, VERSION + 2, 0], &[0x55; 247])).await.unwrap();
        read_header(&mut near).await.unwrap().0
    };
    let (answer, result) = tokio::join!(newer, accept(far, &keys, b""));
    assert_eq!(answer, [REFUSED_VERSION, VERSION, VERSION]);
    assert!(matches!(result, Err(HandshakeError::Version { .. })));
}

#[tokio::test]
async fn an_altered_version_choice_is_detected() {
    let keys = keys();
    let (near, mut far) = duplex(4096);
    let altered = async {
        let (offer, bytes) = read_header(&mut far).await.unwrap();
        let mut message = vec![0; bytes];
        far.read_exact(&mut message).await.unwrap();
        let prologue = prologue(offer, &keys);
        let mut noise = builder(&keys, &prologue).build_responder().unwrap();
        noise.read_message(&message, &mut [0; 64]).unwrap();
        let mut message = [0; 64];
        let bytes = noise.write_message(&[VERSION + 1], &mut message).unwrap();
        far.write_all(&with_header([ACCEPTED, VERSION, 0], &message[..bytes])).await.unwrap();
    };
    let (result, ()) = tokio::join!(connect(near, &keys, b""), altered);
    assert_eq!(
        result.unwrap_err().to_string(),
        "the handshake is malformed: the version was altered in transit"
    );
}

#[tokio::test]
async fn a_refusal_of_a_newer_responder_reports_that_we_are_older() {
    assert_eq!(
        connect_to(&with_header([REFUSED_VERSION, VERSION + 1, VERSION + 2], &[]))
            .await
            .to_string(),
        format!(
            "no protocol version in common: this member supports {VERSION}, the peer {} to {}; this \
             member is older: upgrade it",
            VERSION + 1,
            VERSION + 2
        )
    );
}

#[tokio::test]
async fn a_newer_initiator_that_supports_our_version_gets_it() {
    // The prologue depends on what it offers.
    let keys = keys();
    let offer = [VERSION, VERSION + 6, 0];
    let prologue = prologue(offer, &keys);
    let mut noise = builder(&keys, &prologue).build_initiator().unwrap();
    let mut message = [0; MESSAGE_1_BYTES];
    noise.write_message(&[], &mut message).unwrap();
    let (mut near, far) = duplex(4096);
    let newer = async {
        near.write_all(&with_header(offer, &message)).await.unwrap();
        let ([status, version, _], bytes) = read_header(&mut near).await.unwrap();
        assert_eq!((status, version), (ACCEPTED, VERSION));
        let mut message = vec![0; bytes];
        near.read_exact(&mut message).await.unwrap();
        let mut payload = [0; MESSAGE_2_BYTES_MAX];
        let bytes = noise.read_message(&message, &mut payload).unwrap();
        assert_eq!(&payload[..bytes], [&[VERSION], &b"I am the responder"[..]].concat());
    };
    tokio::select! {
        biased;
        () = newer => {}
        result = accept(far, &keys, b"I am the responder") => panic!("{:?}", result.map(drop)),
    }
}

#[tokio::test]
async fn an_altered_offer_fails_like_wrong_credentials() {
    let keys = keys();
    let (near, mut middle) = duplex(4096);
    let (mut other, far) = duplex(4096);
    let alter = async {
        let mut opening = [0; HEADER_BYTES + MESSAGE_1_BYTES];
        middle.read_exact(&mut opening).await.unwrap();
        opening[5] = 9;
        other.write_all(&opening).await.unwrap();
        tokio::io::copy_bidirectional(&mut middle, &mut other).await
    };
    let (initiator, responder) = run_alongside(alter, async {
        tokio::join!(connect(near, &keys, b""), accept(far, &keys, b""))
    })
    .await;
    assert!(matches!(initiator, Err(HandshakeError::Credentials)));
    assert!(matches!(responder, Err(HandshakeError::Credentials)));
}

#[tokio::test]
async fn protocol_violations_of_a_responder_are_reported() {
    for (answer, text) in [
        (
            with_header([ACCEPTED, VERSION + 1, 0], &[0; 60]),
            "the handshake is malformed: the peer chose a version that was not offered",
        ),
        (
            with_header([ACCEPTED, VERSION, 0], &[0; MESSAGE_2_BYTES_MAX + 1]),
            "the handshake is malformed: message 2 is too long",
        ),
        (
            with_header([REFUSED_VERSION, VERSION, VERSION], &[]),
            "the handshake is malformed: its version range is invalid",
        ),
        (
            with_header([REFUSED_VERSION, 9, 3], &[]),
            "the handshake is malformed: its version range is invalid",
        ),
        (
            with_header([REFUSED_BUSY, 0, 0], &[]),
            "the peer has too many handshakes in progress; try again shortly",
        ),
        (
            with_header([77, 0, 0], &[]),
            "the peer refused with code 77, which this member does not know; is the peer newer?",
        ),
        (with_header([ACCEPTED, VERSION, 0], &[0; 60]), CREDENTIALS),
        (with_header([ACCEPTED, VERSION, 0], &[]), CREDENTIALS),
    ] {
        assert_eq!(connect_to(&answer).await.to_string(), text);
    }
}

#[tokio::test]
async fn a_first_message_over_the_limit_is_not_read() {
    let (error, answer) = accept_from(&with_header([VERSION, VERSION, 0], &[0; 248])).await;
    assert_eq!(error.to_string(), "the handshake is malformed: message 1 is too long");
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn a_replayed_first_message_gets_no_stream() {
    let keys = keys();
    let (near, mut middle) = duplex(4096);
    let mut opening = [0; HEADER_BYTES + MESSAGE_1_BYTES];
    tokio::select! {
        _ = connect(near, &keys, b"") => panic!("no peer responds"),
        read = middle.read_exact(&mut opening) => { read.unwrap(); }
    }
    for (after, text) in [
        (&[0, 5][..], "the handshake is malformed: the hello has an invalid length"),
        (
            &[0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            "the handshake is malformed: the hello does not authenticate",
        ),
    ] {
        let (error, _) = accept_from(&[&opening[..], after].concat()).await;
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn frames_cross_in_both_directions_at_once() {
    let (initiator, responder) = streams().await;
    let exchange = async |stream: SealedStream<DuplexStream>, own: u8, theirs: u8| {
        let (mut reader, mut writer) = stream.split();
        let write = async {
            for request in 0..500_u32 {
                let payload = vec![own; (request as usize * 37) % 3000];
                writer.send(&frame(own, request, payload)).await.unwrap();
            }
            writer.close().await.unwrap();
        };
        let read = async {
            let mut expected = 0;
            while let Some(received) = reader.next().await.unwrap() {
                let payload = vec![theirs; (expected as usize * 37) % 3000];
                assert_eq!(received, frame(theirs, expected, payload));
                expected += 1;
            }
            expected
        };
        tokio::join!(write, read).1
    };
    let received = tokio::join!(exchange(initiator, 1, 2), exchange(responder, 2, 1));
    assert_eq!(received, (500, 500));
}

#[tokio::test]
async fn the_halves_can_be_used_by_different_tasks_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(dialled, listener.accept());
    let keys = keys();
    let (near, far) =
        tokio::join!(connect(near.unwrap(), &keys, b""), accept(far.unwrap().0, &keys, b""));
    let (mut echo_reader, mut echo_writer) = far.unwrap().0.split_with(TcpStream::into_split);
    let echo = tokio::spawn(async move {
        while let Some(frame) = echo_reader.next().await.unwrap() {
            echo_writer.send(&frame).await.unwrap();
        }
        echo_writer.close().await.unwrap();
    });
    let (mut reader, mut writer) = near.unwrap().0.split_with(TcpStream::into_split);
    let sent = frame(1, 2, vec![3; FRAME_BYTES_MAX]);
    let write = tokio::spawn({
        let sent = sent.clone();
        async move {
            writer.send(&sent).await.unwrap();
            writer.close().await.unwrap();
        }
    });
    assert_eq!(reader.next().await.unwrap(), Some(sent));
    assert_eq!(reader.next().await.unwrap(), None);
    write.await.unwrap();
    echo.await.unwrap();
}

#[tokio::test]
async fn the_largest_frame_round_trips() {
    let (initiator, responder) = streams().await;
    let (_reader, mut writer) = initiator.split();
    let (mut reader, _writer) = responder.split();
    let payload: Vec<u8> = (0..FRAME_BYTES_MAX).map(|at| (at % 251) as u8).collect();
    let sent = frame(7, u32::MAX, payload);
    let (written, received) = tokio::join!(writer.send(&sent), reader.next());
    written.unwrap();
    assert_eq!(received.unwrap(), Some(sent));
}

#[tokio::test]
async fn a_cut_connection_is_distinguished_from_an_orderly_close() {
    let (initiator, responder) = streams().await;
    let (mut reader, _writer) = initiator.split();
    drop(responder);
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, StreamError::Cut), "{error}");
    assert_eq!(
        error.to_string(),
        "the connection ended without an orderly close: the peer crashed, or the connection was cut"
    );

    let (initiator, responder) = streams().await;
    let (mut reader, _writer) = initiator.split();
    responder.split().1.close().await.unwrap();
    assert_eq!(reader.next().await.unwrap(), None);
}

/// Whether the error is this side's own fault, which no bytes of a peer may cause.
fn is_own_fault(error: &HandshakeError) -> bool {
    matches!(error, HandshakeError::HelloTooLarge { .. } | HandshakeError::NoRandomness)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    // Time is paused: a handshake that waits for bytes times out at once.
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// The first message of an initiator, as an attacker may have recorded it.
fn recorded_opening() -> Vec<u8> {
    let (keys, offer) = (keys(), [PROTOCOL_VERSIONS.min, PROTOCOL_VERSIONS.max, 0]);
    let prologue = prologue(offer, &keys);
    let builder = builder(&keys, &prologue).fixed_ephemeral_key_for_testing_only(&[9; 32]);
    let mut message = [0; MESSAGE_1_BYTES];
    let bytes = builder.build_initiator().unwrap().write_message(&[], &mut message).unwrap();
    with_header(offer, &message[..bytes])
}

/// The opening of an initiator that does not have the keys.
#[test]
fn fuzz_handshake_opening() {
    let [min, max] = [PROTOCOL_VERSIONS.min, PROTOCOL_VERSIONS.max];
    let recorded = recorded_opening();
    assert!(block_on(accept_from(&recorded)).1.len() > HEADER_BYTES, "it is accepted");
    let samples = [
        [&recorded[..], &[0, 40], &[7; 40]].concat(),
        with_header([min, max, 0], &[0x55; MESSAGE_1_BYTES]),
        with_header([min, u8::MAX, 0], &[0; MESSAGE_1_BYTES]),
        with_header([max + 1, max + 2, 0], &[]),
        with_header([min, max, 0], &[7; HANDSHAKE_BYTES_MAX]),
    ];
    convoke_harness::check!(&samples, |opening| {
        let (error, answer) = block_on(accept_from(opening));
        assert!(!is_own_fault(&error), "{error}");
        assert!(answer.len() <= HEADER_BYTES || opening.starts_with(&recorded), "{answer:?}");
    });
}

/// The reply of a responder, without a valid tag.
#[test]
fn fuzz_handshake_reply() {
    let samples = [
        with_header([ACCEPTED, VERSION, 0], &[0x55; 80]),
        with_header([ACCEPTED, VERSION, 0], &[0; MESSAGE_2_BYTES_MAX]),
        with_header([ACCEPTED, VERSION + 1, 0], &[1; 80]),
        with_header([REFUSED_VERSION, VERSION, VERSION], &[]),
        with_header([REFUSED_CREDENTIALS, 0, 0], &[]),
        with_header([REFUSED_BUSY, 0, 0], &[]),
    ];
    convoke_harness::check!(&samples, |reply| {
        let error = block_on(connect_to(reply));
        assert!(!is_own_fault(&error), "{error}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_flipped_bit_in_a_handshake_gives_its_reader_no_stream(
        at in 0..HEADER_BYTES + MESSAGE_1_BYTES,
        bit in 0..8_u32,
    ) {
        let opened = block_on(async {
            let keys = keys();
            let (near, mut middle) = duplex(4096);
            let (mut other, far) = duplex(4096);
            let alter = async {
                let mut opening = [0; HEADER_BYTES + MESSAGE_1_BYTES];
                middle.read_exact(&mut opening).await.unwrap();
                opening[at] ^= 1 << bit;
                let _ = other.write_all(&opening).await;
                let _ = tokio::io::copy_bidirectional(&mut middle, &mut other).await;
            };
            let (near, far) = run_alongside(alter, async {
                tokio::join!(connect(near, &keys, b""), accept(far, &keys, b""))
            })
            .await;
            near.is_ok() || far.is_ok()
        });
        prop_assert!(!opened);
    }
}
