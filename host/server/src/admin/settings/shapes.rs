//! What is asked and answered about settings, as JSON.

use std::collections::BTreeMap;

use reprieve_core::{
    ids::TokenName,
    settings::{Change, Layer, Patch, Source},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::settings::{
    FilesStatus, KeyDiff, Preview, SetAside, SettingsStatus, ShownSetting, ShownSettings,
};

/// A change of settings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedSettings)]
pub(super) struct Wanted {
    /// A value for each key, 256 at most. Null takes back what was applied.
    #[schema(value_type = Object)]
    pub(super) settings: Patch,
    /// Why, for whoever reads the history. At most 1024 bytes.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub(super) why: String,
}

/// A change that is not wanted any more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UndoSettings)]
pub(super) struct Undo {
    /// Why, for whoever reads the history. At most 1024 bytes.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub(super) why: String,
    /// Undo although later changes touched the same settings.
    #[serde(default)]
    pub(super) force: bool,
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangesQuery {
    /// Only those of this layer: `fleet`, `tenants/NAME` or `workspaces/NAME`.
    #[param(pattern = "^(fleet|(tenants|workspaces)/[A-Za-z0-9][A-Za-z0-9._-]{0,62})$")]
    pub(super) layer: Option<String>,
    /// Only those made with the token of this name.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    pub(super) who: Option<TokenName>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: Option<u32>,
}

/// Whose settings.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SettingsLayer)]
pub(super) enum OfLayer {
    Fleet,
    Tenant(String),
    Workspace(String),
}

impl From<Layer> for OfLayer {
    fn from(layer: Layer) -> Self {
        match layer {
            Layer::Fleet => Self::Fleet,
            Layer::Tenant(tenant) => Self::Tenant(tenant.into()),
            Layer::Workspace(workspace) => Self::Workspace(workspace.into()),
        }
    }
}

/// The settings of the fleet, a tenant or a workspace.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LayerSettings {
    layer: OfLayer,
    /// Of a tenant or a workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// The number of the layer's newest change. 0: there was none.
    version: u64,
    /// The generation that judges now.
    generation: u64,
    policy: String,
    /// What decisions name these settings by.
    digest: String,
    /// Below the layer.
    workspaces: usize,
    settings: Vec<SettingInForce>,
}

/// One setting as it is in force.
#[derive(Debug, Serialize, ToSchema)]
struct SettingInForce {
    key: String,
    /// Absent: the policy's default, which its schema does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    /// Where it comes from, in words.
    origin: String,
    /// Absent: the policy's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<OfLayer>,
    /// Absent: the policy's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SettingSource>,
    /// The change that applied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    /// The range, in words. Absent: nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<String>,
    description: String,
}

/// What said it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SettingSource {
    Label,
    File,
    Applied,
}

impl LayerSettings {
    /// Who does not see all tenants is told what is in force, but not who set it
    /// for the fleet, and where.
    pub(super) fn of(shown: ShownSettings, sees_all: bool) -> Self {
        Self {
            layer: shown.layer.into(),
            tenant: shown.tenant.map(String::from),
            version: shown.version.0,
            generation: shown.generation,
            policy: shown.policy,
            digest: shown.digest.to_string(),
            workspaces: shown.workspaces,
            settings: shown
                .settings
                .into_iter()
                .map(|setting| SettingInForce::of(setting, sees_all))
                .collect(),
        }
    }
}

impl SettingInForce {
    fn of(shown: ShownSetting, sees_all: bool) -> Self {
        let is_hidden = !sees_all && shown.layer == Some(Layer::Fleet);
        let source = shown.source.map(|source| match source {
            Source::Label => SettingSource::Label,
            Source::File => SettingSource::File,
            Source::Applied => SettingSource::Applied,
        });
        Self {
            key: shown.key,
            value: shown.value,
            default: shown.default,
            origin: if is_hidden { Layer::Fleet.name() } else { shown.origin },
            layer: shown.layer.map(OfLayer::from),
            source,
            change: shown.change.filter(|_| !is_hidden).map(|change| change.0),
            who: shown.who.filter(|_| !is_hidden),
            allowed: shown.allowed,
            description: shown.description,
        }
    }
}

