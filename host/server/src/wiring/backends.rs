//! The backends of a host: opened, followed and closed together.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use reprieve_core::{
    ids::WorkspaceId,
    ports::{Clock, RuntimeEvent},
    time::Millis,
};
use tokio::sync::mpsc;
use url::Url;

use super::{discoveries::Taker, secrets};
use crate::{
    backend::{
        Backends,
        discovery::Discovery,
        docker::{DEFAULT_SOCKET, Docker, DockerOptions},
        http::{ControlPlane, ControlPlaneOptions, InvalidControlPlane},
        process::{Listen, Output, ProcessSpec, Processes, ProcessesOptions},
    },
    config::{Config, ControlPlaneConfig, DockerConfig, WorkspaceConfig, WorkspaceKind},
    supervisor::Supervisor,
};

/// The longest that a container is given to end, whatever stop timeout it names:
/// as long as the configuration allows for any workspace.
pub(super) const LONGEST_CONTAINER_GRACE: Millis = Millis::from_secs(600);

/// Discoveries that wait to be taken on. A full channel delays the reports.
const DISCOVERIES_KEPT: usize = 256;

/// Where backends work.
pub(super) struct Site<'a> {
    pub(super) config: &'a Config,
    pub(super) state_dir: &'a Path,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) events: mpsc::Sender<RuntimeEvent>,
}

/// Everybody who runs workspaces of this host.
#[derive(Debug)]
pub(super) struct Runners {
    pub(super) backends: Arc<Backends>,
    pub(super) processes: Arc<Processes>,
    docker: Option<Arc<Docker>>,
    /// What Docker found, until somebody follows it.
    discoveries: Option<mpsc::Receiver<Discovery>>,
}

impl Runners {
    pub(super) async fn open(
        site: &Site<'_>,
        tokens: &BTreeMap<WorkspaceId, String>,
        proxy: &Url,
    ) -> anyhow::Result<Self> {
        let specs = process_specs(site.config, tokens, proxy)?;
        let options = ProcessesOptions::new(
            site.state_dir.to_owned(),
            Arc::clone(site.clock),
            site.events.clone(),
        );
        let processes = Arc::new(Processes::open(options, specs).await?);
        let backends = Arc::new(Backends::default());
        let control_planes = control_planes(site)?;
        for (id, workspace) in &site.config.workspaces {
            match workspace.kind {
                WorkspaceKind::Process => backends.assign(id.clone(), processes.clone()),
                WorkspaceKind::Http => {
                    let name = workspace.control_plane.as_ref();
                    let plane = name.and_then(|name| control_planes.get(name));
                    let plane = plane.with_context(|| format!("{id} has no control plane"))?;
                    backends.assign(id.clone(), plane.clone());
                }
            }
        }
        let (discovered, discoveries) = mpsc::channel(DISCOVERIES_KEPT);
        let docker = match &site.config.docker {
            docker if docker.enabled => Some(connect(site, docker, discovered).await?),
            _ => None,
        };
        Ok(Self { backends, processes, docker, discoveries: Some(discoveries) })
    }

    /// From now on what backends find is taken on.
    pub(super) fn follow(
        mut self,
        supervisor: &Supervisor,
        configured: BTreeSet<WorkspaceId>,
        key: &str,
    ) -> Self {
        if let (Some(docker), Some(discoveries)) = (&self.docker, self.discoveries.take()) {
            let taker = Taker {
                supervisor: supervisor.clone(),
                backends: Arc::clone(&self.backends),
                backend: docker.clone(),
                kind: "docker",
                configured,
                key: key.to_owned(),
            };
            // Ends when the backend does.
            tokio::spawn(taker.follow(discoveries));
            docker.follow();
        }
        self
    }

    /// Ends the child processes; containers and instances keep running.
    pub(super) async fn shutdown(&self) {
        if let Some(docker) = &self.docker {
            docker.shutdown().await;
        }
        self.processes.shutdown().await;
    }
}

fn control_planes(
    site: &Site<'_>,
) -> Result<BTreeMap<String, Arc<ControlPlane>>, InvalidControlPlane> {
    let open = |(name, plane): (&String, &ControlPlaneConfig)| {
        let (url, token) = (plane.url.clone(), plane.token.clone());
        let (clock, events) = (Arc::clone(site.clock), site.events.clone());
        let mut options = ControlPlaneOptions::new(name, url, token, clock, events);
        options.ca_file = plane.ca_file.clone();
        Ok((name.clone(), Arc::new(ControlPlane::new(options)?)))
    };
    site.config.control_planes.iter().map(open).collect()
}

async fn connect(
    site: &Site<'_>,
    config: &DockerConfig,
    discovered: mpsc::Sender<Discovery>,
) -> anyhow::Result<Arc<Docker>> {
    let mut options = DockerOptions::new(
        socket(config)?,
        site.state_dir.to_owned(),
        Arc::clone(site.clock),
        site.events.clone(),
        discovered,
    );
    options.stop_grace = config.stop_grace.get();
    options.watch_processes = config.watch_processes;
    Ok(Docker::connect(options).await?)
}

/// What the configuration says, then the environment, then the usual place.
fn socket(config: &DockerConfig) -> anyhow::Result<PathBuf> {
    if let Some(socket) = &config.socket {
        return Ok(socket.clone());
    }
    let Ok(url) = std::env::var("DOCKER_HOST") else { return Ok(DEFAULT_SOCKET.into()) };
    let path = url.strip_prefix("unix://").map(PathBuf::from);
    path.with_context(|| {
        format!("DOCKER_HOST is {url:?}; only unix:///path/to/the/socket is spoken here")
    })
}

/// Configured, or made from a key that outlives the host: children that a later
/// host takes over keep the token that they were given.
pub(super) fn tokens(config: &Config, key: &str) -> BTreeMap<WorkspaceId, String> {
    let token = |(id, workspace): (&WorkspaceId, &WorkspaceConfig)| {
        let configured = workspace.token.as_ref().map(|token| token.reveal().to_owned());
        (id.clone(), configured.unwrap_or_else(|| secrets::derived(key, id.as_str())))
    };
    config.workspaces.iter().map(token).collect()
}

fn process_specs(
    config: &Config,
    tokens: &BTreeMap<WorkspaceId, String>,
    proxy: &Url,
) -> anyhow::Result<Vec<ProcessSpec>> {
    let reprieve = std::env::current_exe().context("cannot tell where this program is")?;
    let spec = |(id, workspace): (&WorkspaceId, &WorkspaceConfig)| {
        let mut env = workspace.env.clone();
        env.insert("REPRIEVE_TOKEN".to_owned(), tokens[id].clone());
        env.insert("REPRIEVE_URL".to_owned(), proxy.to_string());
        ProcessSpec {
            env,
            working_dir: workspace.working_dir.clone(),
            address: workspace.address.clone().map_or(Listen::AnyPort, Listen::Fixed),
            stop_grace: workspace.stop_grace.get(),
            boot_grace: workspace.boot_grace.get(),
            output: workspace.log_file.clone().map_or(Output::HostLog, Output::File),
            ..ProcessSpec::new(id.clone(), workspace.command_line(&reprieve))
        }
    };
    let is_process = |(_, workspace): &(&WorkspaceId, &WorkspaceConfig)| {
        workspace.kind == WorkspaceKind::Process
    };
    Ok(config.workspaces.iter().filter(is_process).map(spec).collect())
}
