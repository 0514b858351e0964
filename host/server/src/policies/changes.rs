//! How a component is loaded and put in force, and who waits for whom.
//!
//! What takes long, or for ever (files, compilers), is done before the turn; in the
//! turn a policy is only tried, kept and put in place. So whoever rolls back waits
//! for nobody's compiler. Loads compile one after the other.

use std::{sync::Arc, time::Duration};

use reprieve_core::ids::Digest;
use reprieve_runtime::{
    Policy,
    registry::{Candidate, Progress, Refused},
};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{
    Activation, Actor, Checked, How, InForce, Loaded, Policies, PoliciesFailure, blocking, boot,
    bounded,
    wishes::{Origin, Way},
};
use crate::config::policy::PolicySource;

/// Loads at once, those that wait for the compiler included.
const MAX_LOADS: usize = 16;
/// Activations and rollbacks at once, those that wait included.
const MAX_CHANGES: usize = 64;
/// How long an activation waits to hear what the configured file holds now.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// Those who wait, and those whose turn it is.
#[derive(Debug)]
pub(super) struct Queues {
    loads: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    /// Held by whoever changes what is kept, loaded or in force, to the end of the
    /// change, even if he who asked for it has gone.
    turn: Arc<Mutex<()>>,
    /// At the configured file; one that hangs keeps no more threads than its own.
    look: Arc<Semaphore>,
}

impl Queues {
    pub(super) fn new() -> Self {
        Self {
            loads: Arc::new(Semaphore::new(MAX_LOADS)),
            changes: Arc::new(Semaphore::new(MAX_CHANGES)),
            turn: Arc::default(),
            look: Arc::new(Semaphore::new(1)),
        }
    }

    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    fn to_load(&self) -> Result<OwnedSemaphorePermit, PoliciesFailure> {
        let place = Arc::clone(&self.loads).try_acquire_owned();
        place.map_err(|_full| PoliciesFailure::Crowded { limit: MAX_LOADS })
    }

    fn to_change(&self) -> Result<OwnedSemaphorePermit, PoliciesFailure> {
        let place = Arc::clone(&self.changes).try_acquire_owned();
        place.map_err(|_full| PoliciesFailure::Crowded { limit: MAX_CHANGES })
    }
}

#[cfg(test)]
impl Queues {
    /// Takes every place.
    pub(super) fn fill(&self) -> [OwnedSemaphorePermit; 2] {
        let all = |places: &Arc<Semaphore>, limit: usize| {
            Arc::clone(places).try_acquire_many_owned(u32::try_from(limit).unwrap()).unwrap()
        };
        [all(&self.loads, MAX_LOADS), all(&self.changes, MAX_CHANGES)]
    }
}

impl Policies {
    /// Checks a component, tries it with everybody's settings and the golden
    /// table, and keeps it. It does not come into force.
    pub async fn load(
        &self,
        candidate: Candidate,
        actor: &Actor,
    ) -> Result<Checked, PoliciesFailure> {
        let _place = self.0.queues.to_load()?;
        Ok(self.bring(candidate, actor, Origin::People).await?)
    }

    /// The same with a built-in component, or with one of the folder by its
    /// file's name.
    pub async fn load_named(&self, name: &str, actor: &Actor) -> Result<Checked, PoliciesFailure> {
        let place = Arc::new(self.0.queues.to_load()?);
        let (inner, wanted, held) = (Arc::clone(&self.0), name.to_owned(), Arc::clone(&place));
        let (source, fetched) = blocking(move || {
            // Of a file system that hangs, too: it is its thread that is bounded.
            let _held = held;
            let source = inner.named(&wanted)?;
            let fetched = source.fetch();
            Ok::<_, PoliciesFailure>((source, fetched))
        })
        .await??;
        let candidate = fetched.inspect_err(|refused| {
            let way = self.0.begins(None, &source.name(), actor, Origin::People);
            self.0.refused(&way, refused);
        })?;
        Ok(self.bring(candidate, actor, Origin::People).await?)
    }

    /// Puts a component in force that was loaded or was in force before.
    /// `if_match`: only if the record is still at that revision.
    pub async fn activate(
        &self,
        component: Digest,
        actor: &Actor,
        if_match: Option<u64>,
    ) -> Result<InForce, PoliciesFailure> {
        let _place = self.0.queues.to_change()?;
        self.put_in_force(component, How::Activated, actor, if_match).await
    }

    /// Puts the policy in force again that was so before this one. That is an
    /// activation like any other: twice, and the first is back.
    pub async fn roll_back(
        &self,
        actor: &Actor,
        if_match: Option<u64>,
    ) -> Result<InForce, PoliciesFailure> {
        let _place = self.0.queues.to_change()?;
        let (before, revision) = {
            let record = &self.0.state.lock().record;
            (record.before().map(|before| before.component), record.revision)
        };
        self.0.unchanged_since(if_match)?;
        let before = before.ok_or(PoliciesFailure::NothingBefore)?;
        // Which one is before is so at that revision, and at no other.
        self.put_in_force(before, How::RolledBack, actor, Some(revision)).await
    }

