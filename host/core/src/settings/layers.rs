//! All layers from all sources, and what they come to for one workspace.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Layer, Settings, SettingsBook};
use crate::ids::{TenantId, WorkspaceId};

/// Where a layer's settings come from. Within one layer a later source lies over
/// the ones before it, key by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// What a runtime describes: the labels of a container.
    Label,
    /// What stands in a file.
    File,
    /// What somebody applied to the running host.
    Applied,
}

impl Source {
    /// The weakest first.
    pub const ALL: [Self; 3] = [Self::Label, Self::File, Self::Applied];
}

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// No layer names the key.
    PolicyDefault,
    /// An experiment's candidate has it, over all layers.
    Experiment,
    Layer(Layer, Source),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PolicyDefault => f.write_str("the policy's default"),
            Self::Experiment => f.write_str("the candidate's settings"),
            Self::Layer(layer, Source::Label) => write!(f, "{layer}, in its labels"),
            Self::Layer(layer, Source::File) => layer.fmt(f),
            Self::Layer(layer, Source::Applied) => write!(f, "{layer}, applied"),
        }
    }
}

/// Every layer from every source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// In the order of [`Source::ALL`].
    books: [Arc<SettingsBook>; Source::ALL.len()],
    /// Over everybody's, key by key. Empty but for an experiment's candidate.
    over: Arc<Settings>,
}

impl Layers {
    pub fn of(&self, source: Source) -> &SettingsBook {
        &self.books[source as usize]
    }

    pub fn set(&mut self, source: Source, layer: &Layer, settings: Arc<Settings>) {
        Arc::make_mut(&mut self.books[source as usize]).set(layer, settings);
    }

    /// The same, with all of one source replaced.
    pub fn with(mut self, source: Source, book: SettingsBook) -> Self {
        self.books[source as usize] = Arc::new(book);
        self
    }

    /// The same, with these settings over all layers.
    #[must_use]
    pub fn under(mut self, over: Arc<Settings>) -> Self {
        self.over = over;
        self
    }

    /// Some source says something in this layer.
    pub fn names(&self, layer: &Layer) -> bool {
        self.books.iter().any(|book| book.get(layer).is_some())
    }

    /// Every tenant with settings of its own, once for each source.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.books.iter().flat_map(|book| book.tenants.keys())
    }

    /// Every workspace with settings of its own, once for each source.
    pub fn workspaces(&self) -> impl Iterator<Item = &WorkspaceId> {
        self.books.iter().flat_map(|book| book.workspaces.keys())
    }

    /// What is in force under these layers, given the weakest first: every key
    /// that some layer names, in the order of the keys. Keys that none names are
    /// the policy's to fill.
    pub fn effective(&self, layers: &[Layer]) -> Settings {
        let strata = layers.iter().flat_map(|layer| self.strata(layer));
        let merged: BTreeMap<&String, &Value> =
            strata.flat_map(|(_, settings)| settings.iter()).chain(&*self.over).collect();
        merged.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The value of that key under these layers. None: the policy's default.
    pub fn value(&self, layers: &[Layer], key: &str) -> Option<&Value> {
        let over = self.over.get(key);
        over.or_else(|| self.strongest(layers, key).map(|(_, _, value)| value))
    }

    /// Where the value of that key comes from.
    pub fn origin(&self, layers: &[Layer], key: &str) -> Origin {
        if self.over.contains_key(key) {
            return Origin::Experiment;
        }
        let strongest = self.strongest(layers, key);
        strongest.map_or(Origin::PolicyDefault, |(layer, source, _)| {
            Origin::Layer(layer.clone(), source)
        })
    }

    fn strongest<'a>(&self, layers: &'a [Layer], key: &str) -> Option<(&'a Layer, Source, &Value)> {
        layers.iter().rev().find_map(|layer| {
            let mut strata = self.strata(layer).into_iter().rev();
            strata.find_map(|(source, settings)| Some((layer, source, settings.get(key)?)))
        })
    }

    /// One layer, the weaker source first.
    fn strata(&self, layer: &Layer) -> Vec<(Source, &Settings)> {
        let of = |source| Some((source, self.of(source).get(layer)?.as_ref()));
        Source::ALL.into_iter().filter_map(of).collect()
    }
}

impl Layer {
    /// The layers of a tenant's workspace, the weakest first.
    pub fn of_workspace(tenant: &TenantId, workspace: &WorkspaceId) -> [Self; 3] {
        [Self::Fleet, Self::Tenant(tenant.clone()), Self::Workspace(workspace.clone())]
    }

