//! The project's chores: `cargo xtask <chore>`.
//!
//! - `policies`: build the policy components, or check the committed ones
//! - `test`: set up what the tests need and run them all
//! - `tidy`: hold the walls between the crates and the house rules
//! - `bench`: run the benchmarks behind `docs/performance.md`
//! - `scoreboard`: run every policy over every scenario, for `docs/scoreboard.md`
//!
//! They are Rust, not shell, so that they run wherever the project builds.

mod bench;
mod engine;
mod policies;
mod python;
mod scoreboard;
mod test;
mod tidy;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build the policy components and their SHA256SUMS.
    Policies(policies::Options),
    /// Set up what the tests need, then run all of them.
    Test(test::TestArgs),
    /// Check the walls between the crates and the house rules.
    Tidy,
    /// Run the benchmarks.
    Bench(bench::BenchArgs),
    /// Run every policy over every scenario, and write docs/scoreboard.md.
    Scoreboard(scoreboard::ScoreboardArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().chore {
        Chore::Policies(options) => policies::run(&root(), options),
        Chore::Test(args) => test::run(&args),
        Chore::Tidy => tidy::run(&root()),
        Chore::Bench(args) => bench::run(&args),
        Chore::Scoreboard(args) => scoreboard::run(&root(), &args),
    }
}

/// The root of the repository: of the checkout that runs this, which need not be
/// the one that built it.
fn root() -> PathBuf {
    let built_in = env!("CARGO_MANIFEST_DIR");
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| built_in.into());
    Path::new(&here).parent().unwrap_or(Path::new(built_in)).to_owned()
}

/// Tells a person what goes on.
#[allow(clippy::print_stderr, reason = "a chore speaks to who runs it")]
fn say(text: &str) {
    eprintln!("{text}");
}
