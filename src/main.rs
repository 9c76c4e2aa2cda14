//! The `remora` command: an exit code and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    remora::cli::main().into()
}
