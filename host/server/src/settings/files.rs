//! What stands about settings in files: the sections of `reprieve.toml`, and a
//! folder with one file for each tenant.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use reprieve_core::{
    ids::{TenantId, WorkspaceId},
    settings::{Layer, Layers, Origin, Settings, SettingsBook, Source},
};
use reprieve_runtime::{GenerationRefused, Owners, SettingsRefused};
use serde::Deserialize;

use super::schema::SettingsSchema;
use crate::config::{Config, ConfigFailure, Place, failure::Text};

/// The largest file of one tenant that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The most files in the folder: more tenants than one host serves.
const MAX_FILES: usize = 100_000;

/// Everything that files say about settings, and where they say it.
#[derive(Clone, Debug, Default)]
pub struct FileSettings {
    pub book: SettingsBook,
    /// The tenant of each workspace that some file names.
    pub owners: Owners,
    parts: BTreeMap<Layer, Vec<Part>>,
}

/// What one file says in one layer.
#[derive(Clone, Debug)]
struct Part {
    text: Arc<Text>,
    /// The keys that lead to the table.
    path: Vec<String>,
    settings: Settings,
}

/// Why what files say was not taken. What was read before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum FilesRefused {
    #[error(transparent)]
    Config(#[from] ConfigFailure),
    #[error("cannot read the folder of settings {}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("cannot read {}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("{} has {bytes} bytes, {MAX_FILE_BYTES} are allowed", file.display())]
    TooLarge { file: PathBuf, bytes: u64 },
    #[error("{} holds more than {MAX_FILES} files", folder.display())]
    TooMany { folder: PathBuf },
    #[error("{}: {message}; the files of tenants are called like acme.toml", file.display())]
    Name { file: PathBuf, message: String },
    #[error("{place}: is set at {other}, too; keep one of them")]
    Twice { place: Box<Place>, other: Box<Place> },
}

/// One tenant's file: keys at the top are the tenant's settings.
#[derive(Debug, Default, Deserialize)]
struct TenantFile {
    #[serde(default)]
    workspaces: BTreeMap<WorkspaceId, Settings>,
    #[serde(flatten)]
    own: Settings,
}

/// The files of a folder as they were read last, so that one that changed among
/// ten thousand is the only one that is read again.
#[derive(Debug, Default)]
pub struct FolderCache(HashMap<PathBuf, (Stamp, Arc<TenantParts>)>);

/// Changes when the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

#[derive(Debug)]
struct TenantParts {
    tenant: TenantId,
    parts: Vec<(Layer, Part)>,
}

impl FileSettings {
    /// What the configuration and the folder that it names say.
    pub fn read(config: &Config, cache: &mut FolderCache) -> Result<Self, FilesRefused> {
        let mut read = Self { owners: config.owners(), ..Self::default() };
        let text = Arc::new(config.text().clone());
        for (layer, settings) in config.settings_book().layers() {
            let path = match &layer {
                Layer::Fleet => vec!["policy".to_owned(), "settings".to_owned()],
                Layer::Tenant(id) => vec!["tenants".into(), id.to_string(), "settings".into()],
                Layer::Workspace(id) => {
                    vec!["workspaces".into(), id.to_string(), "settings".into()]
                }
            };
            let part = Part { text: Arc::clone(&text), path, settings: Settings::clone(settings) };
            read.parts.entry(layer).or_default().push(part);
        }
        if let Some(folder) = &config.policy.settings_dir {
            for file in cache.read(folder)? {
                read.add(&file)?;
            }
        }
        for (layer, parts) in &read.parts {
            let merged = parts.iter().flat_map(|part| part.settings.clone()).collect();
            read.book.set(layer, Arc::new(merged));
        }
        Ok(read)
    }

    /// Where a setting of a layer stands.
    pub fn place(&self, layer: &Layer, key: &str) -> Option<Place> {
        let mut parts = self.parts.get(layer)?.iter();
        Some(parts.find(|part| part.settings.contains_key(key))?.place(key))
    }

