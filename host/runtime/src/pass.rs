//! One pass: what a guest call asks and what it is answered.

use std::sync::Arc;

use reprieve_core::{
    evidence::{Answer, Exchange, Eyesight, Fleet, ProbeFault, Question, StoreFault, Subject},
    ports::{Signs, Witness},
    time::UnixMillis,
};

/// A fact that had to be fetched, as it was then.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) question: Question,
    pub(crate) answer: Answer,
    pub(crate) at: UnixMillis,
}

/// The evidence of one guest call, as of one `now`.
pub(crate) struct Pass {
    witness: Arc<dyn Witness>,
    now: UnixMillis,
    fetched: Vec<Fetched>,
    asked: Vec<Exchange>,
    missing: Option<Question>,
    /// The newest placeholder. Boxed: a pass changes hands twice, and seldom has
    /// one.
    instead: Option<Box<Answer>>,
    calls: u32,
    note: Option<Vec<u8>>,
}

/// What a pass leaves behind.
#[derive(Default)]
pub(crate) struct Asked {
    /// The first question whose answer was not at hand. Whatever the guest did
    /// after it rests on a placeholder and means nothing.
    pub(crate) missing: Option<Question>,
    pub(crate) evidence: Vec<Exchange>,
    pub(crate) note: Option<Vec<u8>>,
    /// Handed back for the next pass.
    pub(crate) fetched: Vec<Fetched>,
}

impl Pass {
    pub(crate) fn new(witness: Arc<dyn Witness>, now: UnixMillis, fetched: Vec<Fetched>) -> Self {
        Self {
            witness,
            now,
            fetched,
            asked: Vec::new(),
            missing: None,
            instead: None,
            calls: 0,
            note: None,
        }
    }

    /// Counts a call of the guest; false once there were more than `limit`.
    pub(crate) fn count_call(&mut self, limit: u32) -> bool {
        self.calls += 1;
        self.calls <= limit
    }

    /// The same question has the same answer for the whole pass, whatever
    /// happens outside meanwhile: a pass is one moment.
    pub(crate) fn ask(&mut self, question: Question) -> &Answer {
        let question = bounded(question);
        if let Some(at) = self.asked.iter().position(|asked| asked.question == question) {
            return &self.asked[at].answer;
        }
        let known = if self.missing.is_none() { self.known(&question) } else { None };
        let Some(answer) = known else {
            self.missing.get_or_insert(question);
            return self.instead.insert(Box::new(placeholder(&question)));
        };
        let answer = within(answer, &question);
        &self.asked.push_mut(Exchange { question, answer }).answer
    }

    pub(crate) fn write(&mut self, note: Vec<u8>) {
        self.note = Some(note);
    }

    pub(crate) fn end(self) -> Asked {
        let Self { fetched, asked, missing, note, .. } = self;
        Asked { missing, evidence: asked, note, fetched }
    }

    fn known(&self, question: &Question) -> Option<Answer> {
        if let Some(fetched) = self.fetched.iter().find(|fact| fact.question == *question) {
            return Some(fetched.answer.clone().aged(fetched.at.age(self.now)));
        }
        self.witness.at_hand(question, self.now).filter(|answer| answer.fits(question))
    }
}

/// The contract gives at most so many intervals, so larger limits are the same
/// question.
fn bounded(question: Question) -> Question {
    match question {
        Question::Intervals { limit } => {
            Question::Intervals { limit: limit.min(Signs::MAX_INTERVALS as u32) }
        }
        Question::Subject
        | Question::Look
        | Question::NewestBeat
        | Question::NewestContact
        | Question::CurrentLife
        | Question::RestartCount { .. }
        | Question::Memory
        | Question::Eyesight { .. }
        | Question::Fleet { .. } => question,
    }
}

/// Holds a witness to the bounds of the question.
fn within(mut answer: Answer, question: &Question) -> Answer {
    if let (Answer::Intervals(Ok(intervals)), Question::Intervals { limit }) =
        (&mut answer, question)
    {
        intervals.truncate(*limit as usize);
    }
    answer
}

/// What the fact counts as where it cannot be had: a fault of its own kind.
/// None for those that a host always has at hand.
pub(crate) fn fault(question: &Question) -> Option<Answer> {
    const STORE: StoreFault = StoreFault::Unavailable;
    match question {
        Question::Look => Some(Answer::Look(Err(ProbeFault::TimedOut))),
        Question::NewestBeat => Some(Answer::NewestBeat(Err(STORE))),
        Question::Intervals { .. } => Some(Answer::Intervals(Err(STORE))),
        Question::NewestContact => Some(Answer::NewestContact(Err(STORE))),
        Question::CurrentLife => Some(Answer::CurrentLife(Err(STORE))),
        Question::RestartCount { .. } => Some(Answer::RestartCount(Err(STORE))),
        Question::Memory => Some(Answer::Memory(Err(STORE))),
        Question::Subject | Question::Eyesight { .. } | Question::Fleet { .. } => None,
    }
}

/// Something of the right kind to let the call come to its end.
pub(crate) fn placeholder(question: &Question) -> Answer {
    fault(question).unwrap_or_else(|| match question {
        Question::Eyesight { .. } => Answer::Eyesight(Eyesight::default()),
        Question::Fleet { .. } => Answer::Fleet(Fleet::default()),
        Question::Subject
        | Question::Look
        | Question::NewestBeat
        | Question::Intervals { .. }
        | Question::NewestContact
        | Question::CurrentLife
        | Question::RestartCount { .. }
        | Question::Memory => Answer::Subject(Box::new(Subject {
            id: String::new(),
            tenant: String::new(),
            kind: String::new(),
            labels: Vec::new(),
        })),
    })
}
