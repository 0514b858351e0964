//! What judges: one policy with the settings of everybody, never changed.
//!
//! The next generation is made from the one before: whatever the change does not
//! touch, the two share. So a change of one tenant's settings costs one session
//! of the policy, however many tenants there are.

mod candidate;
mod check;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use reprieve_core::{
    decision::GenerationRef,
    ids::{Digest, TenantId, WorkspaceId},
    judgement::Call,
    ports::Witness,
    settings::{self, Layer, Layers, Settings, SettingsBook, Source},
    time::Millis,
};

pub(crate) use self::check::InForce;
use self::check::{Checker, reference};
use crate::{Decided, GenerationRefused, LayerRefused, Policy, judge};

/// Whose workspace a decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub tenant: TenantId,
    pub workspace: WorkspaceId,
}

/// The tenant of each workspace that has settings of its own.
pub type Owners = BTreeMap<WorkspaceId, TenantId>;

/// What one source says in one layer from now on. Empty settings: nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerChange {
    pub layer: Layer,
    pub source: Source,
    pub settings: Settings,
}

/// One immutable snapshot: a component and everybody's settings, each set
/// accepted by the policy.
#[derive(Clone, Debug)]
pub struct Generation {
    number: u64,
    policy: Arc<Policy>,
    layers: Layers,
    fleet: Arc<InForce>,
    /// Only those with settings of their own.
    tenants: HashMap<TenantId, Arc<InForce>>,
    /// Only those with settings of their own, each checked with its tenant's.
    workspaces: HashMap<WorkspaceId, (TenantId, Arc<InForce>)>,
}

/// Whose effective settings may have changed.
#[derive(Debug, Default)]
struct Touched {
    fleet: bool,
    tenants: BTreeSet<TenantId>,
    workspaces: BTreeSet<WorkspaceId>,
}

impl Generation {
    /// Opens a session with every distinct set of settings; those that the
    /// policy refuses are named. Blocks for microseconds per set.
    pub fn new(
        number: u64,
        policy: Arc<Policy>,
        files: SettingsBook,
        owners: &Owners,
    ) -> Result<Self, GenerationRefused> {
        let nobody = files.workspaces.keys().find(|id| !owners.contains_key(*id));
        if let Some(workspace) = nobody.cloned() {
            return Err(GenerationRefused::NoOwner { workspace });
        }
        let defaults = policy.check_settings(&Settings::new()).map_err(|reason| {
            let refused = vec![LayerRefused { layer: Layer::Fleet, reason }];
            GenerationRefused::Settings { policy: policy.label().to_owned(), refused }
        })?;
        let fleet = Arc::new(InForce::new(number, &policy, defaults));
        let (tenants, workspaces) = (HashMap::new(), HashMap::new());
        let layers = Layers::default().with(Source::File, files);
        Self { number, policy, layers, fleet, tenants, workspaces }.checked(&Touched::all(), owners)
    }

    /// The next generation: the same policy, other settings. Re-checks only the
    /// effective sets that the changes touch. `owners`: the tenants of workspaces
    /// that the changes name; what is said of a workspace without an owner is
    /// kept and comes into force when it has one.
    pub fn with_settings(
        &self,
        changes: &[LayerChange],
        owners: &Owners,
    ) -> Result<Self, GenerationRefused> {
        let mut next = self.next();
        let mut touched = Touched::default();
        touched.workspaces.extend(owners.keys().cloned());
        for LayerChange { layer, source, settings } in changes {
            next.layers.set(*source, layer, Arc::new(settings.clone()));
            touched.add(layer);
        }
        next.checked(&touched, owners)
    }

    /// The next generation: the same settings, judged by another policy. Each
    /// distinct set is checked; blocks for microseconds per set.
    pub fn with_policy(&self, policy: Arc<Policy>) -> Result<Self, GenerationRefused> {
        Self { policy, ..self.next() }.checked(&Touched::all(), &Owners::new())
    }

    /// The next generation: that workspace is there, belongs to that tenant, and
    /// this is what its runtime says of it.
    pub fn with_workspace(
        &self,
        workspace: &WorkspaceId,
        tenant: &TenantId,
        labels: Settings,
    ) -> Result<Self, GenerationRefused> {
        let layer = Layer::Workspace(workspace.clone());
        let change = LayerChange { layer, source: Source::Label, settings: labels };
        self.with_settings(&[change], &[(workspace.clone(), tenant.clone())].into())
    }

    /// The same, without what was applied to that workspace.
    pub fn with_workspace_set_aside(
        &self,
        workspace: &WorkspaceId,
        tenant: &TenantId,
        labels: Settings,
    ) -> Result<Self, GenerationRefused> {
        let says = |source, settings| LayerChange {
            layer: Layer::Workspace(workspace.clone()),
            source,
            settings,
        };
        let changes = [says(Source::Label, labels), says(Source::Applied, Settings::new())];
        self.with_settings(&changes, &[(workspace.clone(), tenant.clone())].into())
    }

    /// The next generation: that workspace is gone, and with it what its
    /// runtime said. What stands in files or was applied to it waits for it.
    pub fn without_workspace(&self, workspace: &WorkspaceId) -> Self {
        let mut next = self.next();
        next.layers.set(Source::Label, &Layer::Workspace(workspace.clone()), Arc::default());
        next.workspaces.remove(workspace);
        next
    }

