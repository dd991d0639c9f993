//! Scripts, on the grid of a single member.

use std::time::Duration;

use convoke_script::{Value, sha1_hex};

use super::super::super::answer::Answer;
use super::super::super::client::Client;
use super::{reply, server};
use crate::testing::{call, client_of, server_on};
use crate::trust::{Passwords, Trust};

/// The text of an answer of one string.
async fn text(client: &mut Client, args: &[&str]) -> String {
    let reply = reply(client, args).await;
    reply.split_once(' ').map_or(reply.clone(), |(_, text)| text.to_owned())
}

#[tokio::test]
async fn a_script_reads_and_writes_its_keys() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let limiter = "local n = redis.call('incr', KEYS[1]) if n == 1 then redis.call('expire', KEYS[1], ARGV[1]) end return {n, redis.call('ttl', KEYS[1])}";
    assert_eq!(reply(client, &["eval", limiter, "1", "k", "60"]).await, "*2 :1 :60");
    assert_eq!(reply(client, &["eval", limiter, "1", "k", "60"]).await, "*2 :2 :60");
    assert_eq!(reply(client, &["eval", "return redis.call('get', 'k')", "0"]).await, "$1 2");
    assert_eq!(reply(client, &["eval", "return 1", "0"]).await, ":1");
    assert_eq!(
        reply(client, &["eval", "return {KEYS[1], ARGV[1]}", "1", "a", "b"]).await,
        "*2 $1 a $1 b"
    );
    let negative = reply(client, &["eval", "return 1", "-1"]).await;
    assert_eq!(negative, "-ERR Number of keys can't be negative");
    let many = reply(client, &["eval", "return 1", "2", "a"]).await;
    assert_eq!(many, "-ERR Number of keys can't be greater than number of args");
}

#[tokio::test]
async fn a_script_that_a_client_calls_again_may_have_been_flushed() {
    let server = server();
    let (client, other) =
        (&mut client_of(&server, Trust::Full), &mut client_of(&server, Trust::Full));
    let (source, sha) = ("return 7", sha1_hex(b"return 7"));
    for _ in 0..2 {
        assert_eq!(reply(client, &["eval", source, "1", "k"]).await, ":7");
        assert_eq!(reply(client, &["evalsha", &sha.to_uppercase(), "1", "k"]).await, ":7");
    }
    assert_eq!(reply(other, &["script", "flush"]).await, "+OK");
    let missing = reply(client, &["evalsha", &sha, "1", "k"]).await;
    assert_eq!(missing, "-NOSCRIPT No matching script. Please use EVAL.");
    // Called with its source again, it is known to all.
    assert_eq!(reply(client, &["eval", source, "1", "k"]).await, ":7");
    assert_eq!(reply(other, &["evalsha", &sha, "1", "k"]).await, ":7");
}

#[tokio::test]
async fn a_script_may_use_keys_of_any_partition_and_database() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let script = "for i = 1, 20 do redis.call('set', 'key:' .. i, i) end redis.call('select', 3) redis.call('set', 'other', 'x') return redis.call('get', 'other')";
    assert_eq!(reply(client, &["eval", script, "0"]).await, "$1 x");
    assert_eq!(reply(client, &["get", "key:20"]).await, "$2 20");
    assert_eq!(reply(client, &["get", "other"]).await, "$-1");
    assert_eq!(reply(client, &["select", "3"]).await, "+OK");
    assert_eq!(reply(client, &["get", "other"]).await, "$1 x");
    // It begins in one partition, and uses others only after it has changed something.
    let strays = "redis.call('incr', KEYS[1]) redis.call('rpush', '{' .. KEYS[1] .. '}l', 'a') for i = 1, 9 do redis.call('incr', 'n:' .. i) end return redis.call('get', KEYS[1])";
    for expected in ["$1 1", "$1 2"] {
        assert_eq!(reply(client, &["eval", strays, "1", "here"]).await, expected);
    }
    assert_eq!(reply(client, &["mget", "n:1", "n:9"]).await, "*2 $1 2 $1 2");
    assert_eq!(reply(client, &["llen", "{here}l"]).await, ":2");
    assert_eq!(
        reply(
            client,
            &["eval", "return redis.call('mset', 'a', 1, 'b', 2, 'c', 3)", "3", "a", "b", "c"]
        )
        .await,
        "+OK"
    );
    assert_eq!(reply(client, &["eval", "return redis.call('rename', 'a', 'z')", "0"]).await, "+OK");
    assert_eq!(reply(client, &["mget", "a", "z"]).await, "*2 $-1 $1 1");
}

