//! `reprieve score`: every policy over every scenario, by many seeds.
//!
//! [`runs`] does the work on all cores; [`columns`] says what is shown of a score, for
//! the [`table`](super::table) and for Markdown alike; [`page`] draws it.

mod columns;
mod page;
mod runs;

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use reprieve_lab::{Scenario, score::Scoreboard};

use self::columns::{COLUMNS, Column, OVERALL};
use super::{
    output::{self, BAD, HEADING, UsageError},
    pool, simulate, table,
};
use crate::config::policy::BUILT_IN;

/// The most runs of one policy over one scenario.
const MAX_RUNS: u64 = 100_000;

/// Run every policy over every scenario, by many seeds, and show who finds the dead
/// sooner and restarts fewer of the living. Needs no host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve score tests/simulation/scenarios
  reprieve score tests/simulation/scenarios --policy default --policy ./my-policy.wasm --runs 20
  reprieve score tests/simulation/scenarios --html score.html --markdown score.md

A policy is on the front of a scenario (marked with *) if no other one is better in both:
the median time to detect, and false restarts. Intervals are of 95 %, over seeds.

Exit code: 0 if it ran; 1 if one of the properties that a host must hold was broken, with
the seed that plays it again; 2 if a scenario or a policy cannot be used.")]
pub(crate) struct ScoreArgs {
    /// Scenarios, or folders of them.
    #[arg(value_name = "FILE|DIR", required = true)]
    scenarios: Vec<PathBuf>,

    /// A policy component, its project's folder, or the name of a built-in policy.
    /// Default: all that are built in.
    #[arg(long = "policy", short, value_name = "FILE|DIR|NAME")]
    policies: Vec<PathBuf>,

    /// So many runs of each policy over each scenario.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=MAX_RUNS))]
    runs: u64,

    /// What the first run is drawn from; the next ones from the numbers after it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// So many threads. Default: one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=pool::MAX_JOBS))]
    jobs: Option<u64>,

    /// Write a page with plots that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write it as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// All figures as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn score(args: &ScoreArgs) -> anyhow::Result<u8> {
    let mut scenarios = Vec::new();
    for file in simulate::scenario_files(&args.scenarios).map_err(UsageError::of)? {
        let scenario = simulate::read(&file).map_err(UsageError::of)?;
        if scenarios.iter().any(|other: &Scenario| other.name == scenario.name) {
            let (file, name) = (file.display(), &scenario.name);
            let what = format!("{file} is the second scenario called {name:?}; rename one of them");
            return Err(UsageError(what, None).into());
        }
        scenarios.push(scenario);
    }
    let policies = match &args.policies[..] {
        [] => BUILT_IN.iter().map(|(name, _)| PathBuf::from(name)).collect(),
        named => named.to_vec(),
    };
    let board = runs::all(&runs::Work {
        policies: runs::read(&policies)?,
        scenarios: &scenarios,
        seeds: args.seed..args.seed.saturating_add(args.runs),
        jobs: args.jobs,
    })?;
    if let Some(file) = &args.html {
        output::write(file, &page::page(&board, &scenarios))?;
    }
    if let Some(file) = &args.markdown {
        output::write(file, &markdown(&board, &scenarios, args))?;
    }
    let text =
        if args.json { format!("{:#}\n", serde_json::to_value(&board)?) } else { prose(&board) };
    output::print(&text)?;
    let mut code = output::OK;
    for score in board.scores.iter().filter(|score| score.broken > 0) {
        let seed = score.broken_seed.map_or_else(String::new, |seed| seed.0.to_string());
        output::remark(&format!(
            "{} properties broken by {} over {} in {} runs; see `reprieve simulate --seed {seed}`",
            output::styled(BAD, "broken:"),
            score.policy,
            score.scenario,
            score.broken
        ));
        code = output::NO;
    }
    Ok(code)
}

fn prose(board: &Scoreboard) -> String {
    let scenarios = board.by_scenario();
    let mut text = String::new();
    for (scenario, scores) in &scenarios {
        let _ = writeln!(text, "{}", output::styled(HEADING, scenario));
        text += &printed(board, &COLUMNS, scores.iter().copied());
        text.push('\n');
    }
    if scenarios.len() > 1 {
        let _ = writeln!(text, "{}", output::styled(HEADING, "all scenarios"));
        text += &printed(board, &OVERALL, &board.overall());
    }
    text
}

fn printed<'a, T: 'a, const N: usize>(
    board: &Scoreboard,
    columns: &[Column<T>; N],
    rows: impl IntoIterator<Item = &'a T>,
) -> String {
    let rows = rows.into_iter().map(|row| columns.each_ref().map(|of| (of.cell)(board, row)));
    let headings = columns.each_ref().map(|column| column.heading);
    table::print(headings, &rows.collect::<Vec<_>>(), |_, _| None)
}

fn markdown(board: &Scoreboard, scenarios: &[Scenario], args: &ScoreArgs) -> String {
    let mut text = format!(
        "# Scoreboard\n\nEvery policy over every scenario, {} seeds each, by `reprieve score`. A \
         policy is on the front of a scenario (\\*) if no other one is better in both: the median \
         time to detect, and false restarts. Intervals are of 95 %, over seeds.\n",
        args.runs
    );
    let by_scenario = board.by_scenario();
    if by_scenario.len() > 1 {
        text += "\n## All scenarios\n\n";
        text += &rows(board, &OVERALL, &board.overall());
        text += &meanings(&OVERALL);
        text += "\n## The columns of each scenario\n";
    }
    text += &meanings(&COLUMNS);
    for (name, scores) in by_scenario {
        let about = about(scenarios, name);
        let _ = writeln!(text, "\n## {}\n\n{}\n", in_markdown(name), in_markdown(about));
        text += &rows(board, &COLUMNS, scores);
    }
    text
}

/// What the scenario of that name says of itself.
fn about<'a>(scenarios: &'a [Scenario], name: &str) -> &'a str {
    let of = scenarios.iter().find(|scenario| scenario.name == name);
    of.map_or("", |scenario| &scenario.about)
}

fn meanings<T>(columns: &[Column<T>]) -> String {
    let mut text = "\n| column | is |\n|---|---|\n".to_owned();
    for column in columns {
        let _ = writeln!(text, "| {} | {} |", column.heading, column.meaning);
    }
    text
}

fn rows<'a, T: 'a, const N: usize>(
    board: &Scoreboard,
    columns: &[Column<T>; N],
    rows: impl IntoIterator<Item = &'a T>,
) -> String {
    let headings = columns.each_ref().map(|column| column.heading);
    let mut text = format!("| {} |\n|{}\n", headings.join(" | "), "---|".repeat(N));
    for row in rows {
        let cells = columns.each_ref().map(|of| in_markdown(&(of.cell)(board, row)));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// Names come from files: nothing in them is Markdown.
fn in_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '*' | '|' | '<' | '`' | '[') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
