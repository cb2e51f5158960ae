//! The `concurrency-lab` program; see `concurrency-lab --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    concurrency_lab::cli::main()
}

// Answers of a batch are freed on other threads than they were allocated on, for which the system's allocator makes
// threads wait for each other (docs/ARCHITECTURE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
