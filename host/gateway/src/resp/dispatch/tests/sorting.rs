//! `SORT` and `LCS`, with the replies of Redis.

use std::time::Duration;

use super::lines::{check, reply, server};
use crate::testing::client_of;
use crate::trust::Trust;

#[tokio::test]
async fn elements_are_sorted_by_themselves() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let not_numbers = "-ERR One or more scores can't be converted into double";
    check(
        client,
        &[
            ("rpush n 3 1 2 10", ":4"),
            ("sort n", "*4 $1 1 $1 2 $1 3 $2 10"),
            ("sort_ro n desc", "*4 $2 10 $1 3 $1 2 $1 1"),
            ("sort n alpha", "*4 $1 1 $2 10 $1 2 $1 3"),
            ("sort n limit 1 2", "*2 $1 2 $1 3"),
            ("sort n limit -5 2", "*2 $1 1 $1 2"),
            ("sort n limit 1 -5", "*3 $1 2 $1 3 $2 10"),
            ("sort n limit 10 2", "*0"),
            ("sort n by nosort desc limit 1 2", "*2 $1 2 $1 1"),
            ("rpush eq 1.0 1 01", ":3"),
            ("sort eq", "*3 $2 01 $1 1 $3 1.0"),
            ("sort eq desc", "*3 $3 1.0 $1 1 $2 01"),
            ("rpush nn 1e2 0x10 inf -inf 1.5", ":5"),
            ("sort nn", "*5 $4 -inf $3 1.5 $4 0x10 $3 1e2 $3 inf"),
            ("rpush w b a", ":2"),
            ("sort w", not_numbers),
            ("sort w alpha", "*2 $1 a $1 b"),
            ("rpush big 1e400 1", ":2"),
            ("sort big", not_numbers),
            ("zadd z 3 c 1 a 2 b", ":3"),
            ("sort z alpha desc", "*3 $1 c $1 b $1 a"),
            ("sort z by nosort desc limit 0 2", "*2 $1 c $1 b"),
            ("sadd st 3 1 2", ":3"),
            ("sort st", "*3 $1 1 $1 2 $1 3"),
            ("sort none", "*0"),
            ("sort none get x", "*0"),
            ("set s x", "+OK"),
            ("sort s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("sort n limit a b", "-ERR value is not an integer or out of range"),
            ("sort n limit 1", "-ERR syntax error"),
            ("sort n store", "-ERR syntax error"),
            ("sort_ro n store x", "-ERR syntax error"),
            ("sort n foo", "-ERR syntax error"),
        ],
    )
    .await;
}

#[tokio::test]
async fn elements_are_sorted_by_keys_of_any_partitions() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    check(
        client,
        &[
            ("rpush n 3 1 2 10", ":4"),
            ("mset w3 1 w1 2 w2 3 w10 0", "+OK"),
            ("hset h3 f 7", ":1"),
            ("rpush w4 x", ":1"),
            ("sort n by w*", "*4 $2 10 $1 3 $1 1 $1 2"),
            ("sort n by w* desc limit 0 2", "*2 $1 2 $1 1"),
            ("sort n by w* alpha", "*4 $2 10 $1 3 $1 1 $1 2"),
            ("sort n by w* get # get w* get none", "*12 $2 10 $1 0 $-1 $1 3 $1 1 $-1 $1 1 $1 2 $-1 $1 2 $1 3 $-1"),
            ("sort n get h*->f get w*->f", "*8 $-1 $-1 $-1 $-1 $1 7 $-1 $-1 $-1"),
            ("sort n by h*->f get # desc limit 0 2", "*2 $1 3 $1 2"),
            ("sort_ro n by h*->f alpha desc", "*4 $1 3 $1 1 $1 2 $2 10"),
            ("sort n by w* get w* get h*->f store d", ":8"),
            ("lrange d 0 -1", "*8 $1 0 $0  $1 1 $1 7 $1 2 $0  $1 3 $0"),
            ("rpush x 4 3", ":2"),
            ("sort x by w*", "*2 $1 4 $1 3"),
            ("set w10 x", "+OK"),
            ("sort n by w*", "-ERR One or more scores can't be converted into double"),
            ("multi", "+OK"),
            ("set w10 5", "+QUEUED"),
            ("sort n by w* limit 3 1", "+QUEUED"),
            ("sort n by w* store d", "+QUEUED"),
            ("exec", "*3 +OK *1 $2 10 :4"),
            ("lrange d 0 -1", "*4 $1 3 $1 1 $1 2 $2 10"),
            ("eval \"return redis.call('sort', KEYS[1], 'by', 'w*', 'desc', 'limit', 0, 1)\" 1 n", "*1 $2 10"),
            ("eval \"redis.call('set', 'w10', 0) return redis.call('sort_ro', 'n', 'by', 'w*')\" 0", "*4 $2 10 $1 3 $1 1 $1 2"),
        ],
    )
    .await;
    let mut reader = client_of(&server, Trust::ReadOnly);
    assert_eq!(reply(&mut reader, "sort_ro n by w* limit 0 1").await, "*1 $2 10");
    assert!(reply(&mut reader, "sort n").await.starts_with("-NOPERM"));
}

