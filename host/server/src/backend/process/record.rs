//! What outlives the host: one file for each workspace, `run/<workspace>.json`.

use std::{io, path::Path};

use reprieve_core::{
    ids::{LifeId, WorkspaceId},
    ports::LifeMark,
    time::UnixMillis,
};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{super::records, proc};

/// One run of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) workspace: WorkspaceId,
    pub(super) life: LifeId,
    pub(super) address: Url,
    /// Also the number of the process group that it leads.
    pub(super) pid: i32,
    pub(super) start_ticks: u64,
    pub(super) boot_id: String,
    pub(super) began: UnixMillis,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// A trampoline holds the pid; whether it was let go is not known.
    Begun,
    Running,
    /// `exit_code` is known only where the host was the parent: 128 + n for
    /// signal n.
    Ended {
        at: UnixMillis,
        exit_code: Option<i32>,
    },
}

impl Record {
    pub(super) fn mark(&self) -> LifeMark {
        let boot = self.boot_id.get(..8).unwrap_or(&self.boot_id);
        LifeMark(format!("{}@{}/{boot}", self.pid, self.start_ticks))
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// Whether the process of this record is there, and not another one that
    /// was given its pid.
    pub(super) fn is_there(&self, boot_id: &str) -> bool {
        self.boot_id == boot_id
            && self
                .pid()
                .and_then(proc::stat)
                .is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.is_zombie)
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        records::write(dir, &self.workspace, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Result<Record, Box<dyn std::error::Error>> {
        let pid = rustix::process::getpid();
        Ok(Record {
            workspace: "ws-1".parse()?,
            life: LifeId(3),
            address: "http://127.0.0.1:9000/".parse()?,
            pid: pid.as_raw_nonzero().get(),
            start_ticks: proc::stat(pid).ok_or("no stat")?.start_ticks,
            boot_id: proc::boot_id()?,
            began: UnixMillis(7),
            phase: Phase::Running,
        })
    }

    #[test]
    fn a_record_survives_its_file() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        for phase in
            [Phase::Begun, Phase::Running, Phase::Ended { at: UnixMillis(9), exit_code: Some(137) }]
        {
            let record = Record { phase, ..record()? };
            record.write(dir.path())?;
            let read: Vec<Record> = records::read_all(dir.path()).map_err(|(_, error)| error)?;
            assert_eq!(read, [record], "{phase:?}");
        }
        Ok(())
    }

    #[test]
    fn a_reused_pid_is_not_the_recorded_process() -> Result<(), Box<dyn std::error::Error>> {
        let ours = record()?;
        let boot_id = ours.boot_id.clone();
        assert!(ours.is_there(&boot_id));
        assert!(!Record { start_ticks: ours.start_ticks + 1, ..ours.clone() }.is_there(&boot_id));
        assert!(!ours.is_there("another boot"));
        Ok(())
    }
}
