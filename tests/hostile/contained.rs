//! What shows only when it judges.

use std::time::Duration;

use reprieve_core::{
    decision::{Finding, Outcome},
    evidence::Question,
    judgement::{ForwardFailure, Verdict},
    settings::{Settings, SettingsBook},
};
use reprieve_runtime::{Blame, Decided, Generation, Isolation, Limits, Owners, Terms};
use reprieve_tests::{Stage, StageOptions};
use serde_json::json;

use crate::{
    guest::{GOOD, Guest},
    world::{REFUSED, World, generation, judge, load, load_with, neighbour_is_well, who, whole},
};

const FOREVER: &str = "(loop $again (br $again))";

fn failure(decided: &Decided) -> &str {
    match &decided.outcome {
        Outcome::FellBack { failure, .. } => failure,
        Outcome::Judged { .. } | Outcome::Ruled { .. } => "none",
    }
}

/// Time enough to take all that it wants on a busy machine.
fn patient(isolation: Isolation) -> Terms {
    let limits = Limits { guest_deadline: Duration::from_millis(200), ..Limits::default() };
    Terms { limits, isolation, ..Terms::default() }
}

#[tokio::test]
async fn whatever_it_does_the_decision_is_busy_and_the_neighbour_is_well() {
    for (case, judge_code, expected) in [
        ("nothing bad", "", "none"),
        ("an endless loop", FOREVER, "policy-deadline"),
        ("a trap", "unreachable", "policy-trapped"),
        ("a stack without end", "(drop (call $deeper (i32.const 0)))", "policy-trapped"),
        (
            "all the memory that there is",
            "(loop $a (br_if $a (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
            "policy-limit",
        ),
        (
            "a table without end",
            "(loop $a (br_if $a (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) \
             (i32.const -1)))) unreachable",
            "policy-limit",
        ),
        (
            "a reason that it did not declare",
            "(return (call $ruled (i32.const 2) (i64.const 0) (i32.const 2)))",
            "reason-out-of-range",
        ),
        (
            "the last reason that there could be",
            "(return (call $ruled (i32.const 2) (i64.const 0) (i32.const 65535)))",
            "reason-out-of-range",
        ),
        (
            "a verdict that there is not",
            "(return (call $ruled (i32.const 4) (i64.const 0) (i32.const 0)))",
            "policy-trapped",
        ),
        ("a judgement outside its memory", "(return (i32.const -8))", "policy-trapped"),
        ("a judgement that is not aligned", "(return (i32.const 17))", "policy-trapped"),
        (
            "questions without end",
            "(loop $a (call $newest (i32.const 128)) (br $a))",
            "host-calls-exhausted",
        ),
        (
            "notes without end",
            "(loop $a (call $write (i32.const 1024) (i32.const 7)) (br $a))",
            "host-calls-exhausted",
        ),
        (
            "a note of 1,025 bytes",
            "(call $write (i32.const 1024) (i32.const 1025))",
            "note-too-large",
        ),
        ("a note of 4 GiB", "(call $write (i32.const 0) (i32.const -1))", "policy-trapped"),
        ("an answer put outside its memory", "(call $look (i32.const -8))", "policy-trapped"),
    ] {
        for isolation in [Isolation::Warm, Isolation::Fresh] {
            let case = format!("{case}, {isolation:?}");
            let guest = Guest { judge: judge_code, ..GOOD };
            let policy = load_with(&guest.component(), patient(isolation));
            let bad = generation(&policy, Settings::new());
            for _ in 0..3 {
                let decided = judge(&bad).await;
                assert_eq!(failure(&decided), expected, "{case}: {:?}", decided.outcome);
                if expected == "none" {
                    assert_eq!(decided.outcome.verdict(), Verdict::Alive, "{case}");
                    continue;
                }
                let busy = Verdict::Busy(Outcome::FALL_BACK_RETRY);
                assert_eq!(decided.outcome.verdict(), busy, "{case}");
                assert_eq!(decided.blame, Some(Blame::Policy), "{case}");
                assert_eq!(decided.memory_write, None, "{case}");
                neighbour_is_well(&case).await;
            }
            let instances = policy.instances();
            assert_eq!(instances.existing, instances.idle, "{case}: something runs on");
        }
    }
}

#[tokio::test]
async fn a_new_question_in_each_pass_ends_with_the_passes() {
    // It keeps count of its calls, which it must not, to be never the same.
    let curious = Guest {
        judge: "(global.set $kept (i64.add (global.get $kept) (i64.const 1)))
                (call $count (global.get $kept) (i32.const 128))",
        ..GOOD
    };
    let bad = generation(&load(&curious.component()), Settings::new());
    let slow = World { slow: |question| *question != Question::Subject, ..World::default() };
    let decided = bad.decide(REFUSED, &who(), &slow.share()).await;
    assert_eq!(failure(&decided), "passes-exhausted");
    assert_eq!(decided.cost.passes, Limits::default().passes);
    neighbour_is_well("a new question in each pass").await;
}

