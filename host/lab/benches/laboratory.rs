//! How fast the laboratory is: a fleet of 10,000 workspaces through a day, and
//! decisions that are run again, with and without reading them.
//!
//! `cargo bench -p reprieve-lab --bench laboratory`, or `-- replay`, `-- simulate`. Each
//! figure has its baseline in the same run, because only ratios travel.

#![allow(clippy::expect_used, clippy::print_stdout)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use reprieve_core::{decision::Decision, ids::Digest, settings::Settings};
use reprieve_lab::{
    Contender, Happening, Lab, RunOptions, Scenario, Seed,
    replay::{Again, Archive, By, Source, read_line},
    simulate,
};
use reprieve_runtime::Who;

const DEFAULT: &[u8] = include_bytes!("../../../policies/default.wasm");
const DAY: &str = include_str!("day-of-ten-thousand.toml");
const ORDINARY: &str = include_str!("../../../tests/simulation/scenarios/ordinary-day.toml");

/// Decisions that are run again.
const DECISIONS: usize = 100_000;

/// The default policy, with its defaults.
struct BuiltIn;

impl Source for BuiltIn {
    fn component(&mut self, _: Digest) -> Option<Vec<u8>> {
        Some(DEFAULT.to_vec())
    }

    fn settings(&mut self, _: &Who, _: Digest) -> Option<Settings> {
        None
    }
}

fn main() {
    let is_filter = |arg: &String| !arg.starts_with('-');
    let filter = std::env::args().skip(1).find(is_filter).unwrap_or_default();
    let lab = Lab::new().expect("an engine");
    let policy = lab.load("default", DEFAULT).expect("a policy");
    let default = Contender::new("default", policy, Settings::new()).expect("settings");
    if "simulate".contains(&filter) {
        simulation(&default);
    }
    if "replay".contains(&filter) {
        replaying(lab, &default);
    }
}

fn simulation(default: &Contender) {
    for (name, text) in [("10,000 workspaces, 24 h", DAY), ("40 workspaces, 24 h", ORDINARY)] {
        let scenario = Scenario::parse(text).expect("a scenario");
        let (run, took) =
            timed(|| simulate(&scenario, default, RunOptions::seeded(Seed(1)), &mut |_| {}));
        println!(
            "simulate, {name}: {:.2} s; {} events, {} judgements, {} requests, {} false restarts",
            took.as_secs_f64(),
            run.events,
            run.measures.judgements,
            run.measures.requests,
            run.measures.false_restarts,
        );
    }
}

fn replaying(lab: Lab, default: &Contender) {
    let decisions = recorded(default);
    let bytes: usize = decisions.iter().map(|(_, line)| line.len()).sum();
    println!("replay: {} decisions, {} bytes a line", decisions.len(), bytes / decisions.len());
    let mut same = By::Same(Archive::new(lab, BuiltIn));
    // Loads the component.
    let first = same.run(&decisions[0].0);
    assert_eq!(first, Again::Same);
    let (_, took) = timed(|| {
        for (decision, _) in &decisions {
            black_box(decision.clone());
        }
    });
    rate("baseline: copying a decision", decisions.len(), took);
    let (differing, took) = timed(|| {
        decisions.iter().filter(|(decision, _)| same.run(decision) != Again::Same).count()
    });
    assert_eq!(differing, 0, "the same generation gives the same");
    rate("replayed through the component", decisions.len(), took);
    let (_, took) = timed(|| {
        for (_, line) in &decisions {
            black_box(read_line(line).expect("a decision"));
        }
    });
    rate("read from JSON", decisions.len(), took);
    let (differing, took) = timed(|| {
        let mut differing = 0;
        for (_, line) in &decisions {
            let decision = read_line(line).expect("a decision").expect("not empty");
            differing += u32::from(same.run(&decision) != Again::Same);
        }
        differing
    });
    assert_eq!(differing, 0);
    rate("read from JSON and replayed", decisions.len(), took);
}

/// Decisions of simulated days, with the lines that a log has of them.
fn recorded(default: &Contender) -> Vec<(Decision, Vec<u8>)> {
    let scenario = Scenario::parse(ORDINARY).expect("a scenario");
    let mut decisions = Vec::new();
    // As many seeds as it takes; a day has hundreds of decisions.
    for seed in 1..1_000 {
        let options = RunOptions {
            replay_one_in: 0,
            replay_afresh_one_in: 0,
            ..RunOptions::seeded(Seed(seed))
        };
        let mut keep = |happening: Happening<'_>| {
            if let Happening::Decided(decision) = happening {
                let line = serde_json::to_vec(decision).expect("JSON");
                decisions.push((decision.clone(), line));
            }
        };
        simulate(&scenario, default, options, &mut keep);
        if decisions.len() >= DECISIONS {
            break;
        }
    }
    decisions.truncate(DECISIONS);
    decisions
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let value = work();
    (value, began.elapsed())
}

fn rate(what: &str, count: usize, took: Duration) {
    let each = took.as_secs_f64() / count as f64;
    println!("replay, {what}: {:.0} a second, {:.2} us each", 1.0 / each, each * 1e6);
}
