//! A decision on record: everything that is needed to explain it and to run it
//! again, bit by bit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    evidence::Exchange,
    experiment::Arm,
    ids::{DecisionId, Digest, ExperimentName, LifeId, TenantId, WorkspaceId},
    judgement::{Admission, Call, Reason, Verdict},
    time::{Millis, UnixMillis},
};

/// One call of a policy about one workspace, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub id: DecisionId,
    pub at: UnixMillis,
    pub workspace: WorkspaceId,
    pub tenant: TenantId,
    /// The life that it is about.
    pub life: LifeId,
    #[serde(with = "shared")]
    pub generation: Arc<GenerationRef>,
    /// It was part of an experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Part>,
    pub call: Call,
    /// What the policy asked in its last pass, in order, with the answers.
    pub evidence: Vec<Exchange>,
    /// What the policy wrote to the workspace's memory, if it wrote.
    pub memory_write: Option<Vec<u8>>,
    pub outcome: Outcome,
    pub cost: Cost,
    /// What the host did with it: "restart begun", "queued", … Filled in by
    /// whoever acted.
    pub effect: Option<String>,
}

/// What judged: names exactly one immutable snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRef {
    /// Counts generations of this host; larger is newer.
    pub number: u64,
    /// Name and version that the policy gives itself: "default 0.1.0".
    pub policy: String,
    pub component: Digest,
    /// Of the effective settings for this workspace, as canonical JSON.
    pub settings: Digest,
}

/// Which experiment a decision was part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: ExperimentName,
    /// Whose arm the workspace belongs to.
    pub arm: Arm,
    /// The control decided all the same: the candidate failed, or is distrusted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stood_in: bool,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Judged {
        verdict: Verdict,
        #[serde(with = "shared")]
        reason: Arc<Reason>,
    },
    Ruled {
        admission: Admission,
        #[serde(with = "shared")]
        reason: Arc<Reason>,
    },
    /// The policy gave no usable answer. A judgement then counts as BUSY, a
    /// ruling as deferred: no failure is a death.
    FellBack { failure: String, detail: String },
}

/// What it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Calls of the guest; more than one where facts had to be fetched.
    pub passes: u32,
    /// In the guest, all passes together.
    pub guest_us: u64,
    /// From the question to the verdict, waiting for facts included.
    pub total: Millis,
}

impl Outcome {
    /// How long a caller is told to wait, and the host waits, after a fall-back.
    pub const FALL_BACK_RETRY: Millis = Millis::from_secs(30);

    /// The verdict in force: BUSY where the policy gave none.
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Judged { verdict, .. } => *verdict,
            Self::Ruled { .. } | Self::FellBack { .. } => Verdict::Busy(Self::FALL_BACK_RETRY),
        }
    }

    /// The admission in force: deferred where the policy gave none.
    pub const fn admission(&self) -> Admission {
        match self {
            Self::Ruled { admission, .. } => *admission,
            Self::Judged { .. } | Self::FellBack { .. } => Admission::Defer(Self::FALL_BACK_RETRY),
        }
    }

    /// The reason's code, for labels: bounded by what policies declare.
    pub fn reason_code(&self) -> &str {
        match self {
            Self::Judged { reason, .. } | Self::Ruled { reason, .. } => &reason.code,
            Self::FellBack { failure, .. } => failure,
        }
    }
}

/// What a caller's failed forward comes down to, once the host has acted on the
/// verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Alive,
    /// Not to be touched, or dead and not to be restarted yet.
    Busy {
        retry_after: Millis,
    },
    /// Dead, and a restart is under way.
    Restarting {
        retry_after: Millis,
    },
}

/// What many decisions share is written out in each of them.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Arc<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        T::serialize(value, serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}
