use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use super::*;
use crate::{ids::LifeId, time::Millis};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const HOUR: Millis = Millis::from_secs(3_600);

fn experiment(name: &str, mode: Mode, share_bp: u16) -> Experiment {
    let value = json!({
        "name": name, "owner": "sre@acme", "hypothesis": "nothing changes",
        "mode": mode, "share_bp": share_bp, "ends_at": NOW.0 + 1,
        "candidate": { "settings": { "settle": "60s" } },
    });
    serde_json::from_value(value).unwrap()
}

fn workspace(number: usize) -> WorkspaceId {
    format!("ws-{number}").parse().unwrap()
}

/// What another implementation has to come to.
#[test]
fn a_workspace_lies_where_it_has_always_lain() {
    for (name, id, expected) in
        [("settle-60s", "ws-1", 7_809), ("settle-60s", "ws-2", 4_019), ("other", "ws-1", 3_267)]
    {
        let (name, id) = (name.parse().unwrap(), id.parse().unwrap());
        assert_eq!(bucket(&name, &id), expected, "{name:?} {id:?}");
    }
}

#[test]
fn shares_are_within_one_percent_of_what_was_asked() {
    for name in ["settle-60s", "canary-7", "a", "b"] {
        for share_bp in [1, 100, 1_000, 2_500, 5_000, 9_000, 10_000] {
            let of = experiment(name, Mode::Ab, share_bp);
            let candidates = (0..10_000).filter(|n| of.arm(&workspace(*n)) == Arm::Candidate);
            let (got, asked) = (candidates.count(), usize::from(share_bp));
            assert!(got.abs_diff(asked) <= 100, "{name}: {got} of 10,000 instead of {asked}");
        }
    }
}

/// A share of `n` is exactly those whose bucket is one of the first `n`.
#[test]
fn a_share_ends_at_its_last_bucket() {
    let name = "edge".parse().unwrap();
    for number in 0..1_000 {
        let of = workspace(number);
        let bucket = bucket(&name, &of);
        for (share_bp, expected) in [(bucket, Arm::Control), (bucket + 1, Arm::Candidate)] {
            let arm = experiment("edge", Mode::Ab, share_bp).arm(&of);
            assert_eq!(arm, expected, "bucket {bucket} of {share_bp}");
        }
    }
}

proptest! {
    /// A share that grows takes workspaces from the control, one that shrinks gives
    /// them back, and nobody else moves.
    #[test]
    fn a_changed_share_moves_only_whom_it_must(before in 1u16..=10_000, after in 1u16..=10_000) {
        let (old, new) = (experiment("x", Mode::Ab, before), experiment("x", Mode::Ab, after));
        for number in 0..500 {
            let (was, is) = (old.arm(&workspace(number)), new.arm(&workspace(number)));
            if was != is {
                let expected = if after > before { Arm::Candidate } else { Arm::Control };
                prop_assert_eq!(is, expected);
            }
        }
    }
}

#[test]
fn a_shadow_never_acts() {
    let shadow = experiment("x", Mode::Shadow, ALL_BP);
    assert!((0..1_000).all(|n| shadow.acts(&workspace(n)) == Arm::Control));
    let ab = experiment("x", Mode::Ab, 5_000);
    assert!((0..1_000).all(|n| ab.acts(&workspace(n)) == ab.arm(&workspace(n))));
}

