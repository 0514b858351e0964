//! What a restart means for those who depend on the workspace.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use reprieve_core::{ids::WorkspaceId, incident::Wish, judgement::RestartCause, time::UnixMillis};

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

    /// In the order in which they can be restarted. Whoever depends on itself
    /// through others comes once, and the parent never.
    fn dependents_of(&self, parent: &WorkspaceId) -> Vec<Arc<Workspace>> {
        let all = self.all();
        let closure = closure(&all, parent);
        let mut left: VecDeque<_> =
            all.into_iter().filter(|workspace| closure.contains(workspace.id())).collect();
        left.make_contiguous().sort_by(|a, b| a.id().cmp(b.id()));
        let mut ordered: Vec<Arc<Workspace>> = Vec::with_capacity(left.len());
        let mut turned_away = 0;
        while let Some(next) = left.pop_front() {
            let waits = next.spec.depends_on.iter().any(|on| {
                closure.contains(on) && !ordered.iter().any(|earlier| earlier.id() == on)
            });
            if waits && turned_away <= left.len() {
                turned_away += 1;
                left.push_back(next);
            } else {
                // After a full round nobody could go: a circle, broken here.
                turned_away = 0;
                ordered.push(next);
            }
        }
        ordered
    }
}

fn closure(all: &[Arc<Workspace>], parent: &WorkspaceId) -> BTreeSet<WorkspaceId> {
    let mut found = BTreeSet::new();
    let mut of = vec![parent.clone()];
    while let Some(on) = of.pop() {
        for workspace in all {
            let id = workspace.id();
            if workspace.spec.depends_on.contains(&on) && id != parent && found.insert(id.clone()) {
                of.push(id.clone());
            }
        }
    }
    found
}
