//! A row's evidence as a witness that has all of it at hand.

use reprieve_core::{
    evidence::{
        Answer, Beat, Eyesight, Fleet, Life, Note, ProbeFault, Question, Sighting, Status,
        StoreFault, Subject,
    },
    ports::Witness,
    time::{Millis, UnixMillis},
};
use serde::Deserialize;

use crate::Who;

/// A question without its arguments, as rows name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    Subject,
    Look,
    NewestBeat,
    Intervals,
    NewestContact,
    CurrentLife,
    RestartCount,
    Memory,
    Eyesight,
    Fleet,
}

/// What a row tells. Absent answers are those of a healthy workspace.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) who: Who,
    pub(super) answers: Answers,
    pub(super) windows: Vec<Window>,
    pub(super) never_asked: Vec<QuestionKind>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    pub(super) look: Option<Result<Sighting, ProbeFault>>,
    pub(super) newest_beat: Option<Result<Beat, StoreFault>>,
    pub(super) newest_contact: Option<Result<Beat, StoreFault>>,
    pub(super) intervals: Option<Result<Vec<Millis>, StoreFault>>,
    pub(super) current_life: Option<Result<Life, StoreFault>>,
    pub(super) restart_count: Option<Result<u32, StoreFault>>,
    pub(super) memory: Option<Result<Note, StoreFault>>,
    pub(super) eyesight: Option<Eyesight>,
    pub(super) fleet: Option<Fleet>,
}

/// Eyesight within one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) since: Millis,
    pub(super) until: Millis,
    pub(super) seen: Eyesight,
}

impl Told {
    fn answer(&self, question: &Question) -> Answer {
        let told = self.answers.clone();
        match question {
            Question::Subject => Answer::Subject(Box::new(Subject {
                id: self.who.workspace.to_string(),
                tenant: self.who.tenant.to_string(),
                kind: "process".to_owned(),
                labels: Vec::new(),
            })),
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
            Question::Memory => Answer::Memory(told.memory.transpose()),
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
impl Witness for Told {
    /// The ages of a row are as of its judgement, so no time passes.
    fn now(&self) -> UnixMillis {
        UnixMillis::default()
    }

    fn at_hand(&self, question: &Question, _now: UnixMillis) -> Option<Answer> {
        (!self.never_asked.contains(&QuestionKind::of(question))).then(|| self.answer(question))
    }

    async fn fetch(&self, question: &Question) -> Answer {
        self.answer(question)
    }
}

impl QuestionKind {
    pub const fn of(question: &Question) -> Self {
        match question {
            Question::Subject => Self::Subject,
            Question::Look => Self::Look,
            Question::NewestBeat => Self::NewestBeat,
            Question::Intervals { .. } => Self::Intervals,
            Question::NewestContact => Self::NewestContact,
            Question::CurrentLife => Self::CurrentLife,
            Question::RestartCount { .. } => Self::RestartCount,
            Question::Memory => Self::Memory,
            Question::Eyesight { .. } => Self::Eyesight,
            Question::Fleet { .. } => Self::Fleet,
        }
    }

    /// As rows write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Look => "look",
            Self::NewestBeat => "newest_beat",
            Self::Intervals => "intervals",
            Self::NewestContact => "newest_contact",
            Self::CurrentLife => "current_life",
            Self::RestartCount => "restart_count",
            Self::Memory => "memory",
            Self::Eyesight => "eyesight",
            Self::Fleet => "fleet",
        }
    }
}
