//! What a restart means for those who depend on the workspace.

use std::sync::Arc;

use reprieve_core::{
    dependents, ids::WorkspaceId, incident::Wish, judgement::RestartCause, time::UnixMillis,
};

use super::{Supervisor, workspace::Workspace};

impl Supervisor {
    /// Restarts everything that depends on `parent`, directly or through others:
    /// each once, after those that it depends on, and only if its run is older
    /// than the parent's.
    pub(super) async fn restart_dependents(&self, parent: &WorkspaceId) {
        for dependent in self.dependents_of(parent) {
            if self.0.stop.is_cancelled() {
                return;
            }
            if self.began(dependent.id()) > self.began(parent) {
                continue;
            }
            self.restart_dependent(&dependent, parent).await;
        }
    }

    fn began(&self, workspace: &WorkspaceId) -> Option<UnixMillis> {
        self.0.ports.restarts.at_hand(workspace)?.began
    }

    async fn restart_dependent(&self, dependent: &Arc<Workspace>, parent: &WorkspaceId) {
        let carried_out = dependent.restarted.notified();
        tokio::pin!(carried_out);
        // From here on no end of a restart is missed.
        carried_out.as_mut().enable();
        let wish = self.wish(dependent, RestartCause::Dependency).await;
        tracing::info!(workspace = %dependent.id(), %parent, ?wish, "what it depends on was restarted");
        let is_in_flight = dependent.live.lock().incident.is_in_flight();
        if wish != Wish::Taken || !is_in_flight {
            // Dropped, put off or not allowed: the others need not wait for it.
            return;
        }
        let patience = self.0.options.restart_deadline.as_duration();
        if tokio::time::timeout(patience, carried_out).await.is_err() {
            tracing::warn!(workspace = %dependent.id(), %parent, "its restart takes too long; others go on");
        }
    }

    fn dependents_of(&self, parent: &WorkspaceId) -> Vec<Arc<Workspace>> {
        let all = self.all();
        let of_each = |of: &Arc<Workspace>| (of.id().clone(), of.spec.depends_on.clone());
        let depends_on = all.iter().map(of_each).collect();
        let ordered = dependents::in_order(parent, &depends_on);
        ordered.iter().filter_map(|id| self.workspace(id)).collect()
    }
}
