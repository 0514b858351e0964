//! Two experiments at once, each on its half of the fleet.

use std::time::Duration;

use reprieve_core::{experiment::Arm, ids::ExperimentName, judgement::ForwardFailure};
use reprieve_tests::{HALF, ws};
use serde_json::{Value, json};

use crate::{Laboratory, State, is_aborted};

impl Laboratory {
    /// On that half, whose decisions the control makes.
    async fn start_on(&self, half: &str, candidate: Value) -> ExperimentName {
        let target = json!({"labels": {HALF: half}});
        let guardrails = json!({"error_bound": 0.5, "min_events": 1, "min_judgements": 1});
        let more = json!({"target": target, "candidate": candidate, "guardrails": guardrails});
        self.start(half, more).await
    }
}

#[tokio::test(start_paused = true)]
async fn neither_is_told_what_happens_to_the_others_workspaces() {
    let lab = Laboratory::open().await;
    let odd = lab.start_on("odd", json!({"component": lab.trusting})).await;
    let even = lab.start_on("even", json!({"settings": {"busy_retry_after": "31s"}})).await;
    let counts = |name| lab.counts(name, Arm::Control);
    let [odd_before, even_before] = [&odd, &even].map(counts);

    for (number, messages) in [(1, 3), (2, 1)] {
        for message in 0..messages {
            lab.stage.queue(number, &format!("m-{message}")).await;
        }
    }
    lab.stage.runtime.crash(&ws(2));
    lab.stage.fail(2, ForwardFailure::Refused).await;
    lab.stage.pass(Duration::from_secs(120)).await;
    assert_eq!(lab.stage.restarts_of(2).len(), 1);

    let [odd_now, even_now] = [&odd, &even].map(counts);
    assert_eq!(odd_now.queued - odd_before.queued, 3);
    assert_eq!(odd_now.delays.count() - odd_before.delays.count(), 3);
    assert_eq!((odd_now.dead, odd_now.restarts, odd_now.recoveries.count()), (0, 0, 0));
    assert_eq!(even_now.queued - even_before.queued, 1);
    assert_eq!(even_now.delays.count() - even_before.delays.count(), 1);
    assert_eq!((even_now.dead, even_now.restarts, even_now.recoveries.count()), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_one_breaks_stops_one() {
    let lab = Laboratory::open().await;
    let odd = lab.start_on("odd", json!({"component": lab.trusting})).await;
    let even = lab.start_on("even", json!({"settings": {"busy_retry_after": "31s"}})).await;
    lab.storm().await;
    lab.until(&odd, "its abort", is_aborted).await;
    assert_eq!(lab.counts(&even, Arm::Candidate).dead, 0);
    assert_eq!(lab.standing(&even).record.state, State::Running);
    assert!(lab.standing(&even).page.breach.is_none());
    let compared = || lab.standing(&even).page.tally.compared();
    let before = compared();
    lab.stage.fail(1, ForwardFailure::Refused).await;
    lab.stage.fail(2, ForwardFailure::Refused).await;
    assert_ne!(compared(), before, "it goes on");
    assert_eq!(lab.stage.current.trials().len(), 1);
}
