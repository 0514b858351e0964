//! What the configuration says, in the words of those whom it concerns.

use std::num::NonZeroU32;

use anyhow::{Context as _, bail};
use reprieve_core::{ids::WorkspaceId, time::Millis};
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::backends;
use crate::{
    admin::AdminLimits,
    config::{Config, WorkspaceConfig, WorkspaceKind, units::Count},
    proxy::ProxyOptions,
    serve::ServeOptions,
    store::{Retention, StoreOptions},
    supervisor::{SupervisorOptions, WorkspaceSpec},
    tls,
};

/// On top of the longest stop grace: what a start itself may take.
const START_ALLOWANCE: Millis = Millis::from_secs(60);

/// Of one address: four times the streams that there may be, so that what speaks
/// TLS in front of the host has enough for everybody, and nobody takes them all.
const MAX_ADMIN_CONNECTIONS_PER_ADDRESS: usize = 256;

/// Connections of operators at once; more wait to be accepted.
const MAX_ADMIN_CONNECTIONS: usize = 1_000;

/// How callers are served, and how operators are.
pub(super) fn serve_options(
    config: &Config,
    admin_tls: Option<TlsAcceptor>,
) -> (ServeOptions, ServeOptions) {
    let as_proxy = ServeOptions::from(&proxy_options(config));
    let as_admin = ServeOptions {
        max_connections: MAX_ADMIN_CONNECTIONS,
        max_connections_per_address: Some(MAX_ADMIN_CONNECTIONS_PER_ADDRESS),
        write_timeout: ServeOptions::DEFAULT_WRITE_TIMEOUT,
        tls: admin_tls,
        ..as_proxy.clone()
    };
    (as_proxy, as_admin)
}

/// None: plain HTTP, which other machines reach only if the configuration takes
/// that risk.
pub(super) fn admin_tls(config: &Config) -> anyhow::Result<Option<TlsAcceptor>> {
    let admin = &config.admin;
    match &admin.tls {
        Some(files) => Ok(Some(tls::acceptor(&files.cert, &files.key).context("admin.tls")?)),
        None if admin.listen.ip().is_loopback() || admin.insecure => Ok(None),
        None => bail!(
            "admin.listen {} is reachable from other machines: set admin.tls, or keep it on the \
             loopback interface",
            admin.listen
        ),
    }
}

pub(super) fn admin_limits(config: &Config) -> AdminLimits {
    let count = |count: u64| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
    };
    AdminLimits {
        requests_per_second: count(config.admin.requests_per_second.get()),
        failures_per_minute: count(config.admin.failures_per_minute.get()),
    }
}

pub(super) fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        queue_capacity: u32::try_from(config.queue.capacity.get()).unwrap_or(u32::MAX),
        retention: Retention {
            newest: config.decisions.capacity.get(),
            max_age: config.decisions.retention.get(),
        },
        audit_max_age: config.admin.audit_retention.get(),
    }
}

pub(super) fn behaviour(config: &Config) -> SupervisorOptions {
    let graces = config.workspaces.values().map(|workspace| workspace.stop_grace.get());
    let mut longest = graces.max().unwrap_or_default();
    if config.docker.enabled {
        // Containers may name a grace of their own.
        longest = longest.max(backends::LONGEST_CONTAINER_GRACE);
    }
    SupervisorOptions {
        preflight: config.proxy.preflight,
        restart_deadline: longest.saturating_add(START_ALLOWANCE),
        max_queue_age: config.queue.max_age.get(),
        ..SupervisorOptions::default()
    }
}

pub(super) fn proxy_options(config: &Config) -> ProxyOptions {
    let proxy = &config.proxy;
    let connections =
        |count: Count<1, 1_000_000>| usize::try_from(count.get()).unwrap_or(usize::MAX);
    ProxyOptions {
        public_url: proxy.public_url.clone(),
        trust_forwarded: proxy.trust_forwarded,
        bad_statuses: proxy.failed_statuses.0.clone(),
        queue_on_dead: proxy.queue_on_dead,
        request_limit_bytes: proxy.body_limit.bytes(),
        response_limit_bytes: proxy.response_limit.bytes(),
        connect_timeout: proxy.connect_timeout.get().as_duration(),
        idle_timeout: proxy.idle_timeout.get().as_duration(),
        answer_timeout: proxy.answer_timeout.get().as_duration(),
        max_connections: connections(proxy.max_connections),
        max_connections_per_address: proxy.max_connections_per_address.map(connections),
        shutdown_timeout: proxy.shutdown_timeout.get().as_duration(),
        ..ProxyOptions::default()
    }
}

pub(super) fn workspace_spec(
    id: &WorkspaceId,
    workspace: &WorkspaceConfig,
    token: &str,
    running_at: Option<Url>,
) -> WorkspaceSpec {
    let labels = workspace.labels.iter();
    WorkspaceSpec {
        id: id.clone(),
        tenant: workspace.tenant.clone(),
        kind: workspace.kind.as_str().to_owned(),
        labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
        queues_for_itself: workspace.queues_for_itself,
        token: token.to_owned(),
        address: workspace.address.clone().or(running_at),
        depends_on: workspace.depends_on.clone(),
        discovered: false,
        ends_with_host: workspace.kind == WorkspaceKind::Process,
    }
}
