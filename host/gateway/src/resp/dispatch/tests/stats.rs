//! Tests of what operators see: `INFO`, `SLOWLOG`, `LATENCY`, `MONITOR`.

use std::sync::Arc;
use std::time::Duration;

use convoke_script::Value;

use crate::output_buffer::MessageKind;
use crate::resp::answer::Answer;
use crate::resp::client::Client;
use crate::resp::server::Server;
use crate::testing::{call, numbered_client, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

fn server() -> Arc<Server> {
    server_on(single_member_grid(), Passwords::default())
}

async fn line(client: &mut Client, line: &str) -> Answer {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    call(client, &args).await
}

async fn text(client: &mut Client, words: &str) -> String {
    match line(client, words).await {
        Answer::Value(Value::Verbatim(_, text)) => String::from_utf8_lossy(&text).into_owned(),
        answer => panic!("{words}: {answer:?}"),
    }
}

/// What a monitor was shown since it was asked last, without the times.
fn seen(monitor: &Client) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(message) = monitor.output_buffer.next().unwrap() {
        assert_eq!(message.kind, MessageKind::Line);
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        seen.push(text.split_once(' ').unwrap().1.to_owned());
    }
    seen
}

/// `calls`, `rejected_calls` and `failed_calls` of a command in the reply of `INFO commandstats`.
fn counted(info: &str, name: &str) -> [u64; 3] {
    let found = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:")));
    let found = found.unwrap_or_else(|| panic!("{name} in {info}"));
    let numbers: Vec<&str> = found.split([',', '=']).collect();
    [1, 7, 9].map(|at| numbers[at].parse().unwrap())
}

fn titles(info: &str) -> Vec<&str> {
    info.lines().filter_map(|line| line.strip_prefix("# ")).collect()
}

#[tokio::test]
async fn info_has_the_sections_of_redis() {
    let server = server();
    let mut client = numbered_client(&server, 1, Trust::Full);
    let by_default = [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "CPU",
        "Modules",
        "Errorstats",
        "Cluster",
        "Keyspace",
    ];
    assert_eq!(titles(&text(&mut client, "info").await), by_default);
    assert_eq!(titles(&text(&mut client, "info default").await), by_default);
    assert_eq!(titles(&text(&mut client, "info all").await).len(), 13);
    assert_eq!(titles(&text(&mut client, "info everything").await).len(), 13);
    let chosen = text(&mut client, "info commandstats CPU nonsense").await;
    assert_eq!(titles(&chosen), ["CPU", "Commandstats"]);
    assert_eq!(text(&mut client, "info nonsense").await, "");
    let all = text(&mut client, "info").await;
    for name in [
        "redis_version:7.4.0",
        "used_memory_rss:",
        "used_memory_peak:",
        "keyspace_hits:",
        "instantaneous_ops_per_sec:",
        "master_replid:",
        "master_repl_offset:0",
        "loading:0",
        "aof_enabled:0",
        "used_cpu_sys:",
        "tracking_clients:0",
        "tracking_total_keys:0",
    ] {
        assert!(all.contains(&format!("\r\n{name}")), "{name} in {all}");
    }
}

#[tokio::test]
async fn calls_and_errors_are_counted_until_they_are_reset() {
    let server = server();
    let mut client = numbered_client(&server, 1, Trust::Full);
    for words in ["set k 1", "get k", "get none", "lpush k 1", "get", "nonsense", "hget k f"] {
        line(&mut client, words).await;
    }
    line(&mut client, "lpush l 1").await;
    line(&mut client, "get l").await;
    line(&mut client, "multi").await;
    line(&mut client, "incr k").await;
    line(&mut client, "exec").await;
    let counted = text(&mut client, "info commandstats").await;
    let of = |name: &str| {
        let found = counted.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:")));
        let found = found.unwrap_or_else(|| panic!("{name} in {counted}"));
        let parts: Vec<&str> = found.split(',').collect();
        format!("{} {} {}", parts[0], parts[3], parts[4])
    };
    assert_eq!(of("set"), "calls=1 rejected_calls=0 failed_calls=0");
    assert_eq!(of("get"), "calls=3 rejected_calls=1 failed_calls=1");
    assert_eq!(of("lpush"), "calls=2 rejected_calls=0 failed_calls=1");
    assert_eq!(of("incr"), "calls=1 rejected_calls=0 failed_calls=0");
    let errors = text(&mut client, "info errorstats").await;
    assert!(errors.contains("errorstat_WRONGTYPE:count=3\r\n"), "{errors}");
    assert!(errors.contains("errorstat_ERR:count=2\r\n"), "{errors}");
    let latency = text(&mut client, "info latencystats").await;
    assert!(latency.contains("latency_percentiles_usec_get:p50="), "{latency}");
    let stats = text(&mut client, "info stats").await;
    assert!(stats.contains("total_error_replies:5\r\n"), "{stats}");
    assert!(stats.contains("keyspace_misses:") && !stats.contains("keyspace_misses:0\r\n"));
    assert_eq!(line(&mut client, "config resetstat").await, Answer::DONE);
    let counted = text(&mut client, "info commandstats errorstats stats").await;
    assert!(!counted.contains("cmdstat_get") && !counted.contains("errorstat_"), "{counted}");
    assert!(counted.contains("keyspace_misses:0\r\n"), "{counted}");
}

