#!/usr/bin/env bash
# A CNAME to a name that does not exist: NXDOMAIN from BIND, NOERROR from Unbound and dnsmasq.
#
# According to RFC 2308 (2.1) the status is that of the last name of the chain: NXDOMAIN, with
# the CNAME in the answer section, and the zone's SOA in the authority section. BIND does so. Unbound (auth-zone and
# local-data) and dnsmasq (--cname) reply NOERROR, with the CNAME alone and no SOA; for the
# missing name itself all of them reply NXDOMAIN. Unbound as a resolver in front of BIND passes
# the NXDOMAIN on. Seen with BIND 9.18.49, Unbound 1.17.1 and dnsmasq 2.90 of Debian 12.
#
# A client must not conclude from NOERROR with answers that there is an address, nor from
# NXDOMAIN that nothing exists at the name it asked for: look at the records in both cases.
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
unpack bind9 bind9-libs bind9-dnsutils unbound dnsmasq-base
PATH="$work/root/usr/sbin:$work/root/usr/bin:$PATH"
named -v
unbound -V | head -1
dnsmasq --version | head -1

# The status, and the kinds of records in the answer and authority sections: port, name.
ask() {
    dig +tries=1 +time=5 -p "$1" @127.0.0.1 "$2" A > "$work/answer" || true
    local status records
    status=$(sed -nE 's/.*status: ([A-Z]+).*/\1/p' "$work/answer")
    records=$(awk '/^[^;]/ { print $4 }' "$work/answer" | paste -sd+)
    echo "$status ${records:-nothing}"
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

named=$((20000 + RANDOM % 20000)) unbound=$((named + 1)) dnsmasq=$((named + 2))
cat > "$work/zone" <<'ZONE'
$ORIGIN shop.test.
$TTL 60
@ SOA ns h 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
alias CNAME missing
ZONE
sed s/shop/other/ "$work/zone" > "$work/other"
cat > "$work/named.conf" <<CONF
options { directory "$work"; listen-on port $named { 127.0.0.1; }; listen-on-v6 { none; };
    pid-file none; session-keyfile none; dnssec-validation no; recursion no; };
controls { };
zone "shop.test" { type primary; file "$work/zone"; };
zone "other.test" { type primary; file "$work/other"; };
CONF
# shop.test is its own, local.test is written in its configuration, other.test is named's.
cat > "$work/unbound.conf" <<CONF
server:
    interface: 127.0.0.1@$unbound
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "$work"
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
    do-not-query-localhost: no
    local-zone: "test." nodefault
    local-zone: "local.test." static
    local-data: "local.test. 60 SOA ns.local.test. h.local.test. 1 3600 600 86400 60"
    local-data: "alias.local.test. 60 CNAME missing.local.test."
remote-control:
    control-enable: no
auth-zone:
    name: "shop.test"
    zonefile: "$work/zone"
    for-downstream: yes
    for-upstream: yes
stub-zone:
    name: "other.test"
    stub-addr: 127.0.0.1@$named
CONF
named -g -c "$work/named.conf" 2> "$work/named.log" &
unbound -d -c "$work/unbound.conf" 2> "$work/unbound.log" &
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --no-daemon \
    --bind-interfaces --pid-file= --user="$(id -un)" --listen-address=127.0.0.1 --port="$dnsmasq" \
    --local=/shop.test/ --cname=alias.shop.test,missing.shop.test 2> "$work/dnsmasq.log" &
wait_for "$named"
wait_for "$unbound"
wait_for "$dnsmasq"

printed="named: the alias $(ask "$named" alias.shop.test), the missing name $(ask "$named" missing.shop.test)
unbound, auth-zone: the alias $(ask "$unbound" alias.shop.test), the missing name $(ask "$unbound" missing.shop.test)
unbound, local-data: the alias $(ask "$unbound" alias.local.test), the missing name $(ask "$unbound" missing.local.test)
unbound in front of named: the alias $(ask "$unbound" alias.other.test), the missing name $(ask "$unbound" missing.other.test)
dnsmasq: the alias $(ask "$dnsmasq" alias.shop.test), the missing name $(ask "$dnsmasq" missing.shop.test)"
echo "$printed"
seen='named: the alias NXDOMAIN CNAME+SOA, the missing name NXDOMAIN SOA
unbound, auth-zone: the alias NOERROR CNAME, the missing name NXDOMAIN SOA
unbound, local-data: the alias NOERROR CNAME, the missing name NXDOMAIN SOA
unbound in front of named: the alias NXDOMAIN CNAME+SOA, the missing name NXDOMAIN SOA
dnsmasq: the alias NOERROR CNAME, the missing name NXDOMAIN nothing'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "the alias is NXDOMAIN with named, NOERROR with unbound's own zones and with dnsmasq"
