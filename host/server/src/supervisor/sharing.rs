//! One judgement at a time of each workspace, which whoever asks meanwhile shares: a
//! storm of failing requests is one probe.

use std::sync::Arc;

use reprieve_core::{
    decision::{Finding, Outcome},
    ids::DecisionId,
    judgement::Trigger,
};
use tokio::sync::watch;
use tracing::Instrument as _;

use super::{Supervisor, witness::Shown, workspace::Workspace};
use crate::{proxy::fleet::Judged, telemetry::traces::spans};

/// What comes of a judgement under way, once it has.
pub(super) type Coming = watch::Receiver<Option<Judged>>;

impl Supervisor {
    /// Judges a workspace and acts on the verdict, or shares the judgement of it that is
    /// under way.
    pub(super) async fn judge(&self, workspace: &Arc<Workspace>, trigger: Trigger) -> Judged {
        let (coming, _) = self.join_or_begin(workspace, trigger, None);
        came_of(coming).await
    }

    /// The same, because of what the runtime reports and may have shown with it. The
    /// judgement under way may have looked before that: then it is judged once more.
    pub(super) async fn judge_reported(
        &self,
        workspace: &Arc<Workspace>,
        trigger: Trigger,
        shown: Option<Shown>,
    ) {
        let (coming, joined) = self.join_or_begin(workspace, trigger, shown.clone());
        came_of(coming).await;
        let is_owed = || {
            let live = workspace.live.lock();
            live.may_be_judged() && live.owes_a_look()
        };
        if joined && is_owed() && !self.0.stop.is_cancelled() {
            came_of(self.join_or_begin(workspace, trigger, shown).0).await;
        }
    }

    /// Whether it was under way before.
    fn join_or_begin(
        &self,
        workspace: &Arc<Workspace>,
        trigger: Trigger,
        shown: Option<Shown>,
    ) -> (Coming, bool) {
        let mut under_way = workspace.under_way.lock();
        if let Some(shared) = &*under_way {
            return (shared.clone(), true);
        }
        let (publish, coming) = watch::channel(None);
        *under_way = Some(coming.clone());
        // A task of its own: a caller who goes away leaves no verdict half carried out.
        let span = spans::judge(trigger, workspace.id(), &workspace.spec.tenant);
        let of = Arc::clone(workspace);
        let through = self.clone().judge_through(of, trigger, shown, publish);
        self.spawn(through.instrument(span));
        (coming, false)
    }

    async fn judge_through(
        self,
        workspace: Arc<Workspace>,
        trigger: Trigger,
        shown: Option<Shown>,
        publish: watch::Sender<Option<Judged>>,
    ) {
        let under_way = UnderWay(&workspace);
        let ruled = self.look_until_decided(&workspace, trigger, shown).await;
        let judged = self.conclude(&workspace, trigger, ruled).await;
        drop(under_way);
        publish.send_replace(Some(judged));
    }
}

async fn came_of(mut coming: Coming) -> Judged {
    let judged = coming.wait_for(Option::is_some).await.map(|judged| judged.clone());
    judged.ok().flatten().unwrap_or_else(|| Judged {
        // The task ended without a verdict: the host is stopping.
        decision: DecisionId("none".to_owned()),
        finding: Finding::Busy { retry_after: Outcome::FALL_BACK_RETRY },
    })
}

/// Clears the judgement under way, also if its task is dropped.
struct UnderWay<'a>(&'a Workspace);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.under_way.lock() = None;
    }
}
