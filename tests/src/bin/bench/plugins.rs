//! `bench plugins`: the effect of a mode in an endless loop on its cluster, and the resources that
//! the examples in each language use.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use convoke_discovery::{
    Backend, BeaconCiphers, CallError, DiscoveryHost, Fakes, Grants, HostConfig, Instance,
    LoadedMode, LocalMember, ModeSpec, Source,
};
use convoke_tests::guest::Guest;
use convoke_tests::{Cluster, Member, binary};

use crate::measure::{WAIT_MAX, ms};
use crate::table::{Row, Table, Unit};

/// Repetitions of stopping a looping mode.
const STOPS: usize = 5;
/// Members of the cluster whose heartbeats are timed.
const MEMBERS: usize = 3;
/// Looping modes of one member; enough that one is always running.
const LOOPING: usize = 8;
/// Duration of each measurement of heartbeats.
const HEARTBEATS: Duration = Duration::from_secs(40);
/// Number of times that an example is compiled, and loaded from the cache.
const LOADS: usize = 5;
/// Calls of the small mode.
const CALLS: u32 = 20_000;

/// An example and its configuration.
struct Example {
    language: &'static str,
    name: &'static str,
    argument: &'static str,
    settings: &'static [(&'static str, &'static str)],
    grants: &'static [(&'static str, &'static str)],
    inert_wasi: bool,
    compiled: &'static str,
    cached: &'static str,
    memory: &'static str,
}

macro_rules! example {
    ($language:literal, $name:literal, $argument:literal, $settings:expr, $grants:expr, $wasi:literal) => {
        Example {
            language: $language,
            name: $name,
            argument: $argument,
            settings: $settings,
            grants: $grants,
            inert_wasi: $wasi,
            compiled: concat!($language, " (", $name, "): compiled"),
            cached: concat!($language, ": loaded from the cache, configured"),
            memory: concat!($language, ": resident memory of that"),
        }
    };
}

const EXAMPLES: &[Example] = &[
    example!(
        "Rust",
        "consul",
        "http://127.0.0.1:8500",
        &[("service", "shop")],
        &[("http", "http://127.0.0.1:8500")],
        false
    ),
    example!("C", "address-file", "", &[], &[("store", "64KiB")], false),
    example!(
        "Go",
        "http-list",
        "http://127.0.0.1:8080/list",
        &[],
        &[("http", "http://127.0.0.1:8080")],
        false
    ),
    example!(
        "JavaScript",
        "cloud",
        "tag:cluster=shop",
        &[("region", "eu-central-1"), ("access-key", "k"), ("secret-key", "s")],
        &[("http", "https://*")],
        true
    ),
    example!(
        "Python",
        "etcd",
        "http://127.0.0.1:2379",
        &[],
        &[("http", "http://127.0.0.1:2379")],
        true
    ),
];

pub(crate) fn run() {
    let mut table = Table::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    stopping(&runtime, &mut table);
    heartbeats(&mut table);
    small_calls(&runtime, &mut table);
    for example in EXAMPLES {
        let component = example_component(example.name);
        if !component.is_file() {
            println!("{} is not built: cargo xtask bench plugins builds it", example.language);
            continue;
        }
        example_costs(&runtime, &mut table, example, &component);
    }
    table.print_summary();
}

/// The time from the start of a lookup with an endless loop until it is stopped.
fn stopping(runtime: &tokio::runtime::Runtime, table: &mut Table) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("looping.wasm");
    Guest::looping().write(&path);
    let runs = runtime.block_on(async {
        let host = host(None);
        let loaded = host.load(&spec("looping", path, "", &[], Grants::default())).await;
        let loaded = loaded.expect("the mode loads");
        let mut runs = Vec::new();
        for _ in 0..STOPS {
            let mut instance = open(&host, &loaded).await;
            let started = Instant::now();
            assert_eq!(instance.discover().await, Err(CallError::OutOfBudget));
            runs.push(ms(started.elapsed()));
        }
        runs
    });
    table.add(Row {
        what: "an endless lookup, until it is stopped",
        unit: Unit::Milliseconds,
        runs,
        target: Some(1_000.0),
        others: "Zed: never",
    });
}

/// Heartbeat latency of an idle cluster, and of one in which a member has looping modes.
fn heartbeats(table: &mut Table) {
    let idle = p99_us(0);
    let looping = p99_us(LOOPING);
    table.add(Row {
        what: "heartbeat round trip, p99, at rest",
        unit: Unit::Microseconds,
        runs: vec![idle],
        target: None,
        others: "",
    });
    table.add(Row {
        what: "  the same while modes of one member loop",
        unit: Unit::Microseconds,
        runs: vec![looping],
        target: Some(2.0 * idle),
        others: "target: twice of that at rest, in this run",
    });
}

fn p99_us(looping: usize) -> f64 {
    let cluster = Cluster::exclusive();
    Guest::looping().write(&cluster.folder().join("looping.wasm"));
    let mut members = cluster.start_in_order(MEMBERS - 1);
    let place = members[0].address();
    let mut text = format!("[[discovery]]\nmode = \"tcpip\"\nargument = \"{place}\"\n");
    for number in 0..looping {
        text.push_str(&format!(
            "[[discovery]]\nmode = \"loop-{number}\"\nplugin = \"looping.wasm\"\n"
        ));
    }
    let config = cluster.write("looping.toml", text).display().to_string();
    members.push(cluster.launch().option("--config", config).start());
    cluster.agree_within(WAIT_MAX, &members);
    let before: Vec<Vec<u64>> = members.iter().map(|member| buckets(member).1).collect();
    std::thread::sleep(HEARTBEATS);
    let mut counts: Vec<u64> = Vec::new();
    let mut bounds = Vec::new();
    for (member, before) in members.iter().zip(before) {
        let (upper, after) = buckets(member);
        counts.resize(after.len(), 0);
        for (count, (after, before)) in counts.iter_mut().zip(after.iter().zip(before)) {
            *count += after - before;
        }
        bounds = upper;
    }
    quantile_us(&bounds, &counts, 0.99)
}

