#!/usr/bin/env bash
# BIND refuses more than 100 records of one type at one name, and named-checkzone does not.
#
# Since July 2024 (9.18.28, 9.20.0) named has `max-records-per-type`, 100 by default. A zone
# with 101 addresses at one name, such as a service of 101 instances, is not loaded at all:
# every name of the zone is SERVFAIL. A named that only resolves replies SERVFAIL for such a
# name of another server's zone as well. `named-checkzone` and `named-checkconf -z` report no
# error for the same file. Seen with BIND 9.18.49 of Debian 12; dnsmasq 2.90, the other
# server here, has no such limit.
#
# Set `max-records-per-type` in `options`, `view` or `zone` (0 is no limit); where the
# resolvers are not yours, use fewer addresses per name.
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
unpack bind9 bind9-libs bind9-utils bind9-dnsutils dnsmasq-base
PATH="$work/root/usr/sbin:$work/root/usr/bin:$PATH"
named -v
dnsmasq --version | head -1

# The status and the number of answers of a query: port, name.
ask() {
    dig +tries=1 +time=5 -p "$1" @127.0.0.1 "$2" A > "$work/answer" || true
    sed -nE 's/.*status: ([A-Z]+).*/\1/p; s/.*(ANSWER: [0-9]+).*/\1/p' "$work/answer" | paste -sd' '
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

primary=$((20000 + RANDOM % 20000)) other=$((primary + 1)) resolver=$((primary + 2))
options="directory \"$work\"; listen-on-v6 { none; }; pid-file none; session-keyfile none; dnssec-validation no;"
hosts=()
for count in 100 101; do
    {
        printf '%s\n' "\$ORIGIN of-$count.test." "\$TTL 60" '@ SOA ns h 1 3600 600 86400 60' \
            '@ NS ns' 'ns A 127.0.0.1'
        for i in $(seq "$count"); do
            echo "many A 10.0.0.$i"
        done
    } > "$work/of-$count.zone"
    named-checkzone "of-$count.test" "$work/of-$count.zone" | paste -sd' '
    for i in $(seq "$count"); do
        hosts+=("--host-record=many.of-$count.test,10.0.0.$i")
    done
done
cat > "$work/primary.conf" <<CONF
options { $options listen-on port $primary { 127.0.0.1; }; recursion no; };
controls { };
zone "of-100.test" { type primary; file "$work/of-100.zone"; };
zone "of-101.test" { type primary; file "$work/of-101.zone"; };
CONF
cat > "$work/resolver.conf" <<CONF
options { $options listen-on port $resolver { 127.0.0.1; }; recursion yes; };
controls { };
zone "of-100.test" { type forward; forward only; forwarders { 127.0.0.1 port $other; }; };
zone "of-101.test" { type forward; forward only; forwarders { 127.0.0.1 port $other; }; };
CONF
named-checkconf -z "$work/primary.conf"
named -g -c "$work/primary.conf" 2> "$work/primary.log" &
named -g -c "$work/resolver.conf" 2> "$work/resolver.log" &
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --no-daemon \
    --bind-interfaces --pid-file= --user="$(id -un)" --listen-address=127.0.0.1 --port="$other" \
    --local=/test/ "${hosts[@]}" 2> "$work/other.log" &
wait_for "$primary"
wait_for "$resolver"
wait_for "$other"

printed="100 addresses: named $(ask "$primary" many.of-100.test); dnsmasq $(ask "$other" many.of-100.test); named that resolves $(ask "$resolver" many.of-100.test)
101 addresses: named $(ask "$primary" many.of-101.test); dnsmasq $(ask "$other" many.of-101.test); named that resolves $(ask "$resolver" many.of-101.test)
another name of the zone of 101: named $(ask "$primary" ns.of-101.test)"
echo "$printed"
grep -ho 'error adding.*' "$work/primary.log" "$work/resolver.log" | sort -u
seen='100 addresses: named NOERROR ANSWER: 100; dnsmasq NOERROR ANSWER: 100; named that resolves NOERROR ANSWER: 100
101 addresses: named SERVFAIL ANSWER: 0; dnsmasq NOERROR ANSWER: 101; named that resolves SERVFAIL ANSWER: 0
another name of the zone of 101: named SERVFAIL ANSWER: 0'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "101 records of a type are SERVFAIL with named, after named-checkzone said OK"
