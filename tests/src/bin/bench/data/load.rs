//! A lightweight client that counts answers by their length, so that the server dominates the
//! measurement.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Number of distinct keys.
pub(super) const KEYS: u64 = 100_000;
/// Bytes of a value.
pub(super) const VALUE_BYTES: usize = 100;
/// Requests in one pipeline to fill a server.
const FILL: usize = 10_000;
/// Distinct batches that a connection sends in rotation.
const BATCHES: u64 = 64;
/// Warm-up before measuring.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Get,
    Set,
}

/// The parameters of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) ask: Request,
    pub(super) connections: usize,
    /// Pipeline depth: requests that are sent before their answers are read.
    pub(super) depth: usize,
    pub(super) time: Duration,
}

/// The result.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Answers per second.
    pub(super) rate: f64,
    /// Duration of each batch, in microseconds, sorted.
    pub(super) batches_us: Vec<u32>,
}

impl Outcome {
    /// The duration below which the fraction `part` of all batches was, in microseconds.
    pub(super) fn percentile(&self, part: f64) -> f64 {
        let last = self.batches_us.len().saturating_sub(1);
        let place = (last as f64 * part).round() as usize;
        self.batches_us.get(place).copied().map_or(f64::NAN, f64::from)
    }
}

/// Key number `number`, 16 bytes long.
pub(super) fn key(number: u64) -> String {
    format!("key:{number:012}")
}

pub(super) fn request(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

impl Request {
    fn answer_bytes(self) -> usize {
        match self {
            Self::Get => format!("${VALUE_BYTES}\r\n").len() + VALUE_BYTES + 2,
            Self::Set => "+OK\r\n".len(),
        }
    }

    fn write(self, out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
        match self {
            Self::Get => request(out, &[b"GET", key]),
            Self::Set => request(out, &[b"SET", key, value]),
        }
    }
}

/// One connection, with the keys of its server.
struct Lane {
    stream: TcpStream,
    batches: Vec<Vec<u8>>,
    answer: Vec<u8>,
}

/// Selects the server of a key.
pub(super) type Place<'a> = &'a dyn Fn(&[u8]) -> usize;

/// Sets `keys` keys.
pub(super) async fn fill(server: SocketAddr, keys: u64) -> io::Result<()> {
    let value = [b'v'; VALUE_BYTES];
    let mut stream = TcpStream::connect(server).await?;
    let (mut read, mut write) = stream.split();
    let numbers: Vec<u64> = (0..keys).collect();
    for numbers in numbers.chunks(FILL) {
        let mut out = Vec::new();
        for number in numbers {
            Request::Set.write(&mut out, key(*number).as_bytes(), &value);
        }
        let mut answers = vec![0; numbers.len() * Request::Set.answer_bytes()];
        let (written, done) = tokio::join!(write.write_all(&out), read.read_exact(&mut answers));
        written?;
        done?;
        check(&answers, Request::Set)?;
    }
    Ok(())
}

/// Checks that each answer begins as expected and is not an error.
fn check(answers: &[u8], ask: Request) -> io::Result<()> {
    let first = if ask == Request::Get { b'$' } else { b'+' };
    if answers.chunks(ask.answer_bytes()).all(|answer| answer[0] == first) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answers[..answers.len().min(120)]).into_owned();
    Err(io::Error::other(format!("an answer is not what was expected, near {text:?}")))
}

/// Sends requests to `servers`, each key to the one that `place` selects.
pub(super) async fn run(
    servers: &[SocketAddr],
    place: Place<'_>,
    load: Load,
) -> io::Result<Outcome> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut lanes = Vec::new();
    for number in 0..load.connections {
        let server = number % servers.len();
        let stream = TcpStream::connect(servers[server]).await?;
        stream.set_nodelay(true)?;
        let batch = |random: &mut Random| {
            let mut out = Vec::new();
            let value = [b'w'; VALUE_BYTES];
            for _ in 0..load.depth {
                let key = loop {
                    let key = key(random.next() % KEYS);
                    if place(key.as_bytes()) == server {
                        break key;
                    }
                };
                load.ask.write(&mut out, key.as_bytes(), &value);
            }
            out
        };
        let batches = (0..BATCHES).map(|_| batch(&mut random)).collect();
        let answer = vec![0; load.depth * load.ask.answer_bytes()];
        lanes.push(Lane { stream, batches, answer });
    }
    let started = Instant::now();
    let (from, until) = (started + WARM_UP, started + WARM_UP + load.time);
    let lanes = lanes.into_iter().map(|lane| drive(lane, load.ask, from, until));
    let tasks: Vec<_> = lanes.map(tokio::task::spawn_local).collect();
    let mut batches_us = Vec::new();
    for task in tasks {
        batches_us.extend(task.await.map_err(io::Error::other)??);
    }
    let answers = batches_us.len() * load.depth;
    batches_us.sort_unstable();
    Ok(Outcome { rate: answers as f64 / load.time.as_secs_f64(), batches_us })
}

async fn drive(
    mut lane: Lane,
    ask: Request,
    from: Instant,
    until: Instant,
) -> io::Result<Vec<u32>> {
    let mut times_us = Vec::new();
    for batch in lane.batches.iter().cycle() {
        let sent = Instant::now();
        lane.stream.write_all(batch).await?;
        lane.stream.read_exact(&mut lane.answer).await?;
        let done = Instant::now();
        check(&lane.answer, ask)?;
        if done >= until {
            break;
        }
        if sent >= from {
            times_us.push(u32::try_from((done - sent).as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok(times_us)
}

/// Xorshift: the same keys in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
