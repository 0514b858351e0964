//! Swaps under load: no decision fails, and none is mixed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use reprieve_core::{judgement::Verdict, settings::Settings, time::Millis};
use reprieve_runtime::{Current, Generation, Limits, Policy};

use crate::{
    guest::{GOOD, Guest},
    world::{REFUSED, World, engine, generation, who},
};

const SWAPS: u64 = 200;
const JUDGES: usize = 8;

/// Judges BUSY for as many seconds, so that each verdict names its policy.
fn policies(engine: &reprieve_runtime::Engine) -> [(Arc<Policy>, Millis); 2] {
    [5_u64, 9].map(|seconds| {
        let code =
            format!("(return (call $ruled (i32.const 1) (i64.const {seconds}000) (i32.const 0)))");
        let guest = Guest { judge: Box::leak(code.into_boxed_str()), ..GOOD };
        let policy = engine.load(&guest.component(), Limits::default()).expect("a policy");
        (policy, Millis::from_secs(seconds))
    })
}

/// A second judgement holds its generation a little longer than the first one.
fn judging_once(policy: &Arc<Policy>) -> Current {
    Current::new(generation(policy, Settings::new())).judging_twice(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_verdict_is_the_one_that_its_own_generation_gives() {
    let engine = engine();
    let policies = policies(&engine);
    let current = Arc::new(judging_once(&policies[0].0));
    let (stop, judged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let expected = policies.each_ref().map(|(policy, wait)| (policy.digest(), *wait));
    let judges: Vec<_> = (0..JUDGES)
        .map(|_| {
            let (current, stop, judged) =
                (Arc::clone(&current), Arc::clone(&stop), Arc::clone(&judged));
            tokio::spawn(async move {
                let (who, witness) = (who(), World::default().share());
                let mut seen = [0_u64; 2];
                while !stop.load(Ordering::Relaxed) {
                    let decided = current.decide(REFUSED, &who, &witness).await;
                    let of = expected.iter().position(|(component, wait)| {
                        decided.generation.component == *component
                            && decided.outcome.verdict() == Verdict::Busy(*wait)
                    });
                    seen[of.unwrap_or_else(|| panic!("mixed or failed: {decided:?}"))] += 1;
                    judged.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
                seen
            })
        })
        .collect();

    for swap in 1..=SWAPS {
        let so_far = judged.load(Ordering::Relaxed);
        let next = &policies[usize::try_from(swap % 2).expect("0 or 1")].0;
        let with = |now: &Generation| now.with_policy(Arc::clone(next));
        current.update(with).expect("a generation");
        // Under load: each generation judges before it goes.
        while judged.load(Ordering::Relaxed) < so_far + 16 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = [0; 2];
    for judge in judges {
        let of_one = judge.await.expect("no judge panicked");
        seen = [seen[0] + of_one[0], seen[1] + of_one[1]];
    }
    assert!(seen.iter().all(|count| *count >= SWAPS), "both judged under load: {seen:?}");
    assert_eq!(current.snapshot().number(), SWAPS + 1);
    assert_eq!(current.alive().len(), 2, "one in force, one standing in, and none left");
}

/// Each swap brings a policy of its own, as loading a file does: places, instances
/// and generations are given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn policies_that_judge_no_more_leave_nothing_behind() {
    let engine = engine();
    let component = GOOD.component();
    let load = || engine.load(&component, Limits::default()).expect("a place");
    let current = judging_once(&load());
    let (who, witness) = (who(), World::default().share());
    let limit = engine.places().limit;
    for swap in 0..4 * limit {
        let next = load();
        current.update(|now| now.with_policy(next)).expect("a generation");
        let decided = current.decide(REFUSED, &who, &witness).await;
        assert_eq!(decided.outcome.verdict(), Verdict::Alive, "swap {swap}: {decided:?}");
        assert!(engine.places().taken <= 3, "swap {swap}: {:?}", engine.places());
    }
    drop(current);
    assert_eq!(engine.places().taken, 0);
}

/// The timer that ends endless loops costs nothing while nobody judges.
#[tokio::test]
async fn the_timer_rests_when_no_policy_runs_and_is_there_when_one_does() {
    let engine = engine();
    let endless = Guest { judge: "(loop $a (br $a))", ..GOOD };
    let policy = engine.load(&endless.component(), Limits::default()).expect("a policy");
    let generation = generation(&policy, Settings::new());
    for round in 0..3 {
        while !engine.timer().rests {
            tokio::task::yield_now().await;
        }
        let at_rest = engine.timer().ticks;
        tokio::task::yield_now().await;
        assert_eq!(engine.timer().ticks, at_rest, "round {round}: it rests");
        let decided = generation.decide(REFUSED, &who(), &World::default().share()).await;
        assert_eq!(decided.outcome.reason_code(), "policy-deadline", "round {round}");
        let ticks = engine.timer().ticks - at_rest;
        assert!(ticks >= 5, "round {round}: {ticks} ticks for 10 ms of its own time");
    }
}
