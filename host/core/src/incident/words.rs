//! How a workspace stands, and what others see of it.

use serde::{Deserialize, Serialize};

use crate::{
    judgement::{Admission, RestartCause},
    ports::NotBegun,
    time::UnixMillis,
};

/// What a person, or rest for lack of work, made of the workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It should run.
    #[default]
    Wanted,
    Paused,
    Hibernated,
    Removed,
}

/// What a workspace is doing, as far as people and requests are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceState {
    /// A restart was carried out, or the first start: not back yet.
    Provisioning,
    Online,
    /// It gives signs, and reasons for doubt.
    Degraded,
    Offline,
    Paused,
    Hibernating,
    Hibernated,
    Removed,
}

impl WorkspaceState {
    /// Requests may go there.
    pub const fn takes_requests(self) -> bool {
        match self {
            Self::Provisioning | Self::Online | Self::Degraded => true,
            Self::Offline | Self::Paused | Self::Hibernating | Self::Hibernated | Self::Removed => {
                false
            }
        }
    }
}

/// How a wish for a restart stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Taken up: a restart was begun for it, or is as soon as what goes on now
    /// has ended.
    Taken,
    /// The policy put it off: it is taken up then at the earliest.
    Waits { not_before: UnixMillis },
    /// The policy dropped it.
    Dropped,
    /// The store began no next life for it.
    NotBegun(NotBegun),
    /// A restart is in flight: the wish is joined to it, or counted as dropped.
    InFlight,
    /// A person put the workspace to rest, or nobody here can restart it.
    NotAllowed(Standing),
    /// The life that it was about has ended.
    LifeEnded,
}

/// What a ruling comes to. A person's order is carried out whatever the policy
/// rules: it is asked for the record, and one that fails must not keep people from
/// putting right what it broke.
pub const fn heeded(cause: RestartCause, ruled: Admission) -> Admission {
    match cause {
        RestartCause::Operator => Admission::Admit,
        RestartCause::DeadVerdict
        | RestartCause::SettingsChanged
        | RestartCause::Wake
        | RestartCause::Dependency => ruled,
    }
}