#[tokio::test]
async fn what_happened_before_an_error_stays() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for keys in [&["1", "k"][..], &["0"]] {
        let mut args = vec!["eval", "redis.call('incr', 'k') redis.call('lpush', 'k', 'x')"];
        args.extend(keys);
        let failed = reply(client, &args).await;
        assert!(failed.starts_with("-WRONGTYPE Operation"), "{failed}");
        assert!(failed.ends_with(", on @user_script:1."), "{failed}");
    }
    assert_eq!(reply(client, &["get", "k"]).await, "$1 2");
}

#[tokio::test]
async fn a_script_that_takes_long_is_stopped_and_undone() {
    let server = server();
    let grid = server.grid.clone();
    // Its lease is renewed meanwhile.
    let ticking = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            grid.tick();
        }
    });
    let client = &mut client_of(&server, Trust::Full);
    // Longer than a partition is locked for, yet it ends.
    let slow = "redis.call('incr', KEYS[1]) local n = 0 for i = 1, 3000000 do n = n + 1 end return redis.call('get', KEYS[1])";
    assert_eq!(reply(client, &["eval", slow, "1", "slow"]).await, "$1 1");
    let endless =
        reply(client, &["eval", "redis.call('incr', KEYS[1]) while true do end", "1", "slow"])
            .await;
    assert_eq!(endless, "-ERR the script was stopped after 5000 ms; its changes were rolled back");
    assert_eq!(reply(client, &["get", "slow"]).await, "$1 1");
    assert_eq!(
        reply(client, &["script", "kill"]).await,
        "-NOTBUSY No scripts in execution right now."
    );
    ticking.abort();
}

#[tokio::test]
async fn scripts_are_called_by_their_checksum() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let sha = text(client, &["script", "load", "return ARGV[1]"]).await;
    assert_eq!(sha.len(), 40);
    assert_eq!(reply(client, &["evalsha", &sha.to_uppercase(), "0", "x"]).await, "$1 x");
    let other = "f".repeat(40);
    assert_eq!(reply(client, &["script", "exists", &sha, &other]).await, "*2 :1 :0");
    let missing = reply(client, &["evalsha", &other, "0"]).await;
    assert_eq!(missing, "-NOSCRIPT No matching script. Please use EVAL.");
    // Another member finds it in the cluster.
    let elsewhere = server_on(server.grid.clone(), Passwords::default());
    let other_client = &mut client_of(&elsewhere, Trust::Full);
    assert_eq!(reply(other_client, &["evalsha", &sha, "0", "y"]).await, "$1 y");
    assert_eq!(reply(client, &["script", "flush"]).await, "+OK");
    for client in [client, other_client] {
        assert_eq!(reply(client, &["script", "exists", &sha]).await, "*1 :0");
        assert!(reply(client, &["evalsha", &sha, "0"]).await.starts_with("-NOSCRIPT"));
    }
}

#[tokio::test]
async fn a_script_calls_only_what_it_may() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let error = async |client: &mut Client, script: &str| {
        text(client, &["eval", &format!("return redis.pcall({script}).err"), "0"]).await
    };
    for script in [
        "'subscribe', 'a'",
        "'multi'",
        "'subscribe', 'a'",
        "'eval', 'return 1', 0",
        "'auth', 'x'",
        "'client', 'list'",
    ] {
        let expected = "ERR This Redis command is not allowed from script";
        assert_eq!(error(client, script).await, expected, "{script}");
    }
    assert_eq!(error(client, "'nosuch'").await, "ERR Unknown Redis command called from script");
    assert_eq!(
        error(client, "'get'").await,
        "ERR Wrong number of args calling Redis command from script"
    );
    let write = reply(client, &["eval_ro", "return redis.call('set', KEYS[1], 1)", "1", "k"]).await;
    assert!(
        write.starts_with("-ERR Write commands are not allowed from read-only scripts."),
        "{write}"
    );
    let flagged = reply(
        client,
        &["eval", "#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 1)", "1", "k"],
    )
    .await;
    assert!(flagged.starts_with("-ERR Write commands are not allowed"), "{flagged}");
    let reader = &mut client_of(&server, Trust::ReadOnly);
    assert!(reply(reader, &["eval", "return 1", "0"]).await.starts_with("-NOPERM"));
    assert_eq!(
        reply(reader, &["eval_ro", "return redis.call('get', KEYS[1])", "1", "k"]).await,
        "$-1"
    );
}

