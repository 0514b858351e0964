//! Who keeps failing, or keeps state, loses the word to who judged before.

use std::sync::Arc;

use reprieve_core::{
    decision::Outcome,
    judgement::Verdict,
    settings::{Settings, SettingsBook},
    time::{Millis, UnixMillis},
    trust::{Trust, TrustLimits},
};
use reprieve_runtime::{Current, Decided, Generation, Owners, Policy, Role, Terms, Who};

use crate::{
    guest::{GOOD, Guest},
    world::{REFUSED, World, generation, load_with, who},
};

const TRUST: TrustLimits = TrustLimits {
    failures: 3,
    window: Millis::from_secs(60),
    probe_every: Millis::from_secs(10),
    good_in_a_row: 2,
};

fn policy(judge: &'static str) -> Arc<Policy> {
    let guest = Guest { judge, ..GOOD };
    load_with(&guest.component(), Terms { trust: TRUST, ..Terms::default() })
}

/// Judges BUSY for so many seconds.
fn busy(seconds: u64) -> Arc<Policy> {
    let code =
        format!("(return (call $ruled (i32.const 1) (i64.const {seconds}000) (i32.const 0)))");
    policy(Box::leak(code.into_boxed_str()))
}

fn seconds(seconds: u64) -> Verdict {
    Verdict::Busy(Millis::from_secs(seconds))
}

fn in_force(policy: &Arc<Policy>) -> Current {
    Current::new(generation(policy, Settings::new())).judging_twice(0)
}

fn swap(current: &Current, policy: &Arc<Policy>) {
    let next = |now: &Generation| now.with_policy(Arc::clone(policy));
    current.update(next).expect("a generation");
}

async fn judge_at(current: &Current, at_s: u64) -> Decided {
    let world = World { now: UnixMillis(at_s * 1_000), ..World::default() };
    current.decide(REFUSED, &who(), &world.share()).await
}

fn trust(current: &Current) -> Trust {
    current.alive()[0].conduct.trust
}

/// Traps until it has been called often enough in one instance, which a trap
/// never leaves alive; so for ever.
const TRAPS: &str = "unreachable";

/// Traps whenever the failure is REFUSED (0), judges ALIVE otherwise.
const TRAPS_ON_REFUSED: &str = "(if (i32.eqz (local.get $failure)) (then unreachable))";

#[tokio::test]
async fn who_judged_before_stands_in_for_a_policy_that_keeps_failing() {
    let current = in_force(&busy(7));
    let before = current.snapshot();
    swap(&current, &policy(TRAPS));
    for nth in 1..=3 {
        let decided = judge_at(&current, nth).await;
        assert_eq!(decided.outcome.verdict(), Verdict::Busy(Outcome::FALL_BACK_RETRY), "{nth}");
        assert_eq!(decided.generation.number, 2, "the one in force was asked");
    }
    assert_eq!(trust(&current), Trust::Distrusted);
    for at_s in [4, 12] {
        let decided = judge_at(&current, at_s).await;
        assert_eq!(decided.outcome.verdict(), seconds(7), "at {at_s} s");
        assert_eq!(decided.generation, before.reference(&who()), "named for who judged");
    }
    // A probe: it fails, and nobody notices.
    let failures = current.alive()[0].conduct.failures;
    let probed = judge_at(&current, 13).await;
    assert_eq!(probed.outcome.verdict(), seconds(7));
    assert_eq!(current.alive()[0].conduct.failures, failures + 1, "it was asked");
    assert_eq!(judge_at(&current, 14).await.outcome.verdict(), seconds(7));
    assert_eq!(current.alive()[0].conduct.failures, failures + 1, "and is left alone now");
}

#[tokio::test]
async fn a_policy_that_answers_again_is_trusted_again() {
    let current = in_force(&busy(7));
    swap(&current, &policy(TRAPS_ON_REFUSED));
    for nth in 1..=3 {
        judge_at(&current, nth).await;
    }
    let reset = reprieve_core::judgement::Call::Judge {
        trigger: reprieve_core::judgement::Trigger::ForwardFailed(
            reprieve_core::judgement::ForwardFailure::Reset,
        ),
        attempt: reprieve_core::judgement::Attempt { number: 0, since_first: Millis::ZERO },
    };
    let put = async |at_s: u64| {
        let world = World { now: UnixMillis(at_s * 1_000), ..World::default() };
        current.decide(reset, &who(), &world.share()).await.outcome.verdict()
    };
    assert_eq!(put(5).await, seconds(7), "not its turn yet");
    assert_eq!(put(13).await, Verdict::Alive, "a probe, and its good answer counts");
    assert_eq!(trust(&current), Trust::OnProbation);
    assert_eq!(put(14).await, Verdict::Alive);
    assert_eq!(trust(&current), Trust::Trusted);
}