#[tokio::test]
async fn slow_commands_are_listed() {
    let server = server();
    let mut client = numbered_client(&server, 1, Trust::Full);
    line(&mut client, "client setname me").await;
    assert_eq!(line(&mut client, "slowlog get").await, Answer::List(Vec::new()));
    let settings = "config set latency-monitor-threshold 10 slowlog-log-slower-than 11000";
    assert_eq!(line(&mut client, settings).await, Answer::DONE);
    client.note_slow(false, Duration::from_millis(12), vec![b"keys".to_vec(), b"*".to_vec()]);
    client.note_slow(true, Duration::from_millis(34), vec![b"get".to_vec()]);
    assert_eq!(line(&mut client, "slowlog len").await, Answer::integer(2));
    let Answer::List(all) = line(&mut client, "slowlog get -1").await else { panic!("a list") };
    let Answer::List(latest) = &all[0] else { panic!("{all:?}") };
    assert_eq!((&latest[0], &latest[2]), (&Answer::integer(1), &Answer::integer(34_000)));
    assert_eq!(latest[3], Answer::List(vec![Answer::word("get")]));
    assert_eq!((&latest[4], &latest[5]), (&Answer::word("127.0.0.1:1"), &Answer::word("me")));
    let Answer::List(one) = line(&mut client, "slowlog get 1").await else { panic!("a list") };
    assert_eq!(one.len(), 1);
    for wrong in ["slowlog get -2", "slowlog get x"] {
        let error = Answer::Error("ERR count should be greater than or equal to -1".into());
        assert_eq!(line(&mut client, wrong).await, error);
    }

    for (setting, why) in [
        (
            "slowlog-log-slower-than -2",
            "argument must be between -1 and 9223372036854775807 inclusive",
        ),
        ("slowlog-max-len 1025", "argument must be between 0 and 1024 inclusive"),
        ("slowlog-max-len -1", "argument must be between 0 and 1024 inclusive"),
        ("latency-monitor-threshold x", "argument couldn't be parsed into an integer"),
    ] {
        let name = setting.split(' ').next().unwrap_or_default();
        let error =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
        let answer = line(&mut client, &format!("config set {setting}")).await;
        assert_eq!(answer, Answer::Error(error.into()));
    }
    assert_eq!(line(&mut client, "config set slowlog-max-len 1").await, Answer::DONE);
    assert_eq!(line(&mut client, "slowlog len").await, Answer::integer(1));
    assert_eq!(line(&mut client, "config set slowlog-max-len 1024").await, Answer::DONE);
    let Answer::List(latest) = line(&mut client, "latency latest").await else { panic!("a list") };
    assert_eq!(latest.len(), 2);
    let Answer::List(event) = &latest[1] else { panic!("{latest:?}") };
    assert_eq!((&event[0], &event[3]), (&Answer::word("fast-command"), &Answer::integer(34)));
    let history = line(&mut client, "latency history command").await;
    assert!(matches!(&history, Answer::List(all) if all.len() == 1), "{history:?}");
    assert_eq!(line(&mut client, "latency history x").await, Answer::List(Vec::new()));
    assert!(text(&mut client, "latency doctor").await.contains("fast-command: 1 samples"));
    assert!(text(&mut client, "latency graph command").await.starts_with("command - high 12 ms"));
    let error = Answer::Error("ERR No samples available for event 'x'".into());
    assert_eq!(line(&mut client, "latency graph x").await, error);
    assert_eq!(line(&mut client, "latency reset command x").await, Answer::integer(1));
    assert_eq!(line(&mut client, "latency reset").await, Answer::integer(1));
    assert_eq!(line(&mut client, "slowlog reset").await, Answer::DONE);
    assert_eq!(line(&mut client, "slowlog len").await, Answer::integer(0));

    let names = |answer: Answer| {
        let Answer::Map(all) = answer else { panic!("{answer:?}") };
        all.into_iter().map(|(name, _)| format!("{name:?}")).collect::<String>()
    };
    let all = names(line(&mut client, "latency histogram slowlog client|setname get").await);
    assert!(all.contains("slowlog|get") && all.contains("client|setname"), "{all}");
    assert!(!all.contains("latency"), "{all}");
    for help in ["slowlog help", "latency help"] {
        assert!(matches!(line(&mut client, help).await, Answer::List(_)), "{help}");
    }
}

