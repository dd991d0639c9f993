//! Commands that report on the server: `INFO`, `CONFIG`, `TIME`, `WAIT`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use convoke_grid::glob::Glob;
use convoke_grid::op::WholeOp;
use convoke_grid::topic::{NAMES_MAX, SubscriptionInfo, SubscriptionQuery, TooManyNames};

use super::super::answer::{Answer, CommandError, sum_of};
use super::super::args::Args;
use super::super::client::Client;
use super::super::outcome::{Begun, Outcome};
use super::super::request::{ARGUMENT_BYTES_MAX, Request};
use super::super::server::{REDIS_VERSION, Server};
use crate::databases::DATABASES;
use crate::notifications::{EventMask, SETTING};

pub(crate) fn time(_: &mut Client, _: &Request<'_>) -> Begun {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let parts = [since.as_secs().to_string(), since.subsec_micros().to_string()];
    Ok(Answer::List(parts.into_iter().map(Answer::text).collect()).into())
}

/// `WAIT` returns the number of backups at once: writes are acknowledged only once the backups have
/// them.
pub(crate) fn wait(client: &mut Client, request: &Request<'_>) -> Begun {
    let mut args = Args::new(request, 1);
    args.integer()?;
    if args
        .integer()
        .map_err(|_| CommandError::new("ERR timeout is not an integer or out of range"))?
        < 0
    {
        return Err(CommandError::new("ERR timeout is negative"));
    }
    Ok(Answer::count(backups(client)).into())
}

