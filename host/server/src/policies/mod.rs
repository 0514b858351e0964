//! Policies while traffic flows: where components come from, which one judges,
//! and how another comes into its place.
//!
//! - [`Policies`]: load, activate, roll back, status
//! - [`changes`]: how each of them goes, one change at a time
//! - [`wishes`]: what was wanted and is not so
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
mod changes;
mod record;
mod shelf;
mod sources;
mod status;
mod watching;
mod wishes;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
};

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
    status::{
        ALERTS, Alert, Difference, GenerationStatus, Kept, LoadedStatus, PoliciesStatus, Wish,
    },
};
use self::{
    changes::Queues,
    record::Record,
    shelf::Shelf,
    wishes::{Origin, Unmet},
};
use crate::config::policy::{BUILT_IN, PolicySource, built_in_names};

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
    #[error("{limit} others wait already; come back later")]
    Crowded { limit: usize },
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
    queues: Queues,
    state: Mutex<State>,
    /// Kept on the shelf for experiments.
    pinned: Mutex<BTreeSet<Digest>>,
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
    unmet: BTreeMap<Origin, Unmet>,
    /// Checked, and waits.
    loaded: Option<Loaded>,
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

    /// A component that is kept here, to be tried beside what judges.
    pub async fn candidate(&self, component: Digest) -> Result<Arc<Policy>, PoliciesFailure> {
        if !self.0.shelf.has(component) {
            return Err(PoliciesFailure::Unknown { component });
        }
        let source = self.0.source_of(component);
        Ok(self.vetted(component, &source, &Progress::new(&source)).await?)
    }

    /// These are kept on the shelf, whatever is loaded, until this is called again.
    pub fn pin(&self, components: BTreeSet<Digest>) {
        *self.0.pinned.lock() = components;
    }

    pub fn engine(&self) -> &Engine {
        self.0.registry.engine()
    }

    /// What an `If-Match` is held against.
    pub fn revision(&self) -> u64 {
        self.0.state.lock().record.revision
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

    /// One that runs already: in force, loaded, or standing in. What judges keeps
    /// what is known of its conduct.
    fn ready(&self, component: Digest) -> Option<Arc<Policy>> {
        let in_force = Arc::clone(self.current.snapshot().policy());
        let loaded = self.state.lock().loaded.clone().map(|loaded| loaded.policy);
        let stand_in = self.current.stand_in().map(|stand_in| Arc::clone(stand_in.policy()));
        let stand_in = stand_in.filter(|policy| policy.confidence().is_trusted());
        let trials = self.current.trials();
        let tried = trials.iter().filter_map(|trial| Some(trial.candidate().ok()?.policy()));
        let ready = [Some(in_force), loaded, stand_in].into_iter().flatten();
        let mut ready = ready.chain(tried.cloned());
        ready.find(|policy| policy.digest() == component)
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

    /// Puts a component on the shelf, under the name that it gives itself.
    fn keep(&self, candidate: &Candidate, label: &str) -> io::Result<()> {
        self.shelf.put(candidate, label)?;
        let mut wanted = self.state.lock().record.wanted();
        wanted.extend(self.pinned.lock().iter());
        wanted.insert(Digest::of(&candidate.bytes));
        self.shelf.tidy(&wanted)
    }

    /// Removes compilations of what is neither kept nor alive. Blocks.
    fn forget_compiled(&self) {
        let forgotten = self.shelf.kept().and_then(|kept| {
            let alive = self.current.alive().into_iter().map(|alive| alive.component);
            let built_in = BUILT_IN.iter().map(|(_, bytes)| Digest::of(bytes));
            let but: BTreeSet<_> = kept.into_iter().chain(alive).chain(built_in).collect();
            self.registry.engine().forget_compiled(&but)
        });
        if let Err(error) = forgotten {
            tracing::warn!(%error, "compiled policies that nobody needs cannot be removed");
        }
    }

    /// Writes down that a policy comes into force. From here on a host that is
    /// killed comes back with it. Only in a turn, so nobody else writes meanwhile;
    /// whoever only reads waits for no disk.
    fn remember(&self, activation: Activation, configured: Option<Digest>) -> io::Result<()> {
        let mut next = self.state.lock().record.with(activation);
        // What people want from now on goes before what the configuration says
        // today; a change of the configuration goes before it again.
        if let Some(configured) = configured {
            next.seen.insert(boot::CONFIGURED.to_owned(), configured);
        }
        next.write(&self.record_path)?;
        let mut state = self.state.lock();
        state.record = next;
        state.unmet.clear();
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
