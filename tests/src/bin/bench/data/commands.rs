//! Commands that cost more than a lookup: scripts and functions, streams, and tracked reads; with
//! the CPU time of the server per request, beside Redis in the same run.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use convoke_tests::Cluster;
use convoke_tests::resp::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::load::{WARM_UP, request};
use super::servers::{self, Redis};

/// Runs of each, of which the median counts; interleaved, as in `speed`.
const RUNS: usize = 5;
/// Of one run.
const TIME: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 50;
/// Different keys, and different batches that one connection sends in turn.
const KEYS: usize = 1_000;
const BATCHES: usize = 64;
/// Bytes of the replies of one connection that are read at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Entries of the stream before it is read: more than are read meanwhile.
const ENTRIES: usize = 2_000_000;
/// Requests in one pipeline to fill it.
const FILL: usize = 1_000;

/// A rate limiter.
const LIMITER: &str = "local n = redis.call('INCR', KEYS[1]) \
    if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end \
    return {n, redis.call('TTL', KEYS[1])}";
const LIBRARY: &str = "#!lua name=limits
redis.register_function('limiter', function(keys, args)
  local n = redis.call('INCR', keys[1])
  if n == 1 then redis.call('EXPIRE', keys[1], args[1]) end
  return {n, redis.call('TTL', keys[1])}
end)";

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Eval,
    Evalsha,
    Fcall,
    /// `XADD` of one field to one of a few streams.
    Add,
    /// `XREADGROUP` of one new entry, each connection as a consumer of one group.
    Read,
    /// The same with `NOACK`.
    ReadNoAck,
    /// `GET` with tracking, while one client writes.
    Tracked,
    /// `GET` without it, to compare with.
    Get,
}

/// Each kind, at how many requests in a pipeline, the name of its row, and the part of the rate of
/// Redis that it is to reach.
const ROWS: &[(Ask, usize, &str, f64)] = &[
    (Ask::Eval, 1, "EVAL of a limiter of 3 calls, depth 1", 0.8),
    (Ask::Eval, 16, "EVAL of a limiter, depth 16", 0.8),
    (Ask::Evalsha, 1, "EVALSHA of a limiter, depth 1", 0.8),
    (Ask::Evalsha, 16, "EVALSHA of a limiter, depth 16", 0.8),
    (Ask::Fcall, 1, "FCALL of a limiter, depth 1", 0.8),
    (Ask::Fcall, 16, "FCALL of a limiter, depth 16", 0.8),
    (Ask::Add, 16, "XADD, depth 16", 0.9),
    (Ask::Read, 16, "XREADGROUP, 50 consumers, depth 16", 0.9),
    (Ask::ReadNoAck, 16, "XREADGROUP NOACK, 50 consumers, depth 16", 0.9),
    (Ask::Get, 1, "GET, depth 1", 0.9),
    (Ask::Get, 16, "GET, depth 16", 0.9),
    (Ask::Tracked, 1, "tracked GET, one writer, depth 1", 0.9),
    (Ask::Tracked, 16, "tracked GET, one writer, depth 16", 0.9),
];

pub(crate) fn run() {
    let redis = Redis::start();
    if redis.is_none() {
        println!("there is no redis-server: figures stand alone\n");
    }
    measure(redis.as_ref());
}

pub(super) fn measure(redis: Option<&Redis>) {
    let bench = Bench::new();
    let cluster = Cluster::exclusive();
    let members = servers::members(&cluster, 1, 0);
    println!(
        "{:<42} {:>10} {:>10} {:>6} {:>10} {:>10}",
        "requests a second", "Convoke", "Redis", "ratio", "own µs", "Redis µs"
    );
    for (ask, depth, what, goal) in ROWS {
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            if let Some(redis) = redis {
                theirs.push(bench.run(redis.address, *ask, *depth, || redis.cpu_time()));
            }
            own.push(bench.run(members[0].resp(), *ask, *depth, || members[0].cpu_time()));
        }
        show(what, &middle(own).expect("runs"), middle(theirs).as_ref(), *goal);
    }
}

/// The result of one run.
#[derive(Clone, Copy)]
struct Outcome {
    /// Answers in a second.
    rate: f64,
    /// CPU time of the server per answer, in microseconds.
    cost_us: f64,
}

fn middle(mut runs: Vec<Outcome>) -> Option<Outcome> {
    runs.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    runs.get(runs.len() / 2).copied()
}

