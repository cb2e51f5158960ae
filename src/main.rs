//! The `concurrency-lab` program; see `concurrency-lab --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    concurrency_lab::cli::main()
}

// The answers of a batch are freed on other threads than those that allocated them. With the system's allocator, threads
// then wait for each other (docs/ARCHITECTURE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
