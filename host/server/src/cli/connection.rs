//! Where the state of a host is, and how its operator's listener is reached.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use url::{Host, Url};

use super::{
    client::AdminClient,
    context::{Context, Contexts},
    output::UsageError,
};
use crate::config::{Config, state_dir};

/// Which host: by its configuration, or by its folder.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StateArgs {
    /// The host's configuration. Default: $REPRIEVE_CONFIG, or the embedded one.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The host's state folder. Default: $REPRIEVE_STATE_DIR, or what its
    /// configuration says.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// How the operator's listener is reached. One of these names the host, the first
/// that is given, and with it the token and the certificates: `--endpoint`,
/// `--context`, `--config` or `--state-dir`, `$REPRIEVE_ENDPOINT`,
/// `$REPRIEVE_CONTEXT`, the context in use; else the host on this machine.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// The operator's listener. Default: $REPRIEVE_ENDPOINT, or what the context or
    /// the configuration says.
    #[arg(long, alias = "admin", value_name = "URL")]
    pub(crate) endpoint: Option<Url>,

    /// The token to show. Other users of this machine may see it: better in a
    /// file.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<ShownToken>,

    /// A file that holds the token. Default: $REPRIEVE_TOKEN_FILE for
    /// $REPRIEVE_ENDPOINT, the context's, or for this machine `admin.token` in the
    /// state folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Certificates to trust over https, PEM. Default: $REPRIEVE_CA_FILE for
    /// $REPRIEVE_ENDPOINT, the context's, or those that the machine trusts.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// A context of `reprieve context set`. Default: $REPRIEVE_CONTEXT, or the one
    /// in use.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Show the token to another machine over plain http, where whoever is in
    /// between reads it.
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// A token on the command line. No `Debug` of the arguments shows it.
#[derive(Clone)]
pub(crate) struct ShownToken(String);

impl From<&str> for ShownToken {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl std::fmt::Debug for ShownToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShownToken(…)")
    }
}

/// A host that something names, and what goes with that name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    endpoint: Url,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

impl StateArgs {
    /// For a host whose workspaces are found: the embedded configuration's test
    /// agents are not wanted then.
    pub(crate) fn configuration_or_none(&self) -> anyhow::Result<Config> {
        match &self.config_file() {
            Some(_) => self.configuration(),
            None => Ok(Config::default()),
        }
    }