    /// Nothing would change if that workspace were found like this.
    pub fn knows_workspace(
        &self,
        workspace: &WorkspaceId,
        tenant: &TenantId,
        labels: &Settings,
    ) -> bool {
        let layer = Layer::Workspace(workspace.clone());
        let known = self.layers.of(Source::Label).get(&layer);
        known.map_or(labels.is_empty(), |known| **known == *labels)
            && match self.workspaces.get(workspace) {
                Some((owner, _)) => owner == tenant,
                None => !self.layers.names(&layer),
            }
    }

    pub const fn number(&self) -> u64 {
        self.number
    }

    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    pub const fn layers(&self) -> &Layers {
        &self.layers
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

    /// What decisions about `who` name their settings by. None: nobody checked
    /// any for it.
    pub fn settings_digest(&self, who: &Who) -> Option<Digest> {
        Some(self.in_force(who)?.settings.digest)
    }

    /// After how long a silence the host shall ask. None: never.
    pub fn silence_limit(&self, who: &Who) -> Option<Millis> {
        self.in_force(who)?.settings.silence_limit
    }

    /// How this generation is named in a decision about `who`.
    pub fn reference(&self, who: &Who) -> Arc<GenerationRef> {
        if let Some(in_force) = self.in_force(who) {
            return in_force.reference(self);
        }
        let effective = self.layers.effective(&Layer::of_workspace(&who.tenant, &who.workspace));
        Arc::new(reference(self.number, &self.policy, settings::digest(&effective)))
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

    fn next(&self) -> Self {
        Self { number: self.number + 1, ..self.clone() }
    }

    /// Checks what was touched, and puts it in the place of what was there.
    fn checked(mut self, touched: &Touched, owners: &Owners) -> Result<Self, GenerationRefused> {
        let (policy, layers) = (Arc::clone(&self.policy), self.layers.clone());
        let mut checker = Checker::new(self.number, &policy, &layers);
        if touched.fleet
            && let Some(in_force) = checker.check(&[Layer::Fleet], Some(&self.fleet))
        {
            self.fleet = in_force;
        }
        for tenant in self.touched_tenants(touched) {
            match self.check_tenant(&tenant, &mut checker) {
                Some(in_force) => drop(self.tenants.insert(tenant, in_force)),
                None => drop(self.tenants.remove(&tenant)),
            }
        }
        for id in self.touched_workspaces(touched) {
            match self.check_workspace(&id, owners, &mut checker) {
                Some(in_force) => drop(self.workspaces.insert(id, in_force)),
                None => drop(self.workspaces.remove(&id)),
            }
        }
        checker.end()?;
        Ok(self)
    }

    fn touched_tenants(&self, touched: &Touched) -> BTreeSet<TenantId> {
        let mut tenants = touched.tenants.clone();
        if touched.fleet {
            tenants.extend(self.layers.tenants().cloned());
        }
        tenants
    }

    fn touched_workspaces(&self, touched: &Touched) -> BTreeSet<WorkspaceId> {
        let mut workspaces = touched.workspaces.clone();
        if touched.fleet {
            workspaces.extend(self.layers.workspaces().cloned());
        } else if !touched.tenants.is_empty() {
            let is_touched =
                |(_, (tenant, _)): &(_, &(TenantId, _))| touched.tenants.contains(tenant);
            workspaces.extend(self.workspaces.iter().filter(is_touched).map(|(id, _)| id.clone()));
        }
        workspaces
    }

    /// What a tenant has from now on. None: the fleet's, or it is refused.
    fn check_tenant(&self, tenant: &TenantId, checker: &mut Checker<'_>) -> Option<Arc<InForce>> {
        let of = Layer::of_tenant(tenant);
        let own = self.layers.names(&of[1]);
        own.then(|| checker.check(&of, self.tenants.get(tenant))).flatten()
    }

    /// What a workspace has from now on. None: its tenant's, or it is refused, or
    /// nobody knows its tenant.
    fn check_workspace(
        &self,
        workspace: &WorkspaceId,
        owners: &Owners,
        checker: &mut Checker<'_>,
    ) -> Option<(TenantId, Arc<InForce>)> {
        let known = self.workspaces.get(workspace);
        let owner = owners.get(workspace).or_else(|| known.map(|(owner, _)| owner))?;
        let of = Layer::of_workspace(owner, workspace);
        let own = self.layers.names(&of[2]);
        let checked = own.then(|| checker.check(&of, known.map(|(_, own)| own))).flatten()?;
        Some((owner.clone(), checked))
    }
}

impl Touched {
    /// Everybody's settings: the fleet's are part of all others.
    fn all() -> Self {
        Self { fleet: true, ..Self::default() }
    }

    fn add(&mut self, layer: &Layer) {
        match layer {
            Layer::Fleet => self.fleet = true,
            Layer::Tenant(tenant) => drop(self.tenants.insert(tenant.clone())),
            Layer::Workspace(workspace) => drop(self.workspaces.insert(workspace.clone())),
        }
    }
}
