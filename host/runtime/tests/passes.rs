//! A judgement reached in several passes is the one that is reached with all
//! evidence at hand.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proptest::prelude::*;
use reprieve_core::{
    decision::Outcome,
    evidence::{
        Answer, Beat, Exchange, Eyesight, Fleet, Health, Life, Note, ProbeFault, Question,
        Sighting, Status, StoreFault,
    },
    judgement::{Attempt, Call, RestartCause, Trigger, Verdict},
    ports::Witness,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::replay;
use support::{REFUSED, Scene, facts, who};
use tokio::sync::Notify;

fn on_virtual_time<T>(run: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(run)
}

fn age() -> impl Strategy<Value = Millis> {
    (0_u64..400_000).prop_map(Millis)
}

fn or_fault<T: std::fmt::Debug + Clone>(
    told: impl Strategy<Value = T>,
) -> impl Strategy<Value = Result<T, StoreFault>> {
    prop_oneof![4 => told.prop_map(Ok), 1 => Just(Err(StoreFault::Unavailable))]
}

fn newest() -> impl Strategy<Value = Result<Option<Beat>, StoreFault>> {
    let beat = (age(), any::<bool>()).prop_map(|(age, this_life)| Beat { age, this_life });
    or_fault(prop::option::of(beat))
}

fn look() -> impl Strategy<Value = Result<Sighting, ProbeFault>> {
    let status = prop::sample::select(vec![
        Status::Running,
        Status::Starting,
        Status::Restarting,
        Status::Paused,
        Status::Stopped,
        Status::Missing,
    ]);
    let health = prop::sample::select(vec![Health::Starting, Health::Healthy, Health::Unhealthy]);
    let fault = prop::sample::select(vec![
        ProbeFault::TimedOut,
        ProbeFault::Unreachable,
        ProbeFault::ClosedEarly,
        ProbeFault::Overloaded,
        ProbeFault::Denied,
        ProbeFault::Malformed,
    ]);
    let sighting =
        (
            status,
            prop::option::of(age()),
            prop::option::of(age()),
            any::<Option<i32>>(),
            any::<bool>(),
            prop::option::of(health),
        )
            .prop_map(|(status, uptime, ended, exit_code, out_of_memory, health)| {
                Sighting { status, uptime, ended, exit_code, out_of_memory, health }
            });
    prop_oneof![3 => sighting.prop_map(Ok), 1 => fault.prop_map(Err)]
}

fn life() -> impl Strategy<Value = Life> {
    let cause = prop::sample::select(vec![
        RestartCause::Operator,
        RestartCause::DeadVerdict,
        RestartCause::SettingsChanged,
        RestartCause::Wake,
        RestartCause::Dependency,
    ]);
    (any::<bool>(), prop::option::of(age()), prop::option::of(cause), any::<bool>()).prop_map(
        |(in_flight, began, cause, revision_stale)| Life {
            in_flight,
            began,
            cause,
            revision_stale,
        },
    )
}

/// The answers of [`facts`], each replaced by a random one.
fn any_facts() -> impl Strategy<Value = Vec<Exchange>> {
    let note = (prop::collection::vec(any::<u8>(), 0..64), age())
        .prop_map(|(bytes, age)| Note { bytes, age });
    let counts = (any::<u32>(), any::<u32>(), any::<u32>(), age());
    let answers = (
        look().prop_map(Answer::Look),
        newest().prop_map(Answer::NewestBeat),
        newest().prop_map(Answer::NewestContact),
        or_fault(prop::collection::vec(age(), 0..9)).prop_map(Answer::Intervals),
        or_fault(life()).prop_map(Answer::CurrentLife),
        or_fault(any::<u32>()).prop_map(Answer::RestartCount),
        or_fault(prop::option::of(note)).prop_map(Answer::Memory),
        counts.prop_map(|(probes, probe_faults, store_faults, loop_lag)| {
            Answer::Eyesight(Eyesight { probes, probe_faults, store_faults, loop_lag })
        }),
        any::<(u32, u32, u32)>().prop_map(|(workspaces, suspected, restarting)| {
            Answer::Fleet(Fleet { workspaces, suspected, restarting })
        }),
    );
    answers.prop_map(|(look, beat, contact, intervals, life, count, note, eyesight, fleet)| {
        let mut told = facts();
        let answers = [look, beat, contact, intervals, life, count, note, eyesight, fleet];
        // The first fact is the subject: it stays.
        for (exchange, answer) in told.iter_mut().skip(1).zip(answers) {
            exchange.answer = answer;
        }
        told
    })
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
    let generation = Arc::new(support::unruly("ask-again"));
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
