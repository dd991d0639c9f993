#!/usr/bin/env bash
# if-addrs leaves IPv6 link-local addresses out unless its feature `link-local` is on.
#
# `if_addrs::get_if_addrs()` resembles getifaddrs(3), which returns all addresses of all
# interfaces. With default features the crate drops every address in fe80::/16, on Linux too; an
# interface with nothing but a link-local address is missing from the result, without an error. On
# Linux 169.254.0.0/16 is listed either way (the code for Windows drops it too), and so is the
# rest of fe80::/10. Seen with if-addrs 0.15.0.
#
# `if-addrs = { version = "0.15", features = ["link-local"] }` returns all of them. Cargo
# unifies features: another crate of the program may enable it for you.
set -euo pipefail

# A separate network namespace, which needs root or unprivileged user namespaces.
if ! unshare --net --map-root-user true 2> /dev/null || ! command -v ip > /dev/null; then
    echo "SKIPPED: no network namespace can be made here (unshare --net --map-root-user, ip)"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "list-addresses"
version = "0.1.0"
edition = "2021"

[features]
link-local = ["if-addrs/link-local"]

[dependencies]
if-addrs = "=0.15.0"
TOML
cat > "$work/src/main.rs" <<'RUST'
fn main() {
    for interface in if_addrs::get_if_addrs().expect("the kernel lists addresses") {
        println!("{} {}", interface.name, interface.ip());
    }
}
RUST
cargo build --quiet --manifest-path "$work/Cargo.toml" --target-dir "$work/without"
cargo build --quiet --manifest-path "$work/Cargo.toml" --target-dir "$work/with" --features link-local
echo "if-addrs 0.15.0, $(uname -s)"

# A veth pair, without the link-local addresses that the kernel would generate.
cat > "$work/network" <<'SH'
set -e
ip link add left type veth peer name right
for end in left right; do
    ip link set "$end" addrgenmode none
    ip link set "$end" up
done
ip address add 169.254.7.7/16 dev left
ip address add fd00::5/64 dev left nodad
ip address add fe80::5/64 dev left nodad
ip address add fe80::6/64 dev right nodad
ip address add fe81::6/64 dev right nodad
"$1/without/debug/list-addresses" | sort > "$1/without.txt"
"$1/with/debug/list-addresses" | sort > "$1/with.txt"
SH
unshare --net --map-root-user sh "$work/network" "$work"

echo "with the feature:"
sed 's/^/    /' "$work/with.txt"
echo "without:"
sed 's/^/    /' "$work/without.txt"
all=$'left 169.254.7.7\nleft fd00::5\nleft fe80::5\nright fe80::6\nright fe81::6'
seen=$'left 169.254.7.7\nleft fd00::5\nright fe81::6'
if [ "$(cat "$work/with.txt")" != "$all" ] || [ "$(cat "$work/without.txt")" != "$seen" ]; then
    echo "this has changed: without the feature, fe80::5 and fe80::6 were missing, and nothing else"
    exit 1
fi
echo "fe80::5 and fe80::6 are listed only with the feature"
