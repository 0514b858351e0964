//! What is wanted, loaded and active, and why they differ.

use reprieve_core::{ids::Digest, time::UnixMillis, trust::Trust};
use reprieve_runtime::{Alive, Role, registry::Passage};
use serde::Serialize;

use super::{Activation, Inner, Policies, State};

/// Every [`Alert`]'s code.
pub const ALERTS: [&str; 3] = [NOT_AS_CONFIGURED, DISTRUSTED, CONTRADICTS_ITSELF];
const NOT_AS_CONFIGURED: &str = "policy-not-as-configured";
const DISTRUSTED: &str = "policy-distrusted";
const CONTRADICTS_ITSELF: &str = "policy-contradicts-itself";

/// Activations that a status shows.
const MAX_SHOWN: usize = 20;

/// What somebody wanted last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wish {
    /// None: it could not even be read.
    pub component: Option<Digest>,
    pub source: String,
    pub by: String,
    pub at: UnixMillis,
}

/// A policy that was checked and waits to be activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadedStatus {
    pub component: Digest,
    pub policy: String,
    pub source: String,
}

/// A component on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub component: Digest,
    /// Name and version. None: it is not known.
    pub policy: Option<String>,
}

/// Why what is wanted is not what judges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub wanted: String,
    pub active: String,
    pub why: String,
}

/// A generation that is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GenerationStatus {
    /// `in-force`, `stand-in` or `draining`.
    pub role: &'static str,
    pub number: u64,
    pub policy: String,
    pub component: Digest,
    /// For so long it has been in force, or out of it if it drains.
    pub age_ms: u64,
    /// Decisions that hold it.
    pub references: usize,
    pub trust: Trust,
    /// Calls that its policy gave no usable answer to, since it was loaded.
    pub failures: u64,
    /// Judgements that were judged twice, and those of them that came out
    /// otherwise.
    pub checks: u64,
    pub contradictions: u64,
    /// Instances that exist, and those of them that wait for a call.
    pub instances: usize,
    pub idle: usize,
}

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// One of [`ALERTS`].
    pub code: &'static str,
    pub message: String,
}

/// Everything about policies at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoliciesStatus {
    /// Grows with every change.
    pub revision: u64,
    /// None: nobody wanted anything since the host started.
    pub requested: Option<Wish>,
    pub loaded: Option<LoadedStatus>,
    pub active: Option<Activation>,
    /// What `rollback` would bring back.
    pub before: Option<Activation>,
    /// None: what is wanted judges, or waits to be activated.
    pub difference: Option<Difference>,
    pub alerts: Vec<Alert>,
    /// The newest way into force, step by step.
    pub passage: Option<Passage>,
    /// The one in force first.
    pub generations: Vec<GenerationStatus>,
    /// Policies that are loaded in the engine, and how many may be.
    pub places_taken: usize,
    pub places: usize,
    /// Components on disk, the newest first.
    pub kept: Vec<Kept>,
    /// The newest first.
    pub activations: Vec<Activation>,
}

impl Policies {
    pub fn status(&self) -> PoliciesStatus {
        let generations: Vec<_> =
            self.0.current.alive().into_iter().map(GenerationStatus::of).collect();
        let kept = self.0.kept();
        let places = self.engine().places();
        let alerts = self.alerts();
        let state = self.0.state.lock();
        let record = &state.record;
        let passage = state.newest.as_ref().map(|progress| progress.passage());
        PoliciesStatus {
            revision: record.revision,
            requested: state.wish.clone(),
            loaded: state.loaded.as_ref().map(|loaded| LoadedStatus {
                component: loaded.component,
                policy: loaded.policy.label().to_owned(),
                source: loaded.source.clone(),
            }),
            before: record.before().cloned(),
            difference: state.difference(),
            active: record.active().cloned(),
            alerts,
            passage,
            generations,
            places_taken: places.taken,
            places: places.limit,
            kept,
            activations: record.activations.iter().take(MAX_SHOWN).cloned().collect(),
        }
    }

    /// What a person should look at now.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        if let Some(message) = self.0.state.lock().not_as_configured() {
            alerts.push(Alert { code: NOT_AS_CONFIGURED, message });
        }
        for Alive { role, policy, number, conduct, .. } in self.0.current.alive() {
            if role == Role::InForce && conduct.trust != Trust::Trusted {
                let who = match self.0.current.stand_in() {
                    Some(stand_in) => format!("{} judges instead", stand_in.policy().label()),
                    None => "nobody stands in, so its failures count as busy".to_owned(),
                };
                let trust = conduct.trust.as_str();
                let message = format!("policy {policy} (generation {number}) is {trust}: {who}");
                alerts.push(Alert { code: DISTRUSTED, message });
            }
            if role != Role::Draining && conduct.contradictions > 0 {
                let message = format!(
                    "policy {policy} (generation {number}) judged the same evidence in two ways \
                     in {} of {} checks; it keeps state between calls, or rolls dice",
                    conduct.contradictions, conduct.checks
                );
                alerts.push(Alert { code: CONTRADICTS_ITSELF, message });
            }
        }
        alerts
    }
}

impl Inner {
    fn kept(&self) -> Vec<Kept> {
        let kept = self.shelf.kept().unwrap_or_default();
        let labels: Vec<_> = kept.iter().map(|component| self.shelf.label(*component)).collect();
        let state = self.state.lock();
        let recorded = |component: Digest| {
            let mut past = state.record.activations.iter();
            past.find(|past| past.component == component).map(|past| past.policy.clone())
        };
        let named = kept.into_iter().zip(labels);
        named
            .map(|(component, label)| Kept {
                component,
                policy: label.or_else(|| recorded(component)),
            })
            .collect()
    }
}

impl State {
    /// The newest.
    fn difference(&self) -> Option<Difference> {
        self.differences().max_by_key(|(at, _)| *at).map(|(_, difference)| difference)
    }

    /// Loaded and waiting is no difference, and neither is being on the way.
    fn differences(&self) -> impl Iterator<Item = (UnixMillis, Difference)> {
        let active = self.record.active().into_iter();
        active.flat_map(|active| {
            let unmet = self.unmet.values();
            let unmet = unmet.filter(|unmet| unmet.wish.component != Some(active.component));
            unmet.map(|unmet| {
                let difference = Difference {
                    wanted: unmet.wish.source.clone(),
                    active: format!("{} from {}", active.policy, active.source),
                    why: unmet.why.clone(),
                };
                (unmet.wish.at, difference)
            })
        })
    }

    /// For people: what judges is not what is wanted.
    fn not_as_configured(&self) -> Option<String> {
        let told = self.differences().map(|(_, Difference { wanted, active, why })| {
            format!("{wanted} is wanted, and {active} judges: {why}")
        });
        Some(told.collect::<Vec<_>>().join("; ")).filter(|told| !told.is_empty())
    }
}

impl GenerationStatus {
    fn of(alive: Alive) -> Self {
        let Alive { role, number, policy, component, age, references, conduct, instances } = alive;
        Self {
            role: match role {
                Role::InForce => "in-force",
                Role::StandIn => "stand-in",
                Role::Draining => "draining",
            },
            number,
            policy,
            component,
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            references,
            trust: conduct.trust,
            failures: conduct.failures,
            checks: conduct.checks,
            contradictions: conduct.contradictions,
            instances: instances.existing,
            idle: instances.idle,
        }
    }
}
