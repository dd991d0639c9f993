//! `DUMP`, `RESTORE`, `OBJECT`, `MEMORY`, `MOVE` and their relatives, with the replies of Redis.

use bytes::Bytes;
use convoke_grid::Reply;

use super::{check, shown};
use crate::resp::answer::Answer;
use crate::resp::client::Client;
use crate::resp::server::RespSettings;
use crate::testing::{call, client_of, server_on, server_with, single_member_grid};
use crate::trust::{Passwords, Trust};

#[tokio::test]
async fn replies_are_those_of_redis() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    #[rustfmt::skip]
    let cases = [
        ("set n 123", "+OK"),
        ("object encoding n", "$3 int"),
        ("object refcount none", "$-1"),
        ("object encoding none", "$-1"),
        ("object idletime none", "$-1"),
        ("object freq none", "$-1"),
        ("object freq n", "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."),
        ("object", "-ERR wrong number of arguments for 'object' command"),
        ("object nonsense n", "-ERR unknown subcommand 'nonsense'. Try OBJECT HELP."),
        ("object encoding", "-ERR wrong number of arguments for 'object|encoding' command"),
        ("memory usage none", "$-1"),
        ("memory usage n samples", "-ERR syntax error"),
        ("memory usage n foo 1", "-ERR syntax error"),
        ("memory usage n samples x", "-ERR value is not an integer or out of range"),
        ("memory usage n samples -1", "-ERR syntax error"),
        ("memory malloc-stats x", "-ERR wrong number of arguments for 'memory|malloc-stats' command"),
        ("memory purge", "+OK"),
        ("set s abc", "+OK"),
        ("move s 0", "-ERR source and destination objects are the same"),
        ("move s 16", "-ERR DB index is out of range"),
        ("move s x", "-ERR value is not an integer or out of range"),
        ("move none 1", ":0"),
        ("move s 1", ":1"),
        ("exists s", ":0"),
        ("select 1", "+OK"),
        ("get s", "$3 abc"),
        ("select 0", "+OK"),
        ("set s other", "+OK"),
        ("move s 1", ":0"),
        ("copy s s2 db 1", ":1"),
        ("copy s s db 0", "-ERR source and destination objects are the same"),
        ("copy s s db 1", ":0"),
        ("copy s s db 1 replace", ":1"),
        ("copy s s db 99", "-ERR DB index is out of range"),
        ("copy s s db", "-ERR syntax error"),
        ("copy none x db 1", ":0"),
        ("swapdb 0 0", "+OK"),
        ("swapdb x 0", "-ERR invalid first DB index"),
        ("swapdb 0 x", "-ERR invalid second DB index"),
        ("swapdb 0 99", "-ERR DB index is out of range"),
        ("restore r 0 x", "-ERR DUMP payload version or checksum are wrong"),
        ("restore r x x", "-ERR value is not an integer or out of range"),
        ("restore r -1 x", "-ERR Invalid TTL value, must be >= 0"),
        ("restore r 0 x nonsense", "-ERR syntax error"),
        ("restore r 0 x idletime", "-ERR syntax error"),
        ("restore r 0 x idletime -1", "-ERR Invalid IDLETIME value, must be >= 0"),
        ("restore r 0 x idletime x", "-ERR value is not an integer or out of range"),
        ("restore r 0 x freq 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
        ("restore r 0 x freq 1 idletime 1", "-ERR syntax error"),
        ("restore r", "-ERR wrong number of arguments for 'restore' command"),
        ("dump none", "$-1"),
    ];
    check(client, &cases).await;
}

#[tokio::test]
async fn files_and_references_are_reported_as_there_are() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    check(
        client,
        &[
            ("set s abc", "+OK"),
            ("object refcount s", ":1"),
            ("object idletime s", ":0"),
            ("waitaof 0 0 0", "*2 :0 :0"),
            (
                "waitaof 1 0 0",
                "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
            ),
            ("waitaof 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
            ("waitaof 0 -1 0", "-ERR value is out of range, must be positive"),
            ("waitaof 0 0 -1", "-ERR timeout is negative"),
        ],
    )
    .await;
    assert!(shown(client, "memory usage s").await.starts_with(':'));
    assert!(shown(client, "memory stats").await.contains("keys.count :1"));
}

