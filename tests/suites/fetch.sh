#!/bin/bash
# Downloads everything that the suites need to a folder: Redis' tests, Redis' programs for
# comparison, and redis-py with its tests. Nothing is installed or changed outside of the folder,
# and no root is needed.
#
#   fetch.sh FOLDER            the suites tcl and redis-py
#   fetch.sh --newer FOLDER    the suites redis8 and valkey, in addition
#
#   FOLDER/redis/tests     Redis' Tcl tests, from the source package of Debian's redis
#   FOLDER/root/usr/...    redis-server, redis-cli, redis-benchmark, of the same package;
#                          with the libraries that they need, and tclsh if it is not installed
#   FOLDER/redis-py        redis-py's source distribution, including its tests
#   FOLDER/complete        written last: a folder without it is incomplete
#
#   FOLDER/newer/redis8, FOLDER/newer/valkey
#                          sources with tests of the same packages in a later release of Debian
#   FOLDER/newer/root      redis-server and valkey-server of that release, with its C library, as
#                          they do not run with that of an older release
#   FOLDER/newer/complete  written last
#
# All downloads are made by apt and pip, from the sources configured on this machine. PYTHON is a
# Python with pip (default python3).

set -euo pipefail

python=${PYTHON:-python3}

# The version of redis-py, unless the tests of clients pin another one.
redis_py=8.1.0
here=$(cd "$(dirname "$0")" && pwd)
wanted=$here/../clients/requirements.txt
if [ -f "$wanted" ]; then
    named=$(sed -n 's/^redis *== *\([0-9.]*\).*/\1/p' "$wanted")
    redis_py=${named:-$redis_py}
fi

# The release of Debian with the newer packages. Its name stays when it becomes stable.
newer_release=forky

