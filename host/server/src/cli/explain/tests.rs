//! What a person on call reads, for one decision of each sort.

use std::sync::Arc;

use reprieve_core::{
    decision::{Cost, GenerationRef},
    evidence::{
        Answer, Beat, Exchange, Eyesight, Fleet, Health, Life, Note, ProbeFault, Question,
        Sighting, Status, StoreFault, Subject,
    },
    ids::{DecisionId, Digest, LifeId},
    judgement::{Attempt, Reason},
    time::Millis,
};

use super::*;

/// 2026-04-16 09:10:26.250 UTC: the first of the stories.
const AT: UnixMillis = UnixMillis(1_776_330_626_250);

fn judge(trigger: Trigger, number: u32, since_first: u64) -> Call {
    Call::Judge { trigger, attempt: Attempt { number, since_first: Millis(since_first) } }
}

fn asked(question: Question, answer: Answer) -> Exchange {
    assert!(answer.fits(&question), "{answer:?} is no answer to {question:?}");
    Exchange { question, answer }
}

fn reason(code: &str, meaning: &str) -> Arc<Reason> {
    Arc::new(Reason { code: code.into(), meaning: meaning.into() })
}

fn decision(call: Call, evidence: Vec<Exchange>, outcome: Outcome, effect: &str) -> Decision {
    Decision {
        id: DecisionId("0199a3c2-5d8e-7b11-9f0a-3c5d2e7f8a90".into()),
        at: AT,
        workspace: "research-7".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        life: LifeId(3),
        generation: Arc::new(GenerationRef {
            number: 12,
            policy: "default 0.1.0".into(),
            component: Digest::of(b"component"),
            settings: Digest::of(b"settings"),
        }),
        experiment: None,
        call,
        evidence,
        memory_write: None,
        outcome,
        cost: Cost { passes: 2, guest_us: 3, total: Millis(2_140) },
        effect: Some(effect.into()),
    }
}

fn life(began_ms: u64, cause: RestartCause) -> Exchange {
    let life = Life {
        in_flight: false,
        began: Some(Millis(began_ms)),
        cause: Some(cause),
        revision_stale: false,
    };
    asked(Question::CurrentLife, Answer::CurrentLife(Ok(life)))
}

fn explained(decision: &Decision) -> String {
    let text = explain(decision, AT + Millis::from_secs(750));
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line:?} is too long");
        assert_eq!(line.trim_end(), line, "white space at the end");
    }
    text
}

#[test]
fn a_probe_fault_reads_as_the_daemons_trouble() {
    let alive = decision(
        judge(Trigger::ForwardFailed(ForwardFailure::BadStatus(503)), 0, 0),
        vec![
            life(5_400_000, RestartCause::Operator),
            asked(Question::Look, Answer::Look(Err(ProbeFault::TimedOut))),
        ],
        Outcome::Judged {
            verdict: Verdict::Alive,
            reason: reason("probe-fault", "The runtime could not be asked."),
        },
        "upstream's own answer passed on",
    );
    insta::assert_snapshot!(explained(&alive));
}

#[test]
fn a_busy_workspace_reads_as_one_that_is_left_alone() {
    let busy = decision(
        judge(Trigger::ForwardFailed(ForwardFailure::ClosedEarly), 0, 0),
        vec![
            life(61_500, RestartCause::SettingsChanged),
            asked(Question::Look, Answer::Look(Ok(Sighting::bare(Status::Stopped)))),
            asked(
                Question::NewestBeat,
                Answer::NewestBeat(Ok(Some(Beat { age: Millis(700), this_life: true }))),
            ),
            asked(
                Question::Intervals { limit: 8 },
                Answer::Intervals(Ok(vec![Millis(30_000), Millis(29_900)])),
            ),
        ],
        Outcome::Judged {
            verdict: Verdict::Busy(Millis::from_secs(30)),
            reason: reason(
                "recent-heartbeat",
                "Not running, but a heartbeat of this life is too recent to call it dead.",
            ),
        },
        "queued as 0199a3c2-7c11-7d60-8e55-2b1f4a9c0d13",
    );
    insta::assert_snapshot!(explained(&busy));
}

