//! `cargo xtask scoreboard`: `docs/scoreboard.md`, made again.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::say;

const SCENARIOS: &str = "tests/simulation/scenarios";
const SCOREBOARD: &str = "docs/scoreboard.md";
/// Beside the zoo. Policies that are only for tests are nobody's choice.
const BUILT_IN: [&str; 3] = ["default", "count-debounce", "trust-the-probe"];

#[derive(Args, Debug)]
pub(crate) struct ScoreboardArgs {
    /// So many runs of each policy over each scenario.
    #[arg(long, default_value_t = 100)]
    runs: u64,
}

pub(crate) fn run(root: &Path, args: &ScoreboardArgs) -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root);
    command.args(["run", "--release", "--", "score", SCENARIOS, "--markdown", SCOREBOARD]);
    command.args(["--runs", &args.runs.to_string()]);
    for policy in BUILT_IN.into_iter().map(str::to_owned).chain(zoo(root)?) {
        command.args(["--policy", &policy]);
    }
    let status = command.status().context("cannot start cargo")?;
    // 1: some policy broke a property, which is what the scoreboard shows.
    ensure!(matches!(status.code(), Some(0 | 1)), "the scoreboard was not made: {status}");
    say(&format!("{SCOREBOARD} is made"));
    Ok(())
}

/// The components of what people run today, by name.
fn zoo(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut components = Vec::new();
    for entry in fs::read_dir(root.join("policies/zoo")).context("cannot read policies/zoo")? {
        let name = entry?.file_name();
        let component = format!("policies/{}.wasm", name.to_string_lossy());
        if root.join(&component).is_file() {
            components.push(component);
        }
    }
    components.sort();
    Ok(components)
}
