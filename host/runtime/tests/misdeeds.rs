//! A policy cannot hurt the host: whatever it does, the decision falls back to
//! BUSY, and the next one is as if nothing had happened.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::{sync::Arc, time::Duration};

use reprieve_core::{
    decision::Outcome,
    evidence::{Answer, Exchange, ProbeFault, Question, Sighting, Status},
    judgement::{Admission, Call, RestartCause, Verdict},
    ports::Witness,
    settings::SettingsBook,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Decided, Generation, Limits, Owners};
use support::{DEFAULT, ENGINE, REFUSED, Scene, UNRULY, facts, settings, told, unruly, who};

fn failure(decided: &Decided) -> &str {
    match &decided.outcome {
        Outcome::FellBack { failure, .. } => failure,
        other => panic!("it did not fall back: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_misdeed_falls_back_to_busy_and_the_next_call_works() {
    // Time enough to take all memory on a busy machine before time is up.
    let limits = Limits { guest_deadline: Duration::from_millis(200), ..Limits::default() };
    let policy = ENGINE.load(UNRULY, limits).expect("a policy");
    let good = told(&policy, "ask-two").expect("a generation");
    for (deed, expected) in [
        ("loop", "policy-deadline"),
        ("trap", "policy-trapped"),
        ("grab", "policy-limit"),
        ("long-note", "note-too-large"),
        ("note-and-trap", "policy-trapped"),
        ("pester", "host-calls-exhausted"),
        ("no-reason", "reason-out-of-range"),
    ] {
        let witness = Scene::new(facts()).share();
        let bad = told(&policy, deed).expect(deed);
        let decided = bad.decide(REFUSED, &who(), &witness).await;
        assert_eq!(failure(&decided), expected, "{deed}: {:?}", decided.outcome);
        assert_eq!(decided.outcome.verdict(), Verdict::Busy(Outcome::FALL_BACK_RETRY), "{deed}");
        assert_eq!(decided.memory_write, None, "{deed}");

        let next = good.decide(REFUSED, &who(), &witness).await;
        assert_eq!(next.outcome.verdict(), Verdict::Alive, "after {deed}: {:?}", next.outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ruling_that_fails_is_deferred() {
    let call = Call::Admit { cause: RestartCause::DeadVerdict };
    let witness = Scene::new(facts()).share();
    for (deed, expected) in [("trap", "policy-trapped"), ("no-reason", "reason-out-of-range")] {
        let decided = unruly(deed).decide(call, &who(), &witness).await;
        assert_eq!(failure(&decided), expected, "{deed}");
        let deferred = Admission::Defer(Outcome::FALL_BACK_RETRY);
        assert_eq!(decided.outcome.admission(), deferred, "{deed}");
    }
}

#[tokio::test(start_paused = true)]
async fn lengths_of_time_are_held_to_the_ranges_of_the_contract() {
    let admit = Call::Admit { cause: RestartCause::Operator };
    let witness = Scene::new(facts()).share();
    let verdict = |decided: Decided| decided.outcome.verdict();
    let admission = |decided: Decided| decided.outcome.admission();

    let hurry = unruly("hurry");
    let hurried = verdict(hurry.decide(REFUSED, &who(), &witness).await);
    assert_eq!(hurried, Verdict::Recheck(Millis(10)));
    let hurried = admission(hurry.decide(admit, &who(), &witness).await);
    assert_eq!(hurried, Admission::Defer(Millis(100)));

    let sleep = unruly("sleep");
    let slept = verdict(sleep.decide(REFUSED, &who(), &witness).await);
    assert_eq!(slept, Verdict::Busy(Millis::from_secs(3600)));
    let slept = admission(sleep.decide(admit, &who(), &witness).await);
    assert_eq!(slept, Admission::Defer(Millis::from_secs(3600)));
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_rests_on_a_placeholder_means_nothing_even_if_it_fails() {
    for deed in ["trap-on-fault", "insist"] {
        let witness = Scene::new(facts()).slow(Millis(20)).share();
        let decided = unruly(deed).decide(REFUSED, &who(), &witness).await;
        assert_eq!(decided.outcome.verdict(), Verdict::Alive, "{deed}: {:?}", decided.outcome);
        assert_eq!(decided.cost.passes, 2, "{deed}");
    }
}

#[tokio::test(start_paused = true)]
async fn curiosity_ends_with_the_passes() {
    let mut facts = facts();
    facts.extend((0..100).map(|within| Exchange {
        question: Question::RestartCount { within: Millis(within) },
        answer: Answer::RestartCount(Ok(0)),
    }));
    let witness = Scene::new(facts).slow(Millis(1)).share();
    let decided = unruly("curious").decide(REFUSED, &who(), &witness).await;
    assert_eq!(failure(&decided), "passes-exhausted");
    assert_eq!(decided.cost.passes, 8);
}

/// 256 KiB with each judgement: its instance is worn out after some thirty. Whoever
/// shares the instance and keeps nothing is never blamed, and does not hide it.
#[tokio::test(start_paused = true)]
async fn a_policy_that_leaks_fails_for_those_whom_it_leaks_for() {
    let policy = ENGINE.load(UNRULY, Limits::default()).expect("a policy");
    let leak = told(&policy, "leak").expect("a generation");
    let good = told(&policy, "nothing").expect("a generation");
    let witness = Scene::new(facts()).share();
    let (mut answers, mut failures) = (0, Vec::new());
    while failures.len() < 3 {
        let decided = leak.decide(REFUSED, &who(), &witness).await;
        match &decided.outcome {
            Outcome::Judged { .. } => answers += 1,
            _fell_back => failures.push(failure(&decided).to_owned()),
        }
        assert!(answers < 3 * reprieve_runtime::MIN_CALLS_PER_INSTANCE, "{failures:?}");
        for _ in 0..10 {
            let decided = good.decide(REFUSED, &who(), &witness).await;
            assert_eq!(decided.outcome.verdict(), Verdict::Alive, "{:?}", decided.outcome);
        }
    }
    assert_eq!(failures, ["policy-leaks"; 3]);
}

/// A witness that never has a thing, or answers something else.
struct Useless {
    misfit: bool,
}

#[async_trait::async_trait]
impl Witness for Useless {
    fn now(&self) -> UnixMillis {
        UnixMillis::default()
    }

    fn at_hand(&self, _: &Question, _: UnixMillis) -> Option<Answer> {
        self.misfit.then_some(Answer::RestartCount(Ok(7)))
    }

    async fn fetch(&self, _: &Question) -> Answer {
        if !self.misfit {
            std::future::pending::<()>().await;
        }
        Answer::RestartCount(Ok(7))
    }
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_cannot_be_had_is_a_fault_of_its_kind() {
    for (case, misfit) in [("it never comes", false), ("it answers something else", true)] {
        let witness: Arc<dyn Witness> = Arc::new(Useless { misfit });
        let decided = unruly("ask-again").decide(REFUSED, &who(), &witness).await;
        let told = Answer::Look(Err(ProbeFault::TimedOut));
        assert_eq!(decided.evidence.first().map(|fact| &fact.answer), Some(&told), "{case}");
        assert_eq!(decided.outcome.verdict(), Verdict::Alive, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_what_must_be_at_hand_there_is_no_judgement() {
    let witness: Arc<dyn Witness> = Arc::new(Useless { misfit: false });
    let decided = unruly("ask-everything").decide(REFUSED, &who(), &witness).await;
    assert_eq!(failure(&decided), "fact-not-at-hand");
}

#[tokio::test(start_paused = true)]
async fn facts_that_never_come_end_with_the_whole_decision() {
    let mut limits = Limits::default();
    limits.decision_deadline = limits.fact_deadline / 2;
    let policy = ENGINE.load(UNRULY, limits).expect("a policy");
    let generation = told(&policy, "ask-again").expect("a generation");
    let witness: Arc<dyn Witness> = Arc::new(Useless { misfit: false });
    let decided = generation.decide(REFUSED, &who(), &witness).await;
    assert_eq!(failure(&decided), "decision-deadline");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_judged_by_settings_that_were_checked_for_another_tenant() {
    let policy = ENGINE.load(UNRULY, Limits::default()).expect("a policy");
    let book = SettingsBook {
        workspaces: [(who().workspace, settings(serde_json::json!({"do": "hurry"})).into())].into(),
        ..SettingsBook::default()
    };
    let owners: Owners = [(who().workspace, "other".parse().expect("a name"))].into();
    let generation = Generation::new(1, policy, book, &owners).expect("a generation");
    let witness = Scene::new(facts()).share();
    let decided = generation.decide(REFUSED, &who(), &witness).await;
    assert_eq!(failure(&decided), "settings-unchecked");
}

#[tokio::test(start_paused = true)]
async fn the_default_policy_sees_a_stopped_workspace_twice_before_it_is_dead() {
    let policy = ENGINE.load(DEFAULT, Limits::default()).expect("the default policy");
    let generation = Generation::new(1, policy, SettingsBook::default(), &Owners::new());
    let mut facts = facts();
    facts[1].answer = Answer::Look(Ok(Sighting::bare(Status::Stopped)));
    facts[2].answer = Answer::NewestBeat(Ok(None));
    facts[3].answer = Answer::NewestContact(Ok(None));
    let witness = Scene::new(facts).slow(Millis(3)).share();
    let decided = generation.expect("a generation").decide(REFUSED, &who(), &witness).await;
    assert_eq!(decided.outcome.verdict(), Verdict::Recheck(Millis(2_000)), "{decided:?}");
}
