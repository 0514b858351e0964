//! What a change would do, without doing it.

use std::{collections::BTreeMap, sync::Arc};

use reprieve_core::{
    ids::TenantId,
    settings::{ChangeNumber, Layer, Layers},
};
use reprieve_runtime::{Policy, Who};
use serde::Serialize;
use serde_json::Value;

use super::{ChangeRefused, ChangeRequest, LiveSettings, schema::SettingsSchema};

/// The most tenants that a preview names.
const MAX_TENANTS_NAMED: usize = 100;

/// How alike two names must be for one to be called a slip of the other.
const ALIKE: f64 = 0.85;

/// What a change would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    pub layer: Layer,
    /// Of the layer now: what `expected` of the change has to be.
    pub version: ChangeNumber,
    pub keys: Vec<KeyDiff>,
    /// The workspaces that some key would change for.
    pub workspaces: usize,
    /// How many of each tenant; the first hundred tenants by name.
    pub tenants: BTreeMap<TenantId, usize>,
    /// What is probably a mistake, but not certainly.
    pub notes: Vec<String>,
}

/// What would become of one key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyDiff {
    pub key: String,
    /// What is in force for the layer. None: the policy's default, which its
    /// schema does not tell.
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// The workspaces whose value would change.
    pub workspaces: usize,
    /// Those below the layer that keep theirs: a nearer layer names the key.
    pub own: usize,
}

impl LiveSettings {
    /// Everything that is wrong with a change, or nothing.
    pub async fn check(&self, request: ChangeRequest) -> Result<(), ChangeRefused> {
        self.preview(request).await.map(drop)
    }

    /// Everything that is wrong with changes that are to be made together, once
    /// `policy` is in force; or nothing. Whether it can come into force is not looked at.
    pub async fn check_all(
        &self,
        policy: Option<Arc<Policy>>,
        requests: Vec<ChangeRequest>,
    ) -> Result<(), ChangeRefused> {
        self.blocking(move |own, _| {
            let mut next = own.0.current.snapshot();
            if let Some(policy) = policy {
                let Ok(judged_by_it) = next.with_policy(policy) else { return Ok(()) };
                next = Arc::new(judged_by_it);
            }
            for request in requests {
                next = Arc::new(own.checked(&next, &own.draft(&request, false)?)?);
            }
            Ok(())
        })
        .await
    }

    /// What the change would do, and for how many.
    pub async fn preview(&self, request: ChangeRequest) -> Result<Preview, ChangeRefused> {
        self.blocking(move |own, _| {
            let draft = own.draft(&request, false)?;
            let in_force = own.0.current.snapshot();
            let next = own.checked(&in_force, &draft)?;
            let members = own.0.supervisor.members_of(&draft.layer);
            let compared = Compared {
                schema: &own.schema(&in_force),
                before: in_force.layers(),
                after: next.layers(),
            };
            let mut touched = vec![false; members.len()];
            let keys = request.patch.keys();
            let keys = keys.map(|key| compared.key(key, &draft.chain, &members, &mut touched));
            let keys = keys.collect();
            let mut tenants = BTreeMap::new();
            let changed = members.iter().zip(&touched).filter(|(_, touched)| **touched);
            for (who, _) in changed {
                *tenants.entry(who.tenant.clone()).or_default() += 1;
            }
            let workspaces = tenants.values().sum();
            let notes = own.doubts(&draft.layer, &members);
            let tenants = tenants.into_iter().take(MAX_TENANTS_NAMED).collect();
            let version = own.version(&draft.layer);
            Ok(Preview { layer: draft.layer, version, keys, workspaces, tenants, notes })
        })
        .await
    }

    /// A tenant of whom nobody is here may be a slip.
    fn doubts(&self, layer: &Layer, members: &[Who]) -> Vec<String> {
        let Layer::Tenant(tenant) = layer else { return Vec::new() };
        if !members.is_empty() {
            return Vec::new();
        }
        let all = self.0.supervisor.members_of(&Layer::Fleet);
        let alike = |who: &Who| strsim::jaro_winkler(tenant.as_str(), who.tenant.as_str());
        let nearest = all.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
        let meant = match nearest.filter(|who| alike(who) >= ALIKE) {
            Some(who) => format!("; did you mean {}?", who.tenant),
            None => String::new(),
        };
        vec![format!("no workspace of tenant {tenant} is here now{meant}")]
    }
}

struct Compared<'a> {
    schema: &'a SettingsSchema,
    before: &'a Layers,
    after: &'a Layers,
}

impl Compared<'_> {
    fn key(&self, key: &str, chain: &[Layer], members: &[Who], touched: &mut [bool]) -> KeyDiff {
        let (before, after) =
            (self.value(self.before, chain, key), self.value(self.after, chain, key));
        let (mut workspaces, mut own) = (0, 0);
        for (who, touched) in members.iter().zip(touched) {
            let of = Layer::of_workspace(&who.tenant, &who.workspace);
            if self.value(self.before, &of, key) != self.value(self.after, &of, key) {
                workspaces += 1;
                *touched = true;
            } else if of[chain.len()..].iter().any(|nearer| self.names(nearer, key)) {
                own += 1;
            }
        }
        KeyDiff {
            key: key.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
            workspaces,
            own,
        }
    }

    fn names(&self, layer: &Layer, key: &str) -> bool {
        self.after.value(std::slice::from_ref(layer), key).is_some()
    }

    /// In force; where no layer names it, the default that the schema tells.
    fn value<'b>(&'b self, layers: &'b Layers, of: &[Layer], key: &str) -> Option<&'b Value> {
        let default = || self.schema.setting(key)?.default.as_ref();
        layers.value(of, key).or_else(default)
    }
}
