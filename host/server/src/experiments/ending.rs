//! How experiments end.
//!
//! The candidate stops first, for every decision; then it is written down; and only then
//! is anybody told that it is over. What cannot be written down is owed, and tried again.

use reprieve_core::ids::ExperimentName;

use super::{Act, ExperimentFailure, Experiments, Page, Record, Standing, State};
use crate::policies::Actor;

impl Experiments {
    /// Ends an experiment: the control judges for everybody from the next decision on.
    pub async fn abort(
        &self,
        name: &ExperimentName,
        actor: &Actor,
    ) -> Result<Standing, ExperimentFailure> {
        let (own, name, actor) = (self.clone(), name.clone(), actor.clone());
        let aborting = async move { own.do_abort(&name, &actor).await };
        self.0.parts.supervisor.see_through(aborting).await
    }

    async fn do_abort(
        &self,
        name: &ExperimentName,
        actor: &Actor,
    ) -> Result<Standing, ExperimentFailure> {
        let _turn = self.0.turn.lock().await;
        let record = self.running(name)?;
        let act = Act::of(actor, self.now());
        tracing::warn!(experiment = %name, by = act.by, why = act.why, "experiment aborted");
        self.end(record, State::Aborted(act), None).await?;
        self.standing(name)
    }

    /// Stops the candidate, and writes down why. If that fails, it stays stopped as
    /// long as this host runs. `seen`: what is known, if nobody wrote it down until now.
    pub(super) async fn end(
        &self,
        record: Record,
        state: State,
        seen: Option<Page>,
    ) -> Result<(), ExperimentFailure> {
        let name = record.experiment.name.clone();
        let page = match self.stop(&name).or(seen) {
            Some(page) => page,
            None => self.standing(&name)?.page,
        };
        let ended = Record { state: state.clone(), ..record };
        let written = self.0.parts.store.write(&ended, &page).await;
        match &written {
            Ok(()) => self.know(ended, page),
            Err(_) => self.owe(&name, state, Some(page)),
        }
        let over = name.clone();
        self.set_trials(move |_, trials| {
            let others = trials.iter().filter(|trial| trial.experiment().name != over);
            others.cloned().collect()
        })
        .await;
        written.map_err(|source| ExperimentFailure::NotWritten { name, source })
    }

    /// From the next decision on. Returns what was seen, if somebody wrote it down
    /// until now.
    fn stop(&self, name: &ExperimentName) -> Option<Page> {
        let parts = &self.0.parts;
        for trial in &*parts.current.trials() {
            if trial.experiment().name == *name {
                trial.stop();
            }
        }
        parts.observer.close(name)
    }

    /// A guardrail was broken.
    pub(super) async fn abort_for(&self, record: Record, page: Page) {
        let Some(breach) = page.breach else { return };
        let (name, why) = (record.experiment.name.clone(), breach.to_string());
        tracing::error!(experiment = %name, guardrail = breach.guardrail.as_str(), why,
            "experiment aborted by a guardrail: the control judges alone");
        let act = Act { at: self.now(), by: "guardrail".to_owned(), why };
        if let Err(error) = self.end(record, State::Aborted(act), Some(page)).await {
            tracing::error!(experiment = %name, %error, "its abort is owed");
        }
    }

    pub(super) fn running(&self, name: &ExperimentName) -> Result<Record, ExperimentFailure> {
        let known = self.0.known.read().get(name).cloned();
        let record = known.ok_or_else(|| ExperimentFailure::Unknown(name.clone()))?.record;
        if record.state.is_over() {
            let (name, state) = (name.clone(), record.state.as_str());
            return Err(ExperimentFailure::NotRunning { name, state });
        }
        Ok(record)
    }

    /// That state has to be written down.
    pub(super) fn owe(&self, name: &ExperimentName, state: State, page: Option<Page>) {
        if let Some(known) = self.0.known.write().get_mut(name) {
            known.owed = Some(state);
            known.page = page.unwrap_or_else(|| known.page.clone());
        }
    }

    /// It is so on disk, and more is owed.
    pub(super) fn stands(&self, name: &ExperimentName, record: Record) {
        if let Some(known) = self.0.known.write().get_mut(name) {
            known.record = record;
        }
    }

    /// Writes down what could not be written before.
    pub(super) async fn pay(&self) {
        let owed = |(name, known): (&ExperimentName, &super::Known)| {
            known.owed.as_ref().map(|_| name.clone())
        };
        let names: Vec<_> = self.0.known.read().iter().filter_map(owed).collect();
        for name in names {
            let _turn = self.0.turn.lock().await;
            // Somebody may have ended it meanwhile.
            let known = self.0.known.read().get(&name).cloned();
            let Some((record, state)) = known.and_then(|known| Some((known.record, known.owed?)))
            else {
                continue;
            };
            let paid = if state.is_over() {
                self.end(record, state, None).await
            } else {
                self.write_again(&name).await
            };
            match paid {
                Ok(()) => tracing::info!(experiment = %name, "written down at last"),
                Err(error) => tracing::error!(experiment = %name, %error, "still not written down"),
            }
        }
    }

    /// As it stands.
    async fn write_again(&self, name: &ExperimentName) -> Result<(), ExperimentFailure> {
        let Standing { record, page, .. } = self.standing(name)?;
        self.0.parts.store.write(&record, &page).await?;
        if let Some(known) = self.0.known.write().get_mut(name) {
            known.owed = None;
        }
        Ok(())
    }
}
