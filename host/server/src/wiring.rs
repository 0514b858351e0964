//! Stub.

/// What to run.
#[derive(Clone, Debug)]
pub struct HostOptions {
    pub config: crate::config::Config,
    pub policy: crate::config::policy::PolicySource,
    pub state_dir: std::path::PathBuf,
    /// Print what to try: the workspaces are test agents.
    pub try_it: bool,
}

/// Runs the host until SIGTERM or SIGINT.
pub async fn run(options: HostOptions) -> anyhow::Result<()> {
    anyhow::bail!("{} is not there yet", options.policy.name())
}
