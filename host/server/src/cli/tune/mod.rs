//! `reprieve tune`: which settings are best, on a scenario or on what was decided
//! already, at a stated price.
//!
//! The search is the laboratory's; here are what points are tried on ([`ground`]), its
//! threads, its memory ([`journal`]), and what is [`found`].

mod found;
mod ground;
mod journal;
mod page;

use std::path::PathBuf;

use clap::Args;
use reprieve_lab::tune::{Knob, Plan, Price, Search, Wanted};

use self::{
    found::Found,
    ground::{Ground, Trial},
    journal::Journal,
};
use super::{
    author::Meant,
    output::{self, UsageError},
    pool,
    progress::Progress,
};

/// The most runs of one point.
const MAX_RUNS: u64 = 100_000;

/// Find the settings whose price is lowest, of restarted living and of dead that lie
/// unfound: on a scenario, or on decisions that are on record. Needs no host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve tune --on fleet.toml --param recent_heartbeat=5s..60s --param settle=10s..2min
  reprieve tune --on fleet.toml --param liveness_ttl=30s..10min --false-restart 60 \\
                --out tuned.toml --html tuned.html
  reprieve tune --on fleet.toml --param settle=10s..2min --journal tune.jsonl
                        goes on where it was interrupted
  reprieve decisions --json --limit 100000 | reprieve tune --on - --param settle=10s..2min
  reprieve tune --on /var/lib/reprieve --param recent_heartbeat=5s..60s

The price is a workspace's and a day's: each restart of a living workspace costs
--false-restart, each minute in which a dead one lies unfound --unfound-minute. What is
recommended is then run on seeds, or tried on the later part of a log, that the search has
not seen. What a log tells, and what it cannot, is in docs/replay.md. `reprieve settings
apply fleet --file tuned.toml --why '…'` puts it in force.

Exit code: 0 if it ran to its end, 2 if the question was wrong.")]
pub(crate) struct TuneArgs {
    /// A scenario, as docs/simulation.md describes it; or decisions as `reprieve
    /// decisions --json` prints them, `-` for standard input; or a host's state folder.
    #[arg(long, value_name = "SCENARIO|LOG|FOLDER")]
    on: PathBuf,

    /// A setting and its range: settle=10s..2min; with /5 behind it, so many values.
    #[arg(long = "param", value_name = "KEY=LOW..HIGH", required = true)]
    params: Vec<Knob>,

    /// A policy component, its project's folder, or the name of a built-in policy.
    #[arg(long, short, value_name = "FILE|DIR|NAME", default_value = "default")]
    policy: PathBuf,

    /// What it costs that a living workspace is restarted.
    #[arg(long, value_name = "PRICE", allow_negative_numbers = true, default_value_t = Price::default().false_restart, value_parser = price)]
    false_restart: f64,

    /// What it costs that a dead workspace lies unfound for a minute.
    #[arg(long, value_name = "PRICE", allow_negative_numbers = true, default_value_t = Price::default().unfound_min, value_parser = price)]
    unfound_minute: f64,

    /// The most runs of one point, those that are plainly dearer get fewer; on a log the
    /// most groups of incidents.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(2..=MAX_RUNS))]
    runs: u64,

    /// What the first run of each point is drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// So many threads. Default: one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=pool::MAX_JOBS))]
    jobs: Option<u64>,

    /// Keep every run in this file, and go on from what it has.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// Write the recommended settings, as `settings apply --file` takes them.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write a page with the front that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// All of it as JSON, for machines.
    #[arg(long)]
    json: bool,
}

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| format!("{text:?} is no price; it is a number from 0"))
}

pub(crate) fn tune(args: &TuneArgs) -> anyhow::Result<u8> {
    let Some(ground) = Ground::read(&args.on)? else { return Ok(output::USAGE) };
    let candidate = Meant::by(&args.policy)?.fetch()?;
    let price = Price { false_restart: args.false_restart, unfound_min: args.unfound_minute };
    let (seed, runs) = ground.searched(args.seed, args.runs);
    let plan = Plan { price, seed, runs };
    let search = Search::new(args.params.clone(), plan).map_err(UsageError::of)?;
    let trial = Trial { ground: &ground, source: &candidate.source, bytes: &candidate.bytes };
    // The settings are taken by the policy, or the search need not begin.
    let mut bench = trial.bench()?;
    for point in search.points() {
        trial.contender(&mut bench, &point.settings)?;
    }
    let journal = match &args.journal {
        None => None,
        Some(file) => Some(Journal::open(file, &trial.mark()?)?),
    };
    let progress = Progress::begin();
    let search = searched(search, &trial, journal.as_ref(), args.jobs, &progress)?;
    let found = Found::of(&search, &trial, args, &progress)?;
    drop(progress);
    if let Some(file) = &args.out {
        output::write(file, &found.file(&ground))?;
    }
    if let Some(file) = &args.html {
        output::write(file, &page::page(&ground, &search, &found))?;
    }
    let text = match args.json {
        true => format!("{:#}\n", found.to_json(&ground)),
        false => found.prose(&ground, args),
    };
    output::print(&text)?;
    Ok(output::OK)
}

fn searched(
    mut search: Search,
    trial: &Trial<'_>,
    journal: Option<&Journal>,
    jobs: Option<u64>,
    progress: &Progress,
) -> anyhow::Result<Search> {
    loop {
        let wanted = search.wanted();
        let points = search.points();
        let known = |run: &Wanted| {
            journal.and_then(|journal| journal.known(&points[run.point].settings, run.seed))
        };
        let came = pool::each(
            &wanted,
            jobs,
            progress,
            || trial.bench(),
            |bench, run| match known(run) {
                Some(outcome) => Ok(outcome),
                None => {
                    let outcome = trial.run(bench, &points[run.point].settings, run.seed)?;
                    if let Some(journal) = journal {
                        journal.keep(&points[run.point].settings, run.seed, &outcome)?;
                    }
                    Ok(outcome)
                }
            },
        )?;
        for (run, outcome) in wanted.into_iter().zip(came) {
            search.came(run, outcome);
        }
        if !search.next_round() {
            return Ok(search);
        }
    }
}
