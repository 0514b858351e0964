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
use reprieve_runtime::{Generation, Owners, Policy};

use crate::Lab;

/// Rebuilt generations that are kept, the newest. A log has a handful.
const MAX_GENERATIONS: usize = 1_000;
/// Sets of settings that are kept. Beyond it a log's settings are unknown.
const MAX_SETTINGS: usize = 100_000;
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
type Fetch = Box<dyn FnMut(Digest) -> Option<Vec<u8>>>;

/// Components by their digests, settings by theirs.
pub struct Archive {
    lab: Lab,
    fetch: Fetch,
    policies: HashMap<Digest, Result<Arc<Policy>, Unknown>>,
    settings: HashMap<Digest, Settings>,
    generations: HashMap<(Digest, Digest), Rebuilt>,
    /// In the order in which they were rebuilt.
    order: VecDeque<(Digest, Digest)>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("policies", &self.policies.len())
            .field("settings", &self.settings.len())
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// `fetch`: the bytes of a component, if somebody has them. What it gives is
    /// believed only if it has that digest.
    pub fn new(lab: Lab, fetch: impl FnMut(Digest) -> Option<Vec<u8>> + 'static) -> Self {
        let mut archive = Self {
            lab,
            fetch: Box::new(fetch),
            policies: HashMap::new(),
            settings: HashMap::new(),
            generations: HashMap::new(),
            order: VecDeque::new(),
        };
        archive.know(Settings::new());
        archive
    }

    /// Effective settings that a decision may have been made by.
    pub fn know(&mut self, settings: Settings) {
        if self.settings.len() < MAX_SETTINGS {
            self.settings.insert(settings::digest(&settings), settings);
        }
    }

    /// What decided. A number says nothing about another host's generations, so it
    /// is the digests that name it.
    pub(super) fn generation(&mut self, of: &GenerationRef) -> Result<&Generation, Unknown> {
        let key = (of.component, of.settings);
        if !self.generations.contains_key(&key) {
            let rebuilt = self.rebuild(of);
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

    fn rebuild(&mut self, of: &GenerationRef) -> Rebuilt {
        let policy = self.policy(of)?;
        let Some(settings) = self.settings.get(&of.settings) else {
            return Err(Unknown::Settings { settings: of.settings });
        };
        let book = SettingsBook { fleet: settings.clone().into(), ..SettingsBook::default() };
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
        let bytes = (self.fetch)(component).filter(|bytes| Digest::of(bytes) == component);
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
