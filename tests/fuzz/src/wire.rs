//! Input from unauthenticated peers.

use std::time::Duration;

use convoke_wire::{
    ClusterKeys, DATAGRAM_PAYLOAD_BYTES_MAX, DatagramOpener, DatagramSealer, PeerId, accept,
    connect,
};
use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::Run;
use crate::mutate::{mutate, noise};
use crate::report::{caught, shown};

/// Timeout of a handshake whose other side sends nothing more.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Capacity of a pipe, in bytes.
const PIPE_BYTES: usize = 1 << 20;

fn keys() -> ClusterKeys {
    ClusterKeys::derive("fuzz", b"").expect("a name and no password")
}

/// Both sides of a handshake, against a nearly valid one.
pub(crate) fn handshakes(run: &mut Run) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let keys = keys();
    // The first messages of the initiator and the responder.
    let first = runtime.block_on(async {
        let (near, mut far) = duplex(PIPE_BYTES);
        let read = async {
            let mut bytes = vec![0; 4096];
            let length = far.read(&mut bytes).await.unwrap_or(0);
            bytes.truncate(length);
            drop(far);
            bytes
        };
        tokio::join!(connect(near, &keys, b"hello"), read).1
    });
    let answer = runtime.block_on(async {
        let (near, mut far) = duplex(PIPE_BYTES);
        let read = async {
            far.write_all(&first).await.expect("the pipe has room");
            let mut bytes = vec![0; 4096];
            let length = far.read(&mut bytes).await.unwrap_or(0);
            bytes.truncate(length);
            drop(far);
            bytes
        };
        tokio::join!(accept(near, &keys, b"hello"), read).1
    });
    while run.has_time() {
        run.report.count();
        let is_caller = run.random.random_bool(0.5);
        let mut bytes = if is_caller { first.clone() } else { answer.clone() };
        match run.random.random_range(0..10) {
            0 => bytes = noise(&mut run.random, 300),
            _ => mutate(&mut run.random, &mut bytes, &answer),
        }
        let done = caught(|| {
            runtime.block_on(async {
                let (near, mut far) = duplex(PIPE_BYTES);
                far.write_all(&bytes).await.expect("the pipe has room");
                // Nothing follows: the handshake must fail by itself.
                far.shutdown().await.expect("a pipe can be closed");
                let rest = async {
                    let mut all = Vec::new();
                    let _ = far.read_to_end(&mut all).await;
                };
                let shake = async {
                    if is_caller {
                        accept(near, &keys, b"hello").await.is_ok()
                    } else {
                        connect(near, &keys, b"hello").await.is_ok()
                    }
                };
                let (ended, ()) = tokio::join!(tokio::time::timeout(HANDSHAKE_MAX, shake), rest);
                ended
            })
        });
        let input = || format!("is_caller {is_caller}, {}", shown(&bytes));
        if let Some(Err(_)) = done {
            run.report.add("hang", "the handshake has no end", &input());
        }
        run.report.take_panics(input);
    }
}

/// Nearly valid datagrams, to a receiver that has accepted valid ones.
pub(crate) fn datagrams(run: &mut Run) {
    let keys = keys();
    let (sender, receiver) = (PeerId([1; 16]), PeerId([2; 16]));
    let mut sealer = DatagramSealer::new(keys.gossip(), sender);
    let mut opener = DatagramOpener::new(keys.gossip(), receiver);
    let mut last = Vec::new();
    while run.has_time() {
        run.report.count();
        let length = run.random.random_range(0..=DATAGRAM_PAYLOAD_BYTES_MAX);
        let payload = vec![7; if run.random.random_bool(0.9) { length % 40 } else { length }];
        let mut datagram = Vec::new();
        let sealed = caught(|| sealer.seal(receiver, &payload, &mut datagram));
        let mut changed = datagram.clone();
        match run.random.random_range(0..10) {
            0 => changed = noise(&mut run.random, 200),
            _ => mutate(&mut run.random, &mut changed, &last),
        }
        let mut out = Vec::new();
        let wrong = caught(|| opener.open(&changed, &mut out));
        if let Some(Ok(_)) = &wrong
            && changed != datagram
            && changed != last
        {
            run.report.add("a changed datagram opened", "", &shown(&changed));
        }
        let mut out = Vec::new();
        let right = caught(|| opener.open(&datagram, &mut out));
        let is_delivered = matches!(right, Some(Ok(_))) && out.ends_with(&payload);
        if matches!(sealed, Some(Ok(_))) && !is_delivered && changed != datagram {
            run.report.add("a right datagram did not open", "", &shown(&datagram));
        }
        run.report.take_panics(|| shown(&changed));
        last = datagram;
    }
}
