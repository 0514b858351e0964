//! Follows the files of settings while the host runs. A bad file changes nothing:
//! what was read before stays in force, and the log and the status say why.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    EventKind, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use reprieve_core::{
    causes::with_causes,
    settings::{Layer, Layers, Settings, SettingsBook, Source},
};
use reprieve_runtime::{LayerChange, Owners};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    FilesStatus, LiveSettings,
    files::{FileSettings, FolderCache},
};
use crate::config::Config;

/// Files are read when they have been quiet for so long: editors and tools write
/// in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// They are read after so long although they are not quiet.
const QUIET_AT_MOST: Duration = Duration::from_secs(2);

/// Files are looked at so often although nothing was reported: not every file
/// system reports.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What was read last, and how it went.
#[derive(Debug)]
pub(super) struct Reloading {
    /// None: there is nothing to follow.
    file: Option<PathBuf>,
    /// What the file said first, without its settings: what the host runs with.
    fixed: Option<Value>,
    folder: Option<PathBuf>,
    cache: FolderCache,
    pub(super) status: FilesStatus,
}

impl Reloading {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            file: config.file().map(Path::to_owned),
            folder: config.policy.settings_dir.clone(),
            fixed: None,
            cache: FolderCache::default(),
            status: FilesStatus::default(),
        }
    }
}

impl LiveSettings {
    /// Follows the files until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let watched = {
            let reloading = self.0.reloading.lock();
            let paths = [&reloading.file, &reloading.folder];
            paths.into_iter().flatten().cloned().collect::<Vec<_>>()
        };
        if watched.is_empty() {
            return;
        }
        let changed = Arc::new(Notify::new());
        // Reports end when it is dropped.
        let _watcher = watch(watched, Arc::clone(&changed))
            .inspect_err(|error| tracing::warn!(%error, "settings files are only looked at"))
            .ok();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed.notified() => until_quiet(&changed).await,
                _ = look.tick() => {}
            }
            self.reload().await;
        }
    }

    /// Reads the files, and puts what they say in force.
    pub async fn reload(&self) {
        let done = self.blocking(|own, _| {
            let _one_at_a_time = own.0.one_at_a_time.lock();
            own.reload_now();
            Ok(())
        });
        if done.await.is_err() {
            tracing::error!("reading the settings files was cut off");
        }
    }

    fn reload_now(&self) {
        let mut reloading = self.0.reloading.lock();
        let Some(file) = reloading.file.clone() else { return };
        let read = self.read(&file, &mut reloading);
        let problems = match read.and_then(|files| self.take(files)) {
            Ok(()) => Vec::new(),
            Err(problems) => problems,
        };
        if problems.is_empty() {
            reloading.status.taken = Some(self.0.clock.now());
        } else if problems != reloading.status.problems {
            let problems = problems.join("\n");
            tracing::error!(
                problems,
                "settings files are not taken; the former settings stay in force"
            );
        }
        reloading.status.problems = problems;
    }

    fn read(&self, file: &Path, reloading: &mut Reloading) -> Result<FileSettings, Vec<String>> {
        let config = Config::load(file).map_err(|failure| vec![with_causes(&failure)])?;
        let fixed = fixed(config.clone());
        let needs_restart = differing(reloading.fixed.get_or_insert(fixed.clone()), &fixed);
        if needs_restart != reloading.status.needs_restart {
            let sections = needs_restart.join(", ");
            tracing::warn!(
                sections,
                "the configuration has changed; these sections need a restart of the host"
            );
            reloading.status.needs_restart = needs_restart;
        }
        FileSettings::read(&config, &mut reloading.cache)
            .map_err(|refused| vec![with_causes(&refused)])
    }

    /// Puts what the files say in force, if it is not yet.
    fn take(&self, files: FileSettings) -> Result<(), Vec<String>> {
        let former = self.0.current.snapshot();
        if !changes(former.layers(), &files.book).is_empty() {
            let next = self.0.current.update(|in_force| {
                let changes = changes(in_force.layers(), &files.book);
                let owners = self.owners(&changes, &files.owners);
                in_force.with_settings(&changes, &owners).map_err(|refused| {
                    let layers = in_force.layers().clone().with(Source::File, files.book.clone());
                    let schema = self.schema(in_force);
                    files.placed(&refused, &layers, &schema)
                })
            })?;
            let touched = self.touched(&former, &next);
            self.0.supervisor.silence_limits_changed(&touched);
            tracing::info!(
                generation = next.number(),
                workspaces = touched.len(),
                "settings files taken"
            );
        }
        *self.0.files.write() = Arc::new(files);
        Ok(())
    }

    /// The tenants of the workspaces that change. A runtime knows better than a
    /// file.
    fn owners(&self, changes: &[LayerChange], of_files: &Owners) -> Owners {
        let owner = |change: &LayerChange| {
            let Layer::Workspace(id) = &change.layer else { return None };
            let owner = self.0.supervisor.tenant_of(id);
            Some((id.clone(), owner.or_else(|| of_files.get(id).cloned())?))
        };
        changes.iter().filter_map(owner).collect()
    }
}

/// From what is in force to what the files say.
fn changes(layers: &Layers, book: &SettingsBook) -> Vec<LayerChange> {
    let known = layers.of(Source::File);
    let named: BTreeSet<Layer> =
        known.layers().chain(book.layers()).map(|(layer, _)| layer).collect();
    let changed = named.into_iter().filter(|layer| known.get(layer) != book.get(layer));
    let change = |layer: Layer| {
        let settings = book.get(&layer).map(|own| Settings::clone(own)).unwrap_or_default();
        LayerChange { layer, source: Source::File, settings }
    };
    changed.map(change).collect()
}

/// The configuration without what is followed while the host runs.
fn fixed(mut config: Config) -> Value {
    config.policy.settings.clear();
    config.tenants.clear();
    for workspace in config.workspaces.values_mut() {
        workspace.settings.clear();
    }
    serde_json::to_value(config).unwrap_or_default()
}

/// The sections in which two configurations differ.
fn differing(one: &Value, other: &Value) -> Vec<String> {
    let sections = one.as_object().into_iter().chain(other.as_object()).flatten();
    let names: BTreeSet<&String> = sections.map(|(name, _)| name).collect();
    names.into_iter().filter(|name| one.get(name) != other.get(name)).cloned().collect()
}

fn watch(paths: Vec<PathBuf>, changed: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let folders: BTreeSet<PathBuf> = paths
        .iter()
        .map(|path| {
            // Who replaces a file is seen in its folder only.
            let folder = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
            folder.unwrap_or(Path::new(".")).to_owned()
        })
        .collect();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_news = match event {
            Ok(event) => {
                let read_only = matches!(event.kind, EventKind::Access(kind)
                    if kind != AccessKind::Close(AccessMode::Write));
                !read_only && event.paths.iter().any(|path| is_of(path, &paths))
            }
            // Reports were lost: better to look.
            Err(_) => true,
        };
        if is_news {
            changed.notify_one();
        }
    })?;
    for folder in folders {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// One of these files, or in one of these folders. Beside them lies the host's own
/// database, which is written all the time.
fn is_of(path: &Path, watched: &[PathBuf]) -> bool {
    watched.iter().any(|own| {
        own.file_name() == path.file_name()
            || path.parent().is_some_and(|folder| folder.file_name() == own.file_name())
    })
}

async fn until_quiet(changed: &Notify) {
    let quiet = async { while tokio::time::timeout(QUIET, changed.notified()).await.is_ok() {} };
    // Who never stops writing is read all the same.
    let _ = tokio::time::timeout(QUIET_AT_MOST, quiet).await;
}
