//! What the runtime's tests share: one engine, and a witness whose facts are
//! known and whose slowness is chosen.

#![allow(dead_code)]

pub(crate) mod any;
pub(crate) mod table;

use std::sync::{Arc, LazyLock};

use reprieve_core::{
    evidence::{
        Answer, Beat, Exchange, Eyesight, Fleet, Life, Note, Question, Sighting, Status, Subject,
    },
    judgement::{Attempt, Call, ForwardFailure, Trigger},
    ports::Witness,
    settings::{Settings, SettingsBook},
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{
    Engine, EngineOptions, Generation, GenerationRefused, Limits, Owners, Policy, Who,
};
use serde_json::{Value, json};
use tokio::time::Instant;

pub(crate) const DEFAULT: &[u8] = include_bytes!("../../../../policies/default.wasm");
pub(crate) const UNRULY: &[u8] = include_bytes!("../../../../policies/unruly.wasm");

pub(crate) static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineOptions::default()).expect("an engine"));

static UNRULY_POLICY: LazyLock<Arc<Policy>> =
    LazyLock::new(|| ENGINE.load(UNRULY, Limits::default()).expect("the unruly policy"));
static DEFAULT_POLICY: LazyLock<Arc<Policy>> =
    LazyLock::new(|| ENGINE.load(DEFAULT, Limits::default()).expect("the default policy"));

/// The unruly policy, told to do that to everybody.
pub(crate) fn unruly(deed: &str) -> Generation {
    told(&UNRULY_POLICY, deed).unwrap_or_else(|refused| panic!("{deed}: {refused:?}"))
}

pub(crate) fn told(policy: &Arc<Policy>, deed: &str) -> Result<Generation, GenerationRefused> {
    let fleet = settings(json!({"do": deed})).into();
    let book = SettingsBook { fleet, ..SettingsBook::default() };
    Generation::new(1, Arc::clone(policy), book, &Owners::new())
}

/// The default policy with its defaults.
pub(crate) fn default() -> Generation {
    let policy = Arc::clone(&DEFAULT_POLICY);
    Generation::new(1, policy, SettingsBook::default(), &Owners::new()).expect("a generation")
}

pub(crate) fn settings(value: Value) -> Settings {
    let Value::Object(settings) = value else { panic!("{value} is no object") };
    settings
}

pub(crate) fn who() -> Who {
    Who { tenant: "acme".parse().expect("a name"), workspace: "ws-1".parse().expect("a name") }
}

/// A refused forward, looked at for the first time.
pub(crate) const REFUSED: Call = Call::Judge {
    trigger: Trigger::ForwardFailed(ForwardFailure::Refused),
    attempt: Attempt { number: 0, since_first: Millis::ZERO },
};

/// Facts as of the moment it was made, told later with their ages grown.
#[derive(Clone)]
pub(crate) struct Scene {
    began: Instant,
    pub(crate) facts: Vec<Exchange>,
    /// Of the facts: whether each is at hand or must be fetched.
    pub(crate) at_hand: fn(&Scene, &Question) -> bool,
    pub(crate) mask: u32,
    /// How long a fetch takes.
    pub(crate) latency: Millis,
}

impl Scene {
    pub(crate) fn new(facts: Vec<Exchange>) -> Self {
        Self { began: Instant::now(), facts, at_hand: |_, _| true, mask: 0, latency: Millis::ZERO }
    }

    /// Only what no host has to fetch is at hand.
    pub(crate) fn slow(mut self, latency: Millis) -> Self {
        self.at_hand = |_, question| !may_be_fetched(question);
        self.latency = latency;
        self
    }

    /// The facts whose bit in `mask` is set must be fetched, if a host may have
    /// to fetch them at all.
    pub(crate) fn partly_slow(mut self, mask: u32, latency: Millis) -> Self {
        self.at_hand = |scene, question| {
            let nth = scene.facts.iter().position(|fact| fact.question == *question);
            !may_be_fetched(question) || nth.is_none_or(|nth| scene.mask >> nth & 1 == 0)
        };
        self.mask = mask;
        self.latency = latency;
        self
    }

    pub(crate) fn share(self) -> Arc<dyn Witness> {
        Arc::new(self)
    }

    fn told(&self, question: &Question, now: UnixMillis) -> Option<Answer> {
        let fact = self.facts.iter().find(|fact| fact.question == *question)?;
        Some(fact.answer.clone().aged(UnixMillis::default().age(now)))
    }
}

pub(crate) const fn may_be_fetched(question: &Question) -> bool {
    !matches!(question, Question::Subject | Question::Eyesight { .. } | Question::Fleet { .. })
}

#[async_trait::async_trait]
impl Witness for Scene {
    fn now(&self) -> UnixMillis {
        UnixMillis(u64::try_from(self.began.elapsed().as_millis()).expect("a short test"))
    }

    fn at_hand(&self, question: &Question, now: UnixMillis) -> Option<Answer> {
        if (self.at_hand)(self, question) { self.told(question, now) } else { None }
    }

    async fn fetch(&self, question: &Question) -> Answer {
        if self.latency > Millis::ZERO {
            tokio::time::advance(self.latency.as_duration()).await;
        }
        self.told(question, self.now()).expect("every question has an answer")
    }
}

/// Everything that the unruly policy may ask, answered.
pub(crate) fn facts() -> Vec<Exchange> {
    let exchange = |question, answer| Exchange { question, answer };
    let beat = |age| Some(Beat { age: Millis(age), this_life: true });
    let (since, until) = (Millis(30_000), Millis(1_000));
    vec![
        exchange(Question::Subject, Answer::Subject(Box::new(subject()))),
        exchange(Question::Look, Answer::Look(Ok(Sighting::bare(Status::Running)))),
        exchange(Question::NewestBeat, Answer::NewestBeat(Ok(beat(7_000)))),
        exchange(Question::NewestContact, Answer::NewestContact(Ok(beat(900)))),
        exchange(
            Question::Intervals { limit: 5 },
            Answer::Intervals(Ok([30_100, 29_900].map(Millis).into())),
        ),
        exchange(
            Question::CurrentLife,
            Answer::CurrentLife(Ok(Life { began: Some(Millis(400_000)), ..Life::default() })),
        ),
        exchange(Question::RestartCount { within: Millis(600_000) }, Answer::RestartCount(Ok(2))),
        exchange(
            Question::Memory,
            Answer::Memory(Ok(Some(Note { bytes: b"seen".to_vec(), age: Millis(50) }))),
        ),
        exchange(Question::Eyesight { since, until }, Answer::Eyesight(Eyesight::default())),
        exchange(
            Question::Fleet { within: Millis(5_000) },
            Answer::Fleet(Fleet { workspaces: 16, suspected: 3, restarting: 1 }),
        ),
    ]
}

pub(crate) fn subject() -> Subject {
    Subject {
        id: "ws-1".to_owned(),
        tenant: "acme".to_owned(),
        kind: "process".to_owned(),
        labels: vec![("team".to_owned(), "blue".to_owned())],
    }
}
