//! What operators see of a workspace, and what they may want of it.

use reprieve_core::{
    ids::{LifeId, Revision, TenantId, WorkspaceId},
    incident::{Phase, Standing, Wish, WorkspaceState},
    judgement::RestartCause,
    ports::RestartHistory,
    settings::Layer,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::Who;
use serde::Serialize;
use url::Url;

use super::{Supervisor, workspace::Workspace};

/// One workspace at this moment. Ages are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct WorkspaceStatus {
    pub id: WorkspaceId,
    pub tenant: TenantId,
    pub kind: String,
    pub state: WorkspaceState,
    pub standing: Standing,
    pub life: LifeId,
    pub restart_in_flight: bool,
    /// The newest settings revision is not the running one.
    pub revision_stale: bool,
    pub wanted_revision: Revision,
    pub address: Option<Url>,
    /// Age of the newest heartbeat or contact.
    pub newest_sign_ms: Option<Millis>,
    /// For so long the runtime could not be asked about it.
    pub blind_ms: Option<Millis>,
    pub last_restart_ms: Option<Millis>,
    /// Requests that wait. None: the store does not say.
    pub queue_depth: Option<u32>,
}

/// What one workspace's restart machine is doing, and what it did.
#[derive(Clone, Debug)]
pub struct IncidentStatus {
    pub workspace: WorkspaceId,
    pub tenant: TenantId,
    pub state: WorkspaceState,
    pub standing: Standing,
    pub life: LifeId,
    pub phase: Phase,
    /// Restarts that are wanted, each not before its time.
    pub wishes: Vec<(RestartCause, UnixMillis)>,
    pub history: RestartHistory,
}

impl Supervisor {
    /// Every workspace, by name.
    pub async fn statuses(&self) -> Vec<WorkspaceStatus> {
        self.page(|_, _, _| true, usize::MAX).await
    }

    /// The first workspaces that are `wanted`, by name: at most `limit`.
    pub async fn page(
        &self,
        wanted: impl Fn(&WorkspaceId, &TenantId, WorkspaceState) -> bool,
        limit: usize,
    ) -> Vec<WorkspaceStatus> {
        let mut workspaces = self.all();
        workspaces.retain(|workspace| {
            let state = workspace.live.lock().incident.state();
            wanted(workspace.id(), &workspace.spec.tenant, state)
        });
        workspaces.sort_by(|a, b| a.id().cmp(b.id()));
        workspaces.truncate(limit);
        let depths = self.0.ports.queue.depths().await.ok();
        let depth = |of: &Workspace| Some(depths.as_ref()?.get(of.id()).copied().unwrap_or(0));
        workspaces.iter().map(|workspace| self.status_of(workspace, depth(workspace))).collect()
    }

    /// The restart machines of the first workspaces that are `wanted` and with
    /// which something is going on, by name: at most `limit`.
    pub fn incidents(
        &self,
        wanted: impl Fn(&WorkspaceId, &TenantId) -> bool,
        limit: usize,
    ) -> Vec<IncidentStatus> {
        let mut workspaces = self.all();
        workspaces.retain(|workspace| {
            let busy = {
                let incident = &workspace.live.lock().incident;
                incident.phase() != Phase::Resting || !incident.wishes().is_empty()
            };
            busy && wanted(workspace.id(), &workspace.spec.tenant)
        });
        workspaces.sort_by(|a, b| a.id().cmp(b.id()));
        workspaces.truncate(limit);
        workspaces.iter().map(|workspace| self.incident_of(workspace)).collect()
    }

    /// One workspace's restart machine, whatever it does.
    pub fn incident(&self, workspace: &WorkspaceId) -> Option<IncidentStatus> {
        Some(self.incident_of(&*self.workspace(workspace)?))
    }

    fn incident_of(&self, workspace: &Workspace) -> IncidentStatus {
        let history = self.0.ports.restarts.at_hand(workspace.id()).unwrap_or_default();
        let live = workspace.live.lock();
        let incident = &live.incident;
        IncidentStatus {
            workspace: workspace.id().clone(),
            tenant: workspace.spec.tenant.clone(),
            state: incident.state(),
            standing: incident.standing(),
            life: incident.life(),
            phase: incident.phase(),
            wishes: incident.wishes().iter().map(|(cause, at)| (*cause, *at)).collect(),
            history,
        }
    }

    /// Delivers what waits, without the wait that follows a failed delivery.
    /// False: there is no such workspace.
    pub fn deliver_now(&self, workspace: &WorkspaceId) -> bool {
        let Some(workspace) = self.workspace(workspace) else { return false };
        workspace.pace.lock().succeeded();
        self.drain(&workspace);
        true
    }

