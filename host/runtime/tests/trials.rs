//! An experiment's candidate judges for its arm, and nothing else changes.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::sync::Arc;

use reprieve_core::{
    evidence::{Answer, Exchange, Question},
    experiment::{Arm, Experiment},
    judgement::Verdict,
    ports::Witness,
    settings::{Layer, SettingsBook, Source},
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{
    Current, Generation, LayerChange, Limits, Owners, Policy, StoodIn, Trial, Who, judge_beside,
};
use serde_json::{Value, json};
use support::{DEFAULT, ENGINE, REFUSED, Scene, UNRULY, facts, settings, told, who};

fn experiment(value: Value) -> Arc<Experiment> {
    let mut all = json!({
        "name": "tried", "owner": "sre", "hypothesis": "better", "mode": "ab",
        "share_bp": 5_000, "ends_at": 1,
    });
    all.as_object_mut().expect("an object").extend(settings(value));
    Arc::new(serde_json::from_value(all).expect("an experiment"))
}

fn load(bytes: &[u8]) -> Arc<Policy> {
    ENGINE.load(bytes, Limits::default()).expect("a policy")
}

/// The default policy in force, and one experiment beside it.
fn in_trial(experiment: &Arc<Experiment>, policy: Option<&Arc<Policy>>) -> Current {
    let control = Generation::new(1, load(DEFAULT), SettingsBook::default(), &Owners::new());
    let current = Current::new(control.expect("a generation"));
    begin(&current, experiment, policy);
    current
}

fn begin(current: &Current, experiment: &Arc<Experiment>, policy: Option<&Arc<Policy>>) {
    current.set_trials(|control, _| {
        vec![Trial::new(Arc::clone(experiment), policy.cloned(), control)]
    });
}

fn somebody(number: usize) -> Who {
    Who { workspace: format!("ws-{number}").parse().expect("a name"), ..who() }
}

#[tokio::test(start_paused = true)]
async fn each_workspace_is_judged_by_its_arm_and_by_the_other_beside() {
    let unruly = load(UNRULY);
    let tried = experiment(json!({"candidate": {"settings": {"do": "ask-two"}}}));
    let current = in_trial(&tried, Some(&unruly));
    let witness = Scene::new(facts()).share();
    let mut seen = [0; 2];
    for number in 0..200 {
        let who = somebody(number);
        let (decided, trial) = current.decide_and_try(REFUSED, &who, &witness).await;
        let trial = trial.expect("it takes part");
        assert_eq!(trial.acts, tried.arm(&who.workspace));
        assert_eq!(trial.stood_in, None);
        seen[trial.acts as usize] += 1;
        let by_candidate = decided.generation.component == unruly.digest();
        assert_eq!(by_candidate, trial.acts == Arm::Candidate);
        let other = trial.other().expect("the other judges too");
        assert_ne!(other.policy().digest(), decided.generation.component);
    }
    assert!(seen.iter().all(|seen| *seen > 50), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shadow_never_decides() {
    let unruly = load(UNRULY);
    let tried = experiment(json!({
        "mode": "shadow", "share_bp": 10_000, "candidate": {"settings": {"do": "trap"}},
    }));
    let current = in_trial(&tried, Some(&unruly));
    let witness = Scene::new(facts()).share();
    for number in 0..50 {
        let (decided, trial) = current.decide_and_try(REFUSED, &somebody(number), &witness).await;
        assert_eq!(decided.blame, None, "the control judges: {:?}", decided.outcome);
        let trial = trial.expect("it takes part");
        assert_eq!(trial.acts, Arm::Control);
        let other = trial.other().expect("the shadow judges too");
        assert_eq!(other.policy().digest(), unruly.digest());
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_candidate_fails_the_control_decides() {
    let tried = experiment(json!({"share_bp": 10_000, "candidate": {"settings": {"do": "trap"}}}));
    let current = in_trial(&tried, Some(&load(UNRULY)));
    let witness = Scene::new(facts()).share();
    let mut reasons = Vec::new();
    for _ in 0..12 {
        let (decided, trial) = current.decide_and_try(REFUSED, &who(), &witness).await;
        assert_eq!(decided.blame, None, "{:?}", decided.outcome);
        assert!(decided.generation.policy.starts_with("default"));
        reasons.push(trial.expect("it takes part").stood_in.expect("it failed"));
    }
    assert_eq!(reasons[..10], [StoodIn::Failed; 10]);
    assert_eq!(reasons[10..], [StoodIn::Distrusted; 2], "ten failures are enough");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_targeted_takes_no_part() {
    let only = |target: Value| {
        let tried = experiment(json!({
            "target": target, "share_bp": 10_000, "candidate": {"settings": {"do": "nothing"}},
        }));
        in_trial(&tried, Some(&load(UNRULY)))
    };
    let witness = Scene::new(facts()).share();
    let Some(Answer::Subject(subject)) = witness.at_hand(&Question::Subject, witness.now()) else {
        panic!("a subject is always at hand");
    };
    let (key, value) = subject.labels.first().cloned().expect("a label");
    for (target, expected) in [
        (json!({}), true),
        (json!({"tenants": ["acme"]}), true),
        (json!({"tenants": ["umbrella"]}), false),
        (json!({"labels": {&key: value}}), true),
        (json!({"labels": {key: "another"}}), false),
        (json!({"labels": {"unknown": ""}}), false),
    ] {
        let current = only(target.clone());
        let (_, trial) = current.decide_and_try(REFUSED, &who(), &witness).await;
        assert_eq!(trial.is_some(), expected, "{target}");
    }
}

/// The control is swapped while a candidate of other settings is tried: the
/// candidate is the new policy, with those settings over everybody's own.
#[tokio::test(start_paused = true)]
async fn a_candidate_follows_the_control() {
    let tried = experiment(json!({
        "share_bp": 10_000, "candidate": {"settings": {"busy_retry_after": "7s"}},
    }));
    let current = in_trial(&tried, None);
    let own = settings(json!({"busy_retry_after": "9s"}));
    let change =
        LayerChange { layer: Layer::Tenant(who().tenant), source: Source::Applied, settings: own };
    let next = |now: &Generation| now.with_settings(&[change], &Owners::new());
    let control = current.update(next).expect("a generation");
    let trials = current.trials();
    let candidate = trials[0].candidate().expect("it is tried");
    assert_eq!(candidate.number(), control.number());
    assert_ne!(candidate.settings_digest(&who()), control.settings_digest(&who()));

    // A policy that does not know the setting: nobody is tried, and it is said why.
    current
        .update(|now| now.with_policy(load(UNRULY)).or_else(|_| told(&load(UNRULY), "nothing")))
        .expect("a generation");
    let trials = current.trials();
    let why = trials[0].candidate().expect_err("it is refused");
    assert!(why.contains("refuses"), "{why}");
    let witness = Scene::new(facts()).share();
    let (decided, trial) = current.decide_and_try(REFUSED, &who(), &witness).await;
    assert!(trial.is_none());
    assert_eq!(decided.outcome.verdict(), Verdict::Alive);
}

#[test]
fn a_change_of_one_tenant_is_put_to_the_candidate_for_him_alone() {
    let tenants = 100;
    let of = |number: usize| format!("t{number}").parse().expect("a name");
    let own = |number: usize| settings(json!({"settle": format!("{}s", number + 1)}));
    let book = SettingsBook {
        tenants: (0..tenants).map(|number| (of(number), Arc::new(own(number)))).collect(),
        ..SettingsBook::default()
    };
    let control = Generation::new(1, load(DEFAULT), book, &Owners::new()).expect("a generation");
    let current = Current::new(control);
    let candidate = load(DEFAULT);
    let tried = experiment(json!({"candidate": {"settings": {"busy_retry_after": "7s"}}}));
    begin(&current, &tried, Some(&candidate));
    let before = candidate.settings_checked();
    let layer = Layer::Tenant(of(7));
    let change = LayerChange { layer, source: Source::Applied, settings: own(500) };
    current.update(|now| now.with_settings(&[change], &Owners::new())).expect("a generation");
    assert_eq!(candidate.settings_checked() - before, 1);
}

#[test]
fn beside_a_decision_only_what_is_at_hand_is_known() {
    let policy = load(UNRULY);
    let asks = told(&policy, "ask-everything").expect("a generation");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let _entered = runtime.as_ref().expect("a runtime").enter();
    let recorded: Vec<Exchange> = facts();
    let nothing = Scene::new(Vec::new()).share();
    let whole = judge_beside(&asks, REFUSED, &who(), &recorded, &nothing);
    assert_eq!(whole.blame, None, "{:?}", whole.outcome);

    let at_hand = Scene::new(facts()).share();
    let supplied = judge_beside(&asks, REFUSED, &who(), &[], &at_hand);
    assert_eq!(supplied.outcome, whole.outcome);

    let must_be_fetched = Scene::new(facts()).slow(Millis(1)).share();
    let missing = judge_beside(&asks, REFUSED, &who(), &[], &must_be_fetched);
    assert_eq!(missing.outcome.reason_code(), "fact-not-on-record");
}

/// The trial is stopped as soon as something has to be fetched.
struct Stopping {
    scene: Scene,
    trial: Trial,
}

#[async_trait::async_trait]
impl Witness for Stopping {
    fn now(&self) -> UnixMillis {
        self.scene.now()
    }

    fn at_hand(&self, question: &Question, now: UnixMillis) -> Option<Answer> {
        self.scene.at_hand(question, now)
    }

    async fn fetch(&self, question: &Question) -> Answer {
        self.trial.stop();
        self.scene.fetch(question).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_stopped_while_its_candidate_is_asked_decides_nothing() {
    let more = json!({"share_bp": 10_000, "candidate": {"settings": {"do": "ask-everything"}}});
    let current = in_trial(&experiment(more), Some(&load(UNRULY)));
    let trial = current.trials()[0].clone();
    let scene = Scene::new(facts()).slow(Millis(1));
    let witness: Arc<dyn Witness> = Arc::new(Stopping { scene, trial });
    let (decided, tried) = current.decide_and_try(REFUSED, &who(), &witness).await;
    assert!(decided.generation.policy.starts_with("default"), "{}", decided.generation.policy);
    assert!(tried.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_stopped_decides_no_more() {
    let tried = experiment(json!({
        "share_bp": 10_000, "candidate": {"settings": {"liveness_ttl": "600s"}},
    }));
    let current = in_trial(&tried, None);
    let limit = || current.silence_limit(&who(), &[]);
    let witness = Scene::new(facts()).share();
    assert!(current.decide_and_try(REFUSED, &who(), &witness).await.1.is_some());
    assert_eq!(limit(), Some(Millis::from_secs(600)), "the candidate acts for it");

    current.trials()[0].stop();
    assert!(current.decide_and_try(REFUSED, &who(), &witness).await.1.is_none());
    assert_eq!(limit(), current.snapshot().silence_limit(&who()));
    // Not even a change of the control brings it back.
    let next = |now: &Generation| now.with_settings(&[], &Owners::new());
    current.update(next).expect("a generation");
    assert!(current.decide_and_try(REFUSED, &who(), &witness).await.1.is_none());
}
