//! `cargo xtask bench`: the figures of `docs/performance.md`.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::{engine, root, say};

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Only benchmarks whose name contains this.
    filter: Option<String>,
    /// A file that the Docker benchmark writes its figures to as JSON, beside its
    /// tables.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let machine = machine();
    say(&format!("on {machine}"));
    let mut command = Command::new(env!("CARGO"));
    command.env("REPRIEVE_MACHINE", machine);
    if let Some(file) = &args.json {
        // Benchmarks run in the folder of their crate.
        let file = std::path::absolute(file).context("where the figures are to go")?;
        command.env("REPRIEVE_JSON", file);
    }
    command.current_dir(root()).args([
        "bench",
        "-p",
        "reprieve-runtime",
        "-p",
        "reprieve-lab",
        "-p",
        "reprieve-server",
        "-p",
        "reprieve-tests",
        "--benches",
    ]);
    match engine::ensure_engine() {
        Ok(()) => {
            command.env("REPRIEVE_ENGINE", "1");
        }
        Err(error) => say(&format!("will be skipped: docker: {error:#}")),
    }
    if let Some(filter) = &args.filter {
        command.args(["--", filter]);
    }
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "the benchmarks failed");
    Ok(())
}

/// A figure without its machine tells nothing.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{cores} cores {}", model.trim_start_matches(['\t', ' ', ':']))
}
