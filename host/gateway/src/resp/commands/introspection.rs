//! What the server says of itself.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use convoke_grid::glob::Glob;
use convoke_grid::op::WholeOp;

use super::super::answer::{Answer, Outcome, Refusal};
use super::super::client::Client;
use super::super::request::{ARGUMENT_BYTES_MAX, Request};
use super::super::server::{DATABASES, Server, now_ms};
use super::super::words::Words;
use super::table::{self, COMMANDS, Command, Keys};
use super::{expect, part, scans, unknown_part};
use crate::notifications::{SETTING, Wanted};

type Begun = Result<Outcome, Refusal>;

/// The version of Redis whose commands these are: clients look at it.
pub(super) const REDIS_VERSION: &str = "7.0.15";

pub(super) fn time(_: &mut Client, _: &Request<'_>) -> Begun {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let parts = [since.as_secs().to_string(), since.subsec_micros().to_string()];
    Ok(Answer::List(parts.into_iter().map(Answer::text).collect()).into())
}

/// What was acknowledged is on the backups: how many that are.
pub(super) fn wait(client: &mut Client, request: &Request<'_>) -> Begun {
    let mut words = Words::new(request, 1);
    words.integer()?;
    if words.integer().map_err(|_| Refusal::of("ERR timeout is not an integer or out of range"))?
        < 0
    {
        return Err(Refusal::of("ERR timeout is negative"));
    }
    let nodes = client.server.cluster.nodes();
    let others = nodes.iter().filter(|node| node.stores).count().saturating_sub(1);
    Ok(Answer::count(others.min(client.map.settings().backups.into())).into())
}

pub(super) fn readonly(client: &mut Client, _: &Request<'_>) -> Begun {
    if client.server.settings.redis_cluster {
        return Ok(Answer::DONE.into());
    }
    Err(Refusal::of("ERR This instance has cluster support disabled"))
}

pub(super) fn acl(client: &mut Client, request: &Request<'_>) -> Begun {
    match part(request).as_str() {
        "whoami" => Ok(Answer::text(client.card.words.lock().user).into()),
        _ => Err(unknown_part(request, "acl")),
    }
}

/// The settings that clients ask for, with their values.
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
        (SETTING, Wanted::parse(&notified).unwrap_or_default().text()),
        ("cluster-enabled", text(if server.settings.redis_cluster { "yes" } else { "no" })),
    ]
}

pub(super) fn config(client: &mut Client, request: &Request<'_>) -> Begun {
    let server = &client.server;
    Ok(match part(request).as_str() {
        "get" => {
            if request.len() < 3 {
                return Err(Refusal::arity("config|get"));
            }
            let lower = |word: &[u8]| word.to_ascii_lowercase();
            let globs: Vec<Glob> = request.from(2).map(|word| Glob::new(&lower(word))).collect();
            let fits = |name: &str| globs.iter().any(|glob| glob.matches(name.as_bytes()));
            let found = settings(server).into_iter().filter(|(name, _)| fits(name));
            let pair = |(name, value): (&str, String)| (Answer::text(name), Answer::text(value));
            Answer::Map(found.map(pair).collect()).into()
        }
        "set" => {
            let rest: Vec<&[u8]> = request.from(2).collect();
            let (pairs, odd) = rest.as_chunks::<2>();
            if !odd.is_empty() || pairs.is_empty() {
                return Err(Refusal::arity("config|set"));
            }
            for [name, value] in pairs {
                set(server, name, value)?;
            }
            // It is so on all members before it is answered.
            let told = server.grid.all_told();
            Outcome::Later(Box::pin(async move {
                told.await;
                Answer::DONE
            }))
        }
        "resetstat" => {
            expect(request, "config|resetstat", 2..=2)?;
            let seen = server.counters.commands.load(Ordering::Relaxed);
            server.counted_from.store(seen, Ordering::Relaxed);
            Answer::DONE.into()
        }
        _ => return Err(unknown_part(request, "config")),
    })
}

