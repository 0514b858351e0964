//! What the configuration says about one child process.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use reprieve_core::{ids::WorkspaceId, time::Millis};
use url::Url;

/// How to run one workspace as a child process.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    pub workspace: WorkspaceId,
    /// The program and its arguments. The program is looked up in `PATH`.
    pub command: Vec<String>,
    /// Added to the host's own environment. The backend itself adds
    /// `REPRIEVE_WORKSPACE`, `REPRIEVE_LIFE` and `PORT`; `REPRIEVE_TOKEN` and
    /// `REPRIEVE_URL` come in here.
    pub env: BTreeMap<String, String>,
    /// None: the host's own.
    pub working_dir: Option<PathBuf>,
    pub address: Listen,
    /// From SIGTERM to SIGKILL.
    pub stop_grace: Millis,
    /// A run that does not accept connections yet is seen as `starting` for so
    /// long, and as `running` from then on.
    pub boot_grace: Millis,
    pub output: Output,
}

/// Where a child listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Always here. `PORT` tells the child the URL's port.
    Fixed(Url),
    /// On a free port of 127.0.0.1 that the backend picks and tells the child
    /// in `PORT`. Kept from life to life as long as it is free.
    AnyPort,
}

/// Where a child's standard output and error go. Never into a pipe to the host:
/// a child that outlives its host must not die of SIGPIPE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Into `log/<workspace>.log` below the state folder, from where the host
    /// copies it line by line to its own log.
    HostLog,
    /// Appended to this file. Whoever names it looks after its size.
    File(PathBuf),
    /// Where the host's own output goes.
    Inherit,
}

impl ProcessSpec {
    pub const DEFAULT_STOP_GRACE: Millis = Millis::from_secs(10);
    pub const DEFAULT_BOOT_GRACE: Millis = Millis::from_secs(30);

    /// With every default, on a port that the backend picks.
    pub fn new(workspace: WorkspaceId, command: Vec<String>) -> Self {
        Self {
            workspace,
            command,
            env: BTreeMap::new(),
            working_dir: None,
            address: Listen::AnyPort,
            stop_grace: Self::DEFAULT_STOP_GRACE,
            boot_grace: Self::DEFAULT_BOOT_GRACE,
            output: Output::HostLog,
        }
    }
}

/// The environment may hold secrets: only its names are shown.
impl fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("workspace", &self.workspace)
            .field("command", &self.command)
            .field("env", &self.env.keys())
            .field("working_dir", &self.working_dir)
            .field("address", &self.address)
            .field("stop_grace", &self.stop_grace)
            .field("boot_grace", &self.boot_grace)
            .field("output", &self.output)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_shown_for_debugging_keeps_its_secrets() -> Result<(), Box<dyn std::error::Error>> {
        let mut spec = ProcessSpec::new("ws-1".parse()?, vec!["agent".to_owned()]);
        spec.env.insert("REPRIEVE_TOKEN".to_owned(), "s3cret".to_owned());
        let shown = format!("{spec:?}");
        assert!(shown.contains("REPRIEVE_TOKEN"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
        Ok(())
    }
}
