//! One engine, a neighbour that must not notice anything, and a witness.

use std::{
    error::Error,
    sync::{Arc, LazyLock},
};

use reprieve_core::{
    evidence::{Answer, Beat, Eyesight, Fleet, Life, Question, Sighting, Status, Subject},
    judgement::{Attempt, Call, ForwardFailure, Trigger, Verdict},
    ports::Witness,
    settings::{Settings, SettingsBook},
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{
    Decided, Engine, EngineOptions, Generation, Limits, Owners, Policy, Terms, Who,
};

const DEFAULT: &[u8] = include_bytes!("../../policies/default.wasm");

pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(engine);

/// The default policy, in the same engine as what means harm.
static NEIGHBOUR: LazyLock<Generation> = LazyLock::new(|| {
    let policy = ENGINE.load(DEFAULT, Limits::default()).expect("the default policy");
    generation(&policy, Settings::new())
});

pub(crate) fn engine() -> Engine {
    Engine::new(EngineOptions::default()).expect("an engine")
}

pub(crate) fn generation(policy: &Arc<Policy>, fleet: Settings) -> Generation {
    let book = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
    Generation::new(1, Arc::clone(policy), book, &Owners::new()).expect("a generation")
}

pub(crate) fn load(bytes: &[u8]) -> Arc<Policy> {
    load_with(bytes, Terms::default())
}

pub(crate) fn load_with(bytes: &[u8], terms: Terms) -> Arc<Policy> {
    ENGINE.load(bytes, terms).unwrap_or_else(|refused| panic!("{}", whole(&refused)))
}

pub(crate) fn who() -> Who {
    Who { tenant: "acme".parse().expect("a name"), workspace: "ws-1".parse().expect("a name") }
}

pub(crate) const REFUSED: Call = Call::Judge {
    trigger: Trigger::ForwardFailed(ForwardFailure::Refused),
    attempt: Attempt { number: 0, since_first: Millis::ZERO },
};

/// Knows a workspace that has stopped and never gave a sign. Everything is at
/// hand but what `slow` names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) slow: fn(&Question) -> bool,
    pub(crate) now: UnixMillis,
}

impl Default for World {
    fn default() -> Self {
        Self { slow: |_| false, now: UnixMillis(1_000_000) }
    }
}

impl World {
    pub(crate) fn share(self) -> Arc<dyn Witness> {
        Arc::new(self)
    }

    fn answer(question: &Question) -> Answer {
        match question {
            Question::Subject => Answer::Subject(Box::new(Subject {
                id: "ws-1".to_owned(),
                tenant: "acme".to_owned(),
                kind: "process".to_owned(),
                labels: Vec::new(),
            })),
            Question::Look => Answer::Look(Ok(Sighting::bare(Status::Stopped))),
            Question::NewestBeat => {
                Answer::NewestBeat(Ok(Some(Beat { age: Millis(90_000), this_life: true })))
            }
            Question::Intervals { .. } => Answer::Intervals(Ok(Vec::new())),
            Question::NewestContact => Answer::NewestContact(Ok(None)),
            Question::CurrentLife => Answer::CurrentLife(Ok(Life::default())),
            Question::RestartCount { .. } => Answer::RestartCount(Ok(0)),
            Question::Memory => Answer::Memory(Ok(None)),
            Question::Eyesight { .. } => Answer::Eyesight(Eyesight::default()),
            Question::Fleet { .. } => Answer::Fleet(Fleet { workspaces: 1, ..Fleet::default() }),
        }
    }
}

#[async_trait::async_trait]
impl Witness for World {
    fn now(&self) -> UnixMillis {
        self.now
    }

    fn at_hand(&self, question: &Question, _: UnixMillis) -> Option<Answer> {
        (!(self.slow)(question)).then(|| Self::answer(question))
    }

    async fn fetch(&self, question: &Question) -> Answer {
        Self::answer(question)
    }
}

pub(crate) async fn judge(generation: &Generation) -> Decided {
    generation.decide(REFUSED, &who(), &World::default().share()).await
}

/// The neighbour judges as ever: not running, seen for the first time.
pub(crate) async fn neighbour_is_well(case: &str) {
    let decided = judge(&NEIGHBOUR).await;
    let verdict = decided.outcome.verdict();
    assert_eq!(verdict, Verdict::Recheck(Millis(2_000)), "after {case}: {:?}", decided.outcome);
}

/// An error and its causes, as the command line prints them.
pub(crate) fn whole(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", whole(cause)),
        None => error.to_string(),
    }
}