    /// What the policy refuses, one line a problem, with the place where it stands.
    /// `layers`: those that were refused.
    pub fn placed(
        &self,
        refusal: &GenerationRefused,
        layers: &Layers,
        schema: &SettingsSchema,
    ) -> Vec<String> {
        let GenerationRefused::Settings { refused, .. } = refusal else {
            return vec![refusal.to_string()];
        };
        let mut lines = Vec::new();
        for refused in refused {
            let SettingsRefused::Problems(problems) = &refused.reason else {
                lines.push(refused.to_string());
                continue;
            };
            let chain = self.chain(&refused.layer);
            for problem in problems {
                let message = match schema.setting(problem.key()) {
                    None if !schema.settings().is_empty() => schema.unknown(problem.key()),
                    _ => problem.message.clone(),
                };
                let origin = layers.origin(&chain, problem.key());
                let place = match &origin {
                    Origin::Layer(layer, Source::File) => self.place(layer, problem.key()),
                    Origin::Layer(..) | Origin::Experiment | Origin::PolicyDefault => None,
                };
                lines.push(match place {
                    Some(place) => format!("{place}: {message}"),
                    None => format!("{origin}: {}: {message}", problem.path),
                });
            }
        }
        lines
    }

    fn chain(&self, layer: &Layer) -> Vec<Layer> {
        match layer {
            Layer::Fleet => vec![Layer::Fleet],
            Layer::Tenant(tenant) => Layer::of_tenant(tenant).into(),
            Layer::Workspace(id) => match self.owners.get(id) {
                Some(tenant) => Layer::of_workspace(tenant, id).into(),
                None => vec![Layer::Fleet, layer.clone()],
            },
        }
    }

    fn add(&mut self, file: &TenantParts) -> Result<(), FilesRefused> {
        for (layer, part) in &file.parts {
            for key in part.settings.keys() {
                if let Some(other) = self.place(layer, key) {
                    let (place, other) = (Box::new(part.place(key)), Box::new(other));
                    return Err(FilesRefused::Twice { place, other });
                }
            }
            if let Layer::Workspace(workspace) = layer {
                // Where the configuration or a runtime says otherwise, that holds.
                self.owners.entry(workspace.clone()).or_insert_with(|| file.tenant.clone());
            }
            self.parts.entry(layer.clone()).or_default().push(part.clone());
        }
        Ok(())
    }
}

impl Part {
    fn place(&self, key: &str) -> Place {
        let path: Vec<&str> = self.path.iter().map(String::as_str).chain([key]).collect();
        self.text.place_of(&path)
    }
}

impl FolderCache {
    /// The files of the folder, by name. What has gone is forgotten.
    fn read(&mut self, folder: &Path) -> Result<Vec<Arc<TenantParts>>, FilesRefused> {
        let unreadable = |source| FilesRefused::Folder { folder: folder.to_owned(), source };
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") && !is_hidden(&path) {
                files.insert(path.clone(), self.file(path)?);
            }
            if files.len() > MAX_FILES {
                return Err(FilesRefused::TooMany { folder: folder.to_owned() });
            }
        }
        self.0.retain(|path, _| files.contains_key(path));
        Ok(files.into_values().collect())
    }

    fn file(&mut self, path: PathBuf) -> Result<Arc<TenantParts>, FilesRefused> {
        use std::os::unix::fs::MetadataExt as _;
        let unreadable = |source| FilesRefused::File { file: path.clone(), source };
        let known = std::fs::metadata(&path).map_err(unreadable)?;
        let stamp =
            Stamp { modified: known.modified().ok(), bytes: known.len(), inode: known.ino() };
        if let Some((of, parts)) = self.0.get(&path)
            && *of == stamp
        {
            return Ok(Arc::clone(parts));
        }
        if stamp.bytes > MAX_FILE_BYTES {
            return Err(FilesRefused::TooLarge { file: path, bytes: stamp.bytes });
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let parts = Arc::new(tenant_parts(&path, text)?);
        self.0.insert(path, (stamp, Arc::clone(&parts)));
        Ok(parts)
    }
}

fn tenant_parts(path: &Path, text: String) -> Result<TenantParts, FilesRefused> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let tenant: TenantId = name.parse().map_err(|error| FilesRefused::Name {
        file: path.to_owned(),
        message: format!("{error}"),
    })?;
    let text = Arc::new(Text { file: path.display().to_string(), text });
    let file: TenantFile = toml::from_str(&text.text).map_err(|error| text.refuse(&error))?;
    let of_workspace = |(id, settings): (WorkspaceId, Settings)| {
        let path = vec!["workspaces".to_owned(), id.to_string()];
        (Layer::Workspace(id), Part { text: Arc::clone(&text), path, settings })
    };
    let own = Part { text: Arc::clone(&text), path: Vec::new(), settings: file.own };
    let own = std::iter::once((Layer::Tenant(tenant.clone()), own));
    let parts = own.chain(file.workspaces.into_iter().map(of_workspace)).collect();
    Ok(TenantParts { tenant, parts })
}

/// What editors write beside the file that they work on.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
