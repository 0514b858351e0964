//! Runs everything, on all cores.

use std::{collections::HashMap, ops::Range, path::PathBuf, sync::Arc};

use reprieve_core::settings::Settings;
use reprieve_lab::{
    Contender, Lab, Run, RunOptions, Scenario, Seed,
    score::{Score, Scoreboard},
    simulate,
};
use reprieve_runtime::{Policy, registry::Candidate};

use crate::cli::{author::Meant, output::UsageError, pool, progress::Progress};

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
    let mut named: Vec<Named> = Vec::new();
    for policy in policies {
        let Candidate { source, bytes, .. } = Meant::by(policy)?.fetch()?;
        if named.iter().any(|other| other.source == source) {
            return Err(UsageError(format!("policy {source} is named twice"), None));
        }
        named.push(Named { source, bytes });
    }
    Ok(named)
}

pub(super) fn all(work: &Work<'_>) -> Result<Scoreboard, UsageError> {
    let pieces = pieces(work);
    let made = pool::each(&pieces, work.jobs, &Progress::begin(), || Bench::new(work), Bench::run)?;
    // Of one cell after the other, as they were cut.
    let mut cells: Vec<Vec<Run>> = Vec::new();
    let mut last = None;
    for (piece, runs) in pieces.iter().zip(made) {
        let cell = (piece.policy, piece.scenario);
        match cells.last_mut() {
            Some(same) if last == Some(cell) => same.extend(runs),
            _ => cells.push(runs),
        }
        last = Some(cell);
    }
    Ok(Scoreboard { scores: cells.iter().filter_map(|runs| Score::of(runs)).collect() })
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
    /// Each with what it is called in the results.
    policies: Vec<(String, Arc<Policy>)>,
    contenders: HashMap<(usize, usize), Contender>,
}

impl<'a> Bench<'a> {
    fn new(work: &'a Work<'a>) -> Result<Self, UsageError> {
        let lab = Lab::new().map_err(UsageError::of)?;
        let load = |named: &Named| lab.load(&named.source, &named.bytes).map_err(UsageError::of);
        let policies: Vec<_> = work.policies.iter().map(load).collect::<Result<_, _>>()?;
        let names: Vec<_> = policies.iter().map(|policy| &*policy.description().name).collect();
        // Builds of one policy are told apart by where they come from.
        let called =
            names.iter().zip(&work.policies).map(|(name, Named { source, .. })| {
                match names.iter().filter(|other| *other == name).count() {
                    1 => (*name).to_owned(),
                    _ => source.clone(),
                }
            });
        let policies = called.zip(policies.iter().cloned()).collect();
        Ok(Self { work, policies, contenders: HashMap::new() })
    }

    fn run(&mut self, piece: &Piece) -> Result<Vec<Run>, UsageError> {
        let scenario = &self.work.scenarios[piece.scenario];
        let key = (piece.policy, piece.scenario);
        if !self.contenders.contains_key(&key) {
            let (name, policy) = &self.policies[piece.policy];
            let made = Contender::on(scenario, policy, &Settings::new());
            self.contenders.insert(key, made.map_err(UsageError::of)?.called(name.clone()));
        }
        let contender = &self.contenders[&key];
        let run = |seed: &u64| {
            simulate(scenario, contender, RunOptions::seeded(Seed(*seed)), &mut |_| {})
        };
        Ok(piece.seeds.iter().map(run).collect())
    }
}
