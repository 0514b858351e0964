//! One process and the group that it leads: begun, signalled, waited for,
//! reaped.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use parking_lot::Mutex;
use reprieve_core::ids::LifeId;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::{sleep, timeout},
};
use url::Url;

use super::{super::kernel::PidFd, proc, spec::ProcessSpec, trampoline};

/// From letting a trampoline go to its `exec`. Milliseconds on a quiet machine.
const EXEC_WAIT: Duration = Duration::from_secs(10);
/// The longest reason for a failed `exec` that is read.
const MAX_REASON_BYTES: u64 = 1024;
/// For what is left of a group after its leader's end and SIGKILL. Only a
/// process that hangs in the kernel takes so long.
const LEFTOVERS_WAIT: Duration = Duration::from_secs(1);
const LEFTOVERS_LOOK_EVERY: Duration = Duration::from_millis(5);
/// As shells report an end by a signal.
const SIGNAL_EXIT_BASE: i32 = 128;

/// A child that exists, is recorded nowhere yet, and waits to be let go.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) leader: Leader,
    host: UnixStream,
    program: String,
}

impl Held {
    pub(super) fn spawn(
        trampoline: &Path,
        spec: &ProcessSpec,
        life: LifeId,
        address: &Url,
        (stdout, stderr): (Stdio, Stdio),
    ) -> io::Result<Self> {
        let (host, child) = std::os::unix::net::UnixStream::pair()?;
        host.set_nonblocking(true)?;
        let host = UnixStream::from_std(host)?;
        let mut command = Command::new(trampoline);
        command
            .arg(trampoline::ARGUMENT)
            .args(&spec.command)
            .envs(&spec.env)
            .env("REPRIEVE_WORKSPACE", spec.workspace.as_str())
            .env("REPRIEVE_LIFE", life.0.to_string())
            .env("PORT", address.port_or_known_default().unwrap_or_default().to_string())
            .stdin(Stdio::from(OwnedFd::from(child)))
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0);
        if let Some(dir) = &spec.working_dir {
            command.current_dir(dir);
        }
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let leader = Leader::attach(pid)?;
        Ok(Self { leader, host, program: spec.command.first().cloned().unwrap_or_default() })
    }

    /// Lets it become the workspace's program. Err: why it could not; nothing of
    /// it is left then.
    pub(super) async fn release(mut self) -> Result<Leader, String> {
        let mut said = Vec::new();
        let exchange = async {
            // A trampoline that died early has hung up; what it said tells why.
            let _ = self.host.write_all(trampoline::GO).await;
            let host = &mut self.host;
            host.take(MAX_REASON_BYTES).read_to_end(&mut said).await
        };
        let failure = match timeout(EXEC_WAIT, exchange).await {
            Err(_) => format!("{:?} did not start within {EXEC_WAIT:?}", self.program),
            Ok(Err(error)) => format!("lost touch with {:?} as it started: {error}", self.program),
            Ok(Ok(_)) => match said.strip_prefix(trampoline::READY) {
                Some([]) => return Ok(self.leader),
                Some(reason) => {
                    format!("cannot run {:?}: {}", self.program, String::from_utf8_lossy(reason))
                }
                None => format!(
                    "cannot run {:?}: the host's own program did not come up as a trampoline",
                    self.program
                ),
            },
        };
        self.abandon().await;
        Err(failure)
    }

    /// Ends it before it was let go.
    pub(super) async fn abandon(self) {
        drop(self.host);
        self.leader.signal_group(Signal::KILL);
        self.leader.ended().await;
    }
}

/// A process that leads a group of its own.
#[derive(Debug)]
pub(super) struct Leader {
    pid: Pid,
    pidfd: PidFd,
    /// Set under the lock in which it is reaped: from then on its number may
    /// mean somebody else.
    is_gone: Mutex<bool>,
}

impl Leader {
    /// Holds on to the process that has this pid now. Whoever did not start it
    /// checks afterwards that it is the one that was meant.
    pub(super) fn attach(pid: Pid) -> io::Result<Self> {
        let pidfd = PidFd::open(pid)?;
        Ok(Self { pid, pidfd, is_gone: Mutex::new(false) })
    }

    pub(super) const fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn signal_group(&self, signal: Signal) {
        let is_gone = self.is_gone.lock();
        if !*is_gone {
            // Fails only if the whole group has just ended.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Waits for its end, ends what is left of its group, and reaps it. The exit
    /// code is known only of a child of this host.
    ///
    /// The rest of the group gets no grace here: the life of a workspace is its
    /// leader's, and the next one may want the same port.
    pub(super) async fn ended(&self) -> Option<i32> {
        self.pidfd.ended().await;
        let exit_code = self.reap();
        let look = async {
            // The signal is asked first: it costs nothing, and mostly nobody is left.
            while test_kill_process_group(self.pid).is_ok() && proc::group_runs(self.pid) {
                sleep(LEFTOVERS_LOOK_EVERY).await;
            }
        };
        if timeout(LEFTOVERS_WAIT, look).await.is_err() {
            tracing::warn!(group = %self.pid.as_raw_nonzero(), "processes of an ended group stay");
        }
        exit_code
    }

    fn reap(&self) -> Option<i32> {
        let mut is_gone = self.is_gone.lock();
        // As long as the leader is not reaped, its number cannot be given to
        // another group. (Another parent may have reaped it: no help for it.)
        let _ = kill_process_group(self.pid, Signal::KILL);
        let waited = waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        *is_gone = true;
        // An error says that it was never a child of this host.
        let status = waited.ok().flatten()?;
        status.exit_status().or_else(|| Some(SIGNAL_EXIT_BASE + status.terminating_signal()?))
    }
}
