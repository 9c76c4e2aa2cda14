//! The `remora` command: an exit code and nothing else.

use std::process::ExitCode;

/// Pingora's proxy allocates dozens of times a request; this takes a seventh off its cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    remora::cli::main().into()
}
