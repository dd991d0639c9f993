//! Tests of transactions.

use std::collections::BTreeSet;

use convoke_grid::{OpError, Reply};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::resp::answer::Answer;
use crate::resp::client::Client;
use crate::testing::{call, client_of, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

/// Executes the lines and returns the last reply.
async fn lines(client: &mut Client, lines: &[&str]) -> Answer {
    let mut answer = Answer::Nothing;
    for line in lines {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        answer = call(client, &args).await;
    }
    answer
}

fn list(answer: Answer) -> Vec<Answer> {
    let Answer::List(all) = answer else { panic!("{answer:?}") };
    all
}

#[tokio::test]
async fn a_changed_watched_key_prevents_the_whole_transaction() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    let mut other = client_of(&server, Trust::Full);
    lines(&mut other, &["subscribe news"]).await;
    for line in ["publish news x", "flushdb", "client setname x", "incr a"] {
        lines(&mut client, &["set a 1", "watch a"]).await;
        call(&mut client_of(&server, Trust::Full), &[b"set", b"a", b"2"]).await;
        let done = lines(&mut client, &["multi", "get a", line, "exec"]).await;
        assert_eq!(done, Answer::Reply(Reply::NilList), "{line}");
        assert_eq!(lines(&mut client, &["get a"]).await, Answer::bytes(b"2"), "{line}");
        assert_eq!(lines(&mut client, &["client getname"]).await, Answer::NIL, "{line}");
        assert_eq!(other.output_buffer.next(), Ok(None), "{line}");
    }
    let done = list(lines(&mut client, &["multi", "get a", "publish news x", "exec"]).await);
    assert_eq!(done, [Answer::bytes(b"2"), Answer::integer(1)]);
    assert!(other.output_buffer.next().is_ok_and(|message| message.is_some()));
}

#[tokio::test]
async fn commands_on_all_keys_run_in_the_order_of_the_transaction() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    for (first, second) in [("a", "b"), ("{t}a", "{t}b")] {
        let (first, second) = (format!("set {first} 1"), format!("set {second} 1"));
        let queued = ["multi", &first, "dbsize", "flushdb", "dbsize", &second, "dbsize", "exec"];
        let answers = list(lines(&mut client, &queued).await);
        let number = |at: usize| answers[at].clone();
        let counts = [number(1), number(3), number(5)];
        assert_eq!(counts, [1, 0, 1].map(Answer::integer), "{first}");
        assert_eq!(lines(&mut client, &["dbsize"]).await, Answer::integer(1));
        lines(&mut client, &["flushdb"]).await;
    }
}

#[tokio::test]
async fn over_several_partitions_each_command_has_its_own_reply() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    let queued = ["set l 1", "multi", "set a 1", "lpush l x", "set b 1", "get a", "exec"];
    let answers = list(lines(&mut client, &queued).await);
    assert_eq!((&answers[0], &answers[2]), (&Answer::DONE, &Answer::DONE));
    assert_eq!(answers[3], Answer::bytes(b"1"));
    assert_eq!(answers[1], Answer::Reply(Reply::Failed(OpError::WrongType)));
}

#[tokio::test]
async fn commands_on_several_partitions_behave_as_on_one() {
    let server = super::lines::server();
    let mut rng = SmallRng::seed_from_u64(7);
    let (mut one, mut several) = (client_of(&server, Trust::Full), client_of(&server, Trust::Full));
    let mut seen = BTreeSet::new();
    for round in 0..60 {
        lines(&mut one, &["flushdb"]).await;
        let mut in_multi = false;
        for _ in 0..120 {
            let mut line = random_command(&mut rng);
            match rng.random_range(0..12) {
                0 if !in_multi => line = "multi".into(),
                0 => line = "exec".into(),
                _ => {}
            }
            in_multi = match &*line {
                "multi" => true,
                "exec" => false,
                _ => in_multi,
            };
            let tagged = line.replace("k:", "{t}k:");
            let expected = format!("{:?}", lines(&mut one, &[&tagged]).await);
            let found = format!("{:?}", lines(&mut several, &[&line]).await);
            let expected = expected.replace("{t}", "");
            assert_eq!(found, expected, "round {round}: {line}");
            seen.insert(line.split(' ').next().unwrap_or_default().to_owned());
        }
        for client in [&mut one, &mut several] {
            lines(client, &["discard"]).await;
        }
    }
    assert!(seen.len() > 35, "{seen:?}");
}

