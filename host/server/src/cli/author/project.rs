//! Where a policy author's files are, and the component that is meant.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use reprieve_core::settings::{Settings, SettingsBook};
use reprieve_runtime::{
    Engine, EngineOptions, Generation, Limits, Owners, Policy, registry::Candidate,
};
use serde::Deserialize;

use crate::{
    cli::output::{self, UsageError},
    config::policy::PolicySource,
};

/// A project's own table of judgements.
const TABLE: &str = "judgements.toml";
/// Whose change makes a component an old one.
const SOURCES: [&str; 3] = ["src/lib.rs", "Cargo.toml", "Cargo.lock"];

/// The folder of a policy that is written in Rust.
#[derive(Clone, Debug)]
pub(super) struct Project {
    pub(super) dir: PathBuf,
    /// Of the package.
    pub(super) name: String,
}

#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

impl Project {
    pub(super) fn open(dir: &Path) -> Result<Self, UsageError> {
        let manifest = dir.join("Cargo.toml");
        let shown = manifest.display();
        let text = fs::read_to_string(&manifest).map_err(|error| {
            let said = format!(
                "{} is no policy project: {shown} cannot be read; `reprieve policy new` makes one",
                dir.display()
            );
            UsageError(said, Some(error.into()))
        })?;
        let manifest: Manifest = toml::from_str(&text)
            .map_err(|error| UsageError(format!("{shown} is no manifest"), Some(error.into())))?;
        let package = manifest.package.ok_or_else(|| {
            let said = format!("{shown} has no [package]; name the folder of one package");
            UsageError(said, None)
        })?;
        Ok(Self { dir: dir.to_owned(), name: package.name })
    }

    pub(super) fn component(&self) -> PathBuf {
        self.dir.join(format!("{}.wasm", self.name))
    }

    pub(super) fn table(&self) -> PathBuf {
        self.dir.join(TABLE)
    }

    /// A source that was written after the component.
    fn changed(&self) -> Option<PathBuf> {
        let written = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
        let built = written(&self.component())?;
        let is_newer = |path: &PathBuf| written(path).is_some_and(|source| source > built);
        SOURCES.iter().map(|source| self.dir.join(source)).find(is_newer)
    }
}

/// The component that is meant by a file, a built-in policy's name, or the folder
/// of a project.
pub(in crate::cli) struct Meant {
    pub(super) source: PolicySource,
    /// If a project's folder was named.
    pub(super) project: Option<Project>,
}

impl Meant {
    pub(in crate::cli) fn by(policy: &Path) -> Result<Self, UsageError> {
        let built_in =
            policy.to_str().is_some_and(|name| PolicySource::of_built_in(name).is_some());
        if built_in || !policy.is_dir() {
            return Ok(Self { source: PolicySource::named(policy), project: None });
        }
        let project = Project::open(policy)?;
        let component = project.component();
        if !component.exists() {
            let said = format!(
                "{} is not there; build it first: `reprieve policy build {}`",
                component.display(),
                policy.display()
            );
            return Err(UsageError(said, None));
        }
        if let Some(changed) = project.changed() {
            output::remark(&format!(
                "{} changed after {} was built; build it again to see that",
                changed.display(),
                component.display()
            ));
        }
        Ok(Self { source: PolicySource::File(component), project: Some(project) })
    }

    /// Its bytes, and its signature if there is one.
    pub(in crate::cli) fn fetch(&self) -> Result<Candidate, UsageError> {
        self.source.fetch().map_err(UsageError::of)
    }

    /// A policy that has started and described itself.
    pub(super) fn load(&self, engine: &Engine) -> Result<Arc<Policy>, UsageError> {
        let candidate = self.fetch()?;
        engine.load(&candidate.bytes, Limits::default()).map_err(|failure| {
            let said = format!("policy {}", candidate.source);
            UsageError::of(anyhow::Error::new(failure).context(said))
        })
    }
}

pub(super) fn engine() -> Result<Engine, UsageError> {
    Engine::new(EngineOptions::default()).map_err(UsageError::of)
}

/// That policy by these settings for everybody.
pub(super) fn judging(policy: &Arc<Policy>, fleet: Settings) -> Result<Generation, UsageError> {
    let book = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
    Generation::new(1, Arc::clone(policy), book, &Owners::new()).map_err(UsageError::of)
}
