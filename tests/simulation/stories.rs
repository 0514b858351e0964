//! What went wrong in production: never under the default policy, and under the
//! policy of its day each time.

use reprieve_lab::{Measures, Run, RunOptions};

use crate::{play, scenario, seeds};

const STORIES: [&str; 3] =
    ["story-1-six-containers", "story-2-one-change-four-restarts", "story-3-false-after-pong"];

fn runs(story: &str, policy: &str) -> Vec<Run> {
    let scenario = scenario(story);
    seeds(20).into_iter().map(|seed| play(&scenario, policy, RunOptions::seeded(seed))).collect()
}

#[test]
fn no_story_costs_a_false_restart_under_the_default_policy() {
    for story in STORIES {
        for run in runs(story, "default") {
            let Measures { false_restarts, mistakes, restarts_on_errors, undetected, .. } =
                run.measures;
            assert_eq!(
                (false_restarts, mistakes, restarts_on_errors, undetected),
                (0, 0, 0, 0),
                "{story}, seed {}",
                run.seed.0
            );
        }
    }
}

#[test]
fn the_container_that_was_removed_is_restored_alone() {
    for run in runs(STORIES[0], "default") {
        let Measures { deaths, restarts, time_to_recover, .. } = run.measures;
        assert_eq!((deaths, restarts, time_to_recover.count()), (1, 1, 1), "seed {}", run.seed.0);
    }
}

#[test]
fn one_change_is_one_start() {
    for run in runs(STORIES[1], "default") {
        let Measures { settings_changes, restarts_after_changes, .. } = run.measures;
        assert_eq!((settings_changes, restarts_after_changes), (6, 6), "seed {}", run.seed.0);
    }
}

#[test]
fn under_the_policies_of_their_day_every_story_bites() {
    for (story, policy, least) in [
        (STORIES[0], "trust-the-probe", 6),
        (STORIES[1], "trust-the-probe", 8),
        (STORIES[1], "count-debounce", 8),
        (STORIES[2], "trust-the-probe", 4),
        (STORIES[2], "count-debounce", 2),
    ] {
        for run in runs(story, policy) {
            let found = run.measures.false_restarts;
            assert!(
                found >= least,
                "{story} under {policy}, seed {}: {found} false restarts",
                run.seed.0
            );
        }
    }
}
