#!/usr/bin/env bash
# The main job: starts the server, judges every approach over HTTP, resets the data, and serves on until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

program=${CARGO_TARGET_DIR:-target}/release/concurrency-lab

stop() {
  trap - EXIT INT TERM
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" || true
  exit "$1"
}

# The server prints its address when it is ready. The address may come from the environment or from .env.
folder=$(mktemp -d)
mkfifo "$folder/output"
"$program" serve >"$folder/output" &
server=$!
trap 'stop $?' EXIT
trap 'stop 0' INT TERM
exec 3<"$folder/output"
rm -r "$folder"
if ! read -r line <&3; then
  trap - EXIT
  wait "$server"
fi
echo "$line"
url=$(sed -n 's/^listening on \(http:[^ ]*\).*/\1/p' <<<"$line")

echo
echo "10000 withdrawals of 2 from a balance of 10000, 256 at a time, over HTTP. Exactly 5000 may succeed."
"$program" run withdrawal --target "$url"
curl --silent --show-error --fail --output /dev/null --request POST "$url/reset"

cat <<TEXT

The data are reset, and the server runs until Ctrl-C. The dashboard: $url

In another terminal, try:

  curl $url/approaches
  curl -i -X PATCH $url/approach/pessimistic/balance \\
       -H 'content-type: application/json' -H 'lab-trace: 1' -d '{"userId":1,"amount":-2}'
  $program run --target $url --approach naive,robust --requests 1000 --think-time 2ms
  $program psql -c 'select * from users'

More examples: docs/RUN.md (load with wrk, k6, Locust and the Go tester) and docs/HTTP.md (every route, waits in pg_locks).
TEXT
wait "$server"