#[tokio::test]
async fn what_was_sorted_is_stored_and_wakes_blocked_clients() {
    let server = server();
    for (from, to) in [("{t}n", "{t}d"), ("n", "d"), ("a", "b"), ("c", "e")] {
        let client = &mut client_of(&server, Trust::Full);
        let mut other = client_of(&server, Trust::Full);
        let blocked = format!("blpop {to} 10");
        let waiting = tokio::spawn(async move { reply(&mut other, &blocked).await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        check(
            client,
            &[
                (&format!("sadd {from} 3 1 2"), ":3"),
                (&format!("sort {from} by nosort get # store {to}"), ":3"),
            ],
        )
        .await;
        let key = format!("${} {to}", to.len());
        assert_eq!(waiting.await.unwrap(), format!("*2 {key} $1 1"));
        check(
            client,
            &[
                (&format!("lrange {to} 0 -1"), "*2 $1 2 $1 3"),
                (&format!("sort none store {to}"), ":0"),
                (&format!("exists {to}"), ":0"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn too_many_keys_are_refused() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let fill = "for i = 1, 1001 do redis.call('rpush', KEYS[1], i) end";
    assert_eq!(reply(client, &format!("eval \"{fill}\" 1 n")).await, "$-1");
    let gets = " get w*".repeat(100);
    let refused = reply(client, &format!("sort n{gets}")).await;
    assert_eq!(refused, "-ERR it would read more than 100000 other keys");
    let gets = " get #".repeat(1_000);
    let refused = reply(client, &format!("sort n{gets}")).await;
    assert!(refused.starts_with("-ERR the reply would exceed"), "{refused}");
}

#[tokio::test]
async fn the_common_subsequence_of_strings_of_any_partitions() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for tag in ["", "{t}"] {
        let (a, b) = (format!("{tag}a"), format!("{tag}b"));
        let strings = "-ERR The specified keys must contain string values";
        let lines = [
            (format!("lcs {a} {b}"), "$0"),
            (format!("lcs {a} {b} idx"), "*4 $7 matches *0 $3 len :0"),
            (format!("set {a} ohmytext"), "+OK"),
            (format!("set {b} mynewtext"), "+OK"),
            (format!("lcs {a} {b}"), "$6 mytext"),
            (format!("lcs {a} {b} len"), ":6"),
            (
                format!("lcs {a} {b} IDX"),
                "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6",
            ),
            (
                format!("lcs {a} {b} idx minmatchlen 4 withmatchlen"),
                "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6",
            ),
            (
                format!("lcs {a} {b} idx len"),
                "-ERR If you want both the length and indexes, please just use IDX.",
            ),
            (format!("lcs {a} {b} minmatchlen"), "-ERR syntax error"),
            (format!("lcs {a} {b} minmatchlen x"), "-ERR value is not an integer or out of range"),
            (format!("rpush {tag}l x"), ":1"),
            (format!("lcs {a} {tag}l"), strings),
            (format!("setrange {a} 5000 x"), ":5001"),
            (format!("setrange {b} 5000 x"), ":5001"),
            (
                format!("lcs {a} {b}"),
                "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ),
            (format!("del {a} {b} {tag}l"), ":3"),
        ];
        let lines: Vec<(&str, &str)> =
            lines.iter().map(|(line, reply)| (&line[..], *reply)).collect();
        check(client, &lines).await;
    }
}