#[tokio::test]
async fn a_script_may_call_commands_that_describe() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for (script, expected) in [
        ("redis.call('command', 'getkeys', 'get', 'k')", "*1 $1 k"),
        ("redis.call('command', 'info', 'nosuch')", "*1 $-1"),
        ("redis.call('wait', 1, 0)", ":0"),
        ("redis.call('waitaof', 0, 1, 0)", "*2 :0 :0"),
        ("redis.pcall('wait', 1, -1)", "-ERR timeout is negative"),
        ("redis.call('slowlog', 'len')", ":0"),
        ("redis.call('object', 'help')[2].ok", "$8 ENCODING"),
        ("redis.call('lastsave') > 1700000000", ":1"),
    ] {
        // Both as a step and as a transaction.
        for keys in [&["1", "k"][..], &["0"]] {
            let mut args = vec!["eval".to_owned(), format!("return {script}")];
            args.extend(keys.iter().map(|&word| word.to_owned()));
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            assert_eq!(reply(client, &args).await, expected, "{script}");
        }
    }
}

#[tokio::test]
async fn commands_on_whole_databases_can_be_called() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    reply(client, &["mset", "a", "1", "b", "2"]).await;
    assert_eq!(reply(client, &["eval", "return redis.call('dbsize')", "0"]).await, ":2");
    assert_eq!(reply(client, &["eval", "return #redis.call('keys', '*')", "1", "a"]).await, ":2");
    // It is called while the script holds locks.
    let later = "redis.call('incr', KEYS[1]) for _, key in ipairs(redis.call('keys', '*')) do redis.call('incr', key) end return redis.call('get', KEYS[1])";
    assert_eq!(reply(client, &["eval", later, "1", "a"]).await, "$1 3");
    assert_eq!(reply(client, &["get", "b"]).await, "$1 3");
    let time = call(client, &[b"eval", b"return redis.call('time')", b"1", b"a"]).await;
    assert!(matches!(time, Answer::Value(Value::Array(parts)) if parts.len() == 2));
}

#[tokio::test]
async fn a_transaction_executes_scripts_in_their_place() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for args in [
        &["multi"][..],
        &["set", "a", "1"],
        &["eval", "return redis.call('incr', KEYS[1])", "1", "a"],
        &["get", "a"],
        &["eval", "return redis.call('incrby', 'b', 5)", "0"],
        &["get", "b"],
    ] {
        reply(client, args).await;
    }
    assert_eq!(reply(client, &["exec"]).await, "*5 +OK :2 $1 2 :5 $1 5");
}

#[tokio::test]
async fn messages_are_published_when_the_script_is_done() {
    let server = server();
    let mut listener = client_of(&server, Trust::Full);
    reply(&mut listener, &["subscribe", "news"]).await;
    let client = &mut client_of(&server, Trust::Full);
    for keys in [&["1", "k"][..], &["0"]] {
        let mut args =
            vec!["eval", "redis.call('publish', 'news', 'x') redis.call('incr', 'k') return 1"];
        args.extend(keys);
        assert_eq!(reply(client, &args).await, ":1");
        assert!(listener.output_buffer.next().is_ok_and(|message| message.is_some()));
        assert_eq!(listener.output_buffer.next(), Ok(None));
    }
}

/// Calls a command with RESP3 in a script, and returns its reply as JSON.
async fn json(client: &mut Client, resp: &str, keys: &[&str], call: &str) -> String {
    let source = format!("redis.setresp({resp}) return cjson.encode(redis.call({call}))");
    let count = keys.len().to_string();
    let mut args = vec!["eval", &source, &count];
    args.extend(keys);
    text(client, &args).await
}