/// Histogram of round trips: upper bounds in microseconds, and cumulative counts.
fn buckets(member: &Member) -> (Vec<f64>, Vec<u64>) {
    let answer = member.get("/metrics").expect("metrics");
    let lines = answer.body.lines().filter_map(|line| {
        let line = line.strip_prefix("convoke_probe_round_trip_seconds_bucket{le=\"")?;
        let (bound, count) = line.split_once("\"} ")?;
        let bound_us = bound.parse::<f64>().map_or(f64::INFINITY, |seconds| seconds * 1e6);
        Some((bound_us, count.parse::<u64>().ok()?))
    });
    lines.unzip()
}

/// A quantile of cumulative counts, interpolated linearly within the bucket, as in Prometheus.
fn quantile_us(bounds: &[f64], counts: &[u64], part: f64) -> f64 {
    let total = counts.last().copied().unwrap_or_default();
    let rank = total as f64 * part;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in bounds.iter().zip(counts) {
        let count = *count as f64;
        if count >= rank {
            if bound.is_infinite() {
                return lower;
            }
            let within = if count > below { (rank - below) / (count - below) } else { 1.0 };
            return lower + (bound - lower) * within;
        }
        (lower, below) = (*bound, count);
    }
    lower
}

/// The duration of calls of a small mode.
fn small_calls(runtime: &tokio::runtime::Runtime, table: &mut Table) {
    let spec = spec("tcpip", binary::mode("tcpip"), "10.0.0.1:6900", &[], Grants::default());
    let rate = runtime.block_on(async {
        let host = host(None);
        let loaded = host.load(&spec).await.expect("the mode loads");
        let mut instance = open(&host, &loaded).await;
        let started = Instant::now();
        for _ in 0..CALLS {
            instance.discover().await.expect("the lookup succeeds");
        }
        f64::from(CALLS) / started.elapsed().as_secs_f64()
    });
    table.add(Row {
        what: "lookups a second of a small mode, one after the other",
        unit: Unit::Count,
        runs: vec![rate],
        target: None,
        others: "",
    });
}

/// The resources of one language's component.
fn example_costs(
    runtime: &tokio::runtime::Runtime,
    table: &mut Table,
    example: &Example,
    component: &Path,
) {
    let mut grants = Grants::parse(
        example
            .grants
            .iter()
            .map(|(capability, pattern)| (*capability, std::slice::from_ref(pattern))),
    )
    .expect("sound grants");
    grants.inert_wasi = example.inert_wasi;
    let spec = spec(example.name, component.to_owned(), example.argument, example.settings, grants);
    let (mut compiled, mut cached, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..LOADS {
        let cache = tempfile::tempdir().expect("a folder");
        runtime.block_on(async {
            let host = host(Some(cache.path()));
            let started = Instant::now();
            drop(host.load(&spec).await.expect("the example loads"));
            compiled.push(ms(started.elapsed()));
        });
        runtime.block_on(async {
            let before = resident_mib();
            let host = host(Some(cache.path()));
            let started = Instant::now();
            let loaded = host.load(&spec).await.expect("the example loads");
            let instance = open(&host, &loaded).await;
            cached.push(ms(started.elapsed()));
            memory.push((resident_mib() - before).max(0.0));
            drop(instance);
        });
    }
    let size_kib = std::fs::metadata(component).map_or(0, |metadata| metadata.len() >> 10);
    for (what, unit, runs) in [
        (example.compiled, Unit::Milliseconds, compiled),
        (example.cached, Unit::Milliseconds, cached),
        (example.memory, Unit::Mebibytes, memory),
    ] {
        table.add(Row { what, unit, runs, target: None, others: "" });
    }
    println!("  a component of {size_kib} KiB");
}

fn example_component(name: &str) -> PathBuf {
    let target = binary::convoke().ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
    target.join("examples").join(format!("{name}.wasm"))
}

fn host(cache: Option<&Path>) -> DiscoveryHost {
    let fakes = std::sync::Arc::new(Fakes::default());
    DiscoveryHost::new(HostConfig {
        interfaces: Vec::new(),
        multicast_hops: 1,
        default_ports: vec![6900],
        cache_directory: cache.map(Path::to_owned),
        state_directory: None,
        backend: Backend::Fake(std::sync::Arc::clone(&fakes)),
        beacon_ciphers: BeaconCiphers::none(),
        prober: fakes.prober(),
        on_own_thread: false,
    })
    .expect("the engine starts")
}

fn spec(
    name: &str,
    component: PathBuf,
    argument: &str,
    settings: &[(&str, &str)],
    grants: Grants,
) -> ModeSpec {
    ModeSpec {
        name: name.into(),
        source: Source::File(component),
        digest: None,
        argument: argument.into(),
        settings: settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        grants,
    }
}

async fn open(host: &DiscoveryHost, loaded: &LoadedMode) -> Instance {
    let local = LocalMember {
        cluster_name: "development".into(),
        member_id: "bench".into(),
        addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        port: 6900,
        attributes: Vec::new(),
    };
    host.open(loaded, &local).await.expect("the mode is configured")
}

/// Resident memory of this process, in MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = kib.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
