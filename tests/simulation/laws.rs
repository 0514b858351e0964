//! What holds in every scenario under the default policy.

use reprieve_lab::RunOptions;

use crate::{folder, play, scenario, seeds};

const EVERY_DECISION: RunOptions = RunOptions {
    replay_one_in: 1,
    replay_afresh_one_in: 16,
    ..RunOptions::seeded(reprieve_lab::Seed(0))
};

#[test]
fn no_property_is_broken_and_every_decision_replays() {
    for name in folder::names() {
        let scenario = scenario(&name);
        for seed in seeds(3) {
            let run = play(&scenario, "default", RunOptions { seed, ..EVERY_DECISION });
            assert_eq!(run.violations, [], "{name}, seed {}", seed.0);
            assert_eq!(run.measures.fell_back, 0, "{name}, seed {}", seed.0);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for name in folder::names() {
        let scenario = scenario(&name);
        let bytes = |seed| {
            let run = play(&scenario, "default", RunOptions { seed, ..EVERY_DECISION });
            serde_json::to_string(&run).unwrap()
        };
        let [one, other] = [1, 2].map(|seed| bytes(reprieve_lab::Seed(seed)));
        assert_eq!(one, bytes(reprieve_lab::Seed(1)), "{name}");
        assert_ne!(one, other, "{name}");
    }
}

#[test]
fn whoever_dies_is_found_and_comes_back() {
    for name in folder::names() {
        let scenario = scenario(&name);
        for seed in seeds(3) {
            let measures = play(&scenario, "default", RunOptions::seeded(seed)).measures;
            assert!(
                measures.undetected * 10 <= measures.deaths,
                "{name}, seed {}: {} of {} deaths stay undetected",
                seed.0,
                measures.undetected,
                measures.deaths
            );
        }
    }
}

/// Of several hosts that rule a life dead, one restarts it. What the others rule is void,
/// and says nothing of the life that runs.
#[test]
fn what_is_void_is_no_mistake() {
    let scenario = scenario("many-proxies");
    for seed in seeds(3) {
        let measures = play(&scenario, "default", RunOptions::seeded(seed)).measures;
        assert!(measures.voided > 0, "seed {}: nobody was slower than another", seed.0);
        assert_eq!(measures.mistakes, 0, "seed {}", seed.0);
    }
}
