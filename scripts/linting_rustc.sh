#!/usr/bin/env bash
# Clippy's driver as cargo's RUSTC_WORKSPACE_WRAPPER: it compiles the crates of this workspace and lints them on the way, so that
# nothing is compiled twice. Cargo calls it as: linting_rustc.sh RUSTC ARGUMENTS…
# Clippy's own options are in CLIPPY_ARGS. Cargo must have that variable too: the driver tells it that the result depends on it, and without
# it cargo compiles everything again each time.
# (With bash, because sh may drop variables like CARGO_BIN_EXE_concurrency-lab.)
: "${CLIPPY_ARGS:?is not set; the Makefile sets it for cargo}"
driver="$("$1" --print sysroot)/bin/clippy-driver"
exec "$driver" "$@"