#[test]
fn what_is_wrong_with_an_experiment_is_named() {
    let good = experiment("x", Mode::Canary, 1_000);
    assert_eq!(good.check(NOW), Ok(()));
    for (wrong, expected) in [
        (Experiment { share_bp: 0, ..good.clone() }, "share_bp is 0"),
        (Experiment { share_bp: 10_001, ..good.clone() }, "share_bp is 10001"),
        (Experiment { share_bp: 5_001, ..good.clone() }, "5001 basis points is most"),
        (Experiment { candidate: Candidate::default(), ..good.clone() }, "differs in nothing"),
        (Experiment { owner: " ".to_owned(), ..good.clone() }, "owner is empty"),
        (Experiment { hypothesis: String::new(), ..good.clone() }, "hypothesis is empty"),
        (Experiment { hypothesis: "x".repeat(1_025), ..good.clone() }, "has 1025 bytes"),
        (Experiment { ends_at: NOW, ..good.clone() }, "not after now"),
        (
            Experiment {
                guardrails: Guardrails { error_bound: f64::NAN, ..Guardrails::default() },
                ..good.clone()
            },
            "guardrails.error_bound is NaN",
        ),
    ] {
        let refused = wrong.check(NOW).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused:?} without {expected:?}");
    }
}

#[test]
fn two_targets_exclude_each_other_only_if_nobody_can_be_in_both() {
    let target = |tenants: &[&str], labels: &[(&str, &str)]| Target {
        tenants: tenants.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<_>>(),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    for (one, other, expected) in [
        (target(&[], &[]), target(&[], &[]), false),
        (target(&["a"], &[]), target(&[], &[]), false),
        (target(&["a"], &[]), target(&["b"], &[]), true),
        (target(&["a", "b"], &[]), target(&["b"], &[]), false),
        (target(&[], &[("tier", "free")]), target(&[], &[("tier", "paid")]), true),
        (target(&[], &[("tier", "free")]), target(&[], &[("region", "eu")]), false),
    ] {
        assert_eq!(one.excludes(&other), expected, "{one:?} {other:?}");
        assert_eq!(other.excludes(&one), expected, "{other:?} {one:?}");
    }
}

/// Who dies in a simulated experiment: a hundred workspaces an arm for so many
/// deaths, the candidate's `ratio` times as often. Looked at after each. After how
/// many deaths it was aborted.
fn deaths_until_aborted(seed: u64, ratio: f64, deaths: usize) -> Option<usize> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut tally = Tally::new(Mode::Ab, Guardrails::default());
    let mut now = NOW;
    tally.pass([100, 100], now);
    for _ in 0..20 {
        tally.judged(Arm::Candidate, false, NOW);
    }
    (1..=deaths).find(|number| {
        // Two arms of Poisson processes, about ten deaths an hour.
        let until = -rng.random_range(f64::MIN_POSITIVE..1.0).ln() * 360_000.0;
        now = now + Millis(until as u64);
        tally.pass([100, 100], now);
        let arm =
            if rng.random_bool(ratio / (1.0 + ratio)) { Arm::Candidate } else { Arm::Control };
        let life = LifeId(*number as u64);
        tally.dead(arm, arm, &workspace(*number), life, Millis::ZERO, now);
        tally.breach().is_some()
    })
}

/// The sample that docs/experiments.md promises.
const DOCUMENTED_DEATHS: usize = 250;
const SEEDS: u64 = 1_000;

#[test]
fn equal_arms_are_aborted_no_more_often_than_the_bound_says() {
    let aborted = (0..SEEDS).filter(|seed| deaths_until_aborted(*seed, 1.0, 500).is_some());
    let (aborted, bound) = (aborted.count() as f64, Guardrails::default().error_bound);
    assert!(aborted <= bound * SEEDS as f64, "{aborted} of {SEEDS}");
}

#[test]
fn a_candidate_that_is_twice_as_deadly_is_aborted_within_the_documented_sample() {
    let found: Vec<_> =
        (0..SEEDS).filter_map(|seed| deaths_until_aborted(seed, 2.0, DOCUMENTED_DEATHS)).collect();
    assert!(found.len() as f64 >= 0.95 * SEEDS as f64, "{} of {SEEDS}", found.len());
}

