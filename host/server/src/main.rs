//! The `reprieve` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: a child that is about to become a workspace's own
    // program must start no thread of ours.
    reprieve_server::backend::process::exec_child_if_asked();
    reprieve_server::cli::main()
}
