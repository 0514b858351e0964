//! What benchmarks share: a failed forward of a workspace that settles, and whether
//! they are meant.

use reprieve_core::{
    evidence::{Answer, Life, ProbeFault, Question},
    judgement::{Attempt, Call, ForwardFailure, Trigger},
    ports::Witness,
    time::{Millis, UnixMillis},
};

pub(crate) const CALL: Call = Call::Judge {
    trigger: Trigger::ForwardFailed(ForwardFailure::Refused),
    attempt: Attempt { number: 0, since_first: Millis::ZERO },
};

/// Inside the settle window. Everything that may be asked is at hand; the default
/// policy asks for the life alone.
pub(crate) struct Settling;

#[async_trait::async_trait]
impl Witness for Settling {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_000_000)
    }

    fn at_hand(&self, question: &Question, _: UnixMillis) -> Option<Answer> {
        match question {
            Question::CurrentLife => {
                let began = Some(Millis(10_000));
                Some(Answer::CurrentLife(Ok(Life { began, ..Life::default() })))
            }
            Question::Look => Some(Answer::Look(Err(ProbeFault::TimedOut))),
            Question::NewestBeat => Some(Answer::NewestBeat(Ok(None))),
            _ => None,
        }
    }

    async fn fetch(&self, question: &Question) -> Answer {
        unreachable!("{question:?} is at hand")
    }
}

/// Whether `cargo xtask bench FILTER` means a benchmark of that name.
#[allow(dead_code, reason = "a benchmark on criterion is filtered by it")]
pub(crate) fn is_wanted(name: &str) -> bool {
    let is_filter = |arg: &String| !arg.starts_with('-') && arg.parse::<u32>().is_err();
    std::env::args().skip(1).find(is_filter).is_none_or(|filter| name.contains(&filter))
}
