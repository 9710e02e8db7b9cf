#!/usr/bin/env bash
# Runs the conformance suite for HTTP caches (https://github.com/http-tests/cache-tests) through the
# example `gateway`, and compares the failed cases with a list. Needs Node.js and npm, and takes
# about a minute.
#
#   tests/http_suite.sh [FLAG...]   flags of the gateway; by default: --store memory --policy http --stale-if-error 1h
#                                   --store-set-cookie --reuse-post, since the suite counts both of these as optimal
#
#   SUITE=DIR      a checkout of the suite, its packages installed; by default the npm package, fetched into target/
#   ACCEPTED=FILE  the list, of lines "id reason"; by default that of the package, and none for a checkout
#   GATEWAY=FILE   the program; by default the example, built for this
#   RESULTS=FILE   where the suite's own results go, as JSON
#
# tests/http_cases/ plays the same cases without connections, in a second or two.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=0.4.5

fail() { echo "http_suite: $*" >&2; exit 1; }
for program in node npm cargo; do
  command -v "$program" >/dev/null || fail "$program is missing; the suite needs Node.js 18 or newer, with npm"
done
[ "$(node -p 'parseInt(process.versions.node)')" -ge 18 ] || fail "Node.js $(node -v) is too old; 18 or newer will do"

if [ -n "${SUITE:-}" ]; then
  suite=$(cd "$SUITE" && pwd) || fail "SUITE=$SUITE: there is no such folder"
  accepted=${ACCEPTED:-}
  [ -d "$suite/node_modules" ] || fail "$suite: run 'npm install --omit=dev' there first"
else
  folder=target/http-cache-tests-$VERSION
  suite=$PWD/$folder/node_modules/http-cache-tests
  accepted=${ACCEPTED:-tests/http_cases/accepted-$VERSION.txt}
  if [ ! -e "$folder/installed" ]; then
    mkdir -p "$folder"
    npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error \
      "http-cache-tests@$VERSION" || fail "npm could not install http-cache-tests $VERSION"
    touch "$folder/installed"
  fi
fi
# The folders of the server and the client, in the package and in later checkouts.
if [ -f "$suite/test-engine/cli.mjs" ]; then engine=$suite/test-engine; else engine=$suite; fi
for file in "$engine/cli.mjs" "$engine/server/server.mjs" "$suite/tests/index.mjs"; do
  [ -f "$file" ] || fail "$file is missing: $suite is no checkout of cache-tests that is known here"
done
[ -z "$accepted" ] || [ -f "$accepted" ] || fail "the list $accepted is missing"

gateway=${GATEWAY:-}
if [ -z "$gateway" ]; then
  cargo build --quiet -p gateway
  gateway=${CARGO_TARGET_DIR:-target}/debug/gateway
fi
[ $# -gt 0 ] || set -- --store memory --policy http --stale-if-error 1h --store-set-cookie --reuse-post

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

# Waits until the program with this pid writes a line that matches. Prints the number at its end.
port() { # pid, log, pattern
  for _ in $(seq 1200); do
    local line
    line=$(grep -m 1 -E "$3" "$2" || true)
    if [ -n "$line" ]; then grep -oE '[0-9]+/?$' <<<"$line" | tr -d /; return; fi
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  cat "$2" >&2
  return 1
}

# The suite reads its settings from npm's variables. Port 0 is any free port.
export npm_config_protocol=http npm_package_config_id='' npm_config_pidfile=$work/pid
unset npm_config_id
(cd "$suite" && npm_config_port=0 exec node "$engine/server/server.mjs") >"$work/origin.log" 2>&1 &
pids+=($!)
origin=$(port $! "$work/origin.log" '^Listening on ') || fail "the suite's origin did not start"

"$gateway" --listen 127.0.0.1:0 --upstream "http://127.0.0.1:$origin" "$@" >"$work/gateway.log" 2>&1 &
pids+=($!)
listen=$(port $! "$work/gateway.log" '^gateway: --listen ') || fail "the gateway did not start: $*"

echo "http_suite: $(node -p 'require(process.argv[1]).version' "$suite/package.json" 2>/dev/null) in $suite," \
  "through: gateway $*"
(cd "$suite" && npm_config_base=http://127.0.0.1:$listen timeout 600 node --no-warnings "$engine/cli.mjs") \
  >"$work/results.json" 2>"$work/client.log" || { cat "$work/client.log" >&2; fail "the suite's client failed"; }
kill -0 "${pids[1]}" 2>/dev/null || { tail -n 20 "$work/gateway.log" >&2; fail "the gateway ended while it was tested"; }
[ -z "${RESULTS:-}" ] || cp "$work/results.json" "$RESULTS"
node tests/http_suite.mjs "$suite" "$work/results.json" "$accepted"
