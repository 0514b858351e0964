//! A candidate is tried on story 1's traffic, on virtual time: it harms nobody
//! outside its share, and is put away for what it does or would have done.
//!
//! - [`ending`]: starts and ends, whatever comes between
//! - [`requests`]: what became of the requests of each arm's callers
//! - [`side_by_side`]: two experiments at once

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

mod ending;
mod requests;
mod side_by_side;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reprieve_core::{
    decision::Finding,
    evidence::ProbeFault,
    experiment::{Arm, ArmCounts, Experiment, Guardrail},
    ids::{Digest, ExperimentName, WorkspaceId},
    judgement::{ForwardFailure, RestartCause},
    time::Millis,
};
use reprieve_runtime::registry::Candidate;
use reprieve_server::{
    experiments::{
        ABORTED, ExperimentFailure, ExperimentParts, Experiments, Observer, Standing, State,
    },
    policies::{Actor, Policies},
};
use reprieve_tests::{Stage, StageOptions, policies_in, ws};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

const FLEET: u32 = 16;
const UNRULY: &[u8] = include_bytes!("../../../policies/unruly.wasm");
/// For what a second's tick brings about.
const LOOKS: u32 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A fleet under the default policy, which keeps `trust-the-probe` on its shelf.
struct Laboratory {
    stage: Stage,
    policies: Policies,
    experiments: Experiments,
    trusting: Digest,
    _state: tempfile::TempDir,
    /// Dropped, nobody looks after experiments any more.
    stop: DropGuard,
}

fn somebody() -> Actor {
    Actor { by: "sre".to_owned(), why: "to see".to_owned() }
}

fn parts(stage: &Stage, policies: &Policies, observer: &Arc<Observer>) -> ExperimentParts {
    ExperimentParts {
        current: Arc::clone(&stage.current),
        policies: policies.clone(),
        settings: stage.settings.clone(),
        supervisor: stage.supervisor.clone(),
        observer: Arc::clone(observer),
        store: stage.store.experiments.clone(),
        clock: Arc::clone(&stage.clock),
    }
}

impl Laboratory {
    async fn open() -> Self {
        Self::open_with(StageOptions::default().max_queue_age).await
    }

    async fn open_with(max_queue_age: Millis) -> Self {
        let state = tempfile::tempdir().unwrap();
        let policies = policies_in(state.path()).await;
        let loaded = policies.load_named("trust-the-probe", &somebody()).await.unwrap();
        let stage = Stage::set(StageOptions {
            workspaces: FLEET,
            beat_every: Duration::from_secs(30),
            current: Some(Arc::clone(policies.current())),
            max_queue_age,
            ..StageOptions::default()
        })
        .await;
        let experiments =
            Experiments::open(parts(&stage, &policies, &stage.observer)).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(experiments.clone().follow(stop.clone()));
        Self {
            stage,
            policies,
            experiments,
            trusting: loaded.component,
            _state: state,
            stop: stop.drop_guard(),
        }
    }

    /// A policy that misbehaves on demand, kept on the shelf.
    async fn unruly(&self) -> Digest {
        let candidate = Candidate {
            source: "a test".to_owned(),
            bytes: UNRULY.into(),
            expected: None,
            signature: None,
            built_in: false,
        };
        self.policies.load(candidate, &somebody()).await.unwrap().component
    }

    fn experiment(&self, name: &str, more: &Value) -> Experiment {
        let mut all = json!({
            "name": name, "owner": "sre", "hypothesis": "it sees deaths sooner",
            "mode": "shadow", "share_bp": 10_000, "candidate": {"component": self.trusting},
            "ends_at": self.stage.clock.now().0 + 7 * 86_400_000,
        });
        let more = more.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(more);
        serde_json::from_value(all).unwrap()
    }

    async fn start(&self, name: &str, more: Value) -> ExperimentName {
        let experiment = self.experiment(name, &more);
        let standing = self.experiments.start(experiment, &somebody()).await.unwrap();
        assert_eq!(standing.record.state, State::Running);
        // The arms have to be exposed before anything can be learnt.
        self.stage.pass(Duration::from_secs(600)).await;
        standing.record.experiment.name
    }

