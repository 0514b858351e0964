//! Fleets under virtual time with their truth known: every scenario of `scenarios/`
//! under the default policy, the stories under the policies of their day, and the
//! seven properties broken on purpose.
//!
//! A test that fails names the seed; `REPRIEVE_SEED` plays it again alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

mod alike;
mod breaking;
mod folder;
mod importing;
mod laws;
mod replaying;
mod stories;
mod tuning;
mod tuning_on_logs;

use std::{collections::HashMap, sync::Arc};

use folder::scenario;
use parking_lot::Mutex;
use reprieve_core::settings::Settings;
use reprieve_lab::{Contender, Lab, Run, RunOptions, Scenario, Seed, simulate};
use reprieve_runtime::Policy;

/// A policy of this repository, loaded once.
fn load(name: &str) -> Arc<Policy> {
    static LAB: std::sync::LazyLock<Lab> = std::sync::LazyLock::new(|| Lab::new().unwrap());
    static LOADED: Mutex<Option<HashMap<String, Arc<Policy>>>> = Mutex::new(None);
    let mut loaded = LOADED.lock();
    let loaded = loaded.get_or_insert_default();
    let policy = loaded.entry(name.to_owned()).or_insert_with(|| {
        let file = format!("{}/../policies/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
        LAB.load(name, &std::fs::read(file).unwrap()).unwrap()
    });
    Arc::clone(policy)
}

fn contender(name: &str, settings: Settings) -> Contender {
    Contender::new(name, load(name), settings).unwrap()
}

fn play(scenario: &Scenario, policy: &str, options: RunOptions) -> Run {
    simulate(scenario, &contender(policy, scenario.settings_of(policy)), options, &mut |_| {})
}

/// The one that is asked for, or as many as the test wants.
fn seeds(count: u64) -> Vec<Seed> {
    match std::env::var("REPRIEVE_SEED") {
        Ok(seed) => vec![Seed(seed.parse().expect("REPRIEVE_SEED is a number"))],
        Err(_) => (1..=count).map(Seed).collect(),
    }
}
