//! Looks at a workspace's container, and believes that it is missing only if two
//! calls agree.

use std::sync::Arc;

use bollard::models::ContainerInspectResponse;
use reprieve_core::{evidence::ProbeFault, ids::WorkspaceId, ports::Look};
use url::Url;

use super::{
    Shared,
    container::{Container, Listed, address, newest_running},
    failure::CallFailure,
    labels::Description,
    names::ContainerId,
    recipe::parent_of,
    slot::Slot,
};

/// Containers that share a network with one that shares it with another, and so
/// on. Docker resolves no chain longer than one; this leaves room.
const MAX_SHARING: usize = 4;

/// What is there of a workspace.
#[derive(Debug)]
pub(super) enum Seen {
    There(Box<Container>),
    /// Positively: no container with its label exists.
    Gone,
}

impl Shared {
    pub(super) async fn look(
        self: &Arc<Self>,
        workspace: &WorkspaceId,
    ) -> Result<Look, ProbeFault> {
        // Whoever asks about a workspace that no container ever named is wrong
        // about its backend; that says nothing about the workspace.
        let slot = self.slot(workspace).ok_or(ProbeFault::Malformed)?;
        match self.see(&slot).await {
            Ok(Seen::There(container)) => {
                if slot.note(&container, None) {
                    self.keep_soon(&slot);
                }
                Ok(slot.in_context(container.look, self.clock.now()))
            }
            Ok(Seen::Gone) => Ok(slot.missing(self.clock.now())),
            Err(failure) => Err(failure.as_fault()),
        }
    }

    /// The container that runs the workspace now. One that took the place of the
    /// known one (recreated by Compose, or under the same name by hand) is it.
    pub(super) async fn see(&self, slot: &Slot) -> Result<Seen, CallFailure> {
        let known = slot.container();
        match self.inspect(&known, &slot.workspace).await {
            Ok(container) if container.runs() => Ok(Seen::There(Box::new(container))),
            Ok(container) => {
                let listed = self.listed(&slot.workspace).await?;
                match newest_running(&listed, Some(&known)) {
                    // It was there a moment ago.
                    None => Err(CallFailure::MALFORMED),
                    Some((best, _)) if best.id == known || !best.runs() => {
                        Ok(Seen::There(Box::new(container)))
                    }
                    Some((best, _)) => self.there(best).await,
                }
            }
            Err(CallFailure::Absent) => {
                let listed = self.listed(&slot.workspace).await?;
                if listed.iter().any(|one| one.id == known) {
                    // Not there, and there.
                    return Err(CallFailure::MALFORMED);
                }
                match newest_running(&listed, Some(&known)) {
                    None => Ok(Seen::Gone),
                    Some((best, _)) => self.there(best).await,
                }
            }
            Err(failure) => Err(failure),
        }
    }

    async fn there(&self, listed: &Listed) -> Result<Seen, CallFailure> {
        let workspace = listed.workspace.as_ref().map_err(|_| CallFailure::MALFORMED)?;
        match self.inspect(&listed.id, workspace).await {
            Ok(container) => Ok(Seen::There(Box::new(container))),
            // The list has just shown it.
            Err(CallFailure::Absent) => Err(CallFailure::MALFORMED),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn inspect(
        &self,
        id: &ContainerId,
        workspace: &WorkspaceId,
    ) -> Result<Container, CallFailure> {
        let response = self.daemon.inspect(id).await?;
        let container = Container::of(response, self.clock.now())?;
        // Labels do not change while a container exists.
        if container.workspace == *workspace { Ok(container) } else { Err(CallFailure::MALFORMED) }
    }

    /// Every container that names this workspace.
    async fn listed(&self, workspace: &WorkspaceId) -> Result<Vec<Listed>, CallFailure> {
        let listed = self.list(Some(workspace)).await?;
        if listed.iter().all(|one| one.workspace.as_ref() == Ok(workspace)) {
            Ok(listed)
        } else {
            Err(CallFailure::MALFORMED)
        }
    }

    /// Every container that names a workspace, or that one.
    pub(super) async fn list(&self, of: Option<&WorkspaceId>) -> Result<Vec<Listed>, CallFailure> {
        let listed = self.daemon.list(of).await?;
        listed.iter().map(|one| Listed::of(one).ok_or(CallFailure::MALFORMED)).collect()
    }

    /// Where it listens, while it runs: its own network's address, or that of the
    /// container whose network it shares.
    pub(super) async fn address(
        &self,
        container: &Container,
        description: &Description,
    ) -> Result<Option<Url>, CallFailure> {
        if !container.runs() {
            return Ok(None);
        }
        let mut of: ContainerInspectResponse = container.response.clone();
        for _ in 0..MAX_SHARING {
            let Some(parent) = parent_of(&of) else { return Ok(address(description, &of)) };
            let Ok(parent) = parent.parse() else { return Err(CallFailure::MALFORMED) };
            of = match self.daemon.inspect_name(&parent).await {
                Ok(parent) => parent,
                Err(CallFailure::Absent) => return Ok(None),
                Err(failure) => return Err(failure),
            };
        }
        Ok(None)
    }

    /// Whose network it shares, if that is a workspace too.
    pub(super) async fn parent(
        &self,
        container: &Container,
    ) -> Result<Option<WorkspaceId>, CallFailure> {
        let Some(parent) = container.recipe.parent() else { return Ok(None) };
        let is_known = |slot: &&Arc<Slot>| {
            let record = slot.record();
            record.container.as_str() == parent || record.name.as_str() == parent
        };
        if let Some(slot) = self.slots.read().values().find(is_known) {
            return Ok(Some(slot.workspace.clone()));
        }
        let Ok(parent) = parent.parse() else { return Err(CallFailure::MALFORMED) };
        match self.daemon.inspect_name(&parent).await {
            Ok(parent) => {
                Ok(Container::of(parent, self.clock.now()).ok().map(|parent| parent.workspace))
            }
            Err(CallFailure::Absent) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
