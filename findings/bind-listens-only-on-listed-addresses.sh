#!/usr/bin/env bash
# BIND does not listen on an address that no interface lists, and reports no error.
#
# On Linux all of 127.0.0.0/8 is local: any program can bind 127.0.0.9. But `listen-on` of
# named is not a list of addresses to bind. It is a match list for the addresses of the
# interfaces, and the loopback interface lists only 127.0.0.1. With
# `listen-on { 127.0.0.9; };` named starts, reports no error and runs without listening on
# any IPv4 address; named-checkconf reports no error either. Unbound binds the same address.
# Seen with Debian 12's BIND 9.18.49 and Unbound 1.17.1.
#
# `ip address add 127.0.0.9/8 dev lo` makes named listen, also while it is running.
set -euo pipefail

if ! command -v apt-get > /dev/null || ! command -v dpkg-deb > /dev/null; then
    echo "SKIPPED: this needs packages of Debian (apt-get, dpkg-deb)"
    exit 0
fi
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$work"' EXIT

# Downloads and unpacks packages, with their libraries that are not installed.
unpack() {
    local libraries=() library
    while read -r library; do
        if [ "$(dpkg-query -Wf '${db:Status-Status}' "$library" 2> /dev/null)" != installed ]; then
            libraries+=("$library")
        fi
    done < <(apt-cache depends --recurse --important "$@" | grep -E '^lib[a-z0-9.+-]+$' \
        | grep -vE '^lib(c6|elogind0|pam|perl)|-perl$' | sort -u)
    (cd "$work" && apt-get download --quiet=2 -o APT::Sandbox::User=root "$@" "${libraries[@]}")
    for package in "$work"/*.deb; do
        dpkg-deb -x "$package" "$work/root"
    done
    LD_LIBRARY_PATH=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    export LD_LIBRARY_PATH
}
unpack bind9 bind9-libs bind9-utils bind9-dnsutils unbound
PATH="$work/root/usr/sbin:$work/root/usr/bin:$PATH"
named -v
unbound -V | head -1

# The status of a server's answer, or why there is none: address, port.
ask() {
    if dig +tries=1 +time=2 -p "$2" "@$1" ns.shop.test A > "$work/answer" 2>&1; then
        sed -nE 's/.*status: ([A-Z]+).*/\1/p' "$work/answer"
    else
        grep -o 'connection refused' "$work/answer" | head -1
    fi
}
# Waits until a server responds at a port, with any status.
wait_for() {
    for _ in $(seq 100); do
        if dig +tries=1 +time=1 -p "$1" @127.0.0.1 version.bind CH TXT > /dev/null 2>&1; then
            return
        fi
        sleep 0.1
    done
    echo "no server responds at port $1"
    exit 1
}

port=$((20000 + RANDOM % 20000))
cat > "$work/zone" <<'ZONE'
$ORIGIN shop.test.
$TTL 60
@ SOA ns h 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
ZONE
# The same two addresses for both; unbound has the next port.
cat > "$work/named.conf" <<CONF
options { directory "$work"; listen-on port $port { 127.0.0.1; 127.0.0.9; };
    listen-on-v6 { none; }; pid-file none; session-keyfile none; dnssec-validation no; recursion no; };
controls { };
zone "shop.test" { type primary; file "$work/zone"; };
CONF
sed 's/127.0.0.1; 127.0.0.9;/127.0.0.9;/' "$work/named.conf" > "$work/only.conf"
cat > "$work/unbound.conf" <<CONF
server:
    interface: 127.0.0.1@$((port + 1))
    interface: 127.0.0.9@$((port + 1))
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "$work"
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
    local-zone: "shop.test." static
    local-data: "ns.shop.test. 60 A 127.0.0.1"
remote-control:
    control-enable: no
CONF
named-checkconf "$work/only.conf"
echo "named-checkconf reports no error"
named -g -c "$work/named.conf" 2> "$work/named.log" &
unbound -d -c "$work/unbound.conf" 2> "$work/unbound.log" &
wait_for "$port"
wait_for "$((port + 1))"
printed="named at 127.0.0.1: $(ask 127.0.0.1 "$port"), at 127.0.0.9: $(ask 127.0.0.9 "$port")
unbound at 127.0.0.1: $(ask 127.0.0.1 "$((port + 1))"), at 127.0.0.9: $(ask 127.0.0.9 "$((port + 1))")"
echo "$printed"
grep -ho 'listening on IPv4.*' "$work/named.log"

# With 127.0.0.9 alone, until the log says that it is running.
named -g -c "$work/only.conf" 2> "$work/only.log" &
only=$!
for _ in $(seq 100); do
    if grep -q ' running$' "$work/only.log"; then
        break
    fi
    sleep 0.1
done
if kill -0 "$only" && ! grep -q 'listening on IPv4' "$work/only.log"; then
    alone="with 127.0.0.9 alone named runs, and listens on no IPv4 address"
else
    alone="with 127.0.0.9 alone named has ended, or listens"
fi
echo "$alone"
seen='named at 127.0.0.1: NOERROR, at 127.0.0.9: connection refused
unbound at 127.0.0.1: NOERROR, at 127.0.0.9: NOERROR
with 127.0.0.9 alone named runs, and listens on no IPv4 address'
if [ "$printed"$'\n'"$alone" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "named does not listen on 127.0.0.9, where unbound does"