/// The candidate would have killed workspaces of the control's, which live: none of
/// them is harmed, and eleven are enough.
#[test]
fn a_canary_that_would_kill_is_aborted_before_it_has_killed_many() {
    let mut tally = Tally::new(Mode::Canary, Guardrails::default());
    tally.pass([15, 1], NOW);
    let now = NOW + HOUR;
    tally.pass([15, 1], now);
    let would_kill = (1..=15).find(|number| {
        let of = workspace(*number);
        tally.judged(Arm::Candidate, false, NOW);
        tally.judged(Arm::Candidate, false, NOW);
        tally.dead(Arm::Candidate, Arm::Control, &of, LifeId(1), Millis::ZERO, now);
        tally.sign_of_life(&of, LifeId(1), now);
        tally.breach().is_some()
    });
    assert!(would_kill.is_some_and(|deaths| deaths <= 11), "{would_kill:?}");
    assert_eq!(tally.breach().unwrap().guardrail, Guardrail::Deaths);
}

/// The bound of a canary: four deaths more than the control's none.
#[test]
fn a_canary_that_kills_is_aborted_after_a_few_deaths() {
    let mut tally = Tally::new(Mode::Canary, Guardrails::default());
    tally.pass([14, 2], NOW);
    let now = NOW + HOUR;
    tally.pass([14, 2], now);
    for _ in 0..20 {
        tally.judged(Arm::Candidate, false, NOW);
    }
    let killed = (1..=16).find(|number| {
        tally.dead(
            Arm::Candidate,
            Arm::Candidate,
            &workspace(*number),
            LifeId(1),
            Millis::ZERO,
            now,
        );
        tally.breach().is_some()
    });
    assert!(killed.is_some_and(|deaths| deaths <= 4), "{killed:?}");
    assert_eq!(tally.breach().unwrap().guardrail, Guardrail::Deaths);
}

#[test]
fn missing_data_never_aborts() {
    let mut tally = Tally::new(Mode::Canary, Guardrails::default());
    for number in 0..1_000 {
        tally.missing += 1;
        tally.dropped += 1;
        // No exposure is known: no host counted the workspaces.
        let dead = workspace(number);
        tally.judged(Arm::Candidate, false, NOW);
        tally.dead(Arm::Candidate, Arm::Candidate, &dead, LifeId(1), Millis::ZERO, NOW);
        tally.restarted(Arm::Candidate, &dead, NOW);
    }
    assert_eq!(tally.breach(), None);
}

#[test]
fn nothing_is_aborted_before_there_is_enough_to_go_by() {
    let guardrails = Guardrails { min_events: 8, min_judgements: 20, ..Guardrails::default() };
    let mut tally = Tally::new(Mode::Ab, guardrails);
    for _ in 0..1_000 {
        tally.judged(Arm::Control, false, NOW);
    }
    tally.judged(Arm::Candidate, true, NOW);
    let mut broken = |case: &str, failed: bool, expected: bool| {
        tally.judged(Arm::Candidate, failed, NOW);
        let convinced =
            tally.evidence(Guardrail::Failures).unwrap().evidence >= guardrails.threshold();
        assert!(convinced, "{case}: it is not for want of evidence");
        assert_eq!(tally.breach().is_some(), expected, "{case}");
    };
    for failure in 2..=8 {
        broken(&format!("failure {failure}"), true, false);
    }
    for call in 9..20 {
        broken(&format!("call {call}"), false, false);
    }
    broken("enough of both", false, true);

    let mut tally = Tally::new(Mode::Ab, guardrails);
    for _ in 0..1_000 {
        tally.judged(Arm::Control, false, NOW);
        tally.judged(Arm::Candidate, false, NOW);
    }
    tally.pass([1_000, 1], NOW);
    tally.pass([1_000, 1], NOW + HOUR);
    for number in 1..=8 {
        let (of, now) = (workspace(number), NOW + HOUR);
        tally.dead(Arm::Candidate, Arm::Candidate, &of, LifeId(1), Millis::ZERO, now);
        assert_eq!(tally.breach().is_some(), number >= 8, "death {number}");
    }
}