#[tokio::test]
async fn replies_differ_by_the_protocol_that_a_script_asked_for() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for line in ["zadd z 1 a 2.5 b", "zadd y 1 a", "hset h f 1", "xadd x 1-1 f v", "geoadd g 0 0 o"]
    {
        super::shown(client, line).await;
    }
    let cases = [
        (
            "'zrange','z','0','-1','withscores'",
            r#"[["a",{"double":1}],["b",{"double":2.5}]]"#,
            r#"["a","1","b","2.5"]"#,
        ),
        ("'zrangebyscore','z','2','3','withscores'", r#"[["b",{"double":2.5}]]"#, r#"["b","2.5"]"#),
        ("'zunion','1','y','withscores'", r#"[["a",{"double":1}]]"#, r#"["a","1"]"#),
        ("'zinter','1','y','withscores'", r#"[["a",{"double":1}]]"#, r#"["a","1"]"#),
        ("'zdiff','1','y','withscores'", r#"[["a",{"double":1}]]"#, r#"["a","1"]"#),
        ("'zrandmember','y','1','withscores'", r#"[["a",{"double":1}]]"#, r#"["a","1"]"#),
        ("'hrandfield','h','1','withvalues'", r#"[["f","1"]]"#, r#"["f","1"]"#),
        ("'zscan','y','0'", r#"["0",["a","1"]]"#, r#"["0",["a","1"]]"#),
        (
            "'xread','streams','x','0'",
            r#"{"map":{"x":[["1-1",["f","v"]]]}}"#,
            r#"[["x",[["1-1",["f","v"]]]]]"#,
        ),
        (
            "'geopos','g','o'",
            r#"[[{"double":2.6822090148926e-06},{"double":1.2673605809255e-06}]]"#,
            r#"[["2.682209014892578e-6","1.2673605809254695e-6"]]"#,
        ),
    ];
    for (call, resp3, resp2) in cases {
        assert_eq!(json(client, "3", &[], call).await, resp3, "{call}");
        assert_eq!(json(client, "2", &[], call).await, resp2, "{call}");
    }
    let verbatim = "redis.setresp(3) return redis.call('info','nope').verbatim_string.format";
    assert_eq!(reply(client, &["eval", verbatim, "0"]).await, "$3 txt");
    let popped = json(client, "3", &["z"], "'zpopmin','z','1'").await;
    assert_eq!(popped, r#"[["a",{"double":1}]]"#);
    let popped = json(client, "3", &["z"], "'zpopmin','z'").await;
    assert_eq!(popped, r#"["b",{"double":2.5}]"#);
}

#[tokio::test]
async fn blocking_commands_do_not_block_in_a_script() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for line in ["rpush l a b c d e f", "zadd z 1 a 2 b 3 c", "set s x"] {
        super::shown(client, line).await;
    }
    let cases = [
        ("'blpop','l','0'", "*2 $1 l $1 a"),
        ("'brpop','none','l','0'", "*2 $1 l $1 f"),
        ("'blpop','none','0'", "$-1"),
        ("'blpop','s','0'", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("'blpop','none','-1'", "-ERR timeout is negative"),
        ("'blmove','l','m','left','left','0'", "$1 b"),
        ("'blmove','none','m','left','left','0'", "$-1"),
        ("'brpoplpush','l','m','0'", "$1 e"),
        ("'brpoplpush','none','m','0'", "$-1"),
        ("'blmpop','0','2','none','l','left','count','2'", "*2 $1 l *2 $1 c $1 d"),
        ("'blmpop','0','1','none','left'", "$-1"),
        ("'bzmpop','0','1','z','min'", "*2 $1 z *1 *2 $1 a $1 1"),
        ("'bzmpop','0','1','none','min'", "$-1"),
        ("'bzpopmin','z','0'", "*3 $1 z $1 b $1 2"),
        ("'bzpopmax','z','0'", "*3 $1 z $1 c $1 3"),
        ("'bzpopmax','z','0'", "$-1"),
    ];
    for (call, expected) in cases {
        let source = format!("return redis.pcall({call})");
        assert_eq!(reply(client, &["eval", &source, "0"]).await, expected, "{call}");
    }
}
