//! How an experiment stands.

use reprieve_core::{experiment::Experiment, time::UnixMillis};
use serde::{Deserialize, Serialize};

use crate::policies::Actor;

/// One experiment on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub experiment: Experiment,
    pub started: Act,
    pub state: State,
}

/// Who did something, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    pub at: UnixMillis,
    pub by: String,
    pub why: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Running,
    /// By a guardrail or a person. The candidate never acts again.
    Aborted(Act),
    /// Its end date came.
    Ended(Act),
    /// The candidate is coming into force for everybody. A host that is killed here
    /// goes on with it when it comes back.
    Promoting(Act),
    Promoted(Act),
}

impl Act {
    pub(super) fn of(actor: &Actor, at: UnixMillis) -> Self {
        Self { at, by: actor.by.clone(), why: actor.why.clone() }
    }
}

impl State {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Aborted(_) => "aborted",
            Self::Ended(_) => "ended",
            Self::Promoting(_) => "promoting",
            Self::Promoted(_) => "promoted",
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        match self {
            Self::Running | Self::Promoting(_) => false,
            Self::Aborted(_) | Self::Ended(_) | Self::Promoted(_) => true,
        }
    }

    /// What ended it, if it has ended.
    pub const fn act(&self) -> Option<&Act> {
        match self {
            Self::Running => None,
            Self::Aborted(act) | Self::Ended(act) | Self::Promoting(act) | Self::Promoted(act) => {
                Some(act)
            }
        }
    }
}