/// A random command on a few keys of all types. The order of set members is unspecified, so
/// sets are read only by commands that do not depend on it.
fn random_command(rng: &mut SmallRng) -> String {
    const COMMANDS: &[&str] = &[
        "set K V",
        "append K V",
        "getrange K 0 -1",
        "rpush K V V",
        "lpush K V",
        "lrange K 0 -1",
        "sadd K V V",
        "srem K V",
        "scard K",
        "sismember K V",
        "zadd K N V",
        "zrange K 0 -1 withscores",
        "hset K V V",
        "hgetall K",
        "type K",
        "pexpire K 100000000",
        "persist K",
        "rename K K",
        "renamenx K K",
        "copy K K",
        "copy K K replace",
        "smove K K V",
        "lmove K K left right",
        "lmove K K right left",
        "rpoplpush K K",
        "msetnx K V K V",
        "mset K V K V",
        "mget K K K",
        "del K K",
        "exists K K K",
        "touch K K",
        "sinterstore K K K",
        "sunionstore K K K",
        "sdiffstore K K K",
        "sintercard 2 K K",
        "zinterstore K 2 K K weights 2 3",
        "zunionstore K 2 K K aggregate max",
        "zdiffstore K 2 K K",
        "zrangestore K K 0 1",
        "zintercard 2 K K limit 1",
        "zunion 2 K K withscores",
        "lmpop 2 K K left count 2",
        "geoadd K 0.N 0.N V",
        "geopos K V",
        "geosearchstore K K fromlonlat 0 0 byradius N0 km asc",
        "georadiusbymember K V N0 km storedist K",
        "hexpireat K 4000000000 fields 1 V",
        "hexpiretime K fields 1 V",
        "hgetdel K fields 1 V",
        "move K 5",
        "copy K K db 0",
        "zmpop 2 K K max",
        "setbit K N 1",
        "bitop or K K K",
        "bitop diff K K K",
        "pfadd K V V",
        "pfcount K K",
        "pfmerge K K K",
        "lcs K K",
        "sort K alpha",
        "sort K by K* alpha get # get K*",
        "sort K alpha store K",
        "sort K by V store K",
        "msetex 2 K V K V nx",
        "msetex 2 K V K V xx keepttl",
        "set K V ifne V",
        "delex K ifeq V",
        "xadd K N-* V V",
        "xadd K maxlen 2 N-* V V",
        "xlen K",
        "xrange K - +",
        "xdel K N-0 N-1",
        "xgroup create K V 0",
        "xgroup create K V 0 mkstream",
        "xread streams K K 0 N",
        "xread count 1 streams K K + $",
        "xreadgroup group V c noack streams K K > >",
        "xreadgroup group V c count 1 streams K K > 0",
        "xpending K V",
        "xack K V N-0 N-1",
    ];
    let command = COMMANDS[rng.random_range(0..COMMANDS.len())];
    let word = |word: &str| match word {
        "K" => format!("k:{}", rng.random_range(0..6)),
        "V" => format!("v{}", rng.random_range(0..4)),
        word => word.replace('N', &rng.random_range(0..9).to_string()),
    };
    command.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_transaction_is_atomic_over_several_databases() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    let watched = ["select 0", "set a 1", "select 3", "watch b", "select 0", "watch a"];
    let queued = ["multi", "incr a", "select 3", "set b 7", "get a", "exec"];
    let all: Vec<&str> = watched.iter().chain(&queued).copied().collect();
    let answers = list(lines(&mut client, &all).await);
    let expected = [Answer::integer(2), Answer::DONE, Answer::DONE, Answer::NIL];
    assert_eq!(answers, expected);
    assert_eq!(lines(&mut client, &["get b"]).await, Answer::bytes(b"7"), "in database 3");
    // The watched key of the other database changes.
    lines(&mut client, &watched).await;
    let mut other = client_of(&server, Trust::Full);
    lines(&mut other, &["select 3", "set b 8"]).await;
    assert_eq!(lines(&mut client, &queued).await, Answer::Reply(Reply::NilList));
    assert_eq!(lines(&mut client, &["get a"]).await, Answer::bytes(b"1"));
}

#[tokio::test]
async fn a_command_that_counts_as_a_change_aborts_a_transaction_that_watches_its_key() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    let mut other = client_of(&server, Trust::Full);
    lines(&mut client, &["rpush l a b", "pfadd p x", "zadd z 1 m", "hset h f 1"]).await;
    for (line, key, is_change) in [
        ("lmove l l left left", "l", true),
        ("lmove l l right right", "l", true),
        ("ltrim l 0 -1", "l", true),
        ("pfmerge p p", "p", true),
        ("pfmerge p", "p", true),
        ("pfmerge p none", "p", true),
        ("hset h f 1", "h", true),
        ("pfadd p x", "p", false),
        ("zadd z 1 m", "z", false),
        ("zincrby z 0 m", "z", false),
        ("lrem l 0 none", "l", false),
    ] {
        lines(&mut client, &[&format!("watch {key}"), "multi", "ping"]).await;
        lines(&mut other, &[line]).await;
        let is_aborted = lines(&mut client, &["exec"]).await == Answer::Reply(Reply::NilList);
        assert_eq!(is_aborted, is_change, "{line}");
    }
}

#[tokio::test]
async fn exec_with_arguments_ends_the_transaction() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    let text =
        "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    let error = Answer::Error(text.into());
    assert_eq!(lines(&mut client, &["exec x"]).await, error);
    assert_eq!(lines(&mut client, &["watch a", "multi", "set a 1", "exec x"]).await, error);
    let ended = Answer::Error("ERR EXEC without MULTI".into());
    assert_eq!(lines(&mut client, &["exec"]).await, ended);
    assert_eq!(lines(&mut client, &["get a"]).await, Answer::NIL);
}

#[tokio::test]
async fn the_protocol_may_be_selected_in_a_transaction() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    let answers = list(lines(&mut client, &["multi", "hello 3", "hello 9", "exec"]).await);
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[1], Answer::Error("NOPROTO unsupported protocol version".into()));
    assert_eq!(client.protocol, crate::resp::encode::Protocol::Resp3);
}
