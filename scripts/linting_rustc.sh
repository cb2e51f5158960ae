#!/usr/bin/env bash
# Clippy's driver as cargo's RUSTC_WORKSPACE_WRAPPER: it compiles the crates of this workspace and lints them on the way, so that
# nothing is compiled twice. Cargo calls it as: linting_rustc.sh RUSTC ARGUMENTS…
# Clippy's own options are in CLIPPY_ARGS. Cargo must have that variable too: the driver tells it that the result depends on it, and without
# it cargo compiles everything again each time.
# The command of each library is kept for scripts/rustdoc.sh.
# (With bash, because sh may drop variables like CARGO_BIN_EXE_concurrency-lab.)
set -euo pipefail
: "${CLIPPY_ARGS:?is not set; the Makefile sets it for cargo}"

# Writes what rustdoc needs of a library's command into DIRECTORY/NAME.sh: the variables that cargo sets, and the arguments without
# what concerns the code that is made.
keep_for_rustdoc() {
  local name="" out="" library="" kept=()
  while (($#)); do
    case $1 in
    --crate-name)
      name=$2
      kept+=("$1" "$2")
      shift
      ;;
    --crate-type)
      if [[ $2 == lib ]]; then library=yes; fi
      kept+=("$1" "$2")
      shift
      ;;
    --out-dir)
      out=$2
      shift
      ;;
    -C | --codegen) shift ;;
    -C* | --emit=* | --error-format=* | --json=* | --diagnostic-width=*) ;;
    --test) return ;;
    *) kept+=("$1") ;;
    esac
    shift
  done
  [[ -n $library && -n $out ]] || return 0
  local directory="$out/../rustdoc"
  mkdir -p "$directory"
  {
    echo "cd ${PWD@Q}"
    env -0 | while IFS= read -r -d '' variable; do
      if [[ $variable =~ ^(CARGO_(MANIFEST|PKG|CRATE|BIN|CFG)[A-Z_]*|OUT_DIR)= ]]; then echo "export ${variable@Q}"; fi
    done
    echo "set -- ${kept[*]@Q}"
  } >"$directory/$name.sh"
}

case " $* " in *" --crate-type lib "*) keep_for_rustdoc "${@:2}" ;; esac
driver="$("$1" --print sysroot)/bin/clippy-driver"
exec "$driver" "$@"