    pub(crate) fn configuration(&self) -> anyhow::Result<Config> {
        let config = match &self.config_file() {
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
        let named = self.state_dir.clone().or_else(|| set("REPRIEVE_STATE_DIR"));
        state_dir::choose(named.as_deref(), config, variable).map_err(UsageError::of)
    }

    /// By an argument: what is in the environment is a default.
    const fn names_a_host(&self) -> bool {
        self.config.is_some() || self.state_dir.is_some()
    }

    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| set("REPRIEVE_CONFIG"))
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
        let Some(named) = self.named(|name| std::env::var_os(name), Contexts::load)? else {
            return Ok(None);
        };
        if named.endpoint.scheme() == "http" && !is_this_machine(&named.endpoint) && !self.insecure
        {
            let said = format!(
                "{} is another machine's, and plain http shows the token to whoever is in \
                 between; use https, or --insecure",
                named.endpoint
            );
            return Err(UsageError(said, None).into());
        }
        let token = match self.explicit_token()? {
            Some(token) => token,
            None => self.token_for(&named)?,
        };
        let ca = self.ca.clone().or(named.ca_file);
        AdminClient::new(named.endpoint, token, ca.as_deref()).map(Some).map_err(in_usage)
    }

    /// The first that names a host. What goes with it comes from there, too: a
    /// token is shown to no other host than it was given for.
    fn named(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
        contexts: impl Fn() -> anyhow::Result<Contexts>,
    ) -> anyhow::Result<Option<Named>> {
        if let Some(endpoint) = self.endpoint.clone() {
            return Ok(Some(Named { endpoint, token_file: None, ca_file: None }));
        }
        if let Some(name) = &self.context {
            return Ok(Some(contexts()?.get(name)?.into()));
        }
        if self.state.names_a_host() {
            return Ok(None);
        }
        let set = |name| variable(name).filter(|value| !value.is_empty());
        for name in ["REPRIEVE_ENDPOINT", "REPRIEVE_ADMIN"] {
            if let Some(value) = set(name) {
                let value = value.to_string_lossy();
                let endpoint = Url::parse(&value).map_err(|error| {
                    UsageError(format!("${name}, {value:?}, is no URL"), Some(error.into()))
                })?;
                let file = |name| set(name).map(PathBuf::from);
                let (token_file, ca_file) = (file("REPRIEVE_TOKEN_FILE"), file("REPRIEVE_CA_FILE"));
                return Ok(Some(Named { endpoint, token_file, ca_file }));
            }
        }
        if let Some(name) = set("REPRIEVE_CONTEXT") {
            return Ok(Some(contexts()?.get(&name.to_string_lossy())?.into()));
        }
        Ok(contexts()?.in_use()?.map(Named::from))
    }

    fn explicit_token(&self) -> anyhow::Result<Option<String>> {
        match (&self.token, &self.token_file) {
            (Some(ShownToken(token)), _) => Ok(Some(token.clone())),
            (None, Some(file)) => read_token(file).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The host's own token opens everything here: it leaves this machine only
    /// for who says so.
    fn token_for(&self, named: &Named) -> anyhow::Result<String> {
        match &named.token_file {
            Some(file) => read_token(file),
            None if is_this_machine(&named.endpoint) => self.hosts_own_token(&self.state.folder()?),
            None => {
                let said =
                    format!("no token is named for {}; name one with --token-file", named.endpoint);
                Err(UsageError(said, None).into())
            }
        }
    }

    /// As the configuration says, with the token in the state folder.
    fn local(&self) -> anyhow::Result<AdminClient> {
        let config = self.state.configuration()?;
        let token = match self.explicit_token()? {
            Some(token) => token,
            None => self.hosts_own_token(&self.state.folder_of(&config)?)?,
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

impl From<&Context> for Named {
    fn from(context: &Context) -> Self {
        Self {
            endpoint: context.endpoint.clone(),
            token_file: context.token_file.clone(),
            ca_file: context.ca_file.clone(),
        }
    }
}

/// What the environment says.
fn set(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// No other machine hears what is sent there.
fn is_this_machine(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

fn in_usage(error: anyhow::Error) -> anyhow::Error {
    UsageError::of(error).into()
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let token = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token file {}", file.display()));
    Ok(token.map_err(UsageError::of)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        admin: AdminArgs,
    }

    fn given(arguments: &[&str]) -> AdminArgs {
        Line::try_parse_from([&["reprieve"], arguments].concat()).unwrap().admin
    }

    /// `here` is in use.
    fn contexts() -> anyhow::Result<Contexts> {
        let text = "current = \"here\"\n\
             [contexts.here]\nendpoint = \"https://here/\"\ntoken_file = \"/here.token\"\n\
             [contexts.there]\nendpoint = \"https://there/\"\nca_file = \"/there.pem\"\n";
        Ok(toml::from_str(text)?)
    }

    #[test]
    fn one_source_names_the_host_and_all_that_goes_with_it() {
        let everything = [
            ("REPRIEVE_ENDPOINT", "https://env/"),
            ("REPRIEVE_TOKEN_FILE", "/env.token"),
            ("REPRIEVE_CA_FILE", "/env.pem"),
            ("REPRIEVE_CONTEXT", "there"),
            ("REPRIEVE_STATE_DIR", "/env"),
        ];
        let old = [("REPRIEVE_ADMIN", "https://old/"), ("REPRIEVE_TOKEN_FILE", "/env.token")];
        let named = Some;
        for (case, arguments, variables, expected) in [
            (
                "an endpoint",
                &["--endpoint", "https://x/", "--context", "there"][..],
                &everything[..],
                named(("https://x/", None, None)),
            ),
            (
                "a context",
                &["--context", "there"],
                &everything,
                named(("https://there/", None, Some("/there.pem"))),
            ),
            ("a folder", &["--state-dir", "/x"], &everything, None),
            ("a configuration", &["--config", "/x"], &everything, None),
            (
                "the environment",
                &[],
                &everything,
                named(("https://env/", Some("/env.token"), Some("/env.pem"))),
            ),
            ("its old name", &[], &old, named(("https://old/", Some("/env.token"), None))),
            (
                "a context in it",
                &[],
                &everything[1..],
                named(("https://there/", None, Some("/there.pem"))),
            ),
            (
                "the context in use",
                &[],
                &everything[1..3],
                named(("https://here/", Some("/here.token"), None)),
            ),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let expected = expected.map(|(endpoint, token, ca)| Named {
                endpoint: Url::parse(endpoint).unwrap(),
                token_file: token.map(PathBuf::from),
                ca_file: ca.map(PathBuf::from),
            });
            assert_eq!(given(arguments).named(variable, contexts).unwrap(), expected, "{case}");
        }
        let nothing = given(&[]).named(|_| None, || Ok(Contexts::default())).unwrap();
        assert_eq!(nothing, None, "the host on this machine");
        let wrong = given(&[]).named(|_| Some("no url".into()), contexts).unwrap_err();
        assert!(wrong.is::<UsageError>() && wrong.to_string().contains("$REPRIEVE_ENDPOINT"));
    }

    #[test]
    fn arguments_do_not_show_their_token() {
        let shown = format!("{:?}", given(&["--token", "secret"]));
        assert!(shown.contains("ShownToken") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_hosts_own_token_does_not_leave_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(state_dir::ADMIN_TOKEN), "the-hosts-own").unwrap();
        let folder = folder.path().to_str().unwrap();
        for (endpoint, more, said) in [
            ("http://127.0.0.1:1/", &[][..], None),
            ("http://[::1]:1/", &[], None),
            ("https://localhost:1/", &[], None),
            ("https://example.com/", &[], Some("--token-file")),
            ("https://127.0.0.1.example.com/", &[], Some("--token-file")),
            ("http://192.0.2.1/", &["--insecure"], Some("--token-file")),
            ("http://example.com/", &["--token", "x"], Some("--insecure")),
            ("http://example.com/", &["--token", "x", "--insecure"], None),
            ("https://example.com/", &["--token", "x"], None),
        ] {
            let arguments = [&["--endpoint", endpoint, "--state-dir", folder][..], more].concat();
            let refused = given(&arguments).remote().err();
            assert_eq!(refused.is_some(), said.is_some(), "{endpoint} {more:?}: {refused:?}");
            if let (Some(refused), Some(said)) = (refused, said) {
                assert!(refused.is::<UsageError>(), "{endpoint}: {refused:?}");
                assert!(refused.to_string().contains(said), "{endpoint}: {refused:?}");
            }
        }
    }
}
