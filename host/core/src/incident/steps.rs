//! What the restart machine wants done.

use crate::{
    ids::{LifeId, Revision},
    judgement::RestartCause,
    ports::NotBegun,
    time::UnixMillis,
};

/// One thing to do. Steps are carried out in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the policy whether this restart may begin; then `ruled`.
    Admit { cause: RestartCause, life: LifeId },
    /// Ask the runtime whether it still shows the run that was judged; then
    /// `looked_again`.
    LookAgain,
    /// Compare-and-set in the store: the next life begins; then `begun`.
    Begin { of: LifeId, cause: RestartCause, revision: Revision },
    /// Forget what the policy noted about the life that ended.
    ForgetMemory,
    /// No request goes there any more.
    MarkOffline,
    /// Forget address, keys and connections of the life that ended.
    ClearCredentials,
    /// Tell whoever listens.
    Broadcast { life: LifeId, cause: RestartCause },
    /// The one restart command, off the request path; then `carried_out`.
    Restart { life: LifeId, cause: RestartCause, revision: Revision },
    /// In the store: no longer in flight.
    Finish { life: LifeId },
    /// Queue the message that tells the new life when and why it was restarted.
    TellWorkspace { cause: RestartCause },
    /// Judge with `settling`.
    AskSettled,
    /// Deliver what waits.
    Drain,
    /// End the run and begin none; then `stopped`.
    Stop,
    /// Judge then, on fresh evidence.
    JudgeAt(UnixMillis),
    /// `take_up` then.
    TakeUpAt(UnixMillis),
    /// A wish came to nothing: count it and log it.
    Drop { cause: RestartCause, why: DropReason },
    /// A verdict was not acted on: log it.
    Void(Void),
}

/// Why a wish for a restart was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// One is in flight already.
    InFlight,
    /// The policy ruled so.
    Policy,
}

/// Why a verdict was not acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Void {
    LifeEnded { judged: LifeId },
    AnotherRun,
    NotBegun(NotBegun),
}

/// A death is declared in this order and nowhere else. Evidence about the old
/// life goes first, so that nothing judges the new life by it; the restart comes
/// last, so that nobody meets a new life with old keys.
pub(super) fn declare_death(life: LifeId, cause: RestartCause, revision: Revision) -> Vec<Step> {
    vec![
        Step::ForgetMemory,
        Step::MarkOffline,
        Step::ClearCredentials,
        Step::Broadcast { life, cause },
        Step::Restart { life, cause, revision },
    ]
}