/// However much of it there is: what cannot be read again would keep a host from
/// starting.
#[test]
fn evidence_without_end_survives_the_disk() {
    let mut tally = Tally::new(Mode::Ab, Guardrails::default());
    for _ in 0..10_000 {
        tally.judged(Arm::Control, false, NOW);
        tally.judged(Arm::Candidate, true, NOW);
    }
    let breach = tally.breach().unwrap();
    let text = serde_json::to_string(&breach).unwrap();
    assert_eq!(serde_json::from_str::<Breach>(&text).unwrap(), breach, "{text}");
}

#[test]
fn a_crash_loop_is_one_event_an_hour() {
    let mut tally = Tally::new(Mode::Ab, Guardrails::default());
    tally.pass([1, 1], NOW);
    tally.pass([1, 1], NOW + HOUR);
    for life in 0..100 {
        tally.judged(Arm::Candidate, false, NOW);
        tally.restarted(Arm::Candidate, &workspace(1), NOW + HOUR + Millis(life));
    }
    assert_eq!(tally.counts(Arm::Candidate).restarts, 100);
    assert_eq!(tally.evidence(Guardrail::Restarts).unwrap().events, [0, 1]);
    assert_eq!(tally.breach(), None);
}

#[test]
fn a_shadows_death_counts_if_the_other_arm_does_not_follow() {
    let dead = |tally: &mut Tally, arm, at: u64| {
        tally.dead(arm, Arm::Control, &workspace(1), LifeId(1), Millis::ZERO, NOW + Millis(at));
    };
    for (case, control_follows_at, expected) in [
        ("the control follows", Some(2_000), [0, 0]),
        ("it does not", None, [0, 1]),
        ("it follows much too late", Some(400_000), [1, 1]),
    ] {
        let mut tally = Tally::new(Mode::Shadow, Guardrails::default());
        tally.pass([1, 1], NOW);
        dead(&mut tally, Arm::Candidate, 0);
        let later = NOW + Millis(control_follows_at.unwrap_or(300_001));
        tally.pass([1, 1], later);
        if let Some(at) = control_follows_at {
            dead(&mut tally, Arm::Control, at);
        }
        tally.pass([1, 1], later + HOUR + HOUR);
        let events = tally.evidence(Guardrail::Deaths).unwrap().events;
        assert_eq!(events, expected, "{case}");
    }
}

#[test]
fn a_death_that_is_followed_by_a_sign_of_life_was_false() {
    let mut tally = Tally::new(Mode::Canary, Guardrails::default());
    let of = workspace(1);
    tally.pass([10, 10], NOW);
    tally.pass([10, 10], NOW + HOUR);
    tally.dead(Arm::Candidate, Arm::Control, &of, LifeId(3), Millis::ZERO, NOW + HOUR);
    tally.sign_of_life(&of, LifeId(2), NOW + HOUR);
    assert_eq!(tally.counts(Arm::Candidate).false_deaths, 0, "of another life");
    for _ in 0..3 {
        tally.sign_of_life(&of, LifeId(3), NOW + HOUR);
    }
    assert_eq!(tally.counts(Arm::Candidate).false_deaths, 1);
    assert_eq!(tally.evidence(Guardrail::FalseDeaths).unwrap().events, [0, 1]);
}

#[test]
fn disagreement_aborts_beyond_its_limit_and_only_there() {
    for (limit, every, expected) in
        [(Some(1_000), 2, true), (Some(1_000), 20, false), (None, 1, false)]
    {
        let guardrails = Guardrails { max_disagreement_bp: limit, ..Guardrails::default() };
        let mut tally = Tally::new(Mode::Shadow, guardrails);
        for number in 0..500 {
            tally.judged(Arm::Candidate, false, NOW);
            tally.compared_both(number % every != 0);
        }
        let breach = tally.breach().map(|breach| breach.guardrail);
        assert_eq!(breach.is_some(), expected, "{limit:?}, one in {every}: {breach:?}");
    }
}