fn show(what: &str, own: &Outcome, theirs: Option<&Outcome>, goal: f64) {
    let Some(theirs) = theirs else {
        return println!("{what:<42} {:>10.0} {:>17} {:>10.2}", own.rate, "", own.cost_us);
    };
    let ratio = own.rate / theirs.rate;
    println!(
        "{what:<42} {:>10.0} {:>10.0} {ratio:>6.2} {:>10.2} {:>10.2}  {}",
        own.rate,
        theirs.rate,
        own.cost_us,
        theirs.cost_us,
        if ratio >= goal { "kept" } else { "MISSED" }
    );
}

/// A client on the calling thread.
struct Bench {
    runtime: Runtime,
    local: LocalSet,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { runtime: runtime.expect("a runtime"), local: LocalSet::new() }
    }

    fn run(
        &self,
        server: SocketAddr,
        ask: Ask,
        depth: usize,
        used: impl Fn() -> Duration,
    ) -> Outcome {
        let sha = prepare(server, ask);
        let before = used();
        let done = self.local.block_on(&self.runtime, load(server, ask, depth, &sha));
        let (counted, all) = done.unwrap_or_else(|error| panic!("{ask:?} of {server}: {error}"));
        let spent = (used() - before).as_secs_f64() * 1e6;
        Outcome { rate: counted as f64 / TIME.as_secs_f64(), cost_us: spent / all as f64 }
    }
}

/// Stores what the requests need. Returns the checksum of the script.
fn prepare(server: SocketAddr, ask: Ask) -> String {
    let mut client = Client::connect(server).expect("a server");
    let mut call = |words: &[&str]| {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        client.call(&words).expect("an answer")
    };
    let reads = matches!(ask, Ask::Read | Ask::ReadNoAck);
    let length = call(&["XLEN", "stream"]).integer();
    let is_filled = length.is_some_and(|length| length == ENTRIES as i64);
    if !(reads && is_filled) {
        call(&["FLUSHALL"]);
    }
    match ask {
        Ask::Evalsha => {
            let sha = call(&["SCRIPT", "LOAD", LIMITER]);
            return String::from_utf8_lossy(sha.bytes().expect("a checksum")).into_owned();
        }
        Ask::Fcall => {
            call(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
        }
        Ask::Read | Ask::ReadNoAck => {
            call(&["XGROUP", "DESTROY", "stream", "group"]);
            call(&["XGROUP", "CREATE", "stream", "group", "0", "MKSTREAM"]);
            if is_filled {
                return String::new();
            }
            let one: Vec<Vec<u8>> =
                ["XADD", "stream", "*", "field", "value"].map(Into::into).into();
            let batch = vec![one; FILL];
            for _ in 0..ENTRIES / FILL {
                client.call_all(&batch).expect("answers");
            }
        }
        Ask::Tracked | Ask::Get => {
            for number in 0..KEYS {
                call(&["SET", &key(number), "value"]);
            }
        }
        Ask::Eval | Ask::Add => {}
    }
    String::new()
}

fn key(number: usize) -> String {
    format!("key:{number:012}")
}

fn write(out: &mut Vec<u8>, ask: Ask, sha: &str, connection: usize, number: usize) {
    let key = key(number % KEYS);
    let consumer = format!("consumer:{connection}");
    let stream = format!("stream:{}", number % 16);
    let words: &[&str] = match ask {
        Ask::Eval => &["EVAL", LIMITER, "1", &key, "60"],
        Ask::Evalsha => &["EVALSHA", sha, "1", &key, "60"],
        Ask::Fcall => &["FCALL", "limiter", "1", &key, "60"],
        Ask::Add => &["XADD", &stream, "*", "field", "value"],
        Ask::Read => {
            &["XREADGROUP", "GROUP", "group", &consumer, "COUNT", "1", "STREAMS", "stream", ">"]
        }
        Ask::ReadNoAck => &[
            "XREADGROUP",
            "GROUP",
            "group",
            &consumer,
            "COUNT",
            "1",
            "NOACK",
            "STREAMS",
            "stream",
            ">",
        ],
        Ask::Tracked | Ask::Get => &["GET", &key],
    };
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    request(out, &words);
}

/// Sends requests until the time is over. Returns how many answers came while they were counted,
/// and how many in all.
async fn load(server: SocketAddr, ask: Ask, depth: usize, sha: &str) -> io::Result<(u64, u64)> {
    let mut connections = Vec::new();
    for connection in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        if ask == Ask::Tracked {
            let mut out = Vec::new();
            request(&mut out, &[b"HELLO", b"3"]);
            request(&mut out, &[b"CLIENT", b"TRACKING", b"ON"]);
            stream.write_all(&out).await?;
            Answers::default().read(&mut stream, 2).await?;
        }
        let batch = |place: usize| {
            let mut out = Vec::new();
            for at in 0..depth {
                // All keys in an order without a pattern, each connection from another one on.
                let number = (connection * BATCHES + place) * depth + at;
                write(&mut out, ask, sha, connection, number.wrapping_mul(7_919));
            }
            out
        };
        let batches: Vec<Vec<u8>> = (0..BATCHES).map(batch).collect();
        connections.push((stream, batches));
    }
    let started = Instant::now();
    let (from, until) = (started + WARM_UP, started + WARM_UP + TIME);
    let writer = (ask == Ask::Tracked).then(|| tokio::task::spawn_local(keep_writing(server)));
    let drive = |(stream, batches)| drive(stream, batches, depth, from, until);
    let tasks: Vec<_> = connections.into_iter().map(drive).map(tokio::task::spawn_local).collect();
    let mut sums = (0, 0);
    for task in tasks {
        let (counted, all) = task.await.map_err(io::Error::other)??;
        sums = (sums.0 + counted, sums.1 + all);
    }
    if let Some(writer) = writer {
        writer.abort();
    }
    Ok(sums)
}

