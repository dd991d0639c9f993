//! Example modes with the servers that they are written for: etcd, and moto in place of the AWS
//! API, both installed by `cargo xtask test --examples`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use convoke_tests::{Cluster, Launch, http};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::examples::{COMPILED, target};

/// Until a server answers.
const STARTED: Duration = Duration::from_secs(30);
/// Until a lease of three seconds has expired in etcd.
const EXPIRED_MAX: Duration = Duration::from_secs(20);

/// A server's process, ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `poll` returns something.
#[track_caller]
fn wait_for<T>(bound: Duration, what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(started.elapsed() < bound, "timed out after {bound:?} waiting for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A single etcd node, in the folder of a cluster.
struct Etcd {
    _process: Server,
    address: SocketAddr,
}

impl Etcd {
    fn start(cluster: &Cluster, target: &Path) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], cluster.spare_port(1)));
        let (clients, peers) =
            (format!("http://{address}"), format!("http://127.0.0.1:{}", cluster.spare_port(2)));
        let log = fs::File::create(cluster.folder().join("etcd.log")).unwrap();
        let mut etcd = Command::new(target.join("examples-tools/etcd/usr/bin/etcd"));
        etcd.arg("--data-dir").arg(cluster.folder().join("etcd"));
        etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        etcd.args(["--initial-cluster", &format!("default={peers}")]);
        let process = etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let process = Server(process.expect("etcd is installed"));
        wait_for(STARTED, "etcd that is healthy", || {
            http::get(address, "/health").ok().filter(|answer| answer.body.contains("true"))
        });
        Self { _process: process, address }
    }

    #[track_caller]
    fn post(&self, path: &str, request: &Value) -> Value {
        let answer = http::post(self.address, path, &request.to_string()).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// The number of keys from `/` to `0`.
    fn keys(&self) -> u64 {
        let all = self.post("/v3/kv/range", &json!({ "key": "Lw==", "range_end": "MA==" }));
        all["count"].as_str().map_or(0, |count| count.parse().expect("a number"))
    }

    #[track_caller]
    fn wait_for_keys(&self, count: u64) {
        wait_for(EXPIRED_MAX, &format!("{count} keys"), || (self.keys() == count).then_some(()));
    }

    /// A member that uses it, with additional settings.
    fn member<'a>(&self, cluster: &'a Cluster, target: &Path, settings: &str) -> Launch<'a> {
        let url = format!("http://{}", self.address);
        let component = target.join("examples/etcd.wasm").display().to_string();
        let text = format!(
            "[[discovery]]\nmode = \"etcd\"\nplugin = {component:?}\nargument = {url:?}\n\
             grant = {{ http = [{url:?}] }}\nwasi = \"inert\"\n\
             settings = {{ ttl-s = 3, look-again-ms = 300{settings} }}\n"
        );
        cluster.launch().option("--config", cluster.write("etcd.toml", text).display().to_string())
    }
}

/// Run exclusively: a member that is delayed for the duration of its lease is removed as well.
#[test]
fn members_find_each_other_in_etcd_and_are_removed_from_it_when_they_stop() {
    let Some(target) = target() else { return };
    let cluster = Cluster::exclusive();
    let etcd = Etcd::start(&cluster, &target);
    let start = || {
        let member = etcd.member(&cluster, &target, "").start();
        member.wait_for_line(COMPILED, &["announced in etcd"]);
        member
    };
    let (first, mut second, third) = (start(), start(), start());
    cluster.agree([&first, &second, &third]);
    assert_eq!(etcd.keys(), 3);
    second.signal(Signal::TERM);
    assert_eq!(second.wait_exit(EXPIRED_MAX).code(), Some(0));
    assert_eq!(etcd.keys(), 2, "it removed its announcement");
    first.signal(Signal::KILL);
    etcd.wait_for_keys(1);
    cluster.agree([&third]);
}

