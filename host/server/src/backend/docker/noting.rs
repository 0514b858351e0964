//! What the daemon reports, taken note of: an event becomes a `RuntimeEvent`, or a
//! closer look.

use std::sync::Arc;

use reprieve_core::{
    ids::WorkspaceId,
    ports::{RuntimeEvent, RuntimeEventKind},
};

use super::{
    Shared,
    events::{Event, What},
    failure::CallFailure,
    names::ContainerId,
    slot::Slot,
};

impl Shared {
    /// An error means that the gap must be closed again. `is_live`: it happened
    /// while the daemon answered questions.
    pub(super) async fn take_note(
        self: &Arc<Self>,
        event: &Event,
        is_live: bool,
    ) -> Result<(), CallFailure> {
        let Event { workspace, container, at_nanos, what } = event;
        match what {
            What::Started | What::Renamed => {
                return self.look_closer(workspace, container).await;
            }
            What::Ended(_)
            | What::Stopped
            | What::Unhealthy
            | What::OutOfMemory
            | What::Removed => {}
        }
        let Some(slot) = self.slot(workspace) else { return Ok(()) };
        match what {
            What::Ended(exit_code) => self.note_end(&slot, container, *at_nanos, *exit_code).await,
            What::Stopped if is_live && self.serves(container).await => {
                if slot.stopped(container, *at_nanos) {
                    self.happened(&slot, RuntimeEventKind::StoppedByHand, slot.mark(), None).await;
                }
            }
            What::Unhealthy if slot.container() == *container => {
                self.happened(&slot, RuntimeEventKind::Unhealthy, slot.mark(), None).await;
            }
            What::OutOfMemory => {
                slot.wants_memory(container, *at_nanos);
                tracing::info!(%workspace, container = container.short(), "a process was killed for want of memory");
            }
            What::Removed if slot.removed(container, *at_nanos) => {
                return self.ask_after(&slot).await;
            }
            What::Stopped | What::Unhealthy | What::Removed => {}
            What::Started | What::Renamed => {}
        }
        Ok(())
    }

    /// Its newest run has ended. To ask the daemon now would mean to wait: it answers
    /// only once it has taken the container's network and mounts apart, and says
    /// no more than it has reported.
    pub(super) async fn note_end(
        &self,
        slot: &Slot,
        container: &ContainerId,
        at_nanos: u64,
        exit_code: Option<i32>,
    ) {
        let now = self.clock.now();
        if slot.ended(container, at_nanos, now) {
            let report = slot.report_of_end(at_nanos, exit_code, now);
            let (workspace, mark) = (slot.workspace.clone(), slot.mark());
            let (kind, report) = (RuntimeEventKind::Stopped, Some(report));
            self.send(RuntimeEvent { workspace, kind, mark, address: None, report }).await;
        }
    }

    /// A daemon that goes down stops its containers itself, and one that was killed
    /// stops those that it finds running when it comes back. Both look like a
    /// person's doing, and in both it answers no question at that time.
    async fn serves(&self, container: &ContainerId) -> bool {
        match self.daemon.inspect(container).await {
            Ok(_)
            | Err(
                CallFailure::Absent | CallFailure::Conflict { .. } | CallFailure::Refused { .. },
            ) => true,
            Err(CallFailure::Fault(_)) => false,
        }
    }

    /// A container began to run, or to be called something else: is it the one that
    /// runs the workspace?
    async fn look_closer(
        self: &Arc<Self>,
        workspace: &WorkspaceId,
        id: &ContainerId,
    ) -> Result<(), CallFailure> {
        if self.slot(workspace).is_some_and(|slot| slot.container() == *id) {
            return self.take_in(workspace, id).await;
        }
        let listed = self.list(Some(workspace)).await?;
        match self.best(workspace, &listed, Some(id)) {
            Some(id) => self.take_in(workspace, &id).await,
            None => Ok(()),
        }
    }
}
