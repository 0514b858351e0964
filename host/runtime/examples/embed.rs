//! A host in one file: load a policy, ask it about a workspace, believe it.
//!
//! `cargo run -p reprieve-runtime --example embed [policies/default.wasm]`

#![allow(clippy::print_stdout)]

use std::sync::Arc;

use anyhow::{Context as _, Result};
use reprieve_core::{
    evidence::{Answer, Eyesight, Fleet, Life, Question, Sighting, Status, Subject},
    judgement::{Attempt, Call, ForwardFailure, Trigger, Verdict},
    ports::Witness,
    settings::SettingsBook,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Engine, EngineOptions, Generation, Limits, Owners, Who};

/// What your proxy knows about one workspace. This one has stopped, and nobody
/// ever heard from it.
struct MyWitness {
    began: tokio::time::Instant,
}

#[async_trait::async_trait]
impl Witness for MyWitness {
    /// Any clock that never runs backwards.
    fn now(&self) -> UnixMillis {
        UnixMillis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// What is in memory: told at once.
    fn at_hand(&self, question: &Question, _now: UnixMillis) -> Option<Answer> {
        match question {
            Question::Subject => Some(Answer::Subject(Box::new(Subject {
                id: "ws-1".to_owned(),
                tenant: "acme".to_owned(),
                kind: "process".to_owned(),
                labels: Vec::new(),
            }))),
            // Only a probe can tell: fetched, and only if the policy asks.
            Question::Look => None,
            Question::NewestBeat => Some(Answer::NewestBeat(Ok(None))),
            Question::Intervals { .. } => Some(Answer::Intervals(Ok(Vec::new()))),
            Question::NewestContact => Some(Answer::NewestContact(Ok(None))),
            Question::CurrentLife => Some(Answer::CurrentLife(Ok(Life::default()))),
            Question::RestartCount { .. } => Some(Answer::RestartCount(Ok(0))),
            Question::Memory => Some(Answer::Memory(Ok(None))),
            Question::Eyesight { .. } => Some(Answer::Eyesight(Eyesight::default())),
            Question::Fleet { .. } => Some(Answer::Fleet(Fleet::default())),
        }
    }

    /// What must be asked of the world. Here you would call your runtime.
    async fn fetch(&self, _question: &Question) -> Answer {
        Answer::Look(Ok(Sighting::bare(Status::Stopped)))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "policies/default.wasm".to_owned());
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {path}"))?;

    // Once per process: the engine. Once per policy: load it. Both say in one
    // sentence what is wrong, if something is.
    let engine = Engine::new(EngineOptions::default())?;
    let policy = engine.load(&bytes, Limits::default())?;
    println!("{}: {}", policy.label(), policy.description().summary);

    // Once per change of settings: a generation. It never changes; swap it
    // whole with `Current`.
    let generation = Generation::new(1, policy, SettingsBook::default(), &Owners::new())?;

    // Once per failed forward: ask. `decide` never fails and never blocks.
    let who = Who { tenant: "acme".parse()?, workspace: "ws-1".parse()? };
    let witness: Arc<dyn Witness> = Arc::new(MyWitness { began: tokio::time::Instant::now() });
    let trigger = Trigger::ForwardFailed(ForwardFailure::Refused);
    let began = tokio::time::Instant::now();
    for number in 0..10 {
        let since_first = Millis(u64::try_from(began.elapsed().as_millis())?);
        let call = Call::Judge { trigger, attempt: Attempt { number, since_first } };
        let decided = generation.decide(call, &who, &witness).await;

        println!(
            "look {number}: {:?}, {}",
            decided.outcome.verdict(),
            decided.outcome.reason_code()
        );
        match decided.outcome.verdict() {
            // Nothing is decided yet: look again when the policy says so.
            Verdict::Recheck(after) => {
                tokio::time::sleep(after.as_duration()).await;
                continue;
            }
            Verdict::Alive => println!("it lives: answer with the upstream's error"),
            Verdict::Busy(after) => println!("queue the request, ask again after {after}"),
            Verdict::Dead => println!("put `Call::Admit`, and if admitted, restart it"),
        }
        break;
    }
    Ok(())
}