/// One tenant's settings make the policy trap. Nobody stands in, so it goes on
/// judging the others, and is spared that tenant but for a probe now and then.
#[tokio::test]
async fn without_anybody_to_stand_in_it_is_spared_whom_it_fails_and_judges_the_others() {
    let unruly = include_bytes!("../../policies/unruly.wasm");
    let policy = load_with(unruly, Terms { trust: TRUST, ..Terms::default() });
    let told = |deed: &str| -> Settings { [("do".to_owned(), deed.into())].into_iter().collect() };
    let mallory = Who { tenant: "mallory".parse().expect("a name"), ..who() };
    let book = SettingsBook {
        fleet: told("nothing").into(),
        tenants: [(mallory.tenant.clone(), told("trap").into())].into(),
        ..SettingsBook::default()
    };
    let generation = Generation::new(1, policy, book, &Owners::new()).expect("a generation");
    let current = Current::new(generation).judging_twice(0);
    let put = async |who: &Who, at_s: u64| {
        let world = World { now: UnixMillis(at_s * 1_000), ..World::default() };
        let decided = current.decide(REFUSED, who, &world.share()).await;
        decided.outcome.reason_code().to_owned()
    };
    for at_s in 1..=3 {
        assert_eq!(put(&mallory, at_s).await, "policy-trapped", "at {at_s} s");
    }
    assert_eq!(trust(&current), Trust::Distrusted);
    assert_eq!(put(&mallory, 4).await, "policy-trapped", "the first time that it is known of");
    for (at_s, expected) in
        [(5, "policy-distrusted"), (13, "policy-distrusted"), (14, "policy-trapped")]
    {
        assert_eq!(put(&mallory, at_s).await, expected, "at {at_s} s");
        assert_eq!(trust(&current), Trust::Distrusted);
    }
    let others = put(&who(), 15).await;
    assert!(!others.starts_with("policy-"), "the others are judged: {others}");
    assert_eq!(put(&mallory, 16).await, "policy-distrusted");
    assert_eq!(current.alive()[0].conduct.failures, 5, "calls that it was asked");
}

#[tokio::test]
async fn who_is_not_trusted_never_stands_in() {
    let current = in_force(&busy(7));
    swap(&current, &policy(TRAPS));
    for nth in 1..=3 {
        judge_at(&current, nth).await;
    }
    swap(&current, &busy(9));
    let stand_in = current.stand_in().expect("a stand-in");
    assert_eq!(stand_in.number(), 1, "the last good one, not the one that failed");
    // And the one that stood in comes into force itself: nobody stands in for it.
    swap(&current, &policy(TRAPS));
    for nth in 11..=13 {
        judge_at(&current, nth).await;
    }
    assert_eq!(judge_at(&current, 14).await.outcome.verdict(), seconds(9));
    swap(&current, &busy(9));
    assert!(current.stand_in().is_none());
}

#[tokio::test]
async fn state_kept_between_calls_is_found_out() {
    // ALIVE the first time, and something else ever after.
    let forgetful = policy("nop");
    let keeps = policy(
        "(global.set $kept (i64.add (global.get $kept) (i64.const 1)))
         (if (i64.gt_u (global.get $kept) (i64.const 1)) (then
            (return (call $ruled (i32.const 1) (i64.const 5000) (i32.const 1)))))",
    );
    let writes = policy(
        "(global.set $kept (i64.add (global.get $kept) (i64.const 1)))
         (i64.store (i32.const 128) (global.get $kept))
         (call $write (i32.const 128) (i32.const 8))",
    );
    let asks = policy(
        "(global.set $kept (i64.add (global.get $kept) (i64.const 1)))
         (call $count (global.get $kept) (i32.const 128))",
    );
    for (case, policy, keeps_state) in [
        ("nothing is kept", &forgetful, false),
        ("the verdict depends on calls before", &keeps, true),
        ("the note does", &writes, true),
        ("the questions do", &asks, true),
    ] {
        let current = Current::new(generation(policy, Settings::new())).judging_twice(1);
        for nth in 1..=20 {
            judge_at(&current, nth).await;
            checked(&current, nth).await;
        }
        let conduct = current.alive()[0].conduct;
        assert_eq!(conduct.contradictions > 0, keeps_state, "{case}: {conduct:?}");
        let expected = if keeps_state { Trust::Distrusted } else { Trust::Trusted };
        assert_eq!(conduct.trust, expected, "{case}: {conduct:?}");
    }
}

/// Waits for the double judgement, which runs off the way.
async fn checked(current: &Current, checks: u64) {
    while current.alive()[0].conduct.checks < checks {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn generations_are_seen_until_nobody_holds_them() {
    let current = in_force(&busy(7));
    let held = current.snapshot();
    swap(&current, &busy(8));
    swap(&current, &busy(9));
    let roles: Vec<_> = current.alive().iter().map(|alive| (alive.role, alive.number)).collect();
    assert_eq!(roles, [(Role::InForce, 3), (Role::StandIn, 2), (Role::Draining, 1)]);
    assert_eq!(current.alive()[2].references, 1);
    drop(held);
    assert_eq!(current.alive().len(), 2);
}