#[tokio::test]
async fn memory_that_it_keeps_is_a_failure_if_it_wears_instances_out_in_no_time() {
    let page_each = "(drop (memory.grow (i32.const 1)))";
    let two_pages_each = "(drop (memory.grow (i32.const 2)))";
    for (case, judge_code, isolation, fails) in [
        ("slowly", page_each, Isolation::Warm, false),
        ("fast", two_pages_each, Isolation::Warm, true),
        ("fast, but nothing is kept", two_pages_each, Isolation::Fresh, false),
    ] {
        let guest = Guest { judge: judge_code, ..GOOD };
        let policy = load_with(&guest.component(), patient(isolation));
        let leaks = generation(&policy, Settings::new());
        let mut failures = 0;
        for _ in 0..300 {
            let decided = judge(&leaks).await;
            if decided.blame.is_some() {
                assert_eq!(failure(&decided), "policy-leaks", "{case}");
                failures += 1;
            }
        }
        assert_eq!(failures > 0, fails, "{case}: {failures} failures");
        assert!(policy.instances().existing <= 1, "{case}");
    }
    neighbour_is_well("a leak").await;
}

#[tokio::test]
async fn settings_do_not_make_it_dangerous() {
    // Its defaults are `{}`: whatever is longer goes wrong.
    let longer =
        |code: &str| format!("(if (i32.gt_u (local.get $bytes) (i32.const 2)) (then {code}))");
    let problem_of = |bytes: u32| {
        longer(&format!(
            "(i32.store8 (i32.const 64) (i32.const 1))
             (call $text (i32.const 68) (i32.const 512) (i32.const 1))
             (call $text (i32.const 512) (i32.const 0) (i32.const 0))
             (call $text (i32.const 520) (i32.const 2048) (i32.const {bytes}))
             (return (i32.const 64))"
        ))
    };
    for (case, open, expected) in [
        ("a loop in open", longer(FOREVER), "did not answer within"),
        ("a trap in open", longer("unreachable"), "trapped"),
        ("a problem of 10 MB", problem_of(10 << 20), "failed while it read the settings"),
        ("a question in open", longer("(call $look (i32.const 128))"), "while it was not judging"),
        ("a problem of 10 bytes", problem_of(10), "refuses the fleet's settings"),
    ] {
        let guest = Guest { memory: "200", open: Box::leak(open.into_boxed_str()), ..GOOD };
        let policy = load(&guest.component());
        let fleet = json!({"settle": "60s"}).as_object().expect("an object").clone();
        let book = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
        let refused = Generation::new(1, policy.clone(), book, &Owners::new()).expect_err(case);
        let text = whole(&refused);
        assert!(text.contains(expected), "{case}: {text}");
        let good = generation(&policy, Settings::new());
        assert_eq!(judge(&good).await.outcome.verdict(), Verdict::Alive, "after {case}");
        neighbour_is_well(case).await;
    }
}

#[tokio::test]
async fn a_session_that_does_not_let_itself_be_closed_costs_one_instance() {
    let stuck = Guest { drop: FOREVER, ..GOOD };
    let limits = Limits { sessions: 1, ..Limits::default() };
    let policy = load_with(&stuck.component(), limits.into());
    let fleet = json!({"settle": "60s"}).as_object().expect("an object").clone();
    let book = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
    // The session with the defaults must go before this one can be opened.
    let refused = Generation::new(1, policy.clone(), book, &Owners::new()).expect_err("stuck");
    assert!(whole(&refused).contains("did not answer within"), "{}", whole(&refused));
    let decided = judge(&generation(&policy, Settings::new())).await;
    assert_eq!(decided.outcome.verdict(), Verdict::Alive, "in a fresh one: {decided:?}");
    neighbour_is_well("a session that stays").await;
}

#[tokio::test]
async fn a_fresh_instance_keeps_nothing() {
    let counts = Guest {
        judge: "(global.set $kept (i64.add (global.get $kept) (i64.const 1)))
                (return (call $ruled (i32.const 1)
                    (i64.mul (global.get $kept) (i64.const 1000)) (i32.const 0)))",
        ..GOOD
    };
    for (isolation, expected) in [(Isolation::Warm, [1, 2, 3]), (Isolation::Fresh, [1, 1, 1])] {
        let policy = load_with(&counts.component(), Terms { isolation, ..Terms::default() });
        let counting = generation(&policy, Settings::new());
        for seconds in expected {
            let verdict = judge(&counting).await.outcome.verdict();
            let busy = Verdict::Busy(reprieve_core::time::Millis::from_secs(seconds));
            assert_eq!(verdict, busy, "{isolation:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_never_decides_convicts_nobody_and_is_asked_no_more() {
    let never = "(return (call $ruled (i32.const 3) (i64.const 10) (i32.const 0)))";
    let undecided = load(&Guest { judge: never, ..GOOD }.component());
    let stage = Stage::set(StageOptions::default()).await;
    stage.current.update(|now| now.with_policy(undecided)).expect("a generation");
    let finding = stage.fail(1, ForwardFailure::Refused).await;
    assert_eq!(finding, Finding::Busy { retry_after: Outcome::FALL_BACK_RETRY });
    let looks = stage.reasons(1, 100).await.iter().filter(|reason| *reason == "first").count();
    assert_eq!(looks, 10, "in one chain");
    stage.pass(Duration::from_secs(20)).await;
    let later = stage.reasons(1, 100).await.iter().filter(|reason| *reason == "first").count();
    assert_eq!(later, looks, "it is left alone for as long as the caller is");
    assert!(stage.restarts().is_empty());
}
