//! What the tests share: a backend on a clock that stands where it is put, and
//! children that speak through a pipe.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reprieve_core::{
    ids::{LifeId, Revision, WorkspaceId},
    judgement::RestartCause,
    ports::{Clock, RestartOrder, RuntimeEvent, RuntimeEventKind},
    time::{Millis, UnixMillis},
};
use reprieve_server::backend::process::{OpenFailure, ProcessSpec, Processes, ProcessesOptions};
use rustix::process::{Pid, test_kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader as AsyncBufReader},
    net::unix::pipe,
    sync::mpsc,
    time::timeout,
};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// For what must happen; a quiet machine needs milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const WORKSPACE: &str = "ws-1";

/// Stands where the test puts it.
#[derive(Default)]
pub(crate) struct TestClock(pub(crate) AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<TestClock>,
}

impl Bench {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { dir: tempfile::tempdir()?, clock: Arc::default() })
    }

    pub(crate) async fn open(
        &self,
        specs: Vec<ProcessSpec>,
    ) -> Result<(Processes, mpsc::Receiver<RuntimeEvent>), OpenFailure> {
        open(self.dir.path(), self.clock.clone(), specs).await
    }

    /// A named pipe that a child can speak into.
    pub(crate) fn pipe(&self) -> Result<(PathBuf, Lines), Box<dyn std::error::Error>> {
        let path = self.dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )?;
        // Held open for writing too: a child that closes it ends nothing.
        let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(&path)?;
        Ok((path, AsyncBufReader::new(receiver).lines()))
    }
}

pub(crate) type Lines = tokio::io::Lines<AsyncBufReader<pipe::Receiver>>;

pub(crate) async fn open(
    state_dir: &Path,
    clock: Arc<dyn Clock>,
    specs: Vec<ProcessSpec>,
) -> Result<(Processes, mpsc::Receiver<RuntimeEvent>), OpenFailure> {
    let (events, received) = mpsc::channel(64);
    let mut options = ProcessesOptions::new(state_dir.to_path_buf(), clock, events);
    options.trampoline = env!("CARGO_BIN_EXE_reprieve").into();
    Ok((Processes::open(options, specs).await?, received))
}

pub(crate) fn workspace() -> WorkspaceId {
    WORKSPACE.parse().expect("a name")
}

pub(crate) fn shell(script: &str) -> ProcessSpec {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    ProcessSpec { stop_grace: Millis(10_000), ..ProcessSpec::new(workspace(), command) }
}

pub(crate) fn order(life: u64) -> RestartOrder {
    RestartOrder {
        workspace: workspace(),
        life: LifeId(life),
        cause: RestartCause::Operator,
        revision: Revision(0),
    }
}

pub(crate) async fn next(
    events: &mut mpsc::Receiver<RuntimeEvent>,
    kind: RuntimeEventKind,
) -> RuntimeEvent {
    let wanted = async {
        loop {
            let event = events.recv().await.expect("the backend reports");
            if event.kind == kind {
                return event;
            }
        }
    };
    timeout(PATIENCE, wanted).await.unwrap_or_else(|_| panic!("no {kind:?} within {PATIENCE:?}"))
}

pub(crate) async fn line(lines: &mut Lines) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("the child speaks in time");
    line.expect("the pipe is readable").expect("the pipe stays open")
}

pub(crate) fn pid_of(processes: &Processes) -> Pid {
    let run = processes.run(&workspace()).expect("it runs");
    pid(run.pid)
}

pub(crate) fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).expect("a pid")
}

/// Gone, reaped, no zombie.
pub(crate) fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

/// Gone, or dead and waiting for whoever adopted it to reap it.
pub(crate) fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
}
