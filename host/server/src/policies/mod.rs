//! Policies while traffic flows: where components come from, which one judges,
//! and how another comes into its place.
//!
//! - [`Policies`]: load, activate, roll back, status; one change at a time
//! - [`boot`]: the first one, or the last good one if the configured one is bad
//! - [`watching`]: sources that change
//! - [`shelf`] and [`record`]: what is kept on disk, so that a host that is
//!   killed comes back with the old policy or the new one, whole
//! - [`sources`]: the folder of components, the golden table
//! - [`status`]: what is wanted, loaded and active, and why they differ
//!
//! The checks themselves are the runtime's (`reprieve_runtime::registry`). A
//! component's bytes are trusted by nobody until they have passed them.

mod boot;
mod record;
mod shelf;
mod sources;
mod status;
mod watching;

use std::{io, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use reprieve_core::{ids::Digest, ports::Clock, time::UnixMillis};
use reprieve_runtime::{
    Current, Engine, Policy,
    registry::{Candidate, Passage, Progress, Refused, Registry},
};

pub use self::{
    boot::{BootOptions, MakeFirst, boot},
    record::{Activation, How, MAX_WORDS_BYTES},
    sources::{StandardsUnusable, standards},
    status::{ALERTS, Alert, Difference, GenerationStatus, LoadedStatus, PoliciesStatus, Wish},
};
use self::{record::Record, shelf::Shelf};
use crate::config::policy::{PolicySource, built_in_names};

/// Names that a refusal tells of those that there are, and how much of the one that
/// is unknown.
const MAX_NAMES_TOLD: usize = 20;
const MAX_NAME_CHARS: usize = 80;

/// Who wants something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub by: String,
    pub why: String,
}

/// Why a policy does not come into force. What judges stays.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesFailure {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(
        "somebody changed the policy meanwhile: the record is at revision {found}, not at {expected}; look again and decide anew"
    )]
    Changed { found: u64, expected: u64 },
    #[error("sha256:{component} is not kept here; load it first")]
    Unknown { component: Digest },
    #[error("there is no policy before this one")]
    NothingBefore,
    #[error(
        "there is no component {name:?} in policy.folder, and none is built in; there are: {known}"
    )]
    NotInFolder { name: String, known: String },
}

/// A component that has passed everything but the last step, and is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub component: Digest,
    pub passage: Passage,
}

/// A policy that has come into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    pub activation: Activation,
    /// What judged until then.
    pub before: Option<Activation>,
    /// The generation that it judges in.
    pub generation: u64,
    /// Of the record, with this activation.
    pub revision: u64,
    pub passage: Passage,
}

/// The policies of a host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    current: Arc<Current>,
    shelf: Shelf,
    record_path: PathBuf,
    clock: SharedClock,
    configured: PolicySource,
    folder: Option<PathBuf>,
    /// Held by whoever brings something in: one at a time.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct SharedClock(Arc<dyn Clock>);

impl std::fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

#[derive(Debug)]
struct State {
    record: Record,
    /// The newest way into force, whether it led there or not.
    newest: Option<Progress>,
    wish: Option<Wish>,
    /// Checked, and waits.
    loaded: Option<Loaded>,
    /// What was wrong when the host started.
    at_start: Option<String>,
}

#[derive(Clone, Debug)]
struct Loaded {
    component: Digest,
    source: String,
    policy: Arc<Policy>,
}

impl Policies {
    pub fn current(&self) -> &Arc<Current> {
        &self.0.current
    }

    pub fn engine(&self) -> &Engine {
        self.0.registry.engine()
    }

    /// What an `If-Match` is held against.
    pub fn revision(&self) -> u64 {
        self.0.state.lock().record.revision
    }

    /// Checks a component, tries it with everybody's settings and the golden
    /// table, and keeps it. It does not come into force.
    pub async fn load(&self, candidate: Candidate, actor: &Actor) -> Result<Checked, Refused> {
        let _turn = self.0.turn.lock().await;
        self.load_in_turn(candidate, actor).await
    }

    /// The same with a built-in component, or with one of the folder by its
    /// file's name.
    pub async fn load_named(&self, name: &str, actor: &Actor) -> Result<Checked, PoliciesFailure> {
        let (inner, wanted) = (Arc::clone(&self.0), name.to_owned());
        let source = blocking(move || inner.named(&wanted)).await??;
        let _turn = self.0.turn.lock().await;
        let fetched = {
            let source = source.clone();
            blocking(move || source.fetch()).await.flatten()
        };
        let candidate = fetched.inspect_err(|refused| {
            let progress = self.0.wish_for(None, &source.name(), actor);
            self.0.refused(&progress, refused);
        })?;
        Ok(self.load_in_turn(candidate, actor).await?)
    }

