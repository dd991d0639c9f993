#!/usr/bin/env bash
# hickory-resolver reads resolv.conf, and drops the zone of a nameserver, use-vc and rotate.
#
# `parse_resolv_conf` (also behind `read_system_conf`) uses the crate resolv-conf, which parses
# all three. The conversion to hickory's own configuration loses them, without a warning:
# `nameserver fe80::1%eth0` becomes fe80::1, a link-local address that cannot be reached
# without its zone; with `options use-vc` (TCP only) UDP is still tried first; with
# `options rotate` the server order stays the default, by query statistics. `ndots`, `timeout`
# and `attempts` of the same line are kept. Seen with hickory-resolver 0.26.3.
#
# Parse the file with resolv-conf as well, keep only the TCP connection of each server, and
# set `ServerOrderingStrategy::RoundRobin`. There is no field for a zone.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "read-resolv-conf"
version = "0.1.0"
edition = "2021"

[dependencies]
hickory-resolver = { version = "=0.26.3", default-features = false, features = ["tokio", "system-config"] }
resolv-conf = "=0.7.6"

[profile.dev]
debug = false
TOML
cat > "$work/src/main.rs" <<'RUST'
use hickory_resolver::system_conf::parse_resolv_conf;

fn main() {
    let file = "nameserver fe80::1%eth0\noptions use-vc rotate ndots:3 timeout:4 attempts:5\n";
    let parsed = resolv_conf::Config::parse(file).expect("the file is valid");
    println!(
        "resolv-conf: {} use-vc {} rotate {} ndots {} timeout {} attempts {}",
        parsed.nameservers[0],
        parsed.use_vc,
        parsed.rotate,
        parsed.ndots,
        parsed.timeout,
        parsed.attempts
    );
    let (config, options) = parse_resolv_conf(file).expect("the file is valid");
    let server = &config.name_servers()[0];
    let protocols: Vec<String> =
        server.connections.iter().map(|connection| format!("{:?}", connection.protocol)).collect();
    println!(
        "hickory: {} over {} in the order {:?} ndots {} timeout {} attempts {}",
        server.ip,
        protocols.join("+"),
        options.server_ordering_strategy,
        options.ndots,
        options.timeout.as_secs(),
        options.attempts
    );
}
RUST
echo "hickory-resolver 0.26.3, resolv-conf 0.7.6"
printed=$(cd "$work" && cargo run --quiet --target-dir "$work/target")
echo "$printed"
seen='resolv-conf: fe80::1%eth0 use-vc true rotate true ndots 3 timeout 4 attempts 5
hickory: fe80::1 over Udp+Tcp in the order QueryStatistics ndots 3 timeout 4 attempts 5'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "the zone, use-vc and rotate are parsed, and lost in the conversion"
