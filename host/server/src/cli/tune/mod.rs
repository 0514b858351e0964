//! `reprieve tune`: which settings are best on a scenario, at a stated price.
//!
//! The search is the laboratory's; here are its threads, its memory ([`journal`]), and
//! what is shown.

mod journal;
mod page;

use std::{collections::HashMap, fmt::Write as _, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use reprieve_core::{ids::Digest, settings::Settings};
use reprieve_lab::{
    Contender, Lab, RunOptions, Scenario, Seed, simulate as play,
    tune::{Knob, Outcome, Plan, Price, Search, Told, Wanted},
};
use reprieve_runtime::Policy;
use serde_json::{Value, json};

use self::journal::Journal;
use super::{
    author::Meant,
    output::{self, GOOD, UsageError},
    pool, simulate, table,
};

/// The most runs of one point.
const MAX_RUNS: u64 = 100_000;
/// Seeds of the test on others are drawn from so far away.
const OTHER_SEEDS: u64 = 1 << 40;

/// Find the settings whose price is lowest on a scenario: of restarted living, and of
/// dead that lie unfound. Needs no host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve tune --on fleet.toml --param recent_heartbeat=5s..60s --param settle=10s..2min
  reprieve tune --on fleet.toml --param liveness_ttl=30s..10min --false-restart 60 \\
                --out tuned.toml --html tuned.html
  reprieve tune --on fleet.toml --param settle=10s..2min --journal tune.jsonl
                        goes on where it was interrupted

The price is a workspace's and a day's: each restart of a living workspace costs
--false-restart, each minute in which a dead one lies unfound --unfound-minute. What is
recommended is then run on seeds that the search has not seen. `reprieve settings apply
fleet --file tuned.toml --why '…'` puts it in force.

Exit code: 0 if it ran to its end, 2 if the question was wrong.")]
pub(crate) struct TuneArgs {
    /// The scenario, as docs/simulation.md describes it.
    #[arg(long, value_name = "FILE")]
    on: PathBuf,

    /// A setting and its range: settle=10s..2min; with /5 behind it, so many values.
    #[arg(long = "param", value_name = "KEY=LOW..HIGH", required = true)]
    params: Vec<Knob>,

    /// A policy component, its project's folder, or the name of a built-in policy.
    #[arg(long, short, value_name = "FILE|DIR|NAME", default_value = "default")]
    policy: PathBuf,

    /// What it costs that a living workspace is restarted.
    #[arg(long, value_name = "PRICE", default_value_t = Price::default().false_restart, value_parser = price)]
    false_restart: f64,

    /// What it costs that a dead workspace lies unfound for a minute.
    #[arg(long, value_name = "PRICE", default_value_t = Price::default().unfound_min, value_parser = price)]
    unfound_minute: f64,

    /// The most runs of one point; those that are plainly dearer get fewer.
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
    let scenario = simulate::read(&args.on).map_err(UsageError::of)?;
    let candidate = Meant::by(&args.policy)?.fetch()?;
    let price = Price { false_restart: args.false_restart, unfound_min: args.unfound_minute };
    let plan = Plan { price, seed: args.seed, runs: args.runs };
    let search = Search::new(args.params.clone(), plan).map_err(UsageError::of)?;
    let trial = Trial { scenario: &scenario, source: &candidate.source, bytes: &candidate.bytes };
    // The settings are taken by the policy, or the search need not begin.
    let mut bench = trial.bench()?;
    for point in search.points() {
        trial.contender(&mut bench, &point.settings)?;
    }
    let journal = match &args.journal {
        None => None,
        Some(file) => Some(Journal::open(file, &trial.mark()?)?),
    };
    let search = searched(search, &trial, journal.as_ref(), args.jobs)?;
    let found = Found::of(&search, &trial, args)?;
    if let Some(file) = &args.out {
        output::write(file, &found.file(&scenario))?;
    }
    if let Some(file) = &args.html {
        output::write(file, &page::page(&scenario, &search, &found))?;
    }
    let text = match args.json {
        true => format!("{:#}\n", found.to_json(&scenario)),
        false => found.prose(&scenario, args),
    };
    output::print(&text)?;
    Ok(output::OK)
}

fn searched(
    mut search: Search,
    trial: &Trial<'_>,
    journal: Option<&Journal>,
    jobs: Option<u64>,
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

/// One policy on one scenario.
struct Trial<'a> {
    scenario: &'a Scenario,
    source: &'a str,
    bytes: &'a [u8],
}

/// What a thread tries it with.
struct Bench {
    policy: Arc<Policy>,
    contenders: HashMap<Digest, Contender>,
}

impl Trial<'_> {
    /// What the results of a journal must be results of.
    fn mark(&self) -> anyhow::Result<Value> {
        Ok(json!({
            "reprieve": env!("CARGO_PKG_VERSION"),
            "policy": Digest::of(self.bytes).to_string(),
            "scenario": Digest::of(format!("{:?}", self.scenario).as_bytes()).to_string(),
        }))
    }

    fn bench(&self) -> Result<Bench, UsageError> {
        let lab = Lab::new().map_err(UsageError::of)?;
        let policy = lab.load(self.source, self.bytes).map_err(UsageError::of)?;
        Ok(Bench { policy, contenders: HashMap::new() })
    }

    /// With the scenario's own settings below those that are tried.
    fn contender<'b>(
        &self,
        bench: &'b mut Bench,
        tried: &Settings,
    ) -> Result<&'b Contender, UsageError> {
        let key = reprieve_core::settings::digest(tried);
        if !bench.contenders.contains_key(&key) {
            let made = Contender::on(self.scenario, &bench.policy, tried);
            bench.contenders.insert(key, made.map_err(UsageError::of)?);
        }
        Ok(&bench.contenders[&key])
    }

    fn run(&self, bench: &mut Bench, tried: &Settings, seed: u64) -> Result<Outcome, UsageError> {
        let contender = self.contender(bench, tried)?;
        let options = RunOptions::seeded(Seed(seed));
        let run = play(self.scenario, contender, options, &mut |_| {});
        Ok(Outcome::of(&run.measures))
    }
}

