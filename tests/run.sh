#!/usr/bin/env bash
# Runs every test. First installs what the tests need besides a Rust toolchain: redis-server,
# Node.js with npm, and SecantusDB, a server of MongoDB's protocol, into .mongo-venv. The tests
# start their own servers from these, each in a temporary folder, and end them. If REDIS_URL or
# MONGODB_URI is set, tests for which any server suffices use that server, in namespaces of their
# own.
#
# The tests draw random numbers. LARDER_MODEL_SEED repeats a run of the model, and PROPTEST_RNG_SEED
# one of the properties. With --long, the model takes a million steps over each store instead of ten
# thousand, and the embedded stores are killed a hundred times instead of ten. LARDER_KILL_SEED
# repeats the moments of the kills, and LARDER_DAMAGE_SEED chooses other damage.
set -euo pipefail
cd "$(dirname "$0")/.."

long=
case "$*" in
  "") ;;
  --long) long=1 ;;
  *) echo "usage: tests/run.sh [--long]" >&2; exit 2 ;;
esac

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

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  say "Node.js or npm is missing"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Install Node.js 18 or later and npm (on Debian and its kin, as root: apt-get install nodejs npm), then run this" \
      "again." >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm
fi

# Every version is pinned, because SecantusDB pins none of its dependencies.
mongo_packages="SecantusDB==0.7.0b3 dnspython==2.9.2 future==1.0.0 numpy==2.4.6 pymongo==4.20.0 python-dateutil==4.0.0
  s2sphere==0.2.5 shapely==2.2.0 tzdata==2026.6"
if ! .mongo-venv/bin/python -c 'import secantus' 2>/dev/null; then
  say "SecantusDB is missing from .mongo-venv"
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
      echo "Install Python 3.10 or later with its venv module (on Debian and its kin, as root: apt-get install" \
        "python3-venv), then run this again." >&2
      exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
  fi
  rm -rf .mongo-venv
  python3 -m venv .mongo-venv
  # shellcheck disable=SC2086 # a list of words
  .mongo-venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: $mongo_packages
fi

say "tests, all features"
# The examples are built with the profile and the features of the tests, so nothing is built twice.
cargo build --profile test --workspace --all-features --bins --tests
cargo test --workspace --all-features
programs=${CARGO_TARGET_DIR:-target}/debug

if [ -n "$long" ]; then
  say "the model, a million steps over each store"
  LARDER_MODEL_STEPS=1000000 cargo test --release --all-features --test model

  say "a hundred kills of each embedded store"
  LARDER_KILLS=100 cargo test -p embedded-tests kill

  say "a full disk with ext4"
  if [ "$(id -u)" = 0 ]; then
    cargo test -p embedded-tests -- --ignored ext4
  else
    echo "left out: only root can mount an ext4 image" >&2
  fi
fi

say "tests, with memory alone and with nothing; each other store alone is built, and tested above"
cargo test --no-default-features --lib
cargo test --no-default-features --features memory,conformance --lib --tests
for store in redb sqlite files redis mongodb; do
  cargo test --no-default-features --features "$store,conformance" --lib
  cargo check --no-default-features --features "$store,conformance" --tests
done

say "examples"
# Runs the command twice. The first run must miss once, and the second $misses times.
quickstart() {
  local first again
  first=$("$@" --fresh)
  again=$("$@")
  printf '\n%s\n%s\n\n%s\n' "$*" "$first" "$again"
  grep -q '^9 hits, 1 misses' <<<"$first" || { echo "$*: the first run should miss once" >&2; exit 1; }
  grep -q "^$((10 - ${misses:-0})) hits, ${misses:-0} misses" <<<"$again" ||
    { echo "$*: the second run should miss ${misses:-0} times" >&2; exit 1; }
}
scratch=$(mktemp -d)
servers=()
cleanup() {
  for server in "${servers[@]}"; do kill "$server" && wait "$server" || true; done
  rm -rf "$scratch"
}
trap cleanup EXIT
# Waits until the file $1 has content.
wait_for() {
  for _ in $(seq 1200); do [ -s "$1" ] || [ -S "$1" ] && return; sleep 0.1; done
  echo "a server for the quickstart did not come up" >&2
  exit 1
}
redis=${REDIS_URL:-}
if [ -z "$redis" ]; then
  # With a socket in its own folder, the server needs no port.
  redis-server --port 0 --unixsocket "$scratch/redis.sock" --dir "$scratch" --save '' >/dev/null &
  servers+=($!)
  wait_for "$scratch/redis.sock"
  redis=redis+unix://$scratch/redis.sock
fi
mongodb=${MONGODB_URI:-}
if [ -z "$mongodb" ]; then
  mkdir "$scratch/mongodb"
  .mongo-venv/bin/python tests/support/mongodb.py "$scratch/mongodb" 0 60 >"$scratch/mongodb.uri" &
  servers+=($!)
  wait_for "$scratch/mongodb.uri"
  mongodb=$(cat "$scratch/mongodb.uri")
fi
quickstart "$programs/quickstart" --store "redb:$scratch/cache.redb"
quickstart "$programs/quickstart" --store "sqlite:$scratch/cache.db"
quickstart "$programs/quickstart" --store "files:$scratch/responses"
quickstart "$programs/quickstart" --store "$redis"
quickstart "$programs/quickstart" --store "$mongodb"
misses=1 quickstart "$programs/quickstart" --store memory

