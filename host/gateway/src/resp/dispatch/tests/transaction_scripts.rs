//! Scripts and functions in transactions. Replies are those of Redis 7.0.15.

use std::sync::Arc;

use super::{reply, server, shown};
use crate::resp::client::Client;
use crate::resp::server::Server;
use crate::testing::{client_of, numbered_client};
use crate::trust::Trust;

/// Executes commands, each of its words, and returns the last reply.
async fn last(client: &mut Client, commands: &[&[&str]]) -> String {
    let mut answer = String::new();
    for words in commands {
        answer = reply(client, words).await;
    }
    answer
}

const GET: &str = "return redis.call('get', KEYS[1])";

#[tokio::test]
async fn a_script_sees_what_was_done_before_it_and_is_seen_by_what_follows() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let append = "return redis.call('append', KEYS[1], ARGV[1])";
    for (key, other) in [("{t}a", "{t}b"), ("a", "b")] {
        let answer = last(
            client,
            &[
                &["flushall"],
                &["multi"],
                &["set", key, "1"],
                &["eval", append, "1", key, "2"],
                &["get", key],
                &["ping"],
                &[
                    "eval",
                    "redis.call('copy', KEYS[1], KEYS[2], 'replace') return {KEYS[2]}",
                    "2",
                    key,
                    other,
                ],
                &["strlen", other],
                &["hgetall", "{t}none"],
                &["exec"],
            ],
        )
        .await;
        let script = format!("*1 ${} {other}", other.len());
        assert_eq!(answer, format!("*7 +OK :2 $2 12 +PONG {script} :2 *0"), "{key} {other}");
    }
}

#[tokio::test]
async fn each_command_reports_its_own_error() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for key in ["k", "{z}k"] {
        let half = "redis.call('set', KEYS[1], ARGV[1]) return redis.call('incr', KEYS[1])";
        let answer = last(
            client,
            &[
                &["flushall"],
                &["multi"],
                &["evalsha", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "1", key],
                &["eval", "return {", "0"],
                &["eval", "return redis.error_reply('MY error')", "0"],
                &["eval", half, "1", key, "text"],
                &["lpush", key, "a"],
                &["eval", GET, "x", key],
                &["eval_ro", "return redis.call('set', KEYS[1], '1')", "1", key],
                &["fcall", "none", "0"],
                &["get", key],
                &["eval", GET, "1", "{z}other"],
                &["exec"],
            ],
        )
        .await;
        for expected in [
            "*10 -NOSCRIPT No matching script. Please use EVAL. -ERR Error compiling script",
            " -MY error -ERR value is not an integer or out of range",
            " -WRONGTYPE Operation against a key holding the wrong kind of value -ERR value is not an integer or out of range -ERR Write commands are not allowed from read-only scripts.",
            " -ERR Function not found $4 text $-1",
        ] {
            assert!(answer.contains(expected), "{answer:?} does not contain {expected:?}");
        }
    }
}

#[tokio::test]
async fn a_script_is_loaded_before_it_is_called() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let sha = convoke_script::sha1_hex(GET.as_bytes());
    let answer = last(
        client,
        &[
            &["multi"],
            &["script", "load", GET],
            &["set", "k", "v"],
            &["evalsha", &sha, "1", "k"],
            &["exec"],
        ],
    )
    .await;
    assert_eq!(answer, format!("*3 $40 {sha} +OK $1 v"));
    let library = "#!lua name=lib\nredis.register_function('get', function(keys) return redis.call('get', keys[1]) end)";
    let answer = last(
        client,
        &[
            &["multi"],
            &["set", "k", "w"],
            &["function", "load", library],
            &["fcall", "get", "1", "k"],
            &["exec"],
        ],
    )
    .await;
    assert_eq!(answer, "*3 +OK $3 lib $1 w");
}

#[tokio::test]
async fn databases_are_selected_and_watched_keys_are_checked() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let set = "return redis.call('set', KEYS[1], ARGV[1])";
    let answer = last(
        client,
        &[
            &["multi"],
            &["set", "k", "0"],
            &["select", "3"],
            &["eval", set, "1", "k", "3"],
            &["get", "k"],
            &["select", "0"],
            &["get", "k"],
            &["exec"],
        ],
    )
    .await;
    assert_eq!(answer, "*6 +OK +OK +OK $1 3 +OK $1 0");
    let other = &mut client_of(&server, Trust::Full);
    for (watched, key) in [("k", "k"), ("{k}w", "k"), ("far", "k")] {
        for changes in [true, false] {
            reply(client, &["watch", watched]).await;
            if changes {
                reply(other, &["set", watched, "changed"]).await;
            }
            let answer = last(
                client,
                &[&["multi"], &["set", key, "1"], &["eval", set, "1", key, "2"], &["exec"]],
            )
            .await;
            assert_eq!(answer, if changes { "*-1" } else { "*2 +OK +OK" }, "{watched}");
        }
    }
    assert_eq!(reply(client, &["get", "k"]).await, "$1 2");
}

