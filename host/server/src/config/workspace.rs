//! One workspace as the operator describes it.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use reprieve_core::{
    ids::{TenantId, WorkspaceId},
    settings::Settings,
    time::Millis,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::units::Length;

/// What `command` may name instead of a program: the running `reprieve` itself.
pub const SELF_PLACEHOLDER: &str = "{reprieve}";

/// Whose workspaces are those that name no tenant.
pub const DEFAULT_TENANT: &str = "default";

/// A workspace behind the proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceConfig {
    /// Who it belongs to. Default: `default`.
    #[serde(default = "default_tenant")]
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// Who runs it.
    #[serde(default)]
    pub kind: WorkspaceKind,
    /// Of kind `process`: the program and its arguments. `{reprieve}` stands for
    /// this program.
    #[serde(default)]
    pub command: Vec<String>,
    /// Of kind `http`: which of the `control_planes` runs it.
    #[serde(default)]
    pub control_plane: Option<String>,
    /// Workspaces after whose restart this one is restarted, too: those that it
    /// shares a network namespace with, for example.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub depends_on: Vec<WorkspaceId>,
    /// Environment variables, on top of the host's own. `PORT` and names that
    /// begin with `REPRIEVE_` are given by the host.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it runs, relative to this file. Default: where the host runs.
    #[serde(default)]
    pub working_dir: Option<PathBuf>,
    /// Where it listens, an http URL on the loopback interface. Default: the
    /// host picks a free port and passes it in `PORT`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub address: Option<Url>,
    /// How long it may take to end after SIGTERM; then SIGKILL.
    #[serde(default = "default_stop_grace")]
    pub stop_grace: Length<0, 600_000>,
    /// How long it counts as starting when it accepts no connections yet.
    #[serde(default = "default_boot_grace")]
    pub boot_grace: Length<0, 3_600_000>,
    /// A file that its output is appended to, relative to this file. Default: the
    /// host's own log, line by line.
    #[serde(default)]
    pub log_file: Option<PathBuf>,
    /// It queues requests for itself: callers get 503 busy instead of 202.
    #[serde(default)]
    pub queues_for_itself: bool,
    /// Labels that the policy may look at.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it shows in its heartbeats, at least 16 characters. Default: the host
    /// makes one and passes it in `REPRIEVE_TOKEN`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file that holds the token, relative to this file.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Settings of the policy for this workspace, on top of its tenant's.
    #[serde(default)]
    pub settings: Settings,
}

/// Who runs a workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkspaceKind {
    /// A child process of the host.
    #[default]
    Process,
    /// An instance behind a control plane that speaks the contract in
    /// `docs/control-plane.md`.
    Http,
}

impl WorkspaceKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Http => "http",
        }
    }
}

impl WorkspaceConfig {
    /// The command with [`SELF_PLACEHOLDER`] filled in.
    pub fn command_line(&self, reprieve: &Path) -> Vec<String> {
        let fill = |part: &String| match part.as_str() {
            SELF_PLACEHOLDER => reprieve.to_string_lossy().into_owned(),
            other => other.to_owned(),
        };
        self.command.iter().map(fill).collect()
    }

    /// What no single key can tell: the key at fault and a message.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        match self.kind {
            WorkspaceKind::Process => self.check_process()?,
            WorkspaceKind::Http => self.check_instance()?,
        }
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(("env", format!("{name:?} is no name of an environment variable")));
            }
            if name == "PORT" || name.starts_with("REPRIEVE_") {
                return Err(("env", format!("{name} is given by the host; choose another name")));
            }
        }
        if self.token.is_some() && self.token_file.is_some() {
            return Err(("token_file", "token is set, too; keep one of them".into()));
        }
        self.check_token()
    }

    fn check_process(&self) -> Result<(), (&'static str, String)> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err(("command", "is empty: name a program, [\"my-agent\", \"--flag\"]".into()));
        }
        if self.control_plane.is_some() {
            return Err(("control_plane", "is for workspaces of kind \"http\"".into()));
        }
        match &self.address {
            Some(url) if !is_loopback_http(url) => {
                let message = format!(
                    "{url} is not valid: must be an http URL with a loopback address and a port, written like \"http://127.0.0.1:9001\""
                );
                Err(("address", message))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_instance(&self) -> Result<(), (&'static str, String)> {
        if self.control_plane.is_none() {
            let message = "is missing: name one of the control_planes".into();
            return Err(("control_plane", message));
        }
        let of_processes = [
            ("command", !self.command.is_empty()),
            ("env", !self.env.is_empty()),
            ("working_dir", self.working_dir.is_some()),
            ("log_file", self.log_file.is_some()),
        ];
        match of_processes.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => Err((key, "is for workspaces of kind \"process\"".into())),
            None => Ok(()),
        }
    }

    /// A token that is there is long enough.
    pub(super) fn check_token(&self) -> Result<(), (&'static str, String)> {
        match &self.token {
            Some(token) if token.reveal().len() < Secret::MIN_BYTES => Err((
                "token",
                format!(
                    "is {} characters long: must be at least {}",
                    token.reveal().len(),
                    Secret::MIN_BYTES
                ),
            )),
            Some(token) if !token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(("token", "must be of visible ASCII characters without spaces".into()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A child process listens on this machine and nowhere else.
fn is_loopback_http(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    loopback && url.scheme() == "http" && url.query().is_none() && url.username().is_empty()
}

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Short enough to remember is short enough to guess.
    pub const MIN_BYTES: usize = 16;

    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

fn default_tenant() -> TenantId {
    // Spelled out, because a constant name cannot be invalid at run time.
    DEFAULT_TENANT.parse().unwrap_or_else(|_| unreachable!("a constant, valid name"))
}

const fn default_stop_grace() -> Length<0, 600_000> {
    Length::clamped(Millis::from_secs(10))
}

const fn default_boot_grace() -> Length<0, 3_600_000> {
    Length::clamped(Millis::from_secs(30))
}
