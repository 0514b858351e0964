//! The Python environments that `cargo xtask test` sets up.

use std::path::PathBuf;

/// None: this run has no Python environments, and says so.
#[allow(clippy::print_stderr, reason = "says what it skips")]
pub fn venvs() -> Option<PathBuf> {
    let folder = std::env::var_os("REPRIEVE_VENVS").map(PathBuf::from);
    assert!(
        folder.is_some() || std::env::var_os("CI").is_none(),
        "in CI nothing is skipped: run `cargo xtask test`"
    );
    if folder.is_none() {
        eprintln!("skipped: REPRIEVE_VENVS is not set; `cargo xtask test` sets it");
    }
    folder
}
