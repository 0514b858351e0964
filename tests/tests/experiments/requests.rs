//! Requests that were queued, delayed and lost, by the arm of their workspace.

use std::time::Duration;

use reprieve_core::{
    experiment::{Arm, ArmCounts, Experiment},
    incident::Standing,
    judgement::{ForwardFailure, RestartCause},
    time::Millis,
};
use reprieve_tests::ws;
use serde_json::{Value, json};

use crate::{FLEET, Laboratory};

/// A candidate that differs in nothing that is seen here.
fn half(more: &Value) -> Value {
    let mut all = json!({"mode": "ab", "share_bp": 5_000,
        "candidate": {"settings": {"busy_retry_after": "31s"}}});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

fn in_arm(experiment: &Experiment, arm: Arm) -> Vec<u32> {
    (1..=FLEET).filter(|number| experiment.arm(&ws(*number)) == arm).collect()
}

impl Laboratory {
    async fn queue_for_everybody(&self, message_id: &str) {
        for number in 1..=FLEET {
            self.stage.queue(number, message_id).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_in_the_arm_of_their_workspace_until_they_are_delivered() {
    let lab = Laboratory::open().await;
    lab.queue_for_everybody("before").await;
    lab.stage.pass(Duration::from_millis(1)).await;
    let experiment = lab.experiment("requests", &half(&json!({})));
    lab.experiments.start(experiment.clone(), &crate::somebody()).await.unwrap();
    let name = &experiment.name;
    // Everybody beats every 30 s, and gets then what waits for him.
    lab.stage.pass(Duration::from_secs(31)).await;
    for arm in Arm::ALL {
        let ArmCounts { queued, delays, lost, .. } = lab.counts(name, arm);
        let all = (queued, delays.count(), lost);
        assert_eq!(all, (0, 0, 0), "{arm:?}: what was queued before is none of its doing");
    }
    lab.queue_for_everybody("within").await;
    // The host's own message to a life is no request.
    lab.stage.want_restart(1, RestartCause::Operator).await;
    lab.stage.pass(Duration::from_secs(90)).await;
    for arm in Arm::ALL {
        let (counts, workspaces) = (lab.counts(name, arm), in_arm(&experiment, arm).len() as u64);
        assert!((3..14).contains(&workspaces), "{arm:?}: {workspaces}");
        assert_eq!(counts.queued, workspaces, "{arm:?}");
        assert_eq!(counts.delays.count(), workspaces, "{arm:?}");
        let longest = counts.delays.quantile(1.0).unwrap();
        assert!((Millis(1_000)..Millis(90_000)).contains(&longest), "{arm:?}: {longest}");
        assert_eq!(counts.lost, 0, "{arm:?}");
    }
    let next = lab.next_host().await;
    let after = next.standing(name).unwrap().page.tally;
    for arm in Arm::ALL {
        assert_eq!(*after.counts(arm), lab.counts(name, arm), "a host that ends forgets none");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_became_too_old_is_lost_to_the_arm_of_its_workspace() {
    let lab = Laboratory::open_with(Millis::from_secs(300)).await;
    let experiment = lab.experiment("requests", &half(&json!({})));
    lab.experiments.start(experiment.clone(), &crate::somebody()).await.unwrap();
    let of_candidate = in_arm(&experiment, Arm::Candidate)[0];
    lab.stage.supervisor.rest(&ws(of_candidate), Standing::Paused).await.unwrap().unwrap();
    for message_id in ["m-1", "m-2"] {
        lab.stage.queue(of_candidate, message_id).await;
    }
    lab.stage.pass(Duration::from_secs(400)).await;
    let [control, candidate] = Arm::ALL.map(|arm| lab.counts(&experiment.name, arm));
    assert_eq!((candidate.queued, candidate.delays.count(), candidate.lost), (2, 0, 2));
    assert_eq!((control.queued, control.lost), (0, 0));
}

/// Its share is who both judge. Whoever else is targeted is in no arm, and what
/// happens to him is measured against nobody's hours.
#[tokio::test(start_paused = true)]
async fn of_a_shadow_that_judges_some_the_others_are_in_no_arm() {
    let lab = Laboratory::open().await;
    let more = json!({"mode": "shadow", "share_bp": 5_000});
    let experiment = lab.experiment("some", &half(&more));
    lab.experiments.start(experiment.clone(), &crate::somebody()).await.unwrap();
    let name = &experiment.name;
    for (arm, expected) in [(Arm::Control, 0), (Arm::Candidate, 1)] {
        let number = in_arm(&experiment, arm)[0];
        lab.stage.queue(number, "m-1").await;
        lab.stage.runtime.crash(&ws(number));
        lab.stage.fail(number, ForwardFailure::Refused).await;
        lab.stage.pass(Duration::from_secs(120)).await;
        assert_eq!(lab.stage.restarts_of(number).len(), 1, "ws-{number} died");
        let counts = lab.counts(name, Arm::Control);
        assert_eq!((counts.dead, counts.queued), (expected, expected), "ws-{number}");
        assert_eq!(counts.judged > 0, expected > 0, "ws-{number}");
    }
}
