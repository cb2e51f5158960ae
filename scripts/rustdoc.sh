#!/usr/bin/env bash
# The documentation of every library of the workspace, private items included, into target/doc/NAME; any warning fails.
#
# `cargo doc` would check all dependencies once more, a minute on two cores. This takes what the build of the tests has made, whose commands
# scripts/linting_rustc.sh keeps, so that build comes first.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

# Its file sets the variables of cargo, the working directory and "$@".
document() (
  name=$1
  # shellcheck source=/dev/null
  source "$target/debug/rustdoc/$name.sh"
  exec rustdoc "$@" --document-private-items -D warnings --out-dir "$target/doc/$name"
)

declare -A libraries=()
for manifest in Cargo.toml crates/*/Cargo.toml; do
  name=$(awk -F'"' '/^name = / { print $2; exit }' "$manifest")
  name=${name//-/_}
  if [[ ! -e $target/debug/rustdoc/$name.sh ]]; then
    echo "rustdoc: the build of the tests keeps no command for $name in $target/debug/rustdoc; run: make build-tests" >&2
    exit 1
  fi
  document "$name" &
  libraries[$!]=$name
done
failed=()
for job in "${!libraries[@]}"; do
  wait "$job" || failed+=("${libraries[$job]}")
done
if ((${#failed[@]} > 0)); then
  echo "rustdoc: warnings in ${failed[*]}" >&2
  exit 1
fi
