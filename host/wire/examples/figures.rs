//! Measures the cost of keys, handshakes, streams and datagrams on this host:
//! `cargo run --release -p convoke-wire --example figures`

use bytes::Bytes;
use convoke_wire::{
    ClusterKeys, DatagramOpener, DatagramSealer, Frame, FrameReader, FrameWriter, PeerId, accept,
    connect,
};
use std::hint::black_box;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

fn main() {
    println!(
        "idle stream, both halves       {:>10} B (no buffers beside it)",
        size_of::<FrameReader<OwnedReadHalf>>() + size_of::<FrameWriter<OwnedWriteHalf>>()
    );
    let keys = derive();
    datagrams(&keys);
    let one_thread = tokio::runtime::Builder::new_current_thread().enable_all().build();
    one_thread.expect("a runtime").block_on(async {
        handshakes(&keys).await;
        for bytes in [64, 1024, 16 * 1024, 1024 * 1024] {
            sealed_and_opened(&keys, bytes).await;
        }
    });
    let all_threads = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    all_threads.expect("a runtime").block_on(async {
        for bytes in [64, 1024, 16 * 1024, 1024 * 1024] {
            over_tcp(bytes).await;
        }
        round_trips().await;
    });
}

fn derive() -> ClusterKeys {
    let began = Instant::now();
    let keys = ClusterKeys::derive("development", b"").expect("an open cluster");
    println!("derive, no password            {:>10.1} us", micros(began, 1));
    let began = Instant::now();
    for _ in 0..5 {
        black_box(ClusterKeys::derive("shop", b"correct horse").expect("a cluster"));
    }
    println!("derive, with a password        {:>10.1} ms", micros(began, 5) / 1e3);
    keys
}

fn datagrams(keys: &ClusterKeys) {
    let (sender, receiver) = (PeerId([1; 16]), PeerId([2; 16]));
    let mut sealer = DatagramSealer::new(keys.gossip(), sender);
    let mut opener = DatagramOpener::new(keys.gossip(), receiver);
    let (mut datagram, mut payload) = (Vec::new(), Vec::new());
    for bytes in [64, 1024] {
        let began = Instant::now();
        for _ in 0..1_000_000 {
            sealer.seal(receiver, &[7; 1024][..bytes], &mut datagram).expect("fits");
            opener.open(&datagram, &mut payload).expect("is for us");
        }
        println!("datagram {bytes:>4} B, seal + open   {:>10.3} us", micros(began, 1_000_000));
    }
    let began = Instant::now();
    let other_cluster = &mut DatagramOpener::new(keys.beacons(), receiver);
    for _ in 0..100_000 {
        black_box(other_cluster.open(&datagram, &mut payload).expect_err("another key"));
    }
    println!("datagram of another cluster {:>10.3} us", micros(began, 100_000));
}

async fn handshakes(keys: &ClusterKeys) {
    let began = Instant::now();
    for _ in 0..2_000 {
        let (near, far) = duplex(8192);
        let (near, far) = tokio::join!(connect(near, keys, b"hello"), accept(far, keys, b"hello"));
        black_box((near.expect("the same keys"), far.expect("the same keys")));
    }
    println!("handshake, both sides          {:>10.1} us", micros(began, 2_000));
}

/// Seals, passes through a pipe in memory and opens, all on one thread.
async fn sealed_and_opened(keys: &ClusterKeys, bytes: usize) {
    let (near, far) = duplex(4 << 20);
    let (near, far) = tokio::join!(connect(near, keys, b""), accept(far, keys, b""));
    let (_near_reader, mut writer) = near.expect("the same keys").0.split();
    let (mut reader, _far_writer) = far.expect("the same keys").0.split();
    let batch = (1 << 20) / bytes;
    let frame = Frame { kind: 0, request: 0, payload: Bytes::from(vec![7; bytes]) };
    let began = Instant::now();
    for _ in 0..200 {
        for _ in 0..batch {
            writer.write(&frame).expect("fits");
        }
        writer.flush().await.expect("a pipe");
        for _ in 0..batch {
            black_box(reader.next().await.expect("a frame"));
        }
    }
    report("memory", bytes, 200 * batch, began);
}

async fn pair() -> (
    (FrameReader<impl AsyncRead + Unpin + Send>, FrameWriter<impl AsyncWrite + Unpin + Send>),
    (FrameReader<impl AsyncRead + Unpin + Send>, FrameWriter<impl AsyncWrite + Unpin + Send>),
) {
    let keys = ClusterKeys::derive("development", b"").expect("an open cluster");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let dialled = TcpStream::connect(listener.local_addr().expect("bound"));
    let (near, far) = tokio::join!(dialled, listener.accept());
    let (near, far) = (near.expect("dialled"), far.expect("accepted").0);
    near.set_nodelay(true).expect("TCP");
    far.set_nodelay(true).expect("TCP");
    let (near, far) = tokio::join!(connect(near, &keys, b""), accept(far, &keys, b""));
    (
        near.expect("the same keys").0.split_with(TcpStream::into_split),
        far.expect("the same keys").0.split_with(TcpStream::into_split),
    )
}

async fn over_tcp(bytes: usize) {
    let ((_near_reader, mut writer), (mut reader, _far_writer)) = pair().await;
    let frames = (256 << 20) / bytes.max(256);
    let frame = Frame { kind: 0, request: 0, payload: Bytes::from(vec![7; bytes]) };
    let began = Instant::now();
    let send = tokio::spawn(async move {
        for _ in 0..frames {
            writer.write(&frame).expect("fits");
            if writer.buffered() >= convoke_wire::WRITE_BYTES_MAX {
                writer.flush().await.expect("a pipe");
            }
        }
        writer.close().await.expect("a pipe");
    });
    let receive = tokio::spawn(async move {
        while let Some(frame) = reader.next().await.expect("a frame") {
            black_box(frame);
        }
    });
    send.await.expect("no panic");
    receive.await.expect("no panic");
    report("tcp", bytes, frames, began);
}

async fn round_trips() {
    let ((mut reader, mut writer), (mut far_reader, mut far_writer)) = pair().await;
    tokio::spawn(async move {
        while let Ok(Some(frame)) = far_reader.next().await {
            far_writer.send(&frame).await.expect("a pipe");
        }
    });
    let frame = Frame { kind: 0, request: 0, payload: Bytes::from_static(&[7; 64]) };
    let began = Instant::now();
    for _ in 0..50_000 {
        writer.send(&frame).await.expect("a pipe");
        black_box(reader.next().await.expect("a frame"));
    }
    println!("tcp round trip of 64 B         {:>10.1} us", micros(began, 50_000));
}

fn report(pipe: &str, bytes: usize, frames: usize, began: Instant) {
    let rate = (bytes * frames) as f64 / began.elapsed().as_secs_f64() / 1e6;
    let each = micros(began, frames);
    println!("{pipe:<6} frame of {bytes:>8} B      {each:>10.3} us  {rate:>8.0} MB/s");
}

fn micros(began: Instant, times: usize) -> f64 {
    began.elapsed().as_secs_f64() * 1e6 / times as f64
}
