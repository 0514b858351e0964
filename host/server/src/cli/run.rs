//! `reprieve run`, and `reprieve` without arguments: the host itself.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{connection::StateArgs, logging, output};
use crate::{config::policy::PolicySource, telemetry::traces::Traces, wiring};

/// Run the proxy and its workspaces until SIGTERM or SIGINT.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  reprieve run --config reprieve.toml
  reprieve run --config reprieve.toml --policy ./my-policy.wasm --state-dir ./state
  reprieve run --docker --listen 172.17.0.1:8484
                                 the containers that name a workspace in a label
  reprieve                       the embedded configuration: three test agents")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// A policy component, or the name of a built-in policy. Goes before
    /// `policy.file` of the configuration.
    #[arg(long, short, value_name = "FILE|NAME", env = "REPRIEVE_POLICY")]
    pub(crate) policy: Option<PathBuf>,

    /// Watch over the containers of the Docker Engine that have a label
    /// `reprieve.workspace`. The Engine's socket is what `docker.socket` of the
    /// configuration says, then $DOCKER_HOST, then /var/run/docker.sock.
    #[arg(long)]
    pub(crate) docker: bool,

    /// Where the proxy listens, instead of `proxy.listen` of the configuration.
    /// Containers that send heartbeats must reach it: the address of Docker's
    /// bridge, for example.
    #[arg(long, value_name = "ADDRESS:PORT", env = "REPRIEVE_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
}

pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let mut config = match args.docker {
        true => args.state.configuration_or_none()?,
        false => args.state.configuration()?,
    };
    config.docker.enabled |= args.docker;
    config.proxy.listen = args.listen.unwrap_or(config.proxy.listen);
    let traces = Traces::open(&config.telemetry)?;
    logging::start(&config.log, traces.as_ref());
    for warning in config.warnings() {
        tracing::warn!(%warning, "configuration");
    }
    let policy = PolicySource::choose(args.policy.as_deref(), &config);
    let state_dir = args.state.folder_of(&config)?;
    // The embedded configuration runs test agents, with which tricks can be shown.
    let try_it = args.state.config_file().is_none() && !args.docker;
    let options = wiring::HostOptions { config, policy, state_dir, try_it, wrap_probe: None };
    let ran = wiring::run(options).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    ran?;
    Ok(output::OK)
}
