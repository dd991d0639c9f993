//! What the server says of itself.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use convoke_grid::glob::Glob;
use convoke_grid::op::WholeOp;
use convoke_grid::topic::{NAMES_MAX, SubscriptionInfo, SubscriptionQuery, TooManyNames};

use super::super::answer::{Answer, Outcome, Refusal};
use super::super::args::Args;
use super::super::client::Client;
use super::super::request::{ARGUMENT_BYTES_MAX, Request};
use super::super::server::{DATABASES, Server};
use super::table::{self, COMMANDS, Command, Keys};
use super::{cluster, scans};
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
    let mut args = Args::new(request, 1);
    args.integer()?;
    if args.integer().map_err(|_| Refusal::of("ERR timeout is not an integer or out of range"))? < 0
    {
        return Err(Refusal::of("ERR timeout is negative"));
    }
    let nodes = client.server.cluster.nodes();
    let others = nodes.iter().filter(|node| node.stores).count().saturating_sub(1);
    Ok(Answer::count(others.min(client.map.settings().backups.into())).into())
}

/// Topics or patterns that clients of this member subscribed to.
fn names_here(server: &Server, query: &SubscriptionQuery) -> usize {
    match server.grid.subscriptions_here(query) {
        Ok(SubscriptionInfo::Names(names)) => names.len(),
        Ok(SubscriptionInfo::Counts(_)) => 0,
        Err(TooManyNames) => NAMES_MAX,
    }
}

pub(super) fn readonly(client: &mut Client, _: &Request<'_>) -> Begun {
    cluster::expect_enabled(client)?;
    Ok(Answer::DONE.into())
}

/// What has subcommands is refused without one; the table's arity says so.
pub(super) fn container(_: &mut Client, request: &Request<'_>) -> Begun {
    let name = String::from_utf8_lossy(request.get(0).unwrap_or_default()).to_ascii_lowercase();
    Err(Refusal::arity(&name))
}

/// `HELP` of a command that has subcommands: each of them with what it does.
pub(super) fn help(_: &mut Client, request: &Request<'_>) -> Begun {
    let container = request.get(0).and_then(table::find).map(|index| &COMMANDS[index]);
    let container = container.ok_or(Refusal::SYNTAX)?;
    let line = |text: String| Answer::Reply(convoke_grid::Reply::Word(text));
    let name = container.name.to_uppercase();
    let first = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let mut lines = vec![line(first)];
    for part in container.parts() {
        let (_, word) = part.name.split_once('|').unwrap_or_default();
        lines.push(line(word.to_uppercase()));
        lines.push(line(format!("    {}", part.summary)));
    }
    Ok(Answer::List(lines).into())
}

