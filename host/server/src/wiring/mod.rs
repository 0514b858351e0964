//! Puts the parts together and runs them as one host.
//!
//! Starting goes from what can be refused without a trace (ports, the policy,
//! the store) to what acts (children, judgements, requests); stopping goes the
//! other way.

mod backends;
mod courier;
mod discoveries;
mod secrets;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use reprieve_core::{
    ids::WorkspaceId,
    ports::{Clock, Probe},
    time::Millis,
};
use reprieve_runtime::Generation;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::{
    backends::{Runners, Site},
    courier::ProxyCourier,
};
use crate::{
    admin::{self, AdminLimits, AdminParts},
    backend::Backends,
    cli::{self, Welcome},
    clock::HostClock,
    config::{Config, WorkspaceConfig, WorkspaceKind, policy::PolicySource, state_dir},
    experiments::{ExperimentParts, Experiments},
    policies::{self, BootOptions, MakeFirst, Policies},
    proxy::{self, Deliverer, ProxyOptions},
    serve::{ServeOptions, serve},
    settings::{
        self, LiveSettings, SettingsParts,
        files::{FileSettings, FolderCache},
    },
    store::{AllApplied, Retention, Store, StoreOptions},
    supervisor::{Ports, Supervisor, SupervisorOptions, WorkspaceSpec},
    tls,
};

/// Runtime events that wait to be looked at. A full channel delays the reports.
const EVENTS_KEPT: usize = 1_024;

/// On top of the longest stop grace: what a start itself may take.
const START_ALLOWANCE: Millis = Millis::from_secs(60);

/// Connections of operators at once; more wait to be accepted.
const MAX_ADMIN_CONNECTIONS: usize = 1_000;

/// How long judgements and restarts that were begun may take to end when the
/// host stops.
const WIND_DOWN: Duration = Duration::from_secs(30);

/// Puts something between the host and what it sees. The stories of `reprieve
/// demo` inject faults with it that a real runtime cannot be made to show.
pub type WrapProbe = Box<dyn FnOnce(Arc<dyn Probe>) -> Arc<dyn Probe> + Send>;

/// What to run.
pub struct HostOptions {
    pub config: Config,
    pub policy: PolicySource,
    pub state_dir: PathBuf,
    /// Print what to try: the workspaces are test agents.
    pub try_it: bool,
    pub wrap_probe: Option<WrapProbe>,
}

impl std::fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostOptions").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

/// A host that runs.
#[derive(Debug)]
pub struct Host {
    pub supervisor: Supervisor,
    pub settings: LiveSettings,
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    pub policy: String,
    pub policies: Policies,
    workspaces: Vec<WorkspaceId>,
    runners: Runners,
    store: Store,
    stop: CancellationToken,
    servers: Vec<JoinHandle<io::Result<()>>>,
    pub experiments: Experiments,
    following: JoinHandle<()>,
}

/// Runs a host until SIGTERM or SIGINT.
pub async fn run(options: HostOptions) -> anyhow::Result<()> {
    let (try_it, state_dir) = (options.try_it, options.state_dir.clone());
    let workspaces = options.config.workspaces.keys().cloned().collect();
    let containers = options.config.docker.enabled;
    let admin_scheme = if options.config.admin.tls.is_some() { "https" } else { "http" };
    // It answers before it has started whole, and may be told to stop by then.
    let asked_to_stop = asked_to_stop()?;
    let host = Host::start(options).await?;
    cli::welcome(&Welcome {
        proxy: base_url("http", host.proxy)?,
        admin: base_url(admin_scheme, host.admin)?,
        state_dir,
        policy: host.policy.clone(),
        workspaces,
        containers,
        try_it,
    });
    asked_to_stop.cancelled().await;
    tracing::info!("stopping: running requests end, then the workspaces");
    host.shutdown().await;
    Ok(())
}

