#!/usr/bin/env bash
# Runs every test. Installs first what the tests need beside a Rust toolchain: redis-server. The tests start servers of
# their own with it, each in a temporary folder, and end them. REDIS_URL names a server of yours for those that need but
# some server; they keep to namespaces of their own there.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

if ! command -v redis-server >/dev/null; then
  say "redis-server is missing"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Install redis-server (on Debian and its kin, as root: apt-get install redis-server), then run this again." >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server
fi

say "tests, all features"
cargo test --all-features

say "tests, each store alone, and none"
cargo test --no-default-features --lib
cargo test --no-default-features --features memory,conformance --lib --tests
cargo test --no-default-features --features redb,conformance --lib --tests
cargo test --no-default-features --features sqlite,conformance --lib --tests
cargo test --no-default-features --features redis,conformance --lib --tests

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
custom=$(cargo run --quiet --features conformance --example custom_store)
printf '\n%s\n' "$custom"
grep -q '^Shelf keeps every promise' <<<"$custom" || { echo "custom_store: a promise is broken" >&2; exit 1; }
