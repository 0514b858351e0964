//! A policy's settings in layers: the policy's own defaults, then the fleet's,
//! the tenant's and the workspace's. A later layer replaces a key whole.
//!
//! What a key may hold is the policy's to say (`session.open`); here settings
//! are a JSON object and nothing more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{Digest, TenantId, WorkspaceId};

/// One layer of settings, or several merged into one.
pub type Settings = Map<String, Value>;

/// Every layer that the operator set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsBook {
    pub fleet: Settings,
    pub tenants: BTreeMap<TenantId, Settings>,
    pub workspaces: BTreeMap<WorkspaceId, Settings>,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// No layer names the key: the policy's own default is in force.
    PolicyDefault,
    Fleet,
    Tenant(TenantId),
    Workspace(WorkspaceId),
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PolicyDefault => f.write_str("the policy's default"),
            Self::Fleet => f.write_str("the fleet's settings"),
            Self::Tenant(tenant) => write!(f, "the settings of tenant {tenant}"),
            Self::Workspace(workspace) => write!(f, "the settings of workspace {workspace}"),
        }
    }
}

impl SettingsBook {
    /// What is in force for one workspace: every key that some layer names, in
    /// the order of the keys. Keys that none names are the policy's to fill.
    pub fn effective(&self, tenant: &TenantId, workspace: &WorkspaceId) -> Settings {
        let merged: BTreeMap<&String, &Value> =
            self.layers(tenant, workspace).into_iter().flat_map(|(_, settings)| settings).collect();
        merged.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Which layer a key's value comes from.
    pub fn origin(&self, tenant: &TenantId, workspace: &WorkspaceId, key: &str) -> Layer {
        let named = |(_, settings): &(Layer, &Settings)| settings.contains_key(key);
        let mut layers = self.layers(tenant, workspace).into_iter().rev();
        layers.find(named).map_or(Layer::PolicyDefault, |(layer, _)| layer)
    }

    /// The origin of every key in [`Self::effective`].
    pub fn origins(&self, tenant: &TenantId, workspace: &WorkspaceId) -> BTreeMap<String, Layer> {
        let mut origins = BTreeMap::new();
        for (layer, settings) in self.layers(tenant, workspace) {
            origins.extend(settings.keys().map(|key| (key.clone(), layer.clone())));
        }
        origins
    }

    /// The layers that apply, the weakest first.
    fn layers<'a>(
        &'a self,
        tenant: &TenantId,
        workspace: &WorkspaceId,
    ) -> Vec<(Layer, &'a Settings)> {
        let mut layers = vec![(Layer::Fleet, &self.fleet)];
        if let Some((tenant, settings)) = self.tenants.get_key_value(tenant) {
            layers.push((Layer::Tenant(tenant.clone()), settings));
        }
        if let Some((workspace, settings)) = self.workspaces.get_key_value(workspace) {
            layers.push((Layer::Workspace(workspace.clone()), settings));
        }
        layers
    }
}

/// The one text of a set of settings: no white space, keys sorted by their bytes
/// at every depth. Equal settings have equal texts, however they were written.
pub fn canonical_json(settings: &Settings) -> String {
    sorted(settings).to_string()
}

/// What names a set of settings in a generation: the SHA-256 of
/// [`canonical_json`].
pub fn digest(settings: &Settings) -> Digest {
    Digest::of(canonical_json(settings).as_bytes())
}

/// The same object, its keys in order at every depth. Needed because a map keeps
/// the order of insertion where `serde_json/preserve_order` is on. The depth is
/// what the parsers let through: 128.
fn sorted(settings: &Settings) -> Value {
    let in_order: BTreeMap<&String, &Value> = settings.iter().collect();
    in_order.into_iter().map(|(key, value)| (key.clone(), sorted_value(value))).collect()
}

