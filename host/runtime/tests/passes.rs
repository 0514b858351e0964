//! A judgement reached in several passes is the one that is reached with all
//! evidence at hand.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proptest::prelude::*;
use reprieve_core::{
    decision::Outcome,
    evidence::{Answer, Exchange, ProbeFault, Question},
    judgement::{Attempt, Call, Trigger, Verdict},
    ports::Witness,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Engine, EngineOptions, Limits, replay};
use support::{ENGINE, REFUSED, Scene, any::any_facts, facts, who};
use tokio::sync::Notify;

fn on_virtual_time<T>(run: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(run)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn several_passes_judge_like_one_with_all_evidence_at_hand(
        facts in any_facts(),
        mask in any::<u32>(),
        latency in (0_u64..900).prop_map(Millis),
        number in 0_u32..40,
    ) {
        on_virtual_time(async {
            let generation = support::unruly("walk");
            let attempt = Attempt { number, since_first: Millis(3) };
            let call = Call::Judge { trigger: Trigger::Sweep, attempt };
            let whole = Scene::new(facts);
            let fetched = whole.clone().partly_slow(mask, latency).share();
            let whole = whole.share();

            let slow = generation.decide(call, &who(), &fetched).await;
            let at_once = generation.decide(slow.call, &who(), &whole).await;
            prop_assert_eq!(at_once.cost.passes, 1);
            prop_assert_eq!(&slow.outcome, &at_once.outcome);
            prop_assert_eq!(&slow.evidence, &at_once.evidence);
            prop_assert_eq!(&slow.memory_write, &at_once.memory_write);
            prop_assert!(slow.cost.passes <= 8);

            let again = replay(&generation, slow.call, &who(), &slow.evidence);
            prop_assert_eq!(&again.outcome, &slow.outcome);
            prop_assert_eq!(&again.evidence, &slow.evidence);
            prop_assert_eq!(&again.memory_write, &slow.memory_write);
            Ok(())
        })?;
    }
}

fn asked(evidence: &[Exchange]) -> Vec<Question> {
    evidence.iter().map(|exchange| exchange.question).collect()
}

#[tokio::test(start_paused = true)]
async fn one_more_pass_is_needed_for_each_fact_that_is_fetched() {
    let generation = support::unruly("ask-everything");
    for (case, scene, passes) in [
        ("all at hand", Scene::new(facts()), 1),
        ("the probe is fetched", Scene::new(facts()).partly_slow(0b10, Millis(5)), 2),
        ("whatever may be is fetched", Scene::new(facts()).slow(Millis(5)), 8),
    ] {
        let decided = generation.decide(REFUSED, &who(), &scene.share()).await;
        assert_eq!(decided.outcome.verdict(), Verdict::Busy(Millis(5_000)), "{case}");
        assert_eq!(decided.cost.passes, passes, "{case}");
        assert_eq!(decided.cost.total, Millis(u64::from(passes - 1) * 5), "{case}");
        assert_eq!(asked(&decided.evidence), asked(&facts()), "{case}");
        assert!(decided.memory_write.is_some(), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_grows_older_while_facts_are_fetched() {
    let generation = support::unruly("ask-again");
    let attempt = Attempt { number: 2, since_first: Millis(2_000) };
    let call = Call::Judge { trigger: Trigger::Sweep, attempt };
    let witness = Scene::new(facts()).slow(Millis(300)).share();
    let decided = generation.decide(call, &who(), &witness).await;
    let attempt = Attempt { number: 2, since_first: Millis(2_300) };
    assert_eq!(decided.call, Call::Judge { trigger: Trigger::Sweep, attempt });
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_twice_in_a_pass_is_answered_once() {
    let generation = support::unruly("ask-again");
    let decided = generation.decide(REFUSED, &who(), &Scene::new(facts()).share()).await;
    assert_eq!(asked(&decided.evidence), [Question::Look]);
}

/// Whose probe never comes back.
struct Stalled {
    waiting: AtomicUsize,
    expected: usize,
    all_wait: Notify,
}

#[async_trait::async_trait]
impl Witness for Stalled {
    fn now(&self) -> UnixMillis {
        UnixMillis::default()
    }

    fn at_hand(&self, question: &Question, _: UnixMillis) -> Option<Answer> {
        match question {
            Question::Look => None,
            other => facts().into_iter().find(|f| f.question == *other).map(|fact| fact.answer),
        }
    }

    async fn fetch(&self, _: &Question) -> Answer {
        if self.waiting.fetch_add(1, Ordering::Relaxed) + 1 == self.expected {
            self.all_wait.notify_one();
        }
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_judgements_that_wait_for_a_probe_hold_no_instance() {
    const JUDGEMENTS: usize = 10_000;
    // Its own policy: the others' tests are at work with the shared one.
    let policy = ENGINE.load(support::UNRULY, Limits::default()).expect("the unruly policy");
    let generation = Arc::new(support::told(&policy, "ask-again").expect("a generation"));
    let stalled = Arc::new(Stalled {
        waiting: AtomicUsize::new(0),
        expected: JUDGEMENTS,
        all_wait: Notify::new(),
    });
    let judgements: Vec<_> = (0..JUDGEMENTS)
        .map(|_| {
            let (generation, witness) = (Arc::clone(&generation), Arc::clone(&stalled));
            let witness: Arc<dyn Witness> = witness;
            tokio::spawn(async move { generation.decide(REFUSED, &who(), &witness).await })
        })
        .collect();

    stalled.all_wait.notified().await;
    let instances = generation.policy().instances();
    assert_eq!(instances.existing, instances.idle, "none is at work");
    let parallel = std::thread::available_parallelism().map_or(2, usize::from);
    assert!(instances.existing <= parallel, "{instances:?} in {JUDGEMENTS} judgements");

    for judgement in judgements {
        let decided = judgement.await.expect("no panic");
        let told = decided.evidence.first().map(|exchange| &exchange.answer);
        assert_eq!(told, Some(&Answer::Look(Err(ProbeFault::TimedOut))));
        assert!(matches!(decided.outcome, Outcome::Judged { verdict: Verdict::Alive, .. }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn parallel_judgements_share_a_few_instances() {
    let options = EngineOptions { parallel_calls: 2, ..EngineOptions::default() };
    let engine = Engine::new(options).expect("an engine");
    let policy = engine.load(support::UNRULY, Limits::default()).expect("the unruly policy");
    let generation = Arc::new(support::told(&policy, "ask-two").expect("a generation"));
    let judgements: Vec<_> = (0..64)
        .map(|_| {
            let generation = Arc::clone(&generation);
            tokio::spawn(async move {
                let witness = Scene::new(facts()).share();
                for _ in 0..100 {
                    let decided = generation.decide(REFUSED, &who(), &witness).await;
                    assert_eq!(decided.outcome.verdict(), Verdict::Alive, "{decided:?}");
                    let instances = generation.policy().instances();
                    assert!(instances.existing <= 3, "{instances:?}");
                }
            })
        })
        .collect();
    for judgement in judgements {
        judgement.await.expect("no panic");
    }
}
