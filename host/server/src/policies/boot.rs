//! The first policy of a host: the one that judged when it stopped, or the one
//! that the configuration names if that has changed; and if that one is bad, the
//! last good one, loudly.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, anyhow};
use parking_lot::Mutex;
use reprieve_core::{ids::Digest, ports::Clock};
use reprieve_runtime::{
    Current, Engine, EngineOptions, Generation, GenerationRefused, Policy,
    registry::{Candidate, Passage, Progress, Refused, Registry},
};

use super::{
    Activation, How, Inner, Policies, SharedClock, State, Wish, blocking,
    changes::Queues,
    record::Record,
    shelf::Shelf,
    sources,
    wishes::{Origin, Unmet},
};
use crate::config::{PolicyConfig, policy::PolicySource};

/// Under which name the record keeps what the configuration named.
pub(super) const CONFIGURED: &str = "configured";
/// Policies of the past that are tried when the configured one is bad.
const MAX_LAST_GOOD: usize = 3;

/// Gives a policy everybody's settings.
pub type MakeFirst =
    Arc<dyn Fn(Arc<Policy>) -> Result<Generation, GenerationRefused> + Send + Sync>;

/// What a host starts with.
pub struct BootOptions<'a> {
    pub config: &'a PolicyConfig,
    /// What the configuration or the command line names.
    pub source: PolicySource,
    pub state_dir: &'a Path,
    /// Where compiled policies are kept.
    pub cache_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub first: MakeFirst,
    /// What experiments try; it stays on the shelf.
    pub pinned: BTreeSet<Digest>,
}

impl std::fmt::Debug for BootOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootOptions").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What is to be tried, in order.
struct Try {
    how: How,
    source: String,
    candidate: Result<Candidate, Refused>,
}

/// Brings the first policy into force. The error is that of the configured one:
/// there was no last good one to go on with.
pub async fn boot(options: BootOptions<'_>) -> anyhow::Result<Policies> {
    let BootOptions { config, source, state_dir, cache_dir, clock, first, pinned } = options;
    let engine =
        Engine::new(EngineOptions { cache_dir: Some(cache_dir), ..EngineOptions::default() })?;
    let registry = Registry::new(engine, sources::standards(config)?);
    let record_path = Record::path(state_dir);
    let folder = state_dir.join("policies");
    let cannot_keep = || format!("cannot keep policies in {}", folder.display());
    let shelf = Shelf::open(folder.clone()).with_context(cannot_keep)?;
    let record = Record::read(&record_path)
        .with_context(|| format!("cannot read {}", record_path.display()))?
        .unwrap_or_default();

    let Begun { began, generation, progress, trouble } =
        begin(&registry, tries(&source, &record, &shelf), &record, &first).await?;
    let at_start = (!trouble.is_empty()).then(|| trouble.join("; "));
    let by = if began.how == How::Configured { "configuration" } else { "host" };
    let activation = Activation {
        component: Digest::of(&began.candidate.bytes),
        policy: generation.policy().label().to_owned(),
        source: began.candidate.source.clone(),
        how: began.how,
        at: clock.now(),
        by: by.to_owned(),
        why: at_start.clone().unwrap_or_else(|| "the host started".to_owned()),
    };
    let current = Current::new(generation)
        .judging_twice(u32::try_from(config.double_judgement.get()).unwrap_or(0));
    let wish = at_start.is_some().then(|| Wish {
        component: digest_of(&source),
        source: source.name(),
        by: "configuration".to_owned(),
        at: clock.now(),
    });
    let unmet =
        wish.clone().zip(at_start).map(|(wish, why)| (Origin::Configured, Unmet { wish, why }));
    let unmet = unmet.into_iter().collect();
    let state = State { record, newest: Some(progress), wish, unmet, loaded: None };
    let policies = Policies(Arc::new(Inner {
        registry,
        current: Arc::new(current),
        shelf,
        record_path,
        clock: SharedClock(clock),
        configured: source,
        folder: config.folder.clone(),
        queues: Queues::new(),
        state: Mutex::new(state),
        pinned: Mutex::new(pinned),
    }));
    policies.0.began_with(&began.candidate, activation).with_context(cannot_keep)?;
    Ok(policies)
}

/// The first that was good.
struct Begun {
    began: Good,
    generation: Generation,
    progress: Progress,
    /// Why those before it were not.
    trouble: Vec<String>,
}

