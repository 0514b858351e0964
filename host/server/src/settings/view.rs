//! What is in force, where it comes from, and what is not in force although it is
//! on record.

use std::collections::BTreeSet;

use reprieve_core::{
    ids::{Digest, TenantId},
    settings::{AppliedLayer, ChangeNumber, Layer, Layers, Origin, Source, digest},
    time::UnixMillis,
};
use serde::Serialize;
use serde_json::Value;

use super::{AppliedRecord, ChangeRefused, LiveSettings};

/// The settings of the fleet, a tenant or a workspace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownSettings {
    pub layer: Layer,
    /// Of a workspace.
    pub tenant: Option<TenantId>,
    /// What `expected` of a change has to be.
    pub version: ChangeNumber,
    /// What would judge now: the number of the generation, the policy, and the
    /// digest that its decisions name these settings by.
    pub generation: u64,
    pub policy: String,
    pub digest: Digest,
    /// Below the layer.
    pub workspaces: usize,
    pub settings: Vec<ShownSetting>,
}

/// One setting as it is in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownSetting {
    pub key: String,
    /// None: the policy's default, which its schema does not tell.
    pub value: Option<Value>,
    pub default: Option<Value>,
    /// "tenant acme, applied by ana in change 12"
    pub origin: String,
    pub layer: Option<Layer>,
    pub source: Option<Source>,
    /// The change that applied it.
    pub change: Option<ChangeNumber>,
    pub who: Option<String>,
    /// "0s to 1h"
    pub allowed: Option<String>,
    pub description: String,
}

/// How the settings of this host are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingsStatus {
    pub generation: u64,
    pub policy: String,
    /// The number of the newest change.
    pub newest_change: ChangeNumber,
    /// Layers with applied settings.
    pub layers_applied: usize,
    /// On record and not in force: the policy refuses them.
    pub set_aside: Vec<SetAside>,
    pub files: FilesStatus,
}

/// A layer whose applied settings are not in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetAside {
    pub layer: Layer,
    pub version: ChangeNumber,
    /// Why: in the words of whoever refuses it now. Empty: its workspace is not
    /// here.
    pub problems: Vec<String>,
}

/// How following the files goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FilesStatus {
    /// When they were last read and taken.
    pub taken: Option<UnixMillis>,
    /// Why what they say now is not in force. Empty: it is.
    pub problems: Vec<String>,
    /// Sections of the configuration that changed and need a restart.
    pub needs_restart: Vec<String>,
}

/// The most layers whose reasons are looked for in one status.
const MAX_SET_ASIDE: usize = 16;

impl LiveSettings {
    /// What is in force for whom the layer is of.
    pub fn show(&self, layer: &Layer) -> Result<ShownSettings, ChangeRefused> {
        let chain = self.chain(layer)?;
        let (record, in_force) = (self.record(), self.0.current.snapshot());
        let (schema, layers) = (self.schema(&in_force), in_force.layers());
        let effective = layers.effective(&chain);
        let described = schema.settings().iter().map(|setting| &setting.key);
        let keys: BTreeSet<&String> = described.chain(effective.keys()).collect();
        let show = |key: &String| {
            let setting = schema.setting(key);
            let default = setting.and_then(|setting| setting.default.clone());
            let value = effective.get(key).cloned();
            let shown = ShownSetting {
                key: key.clone(),
                value: value.clone().or_else(|| default.clone()),
                default,
                origin: String::new(),
                layer: None,
                source: None,
                change: None,
                who: None,
                allowed: setting.and_then(super::schema::Setting::allowed),
                description: setting.map(|own| own.description.clone()).unwrap_or_default(),
            };
            self.with_origin(shown, layers, &chain, &record)
        };
        Ok(ShownSettings {
            layer: layer.clone(),
            tenant: chain.iter().find_map(Layer::tenant).cloned(),
            version: record.version(layer),
            generation: in_force.number(),
            policy: in_force.policy().label().to_owned(),
            digest: digest(&effective),
            workspaces: self.0.supervisor.members_of(layer).len(),
            settings: keys.into_iter().map(show).collect(),
        })
    }

    /// How the settings are.
    pub async fn status(&self) -> Result<SettingsStatus, ChangeRefused> {
        self.blocking(|own, _| {
            let (record, in_force) = (own.record(), own.0.current.snapshot());
            Ok(SettingsStatus {
                generation: in_force.number(),
                policy: in_force.policy().label().to_owned(),
                newest_change: record.newest,
                layers_applied: record.layers.values().filter(|own| !own.values.is_empty()).count(),
                set_aside: own.set_aside(&record, in_force.layers()),
                files: own.0.reloading.lock().status.clone(),
            })
        })
        .await
    }

    /// What is on record as applied and not in force.
    fn set_aside(&self, record: &AppliedRecord, layers: &Layers) -> Vec<SetAside> {
        let in_force = layers.of(Source::Applied);
        let is_aside = |(layer, own): &(&Layer, &AppliedLayer)| {
            in_force.get(layer).map_or(!own.values.is_empty(), |known| **known != own.settings())
        };
        let aside = record.layers.iter().filter(is_aside).take(MAX_SET_ASIDE);
        let of = |(layer, own): (&Layer, &AppliedLayer)| SetAside {
            layer: layer.clone(),
            version: own.version,
            problems: self.why_refused(layer, own),
        };
        aside.map(of).collect()
    }

    fn why_refused(&self, layer: &Layer, own: &AppliedLayer) -> Vec<String> {
        let request = super::ChangeRequest {
            layer: layer.clone(),
            patch: own.settings(),
            who: String::new(),
            why: String::new(),
            expected: None,
        };
        let tried = self
            .draft(&request, true)
            .and_then(|draft| self.checked(&self.0.current.snapshot(), &draft).map(drop));
        match tried {
            Err(ChangeRefused::Problems(problems)) => {
                problems.iter().map(super::SettingProblem::to_string).collect()
            }
            Err(ChangeRefused::UnknownWorkspace(_)) => Vec::new(),
            Err(other) => vec![other.to_string()],
            Ok(()) => vec!["the policy takes it again: apply it anew".to_owned()],
        }
    }

    fn with_origin(
        &self,
        shown: ShownSetting,
        layers: &Layers,
        chain: &[Layer],
        record: &AppliedRecord,
    ) -> ShownSetting {
        let (layer, source) = match layers.origin(chain, &shown.key) {
            Origin::PolicyDefault => {
                return ShownSetting { origin: "the policy's default".to_owned(), ..shown };
            }
            // Nobody is shown a candidate's generation.
            Origin::Experiment => return shown,
            Origin::Layer(layer, source) => (layer, source),
        };
        let own = record.layers.get(&layer).and_then(|own| own.values.get(&shown.key));
        // Between a change and its record there is a moment.
        let own =
            own.filter(|own| source == Source::Applied && Some(&own.value) == shown.value.as_ref());
        let from = match source {
            Source::Label => "its labels".to_owned(),
            Source::File => match self.0.files.read().place(&layer, &shown.key) {
                Some(place) => format!("{}:{}", place.file, place.line),
                None => "a file".to_owned(),
            },
            Source::Applied => match own {
                Some(own) => format!("applied by {} in change {}", own.who, own.change),
                None => "applied".to_owned(),
            },
        };
        ShownSetting {
            origin: format!("{}, {from}", layer.name()),
            change: own.map(|own| own.change),
            who: own.map(|own| own.who.clone()),
            layer: Some(layer),
            source: Some(source),
            ..shown
        }
    }
}
