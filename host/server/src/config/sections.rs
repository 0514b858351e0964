//! The sections of the configuration that concern the host itself.
//!
//! The doc comments here are the descriptions in the published schema: they are
//! written for who edits `reprieve.toml`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use reprieve_core::{settings::Settings, time::Millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    units::{Count, Length, Size, Statuses},
    workspace::Secret,
};

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The listener that callers talk to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// Where it listens: an address and a port. Port 0 takes a free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// How callers reach it, for agent cards and `Location`. Default: what the
    /// request's `Host` says.
    #[schemars(with = "Option<String>")]
    pub public_url: Option<Url>,
    /// Believe and extend the `X-Forwarded-*` headers of requests. Only behind
    /// another proxy that sets them; otherwise they are replaced.
    pub trust_forwarded: bool,
    /// Answers of a workspace that count as a failed forward.
    pub failed_statuses: Statuses,
    /// How long a forward may stay without any sign from the workspace.
    /// Heartbeats push it out.
    pub idle_timeout: Length<100, { DAY_MS }>,
    /// The longest wait for an answer to begin, however lively the workspace.
    pub answer_timeout: Length<100, { 30 * DAY_MS }>,
    /// How long connecting to a workspace may take.
    pub connect_timeout: Length<10, { 10 * 60 * SECOND_MS }>,
    /// Ask the policy before each forward, too.
    pub preflight: bool,
    /// Queue the request that found a workspace dead for its next life (202),
    /// instead of answering 503 `restarting`.
    pub queue_on_dead: bool,
    /// The largest request body on `/workspaces/{id}/a2a`.
    pub body_limit: Size<{ KIB }, { 64 * MIB }>,
    /// The largest answer that is held in memory or kept in the queue. Streams
    /// are not limited.
    pub response_limit: Size<{ KIB }, { 256 * MIB }>,
    /// Connections of callers at once; more wait to be accepted.
    pub max_connections: Count<1, 1_000_000>,
    /// Connections of one address at once, of IPv6 of one /64; more are refused
    /// with 429. Default: as many as `max_connections`, because behind a load
    /// balancer all callers have its address. Set it where callers come directly.
    pub max_connections_per_address: Option<Count<1, 1_000_000>>,
    /// How long running requests may take to end when the host shuts down.
    pub shutdown_timeout: Length<0, { HOUR_MS }>,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8484)),
            public_url: None,
            trust_forwarded: false,
            failed_statuses: Statuses([502, 503, 504].into_iter().chain(520..=524).collect()),
            idle_timeout: Length::clamped(Millis::from_secs(300)),
            answer_timeout: Length::clamped(Millis(HOUR_MS)),
            connect_timeout: Length::clamped(Millis::from_secs(5)),
            preflight: false,
            queue_on_dead: false,
            body_limit: Size::clamped(MIB),
            response_limit: Size::clamped(10 * MIB),
            max_connections: Count::clamped(10_000),
            max_connections_per_address: None,
            shutdown_timeout: Length::clamped(Millis::from_secs(30)),
        }
    }
}

/// The operator's listener, `/admin/v1`. Whoever can read `admin.token` in the
/// state folder may do everything with it; others get tokens of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Where it listens. Anywhere but on the loopback interface it needs
    /// `admin.tls`, or `insecure`.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Speak TLS.
    pub tls: Option<AdminTlsConfig>,
    /// Speak plain HTTP even where other machines can listen in. Tokens are then
    /// anybody's who does.
    pub insecure: bool,
    /// Requests with one token within a second; twice as many at once. Beyond it:
    /// 429.
    pub requests_per_second: Count<1, 100_000>,
    /// Requests with wrong tokens from one address within a minute. Beyond it: 429
    /// instead of 401.
    pub failures_per_minute: Count<1, 100_000>,
    /// For so long it stays on record what was done, and by whom.
    pub audit_retention: Length<{ DAY_MS }, { 3650 * DAY_MS }>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8485)),
            tls: None,
            insecure: false,
            requests_per_second: Count::clamped(50),
            failures_per_minute: Count::clamped(30),
            audit_retention: Length::clamped(Millis(400 * DAY_MS)),
        }
    }
}