#[test]
fn etcd_with_authentication_is_supported() {
    let Some(target) = target() else { return };
    let cluster = Cluster::new();
    let etcd = Etcd::start(&cluster, &target);
    // `/convoke/` to `/convoke0`.
    let all =
        json!({ "permType": "READWRITE", "key": "L2NvbnZva2Uv", "range_end": "L2NvbnZva2Uw" });
    for (path, request) in [
        ("user/add", json!({ "name": "root", "password": "r" })),
        ("user/grant", json!({ "user": "root", "role": "root" })),
        ("role/add", json!({ "name": "members" })),
        ("role/grant", json!({ "name": "members", "perm": all })),
        ("user/add", json!({ "name": "convoke", "password": "of-etcd" })),
        ("user/grant", json!({ "user": "convoke", "role": "members" })),
        ("enable", json!({})),
    ] {
        etcd.post(&format!("/v3/auth/{path}"), &request);
    }
    let start = |settings| etcd.member(&cluster, &target, settings).start();
    for (settings, words) in [
        ("", ["mode \"etcd\" stopped", "user is not set"]),
        (
            ", user = \"convoke\", password = \"wrong\"",
            ["rejects this name or password", "retrying"],
        ),
    ] {
        let member = start(settings);
        member.wait_for_line(COMPILED, &words);
        member.wait_for_line(COMPILED, &["does not found a cluster until it succeeds"]);
        assert!(member.view().is_none(), "it has not founded a cluster");
    }
    let valid = ", user = \"convoke\", password = \"of-etcd\"";
    let members = [start(valid), start(valid)];
    for member in &members {
        member.wait_for_line(COMPILED, &["announced in etcd"]);
    }
    cluster.agree(&members);
}

/// A simulated cloud with this machine as its only instance.
struct Cloud {
    process: Server,
    endpoint: String,
    access: String,
    secret: String,
}

impl Cloud {
    fn start(target: &Path) -> Self {
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "cloud/server.py"].iter().collect();
        let mut python = Command::new(target.join("examples-tools/moto/bin/python"));
        python.arg(script).arg("cluster=shop").env("PYTHONDONTWRITEBYTECODE", "1");
        let process = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Server(process.spawn().expect("moto is installed"));
        let stdout = process.0.stdout.take().expect("it is piped");
        let line = BufReader::new(stdout).lines().next().expect("a line").expect("text");
        let credentials: Value = serde_json::from_str(&line).expect("JSON");
        let text = |name: &str| credentials[name].as_str().expect("text").to_owned();
        let (endpoint, access, secret) = (text("endpoint"), text("access"), text("secret"));
        Self { process, endpoint, access, secret }
    }
}

#[test]
fn a_member_finds_instances_of_a_cloud_with_valid_credentials_only() {
    let Some(target) = target() else { return };
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    let cloud = Cloud::start(&target);
    let launch = |argument: &str, secret: &str| {
        let component = target.join("examples/cloud.wasm").display().to_string();
        let Cloud { endpoint, access, .. } = &cloud;
        let port = first.address().port();
        let text = format!(
            "[[discovery]]\nmode = \"cloud\"\nplugin = {component:?}\nargument = {argument:?}\n\
             grant = {{ http = [{endpoint:?}] }}\nwasi = \"inert\"\n\
             settings = {{ region = \"eu-central-1\", endpoint = {endpoint:?}, port = {port}, \
             access-key = {access:?}, secret-key = {secret:?} }}\n"
        );
        cluster.launch().option("--config", cluster.write("cloud.toml", text).display().to_string())
    };
    let found = launch("tag:cluster=shop", &cloud.secret).start();
    found.wait_for_line(COMPILED, &["called all candidates", "count=1"]);
    cluster.agree([&first, &found]);

    let refused = launch("tag:cluster=shop", "another").start();
    refused.wait_for_line(COMPILED, &["mode \"cloud\" stopped", "access-key", "AuthFailure"]);
    refused.wait_for_line(COMPILED, &["does not found a cluster until it succeeds"]);
    assert!(refused.view().is_none(), "it has not founded a cluster");
    drop(refused);
    let first = launch("tag:cluster=other", &cloud.secret).start();
    first.wait_for_line(COMPILED, &["this member is the first of its cluster"]);
    drop(cloud.process);
}
