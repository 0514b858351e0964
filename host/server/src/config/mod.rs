//! The configuration: `reprieve.toml`, read and checked before anything starts.
//!
//! - [`Config`]: what the rest of the host reads; paths in it are absolute or
//!   relative to where the host runs
//! - [`sections`], [`telemetry`], [`workspace`]: the keys, their defaults and their docs
//! - [`units`]: values with a unit and a range
//! - [`failure`]: messages that name file, line, key, value, range and remedy
//! - [`policy`]: which component judges; [`policy_section`]: on what terms
//! - [`state_dir`]: where state is kept if nobody says so
//!
//! What a policy's settings may hold is the policy's to say: here they are
//! tables, checked when the policy is loaded.

pub mod failure;
pub mod policy;
pub mod policy_section;
pub mod sections;
pub mod state_dir;
pub mod telemetry;
pub mod units;
pub mod workspace;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use failure::{ConfigFailure, Place};
pub use policy_section::{PolicyConfig, Watch};
use reprieve_core::{
    ids::{TenantId, WorkspaceId},
    settings::SettingsBook,
};
use schemars::JsonSchema;
pub use sections::{
    AdminConfig, AdminTlsConfig, ControlPlaneConfig, DecisionsConfig, DockerConfig, LogConfig,
    LogFormat, LogLevel, ProxyConfig, QueueConfig, TenantConfig,
};
use serde::{Deserialize, Serialize};
pub use telemetry::TelemetryConfig;
pub use workspace::{Secret, WorkspaceConfig, WorkspaceKind};

use crate::tls;

/// The commented configuration at the root of the repository: what runs where no
/// other is named.
pub const EMBEDDED: &str = include_str!("../../../../reprieve.toml");

/// What messages call [`EMBEDDED`].
pub const EMBEDDED_NAME: &str = "the embedded reprieve.toml";

