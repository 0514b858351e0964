//! Puts the parts together and runs them as one host.
//!
//! Starting goes from what can be refused without a trace (ports, the policy,
//! the store) to what acts (children, judgements, requests); stopping goes the
//! other way. From the first moment on operators are told that the host lives.

mod backends;
mod courier;
mod discoveries;
mod options;
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use reprieve_core::{
    ids::{Digest, WorkspaceId},
    ports::{Clock, Probe},
};
use reprieve_runtime::{Current, Generation};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::{
    backends::{Runners, Site},
    courier::ProxyCourier,
    options::{
        admin_limits, admin_tls, behaviour, proxy_options, serve_options, store_options,
        workspace_spec,
    },
};
use crate::{
    admin::{self, AdminParts, Starting},
    backend::Backends,
    cli::{self, Welcome},
    clock::HostClock,
    config::{Config, policy::PolicySource, state_dir},
    experiments::{ExperimentParts, Experiments, Observer},
    policies::{self, BootOptions, MakeFirst, Policies},
    proxy::{self, Deliverer},
    serve::serve,
    settings::{
        self, LiveSettings, SettingsParts,
        files::{FileSettings, FolderCache},
    },
    store::{AllApplied, Store},
    supervisor::{Ports, Supervisor},
};

/// Runtime events that wait to be looked at. A full channel delays the reports.
const EVENTS_KEPT: usize = 1_024;

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
        let (as_proxy, as_admin) = serve_options(&config, admin_tls(&config)?);
        let admin_listener = bind(config.admin.listen, "admin.listen").await?;
        let (proxy_at, admin_at) = (proxy_listener.local_addr()?, admin_listener.local_addr()?);
        let (stop, starting) = (CancellationToken::new(), Starting::default());
        let unless_started = stop.clone().drop_guard();
        let stopped = || stop.clone().cancelled_owned();
        let admin_server =
            tokio::spawn(serve(admin_listener, starting.router(), as_admin, stopped()));

        let files = read_settings(&config).await?;
        let clock: Arc<dyn Clock> = Arc::new(HostClock::start());
        let store = Store::open(&state_dir, store_options(&config), Arc::clone(&clock)).await?;
        let applied = store.settings.applied().await?;
        let first = with_settings(&files, &applied);
        let pinned = store.experiments.tried().await?;
        let policies = boot(&config, policy, &state_dir, &clock, first, pinned).await?;
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

        let live = Live { current: policies.current(), supervisor: &supervisor, clock: &clock };
        let settings = live.settings(&store, &config, files, applied);
        let experiments = live.experiments(&store, &policies, &settings, observer).await?;
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
        starting.end(admin::router(admin_parts));
        let router = proxy::router(Arc::new(supervisor.clone()), proxy_options(&config));
        let proxy_server = tokio::spawn(serve(proxy_listener, router, as_proxy, stopped()));
        unless_started.disarm();
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
            servers: vec![proxy_server, admin_server],
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

/// What is changed while the host runs, and whom the changes concern.
struct Live<'a> {
    current: &'a Arc<Current>,
    supervisor: &'a Supervisor,
    clock: &'a Arc<dyn Clock>,
}

impl Live<'_> {
    fn settings(
        &self,
        store: &Store,
        config: &Config,
        files: FileSettings,
        applied: AllApplied,
    ) -> LiveSettings {
        LiveSettings::new(SettingsParts {
            current: Arc::clone(self.current),
            supervisor: self.supervisor.clone(),
            store: Arc::clone(&store.settings),
            clock: Arc::clone(self.clock),
            config: config.clone(),
            files,
            applied,
        })
    }

    async fn experiments(
        &self,
        store: &Store,
        policies: &Policies,
        settings: &LiveSettings,
        observer: Arc<Observer>,
    ) -> anyhow::Result<Experiments> {
        let parts = ExperimentParts {
            current: Arc::clone(self.current),
            policies: policies.clone(),
            settings: settings.clone(),
            supervisor: self.supervisor.clone(),
            observer,
            store: Arc::clone(&store.experiments),
            clock: Arc::clone(self.clock),
        };
        Experiments::open(parts).await.context("the experiments cannot be gone on with")
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
    pinned: BTreeSet<Digest>,
) -> anyhow::Result<Policies> {
    let options = BootOptions {
        config: &config.policy,
        source,
        state_dir,
        cache_dir: state_dir.join(state_dir::CACHE),
        clock: Arc::clone(clock),
        first,
        pinned,
    };
    policies::boot(options).await
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
