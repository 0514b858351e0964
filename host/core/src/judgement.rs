//! What is asked of a policy and what it answers: the words of `wit/types.wit`.

use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// Why a forwarded request got no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardFailure {
    Refused,
    Reset,
    ClosedEarly,
    TimedOut,
    Unresolved,
    BadStatus(u16),
}

/// Why the host asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    ForwardFailed(ForwardFailure),
    Preflight,
    HeartbeatExpired,
    RuntimeStopped,
    Unhealthy,
    Settling,
    Sweep,
}

/// Which look this is in a chain of `recheck` verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 0 for the first judgement.
    pub number: u32,
    /// How long ago the first judgement of the chain was asked for.
    pub since_first: Millis,
}

/// What is to be done about the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Alive,
    /// Do not touch; ask again after so long.
    Busy(Millis),
    Dead,
    /// Not decided; look again after so long.
    Recheck(Millis),
}

/// Who or what wants a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartCause {
    Operator,
    DeadVerdict,
    SettingsChanged,
    Wake,
    Dependency,
}

/// Whether a restart that is wanted may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    Admit,
    Drop,
    Defer(Millis),
}

/// What is asked: the two exports that rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    Judge { trigger: Trigger, attempt: Attempt },
    Admit { cause: RestartCause },
}

/// A reason that the policy declared: its code is a label, its meaning is for a
/// person on call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub meaning: String,
}