async fn drive(
    mut stream: TcpStream,
    batches: Vec<Vec<u8>>,
    depth: usize,
    from: Instant,
    until: Instant,
) -> io::Result<(u64, u64)> {
    let mut answers = Answers::default();
    let (mut counted, mut all) = (0, 0);
    for batch in batches.iter().cycle() {
        let sent = Instant::now();
        stream.write_all(batch).await?;
        answers.read(&mut stream, depth).await?;
        all += depth as u64;
        if Instant::now() >= until {
            break;
        }
        if sent >= from {
            counted += depth as u64;
        }
    }
    Ok((counted, all))
}

/// Sets one key after the other, and waits for each answer.
async fn keep_writing(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut answers = Answers::default();
    for number in 0_usize.. {
        let mut out = Vec::new();
        request(&mut out, &[b"SET", key(number % KEYS).as_bytes(), b"another"]);
        stream.write_all(&out).await?;
        answers.read(&mut stream, 1).await?;
    }
    Ok(())
}

/// Reads answers without keeping them.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
}

impl Answers {
    /// Reads this number of answers. Messages that the server sends unasked are skipped.
    async fn read(&mut self, stream: &mut TcpStream, count: usize) -> io::Result<()> {
        let mut left = count;
        loop {
            let mut at = 0;
            while let Some(end) = end_of(&self.bytes, at) {
                match self.bytes[at] {
                    b'>' => {}
                    b'-' | b'_' => return Err(unexpected(&self.bytes[at..end])),
                    b'*' if self.bytes[at..].starts_with(b"*-1") => {
                        return Err(unexpected(&self.bytes[at..end]));
                    }
                    _ => left = left.saturating_sub(1),
                }
                at = end;
            }
            self.bytes.drain(..at);
            if left == 0 {
                return Ok(());
            }
            self.bytes.reserve(BUFFER_BYTES);
            if stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::Error::other("the server closed the connection"));
            }
        }
    }
}

fn unexpected(answer: &[u8]) -> io::Error {
    io::Error::other(format!("answered with {:?}", String::from_utf8_lossy(answer)))
}

/// Where the answer ends that starts at `at`; `None` if it has not arrived completely.
fn end_of(bytes: &[u8], at: usize) -> Option<usize> {
    // Elements that are still to be skipped.
    let (mut at, mut left) = (at, 1_usize);
    while left > 0 {
        let rest = bytes.get(at..)?;
        let line = rest.iter().position(|byte| *byte == b'\n')?;
        let number = || -> i64 {
            std::str::from_utf8(&rest[1..line])
                .ok()
                .and_then(|n| n.trim().parse().ok())
                .unwrap_or(0)
        };
        at += line + 1;
        left -= 1;
        match rest[0] {
            b'$' | b'=' => {
                if let Ok(length) = usize::try_from(number()) {
                    at += length + 2;
                }
            }
            b'*' | b'~' | b'>' => left += usize::try_from(number()).unwrap_or(0),
            b'%' => left += 2 * usize::try_from(number()).unwrap_or(0),
            _ => {}
        }
    }
    (at <= bytes.len()).then_some(at)
}