newer=
[ "${1:-}" = --newer ] && { newer=yes; shift; }
[ $# = 1 ] || { echo "usage: fetch.sh [--newer] FOLDER" >&2; exit 2; }
for program in apt-get apt-cache dpkg-deb dpkg-query tar awk ldd; do
    command -v "$program" >/dev/null || { echo "fetch.sh: $program is not installed" >&2; exit 1; }
done
"$python" -m pip --version >/dev/null 2>&1 || { echo "fetch.sh: $python has no pip; set PYTHON to a Python with pip" >&2; exit 1; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
stamp=$folder/complete
if [ -n "$newer" ]; then
    stamp=$folder/newer/complete
    mkdir -p "$folder/newer"
    if [ -f "$stamp" ]; then
        echo "fetch.sh: $folder/newer is complete: $(paste -sd ' ' "$stamp")"
        exit 0
    fi
elif [ -f "$stamp" ] && [ "$(sed -n 's/^redis-py //p' "$stamp")" = "$redis_py" ]; then
    echo "fetch.sh: $folder is complete: $(paste -sd ' ' "$stamp")"
    exit 0
fi
rm -f "$stamp"

# --- A separate apt configuration: the machine's sources for its release, with source packages.

apt=$folder/apt
rm -rf "$apt"
mkdir -p "$apt/sources" "$apt/state/lists/partial" "$apt/cache/archives/partial"
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")

# One-line style: "deb [options] URI SUITE COMPONENT ...".
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$list" ] || continue
    awk -v release="$release" '
        $1 == "deb" {
            suite = 3
            if ($2 ~ /^\[/) { for (at = 2; $at !~ /\]$/; at++); suite = at + 2 }
            if ($suite != release && index($suite, release "-") != 1 && index($suite, release "/") != 1) next
            print
            $1 = "deb-src"
            print
        }' "$list"
done > "$apt/sources/own.list"

# Paragraphs with fields: "Types:", "URIs:", "Suites:", ...
for list in /etc/apt/sources.list.d/*.sources; do
    [ -f "$list" ] || continue
    grep -v '^#' "$list" | awk -v release="$release" 'BEGIN { RS = ""; FS = "\n" } {
        fits = 0
        for (at = 1; at <= NF; at++) {
            if ($at ~ /^Suites:/) {
                count = split($at, suites, /[ \t]+/)
                for (s = 2; s <= count; s++)
                    if (suites[s] == release || index(suites[s], release "-") == 1 || index(suites[s], release "/") == 1) fits = 1
            }
            if ($at ~ /^Types:/) $at = "Types: deb deb-src"
        }
        if (fits) { for (at = 1; at <= NF; at++) print $at; print "" }
    }'
done > "$apt/sources/own.sources"
if [ -n "$newer" ]; then
    # The machine's archive, under the name of the later release, without updates and security.
    archive=$(cat "$apt"/sources/own.* | awk -v release="$release" '
        $1 == "deb" && $0 ~ "[ \t]" release "[ \t]" { for (at = 2; at <= NF; at++) if ($at ~ /:\/\//) { print $at; exit } }
        $1 == "URIs:" { uri = $2 }
        $1 == "Suites:" { for (at = 2; at <= NF; at++) if ($at == release) found = uri }
        END { if (found) print found }' | head -1)
    rm -f "$apt"/sources/own.*
    [ -n "$archive" ] || { echo "fetch.sh: apt has no archive of $release in /etc/apt" >&2; exit 1; }
    for kind in deb deb-src; do
        echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $newer_release main"
    done > "$apt/sources/own.list"
    release=$newer_release
fi
if ! [ -s "$apt/sources/own.list" ] && ! [ -s "$apt/sources/own.sources" ]; then
    echo "fetch.sh: apt has no sources of $release in /etc/apt" >&2
    exit 1
fi

# Read after the machine's settings, so that proxies are kept.
cat > "$apt/apt.conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$apt/sources";
Dir::State "$apt/state";
Dir::State::Lists "$apt/state/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$apt/cache";
Dir::Cache::archives "$apt/cache/archives";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
apt_get() { apt-get -c "$apt/apt.conf" --quiet=2 "$@"; }
apt_cache() { apt-cache -c "$apt/apt.conf" --quiet=2 "$@"; }

echo "fetch.sh: reading the package lists of $release"
apt_get update

# Libraries that this package needs; the first of several alternatives.
libraries_of() {
    apt_cache depends "$1" 2>/dev/null | awk '
        / Depends: / { if (!other && $2 ~ /^lib/ && $2 != "libc6") print $2; other = 0 }
        /\|Depends: / { if (!other && $2 ~ /^lib/) print $2; other = 1 }'
}
unpack() { # PACKAGE ...
    (cd "$apt/cache" && apt_get download "$@" && for package in ./*.deb; do
        dpkg-deb -x "$package" "$root"
        rm "$package"
    done)
}

# --- The newer suites.

if [ -n "$newer" ]; then
    root=$folder/newer/root
    rm -rf "$folder/newer"
    mkdir -p "$root" "$apt/source"
    versions=
    for package in redis valkey; do
        version=$(apt_cache show --no-all-versions "$package-server" | sed -n 's/^Version: //p')
        [ -n "$version" ] || { echo "fetch.sh: $release has no package $package-server" >&2; exit 1; }
        echo "fetch.sh: fetching $package $version and its tests"
        (cd "$apt/source" && apt_get source --download-only "$package" >/dev/null)
        into=$folder/newer/$([ "$package" = redis ] && echo redis8 || echo valkey)
        mkdir -p "$into"
        tar -xf "$apt/source/${package}"_*.orig.tar.* -C "$into" --strip-components=1
        [ -f "$into/tests/test_helper.tcl" ] || { echo "fetch.sh: the source of $package has no tests" >&2; exit 1; }
        unpack "$package-server" "$package-tools"
        versions="$versions$package $version
"
    done
    # All libraries of that release: the programs run with its loader and none of the machine's.
    unpack libc6
    asked=" "
    wanted=(redis-tools valkey-tools)
    while [ ${#wanted[@]} -gt 0 ]; do
        next=()
        for package in "${wanted[@]}"; do
            for library in $(libraries_of "$package"); do
                case $asked in *" $library "*) continue ;; esac
                asked="$asked$library "
                next+=("$library")
                unpack "$library"
            done
        done
        wanted=(${next[@]+"${next[@]}"})
    done
    loader=$(find "$root/usr/lib" -name 'ld-linux*.so.*' -path '*-linux-*' | head -1)
    for program in redis-server valkey-server; do
        "$loader" --library-path "$(dirname "$loader")" "$root/usr/bin/$program" --version >/dev/null ||
            { echo "fetch.sh: $program of $release does not run on this machine" >&2; exit 1; }
    done
    rm -rf "$apt"
    printf '%s' "$versions" > "$stamp"
    echo "fetch.sh: $folder/newer is complete: $(paste -sd ' ' "$stamp")"
    exit 0
fi

# --- Redis' tests.

version=$(apt_cache show --no-all-versions redis-server | sed -n 's/^Version: //p')
[ -n "$version" ] || { echo "fetch.sh: apt knows no package redis-server" >&2; exit 1; }
echo "fetch.sh: fetching redis $version and its tests"
rm -rf "$folder/source" "$folder/redis"
mkdir -p "$folder/source" "$folder/redis"
(cd "$folder/source" && apt_get source --download-only redis >/dev/null)
# The unpatched release: Debian's patches do not concern tests.
tar -xf "$folder"/source/redis_*.orig.tar.* -C "$folder/redis" --strip-components=1
[ -f "$folder/redis/tests/test_helper.tcl" ] || { echo "fetch.sh: the source has no tests" >&2; exit 1; }

# --- Redis' programs.

root=$folder/root
rm -rf "$root"
mkdir -p "$root"
unpack redis-server redis-tools
command -v tclsh >/dev/null || unpack tcl8.6 libtcl8.6

library_path() { find "$root/usr/lib" "$root/lib" -maxdepth 1 -type d -name '*-linux-*' 2>/dev/null | paste -sd :; }
missing() {
    for program in "$root"/usr/bin/redis-server "$root"/usr/bin/redis-cli "$root"/usr/bin/tclsh8.6; do
        [ -e "$program" ] || continue
        LD_LIBRARY_PATH=$(library_path) ldd "$program" 2>&1 | awk '/not found/ { print $1 }'
    done | sort -u
}
asked=" "
wanted=(redis-tools libtcl8.6)
while [ -n "$(missing)" ] && [ ${#wanted[@]} -gt 0 ]; do
    next=()
    for package in "${wanted[@]}"; do
        for library in $(libraries_of "$package"); do
            case $asked in *" $library "*) continue ;; esac
            asked="$asked$library "
            next+=("$library")
            dpkg-query -W -f '${Status}' "$library" 2>/dev/null | grep -q 'ok installed' || unpack "$library"
        done
    done
    wanted=(${next[@]+"${next[@]}"})
done
if [ -n "$(missing)" ]; then
    echo "fetch.sh: still missing: $(missing | paste -sd ' ')" >&2
    exit 1
fi

# --- redis-py.

echo "fetch.sh: fetching redis-py $redis_py"
rm -rf "$folder/redis-py"
mkdir -p "$folder/redis-py"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary redis \
    --dest "$folder/source" "redis==$redis_py"
tar -xf "$folder/source/redis-$redis_py.tar.gz" -C "$folder/redis-py" --strip-components=1
[ -f "$folder/redis-py/tests/test_commands.py" ] || { echo "fetch.sh: redis-py's source has no tests" >&2; exit 1; }

rm -rf "$apt" "$folder/source"
printf 'redis %s\nredis-py %s\n' "$version" "$redis_py" > "$stamp"
echo "fetch.sh: $folder is complete: $(paste -sd ' ' "$stamp")"
