//! Metrics in Prometheus' text format, for the operator's listener; [`traces`] for a
//! collector of OpenTelemetry.
//!
//! What happened is counted where it happens, in the supervisor's
//! [`Tally`](crate::supervisor::Tally). What is so at this moment is looked up when
//! somebody scrapes, by [`gauges`]: a workspace or a generation that is gone leaves
//! no stale series behind. `docs/metrics.md` names them all, and a test holds it to
//! that.

mod experiments;
pub(crate) mod families;
mod gauges;
mod process;
pub(crate) mod traces;

use prometheus::{Registry, TextEncoder};

use crate::{experiments::Experiments, policies::Policies, store::Store, supervisor::Supervisor};

/// Everything that is known now, in Prometheus' text format. What cannot be looked
/// up is left out: no figure is better than a wrong one.
pub async fn exposition(
    supervisor: &Supervisor,
    policies: &Policies,
    experiments: &Experiments,
    store: &Store,
) -> prometheus::Result<String> {
    let now = Registry::new();
    let alerts = gauges::alerts(&now);
    gauges::of_workspaces(&now, &supervisor.survey(), &alerts);
    gauges::of_generations(&now, &supervisor.generations());
    gauges::of_policies(&policies.alerts(), &alerts);
    gauges::of_experiments(&experiments.alerts(), &alerts);
    experiments::of_experiments(&now, experiments);
    gauges::of_sight(&now, supervisor);
    gauges::of_store(&now, store.health());
    match store.queue.backlog().await {
        Ok(backlog) => gauges::of_queue(&now, &backlog),
        Err(fault) => tracing::warn!(%fault, "the queue's depth is missing from the metrics"),
    }
    gauges::of_build(&now);
    process::register(&now, supervisor.started());
    let mut families = supervisor.tally().families();
    families.extend(now.gather());
    let mut text = String::new();
    TextEncoder::new().encode_utf8(&families, &mut text)?;
    Ok(text)
}