/// What the operator's listener shows to be who it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTlsConfig {
    /// Its certificate and those that lead to a root, PEM, relative to this file.
    pub cert: PathBuf,
    /// The certificate's private key, PEM, relative to this file.
    pub key: PathBuf,
}

/// What concerns one tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantConfig {
    /// Settings of the policy for this tenant's workspaces, on top of the
    /// fleet's.
    pub settings: Settings,
}

/// Containers as workspaces: those with a label `reprieve.workspace`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DockerConfig {
    /// Look for them. `reprieve run --docker` does so, too.
    pub enabled: bool,
    /// The Engine's socket. Default: what `$DOCKER_HOST` says (a `unix://` URL),
    /// then `/var/run/docker.sock`.
    pub socket: Option<PathBuf>,
    /// How long a container may take to end after its stop signal, where it does
    /// not say so itself (`docker run --stop-timeout`).
    pub stop_grace: Length<0, 600_000>,
    /// Also watch the containers' first processes, where this host sees them: on
    /// the Engine's machine, and in a container only with `pid: host`. An end is
    /// known at once then, before the Engine reports it.
    pub watch_processes: bool,
}

impl Default for DockerConfig {
    fn default() -> Self {
        // The Engine's own default.
        let stop_grace = Length::clamped(Millis::from_secs(10));
        Self { enabled: false, socket: None, stop_grace, watch_processes: true }
    }
}

/// A control plane for cloud instances; see `docs/control-plane.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlPlaneConfig {
    /// Where it listens, an http or https URL. Instances are below it.
    #[schemars(with = "String")]
    pub url: Url,
    /// The bearer token to show it.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file that holds the token, relative to this file.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Of an https URL: a PEM file with the certificates of the authorities that
    /// may vouch for it, relative to this file. No others are trusted then.
    /// Default: those that the machine trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl ControlPlaneConfig {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let url = &self.url;
        if !is_plain_http(url) {
            let message = format!(
                "{} is not valid: must be an http or https URL without a name, a query or a fragment",
                url.host_str().unwrap_or_default()
            );
            return Err(("url", message));
        }
        if self.token.is_some() && self.token_file.is_some() {
            return Err(("token_file", "token is set, too; keep one of them".into()));
        }
        if self.ca_file.is_some() && url.scheme() == "http" {
            return Err((
                "ca_file",
                "over http no certificate is shown; write https in url".into(),
            ));
        }
        Ok(())
    }
}

/// It names a place and nothing else: nobody's name or password, which would show
/// in messages, and nothing that paths could not be put behind.
pub(crate) fn is_plain_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Requests that were accepted with 202.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// A request that waited for longer is dropped, with that reason on record.
    pub max_age: Length<{ SECOND_MS }, { 30 * DAY_MS }>,
    /// Requests that may wait for one workspace. Beyond it callers get 503.
    pub capacity: Count<1, 100_000>,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { max_age: Length::clamped(Millis(DAY_MS)), capacity: Count::clamped(1_000) }
    }
}

/// The log of decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionsConfig {
    /// Older ones are deleted.
    pub retention: Length<{ HOUR_MS }, { 3650 * DAY_MS }>,
    /// At most so many are kept; the oldest go first.
    pub capacity: Count<1_000, 100_000_000>,
}

impl Default for DecisionsConfig {
    fn default() -> Self {
        Self {
            retention: Length::clamped(Millis(14 * DAY_MS)),
            capacity: Count::clamped(1_000_000),
        }
    }
}

/// The host's own log, on standard error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged: this and all that is worse. The environment variable
    /// `RUST_LOG` replaces it.
    pub level: LogLevel,
    /// For people or for machines.
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// As a directive of a log filter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}
