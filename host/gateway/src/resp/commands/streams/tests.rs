//! Tests of stream commands: the replies of Redis, and commands that block.

use std::sync::Arc;
use std::time::Duration;

use convoke_grid::Grid;

use crate::resp::answer::Answer;
use crate::resp::client::Client;
use crate::resp::encode::Protocol;
use crate::resp::server::Server;
use crate::testing::{call, client_of, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

/// How long a test waits for a reply before it fails.
const REPLY_S_MAX: u64 = 30;

fn server() -> Arc<Server> {
    server_on(single_member_grid(), Passwords::default())
}

/// Shows an encoded reply in one line.
fn shown(rest: &mut &[u8]) -> String {
    let end = rest.windows(2).position(|end| end == b"\r\n").expect("a line ends");
    let line = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = &rest[end + 2..];
    let (kind, text) = line.split_at(1);
    let mut all = |count: usize| (0..count).map(|_| shown(rest)).collect::<Vec<_>>().join(" ");
    match (kind, text.parse::<i64>().unwrap_or(0)) {
        ("$", -1) => "nil".into(),
        ("*", -1) => "nil-list".into(),
        ("_", _) => "null".into(),
        ("$", 0) => {
            *rest = &rest[2..];
            "''".into()
        }
        ("$", length) => {
            let (bytes, behind) = rest.split_at(length as usize);
            *rest = &behind[2..];
            String::from_utf8_lossy(bytes).into_owned()
        }
        ("*", count) => format!("[{}]", all(count as usize)),
        ("%", count) => format!("{{{}}}", all(2 * count as usize)),
        _ => line,
    }
}

fn text(answer: &Answer, protocol: Protocol) -> String {
    let mut buffer = Vec::new();
    answer.write(&mut buffer, protocol);
    shown(&mut &buffer[..])
}

async fn run(client: &mut Client, line: &str) -> String {
    let args: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
    let reply = tokio::time::timeout(Duration::from_secs(REPLY_S_MAX), call(client, &args)).await;
    text(&reply.unwrap_or_else(|_| panic!("no reply to {line}")), Protocol::Resp2)
}

async fn run_all(client: &mut Client, lines: &[(&str, &str)]) {
    for (line, reply) in lines {
        assert_eq!(run(client, line).await, *reply, "{line}");
    }
}

/// Two keys in different partitions.
fn apart(grid: &Grid) -> (String, String) {
    let first = "a".to_owned();
    let is_apart =
        |key: &String| grid.partition_of(key.as_bytes()) != grid.partition_of(first.as_bytes());
    let second = (0..).map(|n| format!("b{n}")).find(is_apart).expect("there are partitions");
    (first, second)
}

#[tokio::test]
async fn replies_are_those_of_redis() {
    let mut client = client_of(&server(), Trust::Full);
    let mut lines = include_str!("replies.txt").lines().skip(2);
    while let (Some(line), Some(reply)) = (lines.next(), lines.next()) {
        let line = line.strip_prefix("> ").expect("a command");
        assert_eq!(run(&mut client, line).await, reply, "{line}");
    }
}

#[tokio::test]
async fn replies_of_redis_8() {
    let mut client = client_of(&server(), Trust::Full);
    let lines = [
        ("XADD s 1-0 f v", "1-0"),
        ("XADD s 2-0 f v", "2-0"),
        ("XADD s 3-0 f v", "3-0"),
        ("XREAD STREAMS s +", "[[s [[3-0 [f v]]]]]"),
        ("XREAD STREAMS none +", "nil-list"),
        (
            "XREADGROUP GROUP g c STREAMS s +",
            "-ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
        ),
        (
            "XREAD STREAMS s none 0",
            "-ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.",
        ),
        (
            "XREADGROUP GROUP g c STREAMS s none >",
            "-ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.",
        ),
        ("XDELEX none IDS 2 1-0 2-0", "[:-1 :-1]"),
        ("XACKDEL none g IDS 1 1-0", "[:-1]"),
        ("XACKDEL s g IDS 1 1-0", "[:-1]"),
        ("XGROUP CREATE s g 0", "+OK"),
        ("XGROUP CREATE s h 0", "+OK"),
        ("XDELEX s ACKED IDS 1 1-0", "[:2]"),
        ("XREADGROUP GROUP g c STREAMS s >", "[[s [[1-0 [f v]] [2-0 [f v]] [3-0 [f v]]]]]"),
        ("XREADGROUP GROUP h c STREAMS s >", "[[s [[1-0 [f v]] [2-0 [f v]] [3-0 [f v]]]]]"),
        ("XACKDEL s g ACKED IDS 2 1-0 9-0", "[:2 :-1]"),
        ("XACKDEL s h ACKED IDS 1 1-0", "[:1]"),
        ("XACKDEL s g IDS 1 2-0", "[:1]"),
        ("XPENDING s h", "[:2 2-0 3-0 [[c 2]]]"),
        ("XDELEX s IDS 1 2-0 DELREF", "[:-1]"),
        ("XPENDING s h", "[:1 3-0 3-0 [[c 1]]]"),
        ("XADD s ACKED MAXLEN 1 4-0 f v", "4-0"),
        ("XLEN s", ":2"),
        ("XTRIM s MAXLEN 1 DELREF", ":1"),
        ("XPENDING s h", "[:0 nil nil nil-list]"),
        ("XADD s KEEPREF NOMKSTREAM MAXLEN = 1 5-0 f v", "5-0"),
        (
            "XADD s KEEPREF ACKED 6-0 f v",
            "-ERR Invalid stream ID specified as stream command argument",
        ),
        ("XTRIM s KEEPREF ACKED MAXLEN 1", "-ERR syntax error"),
        ("XDELEX s KEEPREF DELREF IDS 1 1-0", "-ERR syntax error"),
        ("XDELEX s IDS 0 1-0 2-0", "-ERR Number of IDs must be a positive integer"),
        ("XDELEX s IDS x 1-0 2-0", "-ERR Number of IDs must be a positive integer"),
        (
            "XDELEX s IDS 3 1-0 2-0",
            "-ERR The `numids` parameter must match the number of arguments",
        ),
        ("XDELEX s IDS 1 1-0 2-0", "-ERR syntax error"),
        ("XDELEX s IDS 1 x", "-ERR Invalid stream ID specified as stream command argument"),
        // A consumer exists once it has asked for entries, even if it got none.
        ("XREADGROUP GROUP g c STREAMS s >", "[[s [[5-0 [f v]]]]]"),
        ("XREADGROUP GROUP g d STREAMS s >", "nil-list"),
        ("XGROUP CREATECONSUMER s g d", ":0"),
        ("XSETID s 9-0 MAXDELETEDID 8-0", "+OK"),
        (
            "XSETID s 7-0",
            "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ),
        (
            "XSETID s 9-0 ENTRIESADDED 0",
            "-ERR The entries_added specified in XSETID is smaller than the target stream length",
        ),
        ("XGROUP SETID s g $ ENTRIESREAD 9999", "+OK"),
        (
            "XINFO GROUPS s",
            "[[name g consumers :2 pending :1 last-delivered-id 9-0 entries-read :5 lag :0] [name h consumers :1 pending :0 last-delivered-id 3-0 entries-read :3 lag nil]]",
        ),
    ];
    run_all(&mut client, &lines).await;
    let reply = run(&mut client, "XINFO CONSUMERS s g").await;
    assert!(reply.starts_with("[[name c pending :1 idle :"), "{reply}");
    assert!(reply.ends_with("inactive :-1]]"), "a consumer that got no entry: {reply}");
    let reply = run(&mut client, "XINFO STREAM s FULL COUNT 1").await;
    assert!(reply.contains("entries [[5-0 [f v]]] groups [[name g last-delivered-id"), "{reply}");
    assert!(reply.contains("pel-count :1 pending [[5-0 c :"), "{reply}");
    let help = run(&mut client, "XINFO HELP").await;
    assert!(help.starts_with("[+XINFO <subcommand>"), "{help}");
}

#[tokio::test]
async fn an_id_is_the_time_of_the_cluster() {
    let mut client = client_of(&server(), Trust::Full);
    let before = crate::clock::unix_ms();
    let mut last = (0, 0);
    for _ in 0..100 {
        let id = run(&mut client, "XADD s * f v").await;
        let (ms, seq) = id.split_once('-').unwrap();
        let id = (ms.parse().unwrap(), seq.parse().unwrap());
        assert!(id > last && id.0 >= before, "{id:?}");
        last = id;
    }
    assert_eq!(run(&mut client, "XLEN s").await, ":100");
}

#[tokio::test]
async fn in_resp3_streams_are_maps() {
    let mut client = client_of(&server(), Trust::Full);
    run(&mut client, "XADD s 1-0 f v").await;
    let read: [&[u8]; 4] = [b"xread", b"streams", b"s", b"0"];
    let reply = call(&mut client, &read).await;
    assert_eq!(text(&reply, Protocol::Resp3), "{s [[1-0 [f v]]]}");
    let info: [&[u8]; 3] = [b"xinfo", b"stream", b"s"];
    let reply = text(&call(&mut client, &info).await, Protocol::Resp3);
    assert!(reply.starts_with("{length :1 "), "{reply}");
}

#[tokio::test]
async fn every_waiting_client_gets_an_entry_but_only_one_consumer_of_a_group() {
    let server = server();
    let mut clients: Vec<Client> = (0..5).map(|_| client_of(&server, Trust::Full)).collect();
    let [a, b, c, d, writer] = &mut clients[..] else { unreachable!("five") };
    run(writer, "XGROUP CREATE s g 0 MKSTREAM").await;
    let (a, b, c, d, ()) = tokio::join!(
        run(a, "XREAD BLOCK 0 STREAMS s $"),
        run(b, "XREAD COUNT 1 BLOCK 0 STREAMS s 0"),
        run(c, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"),
        run(d, "XREADGROUP GROUP g d BLOCK 0 STREAMS s >"),
        async {
            tokio::task::yield_now().await;
            assert_eq!(run(writer, "XADD s 1-0 f v").await, "1-0");
            assert_eq!(run(writer, "XPENDING s g").await, "[:1 1-0 1-0 [[c 1]]]");
            assert_eq!(run(writer, "XADD s 2-0 f v").await, "2-0");
        }
    );
    assert_eq!([&a, &b, &c], ["[[s [[1-0 [f v]]]]]"; 3]);
    assert_eq!(d, "[[s [[2-0 [f v]]]]]");
}

#[tokio::test]
async fn a_waiting_consumer_gets_an_error_when_its_group_is_gone() {
    let server = server();
    let (mut waiting, mut other) =
        (client_of(&server, Trust::Full), client_of(&server, Trust::Full));
    let missing = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for (line, expected) in [
        ("XGROUP DESTROY s g", missing),
        ("DEL s", missing),
        ("RENAME s other", missing),
        ("PEXPIRE s 0", missing),
        ("PEXPIRE s 5", missing),
        ("FLUSHDB", missing),
        ("SET s x", wrong),
        ("RENAME {s}b s", missing),
    ] {
        run(&mut other, "DEL s").await;
        run(&mut other, "XADD {s}b * f v").await;
        run(&mut other, "XGROUP CREATE s g 0 MKSTREAM").await;
        let (reply, ()) = tokio::join!(
            run(&mut waiting, "XREADGROUP GROUP g c BLOCK 20000 STREAMS s >"),
            async {
                tokio::task::yield_now().await;
                run(&mut other, line).await;
            }
        );
        assert_eq!(reply, expected, "{line}");
    }
}

#[tokio::test]
async fn a_client_that_reads_without_a_group_waits_even_if_the_stream_is_gone() {
    let server = server();
    let (mut waiting, mut other) =
        (client_of(&server, Trust::Full), client_of(&server, Trust::Full));
    let (reply, ()) = tokio::join!(run(&mut waiting, "XREAD BLOCK 20000 STREAMS s $"), async {
        tokio::task::yield_now().await;
        for line in ["XGROUP CREATE s g 0 MKSTREAM", "DEL s", "SET s x", "DEL s", "LPUSH s x"] {
            run(&mut other, line).await;
        }
        run(&mut other, "DEL s").await;
        run(&mut other, "XADD s 9-0 f v").await;
    });
    assert_eq!(reply, "[[s [[9-0 [f v]]]]]");
    assert_eq!(run(&mut waiting, "XREAD BLOCK 1 STREAMS s $").await, "nil-list");
}

#[tokio::test]
async fn streams_in_several_partitions_are_read_together() {
    let server = server();
    let (a, b) = apart(&server.grid);
    let (mut waiting, mut other) =
        (client_of(&server, Trust::Full), client_of(&server, Trust::Full));
    let read = format!("XREAD BLOCK 20000 STREAMS {a} {b} $ $");
    let (reply, ()) = tokio::join!(run(&mut waiting, &read), async {
        tokio::task::yield_now().await;
        run(&mut other, &format!("XADD {b} 1-0 f v")).await;
    });
    assert_eq!(reply, format!("[[{b} [[1-0 [f v]]]]]"));
    run(&mut other, &format!("XADD {a} 2-0 f v")).await;
    let reply = run(&mut other, &format!("XREAD STREAMS {a} {b} 0 0")).await;
    assert_eq!(reply, format!("[[{a} [[2-0 [f v]]]] [{b} [[1-0 [f v]]]]]"));

    // As a consumer: nothing is delivered unless all groups exist.
    let read = format!("XREADGROUP GROUP g c STREAMS {a} {b} > >");
    run(&mut other, &format!("XGROUP CREATE {a} g 0")).await;
    assert!(run(&mut other, &read).await.starts_with("-NOGROUP "));
    run(&mut other, &format!("XGROUP CREATE {b} g $")).await;
    let reply = run(&mut other, &read).await;
    assert_eq!(reply, format!("[[{a} [[2-0 [f v]]]]]"));
    assert_eq!(run(&mut other, &read).await, "nil-list");
    let blocks = format!("XREADGROUP GROUP g d BLOCK 20000 STREAMS {a} {b} > >");
    let (reply, ()) = tokio::join!(run(&mut waiting, &blocks), async {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        run(&mut other, &format!("XADD {b} 3-0 f v")).await;
    });
    assert_eq!(reply, format!("[[{b} [[3-0 [f v]]]]]"));
    let (reply, ()) = tokio::join!(run(&mut waiting, &blocks), async {
        tokio::task::yield_now().await;
        run(&mut other, &format!("XGROUP DESTROY {b} g")).await;
    });
    assert!(reply.starts_with("-NOGROUP "), "{reply}");
    let short = format!("XREAD BLOCK 1 STREAMS {a} {b} $ $");
    assert_eq!(run(&mut waiting, &short).await, "nil-list");

    // In a transaction, and renamed to another partition.
    let lines = [
        ("MULTI".to_owned(), "+OK".to_owned()),
        (format!("XADD {a} 7-0 f v"), "+QUEUED".into()),
        (format!("XREAD BLOCK 0 STREAMS {a} {b} 6 6"), "+QUEUED".into()),
        (format!("XREADGROUP GROUP g c BLOCK 0 STREAMS {a} {b} > >"), "+QUEUED".into()),
        (format!("XREADGROUP GROUP g c COUNT 1 STREAMS {a} >"), "+QUEUED".into()),
        (
            "EXEC".into(),
            format!(
                "[7-0 [[{a} [[7-0 [f v]]]]] -NOGROUP No such key '{b}' or consumer group 'g' in XREADGROUP with GROUP option [[{a} [[7-0 [f v]]]]]]"
            ),
        ),
        (format!("RENAME {a} {b}"), "+OK".into()),
        (format!("XPENDING {b} g"), "[:2 2-0 7-0 [[c 2]]]".into()),
        (format!("COPY {b} {a}"), ":1".into()),
        (format!("XPENDING {a} g"), "[:2 2-0 7-0 [[c 2]]]".into()),
        (format!("XRANGE {a} - + COUNT 1"), "[[2-0 [f v]]]".into()),
    ];
    for (line, reply) in lines {
        assert_eq!(run(&mut other, &line).await, reply, "{line}");
    }
}

#[tokio::test]
async fn scripts_use_streams_and_do_not_wait() {
    let server = server();
    let (a, b) = apart(&server.grid);
    let mut client = client_of(&server, Trust::Full);
    for (script, reply) in [
        (format!("return redis.call('XADD', '{a}', '1-0', 'f', 'v')"), "1-0".to_owned()),
        (
            format!("return redis.call('XREAD', 'STREAMS', '{a}', '0')"),
            format!("[[{a} [[1-0 [f v]]]]]"),
        ),
        (
            format!("return redis.call('XREAD', 'STREAMS', '{a}', '{b}', '0', '0')"),
            format!("[[{a} [[1-0 [f v]]]]]"),
        ),
        (format!("return redis.call('XREAD', 'BLOCK', '0', 'STREAMS', '{a}', '$')"), "nil".into()),
        (format!("return redis.call('XRANGE', '{a}', '-', '+')[1][2][1]"), "f".into()),
    ] {
        let args: [&[u8]; 3] = [b"eval", script.as_bytes(), b"0"];
        let answer = call(&mut client, &args).await;
        assert_eq!(text(&answer, Protocol::Resp2), reply, "{script}");
    }
}

#[tokio::test]
async fn keyspace_events_of_streams_are_of_class_t() {
    let server = server();
    let mut client = client_of(&server, Trust::Full);
    let mut listener = client_of(&server, Trust::Full);
    run(&mut client, "CONFIG SET notify-keyspace-events Kt").await;
    run(&mut listener, "PSUBSCRIBE __keyspace@0__:s").await;
    for line in [
        "XADD s 1-0 f v",
        "XADD s MAXLEN 1 2-0 f v",
        "XTRIM s MAXLEN 0",
        "XTRIM s MAXLEN 0",
        "XADD s 3-0 f v",
        "XDEL s 3-0",
        "XSETID s 4-0",
        "XGROUP CREATE s g 0",
        "XGROUP SETID s g $",
        "XGROUP CREATECONSUMER s g c",
        "XREADGROUP GROUP g d STREAMS s >",
        "XGROUP DELCONSUMER s g c",
        "XGROUP DESTROY s g",
    ] {
        run(&mut client, line).await;
    }
    let mut events = Vec::new();
    while let Ok(Some(message)) = listener.output_buffer.next() {
        events.push(String::from_utf8_lossy(&message.payload).into_owned());
    }
    let expected = [
        "xadd",
        "xadd",
        "xtrim",
        "xtrim",
        "xadd",
        "xdel",
        "xsetid",
        "xgroup-create",
        "xgroup-setid",
        "xgroup-createconsumer",
        "xgroup-createconsumer",
        "xgroup-delconsumer",
        "xgroup-destroy",
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn scan_finds_streams_by_their_type() {
    let mut client = client_of(&server(), Trust::Full);
    let lines =
        [("XADD s * f v", ""), ("SET t x", "+OK"), ("SCAN 0 TYPE stream COUNT 100", "[0 [s]]")];
    for (line, reply) in lines {
        let found = run(&mut client, line).await;
        assert!(reply.is_empty() || found == reply, "{line}: {found}");
    }
}

#[tokio::test]
async fn errors_of_keys_and_groups_come_before_those_of_arguments() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let invalid = "-ERR Invalid stream ID specified as stream command argument";
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let no_group = "-NOGROUP No such key 'none' or consumer group 'g'";
    let no_group_read = format!("{no_group} in XREADGROUP with GROUP option");
    for (line, expected) in [
        ("set s x", "+OK"),
        ("xadd x 1-1 f v", "1-1"),
        ("xgroup create x g 0", "+OK"),
        ("xreadgroup group g c streams none abc", &no_group_read),
        ("xreadgroup group g c streams x none > abc", &no_group_read),
        ("xreadgroup group g c streams x none abc >", invalid),
        ("xreadgroup group g c streams s abc", wrong_type),
        (
            "xreadgroup group g c count x streams s abc",
            "-ERR value is not an integer or out of range",
        ),
        ("xread streams s abc", wrong_type),
        ("xread streams none abc", invalid),
        ("xclaim none g c 1 1-1 abc", no_group),
        ("xclaim none g c abc 1-1", no_group),
        ("xclaim s g c 1 abc", wrong_type),
        ("xclaim x g c 1 1-1 abc", "-ERR Unrecognized XCLAIM option 'abc'"),
        ("xack s g abc", wrong_type),
        ("xdel s abc", wrong_type),
        ("xdel x abc", invalid),
    ] {
        assert_eq!(run(client, line).await, expected, "{line}");
    }
}
