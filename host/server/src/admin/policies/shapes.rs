//! What is answered about policies, as JSON. Times are milliseconds since the Unix
//! epoch; a component is named by its SHA-256 in hex.

use reprieve_core::trust::Trust;
use reprieve_runtime::registry::{Passage, Step, StepFailed, StepTaken};
use serde::Serialize;
use utoipa::ToSchema;

use crate::policies::{
    Activation, Alert, Checked, Difference, GenerationStatus, How, InForce, Kept, LoadedStatus,
    PoliciesStatus, Wish,
};

/// Everything about policies at this moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policies)]
pub(super) struct PoliciesShown {
    /// Every activation raises it.
    revision: u64,
    /// What somebody wanted last. Absent: nothing since the host started.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<PolicyWish>,
    /// Checked, and waits to be activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded: Option<WaitingPolicy>,
    /// What judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<PolicyActivation>,
    /// What a rollback would bring back.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<PolicyActivation>,
    /// Absent: what is wanted judges, or waits to be activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<PolicyDifference>,
    alerts: Vec<PolicyAlert>,
    /// The newest way into force, step by step; it may be under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    passage: Option<PolicyPassage>,
    /// Those that are alive, the one in force first.
    generations: Vec<LiveGeneration>,
    /// Policies that are loaded in the engine, and how many may be.
    places_taken: usize,
    places: usize,
    /// Components on disk, the newest first.
    kept: Vec<KeptPolicy>,
    /// The newest 20, the newest first.
    activations: Vec<PolicyActivation>,
}

/// What somebody wanted.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyWish {
    /// Absent: it could not even be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    source: String,
    by: String,
    at_ms: u64,
}

/// A policy that was checked and waits to be activated.
#[derive(Debug, Serialize, ToSchema)]
struct WaitingPolicy {
    component: String,
    /// Name and version.
    policy: String,
    source: String,
}

/// A component on disk.
#[derive(Debug, Serialize, ToSchema)]
struct KeptPolicy {
    component: String,
    /// Name and version. Absent: they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

/// One time that a policy came into force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyActivation {
    component: String,
    /// Name and version.
    policy: String,
    source: String,
    how: HowActivated,
    at_ms: u64,
    /// A token, `configuration`, `watch` or `host`.
    by: String,
    why: String,
}

/// How a policy came into force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum HowActivated {
    /// The configuration names it.
    Configured,
    Activated,
    RolledBack,
    /// Its source changed, and is watched.
    Watched,
    /// The host started, and the configured one was not good.
    LastGood,
}

/// Why what is wanted is not what judges.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyDifference {
    wanted: String,
    active: String,
    why: String,
}

/// Something that a person should look at.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyAlert {
    /// As in the metric `reprieve_alerts`.
    code: String,
    message: String,
}

/// How far a component has come on its way into force.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyPassage {
    source: String,
    /// Absent: it is not known, or was loaded before.
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    /// Name and version, once it has described itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    taken: Vec<PolicyStepTaken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<PolicyStepFailed>,
}

/// A step that was taken.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyStepTaken {
    step: PolicyStep,
    took_us: u64,
    /// What it found: `signed by RW…`, `132 rows`.
    found: String,
}

/// The step that it did not pass.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyStepFailed {
    step: PolicyStep,
    why: String,
}

/// A step on the way into force, in order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum PolicyStep {
    Fetch,
    Digest,
    Signature,
    Imports,
    Compile,
    Describe,
    Settings,
    Golden,
    Activate,
}

/// A generation that is alive.
#[derive(Debug, Serialize, ToSchema)]
struct LiveGeneration {
    /// `in-force`, `stand-in` or `draining`.
    role: String,
    number: u64,
    policy: String,
    component: String,
    /// For so long it has been in force, or out of it if it drains.
    age_ms: u64,
    /// Decisions that hold it.
    references: usize,
    trust: PolicyTrust,
    /// Calls without a usable answer since it was loaded.
    failures: u64,
    /// Judgements that were judged twice, and those that came out otherwise.
    checks: u64,
    contradictions: u64,
    /// Instances that exist, and those of them that wait for a call.
    instances: usize,
    idle: usize,
}

/// How far a policy is believed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum PolicyTrust {
    Trusted,
    Distrusted,
    OnProbation,
}

/// A component that passed everything but the last step.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyLoaded {
    component: String,
    /// Name and version.
    policy: String,
    passage: PolicyPassage,
}

/// A policy that came into force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyInForce {
    /// With this activation.
    revision: u64,
    /// The generation that it judges in.
    generation: u64,
    active: PolicyActivation,
    /// What judged until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<PolicyActivation>,
    passage: PolicyPassage,
}