#[tokio::test]
async fn a_monitor_sees_the_commands_of_others() {
    let server = server();
    let mut monitor = numbered_client(&server, 1, Trust::Full);
    let mut client = numbered_client(&server, 2, Trust::Full);
    assert_eq!(line(&mut monitor, "monitor").await, Answer::DONE);
    for words in ["select 3", "set k v", "auth default secret", "config get save", "get"] {
        line(&mut client, words).await;
    }
    assert_eq!(
        seen(&monitor),
        [
            r#"[0 127.0.0.1:1] "select" "3""#,
            r#"[3 127.0.0.1:1] "set" "k" "v""#,
            r#"[3 127.0.0.1:1] "auth" "(redacted)" "(redacted)""#,
        ],
        "neither administration nor what is rejected"
    );
    line(&mut monitor, "reset").await;
    monitor.output_buffer.next().unwrap();
    line(&mut client, "ping").await;
    assert_eq!(monitor.output_buffer.next(), Ok(None));
}

/// A monitor sees `[3 lua] "set" "k"` for a call of a script on database 3.
#[tokio::test]
async fn commands_of_scripts_are_shown_and_counted_as_in_redis() {
    let server = server();
    let mut monitor = numbered_client(&server, 1, Trust::Full);
    let mut client = numbered_client(&server, 2, Trust::Full);
    let library: &[u8] = b"#!lua name=test
        redis.register_function('test', function() return redis.call('set', 'f', 'bar') end)";
    call(&mut client, &[b"function", b"load", library]).await;
    line(&mut client, "set k v").await;
    line(&mut client, "config resetstat").await;
    line(&mut monitor, "monitor").await;
    // The first is one step, the second one a transaction that starts again with another database,
    // and then for the reply of DBSIZE.
    for (keys, script) in [
        (
            "1",
            "redis.call('set', KEYS[1], 1) redis.pcall('lpush', KEYS[1], 1) redis.pcall('get') \
             redis.pcall('nosuch') redis.pcall('subscribe', 'x') return redis.call('ping')",
        ),
        (
            "0",
            "redis.call('set', 'a', 1) redis.call('select', 3) redis.call('incr', 'b') \
             redis.call('dbsize') return redis.call('Echo', 'e')",
        ),
    ] {
        let mut words: Vec<&[u8]> = vec![b"eval", script.as_bytes(), keys.as_bytes()];
        if keys == "1" {
            words.push(b"k");
        }
        let answer = call(&mut client, &words).await;
        assert!(!matches!(answer, Answer::Value(Value::Error(_))), "{answer:?}");
    }
    line(&mut client, "fcall test 0").await;
    line(&mut client, "multi").await;
    line(&mut client, "set k 2").await;
    line(&mut client, "fcall test 0").await;
    call(&mut client, &[b"eval", b"return redis.call('incr', KEYS[1])", b"1", b"k"]).await;
    line(&mut client, "exec").await;
    let seen = seen(&monitor);
    let of_scripts: Vec<&str> = seen.iter().filter_map(|line| line.strip_suffix('"')).collect();
    let of_scripts: Vec<&&str> = of_scripts.iter().filter(|line| line.contains(" lua]")).collect();
    assert_eq!(
        of_scripts,
        [
            &r#"[0 lua] "set" "k" "1"#,
            &r#"[0 lua] "lpush" "k" "1"#,
            &r#"[0 lua] "ping"#,
            &r#"[0 lua] "set" "a" "1"#,
            &r#"[3 lua] "select" "3"#,
            &r#"[3 lua] "incr" "b"#,
            &r#"[3 lua] "dbsize"#,
            &r#"[3 lua] "Echo" "e"#,
            &r#"[0 lua] "set" "f" "bar"#,
            &r#"[0 lua] "set" "f" "bar"#,
            &r#"[0 lua] "incr" "k"#,
        ]
    );
    assert!(seen[0].contains("\"eval\"") && seen[1].contains("lua"), "{seen:?}");
    let info = text(&mut client, "info commandstats").await;
    for (name, numbers) in [
        // Those of the first script, of the second one, of the function twice, and of MULTI.
        ("set", [5, 0, 0]),
        ("incr", [2, 0, 0]),
        ("lpush", [1, 0, 1]),
        ("get", [0, 1, 0]),
        ("subscribe", [0, 1, 0]),
        ("select", [1, 0, 0]),
        ("dbsize", [1, 0, 0]),
        ("echo", [1, 0, 0]),
    ] {
        assert_eq!(counted(&info, name), numbers, "{name}");
    }
    let errors = text(&mut client, "info errorstats").await;
    assert!(errors.contains("errorstat_WRONGTYPE:count=1\r\n"), "{errors}");
    assert!(errors.contains("errorstat_ERR:count=3\r\n"), "{errors}");
    let latency = text(&mut client, "info latencystats").await;
    assert!(latency.contains("latency_percentiles_usec_lpush:p50="), "{latency}");
    let stats = text(&mut client, "info stats").await;
    assert!(stats.contains("total_error_replies:4\r\n"), "{stats}");
}

