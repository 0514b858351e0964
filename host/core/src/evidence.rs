//! What a policy may ask, and what it is answered: the words of
//! `wit/evidence.wit`, as data.
//!
//! Every import of the contract is one [`Question`]; the host's answer to it is
//! one [`Answer`]. A decision's evidence is the list of the two, so it can be
//! recorded, explained and replayed.

use serde::{Deserialize, Serialize};

use crate::{judgement::RestartCause, time::Millis};

/// One thing that a policy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    Subject,
    Look,
    NewestBeat,
    Intervals { limit: u32 },
    NewestContact,
    CurrentLife,
    RestartCount { within: Millis },
    Memory,
    Eyesight { since: Millis, until: Millis },
    Fleet { within: Millis },
}

/// What it is answered. The variant fits the question's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Boxed: it is by far the largest answer and the rarest question.
    Subject(Box<Subject>),
    Look(Result<Sighting, ProbeFault>),
    NewestBeat(Result<Option<Beat>, StoreFault>),
    Intervals(Result<Vec<Millis>, StoreFault>),
    NewestContact(Result<Option<Beat>, StoreFault>),
    CurrentLife(Result<Life, StoreFault>),
    RestartCount(Result<u32, StoreFault>),
    Memory(Result<Option<Note>, StoreFault>),
    Eyesight(Eyesight),
    Fleet(Fleet),
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub question: Question,
    pub answer: Answer,
}

/// Who is being judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub id: String,
    pub tenant: String,
    pub kind: String,
    pub labels: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Running,
    Starting,
    Restarting,
    Paused,
    Stopped,
    /// The runtime positively knows no such workspace.
    Missing,
}

impl Status {
    /// The runtime says definitely that nothing runs.
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Stopped | Self::Missing)
    }
}

/// What the runtime's own health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Starting,
    Healthy,
    Unhealthy,
}

/// What a probe saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    pub status: Status,
    pub uptime: Option<Millis>,
    pub ended: Option<Millis>,
    pub exit_code: Option<i32>,
    pub out_of_memory: bool,
    pub health: Option<Health>,
}

impl Sighting {
    /// A sighting of which nothing but the status is known.
    pub const fn bare(status: Status) -> Self {
        Self {
            status,
            uptime: None,
            ended: None,
            exit_code: None,
            out_of_memory: false,
            health: None,
        }
    }

    /// Down, and the runtime does not say since when.
    pub const fn is_unexplained(&self) -> bool {
        self.status.is_down() && self.ended.is_none()
    }
}

/// Why the host could not see. Never evidence about the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFault {
    #[error("the runtime did not answer in time")]
    TimedOut,
    #[error("no connection to the runtime")]
    Unreachable,
    #[error("the runtime closed the connection before it had answered")]
    ClosedEarly,
    #[error("the runtime or the host's probing is overloaded")]
    Overloaded,
    #[error("the runtime refuses to tell this host")]
    Denied,
    #[error("the runtime's answer makes no sense")]
    Malformed,
}

impl ProbeFault {
    pub const ALL: [Self; 6] = [
        Self::TimedOut,
        Self::Unreachable,
        Self::ClosedEarly,
        Self::Overloaded,
        Self::Denied,
        Self::Malformed,
    ];
}

/// A store of the host could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StoreFault {
    #[error("the store is unavailable")]
    Unavailable,
}

/// A sign of life that the workspace itself gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    pub age: Millis,
    pub this_life: bool,
}

/// The run of a workspace, and how it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    pub in_flight: bool,
    pub began: Option<Millis>,
    pub cause: Option<RestartCause>,
    pub revision_stale: bool,
}

/// What a policy noted about a workspace, and how long ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub bytes: Vec<u8>,
    pub age: Millis,
}

/// How well the host saw within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eyesight {
    pub probes: u32,
    pub probe_faults: u32,
    pub store_faults: u32,
    pub loop_lag: Millis,
}

/// The rest of the tenant's fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    pub workspaces: u32,
    pub suspected: u32,
    pub restarting: u32,
}

impl Answer {
    /// The same answer, so much later: every age in it grows. Windows that
    /// reached back from then are not moved.
    #[must_use]
    pub fn aged(mut self, by: Millis) -> Self {
        let grow = |age: &mut Millis| *age = age.saturating_add(by);
        match &mut self {
            Self::Look(Ok(sighting)) => {
                sighting.uptime.iter_mut().for_each(grow);
                sighting.ended.iter_mut().for_each(grow);
            }
            Self::NewestBeat(Ok(Some(beat))) | Self::NewestContact(Ok(Some(beat))) => {
                grow(&mut beat.age);
            }
            Self::CurrentLife(Ok(life)) => life.began.iter_mut().for_each(grow),
            Self::Memory(Ok(Some(note))) => grow(&mut note.age),
            Self::Subject(_)
            | Self::Look(Err(_))
            | Self::NewestBeat(_)
            | Self::Intervals(_)
            | Self::NewestContact(_)
            | Self::CurrentLife(Err(_))
            | Self::RestartCount(_)
            | Self::Memory(_)
            | Self::Eyesight(_)
            | Self::Fleet(_) => {}
        }
        self
    }

    /// Whether this can be the answer to that question.
    pub const fn fits(&self, question: &Question) -> bool {
        matches!(
            (self, question),
            (Self::Subject(_), Question::Subject)
                | (Self::Look(_), Question::Look)
                | (Self::NewestBeat(_), Question::NewestBeat)
                | (Self::Intervals(_), Question::Intervals { .. })
                | (Self::NewestContact(_), Question::NewestContact)
                | (Self::CurrentLife(_), Question::CurrentLife)
                | (Self::RestartCount(_), Question::RestartCount { .. })
                | (Self::Memory(_), Question::Memory)
                | (Self::Eyesight(_), Question::Eyesight { .. })
                | (Self::Fleet(_), Question::Fleet { .. })
        )
    }

    /// Whether it says that the host could not see.
    pub const fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Look(Err(_))
                | Self::NewestBeat(Err(_))
                | Self::Intervals(Err(_))
                | Self::NewestContact(Err(_))
                | Self::CurrentLife(Err(_))
                | Self::RestartCount(Err(_))
                | Self::Memory(Err(_))
        )
    }
}
