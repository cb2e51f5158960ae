#!/usr/bin/env bash
# Runs a command with its temporary directory in memory, where there is room, and else as it is:
#
#     scripts/in_memory.sh COMMAND…
#
# The tests create and truncate thousands of small tables. A filesystem on a disk takes several times as long for each. No test promises
# anything about a power failure, so none needs a disk.
set -euo pipefail

readonly free_mib_min=6144

# The free space of /dev/shm in MiB, and the memory that is available, which a filesystem in memory may promise twice.
room() {
  [[ -w /dev/shm ]] || return 1
  local free available
  free=$(df -Pm /dev/shm | awk 'NR == 2 { print $4 }')
  available=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
  ((free >= free_mib_min && available >= 2 * free_mib_min))
}

if ! room; then
  echo "in_memory: no room in /dev/shm ($free_mib_min MiB, and as much memory beside it): temporary files are in ${TMPDIR:-/tmp}" >&2
  exec "$@"
fi
directory=$(mktemp -d /dev/shm/concurrency-lab-XXXXXX)
trap 'rm -rf "$directory"' EXIT
chmod 1777 "$directory" # as /tmp: PostgreSQL runs as another user when the tests run as root
TMPDIR=$directory "$@"
