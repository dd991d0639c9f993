#!/usr/bin/env bash
# resolv-conf rejects a nameserver whose IPv6 zone is not only letters and digits.
#
# `nameserver fe80::1%eth0` is how the link-local address of a router is written in
# resolv.conf. The crate accepts a zone only if all its characters are alphanumeric, and many
# interface names have others: `br-lan`, a VLAN `eth0.100`, `wg_home`. `Config::parse` then
# fails for the whole file; `Config::parse_with_errors`, which hickory-resolver calls, drops
# the line, so that a file with this one server has none left. Seen with resolv-conf 0.7.6.
#
# The index of the interface is accepted (`fe80::1%2`, see `ip link`), and so is an alternative
# name of letters and digits (`ip link property add dev br-lan altname brlan`).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "zones"
version = "0.1.0"
edition = "2021"

[dependencies]
resolv-conf = "=0.7.6"
TOML
cat > "$work/src/main.rs" <<'RUST'
use resolv_conf::Config;

fn main() {
    for zone in ["eth0", "2", "brlan", "br-lan", "eth0.100", "wg_home"] {
        let file = format!("nameserver fe80::1%{zone}\nnameserver 192.0.2.53\n");
        let strict = match Config::parse(&file) {
            Ok(_) => "ok",
            Err(_) => "error",
        };
        let (lenient, errors) = Config::parse_with_errors(file.as_bytes());
        let servers: Vec<String> = lenient.nameservers.iter().map(|ip| ip.to_string()).collect();
        println!("{zone}: parse: {strict}; parse_with_errors: {}", servers.join(" "));
        for error in errors {
            eprintln!("    {error}");
        }
    }
}
RUST
echo "resolv-conf 0.7.6, two lines: nameserver fe80::1%ZONE, nameserver 192.0.2.53"
printed=$(cd "$work" && cargo run --quiet --target-dir "$work/target")
echo "$printed"
seen='eth0: parse: ok; parse_with_errors: fe80::1%eth0 192.0.2.53
2: parse: ok; parse_with_errors: fe80::1%2 192.0.2.53
brlan: parse: ok; parse_with_errors: fe80::1%brlan 192.0.2.53
br-lan: parse: error; parse_with_errors: 192.0.2.53
eth0.100: parse: error; parse_with_errors: 192.0.2.53
wg_home: parse: error; parse_with_errors: 192.0.2.53'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "zones with '-', '.' or '_' are errors: the server is lost"
