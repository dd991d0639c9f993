//! `INFO`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use convoke_grid::op::WholeOp;
use convoke_grid::topic::{NAMES_MAX, SubscriptionInfo, SubscriptionQuery, TooManyNames};

use super::super::answer::{Answer, sum_of};
use super::super::client::Client;
use super::super::client_info::ClientInfo;
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::Request;
use super::super::server::{REDIS_VERSION, Server};

/// A section: its name, its title, and whether it is part of `INFO` without arguments.
type Section = (&'static str, &'static str, bool);

/// The sections, in the order of Redis.
const SECTIONS: [Section; 13] = [
    ("server", "Server", true),
    ("clients", "Clients", true),
    ("memory", "Memory", true),
    ("persistence", "Persistence", true),
    ("stats", "Stats", true),
    ("replication", "Replication", true),
    ("cpu", "CPU", true),
    ("modules", "Modules", true),
    ("commandstats", "Commandstats", false),
    ("errorstats", "Errorstats", true),
    ("latencystats", "Latencystats", false),
    ("cluster", "Cluster", true),
    ("keyspace", "Keyspace", true),
];
/// Share of the calls for which `latencystats` reports the time, in percent.
const PERCENTILES: [(f64, &str); 3] = [(50.0, "p50"), (99.0, "p99"), (99.9, "p99.9")];

pub(crate) fn info(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let words: Vec<String> =
        request.from(1).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    let is_all = words.iter().any(|word| word == "all" || word == "everything");
    let is_default = words.is_empty() || words.iter().any(|word| word == "default");
    let is_wanted = |(name, _, by_default): &Section| {
        is_all || (is_default && *by_default) || words.iter().any(|word| word == name)
    };
    let wanted: Vec<Section> = SECTIONS.into_iter().filter(is_wanted).collect();
    let server = Arc::clone(&client.server);
    Ok(CommandState::Pending(Box::pin(async move {
        let mut text = String::new();
        for (name, title, _) in wanted {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let _ = write!(text, "# {title}\r\n");
            for (name, value) in fields(&server, name).await {
                let _ = write!(text, "{name}:{value}\r\n");
            }
        }
        Answer::verbatim(text)
    })))
}

type Fields = Vec<(String, String)>;