impl Host {
    pub async fn start(options: HostOptions) -> anyhow::Result<Self> {
        let HostOptions { config, policy, state_dir, wrap_probe, .. } = options;
        let proxy_listener = bind(config.proxy.listen, "proxy.listen").await?;
        let admin_tls = admin_tls(&config)?;
        let admin_listener = bind(config.admin.listen, "admin.listen").await?;
        let (proxy_at, admin_at) = (proxy_listener.local_addr()?, admin_listener.local_addr()?);

        let files = read_settings(&config).await?;
        let clock: Arc<dyn Clock> = Arc::new(HostClock::start());
        let store = Store::open(&state_dir, store_options(&config), Arc::clone(&clock)).await?;
        let applied = store.settings.applied().await?;
        let first = with_settings(&files, &applied);
        let policies = boot(&config, policy, &state_dir, &clock, first).await?;
        let policy_name = policies.current().snapshot().policy().label().to_owned();

        let key = secrets::of_file(&state_dir.join("workspaces.key"))?;
        let tokens = backends::tokens(&config, &key);
        let (events, runtime_events) = mpsc::channel(EVENTS_KEPT);
        let site = Site { config: &config, state_dir: &state_dir, clock: &clock, events };
        let runners = Runners::open(&site, &tokens, &base_url("http", proxy_at)?).await?;
        let ports = ports(&config, Arc::clone(&clock), &store, &runners.backends, wrap_probe);
        let observer = Arc::clone(&ports.experiments);
        let supervisor = Supervisor::new(ports, Arc::clone(policies.current()), behaviour(&config));
        take_on_configured(&supervisor, &config, &runners, &tokens).await?;
        supervisor.start(runtime_events).await;
        let configured = config.workspaces.keys().cloned().collect();
        let runners = runners.follow(&supervisor, configured, &key);

        let stop = CancellationToken::new();
        let settings = LiveSettings::new(SettingsParts {
            current: Arc::clone(policies.current()),
            supervisor: supervisor.clone(),
            store: Arc::clone(&store.settings),
            clock: Arc::clone(&clock),
            config: config.clone(),
            files,
            applied,
        });
        let experiments = Experiments::open(ExperimentParts {
            current: Arc::clone(policies.current()),
            policies: policies.clone(),
            settings: settings.clone(),
            supervisor: supervisor.clone(),
            observer,
            store: Arc::clone(&store.experiments),
            clock: Arc::clone(&clock),
        });
        let experiments = experiments.await.context("the experiments cannot be gone on with")?;
        let following = tokio::spawn(experiments.clone().follow(stop.clone()));
        tokio::spawn(settings.clone().follow(stop.clone()));
        tokio::spawn(policies.clone().watch(config.policy.watch, stop.clone()));
        let admin_parts = AdminParts {
            supervisor: supervisor.clone(),
            settings: settings.clone(),
            policies: policies.clone(),
            experiments: experiments.clone(),
            store: store.clone(),
            clock,
            hosts_own_token: secrets::of_file(&state_dir.join(state_dir::ADMIN_TOKEN))?,
            limits: admin_limits(&config),
            stop: stop.clone(),
        };
        let (as_proxy, as_admin) = serve_options(&config, admin_tls);
        let proxy_router = proxy::router(Arc::new(supervisor.clone()), proxy_options(&config));
        let listeners = [
            (proxy_listener, proxy_router, as_proxy),
            (admin_listener, admin::router(admin_parts), as_admin),
        ];
        let servers = listeners.map(|(listener, router, options)| {
            tokio::spawn(serve(listener, router, options, stop.clone().cancelled_owned()))
        });
        Ok(Self {
            supervisor,
            settings,
            proxy: proxy_at,
            admin: admin_at,
            policy: policy_name,
            policies,
            workspaces: config.workspaces.keys().cloned().collect(),
            runners,
            store,
            stop,
            servers: servers.into(),
            experiments,
            following,
        })
    }

    /// Every workspace's process that runs now.
    pub fn pids(&self) -> BTreeMap<WorkspaceId, u32> {
        let workspaces = self.workspaces.iter();
        workspaces
            .filter_map(|id| Some((id.clone(), self.runners.processes.run(id)?.pid)))
            .collect()
    }

    /// Ends running requests, then judgements and restarts that were begun, then
    /// the child processes, and writes down what is in memory only.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for server in self.servers {
            if let Ok(Err(error)) = server.await {
                tracing::warn!(%error, "a listener ended badly");
            }
        }
        if tokio::time::timeout(WIND_DOWN, self.supervisor.stop()).await.is_err() {
            tracing::warn!("some judgements or restarts were cut off by the shutdown");
        }
        if self.following.await.is_err() {
            tracing::error!("what the experiments saw last could not be written down");
        }
        self.supervisor.mark_stopped_with_host().await;
        self.runners.shutdown().await;
        if self.store.close().await.is_err() {
            tracing::error!("the last heartbeats and decisions could not be written down");
        }
    }
}

/// How callers are served, and how operators are.
fn serve_options(config: &Config, admin_tls: Option<TlsAcceptor>) -> (ServeOptions, ServeOptions) {
    let as_proxy = ServeOptions::from(&proxy_options(config));
    let max_connections = MAX_ADMIN_CONNECTIONS;
    let as_admin = ServeOptions { max_connections, tls: admin_tls, ..as_proxy.clone() };
    (as_proxy, as_admin)
}

