//! The project's chores.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Parser;

mod policies;

/// The project's chores
#[derive(Parser)]
enum Chore {
    /// Build the policy components
    Policies(policies::Options),
}

fn main() -> Result<()> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    match Chore::parse() {
        Chore::Policies(options) => policies::run(root, options),
    }
}
