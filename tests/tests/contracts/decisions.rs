//! The contract of [`Decisions`].

use std::sync::Arc;

use reprieve_core::{
    decision::{Cost, Decision, GenerationRef, Outcome, Part},
    evidence::{Answer, Exchange, ProbeFault, Question},
    experiment::Arm,
    ids::{DecisionId, Digest, LifeId},
    judgement::{Attempt, Call, ForwardFailure, Reason, Trigger, Verdict},
    ports::{DecisionFilter, Decisions},
    time::{Millis, UnixMillis},
};

use crate::{Host, suite, workspace};

suite! { decisions:
    a_decision_comes_back_as_it_was,
    what_was_recorded_is_there_at_once,
    a_filter_keeps_what_it_names,
    what_was_done_may_be_recorded_later,
    a_decision_that_nobody_recorded_is_none,
}

/// The decision with that number, and everything in it.
pub(crate) fn decision(number: u32, of: &str, at: UnixMillis) -> Decision {
    Decision {
        id: DecisionId(format!("d-{number:04}")),
        at,
        workspace: workspace(of),
        tenant: format!("tenant-{of}").parse().unwrap(),
        life: LifeId(3),
        generation: Arc::new(GenerationRef {
            number: 2,
            policy: "default 0.1.0".to_owned(),
            component: Digest::of(b"component"),
            settings: Digest::of(b"{}"),
        }),
        experiment: Some(Part {
            name: "exp-1".parse().unwrap(),
            arm: Arm::Candidate,
            stood_in: true,
        }),
        call: Call::Judge {
            trigger: Trigger::ForwardFailed(ForwardFailure::BadStatus(502)),
            attempt: Attempt { number: 1, since_first: Millis(2_000) },
        },
        evidence: vec![Exchange {
            question: Question::Look,
            answer: Answer::Look(Err(ProbeFault::Overloaded)),
        }],
        memory_write: Some(vec![0, 255, 7]),
        outcome: Outcome::Judged {
            verdict: Verdict::Busy(Millis(30_000)),
            reason: Arc::new(Reason { code: "probe-fault".to_owned(), meaning: "…".to_owned() }),
        },
        cost: Cost { passes: 2, guest_us: 3, total: Millis(17) },
        effect: None,
    }
}

fn numbers(found: &[Decision]) -> Vec<&str> {
    found.iter().map(|decision| &*decision.id.0).collect()
}

async fn a_decision_comes_back_as_it_was(decisions: &dyn Decisions, host: &Host) {
    let recorded = decision(1, "ws", host.now());
    decisions.record(recorded.clone()).await;
    assert_eq!(decisions.get(&recorded.id).await, Ok(Some(recorded)));
}

async fn what_was_recorded_is_there_at_once(decisions: &dyn Decisions, host: &Host) {
    let many = 1_000;
    for number in 0..many {
        decisions.record(decision(number, "ws", host.now())).await;
    }
    let all = DecisionFilter { limit: many + 1, ..DecisionFilter::default() };
    let found = decisions.list(&all).await.unwrap();
    assert_eq!(found.len(), many as usize);
    assert!(found.is_sorted_by_key(|decision| decision.id.clone()), "oldest first");
}

async fn a_filter_keeps_what_it_names(decisions: &dyn Decisions, host: &Host) {
    for number in 0..6 {
        let of = if number % 2 == 0 { "even" } else { "odd" };
        decisions.record(decision(number, of, host.now())).await;
    }
    let all = DecisionFilter { limit: 100, ..DecisionFilter::default() };
    let after = |number: u32| Some(DecisionId(format!("d-{number:04}")));
    let of = Some(workspace("odd"));
    let before = after;
    let tenants = |names: &[&str]| Some(names.iter().map(|name| name.parse().unwrap()).collect());
    for (case, filter, expected) in [
        ("the newest two", DecisionFilter { limit: 2, ..all.clone() }, vec!["d-0004", "d-0005"]),
        (
            "of a workspace",
            DecisionFilter { workspace: of, ..all.clone() },
            vec!["d-0001", "d-0003", "d-0005"],
        ),
        (
            "of a tenant after one",
            DecisionFilter { tenants: tenants(&["tenant-even"]), after: after(0), ..all.clone() },
            vec!["d-0002", "d-0004"],
        ),
        (
            "of several tenants before one",
            DecisionFilter {
                tenants: tenants(&["tenant-even", "tenant-odd"]),
                before: before(3),
                limit: 2,
                ..all.clone()
            },
            vec!["d-0001", "d-0002"],
        ),
        ("of no tenant", DecisionFilter { tenants: tenants(&[]), ..all.clone() }, vec![]),
        ("before the oldest", DecisionFilter { before: before(0), ..all.clone() }, vec![]),
        ("after the newest", DecisionFilter { after: after(5), ..all.clone() }, vec![]),
        ("none at all", DecisionFilter { limit: 0, ..all }, vec![]),
    ] {
        let found = decisions.list(&filter).await.unwrap();
        assert_eq!(numbers(&found), expected, "{case}");
    }
}

async fn what_was_done_may_be_recorded_later(decisions: &dyn Decisions, host: &Host) {
    let mut first = decision(1, "ws", host.now());
    decisions.record(first.clone()).await;
    decisions.record(decision(2, "ws", host.now())).await;
    first.effect = Some("restart begun".to_owned());
    decisions.record(first.clone()).await;
    let all = DecisionFilter { limit: 10, ..DecisionFilter::default() };
    let found = decisions.list(&all).await.unwrap();
    assert_eq!(numbers(&found), ["d-0001", "d-0002"]);
    assert_eq!(found[0], first);
}

async fn a_decision_that_nobody_recorded_is_none(decisions: &dyn Decisions, _host: &Host) {
    assert_eq!(decisions.get(&DecisionId("d-0000".to_owned())).await, Ok(None));
}