struct Good {
    how: How,
    candidate: Candidate,
}

async fn begin(
    registry: &Registry,
    tries: Vec<Try>,
    record: &Record,
    first: &MakeFirst,
) -> anyhow::Result<Begun> {
    let last_good = record.active().map(|active| active.component);
    let (mut trouble, mut refusal) = (Vec::new(), None);
    for Try { how, source, candidate } in tries {
        let progress = Progress::new(&source);
        let refused = match pass(registry, candidate, first, &progress).await {
            Ok((candidate, generation)) => {
                let began = Good { how, candidate };
                return Ok(Begun { began, generation, progress, trouble });
            }
            Err(refused) => refused,
        };
        progress.failed(&refused);
        let Passage { component, failed, .. } = progress.passage();
        let why = failed.map(|failed| failed.why).unwrap_or_default();
        tracing::error!(source, step = refused.step().as_str(), why, "the policy is not good");
        trouble.push(format!("{source}: {why}"));
        // It judged by other settings: those are what is wrong, and another policy
        // is no answer to that.
        let is_settings = matches!(refused, Refused::Settings(_)) && component == last_good;
        refusal
            .get_or_insert_with(|| anyhow::Error::new(refused).context(format!("policy {source}")));
        if is_settings {
            break;
        }
    }
    Err(refusal.unwrap_or_else(|| anyhow!("there is no policy to try")))
}

/// The digest of what the configuration names now. None: it cannot be read.
pub(super) fn digest_of(source: &PolicySource) -> Option<Digest> {
    source.bytes().ok().map(|bytes| Digest::of(&bytes))
}

/// What judged when the host stopped, unless the configuration names something
/// else now than it did then; and what judged before.
fn tries(source: &PolicySource, record: &Record, shelf: &Shelf) -> Vec<Try> {
    let configured = Try { how: How::Configured, source: source.name(), candidate: source.fetch() };
    let named = configured.candidate.as_ref().ok().map(|c| Digest::of(&c.bytes));
    let is_as_before = named.is_some() && record.seen.get(CONFIGURED).copied() == named;
    let of_the_past = |component: Digest, how| {
        let activation = record.activations.iter().find(|past| past.component == component);
        let source = activation.map_or_else(String::new, |past| past.source.clone());
        Try { how, candidate: shelf.get(component, &source), source }
    };
    let mut tries = Vec::new();
    let mut past = record.components();
    match record.active() {
        // Somebody activated another one since.
        Some(active) if is_as_before && Some(active.component) != named => {
            tries.push(of_the_past(active.component, active.how));
            past.retain(|component| *component != active.component);
        }
        Some(_) | None => tries.push(configured),
    }
    past.retain(|component| Some(*component) != named || tries[0].how != How::Configured);
    tries.extend(past.into_iter().take(MAX_LAST_GOOD).map(|past| of_the_past(past, How::LastGood)));
    tries
}

async fn pass(
    registry: &Registry,
    candidate: Result<Candidate, Refused>,
    first: &MakeFirst,
    progress: &Progress,
) -> Result<(Candidate, Generation), Refused> {
    let candidate = candidate?;
    let policy = registry.vet(candidate.clone(), progress).await?;
    let first = Arc::clone(first);
    let made = blocking(move || first(policy)).await?;
    let generation = registry.first(made, progress)?;
    Ok((candidate, generation))
}

impl Inner {
    /// Writes down what the host starts with, unless it goes on with what it had.
    fn began_with(&self, candidate: &Candidate, activation: Activation) -> std::io::Result<()> {
        self.shelf.put(candidate, &activation.policy)?;
        let mut state = self.state.lock();
        let goes_on =
            state.record.active().is_some_and(|active| active.component == activation.component);
        let mut next = match goes_on {
            true => state.record.clone(),
            false => state.record.with(activation.clone()),
        };
        // A bad one is tried again at the next start: it may have been mended.
        if activation.how == How::Configured {
            next.seen.insert(CONFIGURED.to_owned(), activation.component);
        }
        if next != state.record {
            next.write(&self.record_path)?;
            state.record = next;
        }
        let mut wanted = state.record.wanted();
        wanted.extend(self.pinned.lock().iter());
        self.shelf.tidy(&wanted)?;
        drop(state);
        self.forget_compiled();
        Ok(())
    }
}
