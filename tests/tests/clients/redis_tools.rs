//! Redis' command line tools, run against members.

use std::fs;
use std::process::Command;

use convoke_tests::{Cluster, Member};

use crate::installed::Clients;
use crate::safe::wait_until_safe;

/// The default tests of `redis-benchmark`, without those of `PING`.
const TESTS: &str =
    "set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset";

#[test]
fn redis_cli_and_redis_benchmark_work_as_with_redis() {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);

    assert_eq!(run(&clients, "redis-cli", &members[0], "set cart:7 apples"), "OK\n");
    assert_eq!(run(&clients, "redis-cli", &members[1], "get cart:7"), "apples\n");
    let hello = run(&clients, "redis-cli", &members[2], "-3 hello 3");
    assert!(hello.contains("proto 3") && hello.contains("mode standalone"), "{hello}");
    let many = run(&clients, "redis-cli", &members[1], "-r 3 incr visits");
    assert_eq!(many, "1\n2\n3\n");

    for pipeline in ["1", "16"] {
        let words = format!("-q -n 4000 -c 20 -r 1000 -P {pipeline} -t {TESTS}");
        let stdout = run(&clients, "redis-benchmark", &members[2], &words);
        let rates = stdout.matches(" requests per second").count();
        assert_eq!(rates, TESTS.split(',').count() + 1, "LPUSH runs again for LRANGE: {stdout}");
        assert!(!stdout.to_lowercase().contains("error"), "{stdout}");
    }
}

/// Runs a tool and returns its output.
#[track_caller]
fn run(clients: &Clients, tool: &str, member: &Member, words: &str) -> String {
    let root = clients.suites().join("root/usr");
    let libraries = fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
    let libraries: Vec<String> = libraries.map(|lib| lib.path().display().to_string()).collect();
    let output = Command::new(root.join("bin").join(tool))
        .args(["-p", &member.resp().port().to_string()])
        .args(words.split(' '))
        .env("LD_LIBRARY_PATH", libraries.join(":"))
        .output()
        .expect("the tools were fetched");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {words}: {stdout}{stderr}");
    stdout
}
