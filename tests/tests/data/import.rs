//! `convoke import`: a real Redis with values of all types is copied into a cluster, also when the
//! import is interrupted.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use convoke_tests::requirements::{below_target, skip};
use convoke_tests::resp::{Client, Value};
use convoke_tests::{Cluster, CompletedProcess, Launch, Member};

use crate::safe::wait_until_safe;

/// From the start of an import to its end.
const IMPORT_MAX: Duration = Duration::from_secs(120);
/// From the start of a server until it listens.
const LISTEN_MAX: Duration = Duration::from_secs(10);
/// Polling interval.
const POLL: Duration = Duration::from_millis(5);
/// Plain keys, so that an import takes several pages.
const KEYS: usize = 20_000;
/// Elements of a value that is copied in pieces.
const ELEMENTS: usize = 100_000;

/// A Redis without persistence. Stopped when dropped.
struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    /// `None` if there is no Redis: the test reports that it is skipped.
    #[track_caller]
    fn start() -> Option<Self> {
        let fetched = below_target(&PathBuf::from("suites/root/usr/bin/redis-server"));
        let mut fetched = fetched.filter(|file| file.is_file());
        let program = fetched.next().unwrap_or_else(|| "redis-server".into());
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--port", &port.to_string()]);
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            skip("there is no redis-server: run `cargo xtask test`, or install it");
            return None;
        };
        let mut redis = Self { child, address };
        let deadline = Instant::now() + LISTEN_MAX;
        while TcpStream::connect(address).is_err() {
            assert!(
                redis.child.try_wait().is_ok_and(|end| end.is_none()),
                "redis-server has ended"
            );
            assert!(Instant::now() < deadline, "redis-server does not listen at {address}");
            sleep(POLL);
        }
        Some(redis)
    }

    fn client(&self) -> Client {
        Client::connect(self.address).expect("redis-server accepts connections")
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends requests, none of which may fail.
#[track_caller]
fn send(client: &mut Client, requests: &[Vec<String>]) {
    for some in requests.chunks(500) {
        for reply in client.call_all(some).expect("the server answers") {
            assert_eq!(reply.error(), None);
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Values of all types, small and large.
#[track_caller]
fn fill(client: &mut Client) {
    let mut requests: Vec<Vec<String>> =
        (0..KEYS).map(|number| words(&format!("SET plain:{number} value-{number}"))).collect();
    for line in [
        "SET expires soon PX 3600000",
        "SET empty ",
        "SETBIT bits 12345 1",
        "PFADD visitors a b c",
        "RPUSH list a b 17 c",
        "SADD set a b c",
        "SADD numbers 1 2 3",
        "ZADD scores 1.5 a -inf b inf c 0.1 d",
        "HSET hash a 1 b 2",
        "XADD stream 1-1 a 1",
        "XADD stream 2-1 a 2",
        "XADD stream 3-1 a 3",
        "XDEL stream 2-1",
        "XGROUP CREATE stream readers 0",
        "XREADGROUP GROUP readers alice COUNT 1 STREAMS stream >",
        "XGROUP CREATECONSUMER stream readers bob",
        "XGROUP CREATE nothing readers 0 MKSTREAM",
        "SELECT 3",
        "SET other database",
        "EXPIRE other 500",
        "SELECT 0",
    ] {
        requests.push(words(line));
    }
    for command in ["RPUSH big-list", "SADD big-set", "ZADD big-scores", "HSET big-hash"] {
        for first in (0..ELEMENTS).step_by(1_000) {
            let mut request = words(command);
            for number in first..first + 1_000 {
                match command.split(' ').next() {
                    Some("ZADD") => {
                        request.extend([number.to_string(), format!("member-number-{number:032}")]);
                    }
                    Some("HSET") => {
                        request.extend([format!("field-{number}"), format!("value-{number:032}")]);
                    }
                    _ => request.push(format!("element-number-{number:040}")),
                }
            }
            requests.push(request);
        }
    }
    requests.push(vec!["SET".to_owned(), "big-string".to_owned(), "x".repeat(9 << 20)]);
    send(client, &requests);
}

/// An import into the cluster of a member, with more options.
fn import<'c>(cluster: &'c Cluster, redis: &Redis, member: &Member, more: &[&str]) -> Launch<'c> {
    let (url, to) = (redis.url(), member.resp().to_string());
    let words = [&["import", url.as_str(), "--to", to.as_str()], more].concat();
    cluster.launch().subcommand(&words, &[])
}

#[track_caller]
fn expect_equal(done: &CompletedProcess, keys: usize) {
    assert_eq!(done.status.code(), Some(0), "{done:#?}");
    assert!(done.stdout.contains(&format!("all of {keys} keys are equal")), "{}", done.stdout);
}

#[test]
fn all_types_of_values_are_copied_with_their_lifetimes() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new();
    let members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    fill(&mut redis.client());
    let library =
        "#!lua name=lib\nredis.register_function('hello', function() return 'copied' end)";
    send(&mut redis.client(), &[vec!["FUNCTION".into(), "LOAD".into(), library.into()]]);
    let keys = KEYS + 17;

    let counted = import(&cluster, &redis, &members[0], &["--dry-run"]).run(IMPORT_MAX);
    assert_eq!(counted.status.code(), Some(0), "{counted:#?}");
    let wanted = format!("{keys} keys would be copied");
    assert!(counted.stdout.starts_with(&wanted), "{}", counted.stdout);
    assert_eq!(members[1].client().command("DBSIZE").unwrap(), Value::Integer(0));

    let copied = import(&cluster, &redis, &members[0], &["--verify"]).run(IMPORT_MAX);
    expect_equal(&copied, keys);
    for line in ["1 library of functions copied", "compared 1 library of functions: no difference"]
    {
        assert!(copied.stdout.contains(line), "{line}: {}", copied.stdout);
    }
    let mut client = members[2].client();
    assert_eq!(client.command("FCALL hello 0").unwrap(), Value::from("copied"));
    assert_eq!(client.command("PTTL plain:7").unwrap(), Value::Integer(-1));
    let ttl = client.command("PTTL expires").unwrap().integer().unwrap();
    assert!((3_000_000..=3_600_000).contains(&ttl), "{ttl}");
    let pending = client.command("XPENDING stream readers").unwrap();
    assert_eq!(pending.list().unwrap()[0], Value::Integer(1));
    client.command("SELECT 3").unwrap();
    assert_eq!(client.command("GET other").unwrap(), Value::from("database"));

    // What is changed in the cluster is found.
    client.command("SELECT 0").unwrap();
    for line in
        ["SET plain:1 other", "DEL plain:2", "PERSIST expires", "SET more 1", "FUNCTION DELETE lib"]
    {
        client.command(line).unwrap();
    }
    let compared = import(&cluster, &redis, &members[1], &["--verify-only"]).run(IMPORT_MAX);
    assert_eq!(compared.status.code(), Some(1), "{compared:#?}");
    for line in [
        &format!("3 of {keys} keys differ"),
        "key plain:1 has another value",
        "key plain:2 is missing in the cluster",
        "key expires expires in the source only",
        "1 keys are in the cluster only:\n  database 0, key more",
        "compared 1 library of functions: 1 differ:",
        "lib: missing",
    ] {
        assert!(compared.stdout.contains(line), "{line}: {}", compared.stdout);
    }
}

#[test]
fn existing_keys_are_not_replaced_unless_that_is_asked_for() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new();
    let member = cluster.start();
    let (mut source, mut client) = (redis.client(), member.client());
    source.command("MSET a new b new").unwrap();
    client.command("SET a old").unwrap();

    let refused = import(&cluster, &redis, &member, &[]).run(IMPORT_MAX);
    let refusal = refused.refusal();
    assert!(refusal.starts_with("database 0 of the cluster has 1 keys already"), "{refusal}");
    assert_eq!(client.command("EXISTS b").unwrap(), Value::Integer(0));

    let kept = import(&cluster, &redis, &member, &["--existing", "skip"]).run(IMPORT_MAX);
    assert!(kept.stdout.contains("1 keys existed in the cluster and were kept"), "{kept:#?}");
    assert_eq!(client.command("MGET a b").unwrap().list().unwrap()[0], Value::from("old"));

    let replaced =
        import(&cluster, &redis, &member, &["--existing", "replace", "--verify"]).run(IMPORT_MAX);
    expect_equal(&replaced, 2);
    assert_eq!(client.command("GET a").unwrap(), Value::from("new"));
}

#[test]
fn an_import_that_is_killed_continues_with_its_state_file() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new();
    let member = cluster.start();
    fill(&mut redis.client());
    let options = ["--state", "import.json", "--databases", "0"];
    let mut first = import(&cluster, &redis, &member, &options).start();
    let state = cluster.folder().join("import.json");
    let deadline = Instant::now() + IMPORT_MAX;
    while !state.exists() {
        assert!(Instant::now() < deadline, "no state file is written");
        sleep(POLL);
    }
    first.kill();
    let options = [&options[..], &["--verify"]].concat();
    let second = import(&cluster, &redis, &member, &options).run(IMPORT_MAX);
    expect_equal(&second, KEYS + 16);
    assert!(second.stderr.contains("note: "), "{}", second.stderr);
}
