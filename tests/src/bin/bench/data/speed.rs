//! Requests per second, and latency.

use std::net::SocketAddr;
use std::time::Duration;

use convoke_tests::slots::Slots;
use convoke_tests::{Cluster, Member};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::load::{self, KEYS, Load, Outcome, Place, Request};
use super::servers::{self, Redis};

/// Repetitions, of which the median is reported; interleaved, so that other load on the machine
/// affects both servers.
const RUNS: usize = 3;
/// Duration of one run.
const TIME: Duration = Duration::from_secs(2);
/// Connections of the client.
const CONNECTIONS: usize = 50;
const DEPTHS: [usize; 3] = [1, 16, 64];
/// Target for each rate of Convoke, as a fraction of Redis' rate.
const OF_REDIS: f64 = 0.9;
/// Target for writes that are replicated to a second member before they are answered, without
/// pipelining, as a fraction of Convoke's reads.
const REPLICATED_OF_READ: f64 = 0.45;
/// Target for the same with a pipeline depth of 16, in requests per second.
const REPLICATED_PIPELINED: f64 = 400_000.0;

/// A client on the calling thread.
pub(super) struct Bench {
    runtime: Runtime,
    local: LocalSet,
}

impl Bench {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { runtime: runtime.expect("a runtime"), local: LocalSet::new() }
    }

    pub(super) fn fill(&self, server: SocketAddr, keys: u64) {
        let filled = self.local.block_on(&self.runtime, load::fill(server, keys));
        filled.unwrap_or_else(|error| panic!("{server} cannot be filled: {error}"));
    }

    fn run(&self, servers: &[SocketAddr], place: Place<'_>, load: Load) -> Outcome {
        let done = self.local.block_on(&self.runtime, load::run(servers, place, load));
        done.unwrap_or_else(|error| panic!("{load:?} of {servers:?}: {error}"))
    }
}

pub(super) fn measure(redis: Option<&Redis>) {
    let bench = Bench::new();
    head("Redis");
    let unpipelined_read = without_backups(&bench, redis);
    println!();
    head("target");
    replicated(&bench, unpipelined_read);
}

/// Measures only writes with a backup, and reads of one of the members for comparison.
pub(super) fn measure_replicated() {
    head("target");
    replicated(&Bench::new(), 0.0);
}

/// Returns the rate of unpipelined reads.
fn without_backups(bench: &Bench, redis: Option<&Redis>) -> f64 {
    let anywhere: Place<'_> = &|_| 0;
    let cluster = Cluster::exclusive();
    let members = servers::members(&cluster, 1, 0);
    let ours = [members[0].resp()];
    for server in redis.map(|redis| redis.address).into_iter().chain(ours) {
        bench.fill(server, KEYS);
    }
    let mut unpipelined_read = 0.0;
    for depth in DEPTHS {
        for ask in [Request::Get, Request::Set] {
            let load = Load { ask, connections: CONNECTIONS, depth, time: TIME };
            let (mut theirs, mut own) = (Vec::new(), Vec::new());
            for _ in 0..RUNS {
                theirs.extend(redis.map(|redis| bench.run(&[redis.address], anywhere, load)));
                own.push(bench.run(&ours, anywhere, load));
            }
            let (theirs, own) = (middle(theirs), middle(own).expect("runs"));
            if depth == 1 && ask == Request::Get {
                unpipelined_read = own.rate;
            }
            let target = theirs.as_ref().map(|theirs| theirs.rate * OF_REDIS);
            show(&format!("{ask:?}, depth {depth}"), theirs.as_ref(), &own, target);
        }
    }
    unpipelined_read
}

/// Measures writes that are replicated to a second member before they are answered.
fn replicated(bench: &Bench, unpipelined_read: f64) {
    let cluster = Cluster::exclusive();
    let members = servers::members(&cluster, 2, 1);
    let servers: Vec<SocketAddr> = members.iter().map(Member::resp).collect();
    bench.fill(servers[0], KEYS);
    let slots = Slots::of(&cluster, &members);
    let of_owner: Place<'_> = &|key| usize::from(slots.owner(key) != servers[0]);
    let anywhere: Place<'_> = &|_| 0;
    for depth in DEPTHS {
        let load = Load { ask: Request::Set, connections: CONNECTIONS, depth, time: TIME };
        let (own, cost) = with_cpu(&members, || bench.run(&servers, of_owner, load));
        let target = match depth {
            1 => Some(unpipelined_read * REPLICATED_OF_READ),
            16 => Some(REPLICATED_PIPELINED),
            _ => None,
        };
        show(&format!("Set, 1 backup, at the owner, depth {depth}"), None, &own, target);
        println!("{:<42} {cost:>10.2}", "  of the members' cores, µs a request");
        let (own, cost) = with_cpu(&members, || bench.run(&servers[..1], anywhere, load));
        show(&format!("Set, 1 backup, at any member, depth {depth}"), None, &own, None);
        println!("{:<42} {cost:>10.2}", "  of the members' cores, µs a request");
    }
}

/// Runs a load several times, and returns the median run with the CPU time of these members per
/// request, in microseconds.
fn with_cpu(members: &[Member], run: impl Fn() -> Outcome) -> (Outcome, f64) {
    let used = || members.iter().map(Member::cpu_time).sum::<Duration>();
    let mut runs: Vec<(Outcome, f64)> = (0..RUNS)
        .map(|_| {
            let before = used();
            let outcome = run();
            let spent = (used() - before).as_secs_f64() * 1e6;
            let warm = (TIME + load::WARM_UP).as_secs_f64();
            let cost = spent / (outcome.rate * warm);
            (outcome, cost)
        })
        .collect();
    runs.sort_by(|one, other| one.0.rate.total_cmp(&other.0.rate));
    runs.swap_remove(RUNS / 2)
}

fn middle(mut runs: Vec<Outcome>) -> Option<Outcome> {
    runs.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let middle = runs.len() / 2;
    (!runs.is_empty()).then(|| runs.swap_remove(middle))
}

fn head(beside: &str) {
    println!(
        "{:<42} {:>10} {:>10} {:>6} {:>24} {:>24}",
        "requests a second; p50 / p99 / p99.9 in µs",
        "Convoke",
        beside,
        "ratio",
        "Convoke",
        "Redis"
    );
    println!("{}", "-".repeat(130));
}

/// Prints a row: Convoke's result, compared with that of Redis or, without Redis, with the target.
fn show(what: &str, theirs: Option<&Outcome>, ours: &Outcome, target: Option<f64>) {
    let times = |outcome: &Outcome| {
        let [half, most, nearly_all] = [0.5, 0.99, 0.999].map(|part| outcome.percentile(part));
        format!("{half:.0} / {most:.0} / {nearly_all:.0}")
    };
    let beside = theirs.map(|theirs| theirs.rate).or(target);
    let [beside_text, ratio] = match beside {
        Some(beside) => [format!("{beside:.0}"), format!("{:.2}", ours.rate / beside)],
        None => ["-", "-"].map(str::to_owned),
    };
    let verdict = match target {
        Some(target) if ours.rate >= target => "kept",
        Some(_) => "MISSED",
        None => "",
    };
    println!(
        "{what:<42} {:>10.0} {beside_text:>10} {ratio:>6} {:>24} {:>24}  {verdict}",
        ours.rate,
        times(ours),
        theirs.map(times).unwrap_or_default()
    );
}
