//! Where the state of a host is, and how its operator's listener is reached.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use url::Url;

use super::{client::AdminClient, output::UsageError};
use crate::config::{Config, state_dir};

/// Which host: by its configuration, or by its folder.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StateArgs {
    /// The host's configuration. Default: the embedded one.
    #[arg(long, short, value_name = "FILE", env = "REPRIEVE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// The host's state folder. Default: what its configuration says.
    #[arg(long, value_name = "DIR", env = "REPRIEVE_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// How the operator's listener is reached.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// The operator's listener. Default: what the configuration says.
    #[arg(long, value_name = "URL", env = "REPRIEVE_ADMIN")]
    pub(crate) admin: Option<Url>,
}

impl StateArgs {
    /// For a host whose workspaces are found: the embedded configuration's test
    /// agents are not wanted then.
    pub(crate) fn configuration_or_none(&self) -> anyhow::Result<Config> {
        match &self.config {
            Some(_) => self.configuration(),
            None => Ok(Config::default()),
        }
    }

    pub(crate) fn configuration(&self) -> anyhow::Result<Config> {
        let config = match &self.config {
            Some(file) => Config::load(file),
            None => Config::embedded(),
        };
        Ok(config.map_err(UsageError::of)?)
    }

    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
        let config = self.configuration()?;
        Ok(self.folder_of(&config)?)
    }

    pub(crate) fn folder_of(&self, config: &Config) -> Result<PathBuf, UsageError> {
        let variable = |name: &str| std::env::var_os(name);
        state_dir::choose(self.state_dir.as_deref(), config, variable).map_err(UsageError::of)
    }
}

impl AdminArgs {
    pub(crate) fn client(&self) -> anyhow::Result<AdminClient> {
        let config = self.state.configuration()?;
        let folder = self.state.folder_of(&config)?;
        let token_file = folder.join(state_dir::ADMIN_TOKEN);
        let token = std::fs::read_to_string(&token_file).with_context(|| {
            format!(
                "cannot read the operator's token {}; start the host first, or name its folder with --state-dir",
                token_file.display()
            )
        })?;
        let base = match &self.admin {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://{}/", config.admin.listen))?,
        };
        AdminClient::new(base, token.trim().to_owned())
    }
}