fn set(server: &Server, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let failed = |why: &str| {
        let words =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
        Refusal(words.into())
    };
    if name == SETTING {
        let text = str::from_utf8(value)
            .ok()
            .and_then(Wanted::parse)
            .ok_or_else(|| failed("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."))?;
        server.grid.set_setting(SETTING, &text.text());
        return Ok(());
    }
    let known = settings(server).into_iter().find(|(known, _)| *known == name);
    match known {
        // What is so already is no change.
        Some((_, now)) if now.as_bytes() == value => Ok(()),
        Some(_) => Err(failed("can't set immutable config")),
        None => Err(Refusal(
            format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'").into(),
        )),
    }
}

/// What `INFO` shows without further words, in order.
const SECTIONS: [&str; 7] =
    ["server", "clients", "memory", "stats", "replication", "cluster", "keyspace"];

pub(super) fn info(client: &mut Client, request: &Request<'_>) -> Begun {
    let mut wanted: Vec<String> =
        request.from(1).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    if wanted.is_empty()
        || wanted.iter().any(|word| ["all", "everything", "default"].contains(&&**word))
    {
        wanted = SECTIONS.map(String::from).to_vec();
    }
    let server = Arc::clone(&client.server);
    Ok(Outcome::Later(Box::pin(async move {
        let mut text = String::new();
        for section in SECTIONS.iter().filter(|section| wanted.iter().any(|word| word == **section))
        {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let mut title = (*section).to_owned();
            title[..1].make_ascii_uppercase();
            let _ = write!(text, "# {title}\r\n");
            for (name, value) in facts(&server, section).await {
                let _ = write!(text, "{name}:{value}\r\n");
            }
        }
        Answer::text(text)
    })))
}

