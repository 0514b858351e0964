//! A timeline of what happened to workspaces: beats, probes, verdicts and restarts on
//! one axis of time, as a page of its own.
//!
//! A [`Timeline`] is gathered from a simulated run, where the truth is known, or from
//! recorded decisions: what nobody recorded is not drawn. [`episode`] cuts out the times
//! in which something happened; [`draw`] makes a picture of each, and [`page`] tells the
//! same as a list.

mod axis;
mod draw;
mod episode;
mod gather;
mod page;
#[cfg(test)]
mod tests;

use reprieve_core::time::UnixMillis;

pub(super) use self::{
    axis::Axis,
    gather::Timeline,
    page::{About, page},
};

/// How times are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zero {
    /// As lengths since then.
    Since(UnixMillis),
    /// As dates.
    Epoch,
}

/// Something that happened to a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    /// When it began, which is earlier where it took time.
    from: UnixMillis,
    at: UnixMillis,
    kind: Kind,
    told: String,
    /// Of a recorded decision, for `reprieve explain`.
    id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Beat,
    Contact,
    /// A probe saw it run.
    Up,
    /// A probe saw it on its way up, or paused.
    Between,
    /// A probe saw that it does not run.
    Down,
    /// A probe failed.
    Fault,
    Alive,
    Busy,
    Recheck,
    Dead,
    FellBack,
    Admit,
    Defer,
    Drop,
    Restart,
    /// Of a workspace that was not down: only who knows the truth can tell.
    FalseRestart,
}

/// Which line of a lane a mark stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Signs,
    Probes,
    Verdicts,
    /// Across all of them.
    Whole,
}

impl Kind {
    const ALL: [Self; 16] = [
        Self::Beat,
        Self::Contact,
        Self::Up,
        Self::Between,
        Self::Down,
        Self::Fault,
        Self::Alive,
        Self::Busy,
        Self::Recheck,
        Self::Dead,
        Self::FellBack,
        Self::Admit,
        Self::Defer,
        Self::Drop,
        Self::Restart,
        Self::FalseRestart,
    ];

    /// The name of its symbol, and what the symbol means.
    const fn symbol(self) -> (&'static str, &'static str) {
        match self {
            Self::Beat => ("beat", "beat"),
            Self::Contact => ("contact", "answered a request"),
            Self::Up => ("up", "probe: it runs"),
            Self::Between => ("between", "probe: starting, restarting or paused"),
            Self::Down => ("down", "probe: it does not run"),
            Self::Fault => ("fault", "probe failed"),
            Self::Alive => ("alive", "ALIVE"),
            Self::Busy => ("busy", "BUSY"),
            Self::Recheck => ("recheck", "RECHECK"),
            Self::Dead => ("dead", "DEAD"),
            Self::FellBack => ("fellback", "the policy gave no answer"),
            Self::Admit => ("admit", "restart admitted"),
            Self::Defer => ("defer", "restart put off"),
            Self::Drop => ("drop", "restart dropped"),
            Self::Restart => ("restart", "restart"),
            Self::FalseRestart => ("false", "false restart: it was not down"),
        }
    }

    const fn line(self) -> Line {
        match self {
            Self::Beat | Self::Contact => Line::Signs,
            Self::Up | Self::Between | Self::Down | Self::Fault => Line::Probes,
            Self::Alive
            | Self::Busy
            | Self::Recheck
            | Self::Dead
            | Self::FellBack
            | Self::Admit
            | Self::Defer
            | Self::Drop => Line::Verdicts,
            Self::Restart | Self::FalseRestart => Line::Whole,
        }
    }

    /// How much it is worth to be drawn, beside others. 0: no reason to draw a lane.
    const fn weight(self) -> u64 {
        match self {
            Self::Beat | Self::Contact => 0,
            Self::Up | Self::Between | Self::Alive => 1,
            Self::Busy | Self::Recheck | Self::Admit => 2,
            Self::Down | Self::Fault | Self::Defer | Self::Drop => 10,
            Self::FellBack => 20,
            Self::Dead | Self::Restart => 100,
            Self::FalseRestart => 1_000,
        }
    }
}

/// From when until when something was so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    from: UnixMillis,
    until: UnixMillis,
    told: String,
}