#[expect(clippy::needless_pass_by_value, reason = "values are computed at the call")]
fn field(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// Number of channels or patterns that clients of this member are subscribed to.
fn count_local(server: &Server, query: &SubscriptionQuery) -> usize {
    match server.grid.subscriptions_here(query) {
        Ok(SubscriptionInfo::Names(names)) => names.len(),
        Ok(SubscriptionInfo::Counts(_)) => 0,
        Err(TooManyNames) => NAMES_MAX,
    }
}

/// What has been counted since the last `CONFIG RESETSTAT`.
fn since(counter: u64, reset: &AtomicU64) -> u64 {
    counter.saturating_sub(reset.load(Ordering::Relaxed))
}

/// Resets what `INFO` reports of commands and keys.
pub(crate) fn reset(server: &Server) {
    server.stats.reset();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let maps = server.grid.maps();
    let (hits, misses) = server.grid.lookups();
    let (counters, reset) = (&server.counters, &server.reset);
    for (counter, value) in [
        (&reset.commands, counters.commands.sum()),
        (&reset.accepted, load(&counters.accepted)),
        (&reset.turned_away, load(&counters.turned_away)),
        (&reset.expired, maps.iter().map(|map| map.expired()).sum()),
        (&reset.expired_fields, maps.iter().map(|map| map.expired_fields()).sum()),
        (&reset.evicted, maps.iter().map(|map| map.evicted()).sum()),
        (&reset.hits, hits),
        (&reset.misses, misses),
    ] {
        counter.store(value, Ordering::Relaxed);
    }
}

async fn fields(server: &Server, section: &str) -> Fields {
    match section {
        "server" => of_server(server),
        "clients" => of_clients(server),
        "memory" => of_memory(server),
        "persistence" => of_persistence(server),
        "stats" => of_stats(server),
        "replication" => of_replication(server),
        "cpu" => of_cpu(),
        "commandstats" => of_commands(server),
        "errorstats" => {
            let (_, by_code) = server.stats.errors();
            let each = |(code, count): (String, u64)| {
                (format!("errorstat_{code}"), format!("count={count}"))
            };
            by_code.into_iter().map(each).collect()
        }
        "latencystats" => of_latency(server),
        "cluster" => vec![field("cluster_enabled", u8::from(server.settings.redis_cluster))],
        "keyspace" => of_keyspace(server).await,
        _ => Vec::new(),
    }
}

fn of_server(server: &Server) -> Fields {
    let up_s = server.elapsed_ms() / 1_000;
    let mode = if server.settings.redis_cluster { "cluster" } else { "standalone" };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    vec![
        field("redis_version", REDIS_VERSION),
        field("redis_mode", mode),
        field("convoke_version", env!("CARGO_PKG_VERSION")),
        field("os", std::env::consts::OS),
        field("arch_bits", usize::BITS),
        field("process_id", std::process::id()),
        field("run_id", server.grid.me().to_string().replace('-', "")),
        field("tcp_port", server.port),
        field("server_time_usec", now.as_micros()),
        field("uptime_in_seconds", up_s),
        field("uptime_in_days", up_s / 86_400),
        field("executable", ""),
        field("config_file", ""),
    ]
}

fn of_clients(server: &Server) -> Fields {
    let all = server.client_infos();
    let count = |fits: fn(&ClientInfo) -> bool| all.iter().filter(|info| fits(info)).count();
    let blocked = count(|info| info.is_blocked.load(Ordering::Relaxed));
    let figures = server.tracking.figures();
    let paused = server.pause.state(server.elapsed_ms());
    let (reason, actions, left_ms) = match paused {
        None => ("none", "none", 0),
        Some((left_ms, true)) => ("client_pause", "write", left_ms),
        Some((left_ms, false)) => ("client_pause", "all", left_ms),
    };
    vec![
        field("connected_clients", all.len()),
        field("cluster_connections", 0),
        field("maxclients", server.settings.clients_max),
        // As in Redis, with those whose command `CLIENT PAUSE` holds back.
        field("blocked_clients", blocked + server.pause.waiting()),
        field("tracking_clients", figures.clients),
        field("pubsub_clients", count(ClientInfo::is_subscribed)),
        field("watching_clients", count(|info| info.watched.load(Ordering::Relaxed) > 0)),
        field("clients_in_timeout_table", 0),
        field("paused_reason", reason),
        field("paused_actions", actions),
        field("paused_timeout_milliseconds", left_ms),
    ]
}

/// A size as Redis shows it to people.
fn human(bytes: u64) -> String {
    let units = [("G", 1_u64 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    let unit = units.into_iter().find(|(_, unit)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes}B"),
        |(letter, unit)| format!("{:.2}{letter}", bytes as f64 / unit as f64),
    )
}

/// A value of `/proc/self/status`, in bytes.
fn process_memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn of_memory(server: &Server) -> Fields {
    let bytes: u64 = server.grid.maps().iter().map(|map| map.bytes()).sum();
    let resident = process_memory("VmRSS").unwrap_or(0);
    let peak = process_memory("VmHWM").unwrap_or(0);
    let ratio = if bytes > 0 { resident as f64 / bytes as f64 } else { 0.0 };
    let (libraries, functions) = server.functions.counts();
    vec![
        field("used_memory", bytes),
        field("used_memory_human", human(bytes)),
        field("used_memory_rss", resident),
        field("used_memory_rss_human", human(resident)),
        // The peak of the process: that of the data alone is not known.
        field("used_memory_peak", peak),
        field("used_memory_peak_human", human(peak)),
        field("used_memory_dataset", bytes),
        field("number_of_cached_scripts", server.scripts.count(&server.grid)),
        field("number_of_functions", functions),
        field("number_of_libraries", libraries),
        field("maxmemory", 0),
        field("maxmemory_human", "0B"),
        field("maxmemory_policy", "noeviction"),
        field("mem_fragmentation_ratio", format!("{ratio:.2}")),
        field("mem_clients_normal", server.pubsub.ledger.held()),
    ]
}

/// `LASTSAVE`: as Redis does before the first save, the time of the start.
pub(crate) fn lastsave(client: &mut Client, _: &Request<'_>) -> CommandResult {
    let time_s = started_s(&client.server);
    Ok(Answer::integer(i64::try_from(time_s).unwrap_or(i64::MAX)).into())
}

/// `ROLE`: what the section on replication says.
pub(crate) fn role(_: &mut Client, _: &Request<'_>) -> CommandResult {
    let replicas = Answer::List(Vec::new());
    Ok(Answer::List(vec![Answer::text("master"), Answer::integer(0), replicas]).into())
}

/// The Unix time at which this member started, in seconds.
fn started_s(server: &Server) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs().saturating_sub(server.elapsed_ms() / 1_000)
}

/// Nothing is written to disk.
fn of_persistence(server: &Server) -> Fields {
    vec![
        field("loading", 0),
        field("async_loading", 0),
        field("rdb_changes_since_last_save", 0),
        field("rdb_bgsave_in_progress", 0),
        field("rdb_last_save_time", started_s(server)),
        field("rdb_last_bgsave_status", "ok"),
        field("rdb_last_bgsave_time_sec", -1),
        field("rdb_current_bgsave_time_sec", -1),
        field("rdb_saves", 0),
        field("aof_enabled", 0),
        field("aof_rewrite_in_progress", 0),
        field("aof_rewrite_scheduled", 0),
        field("aof_last_rewrite_time_sec", -1),
        field("aof_current_rewrite_time_sec", -1),
        field("aof_last_bgrewrite_status", "ok"),
        field("aof_last_write_status", "ok"),
    ]
}

fn of_stats(server: &Server) -> Fields {
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (counters, reset, maps) = (&server.counters, &server.reset, server.grid.maps());
    let (expired, evicted): (u64, u64) =
        (maps.iter().map(|map| map.expired()).sum(), maps.iter().map(|map| map.evicted()).sum());
    let (hits, misses) = server.grid.lookups();
    let figures = server.tracking.figures();
    let count = |query| count_local(server, &query);
    let (errors, _) = server.stats.errors();
    vec![
        field("total_connections_received", since(load(&counters.accepted), &reset.accepted)),
        field("total_commands_processed", since(counters.commands.sum(), &reset.commands)),
        field("instantaneous_ops_per_sec", server.stats.commands_per_second()),
        field("rejected_connections", since(load(&counters.turned_away), &reset.turned_away)),
        field("expired_keys", since(expired, &reset.expired)),
        field(
            "expired_subkeys",
            since(maps.iter().map(|map| map.expired_fields()).sum(), &reset.expired_fields),
        ),
        field("evicted_keys", since(evicted, &reset.evicted)),
        field("keyspace_hits", since(hits, &reset.hits)),
        field("keyspace_misses", since(misses, &reset.misses)),
        field("pubsub_channels", count(SubscriptionQuery::Topics(None))),
        field("pubsub_patterns", count(SubscriptionQuery::Patterns)),
        field("pubsubshard_channels", count(SubscriptionQuery::ShardTopics(None))),
        field("latest_fork_usec", 0),
        field("tracking_total_keys", figures.keys),
        field("tracking_total_items", figures.items),
        field("tracking_total_prefixes", figures.prefixes),
        field("unexpected_error_replies", 0),
        field("total_error_replies", errors),
    ]
}

fn of_replication(server: &Server) -> Fields {
    let none = "0".repeat(40);
    // The ID of this member, in the length of a replication ID.
    let id = format!("{:0<40}", server.grid.me().to_string().replace('-', ""));
    vec![
        field("role", "master"),
        field("connected_slaves", 0),
        field("master_failover_state", "no-failover"),
        field("master_replid", id),
        field("master_replid2", none),
        field("master_repl_offset", 0),
        field("second_repl_offset", -1),
        field("repl_backlog_active", 0),
        field("repl_backlog_size", 0),
        field("repl_backlog_first_byte_offset", 0),
        field("repl_backlog_histlen", 0),
        field("convoke_members", server.cluster.nodes().len()),
        field("convoke_safe", u8::from(server.grid.is_safe())),
    ]
}

/// Time that the process used the processor in the kernel and outside of it, and its children, in
/// seconds, from `/proc/self/stat`. Its unit is 10 ms on Linux.
fn of_cpu() -> Fields {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the process, in parentheses, may contain spaces.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let words: Vec<&str> = rest.split_whitespace().collect();
    let seconds = |at: usize| {
        let ticks: u64 = words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0);
        format!("{}.{:02}0000", ticks / 100, ticks % 100)
    };
    vec![
        field("used_cpu_sys", seconds(12)),
        field("used_cpu_user", seconds(11)),
        field("used_cpu_sys_children", seconds(14)),
        field("used_cpu_user_children", seconds(13)),
    ]
}