    pub(super) async fn bring(
        &self,
        candidate: Candidate,
        actor: &Actor,
        origin: Origin,
    ) -> Result<Checked, Refused> {
        let digested = move || (Digest::of(&candidate.bytes), candidate);
        let (component, candidate) = blocking(digested).await?;
        let way = self.0.begins(Some(component), &candidate.source, actor, origin);
        match self.checked(component, candidate, &way).await {
            Ok(Loaded { source, policy, .. }) => {
                tracing::info!(policy = policy.label(), component = %component, source,
                    by = actor.by, "policy loaded");
                Ok(Checked { component, passage: way.progress.passage() })
            }
            Err(refused) => {
                self.0.refused(&way, &refused);
                let inner = Arc::clone(&self.0);
                blocking(move || inner.forget_compiled()).await?;
                Err(refused)
            }
        }
    }

    async fn checked(
        &self,
        component: Digest,
        candidate: Candidate,
        way: &Way,
    ) -> Result<Loaded, Refused> {
        let policy = self.0.registry.vet(candidate.clone(), &way.progress).await?;
        let turn = self.0.queues.turn().await;
        let (inner, progress, origin) = (Arc::clone(&self.0), way.progress.clone(), way.origin);
        blocking(move || {
            let _turn = turn;
            inner.registry.rehearse(&inner.current, &policy, &progress)?;
            let kept = inner.keep(&candidate, policy.label());
            kept.map_err(|source| Refused::NotKept { source })?;
            inner.forget_compiled();
            let loaded = Loaded { component, source: candidate.source, policy };
            let mut state = inner.state.lock();
            state.loaded = Some(loaded.clone());
            state.unmet.remove(&origin);
            Ok(loaded)
        })
        .await
        .flatten()
    }

    pub(super) async fn put_in_force(
        &self,
        component: Digest,
        how: How,
        actor: &Actor,
        if_match: Option<u64>,
    ) -> Result<InForce, PoliciesFailure> {
        self.0.unchanged_since(if_match)?;
        let source = self.0.source_of(component);
        if !self.0.shelf.has(component) {
            return Err(PoliciesFailure::Unknown { component });
        }
        let origin = match how {
            How::Configured | How::Watched | How::LastGood => Origin::Configured,
            How::Activated | How::RolledBack => Origin::People,
        };
        let way = self.0.begins(Some(component), &source, actor, origin);
        let done = match self.vetted(component, &source, &way.progress).await {
            Ok(policy) => self.swap(policy, source, how, actor, if_match, &way.progress).await,
            Err(refused) => Err(refused.into()),
        };
        match &done {
            Ok(InForce { activation: Activation { policy, by, why, .. }, .. }) => {
                tracing::info!(policy, component = %component, by, why, ?how, "policy activated");
            }
            Err(PoliciesFailure::Refused(refused)) => self.0.refused(&way, refused),
            // Nothing is wrong with it.
            Err(
                PoliciesFailure::Changed { .. }
                | PoliciesFailure::Unknown { .. }
                | PoliciesFailure::NothingBefore
                | PoliciesFailure::Crowded { .. }
                | PoliciesFailure::NotInFolder { .. },
            ) => {}
        }
        done
    }

    /// As it runs, or from the shelf. Only if it has to be compiled anew, because its
    /// compilation was forgotten, it waits for those who are at the compiler.
    pub(super) async fn vetted(
        &self,
        component: Digest,
        source: &str,
        progress: &Progress,
    ) -> Result<Arc<Policy>, Refused> {
        if let Some(policy) = self.0.ready(component) {
            return Ok(policy);
        }
        let (inner, source) = (Arc::clone(&self.0), source.to_owned());
        let kept = blocking(move || inner.shelf.get(component, &source)).await??;
        self.0.registry.vet(kept, progress).await
    }

    async fn swap(
        &self,
        policy: Arc<Policy>,
        source: String,
        how: How,
        actor: &Actor,
        if_match: Option<u64>,
        progress: &Progress,
    ) -> Result<InForce, PoliciesFailure> {
        let (by, why) = (bounded(&actor.by), bounded(&actor.why));
        let configured = self.configured_now().await;
        let turn = self.0.queues.turn().await;
        let (inner, progress) = (Arc::clone(&self.0), progress.clone());
        blocking(move || {
            let _turn = turn;
            inner.unchanged_since(if_match)?;
            let (component, label) = (policy.digest(), policy.label().to_owned());
            let at = inner.now();
            let activation = Activation { component, policy: label, source, how, at, by, why };
            let before = inner.state.lock().record.active().cloned();
            let keep = || inner.remember(activation.clone(), configured);
            let generation =
                inner.registry.activate(&inner.current, &policy, &progress, keep)?.number();
            let mut state = inner.state.lock();
            state.loaded.take_if(|loaded| loaded.component == component);
            let (revision, passage) = (state.record.revision, progress.passage());
            Ok(InForce { activation, before, generation, revision, passage })
        })
        .await?
    }

    /// The digest of what the configuration names. None: it cannot be read, or not
    /// soon.
    async fn configured_now(&self) -> Option<Digest> {
        let looking = Arc::clone(&self.0.queues.look).try_acquire_owned().ok()?;
        let configured: PolicySource = self.0.configured.clone();
        let look = blocking(move || {
            let _looking = looking;
            boot::digest_of(&configured)
        });
        tokio::time::timeout(LOOK_WITHIN, look).await.ok()?.ok()?
    }
}