pub(super) fn whoami(client: &mut Client, _: &Request<'_>) -> Begun {
    Ok(Answer::text(client.info.names.lock().user).into())
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

pub(super) fn config_get(client: &mut Client, request: &Request<'_>) -> Begun {
    let lower = |word: &[u8]| word.to_ascii_lowercase();
    let globs: Vec<Glob> = request.from(2).map(|word| Glob::new(&lower(word))).collect();
    let fits = |name: &str| globs.iter().any(|glob| glob.matches(name.as_bytes()));
    let found = settings(&client.server).into_iter().filter(|(name, _)| fits(name));
    let pair = |(name, value): (&str, String)| (Answer::text(name), Answer::text(value));
    Ok(Answer::Map(found.map(pair).collect()).into())
}

pub(super) fn config_set(client: &mut Client, request: &Request<'_>) -> Begun {
    let server = &client.server;
    let rest: Vec<&[u8]> = request.from(2).collect();
    let (pairs, odd) = rest.as_chunks::<2>();
    if !odd.is_empty() || pairs.is_empty() {
        return Err(Refusal::arity("config|set"));
    }
    // All of them, or none.
    for [name, value] in pairs {
        set(server, name, value, false)?;
    }
    for [name, value] in pairs {
        set(server, name, value, true)?;
    }
    // It is so on all members before it is answered.
    let told = server.grid.announcements_received();
    Ok(Outcome::Later(Box::pin(async move {
        told.await;
        Answer::DONE
    })))
}

pub(super) fn config_resetstat(client: &mut Client, _: &Request<'_>) -> Begun {
    let server = &client.server;
    let seen = server.counters.commands.load(Ordering::Relaxed);
    server.counted_from.store(seen, Ordering::Relaxed);
    Ok(Answer::DONE.into())
}

/// Checks one setting that is to be changed, and changes it if `applies`.
fn set(server: &Server, name: &[u8], value: &[u8], applies: bool) -> Result<(), Refusal> {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let failed = |why: &str| {
        let args = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
        Refusal(args.into())
    };
    if name == SETTING {
        let text = str::from_utf8(value)
            .ok()
            .and_then(Wanted::parse)
            .ok_or_else(|| failed(Wanted::EXPECTED))?;
        if applies {
            server.grid.set_setting(SETTING, &text.text());
        }
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

/// What `INFO` shows without further args, in order.
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
            let up_s = server.elapsed_ms() / 1_000;
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
            let waiting = |info: &&Arc<super::super::client::ClientInfo>| {
                info.is_waiting.load(Ordering::Relaxed)
            };
            vec![
                fact("connected_clients", &server.clients()),
                fact("maxclients", &server.settings.clients_max),
                fact("blocked_clients", &server.client_infos().iter().filter(waiting).count()),
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
                fact("pubsub_channels", &names_here(server, &SubscriptionQuery::Topics(None))),
                fact("pubsub_patterns", &names_here(server, &SubscriptionQuery::Patterns)),
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
/// no modules.
pub(super) fn command_list(_: &mut Client, request: &Request<'_>) -> Begun {
    let mut args = Args::new(request, 2);
    let mut fits: Box<dyn Fn(&Command) -> bool> = Box::new(|_| true);
    if args.left() > 0 {
        if !args.is("filterby") || args.left() != 2 {
            return Err(Refusal::SYNTAX);
        }
        if args.is("pattern") {
            let glob = Glob::new(&args.next()?.to_ascii_lowercase());
            fits = Box::new(move |command| glob.matches(command.name.as_bytes()));
        } else if args.is("aclcat") {
            let wanted = args.next()?.to_ascii_lowercase();
            fits = Box::new(move |command| {
                command.categories().iter().any(|category| category.as_bytes() == wanted)
            });
        } else if args.is("module") {
            fits = Box::new(|_| false);
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    let found = COMMANDS.iter().filter(|command| fits(command));
    Ok(Answer::List(found.map(|command| word(command.name)).collect()).into())
}

fn word(word: &str) -> Answer {
    Answer::bytes(word.as_bytes())
}

/// Commands that are not parts of others.
fn whole_commands() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|command| !command.is_part())
}

/// The rows that a request names, each `command` or `command|subcommand`.
fn named<'r>(request: &'r Request<'_>) -> impl Iterator<Item = Option<&'static Command>> + 'r {
    request.from(2).map(|name| table::find(name).map(|index| &COMMANDS[index]))
}

/// A command as `COMMAND INFO` describes it, its subcommands with it.
fn described(command: &'static Command) -> Answer {
    let simple = |word: &str| Answer::Reply(convoke_grid::Reply::Word(word.into()));
    let (first, last, step) = match command.keys {
        Keys::None | Keys::Counted(_) | Keys::StoredAndCounted => (0, 0, 0),
        Keys::Every { first, last, step } => (first as i64, last, step as i64),
    };
    let categories = command.categories().into_iter().map(|name| simple(&format!("@{name}")));
    Answer::List(vec![
        word(command.name),
        Answer::integer(command.arity.into()),
        Answer::List(command.flag_names().into_iter().map(simple).collect()),
        Answer::integer(first),
        Answer::integer(last),
        Answer::integer(step),
        Answer::List(categories.collect()),
        Answer::List(Vec::new()),
        Answer::List(Vec::new()),
        Answer::List(command.parts().map(described).collect()),
    ])
}

fn documented(command: &'static Command) -> (Answer, Answer) {
    let mut facts = vec![
        (word("summary"), word(command.summary)),
        (word("since"), word("1.0.0")),
        (word("group"), word(command.group.name())),
    ];
    let parts: Vec<_> = command.parts().map(documented).collect();
    if !parts.is_empty() {
        facts.push((word("subcommands"), Answer::Map(parts)));
    }
    (word(command.name), Answer::Map(facts))
}

pub(super) fn command(_: &mut Client, _: &Request<'_>) -> Begun {
    Ok(Answer::List(whole_commands().map(described).collect()).into())
}

pub(super) fn command_count(_: &mut Client, _: &Request<'_>) -> Begun {
    Ok(Answer::count(whole_commands().count()).into())
}

pub(super) fn command_info(client: &mut Client, request: &Request<'_>) -> Begun {
    if request.len() == 2 {
        return command(client, request);
    }
    let none = Answer::Reply(convoke_grid::Reply::NilList);
    let all = named(request).map(|row| row.map_or_else(|| none.clone(), described));
    Ok(Answer::List(all.collect()).into())
}

pub(super) fn command_docs(_: &mut Client, request: &Request<'_>) -> Begun {
    let all = if request.len() == 2 {
        whole_commands().map(documented).collect()
    } else {
        named(request).flatten().map(documented).collect()
    };
    Ok(Answer::Map(all).into())
}

pub(super) fn command_getkeys(_: &mut Client, request: &Request<'_>) -> Begun {
    let rest: Vec<&[u8]> = request.from(2).collect();
    let name = rest.first().copied().unwrap_or_default();
    let row = table::resolve(name, rest.get(1).copied());
    let command = row.map(|index| &COMMANDS[index]);
    let command = command.map_err(|_| Refusal::of("ERR Invalid command specified"))?;
    if !command.takes(rest.len()) {
        return Err(Refusal::of("ERR Invalid number of arguments specified for command"));
    }
    let keys = command.keys_of(&rest);
    if keys.is_empty() {
        return Err(Refusal::of("ERR The command has no key arguments"));
    }
    Ok(Answer::List(keys.into_iter().map(Answer::bytes).collect()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, client_of, lone_grid, server_on};
    use crate::trust::{Passwords, Trust};

    fn list(answer: Answer) -> Vec<Answer> {
        let Answer::List(all) = answer else { panic!("{answer:?}") };
        all
    }

    #[tokio::test]
    async fn subcommands_are_listed_described_and_documented_as_commands_are() {
        let server = server_on(lone_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let pattern: [&[u8]; 5] = [b"command", b"list", b"filterby", b"pattern", b"CLIENT|k*"];
        let listed = list(call(&mut client, &pattern).await);
        assert_eq!(listed, [word("client|kill")]);
        let category: [&[u8]; 5] = [b"command", b"list", b"filterby", b"aclcat", b"admin"];
        let admin = list(call(&mut client, &category).await);
        assert!(admin.contains(&word("config|set")) && !admin.contains(&word("client|id")));

        let names: [&[u8]; 5] = [b"command", b"info", b"client|kill", b"client", b"client|no"];
        let described = list(call(&mut client, &names).await);
        let kill = list(described[0].clone());
        assert_eq!((&kill[0], &kill[1]), (&word("client|kill"), &Answer::integer(-3)));
        let simple = |word: &str| Answer::Reply(convoke_grid::Reply::Word(word.to_owned()));
        assert_eq!(kill[2], Answer::List(vec![simple("admin")]));
        assert!(list(kill[6].clone()).contains(&simple("@dangerous")));
        assert!(list(list(described[1].clone())[9].clone()).contains(&described[0]));
        assert_eq!(described[2], Answer::Reply(convoke_grid::Reply::NilList));

        let docs = call(&mut client, &[b"command", b"docs", b"client"]).await;
        let Answer::Map(docs) = docs else { panic!("{docs:?}") };
        let Answer::Map(facts) = &docs[0].1 else { panic!("{docs:?}") };
        let parts = facts.iter().find(|(name, _)| *name == word("subcommands"));
        let Some((_, Answer::Map(parts))) = parts else { panic!("{facts:?}") };
        assert!(parts.iter().any(|(name, _)| *name == word("client|kill")));
        let count = call(&mut client, &[b"command", b"count"]).await;
        assert_eq!(count, Answer::count(list(call(&mut client, &[b"command"]).await).len()));
    }
}
