//! The face of the fleet that the proxy sees.

use std::sync::Arc;

use async_trait::async_trait;
use reprieve_core::{
    address,
    decision::Finding,
    decision::Outcome,
    ids::{DecisionId, LifeId, QueueId, WorkspaceId},
    incident::Step,
    judgement::{ForwardFailure, RestartCause, Trigger},
    ports::{Accepted, QueueRefusal},
    queue::{Item, NewItem},
    time::Millis,
};
use subtle::ConstantTimeEq;
use url::Url;

use super::{Supervisor, workspace::Workspace};
use crate::proxy::fleet::{Fleet, Heartbeat, Judged, Registration, ReportRefused, Route};

#[async_trait]
impl Fleet for Supervisor {
    fn route(&self, workspace: &WorkspaceId) -> Option<Route> {
        self.workspace(workspace).map(|workspace| workspace.route())
    }

    async fn forward_failed(
        &self,
        workspace: &WorkspaceId,
        life: LifeId,
        failure: ForwardFailure,
    ) -> Judged {
        let Some(workspace) = self.workspace(workspace) else { return unknown() };
        if workspace.life() != life {
            // The request went to a life that has ended: its failure says nothing
            // about this one.
            tracing::debug!(workspace = %workspace.id(), life = life.0, "a failure of an ended life");
        }
        self.judge(&workspace, Trigger::ForwardFailed(failure)).await
    }

    async fn preflight(&self, workspace: &WorkspaceId) -> Option<Judged> {
        if !self.0.options.preflight {
            return None;
        }
        let workspace = self.workspace(workspace)?;
        Some(self.judge(&workspace, Trigger::Preflight).await)
    }

    fn answered(&self, workspace: &WorkspaceId, life: LifeId) {
        if let Some(workspace) = self.workspace(workspace) {
            self.sign_of_contact(&workspace, life);
        }
    }

    fn newest_sign(&self, workspace: &WorkspaceId) -> Option<Millis> {
        let newest = self.0.ports.heartbeats.at_hand(workspace)?.newest()?;
        Some(newest.age(self.now()))
    }

    async fn accept(&self, item: NewItem) -> Result<Accepted, QueueRefusal> {
        let workspace = self.workspace(&item.workspace);
        let now = self.now();
        let accepted = self.0.ports.queue.accept(item, now).await?;
        if !accepted.repeated {
            self.0.tally.queued();
            if let Some(workspace) = &workspace {
                let (who, labels) = (&workspace.who, &workspace.spec.labels);
                self.0.ports.experiments.queued(who, labels, now);
            }
        }
        if let Some(workspace) = workspace
            && !workspace.timers.judges()
        {
            // A workspace that never beats would not be drained otherwise.
            self.judge_after(&workspace, Outcome::FALL_BACK_RETRY);
        }
        Ok(accepted)
    }

    async fn item(&self, id: &QueueId) -> Result<Option<Item>, QueueRefusal> {
        self.0.ports.queue.get(id).await.map_err(|_| QueueRefusal::Unavailable)
    }

    async fn wake(&self, workspace: &WorkspaceId) {
        if let Some(workspace) = self.workspace(workspace) {
            self.wish(&workspace, RestartCause::Wake).await;
        }
    }

    async fn register(
        &self,
        workspace: &WorkspaceId,
        token: Option<&str>,
        registration: Registration,
    ) -> Result<(), ReportRefused> {
        let workspace = self.authenticated(workspace, token)?;
        if let Some(url) = &registration.url {
            self.check_address(&workspace, url)?;
        }
        {
            let mut live = workspace.live.lock();
            if let Some(url) = registration.url {
                live.own_word = Some(url);
            }
            if let Some(queues) = registration.queues_for_itself {
                live.queues_for_itself = queues;
            }
        }
        let steps = match registration.revision {
            Some(revision) => workspace.live.lock().incident.revise(revision, self.now()),
            None => vec![],
        };
        self.save(&workspace).await;
        self.carry_out(&workspace, steps, None).await;
        Ok(())
    }

    async fn heartbeat(
        &self,
        workspace: &WorkspaceId,
        token: Option<&str>,
        heartbeat: Heartbeat,
    ) -> Result<(), ReportRefused> {
        let workspace = self.authenticated(workspace, token)?;
        self.0.tally.beat();
        let life = heartbeat.life.unwrap_or_else(|| workspace.life());
        self.0.ports.heartbeats.beat(workspace.id(), life, self.now());
        self.sign(&workspace, life);
        if heartbeat.spare_capacity != Some(0) {
            self.drain(&workspace);
        }
        Ok(())
    }
}

impl Supervisor {
    fn authenticated(
        &self,
        id: &WorkspaceId,
        token: Option<&str>,
    ) -> Result<Arc<Workspace>, ReportRefused> {
        // One answer for an unknown workspace and a wrong token would be of no
        // use to anybody: names are no secrets here, tokens are.
        let workspace =
            self.workspace(id).ok_or_else(|| ReportRefused::UnknownWorkspace(id.clone()))?;
        let shown = token.unwrap_or_default().as_bytes();
        let right = workspace.spec.token.as_bytes();
        if shown.is_empty() || !bool::from(shown.ct_eq(right)) {
            return Err(ReportRefused::WrongToken);
        }
        Ok(workspace)
    }

    /// A workspace may name a public address, or the one where its backend put
    /// it.
    fn check_address(&self, workspace: &Workspace, url: &Url) -> Result<(), ReportRefused> {
        let is_owned = |asked: &Url| workspace.live.lock().owns(Some(asked));
        address::check(url, is_owned)
            .map_err(|refused| ReportRefused::AddressNotAllowed(refused.to_string()))
    }

    /// The workspace answered a request: a successful round trip.
    pub(super) fn sign_of_contact(&self, workspace: &Arc<Workspace>, life: LifeId) {
        self.0.ports.heartbeats.contact(workspace.id(), life, self.now());
        self.sign(workspace, life);
    }

    fn sign(&self, workspace: &Arc<Workspace>, life: LifeId) {
        let (who, labels) = (&workspace.who, &workspace.spec.labels);
        self.0.ports.experiments.sign_of_life(who, labels, life, self.now());
        let steps = {
            let mut live = workspace.live.lock();
            if live.incident.life() != life {
                return;
            }
            let is_first = live.incident.is_unseen();
            let steps = live.incident.sign(life);
            // Only the first sign tells something new of a life that settles. After
            // it the policy said when to ask again.
            let is_known = !is_first && steps == [Step::AskSettled];
            if is_known && workspace.timers.judges() { vec![] } else { steps }
        };
        self.0.surroundings.suspected(&workspace.who, false, self.now());
        if !steps.is_empty() {
            let (supervisor, of) = (self.clone(), Arc::clone(workspace));
            self.spawn(async move { supervisor.carry_out(&of, steps, None).await });
        }
    }
}

/// The proxy looked the workspace up a moment ago; it was removed meanwhile.
fn unknown() -> Judged {
    Judged {
        decision: DecisionId("none".to_owned()),
        finding: Finding::Busy { retry_after: Outcome::FALL_BACK_RETRY },
    }
}
