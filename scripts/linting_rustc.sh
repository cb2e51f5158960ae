#!/usr/bin/env bash
# Clippy's driver as cargo's RUSTC_WORKSPACE_WRAPPER: it compiles the crates of this workspace and lints them on the way, so that
# nothing is compiled twice. Any warning is an error. Cargo calls it as: linting_rustc.sh RUSTC ARGUMENTS…
# (With bash, because sh may drop variables like CARGO_BIN_EXE_concurrency-lab.)
CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__ # cargo-clippy passes its options to the driver in this form
export CLIPPY_ARGS
driver="$("$1" --print sysroot)/bin/clippy-driver"
exec "$driver" "$@"