impl From<PoliciesStatus> for PoliciesShown {
    fn from(status: PoliciesStatus) -> Self {
        let PoliciesStatus {
            revision,
            requested,
            loaded,
            active,
            before,
            difference,
            alerts,
            passage,
            generations,
            places_taken,
            places,
            kept,
            activations,
        } = status;
        let waiting = |LoadedStatus { component, policy, source }: LoadedStatus| WaitingPolicy {
            component: component.into(),
            policy,
            source,
        };
        let differing =
            |Difference { wanted, active, why }| PolicyDifference { wanted, active, why };
        let alert = |Alert { code, message }: Alert| PolicyAlert { code: code.to_owned(), message };
        Self {
            revision,
            requested: requested.map(PolicyWish::from),
            loaded: loaded.map(waiting),
            active: active.map(PolicyActivation::from),
            before: before.map(PolicyActivation::from),
            difference: difference.map(differing),
            alerts: alerts.into_iter().map(alert).collect(),
            passage: passage.map(PolicyPassage::from),
            generations: generations.into_iter().map(LiveGeneration::from).collect(),
            places_taken,
            places,
            kept: kept.into_iter().map(KeptPolicy::from).collect(),
            activations: activations.into_iter().map(PolicyActivation::from).collect(),
        }
    }
}

impl From<Kept> for KeptPolicy {
    fn from(Kept { component, policy }: Kept) -> Self {
        Self { component: component.into(), policy }
    }
}

impl From<Wish> for PolicyWish {
    fn from(Wish { component, source, by, at }: Wish) -> Self {
        Self { component: component.map(String::from), source, by, at_ms: at.0 }
    }
}

impl From<Activation> for PolicyActivation {
    fn from(activation: Activation) -> Self {
        let Activation { component, policy, source, how, at, by, why } = activation;
        let how = match how {
            How::Configured => HowActivated::Configured,
            How::Activated => HowActivated::Activated,
            How::RolledBack => HowActivated::RolledBack,
            How::Watched => HowActivated::Watched,
            How::LastGood => HowActivated::LastGood,
        };
        Self { component: component.into(), policy, source, how, at_ms: at.0, by, why }
    }
}

impl From<Passage> for PolicyPassage {
    fn from(passage: Passage) -> Self {
        let Passage { source, component, bytes: _, policy, taken, failed } = passage;
        let taken = taken.into_iter().map(|StepTaken { step, took_us, found }| PolicyStepTaken {
            step: step.into(),
            took_us,
            found,
        });
        let failing =
            |StepFailed { step, why }: StepFailed| PolicyStepFailed { step: step.into(), why };
        Self {
            source,
            component: component.map(String::from),
            policy,
            taken: taken.collect(),
            failed: failed.map(failing),
        }
    }
}

impl From<Step> for PolicyStep {
    fn from(step: Step) -> Self {
        match step {
            Step::Fetch => Self::Fetch,
            Step::Digest => Self::Digest,
            Step::Signature => Self::Signature,
            Step::Imports => Self::Imports,
            Step::Compile => Self::Compile,
            Step::Describe => Self::Describe,
            Step::Settings => Self::Settings,
            Step::Golden => Self::Golden,
            Step::Activate => Self::Activate,
        }
    }
}

impl From<GenerationStatus> for LiveGeneration {
    fn from(status: GenerationStatus) -> Self {
        Self {
            role: status.role.to_owned(),
            number: status.number,
            policy: status.policy,
            component: status.component.into(),
            age_ms: status.age_ms,
            references: status.references,
            trust: match status.trust {
                Trust::Trusted => PolicyTrust::Trusted,
                Trust::Distrusted => PolicyTrust::Distrusted,
                Trust::OnProbation => PolicyTrust::OnProbation,
            },
            failures: status.failures,
            checks: status.checks,
            contradictions: status.contradictions,
            instances: status.instances,
            idle: status.idle,
        }
    }
}

impl From<Checked> for PolicyLoaded {
    fn from(Checked { component, passage }: Checked) -> Self {
        let policy = passage.policy.clone().unwrap_or_default();
        Self { component: component.into(), policy, passage: passage.into() }
    }
}

impl From<InForce> for PolicyInForce {
    fn from(InForce { activation, before, generation, revision, passage }: InForce) -> Self {
        Self {
            revision,
            generation,
            active: activation.into(),
            before: before.map(PolicyActivation::from),
            passage: passage.into(),
        }
    }
}