    /// Whose it is. None: there is no such workspace.
    pub fn tenant_of(&self, workspace: &WorkspaceId) -> Option<TenantId> {
        Some(self.workspace(workspace)?.spec.tenant.clone())
    }

    pub async fn status(&self, workspace: &WorkspaceId) -> Option<WorkspaceStatus> {
        let workspace = self.workspace(workspace)?;
        let queue_depth = self.0.ports.queue.depth(workspace.id()).await.ok();
        Some(self.status_of(&workspace, queue_depth))
    }

    fn status_of(&self, workspace: &Workspace, queue_depth: Option<u32>) -> WorkspaceStatus {
        let (now, id) = (self.now(), workspace.id());
        let ports = &self.0.ports;
        let signs = ports.heartbeats.at_hand(id).unwrap_or_default();
        let began = ports.restarts.at_hand(id).and_then(|history| history.began);
        let live = workspace.live.lock();
        WorkspaceStatus {
            id: id.clone(),
            tenant: workspace.spec.tenant.clone(),
            kind: workspace.spec.kind.clone(),
            state: live.incident.state(),
            standing: live.incident.standing(),
            life: live.incident.life(),
            restart_in_flight: live.incident.is_in_flight(),
            revision_stale: live.incident.is_revision_stale(),
            wanted_revision: live.incident.wanted_revision(),
            address: live.address().cloned(),
            newest_sign_ms: signs.newest().map(|at| at.age(now)),
            blind_ms: live.blind_since.map(|since| since.age(now)),
            last_restart_ms: began.map(|at| at.age(now)),
            queue_depth,
        }
    }

    /// Whose each workspace is, of all below a layer of settings, by name.
    pub fn members_of(&self, layer: &Layer) -> Vec<Who> {
        let workspaces = self.0.workspaces.read();
        let is_below = |who: &&Who| match layer {
            Layer::Fleet => true,
            Layer::Tenant(tenant) => who.tenant == *tenant,
            Layer::Workspace(workspace) => who.workspace == *workspace,
        };
        let all = workspaces.values().map(|workspace| &workspace.who);
        let mut members: Vec<Who> = all.filter(is_below).cloned().collect();
        members.sort_by(|a, b| a.workspace.cmp(&b.workspace));
        members
    }

    /// How long these workspaces may be silent is asked of the generation in
    /// force. Their silence counts on.
    pub fn silence_limits_changed(&self, workspaces: &[Who]) {
        for who in workspaces {
            if let Some(workspace) = self.workspace(&who.workspace) {
                let limit = self.0.current.silence_limit(who, &workspace.spec.labels);
                self.0.ports.heartbeats.limit_silence(&who.workspace, limit);
            }
        }
    }

    /// The same for everybody.
    pub fn all_silence_limits_changed(&self) {
        self.silence_limits_changed(&self.members_of(&Layer::Fleet));
    }

    /// Every workspace that shall run, with its labels.
    pub fn each_member(&self, mut each: impl FnMut(&Who, &[(String, String)])) {
        for workspace in self.all() {
            if workspace.live.lock().incident.standing() == Standing::Wanted {
                each(&workspace.who, &workspace.spec.labels);
            }
        }
    }

    /// A person, or a program on behalf of one, wants a restart. None: there is
    /// no such workspace.
    pub async fn want_restart(&self, workspace: &WorkspaceId, cause: RestartCause) -> Option<Wish> {
        let (supervisor, workspace) = (self.clone(), self.workspace(workspace)?);
        Some(self.see_through(async move { supervisor.wish(&workspace, cause).await }).await)
    }

    /// Stops the workspace; nothing restarts it until it is resumed (or, if
    /// hibernated, until a request wakes it).
    pub async fn rest(
        &self,
        workspace: &WorkspaceId,
        standing: Standing,
    ) -> Option<Result<(), Wish>> {
        let (supervisor, workspace) = (self.clone(), self.workspace(workspace)?);
        let rested = async move { supervisor.put_to_rest(&workspace, standing).await };
        Some(self.see_through(rested).await)
    }

    /// Brings a paused or hibernated workspace back.
    pub async fn bring_back(&self, workspace: &WorkspaceId) -> Option<Wish> {
        let (supervisor, workspace) = (self.clone(), self.workspace(workspace)?);
        Some(self.see_through(async move { supervisor.resume(&workspace).await }).await)
    }
}
