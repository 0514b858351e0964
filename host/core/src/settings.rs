//! A policy's settings in layers: the policy's own defaults, then the fleet's,
//! the tenant's and the workspace's. A later layer replaces a key whole.
//!
//! What a key may hold is the policy's to say (`session.open`); here settings
//! are a JSON object and nothing more. [`Layers`] merges them.

mod change;
mod layers;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    change::{AppliedLayer, AppliedValue, Change, ChangeNumber, Patch},
    layers::{Layers, Origin, Source},
};
use crate::ids::{Digest, InvalidName, TenantId, WorkspaceId};

/// One layer of settings, or several merged into one.
pub type Settings = Map<String, Value>;

/// The settings of every layer, from one source. Layers are shared, not copied:
/// a book of ten thousand tenants is cloned in well under a millisecond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsBook {
    pub fleet: Arc<Settings>,
    pub tenants: BTreeMap<TenantId, Arc<Settings>>,
    pub workspaces: BTreeMap<WorkspaceId, Arc<Settings>>,
}

/// Whose settings these are, beyond the policy's own defaults.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    Fleet,
    Tenant(TenantId),
    Workspace(WorkspaceId),
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fleet => f.write_str("the fleet's settings"),
            Self::Tenant(tenant) => write!(f, "the settings of tenant {tenant}"),
            Self::Workspace(workspace) => write!(f, "the settings of workspace {workspace}"),
        }
    }
}

impl Layer {
    /// Of a tenant's layer.
    pub const fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Fleet | Self::Workspace(_) => None,
        }
    }

    /// "the fleet", "tenant acme", "workspace ws-1"
    pub fn name(&self) -> String {
        match self {
            Self::Fleet => "the fleet".to_owned(),
            Self::Tenant(tenant) => format!("tenant {tenant}"),
            Self::Workspace(workspace) => format!("workspace {workspace}"),
        }
    }

    /// As in the addresses of the operator's API: `fleet`, `tenants/acme`,
    /// `workspaces/ws-1`.
    pub fn to_path(&self) -> String {
        match self {
            Self::Fleet => FLEET.to_owned(),
            Self::Tenant(tenant) => format!("{TENANTS}/{tenant}"),
            Self::Workspace(workspace) => format!("{WORKSPACES}/{workspace}"),
        }
    }
}

const FLEET: &str = "fleet";
const TENANTS: &str = "tenants";
const WORKSPACES: &str = "workspaces";

/// A text that names no layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLayer {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("{0:?} is no layer of settings; there are fleet, tenants/NAME and workspaces/NAME")]
    Other(String),
}

impl std::str::FromStr for Layer {
    type Err = NoLayer;

    /// Reads [`Self::to_path`].
    fn from_str(path: &str) -> Result<Self, NoLayer> {
        match path.split_once('/') {
            None if path == FLEET => Ok(Self::Fleet),
            Some((TENANTS, name)) => Ok(Self::Tenant(name.parse()?)),
            Some((WORKSPACES, name)) => Ok(Self::Workspace(name.parse()?)),
            _ => Err(NoLayer::Other(path.chars().take(80).collect())),
        }
    }
}

impl SettingsBook {
    /// What the layer says. None: nothing.
    pub fn get(&self, layer: &Layer) -> Option<&Arc<Settings>> {
        match layer {
            Layer::Fleet => (!self.fleet.is_empty()).then_some(&self.fleet),
            Layer::Tenant(tenant) => self.tenants.get(tenant),
            Layer::Workspace(workspace) => self.workspaces.get(workspace),
        }
    }

    /// Replaces what the layer says. A layer without settings is not kept.
    pub fn set(&mut self, layer: &Layer, settings: Arc<Settings>) {
        let none = settings.is_empty();
        match layer {
            Layer::Fleet => self.fleet = settings,
            Layer::Tenant(tenant) if none => drop(self.tenants.remove(tenant)),
            Layer::Tenant(tenant) => drop(self.tenants.insert(tenant.clone(), settings)),
            Layer::Workspace(workspace) if none => drop(self.workspaces.remove(workspace)),
            Layer::Workspace(workspace) => {
                self.workspaces.insert(workspace.clone(), settings);
            }
        }
    }

    /// Every layer that says something, the fleet's first, then tenants.
    pub fn layers(&self) -> impl Iterator<Item = (Layer, &Arc<Settings>)> {
        let fleet = self.get(&Layer::Fleet).map(|settings| (Layer::Fleet, settings));
        let tenants = self.tenants.iter().map(|(id, own)| (Layer::Tenant(id.clone()), own));
        let workspaces =
            self.workspaces.iter().map(|(id, own)| (Layer::Workspace(id.clone()), own));
        fleet.into_iter().chain(tenants).chain(workspaces)
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
    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Settings {
        let Value::Object(settings) = value else { panic!("{value} is no object") };
        settings
    }

    #[test]
    fn the_order_in_which_settings_were_written_does_not_change_their_digest() {
        let one = settings(json!({"b": [{"y": 1, "x": 2}], "a": null}));
        let other = settings(json!({"a": null, "b": [{"x": 2, "y": 1}]}));
        assert_eq!(canonical_json(&one), r#"{"a":null,"b":[{"x":2,"y":1}]}"#);
        assert_eq!(digest(&one), digest(&other));
        assert_ne!(digest(&one), digest(&settings(json!({"a": null}))));
    }

    #[test]
    fn a_layer_survives_its_path() {
        for path in ["fleet", "tenants/acme", "workspaces/ws-1"] {
            assert_eq!(path.parse::<Layer>().unwrap().to_path(), path);
        }
        for path in ["", "fleet/", "tenants", "tenants/../x", "tenant/acme", "workspaces/a/b"] {
            assert!(path.parse::<Layer>().is_err(), "{path}");
        }
    }

    #[test]
    fn a_layer_without_settings_is_not_kept() {
        let mut book = SettingsBook::default();
        let layers = [
            Layer::Fleet,
            Layer::Tenant("acme".parse().unwrap()),
            Layer::Workspace("ws-1".parse().unwrap()),
        ];
        for layer in &layers {
            book.set(layer, Arc::new(settings(json!({"settle": "9s"}))));
        }
        assert!(book.layers().map(|(layer, _)| layer).eq(layers.clone()));
        for layer in &layers {
            book.set(layer, Arc::default());
        }
        assert_eq!(book, SettingsBook::default());
    }
}