async fn facts(server: &Server, section: &str) -> Vec<(String, String)> {
    let fact = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &server.counters;
    match section {
        "server" => {
            let up_s = now_ms().saturating_sub(server.started_ms) / 1_000;
            let mode = if server.settings.redis_cluster { "cluster" } else { "standalone" };
            vec![
                fact("redis_version", &REDIS_VERSION),
                fact("redis_mode", &mode),
                fact("convoke_version", &env!("CARGO_PKG_VERSION")),
                fact("os", &std::env::consts::OS),
                fact("arch_bits", &usize::BITS),
                fact("process_id", &std::process::id()),
                fact("run_id", &server.grid.me().to_string().replace('-', "")),
                fact("tcp_port", &server.port),
                fact("uptime_in_seconds", &up_s),
                fact("uptime_in_days", &(up_s / 86_400)),
            ]
        }
        "clients" => {
            let waiting =
                |card: &&Arc<super::super::client::Card>| card.is_waiting.load(Ordering::Relaxed);
            vec![
                fact("connected_clients", &server.clients()),
                fact("maxclients", &server.settings.clients_max),
                fact("blocked_clients", &server.cards().iter().filter(waiting).count()),
            ]
        }
        "memory" => {
            let bytes: u64 = server.grid.maps().iter().map(|map| map.bytes()).sum();
            vec![
                fact("used_memory", &bytes),
                fact("used_memory_human", &format!("{:.2}M", bytes as f64 / f64::from(1 << 20))),
                fact("maxmemory", &0),
                fact("maxmemory_policy", &"noeviction"),
            ]
        }
        "stats" => {
            let maps = server.grid.maps();
            vec![
                fact("total_connections_received", &load(&counters.accepted)),
                fact(
                    "total_commands_processed",
                    &load(&counters.commands).saturating_sub(load(&server.counted_from)),
                ),
                fact("rejected_connections", &load(&counters.turned_away)),
                fact("expired_keys", &maps.iter().map(|map| map.expired()).sum::<u64>()),
                fact("evicted_keys", &maps.iter().map(|map| map.evicted()).sum::<u64>()),
                fact("pubsub_channels", &server.grid.subscriptions().0.len()),
                fact("pubsub_patterns", &server.grid.subscriptions().1),
            ]
        }
        "replication" => vec![
            fact("role", &"master"),
            fact("connected_slaves", &0),
            fact("loading", &0),
            fact("convoke_members", &server.cluster.nodes().len()),
            fact("convoke_safe", &u8::from(server.grid.is_safe())),
        ],
        "cluster" => vec![fact("cluster_enabled", &u8::from(server.settings.redis_cluster))],
        "keyspace" => {
            let mut all = Vec::new();
            for (database, map) in server.databases() {
                let count = match server.ask_all(&map, WholeOp::Length).await {
                    Ok(replies) => scans::sum(&replies),
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

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN glob]`. There are
/// no modules, and no categories.
fn list(request: &Request<'_>) -> Result<Outcome, Refusal> {
    let mut words = Words::new(request, 2);
    let mut glob = Glob::new(b"*");
    let mut none = false;
    if words.left() > 0 {
        if !words.is("filterby") || words.left() != 2 {
            return Err(Refusal::SYNTAX);
        }
        if words.is("pattern") {
            glob = Glob::new(&words.next()?.to_ascii_lowercase());
        } else if words.is("module") || words.is("aclcat") {
            none = true;
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    let fits = |command: &&Command| !none && glob.matches(command.name.as_bytes());
    Ok(Answer::List(COMMANDS.iter().filter(fits).map(|c| word(c.name)).collect()).into())
}

fn word(word: &str) -> Answer {
    Answer::bytes(word.as_bytes())
}

/// A command as `COMMAND INFO` tells it.
fn described(command: &Command) -> Answer {
    let simple = |word: &str| Answer::Reply(convoke_grid::Reply::Word(word.into()));
    let (first, last, step) = match command.keys {
        Keys::None | Keys::Counted(_) | Keys::StoredAndCounted => (0, 0, 0),
        Keys::Every { first, last, step } => (first as i64, last, step as i64),
    };
    Answer::List(vec![
        word(command.name),
        Answer::integer(command.arity.into()),
        Answer::List(command.flag_names().into_iter().map(simple).collect()),
        Answer::integer(first),
        Answer::integer(last),
        Answer::integer(step),
        Answer::List(Vec::new()),
        Answer::List(Vec::new()),
        Answer::List(Vec::new()),
        Answer::List(Vec::new()),
    ])
}

fn documented(command: &Command) -> (Answer, Answer) {
    let facts = vec![
        (word("summary"), word(command.summary)),
        (word("since"), word("1.0.0")),
        (word("group"), word(command.group.name())),
    ];
    (word(command.name), Answer::Map(facts))
}

pub(super) fn command(_: &mut Client, request: &Request<'_>) -> Begun {
    if request.len() == 1 {
        return Ok(Answer::List(COMMANDS.iter().map(described).collect()).into());
    }
    let named = || request.from(2).map(|name| table::find(name).map(|index| &COMMANDS[index]));
    Ok(match part(request).as_str() {
        "count" => Answer::count(COMMANDS.len()).into(),
        "list" => list(request)?,
        "info" if request.len() == 2 => {
            Answer::List(COMMANDS.iter().map(described).collect()).into()
        }
        "info" => {
            let all = named().map(|command| {
                command.map_or(Answer::Reply(convoke_grid::Reply::NilList), described)
            });
            Answer::List(all.collect()).into()
        }
        "docs" if request.len() == 2 => {
            Answer::Map(COMMANDS.iter().map(documented).collect()).into()
        }
        "docs" => Answer::Map(named().flatten().map(documented).collect()).into(),
        "getkeys" => {
            let rest: Vec<&[u8]> = request.from(2).collect();
            let command = rest.first().and_then(|name| table::find(name));
            let command = command.map(|index| &COMMANDS[index]);
            let command = command.ok_or(Refusal::of("ERR Invalid command specified"))?;
            if !command.takes(rest.len()) {
                return Err(Refusal::of("ERR Invalid number of arguments specified for command"));
            }
            let keys = command.keys_of(&rest);
            if keys.is_empty() {
                return Err(Refusal::of("ERR The command has no key arguments"));
            }
            Answer::List(keys.into_iter().map(Answer::bytes).collect()).into()
        }
        _ => return Err(unknown_part(request, "command")),
    })
}
