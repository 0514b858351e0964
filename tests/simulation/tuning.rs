//! The best window is found where it is known, and what is recommended keeps its promise
//! on seeds that the search has not seen.

use reprieve_core::settings::Settings;
use reprieve_lab::{
    RunOptions, Scenario, Seed,
    score::{Figure, Score, Scoreboard},
    simulate,
    tune::{Outcome, Plan, Price, Search},
};

use crate::{contender, play, scenario};

/// Beats come every 10 s, and now and then none for exactly a minute: the living are
/// silent for 70 s at most. So the best `liveness_ttl` is 70 s: below it the living are
/// restarted, above it those that hang lie longer.
const SILENCES_OF_A_MINUTE: &str = r#"
name = "silences-of-a-minute"
about = "Beats every 10 s; now and then none for a minute. Some hang."
lasts = "6h"

[[workspaces]]
count = 20
beats = { every = "10s" }
boot = "5s"

[[event]]
what = "mute"
per_day = 24.0
for = "60s"

[[event]]
what = "hang"
per_day = 8.0
"#;
const BEST_S: f64 = 70.0;
/// Of them.
const NEAR: f64 = 0.1;

fn outcome(scenario: &Scenario, settings: &Settings, seed: u64) -> Outcome {
    let by = contender("default", settings.clone());
    Outcome::of(&simulate(scenario, &by, RunOptions::seeded(Seed(seed)), &mut |_| {}).measures)
}

fn ttl_s(settings: &Settings) -> f64 {
    let written = settings["liveness_ttl"].as_str().unwrap();
    let (digits, unit) = match written.strip_suffix("ms") {
        Some(digits) => (digits, 1e3),
        None => (written.strip_suffix('s').unwrap(), 1.0),
    };
    digits.parse::<f64>().unwrap() / unit
}

#[test]
fn the_best_window_is_found_and_keeps_its_promise() {
    let scenario = Scenario::parse(SILENCES_OF_A_MINUTE).unwrap();
    let price = Price { false_restart: 30.0, unfound_min: 1.0 };
    let knobs = vec!["liveness_ttl=20s..10min".parse().unwrap()];
    let mut search = Search::new(knobs, Plan { price, seed: 1, runs: 8 }).unwrap();
    loop {
        for run in search.wanted() {
            let settings = search.points()[run.point].settings.clone();
            search.came(run, outcome(&scenario, &settings, run.seed));
        }
        if !search.next_round() {
            break;
        }
    }
    let best = &search.points()[search.best().unwrap()];
    let found_s = ttl_s(&best.settings);
    assert!((found_s / BEST_S - 1.0).abs() <= NEAR, "{found_s} s");

    let promised = best.figure(|outcome| price.of(outcome)).unwrap();
    let others: Vec<f64> =
        (1_000..1_008).map(|seed| price.of(&outcome(&scenario, &best.settings, seed))).collect();
    let kept = Figure::of(&others).unwrap();
    assert!(
        kept.low <= promised.high && promised.low <= kept.high,
        "promised {promised:?}, on other seeds {kept:?}"
    );
    // Neither half nor four times as much does as well.
    for factor in [0.5, 4.0] {
        let settings: Settings =
            [("liveness_ttl".to_owned(), format!("{}s", found_s * factor).into())]
                .into_iter()
                .collect();
        let costs: Vec<f64> =
            (1_000..1_008).map(|seed| price.of(&outcome(&scenario, &settings, seed))).collect();
        let dearer = Figure::of_pairs(&costs, &others).unwrap();
        assert!(dearer.low > 0.0, "{factor}: {dearer:?}");
    }
}

#[test]
fn who_restarts_the_living_is_not_on_the_front_and_the_default_is() {
    let name = "story-3-false-after-pong";
    let scenario = scenario(name);
    let board = ["default", "trust-the-probe", "count-debounce"].map(|policy| {
        let run = |seed| play(&scenario, policy, RunOptions::seeded(Seed(seed)));
        Score::of(&(1..=5).map(run).collect::<Vec<_>>()).unwrap()
    });
    let board = Scoreboard { scores: board.into() };
    let [default, trusting, counting] = &board.scores[..] else { panic!("three policies") };
    assert_eq!(default.measures.false_restarts, 0);
    assert!(board.better_than(default).is_empty());
    assert!(trusting.false_restarts_a_day.low > 0.0, "{:?}", trusting.false_restarts_a_day);
    assert!(counting.false_restarts_a_day.mean > 0.0);
}
