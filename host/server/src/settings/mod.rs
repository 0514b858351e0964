//! The policy's settings while the host runs: shown, tried, changed and undone.
//!
//! What files say and what people applied lie in layers (`reprieve_core::
//! settings`). [`LiveSettings`] turns a change into the next generation: checked
//! by the policy's schema and by the policy itself for everybody whom it touches,
//! then on disk, then in force for the next decision. What is refused changes
//! nothing anywhere.
//!
//! - [`files`]: what stands in files; `reload` follows them while the host runs
//! - [`schema`]: what the policy says of its settings
//! - `apply`, `preview`, `view`: to change, to try, to look
//! - `boot`: what was applied is taken back when the host starts

mod apply;
mod boot;
pub mod files;
mod preview;
mod problem;
mod reload;
pub mod schema;
mod view;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use reprieve_core::{
    evidence::StoreFault,
    ids::{Digest, WorkspaceId},
    ports::Clock,
    settings::{Change, ChangeNumber, Layer, Patch},
};
use reprieve_runtime::{Current, Generation, Who};
use tokio::runtime::Handle;

pub use self::{
    boot::with_applied,
    preview::{KeyDiff, Preview},
    problem::SettingProblem,
    view::{FilesStatus, SetAside, SettingsStatus, ShownSetting, ShownSettings},
};
use self::{files::FileSettings, reload::Reloading, schema::SettingsSchema};
use crate::{
    config::Config,
    store::{AllApplied, SettingsStore},
    supervisor::Supervisor,
};

/// The most keys that one change may touch.
pub const MAX_PATCH_KEYS: usize = 256;

/// The most that one layer may hold, as JSON.
pub const MAX_LAYER_BYTES: usize = 64 << 10;

/// The longest reason that is kept with a change.
pub const MAX_WHY_BYTES: usize = 1 << 10;

/// A change that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRequest {
    pub layer: Layer,
    pub patch: Patch,
    pub who: String,
    pub why: String,
    /// The version that who asks has seen. None: whichever it is.
    pub expected: Option<ChangeNumber>,
}

/// Why a change is refused. Nothing has changed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum ChangeRefused {
    #[error("{}", problem::enumerated(.0))]
    Problems(Vec<SettingProblem>),
    #[error(
        "{layer} are at version {version} now, not {expected}: somebody changed them meanwhile; look at them again"
    )]
    Stale { layer: Layer, expected: ChangeNumber, version: ChangeNumber },
    #[error("there is no workspace {0} here")]
    UnknownWorkspace(WorkspaceId),
    #[error("nothing is to be changed: name at least one setting")]
    Empty,
    #[error("{what} is too large: {size}, {limit} are allowed")]
    TooLarge { what: &'static str, size: usize, limit: usize },
    #[error("nothing was applied to {key} in {layer}, so there is nothing to take back")]
    NothingApplied { layer: Layer, key: String },
    #[error("change {0} is not on record")]
    NoSuchChange(ChangeNumber),
    #[error(
        "{} touched the same settings later; undo that first, or force it",
        problem::changes(later)
    )]
    Overlaid { later: Vec<Change> },
    #[error("the change could not be written down")]
    Store(#[from] StoreFault),
    #[error("the change was cut off before it was made")]
    Interrupted,
}

/// What the settings of a running host are made of.
pub struct SettingsParts {
    pub current: Arc<Current>,
    pub supervisor: Supervisor,
    pub store: Arc<SettingsStore>,
    pub clock: Arc<dyn Clock>,
    /// As it was read from its file.
    pub config: Config,
    pub files: FileSettings,
    /// As on disk; in force already.
    pub applied: AllApplied,
}

impl std::fmt::Debug for SettingsParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettingsParts").finish_non_exhaustive()
    }
}

/// The settings of a running host. Cheap to clone.
#[derive(Clone)]
pub struct LiveSettings(Arc<Inner>);