    /// Puts a component in force that was loaded or was in force before.
    /// `if_match`: only if the record is still at that revision.
    pub async fn activate(
        &self,
        component: Digest,
        actor: &Actor,
        if_match: Option<u64>,
    ) -> Result<InForce, PoliciesFailure> {
        let _turn = self.0.turn.lock().await;
        self.0.unchanged_since(if_match)?;
        self.put_in_force(component, How::Activated, actor).await
    }

    /// Puts the policy in force again that was so before this one. That is an
    /// activation like any other: twice, and the first is back.
    pub async fn roll_back(
        &self,
        actor: &Actor,
        if_match: Option<u64>,
    ) -> Result<InForce, PoliciesFailure> {
        let _turn = self.0.turn.lock().await;
        self.0.unchanged_since(if_match)?;
        let before = self.0.state.lock().record.before().map(|before| before.component);
        let before = before.ok_or(PoliciesFailure::NothingBefore)?;
        self.put_in_force(before, How::RolledBack, actor).await
    }

    async fn load_in_turn(&self, candidate: Candidate, actor: &Actor) -> Result<Checked, Refused> {
        let digested = move || (Digest::of(&candidate.bytes), candidate);
        let (component, candidate) = blocking(digested).await?;
        let progress = self.0.wish_for(Some(component), &candidate.source, actor);
        match self.checked(component, candidate, &progress).await {
            Ok(loaded) => {
                tracing::info!(policy = loaded.policy.label(), component = %component,
                    source = loaded.source, by = actor.by, "policy loaded");
                self.0.state.lock().loaded = Some(loaded);
                Ok(Checked { component, passage: progress.passage() })
            }
            Err(refused) => {
                self.0.refused(&progress, &refused);
                Err(refused)
            }
        }
    }

    async fn checked(
        &self,
        component: Digest,
        candidate: Candidate,
        progress: &Progress,
    ) -> Result<Loaded, Refused> {
        let source = candidate.source.clone();
        let policy = self.0.registry.vet(candidate.clone(), progress).await?;
        let (inner, trying, progress) =
            (Arc::clone(&self.0), Arc::clone(&policy), progress.clone());
        blocking(move || {
            inner.registry.rehearse(&inner.current, &trying, &progress)?;
            inner.keep(&candidate).map_err(|source| Refused::NotKept { source })
        })
        .await??;
        Ok(Loaded { component, source, policy })
    }

    async fn put_in_force(
        &self,
        component: Digest,
        how: How,
        actor: &Actor,
    ) -> Result<InForce, PoliciesFailure> {
        let source = self.0.source_of(component);
        if !self.0.shelf.has(component) {
            return Err(PoliciesFailure::Unknown { component });
        }
        let progress = self.0.wish_for(Some(component), &source, actor);
        let activated = self.swap(component, source, how, actor, &progress).await;
        match &activated {
            Ok(InForce { activation: Activation { policy, by, why, .. }, .. }) => {
                tracing::info!(policy, component = %component, by, why, ?how, "policy activated");
            }
            Err(refused) => self.0.refused(&progress, refused),
        }
        Ok(activated?)
    }

    async fn swap(
        &self,
        component: Digest,
        source: String,
        how: How,
        actor: &Actor,
        progress: &Progress,
    ) -> Result<InForce, Refused> {
        let policy = match self.0.ready(component) {
            Some(policy) => policy,
            None => {
                let (inner, source) = (Arc::clone(&self.0), source.clone());
                let kept = blocking(move || inner.shelf.get(component, &source)).await??;
                self.0.registry.vet(kept, progress).await?
            }
        };
        let activation = Activation {
            component,
            policy: policy.label().to_owned(),
            source,
            how,
            at: self.0.now(),
            by: bounded(&actor.by),
            why: bounded(&actor.why),
        };
        let (inner, progress) = (Arc::clone(&self.0), progress.clone());
        blocking(move || {
            let before = inner.state.lock().record.active().cloned();
            let keep = || inner.remember(activation.clone());
            let generation =
                inner.registry.activate(&inner.current, &policy, &progress, keep)?.number();
            let mut state = inner.state.lock();
            state.loaded.take_if(|loaded| loaded.component == component);
            let (revision, passage) = (state.record.revision, progress.passage());
            Ok(InForce { activation, before, generation, revision, passage })
        })
        .await
        .flatten()
    }
}