    /// The layers of a tenant, the weakest first.
    pub fn of_tenant(tenant: &TenantId) -> [Self; 2] {
        [Self::Fleet, Self::Tenant(tenant.clone())]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Arc<Settings> {
        let Value::Object(settings) = value else { panic!("{value} is no object") };
        Arc::new(settings)
    }

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn workspace(name: &str) -> WorkspaceId {
        name.parse().unwrap()
    }

    fn layers() -> Layers {
        let written = SettingsBook {
            fleet: settings(json!({"settle": "60s", "panic_threshold": 50, "budget": {"max": 5}})),
            tenants: [(tenant("acme"), settings(json!({"settle": "90s", "liveness_ttl": "4min"})))]
                .into(),
            workspaces: [(workspace("ws-1"), settings(json!({"settle": "2min", "budget": {}})))]
                .into(),
        };
        let mut layers = Layers::default().with(Source::File, written);
        layers.set(Source::Applied, &Layer::Fleet, settings(json!({"panic_threshold": 60})));
        layers.set(
            Source::Applied,
            &Layer::Tenant(tenant("acme")),
            settings(json!({"settle": "5min"})),
        );
        layers
    }

    #[test]
    fn a_nearer_layer_replaces_a_key_whole_and_what_was_applied_a_written_one() {
        for (case, of, at, expected) in [
            (
                "neither is named: the fleet's",
                "other",
                "ws-9",
                json!({"settle": "60s", "panic_threshold": 60, "budget": {"max": 5}}),
            ),
            (
                "the tenant is named",
                "acme",
                "ws-9",
                json!({"settle": "5min", "panic_threshold": 60, "budget": {"max": 5}, "liveness_ttl": "4min"}),
            ),
            (
                "both are named: what is written nearer outweighs what was applied farther",
                "acme",
                "ws-1",
                json!({"settle": "2min", "panic_threshold": 60, "budget": {}, "liveness_ttl": "4min"}),
            ),
            (
                "the workspace alone is named",
                "other",
                "ws-1",
                json!({"settle": "2min", "panic_threshold": 60, "budget": {}}),
            ),
        ] {
            let effective = layers().effective(&Layer::of_workspace(&tenant(of), &workspace(at)));
            assert_eq!(Value::Object(effective), expected, "{case}");
        }
    }

    #[test]
    fn every_key_knows_the_layer_and_the_source_that_it_comes_from() {
        let of_acme = |source| Origin::Layer(Layer::Tenant(tenant("acme")), source);
        let of_ws = Origin::Layer(Layer::Workspace(workspace("ws-1")), Source::File);
        for (at, key, expected) in [
            ("ws-1", "settle", of_ws),
            ("ws-2", "settle", of_acme(Source::Applied)),
            ("ws-1", "liveness_ttl", of_acme(Source::File)),
            ("ws-1", "panic_threshold", Origin::Layer(Layer::Fleet, Source::Applied)),
            ("ws-2", "budget", Origin::Layer(Layer::Fleet, Source::File)),
            ("ws-1", "reprobe_delay", Origin::PolicyDefault),
        ] {
            let of = Layer::of_workspace(&tenant("acme"), &workspace(at));
            assert_eq!(layers().origin(&of, key), expected, "{key} of {at}");
        }
    }

    fn layer() -> impl Strategy<Value = Arc<Settings>> {
        proptest::collection::btree_map("[a-e]", 0_u32..9, 0..5).prop_map(|pairs| {
            Arc::new(pairs.into_iter().map(|(k, v)| (k, Value::from(v))).collect())
        })
    }

    proptest! {
        #[test]
        fn each_effective_value_is_the_one_at_its_origin(
            strata in proptest::collection::vec(layer(), 9), over in layer()
        ) {
            let of = Layer::of_workspace(&tenant("t"), &workspace("w"));
            let mut layers = Layers::default();
            for (index, stratum) in strata.iter().enumerate() {
                layers.set(Source::ALL[index % 3], &of[index / 3], Arc::clone(stratum));
            }
            let layers = layers.under(Arc::clone(&over));
            let effective = layers.effective(&of);
            for key in ["a", "b", "c", "d", "e"] {
                let strongest = strata.iter().rev().find_map(|stratum| stratum.get(key));
                let in_force = over.get(key).or(strongest);
                prop_assert_eq!(effective.get(key), in_force, "{}", key);
                prop_assert_eq!(layers.value(&of, key), in_force, "{}", key);
                match layers.origin(&of, key) {
                    Origin::PolicyDefault => prop_assert_eq!(in_force, None),
                    Origin::Experiment => prop_assert!(over.contains_key(key)),
                    Origin::Layer(layer, source) => {
                        let at_origin = layers.of(source).get(&layer);
                        prop_assert_eq!(at_origin.and_then(|own| own.get(key)), strongest);
                    }
                }
            }
        }
    }
}
