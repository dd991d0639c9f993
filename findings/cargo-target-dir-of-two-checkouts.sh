#!/usr/bin/env bash
# Two checkouts of one workspace that share CARGO_TARGET_DIR run each other's code.
#
# Cargo derives the file names of a path dependency's artifacts from the package's path within
# its workspace, so `lib` in one checkout and `lib` in another (a git worktree, for example) have
# the same file names in the target folder. Cargo decides whether to rebuild a package by
# comparing the modification times of its files with the last build. If the files of a checkout
# are older than the build of the other one, it is considered up to date: it links and runs the
# code of the other checkout, without a warning. Seen with cargo 1.95.0: the second program
# prints "one".
#
# Use a separate target folder for each checkout.
set -euo pipefail

seen="one"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo --version

for checkout in one two; do
    mkdir -p "$work/$checkout"/{lib,app}/src
    cat > "$work/$checkout/Cargo.toml" <<TOML
[workspace]
resolver = "2"
members = ["lib", "app"]
TOML
    cat > "$work/$checkout/lib/Cargo.toml" <<TOML
[package]
name = "shared-lib"
version = "0.1.0"
edition = "2021"
TOML
    cat > "$work/$checkout/app/Cargo.toml" <<TOML
[package]
name = "shared-app"
version = "0.1.0"
edition = "2021"

[dependencies]
shared-lib = { path = "../lib" }
TOML
    echo "pub fn checkout() -> &'static str { \"$checkout\" }" > "$work/$checkout/lib/src/lib.rs"
    echo 'fn main() { println!("{}", shared_lib::checkout()); }' > "$work/$checkout/app/src/main.rs"
done

export CARGO_TARGET_DIR="$work/target"
first=$(cd "$work/one" && cargo run --quiet)
second=$(cd "$work/two" && cargo run --quiet)
echo "the first checkout prints \"$first\", the second prints \"$second\""
if [ "$first" != "one" ] || [ "$second" != "$seen" ]; then
    echo "this has changed: expected \"one\" and \"$seen\""
    exit 1
fi