    /// The daemon stalls for 20 s, and everybody's forwards fail.
    async fn storm(&self) {
        self.stage.runtime.stall(ProbeFault::ClosedEarly);
        for number in 1..=FLEET {
            self.stage.fail(number, ForwardFailure::ClosedEarly).await;
        }
        self.stage.pass(Duration::from_secs(20)).await;
        self.stage.runtime.recover();
    }

    fn standing(&self, name: &ExperimentName) -> Standing {
        self.experiments.standing(name).unwrap()
    }

    fn counts(&self, name: &ExperimentName, arm: Arm) -> ArmCounts {
        self.standing(name).page.tally.counts(arm).clone()
    }

    async fn until(&self, name: &ExperimentName, what: &str, is_so: impl Fn(&Standing) -> bool) {
        for _ in 0..LOOKS {
            self.stage.until_judged_beside().await;
            if is_so(&self.standing(name)) {
                return;
            }
            self.stage.pass(LOOK_EVERY).await;
        }
        panic!("{what} did not come about: {:#?}", self.standing(name));
    }

    async fn pass_until(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..10 * LOOKS {
            if is_so() {
                return;
            }
            self.stage.pass(LOOK_EVERY).await;
        }
        panic!("{what}: not so");
    }

    /// The host ends, and another begins with its store.
    async fn next_host(&self) -> Experiments {
        self.stage.current.set_trials(|_, _| Vec::new());
        let observer = Arc::default();
        Experiments::open(parts(&self.stage, &self.policies, &observer)).await.unwrap()
    }

    /// Restarts of each workspace.
    fn restarts(&self) -> BTreeMap<WorkspaceId, usize> {
        let mut all = BTreeMap::new();
        for start in self.stage.restarts() {
            *all.entry(start.workspace).or_default() += 1;
        }
        all
    }
}

const fn is_aborted(standing: &Standing) -> bool {
    matches!(standing.record.state, State::Aborted(_))
}