/// What Redis 7.0 counts for an error in a script: once for the command that returned it, and as a
/// failure of `EVAL` if it is its reply.
#[tokio::test]
async fn an_error_in_a_script_is_counted_once() {
    let server = server();
    let mut client = numbered_client(&server, 1, Trust::Full);
    line(&mut client, "set k v").await;
    for (script, failed, errors) in [
        ("redis.pcall('get') return 1", 0, "ERR:count=1"),
        ("return redis.call('lpush', KEYS[1], 1)", 1, "WRONGTYPE:count=1"),
        ("return redis.pcall('lpush', KEYS[1], 1)", 1, "WRONGTYPE:count=1"),
        ("redis.pcall('lpush', KEYS[1], 1) return 1", 0, "WRONGTYPE:count=1"),
        (
            "redis.pcall('lpush', KEYS[1], 1) error('x')",
            1,
            "ERR:count=1 errorstat_WRONGTYPE:count=1",
        ),
        ("redis.call('nosuch')", 1, "ERR:count=1"),
        ("return {err = redis.pcall('lpush', KEYS[1], 1).err}", 1, "WRONGTYPE:count=2"),
        ("return redis.call('cluster', 'reset', 'hard')", 1, "ERR:count=1"),
    ] {
        line(&mut client, "config resetstat").await;
        call(&mut client, &[b"eval", script.as_bytes(), b"1", b"k"]).await;
        let info = text(&mut client, "info commandstats").await;
        assert_eq!(counted(&info, "eval"), [1, 0, failed], "{script}");
        let counted = text(&mut client, "info errorstats").await;
        let counted = counted.trim_end().replace("# Errorstats\r\nerrorstat_", "");
        assert_eq!(counted.replace("\r\n", " "), errors, "{script}");
    }
}

#[tokio::test]
async fn the_section_on_keys_counts_those_that_expire() {
    let server = server();
    let mut client = numbered_client(&server, 1, Trust::Full);
    for words in ["set a 1", "set b 1 ex 1000", "set c 1 px 1000000", "persist c", "hset h f v"] {
        line(&mut client, words).await;
    }
    let keyspace = text(&mut client, "info keyspace").await;
    assert!(keyspace.contains("db0:keys=4,expires=1,avg_ttl=0\r\n"), "{keyspace}");
}
