#!/usr/bin/env bash
# An endurance test: ten minutes of 256 clients on one hot row, for each of a few approaches in turn:
#
#     scripts/soak.sh [SECONDS]       (or SOAK_SECONDS; by default 600 per approach, from 4 to 7200)
#
# It starts a release server of its own, with a temporary data directory, on 127.0.0.1 only. The time is divided into
# ten parts (of a minute, by default). After each part it reports what may get worse with time: the rate, the server's
# memory, and, for information, the dead row versions of the table. Each change of a hot row leaves one until a vacuum.
#
# It fails if the last part is slower than 0.8 times the first, if memory grows by more than a fifth and 16 MB after the
# first part, or if a single request is answered late, not at all, or with a status other than 2xx.
#
# Exit codes: 0 passed, 1 failed, 2 usage, 3 something is missing, 130 interrupted.
#
# Written for bash 3.2 too, which is what macOS has.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly approaches="group-commit atomic-returning"
readonly connections=256 parts=10 timeout_s=10
readonly least_rate_percent=80 most_memory_percent=120 memory_slack_kb=16384
readonly program=target/release/concurrency-lab

# Settings of this machine (LAB_LISTEN, DATABASE_URL) must not reach a server that is emptied and loaded, and neither
# may a .env file: the server is started in a folder without one.
for name in $(compgen -e | grep '^LAB_' || true) DATABASE_URL; do unset "$name"; done

fail() {
  printf 'soak: %s\n' "$2" >&2
  exit "$1"
}

seconds=${1:-${SOAK_SECONDS:-600}}
[[ $# -le 1 && $seconds =~ ^[1-9][0-9]{0,3}$ && $seconds -ge 4 && $seconds -le 7200 ]] ||
  fail 2 "expected whole seconds from 4 to 7200, found ${*:-$seconds}"
part_s=$((seconds / parts))
count=$parts
# Short times are for trying this script: parts of one second.
if ((part_s == 0)); then part_s=1 count=$seconds; fi
for needed in wrk curl awk; do
  command -v "$needed" >/dev/null || fail 3 "$needed is missing; run scripts/setup.sh test to install it"
done
[[ -x $program ]] || fail 3 "$program is missing; run cargo build --release"

# ---- the server ----

# If root runs this, the private PostgreSQL runs as another user, which must be able to enter the folder.
folder=$(mktemp -d "${TMPDIR:-/tmp}/concurrency-lab-soak.XXXXXX")
chmod 711 "$folder"
server="" load=""

clean_up() {
  trap - EXIT INT TERM
  if [[ -n $load ]]; then kill "$load" 2>/dev/null || true; fi
  if [[ -n $server ]]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$folder"
  exit "$1"
}
trap 'clean_up $?' EXIT
trap 'clean_up 130' INT TERM

mkfifo "$folder/output"
here=$PWD
# In a process group of its own: Ctrl-C must reach only this script, which then stops the server.
set -m
(cd "$folder" && exec "$here/$program" serve --listen 127.0.0.1:0 --seed bench --data-dir "$folder/data") \
  >"$folder/output" &
server=$!
set +m
exec 3<"$folder/output"
read -r line <&3 || fail 3 "the server does not start"
url=$(sed -n 's/^listening on \(http:[^ ]*\).*/\1/p' <<<"$line")

# ---- measurements ----

psql() { (cd "$folder" && exec "$here/$program" psql --data-dir "$folder/data" -- -AtF ' ' -c "$1"); }

# Kilobytes of the server's process, without its database.
memory_kb() { ps -o rss= -p "$server" | tr -d ' '; }

# Dead row versions, and the size of the table with its indexes.
wear() {
  psql "select n_dead_tup, pg_size_pretty(pg_total_relation_size(relid)) from pg_stat_user_tables
        where schemaname = 'concurrency_lab' and relname = 'users'"
}

# One part: wrk's requests per second, or nothing if any request was not answered with 2xx in time.
part() {
  wrk -t2 -c"$connections" -d"${part_s}s" --timeout "${timeout_s}s" -s lua/patch_request.lua \
    "$url/approach/$1/balance" >"$folder/wrk" 2>&1 &
  load=$!
  local ended=0
  wait "$load" || ended=$?
  load=""
  if ((ended != 0)) || grep -Eq 'Non-2xx|Socket errors' "$folder/wrk" ||
    ! grep -Eq '^ +0  above 399' "$folder/wrk" || ! grep -Eq '^ +0  none:' "$folder/wrk"; then
    return 1
  fi
  sed -n 's/^ *Requests\/sec: *\([0-9]*\).*/\1/p' "$folder/wrk"
}

# ---- one approach ----

soak() {
  local approach=$1 number rate="" memory="" first_rate="" first_memory="" lasts=0
  printf '\n%s: %s parts of %s s, wrk -t2 -c%s on one hot row\n' "$approach" "$count" "$part_s" "$connections"
  printf '%6s %12s %12s   %s\n' part requests/s memory/kB "dead row versions, table size"
  for ((number = 1; number <= count; number++)); do
    # Not in a subshell: clean_up must know the processes that it started.
    if ! part "$approach" >"$folder/rate"; then
      printf 'soak: %s: not every request was answered with 2xx within %s s:\n' "$approach" "$timeout_s" >&2
      cat "$folder/wrk" >&2
      return 1
    fi
    rate=$(cat "$folder/rate") memory=$(memory_kb)
    if [[ -z $rate || -z $memory ]]; then
      printf 'soak: %s: wrk reported no rate, or the server has ended\n' "$approach" >&2
      return 1
    fi
    printf '%6s %12s %12s   %s\n' "$number" "$rate" "$memory" "$(wear)"
    if [[ -z $first_rate ]]; then first_rate=$rate first_memory=$memory; fi
  done
  printf 'rate, last part / first: %s (at least 0.%s)\n' \
    "$(awk "BEGIN { printf \"%.2f\", $rate / $first_rate }")" "$least_rate_percent"
  printf 'memory, at the end / after the first part: %s (at most %s, and %s kB)\n' \
    "$(awk "BEGIN { printf \"%.2f\", $memory / $first_memory }")" \
    "$(awk "BEGIN { printf \"%.1f\", $most_memory_percent / 100 }")" "$memory_slack_kb"
  if ((rate * 100 < first_rate * least_rate_percent)); then
    printf 'soak: %s: the rate fell below the limit\n' "$approach" >&2
    lasts=1
  fi
  if ((memory * 100 > first_memory * most_memory_percent + memory_slack_kb * 100)); then
    printf 'soak: %s: the memory of the server grew beyond the limit\n' "$approach" >&2
    lasts=1
  fi
  return "$lasts"
}

offered=$(curl --silent --show-error --fail "$url/approaches")
failed="" soaked=""
for approach in $approaches; do
  if [[ $offered != *"\"name\":\"$approach\""* ]]; then
    printf '\nsoak: SKIPPED %s: the server does not offer this approach\n' "$approach" >&2
    continue
  fi
  # Each approach starts with a fresh table.
  curl --silent --show-error --fail --output /dev/null --request POST "$url/reset"
  if soak "$approach"; then soaked="$soaked $approach"; else failed="$failed $approach"; fi
done
echo
[[ -z $failed ]] || fail 1 "failed:$failed"
[[ -n $soaked ]] || fail 3 "no approach was tested"
echo "passed:$soaked"
