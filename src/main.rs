//! The `concurrency-lab` program; see `concurrency-lab --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    concurrency_lab::cli::main()
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