impl std::fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let newest_change = self.record().newest;
        f.debug_struct("LiveSettings")
            .field("newest_change", &newest_change)
            .finish_non_exhaustive()
    }
}

struct Inner {
    current: Arc<Current>,
    supervisor: Supervisor,
    store: Arc<SettingsStore>,
    clock: Arc<dyn Clock>,
    /// What is applied and by whom: as on disk.
    record: RwLock<Arc<AppliedRecord>>,
    files: RwLock<Arc<FileSettings>>,
    reloading: Mutex<Reloading>,
    /// Held by whoever changes settings, from the first check to the last effect.
    one_at_a_time: Mutex<()>,
    /// Of the policy with that digest.
    schema: Mutex<Option<(Digest, Arc<SettingsSchema>)>>,
}

/// What is on record about applied settings.
#[derive(Clone, Debug, Default)]
struct AppliedRecord {
    layers: AllApplied,
    newest: ChangeNumber,
}

impl LiveSettings {
    pub fn new(parts: SettingsParts) -> Self {
        let SettingsParts { current, supervisor, store, clock, config, files, applied } = parts;
        let newest = applied.values().map(|layer| layer.version).max().unwrap_or_default();
        let record = AppliedRecord { layers: applied, newest };
        Self(Arc::new(Inner {
            current,
            supervisor,
            store,
            clock,
            record: RwLock::new(Arc::new(record)),
            files: RwLock::new(Arc::new(files)),
            reloading: Mutex::new(Reloading::new(&config)),
            one_at_a_time: Mutex::new(()),
            schema: Mutex::new(None),
        }))
    }

    /// The number of a layer's newest change.
    pub fn version(&self, layer: &Layer) -> ChangeNumber {
        self.record().version(layer)
    }

    fn record(&self) -> Arc<AppliedRecord> {
        Arc::clone(&self.0.record.read())
    }

    /// The schema of the policy of that generation.
    fn schema(&self, generation: &Generation) -> Arc<SettingsSchema> {
        let policy = generation.policy();
        let mut known = self.0.schema.lock();
        match &*known {
            Some((of, schema)) if *of == policy.digest() => Arc::clone(schema),
            _ => {
                let schema = Arc::new(SettingsSchema::new(&policy.description().settings_schema));
                *known = Some((policy.digest(), Arc::clone(&schema)));
                schema
            }
        }
    }

    /// The layers that apply to whom `layer` is of, the weakest first.
    fn chain(&self, layer: &Layer) -> Result<Vec<Layer>, ChangeRefused> {
        Ok(match layer {
            Layer::Fleet => vec![Layer::Fleet],
            Layer::Tenant(tenant) => Layer::of_tenant(tenant).into(),
            Layer::Workspace(workspace) => {
                let tenant = self.0.supervisor.tenant_of(workspace);
                let unknown = || ChangeRefused::UnknownWorkspace(workspace.clone());
                Layer::of_workspace(&tenant.ok_or_else(unknown)?, workspace).into()
            }
        })
    }

    /// The workspaces here that other settings are in force for.
    fn touched(&self, former: &Generation, next: &Generation) -> Vec<Who> {
        let mut members = self.0.supervisor.members_of(&Layer::Fleet);
        members.retain(|who| former.settings_digest(who) != next.settings_digest(who));
        members
    }

    /// Runs what blocks where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &Handle) -> Result<T, ChangeRefused> + Send + 'static,
    ) -> Result<T, ChangeRefused> {
        let (own, handle) = (self.clone(), Handle::current());
        let done = tokio::task::spawn_blocking(move || work(&own, &handle)).await;
        done.unwrap_or(Err(ChangeRefused::Interrupted))
    }
}

impl AppliedRecord {
    fn version(&self, layer: &Layer) -> ChangeNumber {
        self.layers.get(layer).map(|own| own.version).unwrap_or_default()
    }
}
