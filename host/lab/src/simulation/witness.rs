//! Answers what a policy asks about one workspace, from what the host has at hand.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use reprieve_core::{
    evidence::{Answer, Note, ProbeFault, Question, StoreFault, Subject},
    ids::LifeId,
    ports::{RestartHistory, Signs, Witness},
    supervision,
    time::UnixMillis,
};
use reprieve_runtime::Who;

use super::host::Surroundings;

/// The facts of one moment.
pub(super) struct Facts {
    pub(super) now: UnixMillis,
    pub(super) who: Who,
    pub(super) subject: Subject,
    /// None where the stores fail: it has to be fetched, and cannot be.
    pub(super) stored: Option<Stored>,
    pub(super) surroundings: Arc<Mutex<Surroundings>>,
}

/// What the stores keep, and the restart machine knows.
pub(super) struct Stored {
    pub(super) life: LifeId,
    pub(super) signs: Signs,
    pub(super) history: RestartHistory,
    pub(super) in_flight: bool,
    pub(super) revision_stale: bool,
    pub(super) note: Option<Note>,
}

#[async_trait]
impl Witness for Facts {
    fn now(&self) -> UnixMillis {
        self.now
    }

    fn at_hand(&self, question: &Question, now: UnixMillis) -> Option<Answer> {
        match *question {
            Question::Look => None,
            Question::Subject => Some(Answer::Subject(Box::new(self.subject.clone()))),
            Question::Eyesight { since, until } => {
                Some(Answer::Eyesight(self.surroundings.lock().eyes.between(since, until, now)))
            }
            Question::Fleet { within } => {
                let mut surroundings = self.surroundings.lock();
                let gauge = surroundings.fleet(&self.who.tenant);
                Some(Answer::Fleet(gauge.fleet(&self.who.workspace, within, now)))
            }
            Question::NewestBeat | Question::NewestContact | Question::Intervals { .. } => {
                let stored = self.stored.as_ref()?;
                Some(supervision::told_by_signs(question, &stored.signs, stored.life, now))
            }
            Question::CurrentLife | Question::RestartCount { .. } => {
                let Stored { history, in_flight, revision_stale, .. } = self.stored.as_ref()?;
                let told = supervision::told_by_history;
                Some(told(question, history, *in_flight, *revision_stale, now))
            }
            Question::Memory => Some(Answer::Memory(Ok(self.stored.as_ref()?.note.clone()))),
        }
    }

    /// Never asked: the simulator fetches on virtual time.
    async fn fetch(&self, question: &Question) -> Answer {
        unavailable(question)
    }
}

/// What a fact counts as that cannot be had.
pub(super) fn unavailable(question: &Question) -> Answer {
    const STORE: StoreFault = StoreFault::Unavailable;
    match question {
        Question::NewestBeat => Answer::NewestBeat(Err(STORE)),
        Question::Intervals { .. } => Answer::Intervals(Err(STORE)),
        Question::NewestContact => Answer::NewestContact(Err(STORE)),
        Question::CurrentLife => Answer::CurrentLife(Err(STORE)),
        Question::RestartCount { .. } => Answer::RestartCount(Err(STORE)),
        Question::Memory => Answer::Memory(Err(STORE)),
        Question::Look | Question::Subject | Question::Eyesight { .. } | Question::Fleet { .. } => {
            Answer::Look(Err(ProbeFault::TimedOut))
        }
    }
}