/// `WAITAOF` returns the number of backups, as [`wait`] does; there are no files to wait for.
pub(crate) fn waitaof(client: &mut Client, request: &Request<'_>) -> Begun {
    let mut args = Args::new(request, 1);
    let here = args.integer()?;
    if !(0..=1).contains(&here) {
        return Err(CommandError::new("ERR value is out of range, value must between 0 and 1"));
    }
    args.count()?;
    let timeout = args
        .integer()
        .map_err(|_| CommandError::new("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(CommandError::new("ERR timeout is negative"));
    }
    if here > 0 {
        return Err(CommandError::new(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    Ok(Answer::List(vec![Answer::integer(0), Answer::count(backups(client))]).into())
}

/// The number of backups that have the writes of a client.
fn backups(client: &Client) -> usize {
    let nodes = client.server.cluster.nodes();
    let others = nodes.iter().filter(|node| node.stores).count().saturating_sub(1);
    others.min(client.map.settings().backups.into())
}

/// Number of channels or patterns that clients of this member are subscribed to.
fn count_local(server: &Server, query: &SubscriptionQuery) -> usize {
    match server.grid.subscriptions_here(query) {
        Ok(SubscriptionInfo::Names(names)) => names.len(),
        Ok(SubscriptionInfo::Counts(_)) => 0,
        Err(TooManyNames) => NAMES_MAX,
    }
}

pub(crate) fn whoami(client: &mut Client, _: &Request<'_>) -> Begun {
    Ok(Answer::text(client.info.names.lock().user).into())
}

/// The settings of `CONFIG GET`, with their values.
fn settings(server: &Server) -> Vec<(&'static str, String)> {
    let text = |text: &str| text.to_owned();
    let idle = server.settings.idle.map_or(0, |idle| idle.as_secs());
    let notified = server.grid.setting(SETTING).unwrap_or_default();
    vec![
        ("save", text("")),
        ("appendonly", text("no")),
        ("databases", DATABASES.to_string()),
        ("maxmemory", text("0")),
        ("maxmemory-policy", text("noeviction")),
        ("maxclients", server.settings.clients_max.to_string()),
        ("timeout", idle.to_string()),
        ("port", server.port.to_string()),
        ("proto-max-bulk-len", ARGUMENT_BYTES_MAX.to_string()),
        (SETTING, EventMask::parse(&notified).unwrap_or_default().text()),
        ("cluster-enabled", text(if server.settings.redis_cluster { "yes" } else { "no" })),
    ]
}

pub(crate) fn config_get(client: &mut Client, request: &Request<'_>) -> Begun {
    let lower = |word: &[u8]| word.to_ascii_lowercase();
    let globs: Vec<Glob> = request.from(2).map(|word| Glob::new(&lower(word))).collect();
    let fits = |name: &str| globs.iter().any(|glob| glob.matches(name.as_bytes()));
    let found = settings(&client.server).into_iter().filter(|(name, _)| fits(name));
    let pair = |(name, value): (&str, String)| (Answer::text(name), Answer::text(value));
    Ok(Answer::Map(found.map(pair).collect()).into())
}

pub(crate) fn config_set(client: &mut Client, request: &Request<'_>) -> Begun {
    let server = &client.server;
    let pairs = Args::new(request, 2).pairs("config|set")?;
    // All are checked before any is applied.
    for (name, value) in &pairs {
        set(server, name, value, false)?;
    }
    for (name, value) in &pairs {
        set(server, name, value, true)?;
    }
    // The setting is in effect on all members before the reply.
    let announced = server.grid.announcements_received();
    Ok(Outcome::Pending(Box::pin(async move {
        announced.await;
        Answer::DONE
    })))
}

pub(crate) fn config_resetstat(client: &mut Client, _: &Request<'_>) -> Begun {
    let server = &client.server;
    let seen = server.counters.commands.load(Ordering::Relaxed);
    server.counted_from.store(seen, Ordering::Relaxed);
    Ok(Answer::DONE.into())
}

/// Checks a new value of a setting, and applies it if `applies`.
fn set(server: &Server, name: &[u8], value: &[u8], applies: bool) -> Result<(), CommandError> {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let failed = |why: &str| {
        let message =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
        CommandError(message.into())
    };
    if name == SETTING {
        let text = str::from_utf8(value)
            .ok()
            .and_then(EventMask::parse)
            .ok_or_else(|| failed(EventMask::EXPECTED))?;
        if applies {
            server.grid.set_setting(SETTING, &text.text());
        }
        return Ok(());
    }
    let known = settings(server).into_iter().find(|(known, _)| *known == name);
    match known {
        // Setting the current value again is allowed.
        Some((_, now)) if now.as_bytes() == value => Ok(()),
        Some(_) => Err(failed("can't set immutable config")),
        None => Err(CommandError(
            format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'").into(),
        )),
    }
}

/// The sections of `INFO`, in order.
const SECTIONS: [&str; 7] =
    ["server", "clients", "memory", "stats", "replication", "cluster", "keyspace"];

pub(crate) fn info(client: &mut Client, request: &Request<'_>) -> Begun {
    let mut wanted: Vec<String> =
        request.from(1).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    if wanted.is_empty()
        || wanted.iter().any(|word| ["all", "everything", "default"].contains(&&**word))
    {
        wanted = SECTIONS.map(String::from).to_vec();
    }
    let server = Arc::clone(&client.server);
    Ok(Outcome::Pending(Box::pin(async move {
        let mut text = String::new();
        for section in SECTIONS.iter().filter(|section| wanted.iter().any(|word| word == **section))
        {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let mut title = (*section).to_owned();
            title[..1].make_ascii_uppercase();
            let _ = write!(text, "# {title}\r\n");
            for (name, value) in fields(&server, section).await {
                let _ = write!(text, "{name}:{value}\r\n");
            }
        }
        Answer::text(text)
    })))
}

async fn fields(server: &Server, section: &str) -> Vec<(String, String)> {
    let field = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &server.counters;
    match section {
        "server" => {
            let up_s = server.elapsed_ms() / 1_000;
            let mode = if server.settings.redis_cluster { "cluster" } else { "standalone" };
            vec![
                field("redis_version", &REDIS_VERSION),
                field("redis_mode", &mode),
                field("convoke_version", &env!("CARGO_PKG_VERSION")),
                field("os", &std::env::consts::OS),
                field("arch_bits", &usize::BITS),
                field("process_id", &std::process::id()),
                field("run_id", &server.grid.me().to_string().replace('-', "")),
                field("tcp_port", &server.port),
                field("uptime_in_seconds", &up_s),
                field("uptime_in_days", &(up_s / 86_400)),
            ]
        }
        "clients" => {
            let waiting = |info: &&Arc<super::super::client_info::ClientInfo>| {
                info.is_blocked.load(Ordering::Relaxed)
            };
            vec![
                field("connected_clients", &server.clients()),
                field("maxclients", &server.settings.clients_max),
                field("blocked_clients", &server.client_infos().iter().filter(waiting).count()),
            ]
        }
        "memory" => {
            let bytes: u64 = server.grid.maps().iter().map(|map| map.bytes()).sum();
            vec![
                field("used_memory", &bytes),
                field("used_memory_human", &format!("{:.2}M", bytes as f64 / f64::from(1 << 20))),
                field("maxmemory", &0),
                field("maxmemory_policy", &"noeviction"),
            ]
        }
        "stats" => {
            let maps = server.grid.maps();
            vec![
                field("total_connections_received", &load(&counters.accepted)),
                field(
                    "total_commands_processed",
                    &load(&counters.commands).saturating_sub(load(&server.counted_from)),
                ),
                field("rejected_connections", &load(&counters.turned_away)),
                field("expired_keys", &maps.iter().map(|map| map.expired()).sum::<u64>()),
                field("expired_subkeys", &maps.iter().map(|map| map.expired_fields()).sum::<u64>()),
                field("evicted_keys", &maps.iter().map(|map| map.evicted()).sum::<u64>()),
                field("pubsub_channels", &count_local(server, &SubscriptionQuery::Topics(None))),
                field("pubsub_patterns", &count_local(server, &SubscriptionQuery::Patterns)),
            ]
        }
        "replication" => vec![
            field("role", &"master"),
            field("connected_slaves", &0),
            field("loading", &0),
            field("convoke_members", &server.cluster.nodes().len()),
            field("convoke_safe", &u8::from(server.grid.is_safe())),
        ],
        "cluster" => vec![field("cluster_enabled", &u8::from(server.settings.redis_cluster))],
        "keyspace" => {
            let mut all = Vec::new();
            for (database, map) in server.databases() {
                let count = match server.submit_all(&map, WholeOp::Length).await {
                    Ok(replies) => sum_of(&replies),
                    Err(_) => continue,
                };
                if count > 0 {
                    let value = format!("keys={count},expires=0,avg_ttl=0");
                    all.push((format!("db{database}"), value));
                }
            }
            all
        }
        _ => Vec::new(),
    }
}
