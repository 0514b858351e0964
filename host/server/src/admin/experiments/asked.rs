//! What is asked about experiments.

use std::collections::{BTreeMap, BTreeSet};

use reprieve_core::{
    experiment::{Candidate, Experiment, Guardrails, Mode, Target},
    ids::{Digest, ExperimentName, TenantId},
    settings::Settings,
    time::{Millis, UnixMillis},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::ToSchema;

use crate::admin::{
    extract::whole_number,
    problem::{Flaw, Problem},
    tokens::TenantName,
};

/// An experiment to be started.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartExperiment {
    pub(super) definition: ExperimentDefinition,
    /// Why, for whoever reads the record. At most 512 bytes.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub(super) why: String,
}

/// What is tried, on whom, and until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExperimentDefinition {
    /// Used once: it decides who is in which arm.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    name: ExperimentName,
    /// Whom to ask: a person or a team.
    #[schema(min_length = 1, max_length = 128)]
    owner: String,
    /// What is expected to be seen.
    #[schema(min_length = 1, max_length = 1024)]
    hypothesis: String,
    #[schema(value_type = ExperimentMode)]
    mode: Mode,
    /// How many of those who take part belong to the candidate's arm, in basis
    /// points; in `shadow`: how many are judged by both.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000)]
    share_bp: u64,
    #[serde(default)]
    #[schema(required = false)]
    target: ExperimentTarget,
    candidate: ExperimentCandidate,
    #[serde(default)]
    #[schema(required = false)]
    guardrails: ExperimentGuardrails,
    /// It stops by itself then: milliseconds since the Unix epoch.
    #[serde(deserialize_with = "whole")]
    ends_at_ms: u64,
}

/// What the candidate's arm does: `shadow` never acts, `canary` acts on a small
/// share, `ab` on any.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "for the document; the rules' own type is read")]
enum ExperimentMode {
    Shadow,
    Canary,
    Ab,
}

/// Who takes part. Empty: everybody.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ExperimentTarget {
    /// Any of these.
    #[schema(value_type = Vec<TenantName>, required = false)]
    tenants: BTreeSet<TenantId>,
    /// All of these.
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
}

/// What is tried: another component, other settings, or both.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ExperimentCandidate {
    /// The SHA-256, in hex, of a component that is kept here.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{64}$")]
    component: Option<Digest>,
    /// Or a name as `/policies/load` takes it.
    policy: Option<String>,
    /// Lie over everybody's own.
    #[schema(value_type = Object, required = false)]
    settings: Settings,
}

/// How much is tolerated. What is left out is as `docs/experiments.md` says.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ExperimentGuardrails {
    /// The probability that a candidate which is no worse is ever aborted.
    #[schema(minimum = 0.0001, maximum = 0.5)]
    error_bound: Option<f64>,
    #[serde(deserialize_with = "whole_number")]
    #[schema(minimum = 1, maximum = 1_000)]
    min_events: Option<u64>,
    #[serde(deserialize_with = "whole_number")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    min_judgements: Option<u64>,
    #[serde(deserialize_with = "whole_number")]
    #[schema(minimum = 1, maximum = 9_999)]
    max_disagreement_bp: Option<u64>,
    #[serde(deserialize_with = "whole_number")]
    #[schema(minimum = 1_000, maximum = 3_600_000)]
    slow_recovery_ms: Option<u64>,
}

/// Why it is to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndExperiment {
    /// For whoever reads the report. At most 512 bytes.
    #[schema(min_length = 1, max_length = 512)]
    pub(super) why: String,
}

impl ExperimentDefinition {
    /// The experiment, and the name of its candidate's component, if it has yet to be
    /// loaded. Until then it stands there under its name's digest.
    pub(super) fn read(self) -> Result<(Experiment, Option<String>), Problem> {
        let ExperimentCandidate { component, policy, settings } = self.candidate;
        if component.is_some() && policy.is_some() {
            let message = "there is a component, too; name one of the two".to_owned();
            return Err(invalid("candidate.policy", message));
        }
        let component = component.or(policy.as_deref().map(|name| Digest::of(name.as_bytes())));
        let ExperimentTarget { tenants, labels } = self.target;
        let experiment = Experiment {
            name: self.name,
            owner: self.owner,
            hypothesis: self.hypothesis,
            mode: self.mode,
            share_bp: basis_points("share_bp", self.share_bp)?,
            target: Target { tenants, labels },
            candidate: Candidate { component, settings },
            guardrails: self.guardrails.read()?,
            ends_at: UnixMillis(self.ends_at_ms),
        };
        Ok((experiment, policy))
    }
}

impl ExperimentGuardrails {
    fn read(self) -> Result<Guardrails, Problem> {
        let usual = Guardrails::default();
        let path = "guardrails.max_disagreement_bp";
        let most = self.max_disagreement_bp.map(|bp| basis_points(path, bp)).transpose()?;
        Ok(Guardrails {
            error_bound: self.error_bound.unwrap_or(usual.error_bound),
            min_events: self.min_events.unwrap_or(usual.min_events),
            min_judgements: self.min_judgements.unwrap_or(usual.min_judgements),
            max_disagreement_bp: most.or(usual.max_disagreement_bp),
            slow_recovery: self.slow_recovery_ms.map_or(usual.slow_recovery, Millis),
        })
    }
}

/// Which are right, the experiment itself says.
fn basis_points(path: &str, asked: u64) -> Result<u16, Problem> {
    u16::try_from(asked).map_err(|_large| {
        invalid(path, format!("is {asked}; 1 to 10000 basis points are allowed (10000 is all)"))
    })
}

fn invalid(path: &str, message: String) -> Problem {
    let flaws = vec![Flaw { path: path.to_owned(), message }];
    Problem::invalid("this is no experiment", flaws)
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    whole_number(deserializer)?.ok_or_else(|| D::Error::custom("null is no whole number"))
}
