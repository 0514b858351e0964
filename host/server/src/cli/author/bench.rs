//! `reprieve policy bench`: what a policy costs, beside the default policy and one
//! that does nothing. All in turns, because only ratios travel.

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use reprieve_core::settings::Settings;
use reprieve_runtime::{
    Engine, Generation, Limits, Policy,
    table::{Judges, Row},
};
use serde_json::{Value, json};

use super::project::{Meant, engine, judging};
use crate::{
    cli::{
        output::{self, UsageError},
        table,
    },
    config::policy::PolicySource,
    tables,
};

/// Situations that any policy can be put to.
const SITUATIONS: &str = include_str!("situations.toml");
/// What it is compared with, the baseline of ratios first.
const BESIDE: [&str; 2] = ["default", "do-nothing"];
/// Each policy takes its turn so often: a busy moment of the machine hits all.
const TURNS: usize = 15;
/// A turn's judgements last about so long.
const TURN: Duration = Duration::from_millis(40);
/// Fresh instances in a turn.
const FRESH: usize = 20;
/// Loading is repeated so often, and for no longer than this in all.
const LOADS: usize = 5;
const LOADING: Duration = Duration::from_secs(20);

/// Measure what a policy costs, in turns with the default policy and one that does
/// nothing.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy bench .
  reprieve policy bench ./my-policy.wasm --table ./judgements.toml --json

Measured are: loading (compilation included), a judgement in a fresh instance, and a
judgement in a warm one, over all situations of a table. What the host takes to fetch
facts is no part of it. Compare within the table: times depend on the machine.")]
pub(in crate::cli) struct BenchArgs {
    /// A component, the name of a built-in policy, or the folder of a project.
    #[arg(value_name = "FILE|NAME|DIR", default_value = ".")]
    policy: PathBuf,
    /// A table whose rows are put to all of them, by their default settings. Default:
    /// the situations of every day.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(super) fn bench(args: &BenchArgs) -> anyhow::Result<u8> {
    let rows = match &args.table {
        Some(file) => tables::read(file).map_err(UsageError::of)?,
        None => tables::written(SITUATIONS).map_err(UsageError::of)?,
    };
    // By their own settings they would be judged by one policy only.
    let rows: Vec<Row> = rows.into_iter().map(|placed| placed.row.by_default_settings()).collect();
    if rows.is_empty() {
        return Err(UsageError("the table has no row".to_owned(), None).into());
    }
    let engine = engine()?;
    let mut subjects = vec![Subject::load(&engine, &Meant::by(&args.policy)?)?];
    for name in BESIDE {
        let source = PolicySource::of_built_in(name);
        let meant = source.map(|source| Meant { source, project: None });
        subjects.push(Subject::load(
            &engine,
            &meant.ok_or_else(|| UsageError(format!("no {name}"), None))?,
        )?);
    }
    if cfg!(debug_assertions) {
        output::remark("this program was built without optimisation: ratios are too small");
    }
    measure(&engine, &rows, &mut subjects)?;
    let text = match args.json {
        true => format!("{:#}\n", to_json(&subjects, rows.len())),
        false => prose(&subjects, rows.len()),
    };
    output::print(&text)?;
    Ok(output::OK)
}

/// A policy, and what was measured of it.
struct Subject {
    name: String,
    bytes: Arc<[u8]>,
    policy: Arc<Policy>,
    judging: Generation,
    load: Vec<Duration>,
    fresh: Vec<Duration>,
    warm: Vec<Duration>,
}

impl Subject {
    fn load(engine: &Engine, meant: &Meant) -> Result<Self, UsageError> {
        let bytes = meant.fetch()?.bytes;
        let policy = meant.load(engine)?;
        let judging = judging(&policy, Settings::new())?;
        let name = policy.label().to_owned();
        Ok(Self { name, bytes, policy, judging, load: vec![], fresh: vec![], warm: vec![] })
    }

