//! Permission tests: every row of the command table, for every kind of user, as a single command,
//! in `MULTI`, and through `EXEC`. A command that is not listed here is reserved for users with
//! full access, so a new command fails a test until its permission has been decided.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::begin;
use super::super::table::COMMANDS;
use crate::resp::answer::Answer;
use crate::resp::client::{Client, Transaction};
use crate::resp::command::Command;
use crate::resp::command_state::CommandState;
use crate::resp::server::Server;
use crate::testing::{call, client_of, server_on, single_member_grid, with_request};
use crate::trust::{Passwords, Trust};

/// Commands that unauthenticated clients may use.
const UNAUTHENTICATED: &[&str] = &["auth", "hello", "quit", "reset"];

/// Commands that the read-only user may use. None of them changes data, settings or other clients,
/// or shows other clients.
const READ_ONLY: &[&str] = &[
    // The connection.
    "auth",
    "client|caching",
    "client|getname",
    "client|getredir",
    "client|help",
    "client|id",
    "client|info",
    "client|maint_notifications",
    "client|no-touch",
    "client|reply",
    "client|setinfo",
    "client|setname",
    "client|tracking",
    "client|trackinginfo",
    "echo",
    "hello",
    "ping",
    "quit",
    "reset",
    "select",
    // Keys and their values.
    "bitcount",
    "bitfield_ro",
    "bitpos",
    "dbsize",
    "digest",
    "dump",
    "exists",
    "expiretime",
    "geodist",
    "geohash",
    "geopos",
    "georadius_ro",
    "georadiusbymember_ro",
    "geosearch",
    "get",
    "getbit",
    "getrange",
    "hexists",
    "hexpiretime",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "hpexpiretime",
    "hpttl",
    "hrandfield",
    "hscan",
    "hstrlen",
    "httl",
    "hvals",
    "keys",
    "lcs",
    "lindex",
    "llen",
    "lpos",
    "lrange",
    "memory|doctor",
    "memory|help",
    "memory|malloc-stats",
    "memory|purge",
    "memory|stats",
    "memory|usage",
    "mget",
    "module|help",
    "module|list",
    "object|encoding",
    "object|freq",
    "object|help",
    "object|idletime",
    "object|refcount",
    "pexpiretime",
    "pfcount",
    "pttl",
    "randomkey",
    "scan",
    "scard",
    "sdiff",
    "sinter",
    "sintercard",
    "sismember",
    "smembers",
    "smismember",
    "sort_ro",
    "srandmember",
    "sscan",
    "strlen",
    "substr",
    "sunion",
    "touch",
    "ttl",
    "type",
    "wait",
    "waitaof",
    "zcard",
    "zcount",
    "zdiff",
    "zinter",
    "zintercard",
    "zlexcount",
    "zmscore",
    "zrandmember",
    "zrange",
    "zrangebylex",
    "zrangebyscore",
    "zrank",
    "zrevrange",
    "zrevrangebylex",
    "zrevrangebyscore",
    "zrevrank",
    "zscan",
    "zscore",
    "zunion",
    "xgroup|help",
    "xinfo|consumers",
    "xinfo|groups",
    "xinfo|help",
    "xinfo|stream",
    "xlen",
    "xpending",
    "xrange",
    "xread",
    "xrevrange",
    // Scripts that only read.
    "eval_ro",
    "evalsha_ro",
    "script|debug",
    "script|exists",
    "script|help",
    "fcall_ro",
    "function|dump",
    "function|help",
    "function|list",
    "function|stats",
    // Subscriptions.
    "psubscribe",
    "pubsub|channels",
    "pubsub|help",
    "pubsub|numpat",
    "pubsub|numsub",
    "pubsub|shardchannels",
    "pubsub|shardnumsub",
    "punsubscribe",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "unsubscribe",
    // Transactions of permitted commands.
    "discard",
    "exec",
    "multi",
    "unwatch",
    "watch",
    // Information on the server.
    "acl|help",
    "acl|whoami",
    "command",
    "command|count",
    "command|docs",
    "command|getkeys",
    "command|getkeysandflags",
    "command|help",
    "command|info",
    "command|list",
    "config|help",
    "latency|help",
    "slowlog|help",
    "info",
    "time",
    // Slots of a Redis Cluster.
    "asking",
    "cluster|countkeysinslot",
    "cluster|getkeysinslot",
    "cluster|help",
    "cluster|info",
    "cluster|keyslot",
    "cluster|myid",
    "cluster|nodes",
    "cluster|shards",
    "cluster|slots",
    "readonly",
    "readwrite",
];