#[test]
fn a_tally_survives_the_disk() {
    let mut tally = Tally::new(Mode::Ab, Guardrails::default());
    tally.pass([3, 4], NOW);
    tally.pass([3, 4], NOW + HOUR);
    tally.dead(Arm::Candidate, Arm::Candidate, &workspace(1), LifeId(1), Millis(7), NOW + HOUR);
    tally.recovered(Arm::Control, Millis(90_000));
    let text = serde_json::to_string(&tally).unwrap();
    let mut read: Tally = serde_json::from_str(&text).unwrap();
    assert_eq!(read.evidence(Guardrail::Deaths), tally.evidence(Guardrail::Deaths));
    // Nobody looked while no host ran.
    read.pass([3, 4], NOW + HOUR + HOUR);
    assert_eq!(read.hours(Arm::Candidate), 4.0);
}

#[test]
fn quantiles_are_exact_to_an_eighth() {
    let mut durations = Durations::default();
    assert_eq!(durations.quantile(0.5), None);
    (1..=1_000).for_each(|ms| durations.add(Millis(ms)));
    for (part, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0), (0.0, 1.0)] {
        let got = durations.quantile(part).unwrap().0 as f64;
        assert!((got - exact).abs() <= exact / 8.0 + 1.0, "{part}: {got} instead of {exact}");
    }
}

#[test]
fn the_course_adds_up_to_the_counts_and_survives_the_disk() {
    for mode in [Mode::Shadow, Mode::Ab] {
        let mut tally = Tally::new(mode, Guardrails::default());
        tally.pass([3, 1], NOW);
        for hour in 1..=200 {
            let (now, dead) = (NOW + Millis(HOUR.0 * hour), workspace(1));
            let life = LifeId(hour);
            tally.pass([3, 1], now);
            tally.judged(Arm::Candidate, false, now);
            tally.dead(Arm::Candidate, Arm::Control, &dead, life, Millis::ZERO, now);
            tally.sign_of_life(&dead, life, now + Millis(1));
            tally.restarted(Arm::Control, &dead, now);
        }
        let text = serde_json::to_string(&tally).unwrap();
        let read: Tally = serde_json::from_str(&text).unwrap();
        assert_eq!(read.course(), tally.course());
        let (began, _, parts) = read.course().parts().unwrap();
        assert!(parts.len() <= MAX_PARTS && began == NOW + HOUR, "{mode:?}: {}", parts.len());
        for arm in Arm::ALL {
            let mut sum = Part::default();
            parts.iter().for_each(|part| sum.add(&part[arm as usize]));
            let ArmCounts { judged, dead, false_deaths, restarts, .. } = read.counts(arm).clone();
            let counted = [sum.judged, sum.dead, sum.false_deaths, sum.restarts];
            assert_eq!(counted, [judged, dead, false_deaths, restarts], "{mode:?} {arm:?}");
            let hours = read.hours(arm);
            assert!((sum.workspace_hours - hours).abs() < 1e-6, "{mode:?} {arm:?}: {hours}");
        }
    }
}

#[test]
fn a_tally_that_an_older_version_wrote_is_read_and_goes_on() {
    let mut tally = Tally::new(Mode::Ab, Guardrails::default());
    tally.judged(Arm::Control, false, NOW);
    let mut older = serde_json::to_value(&tally).unwrap();
    older.as_object_mut().unwrap().remove("course").expect("it is written down");
    let mut read: Tally = serde_json::from_value(older).unwrap();
    assert_eq!(read.course().parts(), None);
    assert_eq!(read.counts(Arm::Control).judged, 1);
    read.judged(Arm::Control, false, NOW + HOUR);
    let (began, _, parts) = read.course().parts().unwrap();
    assert_eq!((began, parts[0][0].judged), (NOW + HOUR, 1));
}
