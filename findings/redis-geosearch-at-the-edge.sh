#!/usr/bin/env bash
# Redis does not find a place at the greatest latitude or longitude from one nearby.
#
# GEOADD accepts latitudes up to 85.05112878 and longitudes up to 180, both included. A place at
# exactly one of these is added, and GEOPOS and GEODIST return it. But GEOSEARCH from a place 126 m
# away, with a radius of 1 km, does not return it. The search in the other direction returns both.
# At 180 degrees, the place at longitude -180, 0.3 m from the one at 180, is found instead.
# Seen with Debian 12's Redis 7.0.15.
#
# A server that finds them, or a comparison of two servers with random places, differs here.
set -euo pipefail

if ! command -v apt-get > /dev/null || ! command -v dpkg-deb > /dev/null; then
    echo "SKIPPED: this needs packages of Debian (apt-get, dpkg-deb)"
    exit 0
fi
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$work"' EXIT

(cd "$work" && apt-get download --quiet=2 -o APT::Sandbox::User=root redis-server redis-tools \
    libjemalloc2 liblzf1 liblua5.1-0 lua-bitop lua-cjson libhiredis0.14 libatomic1 libsystemd0)
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done
LD_LIBRARY_PATH=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH
"$work/root/usr/bin/redis-server" --version
"$work/root/usr/bin/redis-server" --port 0 --unixsocket "$work/socket" --save "" \
    --appendonly no --dir "$work" > "$work/log" &
cli() { "$work/root/usr/bin/redis-cli" -s "$work/socket" "$@"; }
for _ in $(seq 100); do
    [ "$(cli PING 2> /dev/null || true)" = PONG ] && break
    sleep 0.1
done

# Fails unless the rest of the command line prints these words.
expect() {
    local wanted=$1 got
    shift
    got=$(cli "$@" | paste -sd' ')
    echo "$*: $got"
    if [ "$got" != "$wanted" ]; then
        echo "changed: it used to be $wanted"
        exit 1
    fi
}
expect 2 GEOADD north 0 85.05112878 edge 0 85.05 near
expect 125.5988 GEODIST north edge near m
expect near GEOSEARCH north FROMMEMBER near BYRADIUS 1 km ASC
expect "edge near" GEOSEARCH north FROMMEMBER edge BYRADIUS 1 km ASC
expect 3 GEOADD line 180 0 east -180 0 west 179.999 0 inner
expect 0.2983 GEODIST line east west m
expect 111.2779 GEODIST line east inner m
expect "inner west" GEOSEARCH line FROMMEMBER inner BYRADIUS 1 km ASC
echo "ok: a place at the edge is not found from one nearby"