fn may(trust: Trust, row: &Command) -> bool {
    match trust {
        Trust::Unauthenticated => UNAUTHENTICATED.contains(&row.name),
        Trust::ReadOnly => READ_ONLY.contains(&row.name),
        Trust::Full => true,
    }
}

/// All rows except for containers that require a subcommand: they fail for every user.
fn rows() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|row| !row.is(Command::CONTAINER) || row.takes(1))
}

/// A request that resolves to the row, with the number of arguments that it requires.
fn args(row: &Command) -> Vec<&'static [u8]> {
    let mut args: Vec<&[u8]> = row.name.split('|').map(str::as_bytes).collect();
    // COMMAND with an argument would resolve to another row.
    if !row.is(Command::CONTAINER) {
        args.resize(args.len().max(row.arity.unsigned_abs() as usize), b"1");
    }
    args
}

/// A server with passwords.
fn server() -> Arc<Server> {
    server_on(single_member_grid(), Passwords::new(b"all", b"look"))
}

/// Starts a command and returns its reply if it is available at once.
fn start(client: &mut Client, row: &Command) -> Option<Answer> {
    let outcome = with_request(&args(row), |request| begin(client, request, &mut Vec::new()));
    match outcome {
        CommandState::Ready(answer) | CommandState::Close(answer) => Some(answer),
        CommandState::Pending(_) | CommandState::Barrier(_) | CommandState::Blocking(_) => None,
        CommandState::Continue(_) | CommandState::WhenIdle(_) => None,
    }
}

/// Whether a reply is a permission error.
fn is_denied(answer: Option<&Answer>) -> bool {
    let code = |text: &str| text.starts_with("NOPERM ") || text.starts_with("NOAUTH ");
    matches!(answer, Some(Answer::Error(text)) if code(text) && !text.contains("HELLO must"))
}

const ALL: [Trust; 3] = [Trust::Unauthenticated, Trust::ReadOnly, Trust::Full];

#[test]
fn each_listed_name_is_a_command() {
    let rows: BTreeSet<&str> = rows().map(|row| row.name).collect();
    for name in UNAUTHENTICATED.iter().chain(READ_ONLY) {
        assert!(rows.contains(name), "{name}");
    }
}

#[tokio::test]
async fn users_may_run_exactly_the_listed_commands() {
    let server = server();
    for trust in ALL {
        for row in rows() {
            let answer = start(&mut client_of(&server, trust), row);
            assert_eq!(is_denied(answer.as_ref()), !may(trust, row), "{trust:?} {}", row.name);
        }
    }
}

#[tokio::test]
async fn users_may_queue_exactly_the_listed_commands() {
    let server = server();
    for trust in ALL {
        for row in rows() {
            let mut client = client_of(&server, trust);
            client.transaction = Some(Transaction::default());
            let answer = start(&mut client, row);
            let is_denied = is_denied(answer.as_ref());
            assert_eq!(is_denied, !may(trust, row), "{trust:?} {}", row.name);
            if is_denied {
                let transaction = client.transaction.as_ref().unwrap();
                assert!(transaction.is_aborted && transaction.queued.is_empty(), "{}", row.name);
            }
        }
    }
}

#[tokio::test]
async fn exec_checks_the_permissions_of_the_current_user() {
    let server = server();
    // In one partition and in several, which use different code paths.
    for spreads in [false, true] {
        for row in rows() {
            let mut client = client_of(&server, Trust::Full);
            client.transaction = Some(Transaction::default());
            start(&mut client, row);
            let is_queued = client.transaction.as_ref().is_some_and(|all| all.queued.len() == 1);
            if !is_queued {
                continue;
            }
            if spreads {
                for key in ["a", "b", "c", "d", "e", "f"] {
                    with_request(&[b"get", key.as_bytes()], |request| {
                        begin(&mut client, request, &mut Vec::new())
                    });
                }
            }
            client.set_trust(Trust::ReadOnly);
            let Answer::List(answers) = call(&mut client, &[b"exec"]).await else {
                panic!("{}", row.name);
            };
            assert_eq!(is_denied(answers.first()), !may(Trust::ReadOnly, row), "{}", row.name);
        }
    }
}