async fn payload(client: &mut Client, key: &str) -> Bytes {
    match call(client, &[b"dump", key.as_bytes()]).await {
        Answer::Reply(Reply::Bytes(payload)) => payload,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn values_can_be_dumped_and_restored() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    for (write, read) in [
        ("set k text", "get k"),
        ("rpush k a 1 b", "lrange k 0 -1"),
        ("sadd k 1 2 3", "smismember k 1 2 3 4"),
        ("zadd k 1.5 a -inf b", "zrange k 0 -1 withscores"),
        ("hset k a 1", "hgetall k"),
        ("hsetex k exat 4000000000 fields 1 a 1", "hexpiretime k fields 1 a"),
    ] {
        shown(client, "del k").await;
        shown(client, write).await;
        let value = shown(client, read).await;
        let payload = payload(client, "k").await;
        let again = call(client, &[b"restore", b"k", b"0", &payload]).await;
        assert_eq!(again, Answer::Error("BUSYKEY Target key name already exists.".into()));
        shown(client, "del k").await;
        let restore: [&[u8]; 4] = [b"restore", b"k", b"5000", &payload];
        assert_eq!(call(client, &restore).await, Answer::DONE, "{write}");
        assert_eq!(shown(client, read).await, value, "{write}");
        let remaining = shown(client, "pttl k").await;
        assert!((":4000"..=":5000").contains(&&*remaining), "{remaining}");
        let replace: [&[u8]; 6] = [b"restore", b"k", b"0", &payload, b"replace", b"idletime"];
        assert_eq!(call(client, &[&replace[..], &[b"100"]].concat()).await, Answer::DONE);
        assert_eq!(shown(client, "ttl k").await, ":-1");
        assert_eq!(shown(client, "object idletime k").await, ":100");
        let absolute: [&[u8]; 6] =
            [b"restore", b"k", b"4000000000000", &payload, b"absttl", b"replace"];
        assert_eq!(call(client, &absolute).await, Answer::DONE);
        assert_eq!(shown(client, "pexpiretime k").await, ":4000000000000");
        let past: [&[u8]; 6] = [b"restore", b"k", b"1", &payload, b"absttl", b"replace"];
        assert_eq!(call(client, &past).await, Answer::DONE);
        assert_eq!(shown(client, "exists k").await, ":0");
        let mut damaged = payload.to_vec();
        damaged[1] ^= 1;
        let refused = call(client, &[b"restore", b"k", b"0", &damaged]).await;
        let error = "ERR DUMP payload version or checksum are wrong";
        assert_eq!(refused, Answer::Error(error.into()));
    }
}

/// Of Redis 7.0.15: a stream with groups, of which an entry was deleted.
#[tokio::test]
async fn a_stream_of_redis_is_restored_with_its_groups() {
    let payload_of_redis = "13011000000000000000010000000000000001c34074407d127d0000003100060101010201816602816702002009000020010682763103010105200d0001600d02320302200d0003200f401b02330303200d0002200f400d02340304600d0004600d02350305200d0000200301dfff203d0a856f7468657206817802062030070501060181760209200800ff06060701010301070305656d707479060781ffffffffffffffff000001670401040300000000000000010000000000000001eedfb42ea20100000100000000000000030000000000000001eedfb42ea2010000010000000000000004000000000000000116e0b42ea2010000010205616c696365eedfb42ea201000002000000000000000100000000000000010000000000000003000000000000000103626f6216e0b42ea201000001000000000000000400000000000000010168030181ffffffffffffffff00010469646c655fe0b42ea2010000000a0002cf2a4edacb0280";
    let digit = |at: usize| u8::from_str_radix(&payload_of_redis[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..payload_of_redis.len()).step_by(2).map(digit).collect();
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    assert_eq!(call(client, &[b"restore", b"s", b"0", &bytes]).await, Answer::DONE);
    let whole = shown(client, "xinfo stream s full").await;
    for part in [
        "length :6",
        "last-generated-id $3 6-7 $20 max-deleted-entry-id $3 3-1 $13 entries-added :7 $23 recorded-first-entry-id $3 1-1",
        "*2 $3 5-1 *4 $1 f $2 v5 $1 g $1 5 *2 $3 6-0 *2 $5 other $1 x *2 $3 6-7 *4 $1 f $1 v $1 g $1 9",
        "$4 name $5 empty $17 last-delivered-id $3 6-7 $12 entries-read $-1 $3 lag :0",
        "$4 name $1 g $17 last-delivered-id $3 4-1 $12 entries-read :4 $3 lag :3 $9 pel-count :3 $7 pending *3 *4 $3 1-1 $5 alice :1796079935470 :1 *4 $3 3-1 $5 alice :1796079935470 :1 *4 $3 4-1 $3 bob :1796079935510 :1",
        "$4 name $1 h $17 last-delivered-id $3 3-1 $12 entries-read $-1 $3 lag $-1",
    ] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    let dumped = payload(client, "s").await;
    // Redis 7.0.15 restores this, and describes the stream in the same way.
    let hex: String = dumped.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, STREAM_PAYLOAD);
    assert_eq!(call(client, &[b"restore", b"t", b"0", &dumped]).await, Answer::DONE);
    assert_eq!(shown(client, "xinfo stream t full").await, whole);
    check(
        client,
        &[
            (
                "xadd t 6-6 f v",
                "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
            ),
            ("xadd t 6-8 f v", "$3 6-8"),
            ("xlen t", ":7"),
        ],
    )
    .await;
}

const STREAM_PAYLOAD: &str = "13011000000000000000010000000000000001406f6f0000002b000601000102018166028167020001020100010001827631030101050102010101000182763203020105010201030100018276340304010501020104010001827635030501050100010501dfff020101856f7468657206817802060102010501060181760209010501ff06060701010301070305656d707479060781ffffffffffffffff000001670401040300000000000000010000000000000001eedfb42ea20100000100000000000000030000000000000001eedfb42ea2010000010000000000000004000000000000000116e0b42ea2010000010205616c696365eedfb42ea201000002000000000000000100000000000000010000000000000003000000000000000103626f6216e0b42ea201000001000000000000000400000000000000010168030181ffffffffffffffff00010469646c655fe0b42ea2010000000a00435a751406af3c00";

#[tokio::test]
async fn malformed_values_behind_a_right_checksum_are_refused() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    // An unknown type.
    let payload = b"\x63\x00\x0a\x00";
    let checksum = crate::resp::rdb::checksum_of(payload).to_le_bytes();
    let payload = [&payload[..], &checksum].concat();
    let refused = call(client, &[b"restore", b"k", b"0", &payload]).await;
    assert_eq!(refused, Answer::Error("ERR Bad data format".into()));
    check(
        client,
        &[
            ("set foo bar", "+OK"),
            ("restore foo 0 ...", "-BUSYKEY Target key name already exists."),
            ("restore foo 0 ... replace", "-ERR DUMP payload version or checksum are wrong"),
            ("get foo", "$3 bar"),
        ],
    )
    .await;
}

