//! Runs decisions on record again, from their evidence, with the code that judges.
//!
//! - [`archive`]: the generations that decided, rebuilt from their digests
//! - [`lines`]: decisions as `reprieve decisions --json` prints them
//! - [`report`]: what came of it, counted
//!
//! Memory is bounded however long the log is: decisions are read one at a time, and
//! every table has a limit.

mod archive;
mod lines;
mod report;

use std::sync::Arc;

use reprieve_core::decision::{Decision, Outcome};
use reprieve_runtime::{Decided, Generation, Who, replay};

pub use self::{
    archive::{Archive, Source, Unknown},
    lines::{BadLine, MAX_LINE_BYTES, read_line},
    report::{Changed, Counts, MAX_KEPT, MAX_ROWS, OTHERS, Report, Row},
};

/// By whom decisions are run again.
#[derive(Debug)]
pub enum By {
    /// By the very generation that decided: every difference is an error.
    Same(Archive),
    /// By another policy, or other settings: what would change?
    Candidate(Arc<Generation>),
}

/// What came of one decision that was run again.
#[derive(Clone, Debug, PartialEq)]
pub enum Again {
    Same,
    /// Another verdict, admission, reason or note.
    Differs(Box<Decided>),
    /// It had fallen back: no policy's answer is on record.
    HadFallenBack,
    /// The candidate asks for what nobody was asked for then.
    Missing(Box<Decided>),
    /// The candidate gave no answer.
    FailsNow(Box<Decided>),
    /// What decided cannot be had.
    Unknown(Unknown),
}

/// The failure of a policy that asks for what is not on record.
pub(crate) const NOT_ON_RECORD: &str = "fact-not-on-record";

impl By {
    pub fn run(&mut self, decision: &Decision) -> Again {
        if matches!(decision.outcome, Outcome::FellBack { .. }) {
            return Again::HadFallenBack;
        }
        let who = Who { tenant: decision.tenant.clone(), workspace: decision.workspace.clone() };
        let decided = match self {
            Self::Same(archive) => match archive.generation(&decision.generation, &who) {
                Ok(generation) => replay(generation, decision.call, &who, &decision.evidence),
                Err(unknown) => return Again::Unknown(unknown),
            },
            Self::Candidate(candidate) => {
                replay(candidate, decision.call, &who, &decision.evidence)
            }
        };
        let is_same =
            decided.outcome == decision.outcome && decided.memory_write == decision.memory_write;
        match (&decided.outcome, &*self) {
            _ if is_same => Again::Same,
            (Outcome::FellBack { failure, .. }, Self::Candidate(_)) => {
                if failure == NOT_ON_RECORD {
                    Again::Missing(Box::new(decided))
                } else {
                    Again::FailsNow(Box::new(decided))
                }
            }
            (_, Self::Candidate(_)) if is_alike(decision, &decided) => Again::Same,
            (_, Self::Candidate(_) | Self::Same(_)) => Again::Differs(Box::new(decided)),
        }
    }
}

/// Two policies may mean the same by a reason and say it in other words.
fn is_alike(decision: &Decision, again: &Decided) -> bool {
    decision.outcome.reason_code() == again.outcome.reason_code()
        && match (&decision.outcome, &again.outcome) {
            (Outcome::Judged { verdict, .. }, Outcome::Judged { verdict: other, .. }) => {
                verdict == other
            }
            (Outcome::Ruled { admission, .. }, Outcome::Ruled { admission: other, .. }) => {
                admission == other
            }
            (Outcome::Judged { .. } | Outcome::Ruled { .. } | Outcome::FellBack { .. }, _) => false,
        }
        && decision.memory_write == again.memory_write
}