impl Inner {
    fn now(&self) -> UnixMillis {
        self.clock.0.now()
    }

    fn unchanged_since(&self, if_match: Option<u64>) -> Result<(), PoliciesFailure> {
        let found = self.state.lock().record.revision;
        match if_match {
            Some(expected) if expected != found => {
                Err(PoliciesFailure::Changed { found, expected })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What a name stands for: a policy that the program carries, or a file of the
    /// folder.
    fn named(&self, name: &str) -> Result<PolicySource, PoliciesFailure> {
        if let Some(built_in) = PolicySource::of_built_in(name) {
            return Ok(built_in);
        }
        let folder = self.folder.as_deref();
        let known = folder.and_then(|folder| sources::components_in(folder).ok());
        let known = known.unwrap_or_default();
        let is_named = |path: &&PathBuf| {
            path.file_name().is_some_and(|file| file == name)
                || path.file_stem().is_some_and(|stem| stem == name)
        };
        if let Some(path) = known.iter().find(is_named) {
            return Ok(PolicySource::File(path.clone()));
        }
        let names = known.iter().filter_map(|path| path.file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        let known: Vec<_> = names.take(MAX_NAMES_TOLD).chain([built_in_names()]).collect();
        let (name, known) = (name.chars().take(MAX_NAME_CHARS).collect(), known.join(", "));
        Err(PoliciesFailure::NotInFolder { name, known })
    }

    /// A new way into force begins. None: what cannot be read has no digest.
    fn wish_for(&self, component: Option<Digest>, source: &str, actor: &Actor) -> Progress {
        let progress = Progress::new(source);
        let mut state = self.state.lock();
        state.newest = Some(progress.clone());
        let (source, by) = (source.to_owned(), bounded(&actor.by));
        state.wish = Some(Wish { component, source, by, at: self.now() });
        progress
    }

    fn refused(&self, progress: &Progress, refused: &Refused) {
        progress.failed(refused);
        let passage = progress.passage();
        let why = passage.failed.map(|failed| failed.why).unwrap_or_default();
        let step = refused.step().as_str();
        tracing::warn!(source = passage.source, step, why, "policy refused; what judges stays");
    }

    /// One that runs already: loaded, or standing in.
    fn ready(&self, component: Digest) -> Option<Arc<Policy>> {
        let loaded = self.state.lock().loaded.clone();
        let stand_in = || {
            let policy = Arc::clone(self.current.stand_in()?.policy());
            policy.confidence().is_trusted().then_some(policy)
        };
        let ready = loaded.map(|loaded| loaded.policy).filter(|p| p.digest() == component);
        ready.or_else(|| stand_in().filter(|policy| policy.digest() == component))
    }

    /// What messages call where a component came from.
    fn source_of(&self, component: Digest) -> String {
        let state = self.state.lock();
        let loaded = state.loaded.iter().map(|loaded| (loaded.component, &loaded.source));
        let activations =
            state.record.activations.iter().map(|before| (before.component, &before.source));
        let mut known = loaded.chain(activations);
        let source = known.find(|(of, _)| *of == component).map(|(_, source)| source.clone());
        source.unwrap_or_else(|| format!("sha256:{component}"))
    }

    /// Puts a component on the shelf.
    fn keep(&self, candidate: &Candidate) -> io::Result<()> {
        self.shelf.put(candidate)?;
        let mut wanted = self.state.lock().record.wanted();
        wanted.insert(Digest::of(&candidate.bytes));
        self.shelf.tidy(&wanted)
    }

    /// Writes down that a policy comes into force. From here on a host that is
    /// killed comes back with it.
    fn remember(&self, activation: Activation) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut next = state.record.with(activation);
        // What people want from now on goes before what the configuration says
        // today; a change of the configuration goes before it again.
        if let Some(configured) = boot::digest_of(&self.configured) {
            next.seen.insert(boot::CONFIGURED.to_owned(), configured);
        }
        next.write(&self.record_path)?;
        state.record = next;
        state.at_start = None;
        Ok(())
    }
}

/// Work that blocks, off the threads that judge.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work).await.map_err(|_ended| Refused::Aborted)
}

fn bounded(words: &str) -> String {
    words[..words.floor_char_boundary(MAX_WORDS_BYTES)].to_owned()
}

#[cfg(test)]
mod tests;