#[test]
fn a_death_reads_with_how_it_died_and_that_it_was_seen_twice() {
    let sighting = Sighting {
        ended: Some(Millis(2_130)),
        exit_code: Some(137),
        out_of_memory: true,
        health: Some(Health::Unhealthy),
        ..Sighting::bare(Status::Stopped)
    };
    let dead = Decision {
        memory_write: Some(Vec::new()),
        ..decision(
            judge(Trigger::ForwardFailed(ForwardFailure::Refused), 1, 2_004),
            vec![
                asked(
                    Question::CurrentLife,
                    Answer::CurrentLife(Ok(Life { revision_stale: true, ..Life::default() })),
                ),
                asked(Question::Look, Answer::Look(Ok(sighting))),
                asked(
                    Question::NewestBeat,
                    Answer::NewestBeat(Ok(Some(Beat { age: Millis(190_000), this_life: false }))),
                ),
                asked(Question::NewestContact, Answer::NewestContact(Ok(None))),
                asked(
                    Question::Eyesight { since: Millis(30_000), until: Millis::ZERO },
                    Answer::Eyesight(Eyesight { probes: 40, ..Eyesight::default() }),
                ),
                asked(
                    Question::Fleet { within: Millis(5_000) },
                    Answer::Fleet(Fleet { workspaces: 16, suspected: 1, restarting: 0 }),
                ),
            ],
            Outcome::Judged {
                verdict: Verdict::Dead,
                reason: reason("exit-reported", "The runtime reported the same end twice."),
            },
            "marked offline; restart begun as life 4; caller told 503 restarting",
        )
    };
    insta::assert_snapshot!(explained(&dead));
}

#[test]
fn a_policy_that_failed_reads_as_no_verdict_and_no_harm() {
    let fell_back = Decision {
        effect: None,
        ..decision(
            judge(Trigger::Sweep, 0, 0),
            vec![],
            Outcome::FellBack {
                failure: "policy-trapped".into(),
                detail: "wasm trap: unreachable executed".into(),
            },
            "",
        )
    };
    insta::assert_snapshot!(explained(&fell_back));
}

#[test]
fn a_ruling_reads_as_whether_a_restart_may_begin() {
    let ruled = Decision {
        memory_write: Some(b"seen\x01".to_vec()),
        ..decision(
            Call::Admit { cause: RestartCause::DeadVerdict },
            vec![
                asked(
                    Question::Subject,
                    Answer::Subject(Box::new(Subject {
                        id: "research-7".into(),
                        tenant: "acme".into(),
                        kind: "process".into(),
                        labels: vec![("role".into(), "research".into())],
                    })),
                ),
                asked(
                    Question::RestartCount { within: Millis::from_secs(600) },
                    Answer::RestartCount(Ok(5)),
                ),
                asked(
                    Question::Memory,
                    Answer::Memory(Ok(Some(Note { bytes: vec![7; 40], age: Millis(4_000) }))),
                ),
                asked(
                    Question::Intervals { limit: 8 },
                    Answer::Intervals(Err(StoreFault::Unavailable)),
                ),
            ],
            Outcome::Ruled {
                admission: Admission::Defer(Millis::from_secs(10)),
                reason: reason("restart-budget", "Restarted too often within the budget's window."),
            },
            "asked again in 10.4 s",
        )
    };
    insta::assert_snapshot!(explained(&ruled));
}

#[test]
fn a_list_names_every_outcome_and_occasion_in_a_few_words() {
    for (call, label) in [
        (judge(Trigger::Preflight, 0, 0), "preflight"),
        (judge(Trigger::Settling, 2, 9), "settling, look 3"),
        (judge(Trigger::ForwardFailed(ForwardFailure::BadStatus(522)), 0, 0), "forward status 522"),
        (Call::Admit { cause: RestartCause::Wake }, "restart wanted: wake"),
    ] {
        assert_eq!(occasion_label(&call), label);
    }
    let because = || reason("r", "R.");
    for (outcome, label) in [
        (Outcome::Judged { verdict: Verdict::Alive, reason: because() }, "ALIVE"),
        (
            Outcome::Judged { verdict: Verdict::Busy(Millis(30_000)), reason: because() },
            "BUSY 30 s",
        ),
        (Outcome::Ruled { admission: Admission::Drop, reason: because() }, "DROP"),
    ] {
        assert_eq!(verdict(&outcome), label);
    }
}
