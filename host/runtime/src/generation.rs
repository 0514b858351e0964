//! What judges: one policy with the settings of everybody, never changed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use reprieve_core::{
    decision::GenerationRef,
    ids::{Digest, TenantId, WorkspaceId},
    judgement::Call,
    ports::Witness,
    settings::{self, Layer, Settings, SettingsBook},
    time::Millis,
};

use crate::{CheckedSettings, Decided, GenerationRefused, Policy, judge};

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
    book: SettingsBook,
    fleet: Arc<InForce>,
    tenants: HashMap<TenantId, Arc<InForce>>,
    /// Only those with settings of their own, each checked with its tenant's.
    workspaces: HashMap<WorkspaceId, (TenantId, Arc<InForce>)>,
}

/// The effective settings of somebody, and how a decision names them.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) settings: CheckedSettings,
    pub(crate) reference: Arc<GenerationRef>,
}

impl Generation {
    /// Opens a session with every distinct set of settings; the first that the
    /// policy refuses is named. Blocks for microseconds per set.
    pub fn new(
        number: u64,
        policy: Arc<Policy>,
        book: SettingsBook,
        owners: &Owners,
    ) -> Result<Self, GenerationRefused> {
        let mut checker = Checker { number, policy: &policy, checked: HashMap::new() };
        let fleet = checker.check(&book.fleet, Layer::Fleet)?;
        let mut tenants = HashMap::new();
        for (tenant, layer) in &book.tenants {
            let mut effective = book.fleet.clone();
            effective.extend(layer.clone());
            let in_force = checker.check(&effective, Layer::Tenant(tenant.clone()))?;
            tenants.insert(tenant.clone(), in_force);
        }
        let mut workspaces = HashMap::new();
        for workspace in book.workspaces.keys() {
            let Some(tenant) = owners.get(workspace) else {
                return Err(GenerationRefused::NoOwner { workspace: workspace.clone() });
            };
            let effective = book.effective(tenant, workspace);
            let in_force = checker.check(&effective, Layer::Workspace(workspace.clone()))?;
            workspaces.insert(workspace.clone(), (tenant.clone(), in_force));
        }
        Ok(Self { number, policy, book, fleet, tenants, workspaces })
    }

    /// The next generation: the same, but for one workspace's own settings. None
    /// at all: it has its tenant's.
    pub fn with_workspace(
        &self,
        workspace: &WorkspaceId,
        tenant: &TenantId,
        own: Settings,
    ) -> Result<Self, GenerationRefused> {
        let mut book = self.book.clone();
        if own.is_empty() {
            book.workspaces.remove(workspace);
        } else {
            book.workspaces.insert(workspace.clone(), own);
        }
        let owners = self.workspaces.iter().map(|(id, (tenant, _))| (id.clone(), tenant.clone()));
        let owners = owners.chain([(workspace.clone(), tenant.clone())]).collect();
        Self::new(self.number + 1, Arc::clone(&self.policy), book, &owners)
    }

    /// The next generation: the same settings, judged by another policy. Each
    /// distinct set is checked; blocks for microseconds per set.
    pub fn with_policy(&self, policy: Arc<Policy>) -> Result<Self, GenerationRefused> {
        let owners = self.workspaces.iter().map(|(id, (tenant, _))| (id.clone(), tenant.clone()));
        Self::new(self.number + 1, policy, self.book.clone(), &owners.collect())
    }

    pub const fn number(&self) -> u64 {
        self.number
    }

    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    pub const fn settings(&self) -> &SettingsBook {
        &self.book
    }

    /// Puts one call about one workspace. Never fails: whatever goes wrong is
    /// an [`Outcome::FellBack`](reprieve_core::decision::Outcome). Runs in a
    /// tokio runtime with timers; may be dropped at any moment.
    pub fn decide(
        &self,
        call: Call,
        who: &Who,
        witness: &Arc<dyn Witness>,
    ) -> impl Future<Output = Decided> + Send {
        judge::decide(self, call, who, witness)
    }

    /// After how long a silence the host shall ask. None: never.
    pub fn silence_limit(&self, who: &Who) -> Option<Millis> {
        self.in_force(who)?.settings.silence_limit
    }

    /// How this generation is named in a decision about `who`.
    pub fn reference(&self, who: &Who) -> Arc<GenerationRef> {
        if let Some(in_force) = self.in_force(who) {
            return Arc::clone(&in_force.reference);
        }
        let effective = self.book.effective(&who.tenant, &who.workspace);
        reference(self.number, &self.policy, settings::digest(&effective))
    }

    /// None for a workspace with settings of its own that were checked with
    /// another tenant's: what they come to under this one, nobody knows.
    pub(crate) fn in_force(&self, who: &Who) -> Option<&InForce> {
        match self.workspaces.get(&who.workspace) {
            Some((tenant, in_force)) => (*tenant == who.tenant).then_some(in_force),
            None => Some(self.tenants.get(&who.tenant).unwrap_or(&self.fleet)),
        }
        .map(AsRef::as_ref)
    }
}

fn reference(number: u64, policy: &Policy, settings: Digest) -> Arc<GenerationRef> {
    let (policy, component) = (policy.label().to_owned(), policy.digest());
    Arc::new(GenerationRef { number, policy, component, settings })
}

/// Checks each distinct set of settings once.
struct Checker<'a> {
    number: u64,
    policy: &'a Policy,
    checked: HashMap<Digest, Arc<InForce>>,
}

impl Checker<'_> {
    fn check(
        &mut self,
        effective: &Settings,
        layer: Layer,
    ) -> Result<Arc<InForce>, GenerationRefused> {
        let digest = settings::digest(effective);
        if let Some(in_force) = self.checked.get(&digest) {
            return Ok(Arc::clone(in_force));
        }
        let settings = self.policy.check_settings(effective).map_err(|source| {
            let policy = self.policy.label().to_owned();
            GenerationRefused::Settings { policy, layer, source }
        })?;
        let reference = reference(self.number, self.policy, digest);
        let in_force = Arc::new(InForce { settings, reference });
        self.checked.insert(digest, Arc::clone(&in_force));
        Ok(in_force)
    }
}
