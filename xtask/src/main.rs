//! The project's chores.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Parser;

mod policies;

/// The project's chores
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Build the policy components and their SHA256SUMS
    Policies(policies::Options),
}

fn main() -> Result<()> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    match Chore::parse() {
        Chore::Policies(options) => policies::run(root, options),
    }
}

/// Tells a person what goes on.
#[allow(clippy::print_stderr, reason = "a chore speaks to who runs it")]
fn say(text: &str) {
    eprintln!("{text}");
}
