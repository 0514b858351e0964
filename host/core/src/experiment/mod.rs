//! Experiments: a candidate judges beside the control, and is proven or put away.
//!
//! An [`Experiment`] names a candidate (another policy, other settings, or both),
//! who takes part, and until when. [`Experiment::arm`] says by a stable hash which
//! arm a workspace belongs to; [`Tally`] keeps what the arms did; [`guardrail`]
//! says when the candidate is to be aborted, by a test that may be looked at all
//! the time ([`sequential`]).

mod course;
pub mod guardrail;
mod interval;
pub mod sequential;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::{
    course::{Course, MAX_PARTS, Part},
    guardrail::{Breach, Guardrail, Guardrails},
    interval::{Interval, proportion, rate},
    tally::{ArmCounts, Durations, Tally},
};
use crate::{
    ids::{Digest, ExperimentName, TenantId, WorkspaceId},
    settings::Settings,
    time::UnixMillis,
};

/// All of a whole, in basis points.
pub const ALL_BP: u16 = 10_000;
/// The longest text that says who owns an experiment.
pub const MAX_OWNER_BYTES: usize = 128;
/// The longest hypothesis.
pub const MAX_HYPOTHESIS_BYTES: usize = 1 << 10;

/// One experiment, as it was started. Never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    pub name: ExperimentName,
    /// Whom to ask: a person or a team.
    pub owner: String,
    /// What is expected, so that the report can be read against it.
    pub hypothesis: String,
    pub mode: Mode,
    /// How many of those who take part belong to the candidate's arm, in basis
    /// points. In `shadow`: how many are judged by both.
    pub share_bp: u16,
    #[serde(default)]
    pub target: Target,
    pub candidate: Candidate,
    #[serde(default)]
    pub guardrails: Guardrails,
    /// It stops by itself then.
    pub ends_at: UnixMillis,
}

/// What the candidate's arm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Judges the same evidence as the control, and never acts.
    Shadow,
    /// Acts on its share, which is small.
    Canary,
    /// Both act, to be compared.
    Ab,
}

/// Who takes part. Empty: everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Any of these.
    pub tenants: BTreeSet<TenantId>,
    /// All of these.
    pub labels: BTreeMap<String, String>,
}

/// What is tried. At least one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Candidate {
    /// The component. None: the one in force, with other settings.
    pub component: Option<Digest>,
    /// Lie over everybody's own.
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    Control,
    Candidate,
}

impl Arm {
    pub const ALL: [Self; 2] = [Self::Control, Self::Candidate];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Candidate => "candidate",
        }
    }

    pub const fn other(self) -> Self {
        match self {
            Self::Control => Self::Candidate,
            Self::Candidate => Self::Control,
        }
    }
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Ab => "ab",
        }
    }
}

/// Why something is no experiment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    #[error(
        "share_bp is {share_bp}; a share is 1 to {ALL_BP} basis points ({ALL_BP} is everybody)"
    )]
    Share { share_bp: u16 },
    #[error(
        "a canary of {share_bp} basis points is most of the fleet; 1 to {limit} are allowed, or choose mode \"ab\""
    )]
    LargeCanary { share_bp: u16, limit: u16 },
    #[error("the candidate differs in nothing; name its component, its settings, or both")]
    NoDifference,
    #[error("{what} is empty; {remedy}")]
    Empty { what: &'static str, remedy: &'static str },
    #[error("{what} has {bytes} bytes, {limit} are allowed")]
    TooLong { what: &'static str, bytes: usize, limit: usize },
    #[error(
        "it ends at {ends_at} ms, which is not after now, {now} ms since the epoch; name a later end"
    )]
    Over { ends_at: u64, now: u64 },
    #[error(transparent)]
    Guardrails(#[from] guardrail::Unsound),
}

impl Experiment {
    /// A canary is the small share that may be harmed: at most half.
    pub const MAX_CANARY_BP: u16 = ALL_BP / 2;

    /// Whether it may be started at `now`. Names the first thing that is wrong.
    pub fn check(&self, now: UnixMillis) -> Result<(), Unsound> {
        let text = |what, text: &str, remedy, limit| match text.len() {
            0 => Err(Unsound::Empty { what, remedy }),
            bytes if bytes > limit => Err(Unsound::TooLong { what, bytes, limit }),
            _ => Ok(()),
        };
        text("owner", self.owner.trim(), "say whom to ask about it", MAX_OWNER_BYTES)?;
        let hypothesis = self.hypothesis.trim();
        text("hypothesis", hypothesis, "say what you expect to see", MAX_HYPOTHESIS_BYTES)?;
        let share_bp = self.share_bp;
        if share_bp == 0 || share_bp > ALL_BP {
            return Err(Unsound::Share { share_bp });
        }
        if self.mode == Mode::Canary && share_bp > Self::MAX_CANARY_BP {
            return Err(Unsound::LargeCanary { share_bp, limit: Self::MAX_CANARY_BP });
        }
        if self.candidate.component.is_none() && self.candidate.settings.is_empty() {
            return Err(Unsound::NoDifference);
        }
        if self.ends_at <= now {
            return Err(Unsound::Over { ends_at: self.ends_at.0, now: now.0 });
        }
        Ok(self.guardrails.check()?)
    }

    /// The workspace's arm by the experiment's share: the same on every host and
    /// for ever. A larger share moves workspaces to the candidate's arm, a smaller
    /// one moves them back, and nobody else.
    pub fn arm(&self, workspace: &WorkspaceId) -> Arm {
        // Who is in it does not matter where everybody is.
        if self.share_bp >= ALL_BP || bucket(&self.name, workspace) < self.share_bp {
            Arm::Candidate
        } else {
            Arm::Control
        }
    }

    /// Whether both arms judge for a workspace that takes part.
    pub fn is_compared(&self, workspace: &WorkspaceId) -> bool {
        match self.mode {
            Mode::Shadow => self.arm(workspace) == Arm::Candidate,
            Mode::Canary | Mode::Ab => true,
        }
    }

    /// Who acts for a workspace that takes part.
    pub fn acts(&self, workspace: &WorkspaceId) -> Arm {
        match self.mode {
            Mode::Shadow => Arm::Control,
            Mode::Canary | Mode::Ab => self.arm(workspace),
        }
    }
}

impl Target {
    pub fn includes<'a>(
        &self,
        tenant: &TenantId,
        mut label: impl FnMut(&str) -> Option<&'a str>,
    ) -> bool {
        (self.tenants.is_empty() || self.tenants.contains(tenant))
            && self.labels.iter().all(|(key, value)| label(key) == Some(value))
    }

    /// No workspace can take part in both, whatever comes: they name no common
    /// tenant, or ask for two values of one label.
    pub fn excludes(&self, other: &Self) -> bool {
        let apart = !self.tenants.is_empty()
            && !other.tenants.is_empty()
            && self.tenants.is_disjoint(&other.tenants);
        let differ = |(key, value): (&String, &String)| {
            other.labels.get(key).is_some_and(|others| others != value)
        };
        apart || self.labels.iter().any(differ)
    }
}

/// Where a workspace lies among all that take part: 0 to 9,999, evenly. The first
/// eight bytes of a SHA-256, so that no two implementations can differ; their
/// remainder by 10,000 favours nobody by more than one in 10^15.
pub fn bucket(experiment: &ExperimentName, workspace: &WorkspaceId) -> u16 {
    let digest = Digest::of(format!("reprieve experiment\0{experiment}\0{workspace}").as_bytes());
    u16::try_from(digest.first_eight_bytes() % u64::from(ALL_BP)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
