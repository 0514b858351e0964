//! The candidate becomes what judges everybody.

use reprieve_core::{
    experiment::Experiment,
    ids::ExperimentName,
    settings::{Layer, Patch, Source},
};

use super::{Act, ExperimentFailure, Experiments, Record, Standing, State};
use crate::{policies::Actor, settings::ChangeRequest};

impl Experiments {
    /// Puts the candidate's component in force for the fleet, and its settings in
    /// force for the tenants that were targeted, or for the fleet if none were. Only
    /// a person does that.
    pub async fn promote(
        &self,
        name: &ExperimentName,
        actor: &Actor,
    ) -> Result<Standing, ExperimentFailure> {
        let (own, name, actor) = (self.clone(), name.clone(), actor.clone());
        let promoting = async move { own.do_promote(&name, &actor).await };
        self.0.parts.supervisor.see_through(promoting).await
    }

    async fn do_promote(
        &self,
        name: &ExperimentName,
        actor: &Actor,
    ) -> Result<Standing, ExperimentFailure> {
        let _turn = self.0.turn.lock().await;
        let record = self.running(name)?;
        let experiment = &record.experiment;
        if !experiment.candidate.settings.is_empty() && !experiment.target.labels.is_empty() {
            return Err(ExperimentFailure::LabelsNotPromoted);
        }
        let act = Act::of(actor, self.now());
        let page = self.standing(name)?.page;
        let promoting = Record { state: State::Promoting(act.clone()), ..record.clone() };
        self.0.parts.store.write(&promoting, &page).await?;
        if let Err(failure) = self.promoted(experiment, &act).await {
            // As it was: the candidate is tried on, and the person is told.
            self.0.parts.store.write(&record, &page).await?;
            return Err(failure);
        }
        tracing::info!(experiment = %name, by = act.by, why = act.why, "experiment promoted");
        self.standing(name)
    }

    /// Does what is left to be done; each step may have been done before.
    pub(super) async fn promoted(
        &self,
        experiment: &Experiment,
        act: &Act,
    ) -> Result<(), ExperimentFailure> {
        let parts = &self.0.parts;
        let why = format!("experiment {}: {}", experiment.name, act.why);
        let actor = Actor { by: act.by.clone(), why };
        if let Some(component) = experiment.candidate.component
            && parts.current.snapshot().policy().digest() != component
        {
            parts.policies.activate(component, &actor, None).await?;
        }
        let patch: Patch = experiment.candidate.settings.clone();
        if !patch.is_empty() {
            for layer in layers(experiment) {
                if self.has(&layer, &patch) {
                    continue;
                }
                let (who, why) = (actor.by.clone(), actor.why.clone());
                let request =
                    ChangeRequest { layer, patch: patch.clone(), who, why, expected: None };
                parts.settings.apply(request).await?;
            }
        }
        let record = self.0.known.read().get(&experiment.name).cloned();
        if let Some(known) = record {
            self.end(known.record, State::Promoted(act.clone())).await?;
        }
        Ok(())
    }

    /// That is what is applied there already.
    fn has(&self, layer: &Layer, patch: &Patch) -> bool {
        let in_force = self.0.parts.current.snapshot();
        let applied = in_force.layers().of(Source::Applied).get(layer);
        applied
            .is_some_and(|applied| patch.iter().all(|(key, value)| applied.get(key) == Some(value)))
    }
}

fn layers(experiment: &Experiment) -> Vec<Layer> {
    match experiment.target.tenants.is_empty() {
        true => vec![Layer::Fleet],
        false => experiment.target.tenants.iter().cloned().map(Layer::Tenant).collect(),
    }
}
