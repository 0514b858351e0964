//! The default policy's table of judgements, through the built component: it
//! must say what the rules say natively, with all evidence at hand and with all
//! of it fetched.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use reprieve_core::{
    decision::Outcome,
    evidence::{
        Answer, Beat, Eyesight, Fleet, Life, ProbeFault, Question, Sighting, Status, StoreFault,
    },
    judgement::{Admission, Attempt, Call, RestartCause, Trigger, Verdict},
    ports::Witness,
    settings::{Settings, SettingsBook},
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Generation, Limits, Owners, replay};
use serde::Deserialize;
use support::{DEFAULT, ENGINE, may_be_fetched, subject, who};

const TABLE: &str = include_str!("../../../policy/tests/judgements.toml");

#[derive(Deserialize)]
struct Table {
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    settings: Settings,
    trigger: Option<Trigger>,
    #[serde(default)]
    attempt: Attempt,
    cause: Option<RestartCause>,
    #[serde(default)]
    evidence: Told,
    #[serde(default)]
    eyesight_windows: Vec<Window>,
    #[serde(default)]
    never_asked: Vec<String>,
    verdict: Option<Verdict>,
    admission: Option<Admission>,
    reason: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Told {
    look: Option<Result<Sighting, ProbeFault>>,
    newest_beat: Option<Result<Beat, StoreFault>>,
    newest_contact: Option<Result<Beat, StoreFault>>,
    intervals: Option<Result<Vec<Millis>, StoreFault>>,
    current_life: Option<Result<Life, StoreFault>>,
    restart_count: Option<Result<u32, StoreFault>>,
    eyesight: Option<Eyesight>,
    fleet: Option<Fleet>,
}

#[derive(Clone, Copy, Deserialize)]
struct Window {
    since: Millis,
    until: Millis,
    #[serde(flatten)]
    seen: Eyesight,
}

/// A row's evidence. Absent answers are those of a healthy workspace.
#[derive(Clone)]
struct Scene {
    told: Told,
    windows: Vec<Window>,
    slow: bool,
}

impl Scene {
    fn answer(&self, question: &Question) -> Answer {
        let told = self.told.clone();
        match question {
            Question::Subject => Answer::Subject(Box::new(subject())),
            Question::Look => {
                Answer::Look(told.look.unwrap_or(Ok(Sighting::bare(Status::Running))))
            }
            Question::NewestBeat => Answer::NewestBeat(told.newest_beat.transpose()),
            Question::NewestContact => Answer::NewestContact(told.newest_contact.transpose()),
            Question::Intervals { .. } => {
                Answer::Intervals(told.intervals.unwrap_or(Ok(Vec::new())))
            }
            Question::CurrentLife => {
                Answer::CurrentLife(told.current_life.unwrap_or(Ok(Life::default())))
            }
            Question::RestartCount { .. } => {
                Answer::RestartCount(told.restart_count.unwrap_or(Ok(0)))
            }
            Question::Memory => Answer::Memory(Ok(None)),
            Question::Eyesight { since, until } => {
                let window = self.windows.iter().find(|w| (w.since, w.until) == (*since, *until));
                let seen = window.map_or(told.eyesight.unwrap_or_default(), |window| window.seen);
                Answer::Eyesight(seen)
            }
            Question::Fleet { .. } => {
                let alone = Fleet { workspaces: 1, ..Fleet::default() };
                Answer::Fleet(told.fleet.unwrap_or(alone))
            }
        }
    }
}

#[async_trait::async_trait]
impl Witness for Scene {
    fn now(&self) -> UnixMillis {
        UnixMillis::default()
    }

    fn at_hand(&self, question: &Question, _: UnixMillis) -> Option<Answer> {
        (!self.slow || !may_be_fetched(question)).then(|| self.answer(question))
    }

    async fn fetch(&self, question: &Question) -> Answer {
        self.answer(question)
    }
}

fn expected(row: &Row) -> String {
    match (row.verdict, row.admission) {
        (Some(verdict), None) => format!("{verdict:?}, {}", row.reason),
        (None, Some(admission)) => format!("{admission:?}, {}", row.reason),
        both => panic!("{}: one of verdict and admission, not {both:?}", row.name),
    }
}

fn got(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Judged { verdict, reason } => format!("{verdict:?}, {}", reason.code),
        Outcome::Ruled { admission, reason } => format!("{admission:?}, {}", reason.code),
        Outcome::FellBack { failure, detail } => format!("fell back: {failure}: {detail}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_component_rules_every_row_as_the_native_rules_do() {
    let policy = ENGINE.load(DEFAULT, Limits::default()).expect("the default policy");
    let table: Table = toml::from_str(TABLE).expect("judgements.toml can be read");
    let mut wrong = BTreeMap::new();
    for row in &table.row {
        let book = SettingsBook { fleet: row.settings.clone().into(), ..SettingsBook::default() };
        let generation = Generation::new(1, Arc::clone(&policy), book, &Owners::new());
        let generation = generation.unwrap_or_else(|error| panic!("{}: {error:?}", row.name));
        let call = match (row.trigger, row.cause) {
            (Some(trigger), None) => Call::Judge { trigger, attempt: row.attempt },
            (None, Some(cause)) => Call::Admit { cause },
            both => panic!("{}: one of trigger and cause, not {both:?}", row.name),
        };
        for slow in [false, true] {
            let (told, windows) = (row.evidence.clone(), row.eyesight_windows.clone());
            let witness: Arc<dyn Witness> = Arc::new(Scene { told, windows, slow });
            let decided = generation.decide(call, &who(), &witness).await;
            if got(&decided.outcome) != expected(row) {
                wrong.insert((&row.name, slow), (expected(row), got(&decided.outcome)));
            }
            let looked = decided.evidence.iter().any(|fact| fact.question == Question::Look);
            assert!(!looked || row.never_asked.is_empty(), "{}: it looked", row.name);
            let again = replay(&generation, decided.call, &who(), &decided.evidence);
            assert_eq!(again.outcome, decided.outcome, "{}: replayed", row.name);
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ: {wrong:#?}", wrong.len(), table.row.len() * 2);
}