say "the command, over what the quickstart has stored"
# Runs the command with the arguments after $1, a pattern that one line of the output must match.
over() {
  local pattern=$1
  shift
  printed=$("$programs/larder" "$@")
  printf '\nlarder %s\n%s\n' "$1" "$printed"
  grep -Eq "$pattern" <<<"$printed" || { echo "larder $1: no line is $pattern" >&2; exit 1; }
}
url=http://127.0.0.1:17470/delay/1
for store in "redb:$scratch/cache.redb" "sqlite:$scratch/cache.db" "files:$scratch/responses" \
  "$redis --namespace quickstart:" "$mongodb --namespace quickstart"; do
  # shellcheck disable=SC2086 # a store and its namespace
  set -- $store
  over "^[0-9a-f]{8} GET    200      23 B .* $url\$" ls "$@"
  over '^worth waiting for once$' show "$@" "$url"
  over '^127.0.0.1:17470 +1      23 B' stats "$@"
  over '^read 1 entry \(23 B\), none is damaged$' check "$@"
  over '^copied 1 entry \(23 B\)$' copy "$@" "sqlite:$scratch/copy.db" --overwrite
  over "\"url\":\"$url\"" export "$@" -
  over '^removed 0 entries$' sweep "$@"
  over '^removed 1 entry$' rm "$@" "$url"
done
set --
# Runs the example $1 with the arguments after $2, a pattern that one line of the output must match.
printed=
example() {
  local name=$1 pattern=$2
  shift 2
  printed=$("$programs/$name" "$@")
  printf '\n%s\n%s\n' "$name" "$printed"
  grep -Eq "$pattern" <<<"$printed" || { echo "$name: no line is $pattern" >&2; exit 1; }
}
# Runs the first program of the README twice. Its file is in the working directory.
hello=$(realpath "$programs/hello")
for hits in 2 3; do
  printed=$(cd "$scratch" && "$hello")
  printf '\nhello\n%s\n' "$printed"
  [ "$(grep -c ': hit$' <<<"$printed")" = "$hits" ] || { echo "hello: not $hits hits" >&2; exit 1; }
done
example hyper-client '^HTTP/2.0 200 OK  hit$'
example reqwest-client '^GET http://127.0.0.1:[0-9]+/item\?name=tea -> 200 hit$'
grep -Eq '^POST .*/search -> 200 hit$' <<<"$printed" || { echo "reqwest-client: no hit for JSON" >&2; exit 1; }
example retries '^/fourth miss \(refresh\), answer 4$'
example reverse-proxy '^Example.com:80 200 Some\("proxy; hit; ttl=[0-9]+"\) b"hello from Some\(\\"example.com\\"\)"$'
grep -q '^example.com *502 ' <<<"$printed" || { echo "reverse-proxy: no 502" >&2; exit 1; }
example session '^the order of parameters: answer 1, from_cache: true'
example axum-server '^POST /purge\?tag=news +200 2 removed'
example redis-shared '^process [0-9]+: hit, 12 bytes$' --redis "$redis"
example stampede '^1 calls, [0-9]+ coalesced, [0-9]+ hits$'
# On a slow machine, requests that arrive after the answer are hits.
read -r _ _ coalesced _ hits _ <<<"$(grep coalesced <<<"$printed")"
[ $((coalesced + hits)) = 1999 ] && [ "$hits" -ge 1000 ] && [ "$coalesced" -gt 0 ] ||
  { echo "stampede: one call for the first thousand, and none for the second" >&2; exit 1; }
example custom-store '^Shelf keeps every promise'
example grpc '^get tea *hit '
[ "$(grep -c '^get tea .* of call 1$' <<<"$printed")" = 2 ] &&
  [ "$(grep -c '^get dodo *from the server: NotFound$' <<<"$printed")" = 2 ] &&
  [ "$(grep -c '^watch tea *bypass (grpc-method) .* of call [45]$' <<<"$printed")" = 4 ] ||
  { echo "grpc: one call for the tea, and one each for all else" >&2; exit 1; }
grep -q '^get tea *larder; hit' <<<"$printed" || { echo "grpc: no hit in front of the server" >&2; exit 1; }
example observed '^larder_requests_total\{cache="shop",outcome="hit"\} 1$'
example layers '^server: larder; hit; ttl=[0-9]+, content-encoding: gzip$'
grep -q '^2 calls for the redirect and its target$' <<<"$printed" || { echo "layers: two calls" >&2; exit 1; }
example tour '^ +1000 s later: stale \(if-error\)$'
for line in '/static/logo.png +never expires' 'gateway /private +miss' 'Tiered +miss \(absent\), hit' 'removed by tag: 2' \
  '1 of 2 requests were hits'; do
  grep -Eq "^  .*$line" <<<"$printed" || { echo "tour: no line has $line" >&2; exit 1; }
done

say "the field's conformance suite, through the gateway"
GATEWAY=$programs/gateway ./tests/http_suite.sh

say "what users build: the quickstart as the README has it, and a gateway without the stores that are features"
# Its file is in the user's cache directory, which is another folder here.
XDG_CACHE_HOME=$scratch quickstart cargo run --quiet -p quickstart --
[ -s "$scratch/larder-quickstart/http-cache.redb" ] || { echo "quickstart: no file in the cache directory" >&2; exit 1; }
cargo test -p gateway --test gateway

say "the cassette of the example, recorded anew"
recording=examples/cassette/tests/cassettes/shop
cp -r "$recording" "$scratch/cassette"
LARDER_CASSETTE=record cargo test --quiet -p cassette
diff --recursive --exclude .larder "$scratch/cassette" "$recording" ||
  { echo "cassette: the recording has changed" >&2; exit 1; }
