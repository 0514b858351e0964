//! A decision whose facts its caller fetches, in a time of its own: a simulator's.

use std::{sync::Arc, time::Duration};

use reprieve_core::{
    evidence::{Answer, Question},
    judgement::Call,
    ports::Witness,
    time::UnixMillis,
};

use super::{Decided, Inquiry, Step};
use crate::{
    Generation, PolicyFailure, Who,
    pass::{self, Fetched},
};

/// A decision under way that holds neither a thread nor a task while its facts are
/// fetched: what [`Generation::decide`] does, step by step.
///
/// The deadlines are the caller's to hold, since only he knows what time it is: a
/// fact that he cannot have within
/// [`fact_deadline`](crate::Limits::fact_deadline) is answered with a fault.
#[derive(Clone, Debug)]
pub struct Deliberation {
    call: Call,
    asked_at: UnixMillis,
    fetched: Vec<Fetched>,
    passes: u32,
    guest: Duration,
}

/// What a decision comes to for now.
#[derive(Clone, Debug)]
pub enum Next {
    /// This is to be fetched and handed over with [`Deliberation::fetched`]; then
    /// comes the next step.
    Fetch(Question),
    Decided(Box<Decided>),
}

impl Deliberation {
    pub const fn begin(call: Call, now: UnixMillis) -> Self {
        Self { call, asked_at: now, fetched: Vec::new(), passes: 0, guest: Duration::ZERO }
    }

    /// One pass, as of the witness's now. `generation` must be the one that it
    /// began with.
    pub fn step(&mut self, generation: &Generation, who: &Who, witness: &Arc<dyn Witness>) -> Next {
        let mut inquiry = match Inquiry::new(generation, self.call, who, witness) {
            Ok(inquiry) => inquiry,
            Err(unchecked) => return Next::Decided(unchecked),
        };
        inquiry.asked_at = self.asked_at;
        inquiry.passes = self.passes;
        inquiry.guest = self.guest;
        inquiry.fetched = std::mem::take(&mut self.fetched);
        let outside = generation.policy().outside().lock();
        let step = inquiry.pass();
        drop(outside);
        let limit = generation.policy().limits().passes.max(1);
        let ended = match step {
            Step::Ended(ended) => ended,
            Step::Missing(question) if pass::fault(&question).is_none() => {
                Err(PolicyFailure::FactNotAtHand { question })
            }
            Step::Missing(_) if inquiry.passes >= limit => {
                Err(PolicyFailure::PassesExhausted { limit })
            }
            Step::Missing(question) => {
                (self.passes, self.guest) = (inquiry.passes, inquiry.guest);
                self.fetched = inquiry.fetched;
                return Next::Fetch(question);
            }
        };
        Next::Decided(Box::new(inquiry.end(ended)))
    }

    /// What was asked for was fetched. An answer to another question counts as a
    /// fault.
    pub fn fetched(&mut self, question: Question, answer: Answer, at: UnixMillis) {
        let answer = if answer.fits(&question) {
            answer
        } else {
            pass::fault(&question).unwrap_or_else(|| pass::placeholder(&question))
        };
        self.fetched.push(Fetched { question, answer, at });
    }
}