fn sorted_value(value: &Value) -> Value {
    match value {
        Value::Object(object) => sorted(object),
        Value::Array(items) => items.iter().map(sorted_value).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Settings {
        let Value::Object(settings) = value else { panic!("{value} is no object") };
        settings
    }

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn workspace(name: &str) -> WorkspaceId {
        name.parse().unwrap()
    }

    fn book() -> SettingsBook {
        SettingsBook {
            fleet: settings(json!({"settle": "60s", "panic_threshold": 50, "budget": {"max": 5}})),
            tenants: [(tenant("acme"), settings(json!({"settle": "90s", "liveness_ttl": "4min"})))]
                .into(),
            workspaces: [(workspace("ws-1"), settings(json!({"settle": "2min", "budget": {}})))]
                .into(),
        }
    }

    #[test]
    fn a_nearer_layer_replaces_a_key_whole() {
        for (case, of, at, expected) in [
            (
                "neither is named: the fleet's",
                "other",
                "ws-9",
                json!({"settle": "60s", "panic_threshold": 50, "budget": {"max": 5}}),
            ),
            (
                "the tenant is named",
                "acme",
                "ws-9",
                json!({"settle": "90s", "panic_threshold": 50, "budget": {"max": 5}, "liveness_ttl": "4min"}),
            ),
            (
                "both are named",
                "acme",
                "ws-1",
                json!({"settle": "2min", "panic_threshold": 50, "budget": {}, "liveness_ttl": "4min"}),
            ),
            (
                "the workspace alone is named",
                "other",
                "ws-1",
                json!({"settle": "2min", "panic_threshold": 50, "budget": {}}),
            ),
        ] {
            let effective = book().effective(&tenant(of), &workspace(at));
            assert_eq!(Value::Object(effective), expected, "{case}");
        }
    }

    #[test]
    fn every_key_knows_the_layer_that_it_comes_from() {
        for (key, expected) in [
            ("settle", Layer::Workspace(workspace("ws-1"))),
            ("liveness_ttl", Layer::Tenant(tenant("acme"))),
            ("panic_threshold", Layer::Fleet),
            ("reprobe_delay", Layer::PolicyDefault),
        ] {
            assert_eq!(book().origin(&tenant("acme"), &workspace("ws-1"), key), expected, "{key}");
        }
    }

    #[test]
    fn the_order_in_which_settings_were_written_does_not_change_their_digest() {
        let one = settings(json!({"b": [{"y": 1, "x": 2}], "a": null}));
        let other = settings(json!({"a": null, "b": [{"x": 2, "y": 1}]}));
        assert_eq!(canonical_json(&one), r#"{"a":null,"b":[{"x":2,"y":1}]}"#);
        assert_eq!(digest(&one), digest(&other));
        assert_ne!(digest(&one), digest(&settings(json!({"a": null}))));
    }

    fn layer() -> impl Strategy<Value = Settings> {
        proptest::collection::btree_map("[a-e]", 0_u32..9, 0..5)
            .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k, Value::from(v))).collect())
    }

    proptest! {
        #[test]
        fn each_effective_value_is_the_one_in_the_layer_of_its_origin(
            fleet in layer(), of_tenant in layer(), of_workspace in layer()
        ) {
            let (t, w) = (tenant("t"), workspace("w"));
            let book = SettingsBook {
                fleet,
                tenants: [(t.clone(), of_tenant)].into(),
                workspaces: [(w.clone(), of_workspace)].into(),
            };
            let effective = book.effective(&t, &w);
            let origins = book.origins(&t, &w);
            prop_assert!(effective.keys().eq(origins.keys()));
            for (key, value) in &effective {
                let layer = match &origins[key] {
                    Layer::PolicyDefault => return Err(TestCaseError::fail("default for a named key")),
                    Layer::Fleet => &book.fleet,
                    Layer::Tenant(tenant) => &book.tenants[tenant],
                    Layer::Workspace(workspace) => &book.workspaces[workspace],
                };
                prop_assert_eq!(&layer[key], value);
                prop_assert_eq!(&origins[key], &book.origin(&t, &w, key));
            }
        }
    }
}
