//! `cargo xtask test`: everything that a change has to pass, on a machine with
//! only a Rust toolchain.
//!
//! What cannot be set up is skipped, said, and in CI a failure: a test that
//! quietly does not run is worse than none.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::{engine, policies, python, root, say, tidy};

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Passed on to `cargo test`: a filter, for example.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// A test that was not run.
struct Skip {
    what: &'static str,
    why: String,
}

pub(crate) fn run(args: &TestArgs) -> anyhow::Result<()> {
    let mut skips = Vec::new();

    say("== what the tests need");
    let venvs = match python::ensure_venvs() {
        Ok(folder) => Some(folder),
        Err(error) => {
            skips.push(Skip {
                what: "the official A2A SDKs (tests/a2a) and Schemathesis (tests/openapi)",
                why: format!("{error:#}"),
            });
            None
        }
    };
    let engine = engine::ensure_engine();
    if let Err(error) = &engine {
        skips.push(Skip { what: "real Docker Engines", why: format!("{error:#}") });
    }

    say("== tidy");
    tidy::run(&root())?;

    say("== the committed policies");
    policies::run(&root(), policies::Options { check: true, ..Default::default() })?;

    for skip in &skips {
        say(&format!("will be skipped: {}: {}", skip.what, skip.why));
    }
    if in_ci() && !skips.is_empty() {
        bail!("in CI nothing may be skipped, and {} would have been", skips.len());
    }

    say("== cargo test");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["test", "--workspace", "--no-fail-fast"]).args(&args.rest);
    if let Some(folder) = venvs {
        command.env("REPRIEVE_VENVS", folder);
    }
    if engine.is_ok() {
        command.env("REPRIEVE_ENGINE", "1");
    }
    let tally = watched(command)?;

    say(&format!(
        "{} passed, {} failed, {} ignored, {} skipped",
        tally.passed,
        tally.failed,
        tally.ignored,
        skips.len()
    ));
    for skip in &skips {
        say(&format!("skipped: {}: {}", skip.what, skip.why));
    }
    if !tally.success {
        bail!("cargo test failed");
    }
    if tally.ignored > 0 && in_ci() {
        bail!("in CI nothing may be ignored, and {} tests were", tally.ignored);
    }
    Ok(())
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// The sum of all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    success: bool,
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs cargo, passes its output on and adds up the results.
#[allow(clippy::print_stdout, reason = "passes on what cargo prints")]
fn watched(mut command: Command) -> anyhow::Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what cargo prints")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.add(&line);
    }
    tally.success = child.wait().context("cannot wait for cargo")?.success();
    Ok(tally)
}

impl Tally {
    /// `test result: ok. 4 passed; 0 failed; 0 ignored; …`
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        for part in result.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up_over_all_binaries() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.5s",
        ] {
            tally.add(line);
        }
        assert_eq!(tally, Tally { success: false, passed: 6, failed: 3, ignored: 1 });
    }
}
