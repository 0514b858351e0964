//! Policies that are tried: components with settings.

use std::{sync::Arc, time::Duration};

use reprieve_core::settings::{Settings, SettingsBook};
use reprieve_runtime::{
    Engine, EngineFailure, EngineOptions, Generation, GenerationRefused, Limits, LoadFailure,
    Owners, Policy,
};

use crate::Scenario;

/// A guest call may take so long before it counts as a failure of the policy. Far
/// more than in production: a laboratory that is short of CPU must give the same
/// results as one that is not.
const GUEST_DEADLINE: Duration = Duration::from_secs(60);

/// Loads policies. Each thread that runs them has its own, or waits for others.
#[derive(Clone, Debug)]
pub struct Lab {
    engine: Engine,
}

/// A policy with settings for everybody, ready to judge.
#[derive(Clone, Debug)]
pub struct Contender {
    name: String,
    generation: Arc<Generation>,
}

/// Why a policy cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum ContenderRefused {
    #[error("policy {name} cannot be loaded")]
    Load { name: String, source: LoadFailure },
    #[error("policy {name} does not take its settings")]
    Settings { name: String, source: GenerationRefused },
}

impl Lab {
    pub fn new() -> Result<Self, EngineFailure> {
        // A simulation is one thread, and there may be one for each core.
        Ok(Self { engine: Engine::new(EngineOptions::default())? })
    }

    /// Compiles a component. Takes tens of milliseconds.
    pub fn load(&self, name: &str, component: &[u8]) -> Result<Arc<Policy>, ContenderRefused> {
        let limits = Limits { guest_deadline: GUEST_DEADLINE, ..Limits::default() };
        self.engine
            .load(component, limits)
            .map_err(|source| ContenderRefused::Load { name: name.to_owned(), source })
    }
}

impl Contender {
    /// `fleet`: settings for everybody; what they do not name is the policy's default.
    pub fn new(name: &str, policy: Arc<Policy>, fleet: Settings) -> Result<Self, ContenderRefused> {
        let book = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
        let generation = Generation::new(1, policy, book, &Owners::new())
            .map_err(|source| ContenderRefused::Settings { name: name.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), generation: Arc::new(generation) })
    }

    /// As it calls itself, with the settings that a scenario has for it, and `over`
    /// them others.
    pub fn on(
        scenario: &Scenario,
        policy: &Arc<Policy>,
        over: &Settings,
    ) -> Result<Self, ContenderRefused> {
        let name = &policy.description().name;
        let mut settings = scenario.settings_of(name);
        settings.extend(over.clone());
        Self::new(name, Arc::clone(policy), settings)
    }

    /// With another name than its policy's.
    #[must_use]
    pub fn called(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// What it is called in results.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub const fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }
}
