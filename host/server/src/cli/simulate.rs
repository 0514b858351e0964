//! `reprieve simulate`: a fleet under virtual time, judged by one policy or several.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use reprieve_core::{settings::Settings, time::Millis};
use reprieve_lab::{
    Contender, Lab, Length, Measures, Run, RunOptions, START, Samples, Scenario, Seed,
    simulate as play,
};

use super::{
    author::Meant,
    history,
    output::{self, BAD, FAINT, HEADING, UsageError},
    progress::Progress,
    table,
    timeline::{self, About, Timeline, Zero},
};

/// The largest scenario that is read.
const MAX_SCENARIO_BYTES: u64 = 1 << 20;
/// The most runs of one call.
const MAX_RUNS: u64 = 1_000_000;
/// Broken properties that are told of one policy.
const MAX_TOLD: usize = 10;

/// Simulate a fleet, with its mishaps, under virtual time: what a policy would do,
/// and whether it would be right. Needs no host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve simulate fleet.toml
  reprieve simulate fleet.toml --policy default --policy ./my-policy.wasm --runs 100
  reprieve simulate fleet.toml --seed 7 --json | jq .measures
  reprieve simulate fleet.toml --seed 7 --html run.html --between 9min..12min

Exit code: 0 if it ran; 1 if one of the properties that a host must hold was broken, with
the seed that plays it again; 2 if the scenario or a policy cannot be used.")]
pub(crate) struct SimulateArgs {
    /// The scenario, as docs/simulation.md describes it.
    #[arg(value_name = "FILE")]
    scenario: PathBuf,

    /// A policy component, its project's folder, or the name of a built-in policy. Several
    /// are compared.
    #[arg(long = "policy", short, value_name = "FILE|DIR|NAME", default_value = "default")]
    policies: Vec<PathBuf>,

    /// What the first run is drawn from; the next ones from the numbers after it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// So many runs with each policy.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MAX_RUNS))]
    runs: u64,

    /// Write a page with a timeline of the first run with each policy: what was so, and
    /// what was seen, ruled and done. It needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Only this part of the run is on the page.
    #[arg(long, value_name = "FROM..UNTIL", requires = "html", value_parser = between)]
    between: Option<(Millis, Millis)>,

    /// Each run as one JSON object a line.
    #[arg(long)]
    json: bool,
}

fn between(text: &str) -> Result<(Millis, Millis), String> {
    let parsed = text.split_once("..").and_then(|(from, until)| {
        let (Length(from), Length(until)) = (Length::parse(from)?, Length::parse(until)?);
        (from < until).then_some((from, until))
    });
    parsed.ok_or_else(|| format!("{text:?} is no part of a run; write it like 9min..12min"))
}

/// What came of all runs with one policy.
#[derive(Default)]
struct Sum {
    policy: String,
    measures: Measures,
    broken: Vec<Run>,
}

pub(crate) fn simulate(args: &SimulateArgs) -> anyhow::Result<u8> {
    let scenario = read(&args.scenario).map_err(UsageError::of)?;
    if let Some((from, _)) = args.between
        && from >= scenario.lasts
    {
        let Scenario { name, lasts, .. } = &scenario;
        let said = format!("--between begins at {from}, when {name} has ended: it lasts {lasts}");
        return Err(UsageError(said, None).into());
    }
    let lab = Lab::new().map_err(UsageError::of)?;
    let (mut sums, mut timelines) = (Vec::new(), Vec::new());
    let progress = Progress::begin();
    for policy in &args.policies {
        let by = contender(&lab, policy, &scenario)?;
        let mut timeline = args.html.as_ref().map(|_| timeline(args, by.name()));
        sums.push(run_all(args, &scenario, &by, timeline.as_mut(), &progress)?);
        timelines.extend(timeline.map(Timeline::sorted));
    }
    drop(progress);
    if let Some(file) = &args.html {
        let about = About {
            title: &scenario.name,
            text: &scenario.about,
            remedy: "Choose a part of the run with <code>--between</code>.",
        };
        output::write(file, &timeline::page(&about, &timelines))?;
    }
    if !args.json {
        output::print(&prose(&scenario, args.runs, &sums))?;
    }
    let broken: Vec<&Run> = sums.iter().flat_map(|sum| &sum.broken).collect();
    if broken.is_empty() {
        return Ok(output::OK);
    }
    let mut told = String::new();
    for run in broken.iter().take(MAX_TOLD) {
        let Some(first) = run.violations.first() else { continue };
        let at = Millis(first.at_ms);
        let _ = writeln!(
            told,
            "{} under {}, seed {}: after {at}, {}: {} ({:?})",
            output::styled(BAD, "broken:"),
            run.policy,
            run.seed.0,
            first.workspace,
            first.detail,
            first.property
        );
    }
    let _ = anstream::stderr().lock().write_all(told.as_bytes());
    Ok(output::NO)
}

