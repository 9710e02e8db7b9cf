#!/usr/bin/env bash
# Runs every test. Installs or starts what the tests need first; so far, that is nothing beside a Rust toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

say "tests, all features"
cargo test --all-features

say "tests, each store alone, and none"
cargo test --no-default-features --lib
cargo test --no-default-features --features memory,conformance --lib --tests
cargo test --no-default-features --features redb,conformance --lib --tests
cargo test --no-default-features --features sqlite,conformance --lib --tests

say "examples"
quickstart() { cargo run --quiet --example quickstart -- "$@"; }
first=$(quickstart --fresh)
again=$(quickstart)
printf '%s\n\n%s\n' "$first" "$again"
grep -q '^9 hits, 1 misses' <<<"$first" || { echo "quickstart: the first run should miss once" >&2; exit 1; }
grep -q '^10 hits, 0 misses' <<<"$again" || { echo "quickstart: the second run should never miss" >&2; exit 1; }
stampede=$(cargo run --quiet --example stampede)
printf '\n%s\n' "$stampede"
grep -q '^1 calls, 999 coalesced, 1000 hits' <<<"$stampede" || { echo "stampede: one call should do" >&2; exit 1; }
