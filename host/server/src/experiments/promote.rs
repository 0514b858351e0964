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
        self.rehearse_promotion(experiment, &act).await?;
        let page = self.standing(name)?.page;
        let promoting = Record { state: State::Promoting(act.clone()), ..record.clone() };
        self.0.parts.store.write(&promoting, &page).await?;
        match self.promoted(&record, &act).await {
            Ok(()) => {}
            // In force, and what is on disk leads there.
            Err(ExperimentFailure::NotWritten { .. }) => self.stands(name, promoting),
            Err(failure) => {
                // As it was: the candidate is tried on, and the person is told.
                if self.0.parts.store.write(&record, &page).await.is_err() {
                    self.owe(name, record.state, None);
                }
                return Err(failure);
            }
        }
        tracing::info!(experiment = %name, by = act.by, why = act.why, "experiment promoted");
        self.standing(name)
    }

    /// Does what is left to be done; each step may have been done before.
    pub(super) async fn promoted(
        &self,
        record: &Record,
        act: &Act,
    ) -> Result<(), ExperimentFailure> {
        self.put_in_force(&record.experiment, act).await?;
        self.end(record.clone(), State::Promoted(act.clone()), None).await
    }

    /// Whether everybody's settings go with the candidate's, under its component. So
    /// what is refused is refused before anything has changed.
    async fn rehearse_promotion(
        &self,
        experiment: &Experiment,
        act: &Act,
    ) -> Result<(), ExperimentFailure> {
        let component = self.candidate(experiment).await?;
        let changes = changes(experiment, &actor(experiment, act));
        Ok(self.0.parts.settings.check_all(component, changes).await?)
    }

    async fn put_in_force(
        &self,
        experiment: &Experiment,
        act: &Act,
    ) -> Result<(), ExperimentFailure> {
        let (parts, actor) = (&self.0.parts, actor(experiment, act));
        if let Some(component) = experiment.candidate.component
            && parts.current.snapshot().policy().digest() != component
        {
            parts.policies.activate(component, &actor, None).await?;
        }
        for change in changes(experiment, &actor) {
            if !self.has(&change.layer, &change.patch) {
                parts.settings.apply(change).await?;
            }
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

fn actor(experiment: &Experiment, act: &Act) -> Actor {
    let why = format!("experiment {}: {}", experiment.name, act.why);
    Actor { by: act.by.clone(), why }
}

/// Of settings. None, if the candidate is another component alone.
fn changes(experiment: &Experiment, actor: &Actor) -> Vec<ChangeRequest> {
    let patch: &Patch = &experiment.candidate.settings;
    if patch.is_empty() {
        return Vec::new();
    }
    let change = |layer| ChangeRequest {
        layer,
        patch: patch.clone(),
        who: actor.by.clone(),
        why: actor.why.clone(),
        expected: None,
    };
    layers(experiment).into_iter().map(change).collect()
}

fn layers(experiment: &Experiment) -> Vec<Layer> {
    match experiment.target.tenants.is_empty() {
        true => vec![Layer::Fleet],
        false => experiment.target.tenants.iter().cloned().map(Layer::Tenant).collect(),
    }
}