/// Each file that is named, and of folders all `*.toml`, by name.
pub(super) fn scenario_files(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries =
            fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut within: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|file| file.extension().is_some_and(|kind| kind == "toml"))
            .collect();
        anyhow::ensure!(!within.is_empty(), "{} holds no scenario (*.toml)", path.display());
        within.sort();
        files.extend(within);
    }
    Ok(files)
}

pub(super) fn read(file: &Path) -> anyhow::Result<Scenario> {
    let name = || file.display().to_string();
    let size = fs::metadata(file).with_context(|| format!("cannot read {}", name()))?.len();
    anyhow::ensure!(
        size <= MAX_SCENARIO_BYTES,
        "{} has {size} bytes; a scenario has at most {MAX_SCENARIO_BYTES}",
        name()
    );
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", name()))?;
    let beside = file.parent().unwrap_or(Path::new(""));
    let mut open = |trace: &str| {
        let file = history::open(&beside.join(trace))?;
        Ok(Box::new(file) as Box<dyn io::Read>)
    };
    Scenario::parse_with(&text, &mut open).with_context(|| format!("{} is no scenario", name()))
}

fn contender(lab: &Lab, policy: &Path, scenario: &Scenario) -> anyhow::Result<Contender> {
    let candidate = Meant::by(policy)?.fetch()?;
    let loaded = lab.load(&candidate.source, &candidate.bytes).map_err(UsageError::of)?;
    Ok(Contender::on(scenario, &loaded, &Settings::new()).map_err(UsageError::of)?)
}

fn timeline(args: &SimulateArgs, policy: &str) -> Timeline {
    let between = args.between.map(|(from, until)| (START + from, START + until));
    Timeline::new(format!("{policy}, seed {}", args.seed), Zero::Since(START), between)
}

/// The first run is drawn.
fn run_all(
    args: &SimulateArgs,
    scenario: &Scenario,
    by: &Contender,
    mut timeline: Option<&mut Timeline>,
    progress: &Progress,
) -> anyhow::Result<Sum> {
    let mut sum = Sum { policy: by.name().to_owned(), ..Sum::default() };
    for nth in 0..args.runs {
        if args.runs > 1 {
            progress.tell(|| format!("{}: run {} of {}", by.name(), nth + 1, args.runs));
        }
        let seed = Seed(args.seed.wrapping_add(nth));
        let mut drawn = timeline.take();
        let run = play(scenario, by, RunOptions::seeded(seed), &mut |happening| {
            if let Some(timeline) = &mut drawn {
                timeline.happened(&happening);
            }
        });
        if args.json {
            output::print(&format!("{}\n", serde_json::to_string(&run)?))?;
        }
        sum.measures.add(&run.measures);
        if !run.violations.is_empty() && sum.broken.len() < MAX_TOLD {
            sum.broken.push(run);
        }
    }
    Ok(sum)
}

fn prose(scenario: &Scenario, runs: u64, sums: &[Sum]) -> String {
    let mut text = output::styled(HEADING, &scenario.name) + "\n";
    let _ = writeln!(
        text,
        "{}\n{}\n",
        scenario.about,
        output::styled(
            FAINT,
            &format!(
                "{} workspaces for {}, {runs} {}",
                scenario.workspaces(),
                scenario.lasts,
                if runs == 1 { "run" } else { "runs" }
            )
        )
    );
    let count = |value: u64| value.to_string();
    let rows: Vec<[String; 9]> = sums
        .iter()
        .map(|Sum { policy, measures, .. }| {
            [
                policy.clone(),
                count(measures.deaths),
                count(measures.undetected),
                length(&measures.time_to_detect, 0.5),
                length(&measures.time_to_detect, 0.99),
                count(measures.false_restarts),
                format!("{:.3}", measures.false_restarts_per_workspace_day()),
                format!("{:.6}", measures.query_accuracy()),
                count(measures.largest_simultaneous_restart),
            ]
        })
        .collect();
    let headings =
        ["POLICY", "DEATHS", "UNFOUND", "T_D P50", "P99", "FALSE", "A WS-DAY", "P_A", "AT ONCE"];
    text += &table::print(headings, &rows, |_, _| None);
    text.push('\n');
    let rows: Vec<[String; 9]> = sums
        .iter()
        .map(|Sum { policy, measures, .. }| {
            [
                policy.clone(),
                count(measures.requests),
                count(measures.failed_forwards),
                count(measures.queued),
                count(measures.delivered),
                count(measures.lost),
                count(measures.refused),
                count(measures.judgements),
                count(measures.probes),
            ]
        })
        .collect();
    let headings = [
        "POLICY",
        "REQUESTS",
        "FAILED",
        "QUEUED",
        "DELIVERED",
        "LOST",
        "REFUSED",
        "JUDGED",
        "PROBES",
    ];
    text + &table::print(headings, &rows, |_, _| None)
}

fn length(samples: &Samples, share: f64) -> String {
    samples.at(share).map_or_else(|| "-".to_owned(), |length| length.to_string())
}