fn of_commands(server: &Server) -> Fields {
    let each = |figures: &super::super::stats::CommandFigures| {
        let per_call = figures.time_us as f64 / figures.calls.max(1) as f64;
        let value = format!(
            "calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
            figures.calls, figures.time_us, figures.rejected, figures.failed
        );
        (format!("cmdstat_{}", figures.name), value)
    };
    server.stats.commands().iter().map(each).collect()
}

fn of_latency(server: &Server) -> Fields {
    let called = server.stats.commands().into_iter().filter(|figures| figures.calls > 0);
    let each = |figures: super::super::stats::CommandFigures| {
        let times = PERCENTILES
            .map(|(percent, name)| format!("{name}={}.000", figures.percentile_us(percent)));
        (format!("latency_percentiles_usec_{}", figures.name), times.join(","))
    };
    called.map(each).collect()
}

async fn of_keyspace(server: &Server) -> Fields {
    let mut all = BTreeMap::new();
    for (database, map) in server.databases() {
        let count = match server.submit_all(&map, WholeOp::Length).await {
            Ok(replies) => sum_of(&replies),
            Err(_) => continue,
        };
        if count > 0 {
            let expiring = server.submit_all(&map, WholeOp::Expiring).await;
            all.insert(database, (count, expiring.map_or(0, |replies| sum_of(&replies))));
        }
    }
    let each = |(database, (count, expiring))| {
        (format!("db{database}"), format!("keys={count},expires={expiring},avg_ttl=0"))
    };
    all.into_iter().map(each).collect()
}