/// What the search came to.
struct Found {
    price: Price,
    best: Told,
    /// On seeds that the search has not seen.
    again: Told,
    /// By how much the second best is dearer.
    margin: Option<(Told, reprieve_lab::score::Figure)>,
    front: Vec<Told>,
    points: usize,
    runs: usize,
}

impl Found {
    fn of(search: &Search, trial: &Trial<'_>, args: &TuneArgs) -> anyhow::Result<Self> {
        let price = search.plan().price;
        let points = search.points();
        let best = search.best().context("nothing was run; that is a defect")?;
        let seeds: Vec<u64> = (0..args.runs).map(|nth| OTHER_SEEDS + args.seed + nth).collect();
        let settings = &points[best].settings;
        let outcomes = pool::each(
            &seeds,
            args.jobs,
            || trial.bench(),
            |bench, seed| trial.run(bench, settings, *seed),
        )?;
        let mut again = points[best].clone();
        again.outcomes = seeds.into_iter().zip(outcomes).collect();
        let most = points[best].outcomes.len();
        let others = (0..points.len())
            .filter(|&other| other != best && points[other].outcomes.len() == most);
        let margin = others
            .filter_map(|other| Some((other, search.dearer(other, best)?)))
            .min_by(|(_, a), (_, b)| a.mean.total_cmp(&b.mean))
            .map(|(other, margin)| (Told::of(&points[other], price), margin));
        Ok(Self {
            price,
            best: Told::of(&points[best], price),
            again: Told::of(&again, price),
            margin,
            front: search
                .front()
                .into_iter()
                .map(|point| Told::of(&points[point], price))
                .collect(),
            points: points.len(),
            runs: points.iter().map(|point| point.outcomes.len()).sum(),
        })
    }

    fn to_json(&self, scenario: &Scenario) -> Value {
        let margin = self.margin.as_ref();
        json!({
            "scenario": scenario.name,
            "price": self.price,
            "recommended": self.best,
            "on_other_seeds": self.again,
            "second": margin.map(|(second, by)| json!({"point": second, "dearer_by": by})),
            "front": self.front,
            "points": self.points,
            "runs": self.runs,
        })
    }

    /// The settings file.
    fn file(&self, scenario: &Scenario) -> String {
        let mut text = format!(
            "# Recommended by `reprieve tune` on {}: {} points, {} runs.\n",
            scenario.name, self.points, self.runs
        );
        text += &toml::to_string(&self.best.settings).unwrap_or_default();
        text
    }

    fn prose(&self, scenario: &Scenario, args: &TuneArgs) -> String {
        let Price { false_restart, unfound_min } = self.price;
        let mut text = format!(
            "{}: {} points, {} runs; {false_restart} for a restart of the living, {unfound_min} for \
             a minute in which one lies dead\n\n",
            output::plain(&scenario.name),
            self.points,
            self.runs
        );
        let rows = self.front.iter().map(row).collect::<Vec<_>>();
        let headings =
            ["THE FRONT", "T_D MEAN", "UNFOUND MIN A DAY", "FALSE A DAY", "PRICE", "RUNS"];
        text += &table::print(headings, &rows, |_, _| None);
        let _ = writeln!(
            text,
            "\n{} {}",
            output::styled(GOOD, "recommended:"),
            shown(&self.best.settings)
        );
        let [_, detect, unfound, false_a_day, price, _] = row(&self.best);
        let _ = writeln!(
            text,
            "  found within {detect} on average, {unfound} min unfound and {false_a_day} false \
             restarts a workspace and day; price {price}"
        );
        let [_, detect, unfound, false_a_day, price, _] = row(&self.again);
        let _ = writeln!(
            text,
            "  on {} other seeds: {detect}, {unfound}, {false_a_day}; price {price}",
            self.again.runs
        );
        if let Some((second, by)) = &self.margin {
            let sure = match by.low > 0.0 {
                true => "surely",
                false => "not surely",
            };
            let _ = writeln!(
                text,
                "  {sure} better than {}: by {:.3} ({:.3} to {:.3})",
                shown(&second.settings),
                by.mean,
                by.low,
                by.high
            );
        }
        if let Some(file) = &args.out {
            let file = output::plain(&file.display().to_string());
            let _ = writeln!(
                text,
                "  in {file}: reprieve settings apply fleet --file {file} --why '…'"
            );
        }
        text
    }
}

fn row(told: &Told) -> [String; 6] {
    let figure = |figure: &Option<reprieve_lab::score::Figure>| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{:.3}", figure.mean))
    };
    let detect = told.detect_s.map_or_else(|| "-".to_owned(), |of| format!("{:.1} s", of.mean));
    [
        shown(&told.settings),
        detect,
        figure(&told.unfound_min_a_day),
        figure(&told.false_restarts_a_day),
        figure(&told.cost),
        told.runs.to_string(),
    ]
}

/// `settle=60s restart_budget=5`
pub(super) fn shown(settings: &Settings) -> String {
    let one = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    settings.iter().map(one).collect::<Vec<_>>().join(" ")
}
