//! Nearly valid configuration files, checked by the binary itself: it accepts them, or refuses them
//! in one line.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use convoke_harness::{mutate, noise};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::Run;
use crate::report::shown;

/// Time limit of a check.
const CHECK_MAX: Duration = Duration::from_secs(10);

/// Polling interval of the process.
const POLL: Duration = Duration::from_millis(1);

/// Numbers at the edges of types.
const NUMBERS: [&str; 12] = [
    "-1",
    "0",
    "1",
    "255",
    "256",
    "65535",
    "65536",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "1e309",
];

const TOML: &str = r#"
cluster-name = "shop"
start-port = 6900
cluster-mode = ["tcpip:10.0.0.1-20,10.0.1.0/28:6900-6902", "multicast"]
interfaces = ["10.0.*.*", "eth*", "127.0.0.1"]
public-address = "example:7000"
port = 8080
auto-bind-range = 5
resp-port = 6379
min-members = 2
partitions = 271
lite = false
[maps."*"]
backups = 1
async-backups = 1
ttl-s = 3600
max-idle-s = 60
memory-mib = 256
eviction = "lru"
merge = "last-writer"
[maps."cache-*"]
backups = 0
[[discovery]]
mode = "dns"
settings = { names = "members.shop.example" }
grant = { http = ["https://shop.example"] }
"#;

const XML: &str = r#"<?xml version="1.0"?>
<hazelcast xmlns="http://www.hazelcast.com/schema/config">
  <cluster-name>shop</cluster-name>
  <network>
    <port auto-increment="true" port-count="100">5701</port>
    <public-address>1.2.3.4:5701</public-address>
    <join>
      <multicast enabled="false"><multicast-group>224.2.2.3</multicast-group></multicast>
      <tcp-ip enabled="true"><member-list><member>10.0.0.1-10</member></member-list></tcp-ip>
      <kubernetes enabled="false"><service-dns>a.b</service-dns></kubernetes>
    </join>
    <interfaces enabled="true"><interface>10.3.16.*</interface></interfaces>
  </network>
  <lite-member enabled="true"/>
  <map name="m"><backup-count>1</backup-count></map>
</hazelcast>
"#;

const YAML: &str = "
hazelcast:
  cluster-name: shop
  network:
    port:
      port: 5701
      port-count: 20
      auto-increment: true
    join:
      multicast:
        enabled: false
      tcp-ip:
        enabled: true
        member-list: [10.0.0.1-10, \"10.0.0.2:5701\"]
    interfaces:
      enabled: true
      interfaces: [10.3.16.*]
  lite-member:
    enabled: true
";

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CONVOKE_BIN") {
        return path.into();
    }
    let this = std::env::current_exe().unwrap_or_default();
    let target = this.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    target.join("release/convoke")
}

/// A nearly valid file, and its extension.
fn file(random: &mut StdRng, last: &[u8]) -> (&'static str, Vec<u8>) {
    let (ending, text) = [("toml", TOML), ("xml", XML), ("yaml", YAML)][random.random_range(0..3)];
    let mut text = text.to_owned();
    if random.random_bool(0.5) {
        // A number is replaced.
        let places: Vec<usize> =
            text.match_indices(|c: char| c.is_ascii_digit()).map(|m| m.0).collect();
        let at = places[random.random_range(0..places.len())];
        let end = text[at..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |n| at + n);
        text.replace_range(at..end, NUMBERS[random.random_range(0..NUMBERS.len())]);
    }
    if random.random_bool(0.3) {
        // Lines are reordered or removed.
        let mut lines: Vec<&str> = text.lines().collect();
        let (one, other) =
            (random.random_range(0..lines.len()), random.random_range(0..lines.len()));
        lines.swap(one, other);
        if random.random_bool(0.5) {
            lines.remove(one);
        }
        text = lines.join("\n");
    }
    let mut bytes = text.into_bytes();
    match random.random_range(0..10) {
        0 => bytes = noise(random, 300),
        1..6 => mutate(random, &mut bytes, last),
        6 => {
            // Deep nesting.
            let depth = [50, 1_000, 100_000][random.random_range(0..3)];
            let piece = ["[", "<a>", "- ", "{", "&a [*a, "][random.random_range(0..5)];
            bytes = piece.repeat(depth).into_bytes();
        }
        _ => {}
    }
    (ending, bytes)
}

pub(crate) fn files(run: &mut Run) {
    let binary = binary();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut last = Vec::new();
    while run.has_time() {
        run.report.count();
        let (ending, bytes) = file(&mut run.random, &last);
        let path = folder.path().join(format!("case.{ending}"));
        std::fs::write(&path, &bytes).expect("the folder is writable");
        let words = if ending == "toml" || run.random.random_bool(0.5) {
            ["config", "check"]
        } else {
            ["config", "convert"]
        };
        let mut command = Command::new(&binary);
        command.args(words).arg(&path).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let what = format!("{}: {error}", binary.display());
                run.report.add("the binary cannot be started", &what, "");
                return;
            }
        };
        let input = || format!("{} {ending}, {}", words[1], shown(&bytes));
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if started.elapsed() < CHECK_MAX => std::thread::sleep(POLL),
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
            }
        };
        let mut printed = String::new();
        if let Some(stderr) = &mut child.stderr {
            let _ = std::io::Read::read_to_string(stderr, &mut printed);
        }
        match status.map(|status| status.code()) {
            Some(Some(0)) => {}
            Some(Some(2)) if is_refusal(&printed) => {}
            Some(Some(2)) => run.report.add("no refusal on one line", &printed, &input()),
            Some(code) => {
                let kind = match printed.split("panicked at ").nth(1) {
                    Some(place) => {
                        format!("panic at {}", place.lines().next().unwrap_or_default())
                    }
                    None => format!("ended with {code:?}"),
                };
                run.report.add(&kind, &printed, &input());
            }
            None => run.report.add("hang", "the check has no end", &input()),
        }
        last = bytes;
    }
}

/// One line that begins with `error: `, after warnings in the log.
fn is_refusal(printed: &str) -> bool {
    let mut rest = printed.trim_end().lines().filter(|line| !line.contains(" WARN "));
    rest.next().is_some_and(|line| line.starts_with("error: ")) && rest.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line() {
        assert!(is_refusal("error: no\n"));
        assert!(is_refusal("2026-01-01T00:00:00Z  WARN the password is empty\nerror: no\n\n"));
        assert!(!is_refusal("error: no\nand more\n"));
        assert!(!is_refusal(""));
    }
}