#[tokio::test(start_paused = true)]
async fn a_shadow_acts_on_nobody_and_what_it_would_have_killed_is_counted() {
    let lab = Laboratory::open().await;
    let name = lab.start("shadow", json!({})).await;
    lab.storm().await;
    lab.until(&name, "its would-be deaths", |standing| {
        standing.page.tally.counts(Arm::Candidate).dead >= 6
    })
    .await;
    assert!(lab.restarts().is_empty(), "{:?}", lab.restarts());
    let page = lab.standing(&name).page;
    assert_eq!(page.tally.counts(Arm::Control).dead, 0);
    assert_eq!(page.tally.counts(Arm::Candidate).restarts, 0);
    let disagreement = page.disagreements.front().expect("a disagreement");
    assert!(disagreement.candidate.starts_with("dead "), "{disagreement:?}");
    assert!(disagreement.control.starts_with("alive "), "{disagreement:?}");

    // Everybody's next beat shows that it would have been wrong.
    lab.stage.pass(Duration::from_secs(60)).await;
    lab.until(&name, "its abort", is_aborted).await;
    let page = lab.standing(&name).page;
    assert!(page.tally.counts(Arm::Candidate).false_deaths >= 6);
    assert_eq!(page.breach.map(|breach| breach.guardrail), Some(Guardrail::Deaths));
    assert!(lab.restarts().is_empty(), "{:?}", lab.restarts());
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_kills_is_aborted_and_harms_nobody_outside_its_share() {
    let lab = Laboratory::open().await;
    let name = lab.start("canary", json!({"mode": "canary", "share_bp": 2_500})).await;
    let experiment = lab.standing(&name).record.experiment;
    let in_share = (1..=FLEET).filter(|n| experiment.arm(&ws(*n)) == Arm::Candidate).count();
    assert!((1..8).contains(&in_share), "{in_share} of {FLEET}");
    lab.storm().await;
    lab.stage.pass(Duration::from_secs(60)).await;
    lab.until(&name, "its abort", is_aborted).await;
    let killed = lab.restarts();
    assert!(!killed.is_empty(), "the canary must bite");
    for _ in 0..3 {
        lab.storm().await;
        lab.stage.pass(Duration::from_secs(300)).await;
    }
    assert_eq!(lab.restarts(), killed, "after its abort it acts on nobody");
    for (workspace, times) in killed {
        assert_eq!(experiment.arm(&workspace), Arm::Candidate, "{workspace}");
        assert_eq!(times, 1, "{workspace}");
    }
    let alerts = lab.experiments.alerts();
    assert!(alerts.iter().any(|alert| alert.code == ABORTED), "{alerts:?}");
    let again = lab.experiments.promote(&name, &somebody()).await;
    assert!(matches!(again, Err(ExperimentFailure::NotRunning { .. })), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn from_the_event_on_that_breaks_a_guardrail_the_control_judges_for_everybody() {
    let mut lab = Laboratory::open().await;
    let guardrails = json!({"error_bound": 0.5, "min_events": 1, "min_judgements": 1});
    let more = json!({"mode": "canary", "share_bp": 5_000, "guardrails": guardrails});
    let name = lab.start("canary", more).await;
    let experiment = lab.standing(&name).record.experiment;
    // Whoever ends experiments comes no more.
    lab.stop = CancellationToken::new().drop_guard();
    lab.stage.pass(LOOK_EVERY).await;
    lab.stage.runtime.stall(ProbeFault::ClosedEarly);
    let mut in_share: Vec<u32> =
        (1..=FLEET).filter(|n| experiment.arm(&ws(*n)) == Arm::Candidate).collect();
    while lab.standing(&name).page.breach.is_none() {
        let number = in_share.pop().expect("the guardrail breaks before all are ruled dead");
        let finding = lab.stage.fail(number, ForwardFailure::ClosedEarly).await;
        assert!(matches!(finding, Finding::Restarting { .. }), "it bites: {finding:?}");
    }
    assert_eq!(lab.standing(&name).record.state, State::Running, "nobody ended it");
    assert!(!in_share.is_empty(), "somebody is left");
    for number in in_share {
        let finding = lab.stage.fail(number, ForwardFailure::ClosedEarly).await;
        assert!(matches!(finding, Finding::Alive | Finding::Busy { .. }), "{finding:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_candidate_traps_it_is_its_failure_and_the_controls_judgement() {
    let lab = Laboratory::open().await;
    let candidate = json!({"component": lab.unruly().await, "settings": {"do": "trap"}});
    let more = json!({"mode": "ab", "candidate": candidate});
    let name = lab.start("traps", more).await;
    let counts = |arm| lab.counts(&name, arm);
    let before = Arm::ALL.map(counts);
    lab.stage.fail(1, ForwardFailure::Refused).await;
    let [control, candidate] = Arm::ALL.map(counts);
    let grew = |by: &dyn Fn(&ArmCounts) -> u64| {
        [by(&control) - by(&before[0]), by(&candidate) - by(&before[1])]
    };
    assert_eq!(grew(&|counts| counts.judged), [1, 1]);
    assert_eq!(grew(&|counts| counts.failed), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_the_candidate_could_not_judge_from_that_evidence_is_missing_and_nothing_else() {
    let lab = Laboratory::open().await;
    let name = lab.start("missing", json!({})).await;
    // A life that settles: the control asks for no look, and the candidate would.
    lab.stage.want_restart(1, RestartCause::Operator).await;
    lab.stage.pass(Duration::from_secs(10)).await;
    let tally = || lab.standing(&name).page.tally;
    let before = tally();
    lab.stage.fail(1, ForwardFailure::Refused).await;
    let is_missing = |standing: &Standing| standing.page.tally.missing > before.missing;
    lab.until(&name, "a missing judgement", is_missing).await;
    assert_eq!(tally().counts(Arm::Candidate), before.counts(Arm::Candidate));
    assert_eq!(tally().compared(), before.compared());
}

#[tokio::test(start_paused = true)]
async fn a_candidate_like_the_control_is_not_aborted() {
    let lab = Laboratory::open().await;
    let candidate = json!({"settings": {"busy_retry_after": "30s"}});
    let more = json!({"mode": "ab", "share_bp": 5_000, "candidate": candidate});
    let name = lab.start("same", more).await;
    for _ in 0..5 {
        lab.storm().await;
        lab.stage.pass(Duration::from_secs(600)).await;
    }
    lab.until(&name, "both judge", |standing| standing.page.tally.compared().0 >= 50).await;
    let Standing { record, page, .. } = lab.standing(&name);
    assert_eq!(record.state, State::Running);
    assert_eq!(page.tally.compared().1, 0, "{:?}", page.disagreements);
    assert!(page.tally.hours(Arm::Candidate) > 0.0);
}
