//! The generations that decided, rebuilt from what a decision says of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use reprieve_core::{
    decision::GenerationRef,
    ids::Digest,
    settings::{self, Settings, SettingsBook},
};
use reprieve_runtime::{Generation, Owners, Policy, Who};

use crate::Lab;

/// Rebuilt generations that are kept, the newest. A log has a handful.
const MAX_GENERATIONS: usize = 1_000;
/// Policies that are loaded at once: an engine has room for no more.
const MAX_POLICIES: usize = 12;

/// Why a decision cannot be run again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unknown {
    #[error("the component {} ({policy}) cannot be had", component.short())]
    Component { component: Digest, policy: String },
    #[error("the component {} ({policy}) cannot be loaded: {detail}", component.short())]
    Unloadable { component: Digest, policy: String, detail: String },
    #[error("the settings {} cannot be had", settings.short())]
    Settings { settings: Digest },
    #[error("the component {} ({policy}) refuses the settings {} now", component.short(), settings.short())]
    Refused { component: Digest, policy: String, settings: Digest },
}

type Rebuilt = Result<Arc<Generation>, Unknown>;

/// Where what decided can be had. What it gives is believed only if it has that
/// digest.
pub trait Source {
    /// The bytes of a component.
    fn component(&mut self, component: Digest) -> Option<Vec<u8>>;

    /// The effective settings of somebody at some time. The policy's defaults need
    /// not be asked for.
    fn settings(&mut self, who: &Who, settings: Digest) -> Option<Settings>;
}

/// Generations by the digests of their components and settings.
pub struct Archive {
    lab: Lab,
    source: Box<dyn Source>,
    policies: HashMap<Digest, Result<Arc<Policy>, Unknown>>,
    generations: HashMap<(Digest, Digest), Rebuilt>,
    /// In the order in which they were rebuilt.
    order: VecDeque<(Digest, Digest)>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("policies", &self.policies.len())
            .field("generations", &self.generations.len())
            .finish_non_exhaustive()
    }
}

impl Archive {
    pub fn new(lab: Lab, source: impl Source + 'static) -> Self {
        let (policies, generations, order) = Default::default();
        Self { lab, source: Box::new(source), policies, generations, order }
    }

    /// What decided. A number says nothing about another host's generations, so it
    /// is the digests that name it.
    pub(super) fn generation(
        &mut self,
        of: &GenerationRef,
        who: &Who,
    ) -> Result<&Generation, Unknown> {
        let key = (of.component, of.settings);
        if !self.generations.contains_key(&key) {
            let rebuilt = self.rebuild(of, who);
            if self.order.len() == MAX_GENERATIONS
                && let Some(oldest) = self.order.pop_front()
            {
                self.generations.remove(&oldest);
            }
            self.order.push_back(key);
            self.generations.insert(key, rebuilt);
        }
        match self.generations.get(&key) {
            Some(Ok(generation)) => Ok(generation),
            Some(Err(unknown)) => Err(unknown.clone()),
            None => Err(Unknown::Settings { settings: of.settings }),
        }
    }

    fn rebuild(&mut self, of: &GenerationRef, who: &Who) -> Rebuilt {
        let policy = self.policy(of)?;
        let none = Settings::new();
        let found = if settings::digest(&none) == of.settings {
            Some(none)
        } else {
            self.source.settings(who, of.settings)
        };
        let fits = |found: &Settings| settings::digest(found) == of.settings;
        let Some(settings) = found.filter(fits) else {
            return Err(Unknown::Settings { settings: of.settings });
        };
        let book = SettingsBook { fleet: settings.into(), ..SettingsBook::default() };
        let refused = |_| Unknown::Refused {
            component: of.component,
            policy: of.policy.clone(),
            settings: of.settings,
        };
        Generation::new(of.number, policy, book, &Owners::new()).map(Arc::new).map_err(refused)
    }

    fn policy(&mut self, of: &GenerationRef) -> Result<Arc<Policy>, Unknown> {
        let (component, policy) = (of.component, of.policy.clone());
        if let Some(known) = self.policies.get(&component) {
            return known.clone();
        }
        let bytes = self.source.component(component).filter(|bytes| Digest::of(bytes) == component);
        let loaded = match bytes {
            None => Err(Unknown::Component { component, policy }),
            Some(_) if self.policies.len() >= MAX_POLICIES => {
                let detail = format!("more than {MAX_POLICIES} policies decided");
                return Err(Unknown::Unloadable { component, policy, detail });
            }
            Some(bytes) => self.lab.load(&of.policy, &bytes).map_err(|refused| {
                let detail = reprieve_core::causes::with_causes(&refused);
                Unknown::Unloadable { component, policy, detail }
            }),
        };
        self.policies.insert(component, loaded.clone());
        loaded
    }
}
