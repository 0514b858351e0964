//! Runs everything, on all cores.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, Write as _},
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use parking_lot::Mutex;
use reprieve_lab::{
    Contender, Lab, Run, RunOptions, Scenario, Seed,
    score::{Score, Scoreboard},
    simulate,
};
use reprieve_runtime::Policy;

use crate::{
    cli::{author::Meant, output::UsageError},
    config::policy::PolicySource,
};

/// Runs that one thread does before it looks for other work.
const RUNS_AT_ONCE: usize = 5;

/// A component that is scored.
pub(super) struct Named {
    source: String,
    bytes: Arc<[u8]>,
}

pub(super) struct Work<'a> {
    pub(super) policies: Vec<Named>,
    pub(super) scenarios: &'a [Scenario],
    pub(super) seeds: Range<u64>,
    pub(super) jobs: Option<u64>,
}

/// Some seeds of one policy over one scenario.
struct Piece {
    policy: usize,
    scenario: usize,
    seeds: Vec<u64>,
}

pub(super) fn read(policies: &[PathBuf]) -> Result<Vec<Named>, UsageError> {
    let named = |policy: &PathBuf| {
        let source: PolicySource = Meant::by(policy)?.source;
        let bytes = source.fetch().map_err(UsageError::of)?.bytes;
        Ok(Named { source: source.name(), bytes })
    };
    policies.iter().map(named).collect()
}

pub(super) fn all(work: &Work<'_>) -> anyhow::Result<Scoreboard> {
    let pieces = pieces(work);
    let runs: Vec<Mutex<Vec<Run>>> =
        (0..work.policies.len() * work.scenarios.len()).map(|_| Mutex::default()).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let threads = match work.jobs {
        Some(jobs) => usize::try_from(jobs).unwrap_or(usize::MAX),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let began = Instant::now();
    let ended: Vec<Result<(), UsageError>> = thread::scope(|scope| {
        let worker = || -> Result<(), UsageError> {
            let mut bench = Bench::new(work)?;
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                let made = bench.run(piece)?;
                runs[piece.scenario * work.policies.len() + piece.policy].lock().extend(made);
                let so_far = done.fetch_add(1, Ordering::Relaxed) + 1;
                tell(so_far, pieces.len(), began);
            }
            Ok(())
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let lost = || UsageError("a thread of the laboratory ended early".to_owned(), None);
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(lost()))).collect()
    });
    for ended in ended {
        ended?;
    }
    let scores = runs.into_iter().filter_map(|runs| {
        let mut runs = runs.into_inner();
        // By whichever thread they were made.
        runs.sort_by_key(|run| run.seed.0);
        Score::of(&runs)
    });
    Ok(Scoreboard { scores: scores.collect() })
}

fn pieces(work: &Work<'_>) -> Vec<Piece> {
    let seeds: Vec<u64> = work.seeds.clone().collect();
    let mut pieces = Vec::new();
    for scenario in 0..work.scenarios.len() {
        for policy in 0..work.policies.len() {
            for seeds in seeds.chunks(RUNS_AT_ONCE) {
                pieces.push(Piece { policy, scenario, seeds: seeds.to_vec() });
            }
        }
    }
    pieces
}

/// What one thread runs with: an engine of its own.
struct Bench<'a> {
    work: &'a Work<'a>,
    policies: Vec<Arc<Policy>>,
    contenders: HashMap<(usize, usize), Contender>,
}

impl<'a> Bench<'a> {
    fn new(work: &'a Work<'a>) -> Result<Self, UsageError> {
        let lab = Lab::new().map_err(UsageError::of)?;
        let load = |named: &Named| lab.load(&named.source, &named.bytes).map_err(UsageError::of);
        let policies = work.policies.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self { work, policies, contenders: HashMap::new() })
    }

    fn run(&mut self, piece: &Piece) -> Result<Vec<Run>, UsageError> {
        let scenario = &self.work.scenarios[piece.scenario];
        let key = (piece.policy, piece.scenario);
        if !self.contenders.contains_key(&key) {
            let policy = &self.policies[piece.policy];
            let name = policy.description().name.clone();
            let settings = scenario.settings_of(&name);
            let made = Contender::new(&name, Arc::clone(policy), settings);
            self.contenders.insert(key, made.map_err(UsageError::of)?);
        }
        let contender = &self.contenders[&key];
        let run = |seed: &u64| {
            simulate(scenario, contender, RunOptions::seeded(Seed(*seed)), &mut |_| {})
        };
        Ok(piece.seeds.iter().map(run).collect())
    }
}

/// How far it has come, where somebody watches.
fn tell(so_far: usize, all: usize, began: Instant) {
    let mut err = std::io::stderr().lock();
    if !err.is_terminal() {
        return;
    }
    let left_s = began.elapsed().as_secs_f64() / so_far as f64 * (all - so_far) as f64;
    let line = match so_far == all {
        true => "\r\x1b[K".to_owned(),
        false => format!("\r\x1b[K{so_far} of {all} parts done, {left_s:.0} s left"),
    };
    // Whoever does not see it waits all the same.
    let _ = err.write_all(line.as_bytes());
}
