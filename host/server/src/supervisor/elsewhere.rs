//! What people do with the runtime itself, past this host: they start and stop
//! workspaces, make new ones and take them away.

use std::{sync::Arc, time::Duration};

use reprieve_core::{
    evidence::StoreFault,
    ids::{LifeId, WorkspaceId},
    ports::{LifeMark, NotBegun},
    settings::Settings,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Generation, GenerationRefused};
use url::Url;

use super::{Supervisor, WorkspaceSpec, workspace::Workspace};

/// Who restarts a workspace by hand may go on to restart those that depend on
/// it: so long they are left to him.
const OTHERS_BY_HAND: Duration = Duration::from_secs(10);

/// Why a workspace that a runtime describes is not taken on.
#[derive(Debug, thiserror::Error)]
pub enum NotTakenOn {
    #[error("the policy refuses its settings")]
    Settings(#[from] GenerationRefused),
    #[error("what is known of it cannot be read")]
    Store(#[from] StoreFault),
    #[error("checking its settings was cut off")]
    Interrupted,
}

impl Supervisor {
    /// Takes on a workspace that a runtime describes, or what is new about one
    /// that it described before. `address`: where its run listens, if it runs.
    pub async fn found(
        &self,
        spec: WorkspaceSpec,
        labels: Settings,
        address: Option<Url>,
    ) -> Result<(), NotTakenOn> {
        self.adopt_settings(&spec, labels).await?;
        let id = spec.id.clone();
        if let Some(known) = self.workspace(&id) {
            if known.spec == spec {
                self.silence_limits_changed(std::slice::from_ref(&known.who));
                known.placed_at(address);
                return Ok(());
            }
            // Whoever holds the former one ends what it began; the store sees to
            // it that no second restart begins meanwhile.
            known.timers.clear();
        }
        self.take_on(spec).await?;
        if let Some(workspace) = self.workspace(&id) {
            workspace.placed_at(address);
        }
        Ok(())
    }

    /// A person took the workspace away: nobody watches it any more. What waits
    /// for it stays queued until it comes back or is stale.
    pub async fn withdrawn(&self, workspace: &WorkspaceId) {
        let Some(workspace) = self.0.workspaces.write().remove(workspace) else { return };
        workspace.timers.clear();
        self.0.ports.heartbeats.watch(workspace.id(), None, self.now());
        self.0.surroundings.wanted(&workspace.who, false, self.now());
        let (id, tenant) = (workspace.id().clone(), &workspace.spec.tenant);
        let known = self.0.current.snapshot();
        if !known.knows_workspace(&id, tenant, &Settings::new())
            && self.update(move |in_force| Ok(in_force.without_workspace(&id))).await.is_err()
        {
            tracing::error!(workspace = %workspace.id(), "its settings stay in force");
        }
        tracing::info!(workspace = %workspace.id(), "withdrawn");
        self.announce(workspace.id(), "withdrawn".to_owned());
    }

    /// What a runtime says of a workspace becomes part of the generation in force.
    async fn adopt_settings(
        &self,
        spec: &WorkspaceSpec,
        labels: Settings,
    ) -> Result<(), NotTakenOn> {
        let known = self.0.current.snapshot();
        if known.knows_workspace(&spec.id, &spec.tenant, &labels) {
            return Ok(());
        }
        let (id, tenant) = (spec.id.clone(), spec.tenant.clone());
        self.update(move |in_force| {
            let refused = match in_force.with_workspace(&id, &tenant, labels.clone()) {
                Ok(next) => return Ok(next),
                Err(refused) => refused,
            };
            // What was applied to it once must not keep it from being watched.
            let Ok(next) = in_force.with_workspace_set_aside(&id, &tenant, labels) else {
                return Err(refused);
            };
            tracing::error!(workspace = %id, %refused,
                "applied settings are set aside: the policy refuses them now; undo them, or apply others");
            Ok(next)
        })
        .await
    }

    /// An update waits for others, and some of them wait for the disk: never on
    /// the threads that serve requests.
    async fn update(
        &self,
        next: impl FnOnce(&Generation) -> Result<Generation, GenerationRefused> + Send + 'static,
    ) -> Result<(), NotTakenOn> {
        let current = Arc::clone(&self.0.current);
        let updated = tokio::task::spawn_blocking(move || current.update(next).map(drop)).await;
        Ok(updated.map_err(|_panicked| NotTakenOn::Interrupted)??)
    }

    /// The runtime reports that a run began.
    pub(super) async fn run_began(
        &self,
        workspace: &Arc<Workspace>,
        mark: Option<LifeMark>,
        address: Option<Url>,
    ) {
        let is_first = workspace.life() == LifeId::default();
        if !workspace.live.lock().notice_run(mark, address) {
            return;
        }
        self.began_elsewhere(workspace, self.now()).await;
        if !is_first {
            let (supervisor, parent) = (self.clone(), workspace.id().clone());
            self.spawn(async move {
                let left_to_him = tokio::time::sleep(OTHERS_BY_HAND);
                if supervisor.0.stop.run_until_cancelled(left_to_him).await.is_some() {
                    supervisor.restart_dependents(&parent).await;
                }
            });
        }
    }

    /// The runtime shows a run when this host begins to watch.
    pub(super) async fn run_seen(
        &self,
        workspace: &Arc<Workspace>,
        mark: Option<LifeMark>,
        uptime: Option<Millis>,
    ) {
        if workspace.live.lock().notice_run(mark, None) {
            let began = self.now() - uptime.unwrap_or_default();
            self.began_elsewhere(workspace, began).await;
        } else {
            self.save(workspace).await;
        }
    }

    async fn began_elsewhere(&self, workspace: &Arc<Workspace>, began: UnixMillis) {
        let of = workspace.life();
        let next = self.0.ports.restarts.began_elsewhere(workspace.id(), of, began).await;
        let life = match next {
            Ok(life) => life,
            Err(NotBegun::StoreUnavailable) => return self.store_failed(),
            // A restart of ours began meanwhile: the run is its own.
            Err(NotBegun::InFlight | NotBegun::LifeEnded { .. }) => return,
        };
        let steps = {
            let mut live = workspace.live.lock();
            live.ended_by_hand = None;
            live.incident.began_elsewhere(life, began)
        };
        self.claim_signs(workspace, life, began).await;
        tracing::info!(workspace = %workspace.id(), life = life.0, "runs; nobody here started it");
        self.announce(workspace.id(), "started elsewhere".to_owned());
        self.0.surroundings.wanted(&workspace.who, true, self.now());
        self.save(workspace).await;
        self.carry_out(workspace, steps, None).await;
    }

    /// Signs that came since the run began are its own: they came before it was
    /// known which life it is, and were taken for one of the life before.
    async fn claim_signs(&self, workspace: &Workspace, life: LifeId, began: UnixMillis) {
        let (id, heartbeats) = (workspace.id(), &self.0.ports.heartbeats);
        let signs = match heartbeats.at_hand(id) {
            Some(signs) => signs,
            None => match heartbeats.fetch(id).await {
                Ok(signs) => signs,
                Err(_) => return self.store_failed(),
            },
        };
        let is_its_own = |(at, of): &(UnixMillis, LifeId)| *of < life && *at >= began;
        if let Some((at, _)) = signs.beat.filter(is_its_own) {
            heartbeats.beat(id, life, at);
        }
        if let Some((at, _)) = signs.contact.filter(is_its_own) {
            heartbeats.contact(id, life, at);
        }
    }

    /// A person had the runtime end that run. It may be half of a restart by
    /// hand, so nothing is concluded before the policy rules it dead.
    pub(super) async fn run_ended_by_hand(
        &self,
        workspace: &Arc<Workspace>,
        mark: Option<LifeMark>,
    ) {
        workspace.live.lock().ended_by_hand = mark;
        self.save(workspace).await;
    }

    /// The run that was ruled dead is one that a person ended. A run of which
    /// nothing is left to be seen is taken for the one that was ended last.
    pub(super) fn ended_by_hand(&self, workspace: &Workspace, judged: Option<&LifeMark>) -> bool {
        let live = workspace.live.lock();
        live.ended_by_hand.as_ref().is_some_and(|ended| judged.is_none_or(|judged| judged == ended))
    }

    /// What a person stopped stays stopped.
    pub(super) async fn leave_stopped(&self, workspace: &Arc<Workspace>) {
        workspace.timers.clear();
        workspace.live.lock().incident.ended_by_hand();
        self.0.surroundings.wanted(&workspace.who, false, self.now());
        self.save(workspace).await;
        tracing::info!(workspace = %workspace.id(), "stopped by a person: left alone until it is started");
        self.announce(workspace.id(), "stopped by a person".to_owned());
    }
}