    fn judge(&mut self, rows: &[Row]) -> Result<(), UsageError> {
        let mut judges = Judges::new(&self.judging);
        let mut put = |row: &Row| -> Result<Duration, UsageError> {
            let began = Instant::now();
            judges.put(row).map_err(UsageError::of)?;
            Ok(began.elapsed())
        };
        for row in rows.iter().cycle().take(FRESH) {
            self.policy.drop_idle();
            self.fresh.push(put(row)?);
        }
        for row in rows {
            put(row)?;
        }
        let until = Instant::now() + TURN;
        while Instant::now() < until {
            for row in rows {
                self.warm.push(put(row)?);
            }
        }
        Ok(())
    }
}

fn measure(engine: &Engine, rows: &[Row], subjects: &mut [Subject]) -> Result<(), UsageError> {
    let began = Instant::now();
    for round in 0..LOADS {
        for subject in &mut *subjects {
            // Once each, however long that takes.
            if round > 0 && began.elapsed() > LOADING {
                continue;
            }
            let began = Instant::now();
            engine.load(&subject.bytes, Limits::default()).map_err(UsageError::of)?;
            subject.load.push(began.elapsed());
        }
    }
    for _ in 0..TURNS {
        for subject in &mut *subjects {
            subject.judge(rows)?;
        }
    }
    for subject in subjects {
        for times in [&mut subject.load, &mut subject.fresh, &mut subject.warm] {
            times.sort_unstable();
        }
    }
    Ok(())
}

/// Of sorted times, in microseconds.
fn at(times: &[Duration], percent: usize) -> f64 {
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// What is measured, of which policy.
type Measure = (&'static str, fn(&Subject) -> f64);

const MEASURES: [Measure; 5] = [
    ("load", |subject| at(&subject.load, 50)),
    ("fresh p50", |subject| at(&subject.fresh, 50)),
    ("warm p50", |subject| at(&subject.warm, 50)),
    ("warm p99", |subject| at(&subject.warm, 99)),
    ("size", |subject| f64::from(u32::try_from(subject.bytes.len()).unwrap_or(u32::MAX))),
];

fn to_json(subjects: &[Subject], rows: usize) -> Value {
    let subject = |subject: &Subject| {
        json!({
            "policy": subject.name,
            "bytes": subject.bytes.len(),
            "load_us": at(&subject.load, 50),
            "fresh_p50_us": at(&subject.fresh, 50),
            "warm_p50_us": at(&subject.warm, 50),
            "warm_p99_us": at(&subject.warm, 99),
            "judgements": subject.warm.len(),
        })
    };
    json!({"rows": rows, "policies": subjects.iter().map(subject).collect::<Vec<_>>()})
}

fn prose(subjects: &[Subject], rows: usize) -> String {
    let [own, default, nothing] = subjects else { return String::new() };
    let line = |(what, of): &Measure| {
        let [a, b, c] = [own, default, nothing].map(of);
        let shown = |value: f64| match *what {
            "size" => format!("{:.1} kB", value / 1e3),
            _ if value < 1e3 => format!("{value:.2} us"),
            _ => format!("{:.2} ms", value / 1e3),
        };
        let ratio = |to: f64| if to > 0.0 { format!("{:.2}", a / to) } else { "-".to_owned() };
        [(*what).to_owned(), shown(a), shown(b), shown(c), ratio(b), ratio(c)]
    };
    let lines: Vec<_> = MEASURES.iter().map(line).collect();
    let names = [own, default, nothing].map(|subject| output::plain(&subject.name));
    let heading = ["", "THIS", "DEFAULT", "NOTHING", "TO DEFAULT", "TO NOTHING"];
    let mut out = table::print(heading, &lines, |_, _| None);
    let [own_name, default_name, nothing_name] = names;
    let _ = writeln!(
        out,
        "THIS is {own_name}; beside it {default_name} and {nothing_name}, {} judgements over {rows} \
         situations, in turns",
        own.warm.len(),
    );
    out
}
