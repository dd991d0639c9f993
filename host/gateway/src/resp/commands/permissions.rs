//! Who may do what: each row of the table, for each kind of user, by itself, within
//! `MULTI`, and through `EXEC`. What is not named here may be done by a user with full
//! access only, so a new row fails a test until somebody has decided.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::answer::{Answer, Outcome};
use super::super::client::{Client, Transaction};
use super::super::server::Server;
use super::{COMMANDS, Command, begin};
use crate::testing::{call, client_of, server_on, single_member_grid, with_request};
use crate::trust::{Passwords, Trust};

/// What an unauthenticated client may do.
const UNAUTHENTICATED: &[&str] = &["auth", "hello", "quit", "reset"];

/// What a read-only user may do. Nothing here changes data, settings, or another client,
/// and nothing shows who the other clients are.
const READ_ONLY: &[&str] = &[
    // The connection itself.
    "auth",
    "client|getname",
    "client|getredir",
    "client|help",
    "client|id",
    "client|info",
    "client|no-touch",
    "client|reply",
    "client|setinfo",
    "client|setname",
    "echo",
    "hello",
    "ping",
    "quit",
    "reset",
    "select",
    // Keys and their values.
    "dbsize",
    "exists",
    "expiretime",
    "get",
    "getrange",
    "hexists",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "hrandfield",
    "hscan",
    "hstrlen",
    "hvals",
    "keys",
    "lindex",
    "llen",
    "lpos",
    "lrange",
    "mget",
    "pexpiretime",
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
    "srandmember",
    "sscan",
    "strlen",
    "substr",
    "sunion",
    "touch",
    "ttl",
    "type",
    "wait",
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
    // Subscriptions of its own, and their numbers.
    "psubscribe",
    "pubsub|channels",
    "pubsub|help",
    "pubsub|numpat",
    "pubsub|numsub",
    "pubsub|shardchannels",
    "pubsub|shardnumsub",
    "punsubscribe",
    "subscribe",
    "unsubscribe",
    // Transactions of what it may do.
    "discard",
    "exec",
    "multi",
    "unwatch",
    "watch",
    // What the server is.
    "acl|help",
    "acl|whoami",
    "command",
    "command|count",
    "command|docs",
    "command|getkeys",
    "command|help",
    "command|info",
    "command|list",
    "config|help",
    "info",
    "time",
    // Where the slots are.
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

/// The rows that do something: what has subcommands and needs one is refused without,
/// for every user.
fn rows() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|row| !row.is(Command::CONTAINER) || row.takes(1))
}

/// A request that names this row, with as many arguments as it takes.
fn args(row: &Command) -> Vec<&'static [u8]> {
    let mut args: Vec<&[u8]> = row.name.split('|').map(str::as_bytes).collect();
    // COMMAND by itself describes all; with a word it would be another row.
    if !row.is(Command::CONTAINER) {
        args.resize(args.len().max(row.arity.unsigned_abs() as usize), b"1");
    }
    args
}

/// A server whose clients have to say who they are.
fn server() -> Arc<Server> {
    server_on(single_member_grid(), Passwords::new(b"all", b"look"))
}

/// Begins a command; what comes of it later is not waited for.
fn start(client: &mut Client, row: &Command) -> Option<Answer> {
    let outcome = with_request(&args(row), |request| begin(client, request, &mut Vec::new()));
    match outcome {
        Outcome::Ready(answer) | Outcome::Close(answer) => Some(answer),
        Outcome::Pending(_) | Outcome::Barrier(_) | Outcome::Blocking(_) => None,
        Outcome::Continue(_) | Outcome::WhenIdle(_) => None,
    }
}

/// Whether an answer says that the user may not do that.
fn is_denied(answer: Option<&Answer>) -> bool {
    let code = |text: &str| text.starts_with("NOPERM ") || text.starts_with("NOAUTH ");
    matches!(answer, Some(Answer::Error(text)) if code(text) && !text.contains("HELLO must"))
}

const ALL: [Trust; 3] = [Trust::Unauthenticated, Trust::ReadOnly, Trust::Full];

#[test]
fn each_name_in_the_lists_is_a_row() {
    let rows: BTreeSet<&str> = rows().map(|row| row.name).collect();
    for name in UNAUTHENTICATED.iter().chain(READ_ONLY) {
        assert!(rows.contains(name), "{name}");
    }
}

#[tokio::test]
async fn a_user_may_do_what_the_list_says() {
    let server = server();
    for trust in ALL {
        for row in rows() {
            let answer = start(&mut client_of(&server, trust), row);
            assert_eq!(is_denied(answer.as_ref()), !may(trust, row), "{trust:?} {}", row.name);
        }
    }
}

#[tokio::test]
async fn within_a_transaction_a_user_may_queue_what_it_may_do() {
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
                assert!(transaction.broken && transaction.queued.is_empty(), "{}", row.name);
            }
        }
    }
}

#[tokio::test]
async fn what_was_queued_by_another_user_is_not_done_by_this_one() {
    let server = server();
    // In one partition, and in several: those go different ways.
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