/// Reprieve's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "reprieve.toml")]
pub struct Config {
    /// Where state is kept, relative to this file. Default: `--state-dir`, then
    /// `$STATE_DIRECTORY`, `$XDG_STATE_HOME/reprieve`,
    /// `$HOME/.local/state/reprieve`.
    pub state_dir: Option<PathBuf>,
    pub proxy: ProxyConfig,
    pub admin: AdminConfig,
    pub policy: PolicyConfig,
    /// By name of the tenant.
    #[schemars(with = "BTreeMap<String, TenantConfig>")]
    pub tenants: BTreeMap<TenantId, TenantConfig>,
    /// By name of the workspace: 1 to 63 letters, digits, `-`, `_` and `.`.
    #[schemars(with = "BTreeMap<String, WorkspaceConfig>")]
    pub workspaces: BTreeMap<WorkspaceId, WorkspaceConfig>,
    pub docker: DockerConfig,
    /// By name of the control plane.
    pub control_planes: BTreeMap<String, ControlPlaneConfig>,
    pub queue: QueueConfig,
    pub decisions: DecisionsConfig,
    pub log: LogConfig,
    pub telemetry: TelemetryConfig,
    #[serde(skip)]
    source: failure::Text,
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a file. Paths in it become relative to its folder; token
    /// files are read, and files of certificates are checked.
    pub fn load(file: &Path) -> Result<Self, ConfigFailure> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigFailure::Unreadable { file: file.to_owned(), source })?;
        let mut config = Self::parse(&file.display().to_string(), &text)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        config.file = Some(file.to_owned());
        config.resolve_paths(folder);
        config.read_token_files()?;
        config.check_authorities()?;
        if let Err(message) = config.telemetry.read_headers() {
            return Err(config.refuse(&["telemetry", "otlp_headers_file"], &message));
        }
        Ok(config)
    }

    /// The commented configuration that the program carries.
    pub fn embedded() -> Result<Self, ConfigFailure> {
        Self::parse(EMBEDDED_NAME, EMBEDDED)
    }

    /// Checks a text. `name` is what messages call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigFailure> {
        let source = failure::Text { file: name.to_owned(), text: text.to_owned() };
        let mut config: Self = toml::from_str(text).map_err(|error| source.refuse(&error))?;
        config.source = source;
        config.check()?;
        Ok(config)
    }

    /// Every layer of the policy's settings.
    pub fn settings_book(&self) -> SettingsBook {
        let of_tenant = |(id, tenant): (&TenantId, &TenantConfig)| {
            (!tenant.settings.is_empty()).then(|| (id.clone(), Arc::new(tenant.settings.clone())))
        };
        let of_workspace = |(id, workspace): (&WorkspaceId, &WorkspaceConfig)| {
            (!workspace.settings.is_empty())
                .then(|| (id.clone(), Arc::new(workspace.settings.clone())))
        };
        SettingsBook {
            fleet: Arc::new(self.policy.settings.clone()),
            tenants: self.tenants.iter().filter_map(of_tenant).collect(),
            workspaces: self.workspaces.iter().filter_map(of_workspace).collect(),
        }
    }

    /// Whose each workspace is.
    pub fn owners(&self) -> BTreeMap<WorkspaceId, TenantId> {
        self.workspaces.iter().map(|(id, of)| (id.clone(), of.tenant.clone())).collect()
    }

    /// The file that it was read from. None: it is the embedded one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The text that it was read from.
    pub fn text(&self) -> &failure::Text {
        &self.source
    }

    /// Where a key stands in the file, for messages about its value.
    pub fn place_of(&self, path: &[&str]) -> Place {
        self.source.place_of(path)
    }

    /// What is probably a mistake, but not certainly.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for tenant in self.tenants.keys() {
            if !self.docker.enabled
                && !self.workspaces.values().any(|workspace| workspace.tenant == *tenant)
            {
                let place = self.place_of(&["tenants", tenant.as_str()]);
                warnings.push(format!("{place}: no workspace belongs to this tenant"));
            }
        }
        if !self.admin.listen.ip().is_loopback() && self.admin.tls.is_none() {
            let place = self.place_of(&["admin", "insecure"]);
            warnings.push(format!(
                "{place}: INSECURE: the operator's listener is reachable from other machines and speaks plain HTTP; whoever listens in has every token"
            ));
        }
        warnings
    }

    /// What no single key can tell.
    fn check(&self) -> Result<(), ConfigFailure> {
        if self.proxy.listen == self.admin.listen && self.proxy.listen.port() != 0 {
            return Err(self
                .refuse(&["admin", "listen"], "proxy.listen is the same; give each its own port"));
        }
        let admin = &self.admin;
        if !admin.listen.ip().is_loopback() && admin.tls.is_none() && !admin.insecure {
            let message = format!(
                "{} is reachable from other machines: set admin.tls, or keep it on the loopback interface (admin.insecure = true takes the risk)",
                admin.listen
            );
            return Err(self.refuse(&["admin", "listen"], &message));
        }
        if let Some(url) = &self.proxy.public_url
            && (!matches!(url.scheme(), "http" | "https") || url.query().is_some())
        {
            let message =
                format!("{url} is not valid: must be an http or https URL without a query");
            return Err(self.refuse(&["proxy", "public_url"], &message));
        }
        if let Err((key, message)) = self.policy.check() {
            return Err(self.refuse(&["policy", key], &message));
        }
        if let Err((key, message)) = self.telemetry.check() {
            return Err(self.refuse(&["telemetry", key], &message));
        }
        for (name, plane) in &self.control_planes {
            if let Err((key, message)) = plane.check() {
                return Err(self.refuse(&["control_planes", name, key], &message));
            }
        }
        let mut addresses = BTreeMap::new();
        for (id, workspace) in &self.workspaces {
            if let Err((key, message)) = workspace.check() {
                return Err(self.refuse(&["workspaces", id.as_str(), key], &message));
            }
            self.check_references(id, workspace)?;
            if let Some(url) = &workspace.address
                && let Some(other) = addresses.insert(url.clone(), id)
            {
                let message = format!("{url} is the address of workspace {other}, too");
                return Err(self.refuse(&["workspaces", id.as_str(), "address"], &message));
            }
        }
        Ok(())
    }

    /// What a workspace names is there.
    fn check_references(
        &self,
        id: &WorkspaceId,
        workspace: &WorkspaceConfig,
    ) -> Result<(), ConfigFailure> {
        let refuse =
            |key, message: String| self.refuse(&["workspaces", id.as_str(), key], &message);
        if let Some(name) = &workspace.control_plane
            && !self.control_planes.contains_key(name)
        {
            let known: Vec<_> = self.control_planes.keys().map(String::as_str).collect();
            let message = format!("there is no control plane {name:?}; there are: {known:?}");
            return Err(refuse("control_plane", message));
        }
        for on in &workspace.depends_on {
            if on == id {
                return Err(refuse("depends_on", "a workspace cannot depend on itself".to_owned()));
            }
            // With Docker more workspaces are found than the file names.
            if !self.docker.enabled && !self.workspaces.contains_key(on) {
                return Err(refuse("depends_on", format!("there is no workspace {on}")));
            }
        }
        Ok(())
    }

    fn refuse(&self, path: &[&str], message: &str) -> ConfigFailure {
        ConfigFailure::Refused { place: self.place_of(path), message: message.to_owned() }
    }

    fn resolve_paths(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        self.state_dir.iter_mut().for_each(resolve);
        if let Some(tls) = &mut self.admin.tls {
            resolve(&mut tls.cert);
            resolve(&mut tls.key);
        }
        // A bare name may be a built-in policy's; see [`policy`].
        let is_path =
            |path: &&mut PathBuf| path.components().count() > 1 || path.extension().is_some();
        self.policy.file.iter_mut().filter(is_path).for_each(resolve);
        self.policy.settings_dir.iter_mut().for_each(resolve);
        self.policy.folder.iter_mut().for_each(resolve);
        self.policy.golden.iter_mut().for_each(resolve);
        self.telemetry.otlp_headers_file.iter_mut().for_each(resolve);
        for plane in self.control_planes.values_mut() {
            plane.token_file.iter_mut().for_each(resolve);
            plane.ca_file.iter_mut().for_each(resolve);
        }
        for workspace in self.workspaces.values_mut() {
            workspace.working_dir.iter_mut().for_each(resolve);
            workspace.log_file.iter_mut().for_each(resolve);
            workspace.token_file.iter_mut().for_each(resolve);
        }
    }

    /// A host that finds out at the first https call finds out too late.
    fn check_authorities(&self) -> Result<(), ConfigFailure> {
        for (name, plane) in &self.control_planes {
            let Some(file) = &plane.ca_file else { continue };
            tls::authorities(file).map_err(|source| ConfigFailure::AuthoritiesUnusable {
                place: self.place_of(&["control_planes", name, "ca_file"]),
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    fn read_token_files(&mut self) -> Result<(), ConfigFailure> {
        for (id, workspace) in &mut self.workspaces {
            let Some(file) = &workspace.token_file else { continue };
            workspace.token = Some(read_token(&format!("workspace {id}"), file)?);
        }
        for (name, plane) in &mut self.control_planes {
            let Some(file) = &plane.token_file else { continue };
            plane.token = Some(read_token(&format!("control plane {name}"), file)?);
        }
        for (id, workspace) in &self.workspaces {
            if let Err((_, message)) = workspace.check_token() {
                return Err(self.refuse(&["workspaces", id.as_str(), "token_file"], &message));
            }
        }
        Ok(())
    }
}

fn read_token(owner: &str, file: &Path) -> Result<Secret, ConfigFailure> {
    match std::fs::read_to_string(file) {
        Ok(token) => Ok(Secret::new(token.trim().to_owned())),
        Err(source) => {
            let (owner, file) = (owner.to_owned(), file.to_owned());
            Err(ConfigFailure::TokenUnreadable { owner, file, source })
        }
    }
}

/// The JSON Schema of `reprieve.toml`, as published in
/// `docs/reprieve.schema.json`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

#[cfg(test)]
mod tests;