/// Increments one key by a command, another by a script, and a third by a command.
async fn increment(server: Arc<Server>, keys: [&'static str; 3]) {
    let client = &mut client_of(&server, Trust::Full);
    let script = "for i = 1, 1000 do end return redis.call('incr', KEYS[1])";
    for _ in 0..50 {
        last(
            client,
            &[
                &["multi"],
                &["incr", keys[0]],
                &["eval", script, "1", keys[1]],
                &["incr", keys[2]],
                &["exec"],
            ],
        )
        .await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_a_part_of_a_transaction_with_scripts() {
    for keys in [["a", "b", "c"], ["{t}a", "{t}b", "{t}c"]] {
        let server = server();
        let writing = tokio::spawn(increment(Arc::clone(&server), keys));
        let client = &mut client_of(&server, Trust::Full);
        let mut seen = 0;
        while !writing.is_finished() {
            let [a, b, c] = keys.map(|key| ["get", key]);
            let answer = last(client, &[&["multi"], &a, &b, &c, &["exec"]]).await;
            let values: Vec<&str> = answer.split(' ').skip(1).collect();
            let same: Vec<_> = values.chunks(values.len() / 3).collect();
            assert!(same.windows(2).all(|pair| pair[0] == pair[1]), "{answer}");
            seen += 1;
            tokio::task::yield_now().await;
        }
        writing.await.expect("no error");
        assert!(seen > 0);
        assert_eq!(reply(client, &["get", keys[1]]).await, "$2 50");
    }
}

/// Commands, a key that they read, and one that they do not read.
type Case<'a> = (&'a [&'a [&'a str]], Option<&'a str>, &'a str);

#[tokio::test]
async fn keys_that_a_script_reads_are_tracked_for_its_client() {
    let server = server();
    let mut reader = numbered_client(&server, 1, Trust::Full);
    let mut writer = numbered_client(&server, 2, Trust::Full);
    let library = "#!lua name=lib\nredis.register_function{function_name='read',callback=function(keys,args) return redis.call('get',args[1]) end,flags={'no-writes'}}";
    reply(&mut reader, &["function", "load", library]).await;
    let read = "return redis.call('get', ARGV[1])";
    let sha = convoke_script::sha1_hex(read.as_bytes());
    reply(&mut reader, &["script", "load", read]).await;
    let many = "local n = 0 for i = 1, 20 do n = n + redis.call('exists', 'many' .. i) end redis.call('set', 'w', n) return n";
    let notified = |client: &Client| {
        let next = client.output_buffer.next().expect("it keeps up");
        next.map(|message| String::from_utf8_lossy(&message.payload).into_owned())
    };
    let cases: [Case<'_>; 8] = [
        (&[&["eval", read, "1", "{k}", "k"]], Some("k"), "{k}"),
        (&[&["eval", read, "0", "k"]], Some("k"), "other"),
        (&[&["evalsha", &sha, "0", "k"]], Some("k"), "other"),
        (&[&["fcall", "read", "0", "k"]], Some("k"), "other"),
        (&[&["eval", many, "0"]], Some("many7"), "w"),
        (&[&["multi"], &["eval", read, "0", "k"], &["get", "l"], &["exec"]], Some("k"), "other"),
        (&[&["multi"], &["eval", read, "1", "{k}", "k"], &["exec"]], Some("k"), "{k}"),
        (&[&["eval", "return redis.call('set', KEYS[1], 1)", "1", "k"]], None, "k"),
    ];
    for mode in ["on", "on optin", "on optout"] {
        for (commands, read, unread) in cases {
            last(&mut reader, &[&["client", "tracking", "off"]]).await;
            shown(&mut reader, &format!("client tracking {mode}")).await;
            if mode == "on optin" {
                shown(&mut reader, "client caching yes").await;
            }
            last(&mut reader, commands).await;
            assert_eq!(notified(&reader), None, "{mode} {commands:?}");
            reply(&mut writer, &["set", unread, "1"]).await;
            assert_eq!(notified(&reader), None, "{mode} {commands:?}");
            if let Some(key) = read {
                reply(&mut writer, &["set", key, "1"]).await;
                assert_eq!(notified(&reader).as_deref(), Some(key), "{mode} {commands:?}");
            }
        }
    }
    // It has chosen otherwise.
    for (mode, choice) in [("on optin", "ping"), ("on optout", "client caching no")] {
        shown(&mut reader, "client tracking off").await;
        shown(&mut reader, &format!("client tracking {mode}")).await;
        shown(&mut reader, choice).await;
        reply(&mut reader, &["eval", read, "0", "k"]).await;
        reply(&mut writer, &["set", "k", "1"]).await;
        assert_eq!(notified(&reader), None, "{mode}");
    }
}