/// What a change would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettingsPreview {
    layer: OfLayer,
    /// The number of the layer's newest change now.
    version: u64,
    keys: Vec<SettingChange>,
    /// The workspaces that some key would change for.
    workspaces: usize,
    /// How many of each tenant; the first hundred tenants by name.
    tenants: BTreeMap<String, usize>,
    /// What is probably a mistake, but not certainly.
    notes: Vec<String>,
}

/// What would become of one key.
#[derive(Debug, Serialize, ToSchema)]
struct SettingChange {
    key: String,
    /// Absent: the policy's default, which its schema does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    /// The workspaces whose value would change.
    workspaces: usize,
    /// Those that keep theirs: a nearer layer names the key.
    own: usize,
}

impl SettingsPreview {
    pub(super) fn of(preview: Preview, sees_all: bool) -> Self {
        // They may name other tenants.
        let notes = if sees_all { preview.notes } else { Vec::new() };
        let tenants = preview.tenants.into_iter();
        Self {
            layer: preview.layer.into(),
            version: preview.version.0,
            keys: preview.keys.into_iter().map(SettingChange::from).collect(),
            workspaces: preview.workspaces,
            tenants: tenants.map(|(tenant, number)| (tenant.into(), number)).collect(),
            notes,
        }
    }
}

impl From<KeyDiff> for SettingChange {
    fn from(diff: KeyDiff) -> Self {
        let KeyDiff { key, before, after, workspaces, own } = diff;
        Self { key, before, after, workspaces, own }
    }
}

/// Changes, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SettingsChanges)]
pub(super) struct Changes {
    pub(super) changes: Vec<ChangeMade>,
}

/// One change on record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SettingsChange)]
pub(super) struct ChangeMade {
    number: u64,
    /// Milliseconds since the Unix epoch.
    at: u64,
    /// The name of the token.
    who: String,
    /// In the words of who did it; may be empty.
    why: String,
    layer: OfLayer,
    /// What was applied before, of the keys that it touched. Null: nothing.
    #[schema(value_type = Object)]
    before: Patch,
    /// What it set. Null: it took back what was applied.
    #[schema(value_type = Object)]
    after: Patch,
    /// The change that it undid.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo_of: Option<u64>,
}

impl From<Change> for ChangeMade {
    fn from(change: Change) -> Self {
        Self {
            number: change.number.0,
            at: change.at.0,
            who: change.who,
            why: change.why,
            layer: change.layer.into(),
            before: change.before,
            after: change.after,
            undo_of: change.undo_of.map(|undone| undone.0),
        }
    }
}

/// How the settings of this host are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SettingsStatus)]
pub(super) struct SettingsHealth {
    generation: u64,
    policy: String,
    /// The number of the newest change.
    newest_change: u64,
    /// Layers with applied settings.
    layers_applied: usize,
    /// On record and not in force: the policy refuses them.
    set_aside: Vec<SetAsideLayer>,
    files: SettingsFiles,
}

/// A layer whose applied settings are not in force.
#[derive(Debug, Serialize, ToSchema)]
struct SetAsideLayer {
    layer: OfLayer,
    version: u64,
    /// Why. Empty: its workspace is not here.
    problems: Vec<String>,
}

/// How following the files goes.
#[derive(Debug, Serialize, ToSchema)]
struct SettingsFiles {
    /// When they were last read and taken, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<u64>,
    /// Why what they say now is not in force. Empty: it is.
    problems: Vec<String>,
    /// Sections of the configuration that changed and need a restart.
    needs_restart: Vec<String>,
}

impl From<SettingsStatus> for SettingsHealth {
    fn from(status: SettingsStatus) -> Self {
        let set_aside = |SetAside { layer, version, problems }| SetAsideLayer {
            layer: OfLayer::from(layer),
            version: version.0,
            problems,
        };
        let FilesStatus { taken, problems, needs_restart } = status.files;
        Self {
            generation: status.generation,
            policy: status.policy,
            newest_change: status.newest_change.0,
            layers_applied: status.layers_applied,
            set_aside: status.set_aside.into_iter().map(set_aside).collect(),
            files: SettingsFiles { taken: taken.map(|at| at.0), problems, needs_restart },
        }
    }
}
