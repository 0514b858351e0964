//! Where the state of a host is, and how its operator's listener is reached.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use url::Url;

use super::{
    client::AdminClient,
    context::{Context, Contexts},
    output::UsageError,
};
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

/// How the operator's listener is reached: by its address, by the name of a
/// context, or on this machine by the host's configuration or folder.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// The operator's listener. Default: what the context or the configuration
    /// says.
    #[arg(long, alias = "admin", value_name = "URL", env = "REPRIEVE_ENDPOINT")]
    pub(crate) endpoint: Option<Url>,

    /// The token to show. Other users of this machine may see it: better in a
    /// file.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<String>,

    /// A file that holds the token. Default: the context's, or `admin.token` in
    /// the state folder.
    #[arg(long, value_name = "FILE", env = "REPRIEVE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Certificates to trust over https, PEM. Default: those that the machine
    /// trusts.
    #[arg(long, value_name = "FILE", env = "REPRIEVE_CA_FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// A context of `reprieve context set`. Default: the one in use.
    #[arg(long, value_name = "NAME", env = "REPRIEVE_CONTEXT")]
    pub(crate) context: Option<String>,
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

    const fn names_a_host(&self) -> bool {
        self.config.is_some() || self.state_dir.is_some()
    }
}

impl AdminArgs {
    pub(crate) fn client(&self) -> anyhow::Result<AdminClient> {
        match self.remote()? {
            Some(client) => Ok(client),
            None => self.local(),
        }
    }

    /// None: nothing names a listener, so a host on this machine is meant, whose
    /// folder can be read.
    pub(crate) fn remote(&self) -> anyhow::Result<Option<AdminClient>> {
        let context = self.chosen_context()?;
        let endpoint = self.endpoint.clone().or_else(|| old_variable("REPRIEVE_ADMIN"));
        let endpoint = endpoint.or_else(|| context.as_ref().map(|known| known.endpoint.clone()));
        let Some(endpoint) = endpoint else { return Ok(None) };
        let of_context = |file: fn(&Context) -> Option<PathBuf>| context.as_ref().and_then(file);
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => read_token(file)?,
            (None, None) => match of_context(|context| context.token_file.clone()) {
                Some(file) => read_token(&file)?,
                None => self.hosts_own_token(&self.state.folder()?)?,
            },
        };
        let ca = self.ca.clone().or_else(|| of_context(|context| context.ca_file.clone()));
        AdminClient::new(endpoint, token, ca.as_deref()).map(Some).map_err(in_usage)
    }

    /// The context that is named; else, where nothing else names a host, the one
    /// in use.
    fn chosen_context(&self) -> anyhow::Result<Option<Context>> {
        match &self.context {
            Some(name) => Ok(Some(Contexts::load()?.get(name)?.clone())),
            None if self.endpoint.is_some() || self.state.names_a_host() => Ok(None),
            None => Ok(Contexts::load()?.in_use()?.cloned()),
        }
    }

    /// As the configuration says, with the token in the state folder.
    fn local(&self) -> anyhow::Result<AdminClient> {
        let config = self.state.configuration()?;
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => read_token(file)?,
            (None, None) => self.hosts_own_token(&self.state.folder_of(&config)?)?,
        };
        let scheme = if config.admin.tls.is_some() { "https" } else { "http" };
        let base = Url::parse(&format!("{scheme}://{}/", config.admin.listen))?;
        // Whoever may read the host's folder may trust its certificate.
        let own = config.admin.tls.as_ref().map(|tls| tls.cert.clone());
        let ca = self.ca.clone().or(own);
        AdminClient::new(base, token, ca.as_deref()).map_err(in_usage)
    }

    fn hosts_own_token(&self, folder: &Path) -> anyhow::Result<String> {
        let file = folder.join(state_dir::ADMIN_TOKEN);
        let token = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read the operator's token {}; start the host first, name its folder with --state-dir, or a token with --token-file",
                file.display()
            )
        })?;
        Ok(token.trim().to_owned())
    }
}

/// As `--admin` was called in the environment.
fn old_variable(name: &str) -> Option<Url> {
    Url::parse(&std::env::var(name).ok()?).ok()
}

fn in_usage(error: anyhow::Error) -> anyhow::Error {
    UsageError::of(error).into()
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let token = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token file {}", file.display()));
    Ok(token.map_err(UsageError::of)?.trim().to_owned())
}
