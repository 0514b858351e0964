//! What the default policy makes of a look: a fleet of one, silent from the
//! start, judged as the host would judge it.

use std::sync::Arc;

use async_trait::async_trait;
use reprieve_core::{
    decision::Outcome,
    evidence::{Answer, Eyesight, Fleet, Life, ProbeFault, Question, Sighting, Subject},
    judgement::{Attempt, Call, Trigger, Verdict},
    ports::Witness,
    settings::SettingsBook,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Generation, Who};
use reprieve_tests::{PolicyName, generation};

use crate::fixture::{Watch, ws};

/// Looks in one chain, as in the host.
const MAX_LOOKS: u32 = 10;

/// The verdict, the policy's reason for it, and how often it looked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) verdict: &'static str,
    pub(crate) reason: String,
    pub(crate) looks: u32,
}

pub(crate) fn ruling(verdict: &'static str, reason: &str, looks: u32) -> Ruling {
    Ruling { verdict, reason: reason.to_owned(), looks }
}

/// Judges a workspace through the probe, re-probes included.
pub(crate) async fn judge(watch: &Watch, id: &str, trigger: Trigger) -> Ruling {
    let policy = generation(PolicyName::Default, SettingsBook::default());
    let who = Who { tenant: "default".parse().unwrap(), workspace: ws(id) };
    let first = watch.clock.now();
    let mut number = 0;
    loop {
        let attempt = Attempt { number, since_first: first.age(watch.clock.now()) };
        let outcome = decide(&policy, &who, watch, Call::Judge { trigger, attempt }).await;
        number += 1;
        let verdict = outcome.verdict();
        match verdict {
            Verdict::Recheck(wait) if number < MAX_LOOKS => {
                let over = tokio::time::Instant::now() + wait.as_duration();
                tokio::time::sleep_until(over).await;
            }
            Verdict::Recheck(_) | Verdict::Alive | Verdict::Busy(_) | Verdict::Dead => {
                let verdict = word(verdict);
                return Ruling { verdict, reason: reason(&outcome), looks: number };
            }
        }
    }
}

/// The first ruling on what was just seen.
pub(crate) async fn judge_first(watch: &Watch, seen: Sighting, trigger: Trigger) -> Ruling {
    let policy = generation(PolicyName::Default, SettingsBook::default());
    let who = Who { tenant: "default".parse().unwrap(), workspace: ws("ws") };
    let attempt = Attempt { number: 0, since_first: Millis::ZERO };
    let call = Call::Judge { trigger, attempt };
    let outcome = decide_on(&policy, &who, watch, Ok(seen), call).await;
    Ruling { verdict: word(outcome.verdict()), reason: reason(&outcome), looks: 1 }
}

async fn decide(policy: &Generation, who: &Who, watch: &Watch, call: Call) -> Outcome {
    let seen = watch.look(who.workspace.as_str()).await.map(|look| look.sighting);
    decide_on(policy, who, watch, seen, call).await
}

async fn decide_on(
    policy: &Generation,
    who: &Who,
    watch: &Watch,
    seen: Result<Sighting, ProbeFault>,
    call: Call,
) -> Outcome {
    let witness: Arc<dyn Witness> = Arc::new(OneLook { now: watch.clock.now(), seen });
    policy.decide(call, who, &witness).await.outcome
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Alive => "alive",
        Verdict::Busy(_) => "busy",
        Verdict::Dead => "dead",
        Verdict::Recheck(_) => "recheck",
    }
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Judged { reason, .. } | Outcome::Ruled { reason, .. } => reason.code.clone(),
        Outcome::FellBack { failure, detail } => panic!("the policy failed: {failure}: {detail}"),
    }
}

/// Knows the look, and that nothing else is known.
struct OneLook {
    now: UnixMillis,
    seen: Result<Sighting, ProbeFault>,
}

#[async_trait]
impl Witness for OneLook {
    fn now(&self) -> UnixMillis {
        self.now
    }

    fn at_hand(&self, question: &Question, _: UnixMillis) -> Option<Answer> {
        Some(match question {
            Question::Subject => Answer::Subject(Box::new(Subject {
                id: "ws".to_owned(),
                tenant: "default".to_owned(),
                kind: "docker".to_owned(),
                labels: vec![],
            })),
            Question::Look => Answer::Look(self.seen),
            Question::NewestBeat => Answer::NewestBeat(Ok(None)),
            Question::Intervals { .. } => Answer::Intervals(Ok(vec![])),
            Question::NewestContact => Answer::NewestContact(Ok(None)),
            Question::CurrentLife => Answer::CurrentLife(Ok(Life::default())),
            Question::RestartCount { .. } => Answer::RestartCount(Ok(0)),
            Question::Memory => Answer::Memory(Ok(None)),
            Question::Eyesight { .. } => Answer::Eyesight(Eyesight::default()),
            Question::Fleet { .. } => Answer::Fleet(Fleet { workspaces: 1, ..Fleet::default() }),
        })
    }

    async fn fetch(&self, question: &Question) -> Answer {
        unreachable!("{question:?} is at hand")
    }
}