#[tokio::test]
async fn keys_move_between_databases_with_their_expiry() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    for number in 0..10 {
        let key = format!("k{number}");
        check(
            client,
            &[
                ("select 0", "+OK"),
                (&format!("rpush {key} a b"), ":2"),
                (&format!("pexpireat {key} 4000000000000"), ":1"),
                (&format!("move {key} 3"), ":1"),
                (&format!("exists {key}"), ":0"),
                ("select 3", "+OK"),
                (&format!("lrange {key} 0 -1"), "*2 $1 a $1 b"),
                (&format!("pexpiretime {key}"), ":4000000000000"),
                (&format!("copy {key} other{number} db 0"), ":1"),
                (&format!("exists {key} other{number}"), ":1"),
                ("select 0", "+OK"),
                (&format!("lrange other{number} 0 -1"), "*2 $1 a $1 b"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn a_transaction_and_a_script_can_move_keys() {
    let server = server_on(single_member_grid(), Passwords::default());
    crate::resp::dispatch::run_scripts(&server);
    let client = &mut client_of(&server, Trust::Full);
    check(
        client,
        &[
            ("set a 1", "+OK"),
            ("multi", "+OK"),
            ("move a 2", "+QUEUED"),
            ("set a 2", "+QUEUED"),
            ("copy a b db 2", "+QUEUED"),
            ("exec", "*3 :1 +OK :1"),
            ("get a", "$1 2"),
            ("select 2", "+OK"),
            ("mget a b", "*2 $1 1 $1 2"),
            ("select 0", "+OK"),
            ("eval return(redis.call('move',KEYS[1],5)) 1 a", ":1"),
            ("exists a", ":0"),
            ("select 5", "+OK"),
            ("get a", "$1 2"),
        ],
    )
    .await;
}

#[tokio::test]
async fn nodes_of_a_redis_cluster_have_one_database() {
    let settings =
        RespSettings { clients_max: 100, redis_cluster: true, ..RespSettings::default() };
    let server = server_with(single_member_grid(), settings);
    let client = &mut client_of(&server, Trust::Full);
    check(
        client,
        &[
            ("move a 1", "-ERR MOVE is not allowed in cluster mode"),
            ("copy a b db 1", "-ERR Copying to another database is not allowed in cluster mode"),
            ("swapdb 0 1", "-ERR SWAPDB is not allowed in cluster mode"),
            ("multi", "+OK"),
            ("move a 1", "+QUEUED"),
            ("exec", "*1 -ERR MOVE is not allowed in cluster mode"),
        ],
    )
    .await;
}

/// The idle times of two keys.
async fn idle(client: &mut Client) -> [String; 2] {
    [shown(client, "object idletime {a}k").await, shown(client, "object idletime {b}l").await]
}

/// Reads after `CLIENT NO-TOUCH on` change no idle time, on one partition, on several, in transactions
/// and in scripts; `TOUCH` does.
#[tokio::test]
async fn reads_of_a_client_that_does_not_touch_are_no_use_of_keys() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    let mut rest = [b"{a}k", b"{b}l"].map(|key| (key, Vec::new()));
    shown(&mut client, "set {a}k value").await;
    shown(&mut client, "rpush {b}l 1 2 3").await;
    for (key, payload) in &mut rest {
        let Answer::Reply(Reply::Bytes(bytes)) = call(&mut client, &[b"dump", *key]).await else {
            panic!("a payload")
        };
        *payload = bytes.to_vec();
    }
    let unused = [":100".to_owned(), ":100".to_owned()];
    assert_eq!(shown(&mut client, "client no-touch yes").await, "-ERR syntax error");
    for (command, touched) in [
        ("get {a}k", [true, false]),
        ("getrange {a}k 0 1", [true, false]),
        ("lrange {b}l 0 -1", [false, true]),
        ("mget {a}k {b}l", [true, true]),
        ("eval return(redis.call('get',KEYS[1])) 1 {a}k", [true, false]),
    ] {
        for (mode, in_transaction) in [("off", false), ("on", false), ("on", true)] {
            for (key, payload) in &rest {
                let restore: [&[u8]; 7] =
                    [b"restore", *key, b"0", payload, b"replace", b"idletime", b"100"];
                assert_eq!(call(&mut client, &restore).await, Answer::DONE);
            }
            assert_eq!(shown(&mut client, &format!("client no-touch {mode}")).await, "+OK");
            if in_transaction {
                shown(&mut client, "multi").await;
            }
            let reply = shown(&mut client, command).await;
            assert!(!reply.starts_with('-'), "{command}: {reply}");
            if in_transaction {
                let reply = shown(&mut client, "exec").await;
                assert!(reply.starts_with('*'), "{command}: {reply}");
            }
            let expected = if mode == "on" {
                unused.clone()
            } else {
                touched.map(|touched| if touched { ":0" } else { ":100" }.to_owned())
            };
            assert_eq!(
                idle(&mut client_of(&server, Trust::Full)).await,
                expected,
                "{command} {mode} {in_transaction}"
            );
        }
    }
    assert_eq!(shown(&mut client, "touch {a}k {b}l").await, ":2");
    assert_eq!(idle(&mut client_of(&server, Trust::Full)).await, [":0", ":0"]);
    assert!(shown(&mut client, "client info").await.contains("flags=T "));
    shown(&mut client, "reset").await;
    assert!(shown(&mut client, "client info").await.contains("flags=N "));
}