/// None: plain HTTP, which other machines reach only if the configuration takes
/// that risk.
fn admin_tls(config: &Config) -> anyhow::Result<Option<TlsAcceptor>> {
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

fn admin_limits(config: &Config) -> AdminLimits {
    let count = |count: u64| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
    };
    AdminLimits {
        requests_per_second: count(config.admin.requests_per_second.get()),
        failures_per_minute: count(config.admin.failures_per_minute.get()),
    }
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address} ({key}); another program may use the port: stop it, or \
             choose another one"
        )
    })
}

async fn read_settings(config: &Config) -> anyhow::Result<FileSettings> {
    let config = config.clone();
    let read = move || FileSettings::read(&config, &mut FolderCache::default());
    Ok(tokio::task::spawn_blocking(read).await.context("the settings could not be read")??)
}

/// Everybody's settings: what stands in files, and what was applied to an earlier
/// run of this host.
fn with_settings(files: &FileSettings, applied: &AllApplied) -> MakeFirst {
    let (book, owners, applied) = (files.book.clone(), files.owners.clone(), applied.clone());
    Arc::new(move |policy| {
        let generation = Generation::new(1, policy, book.clone(), &owners)?;
        Ok(settings::with_applied(generation, &applied, &owners))
    })
}

/// The first policy: see [`policies::boot`].
async fn boot(
    config: &Config,
    source: PolicySource,
    state_dir: &Path,
    clock: &Arc<dyn Clock>,
    first: MakeFirst,
) -> anyhow::Result<Policies> {
    let options = BootOptions {
        config: &config.policy,
        source,
        state_dir,
        cache_dir: state_dir.join(state_dir::CACHE),
        clock: Arc::clone(clock),
        first,
    };
    policies::boot(options).await
}

fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        queue_capacity: u32::try_from(config.queue.capacity.get()).unwrap_or(u32::MAX),
        retention: Retention {
            newest: config.decisions.capacity.get(),
            max_age: config.decisions.retention.get(),
        },
        audit_max_age: config.admin.audit_retention.get(),
    }
}

fn ports(
    config: &Config,
    clock: Arc<dyn Clock>,
    store: &Store,
    backends: &Arc<Backends>,
    wrap_probe: Option<WrapProbe>,
) -> Ports {
    let probe: Arc<dyn Probe> = backends.clone();
    let courier = ProxyCourier {
        deliverer: Deliverer::new(proxy_options(config)),
        heartbeats: store.heartbeats.clone(),
        clock: Arc::clone(&clock),
    };
    Ports {
        experiments: Arc::default(),
        clock,
        probe: match wrap_probe {
            Some(wrap) => wrap(probe),
            None => probe,
        },
        restarter: backends.clone(),
        heartbeats: store.heartbeats.clone(),
        restarts: store.restarts.clone(),
        memory: store.memory.clone(),
        queue: store.queue.clone(),
        decisions: store.decisions.clone(),
        records: store.workspaces.clone(),
        courier: Arc::new(courier),
    }
}

fn behaviour(config: &Config) -> SupervisorOptions {
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

fn proxy_options(config: &Config) -> ProxyOptions {
    let proxy = &config.proxy;
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
        max_connections: usize::try_from(proxy.max_connections.get()).unwrap_or(usize::MAX),
        shutdown_timeout: proxy.shutdown_timeout.get().as_duration(),
        ..ProxyOptions::default()
    }
}

async fn take_on_configured(
    supervisor: &Supervisor,
    config: &Config,
    runners: &Runners,
    tokens: &BTreeMap<WorkspaceId, String>,
) -> anyhow::Result<()> {
    for (id, workspace) in &config.workspaces {
        let address = runners.processes.run(id).map(|run| run.address);
        supervisor.take_on(workspace_spec(id, workspace, &tokens[id], address)).await?;
    }
    Ok(())
}

fn workspace_spec(
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

fn base_url(scheme: &str, address: SocketAddr) -> anyhow::Result<Url> {
    // Who listens on every address is reached on the loopback one.
    let host = match address.ip() {
        ip if !ip.is_unspecified() => address.to_string(),
        ip if ip.is_ipv4() => format!("127.0.0.1:{}", address.port()),
        _ => format!("[::1]:{}", address.port()),
    };
    Ok(Url::parse(&format!("{scheme}://{host}/"))?)
}

/// From now on a signal is heard, and ends nothing by itself; a second one ends the
/// program at once, whatever it is at. The code is a shell's: 128 and the signal.
fn asked_to_stop() -> io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        }
    };
    let asked = CancellationToken::new();
    let stop = asked.clone();
    tokio::spawn(async move {
        next().await;
        stop.cancel();
        let second = next().await;
        tracing::error!("told twice to stop: ending at once, with nothing wound down");
        std::process::exit(128 + second.as_raw_value());
    });
    Ok(asked)
}
