//! A real A2A agent as a process.
mod args;

pub use self::args::AgentArgs;

/// Serves until SIGTERM or SIGINT.
pub async fn run(_args: AgentArgs) -> anyhow::Result<()> {
    Ok(())
}
