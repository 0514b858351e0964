//! One workspace: its specification, its newest run, and the orders about it,
//! one at a time.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use reprieve_core::{
    evidence::{Sighting, Status},
    ids::LifeId,
    ports::{Clock, Look, RestartFailure, RestartOrder, RuntimeEvent, RuntimeEventKind, Started},
    time::Millis,
};
use rustix::process::Signal;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    ProcessesOptions, Run,
    child::{Held, Leader},
    output,
    port::Ports,
    proc,
    record::{Phase, Record},
    spec::{Listen, ProcessSpec},
};

/// From SIGKILL to the end. Only a process that hangs in the kernel takes longer.
const KILL_WAIT: Millis = Millis::from_secs(5);
/// A listening socket on this machine accepts at once.
const CONNECT_WAIT: Duration = Duration::from_millis(250);

/// What all workspaces of one backend share.
pub(super) struct Host {
    pub(super) run_dir: PathBuf,
    pub(super) log_dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: mpsc::Sender<RuntimeEvent>,
    pub(super) trampoline: PathBuf,
    pub(super) boot_id: String,
    pub(super) ports: Ports,
    /// Set once, at shutdown: no run begins any more.
    pub(super) is_closing: AtomicBool,
    /// Ends whatever the backend still watches.
    pub(super) is_dropped: CancellationToken,
    /// One host at a time. Whoever may still write a record holds on to it.
    _lock: File,
}

impl Host {
    pub(super) fn new(
        options: ProcessesOptions,
        run_dir: PathBuf,
        log_dir: PathBuf,
        boot_id: String,
        lock: File,
    ) -> Self {
        let ProcessesOptions { state_dir: _, clock, events, trampoline } = options;
        Self {
            run_dir,
            log_dir,
            clock,
            events,
            trampoline,
            boot_id,
            ports: Ports::default(),
            is_closing: AtomicBool::new(false),
            is_dropped: CancellationToken::new(),
            _lock: lock,
        }
    }

    /// Until it is done, or the backend is dropped.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.is_dropped.clone().run_until_cancelled_owned(work));
    }
}

pub(super) struct Slot {
    pub(super) spec: ProcessSpec,
    pub(super) host: Arc<Host>,
    /// Held for the length of an order: one at a time.
    order: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    newest: Option<Newest>,
    /// An order is between the end of one run and the begin of the next.
    is_restarting: bool,
    /// The newest life that this host was ordered to begin.
    ordered: LifeId,
}

/// The newest run, lasting or ended.
struct Newest {
    record: Record,
    /// It was seen to accept connections.
    listens: bool,
    lasting: Option<Lasting>,
}

#[derive(Clone)]
struct Lasting {
    leader: Arc<Leader>,
    /// Turns true when its end is on record.
    is_over: watch::Receiver<bool>,
}

impl Slot {
    pub(super) fn new(spec: ProcessSpec, host: Arc<Host>) -> Self {
        Self { spec, host, order: tokio::sync::Mutex::new(()), state: Mutex::default() }
    }

    pub(super) fn run(&self) -> Option<Run> {
        let state = self.state.lock();
        let newest = state.newest.as_ref().filter(|newest| newest.lasting.is_some())?;
        let record = &newest.record;
        Some(Run {
            workspace: record.workspace.clone(),
            life: record.life,
            address: record.address.clone(),
            mark: record.mark(),
            pid: u32::try_from(record.pid).unwrap_or_default(),
            began: record.began,
        })
    }

    pub(super) async fn look(&self) -> Look {
        if let Some(address) = self.address_to_try()
            && accepts(&address).await
            && let Some(newest) = &mut self.state.lock().newest
            && newest.record.address == address
        {
            newest.listens = true;
        }
        let state = self.state.lock();
        let Some(newest) = &state.newest else {
            let status = if state.is_restarting { Status::Starting } else { Status::Stopped };
            return Look { sighting: Sighting::bare(status), mark: None };
        };
        let now = self.host.clock.now();
        let sighting = match newest.record.phase {
            Phase::Begun | Phase::Running => {
                let uptime = newest.record.began.age(now);
                let is_up = newest.listens || uptime >= self.spec.boot_grace;
                let status = if is_up { Status::Running } else { Status::Starting };
                Sighting { uptime: Some(uptime), ..Sighting::bare(status) }
            }
            Phase::Ended { .. } if state.is_restarting => Sighting::bare(Status::Restarting),
            Phase::Ended { at, exit_code } => {
                Sighting { ended: Some(at.age(now)), exit_code, ..Sighting::bare(Status::Stopped) }
            }
        };
        Look { sighting, mark: Some(newest.record.mark()) }
    }

    pub(super) async fn restart(
        self: &Arc<Self>,
        order: &RestartOrder,
    ) -> Result<Started, RestartFailure> {
        let _one_at_a_time = self.order.lock().await;
        if self.host.is_closing.load(Ordering::SeqCst) {
            return refuse("the host is shutting down");
        }
        if let Some(started) = self.begun_before(order.life)? {
            return Ok(started);
        }
        self.state.lock().is_restarting = true;
        let begun = match self.end_run().await {
            Ok(()) => self.begin(order.life).await,
            Err(failure) => Err(failure),
        };
        self.state.lock().is_restarting = false;
        begun
    }

    pub(super) async fn stop(&self) -> Result<(), RestartFailure> {
        let _one_at_a_time = self.order.lock().await;
        self.end_run().await
    }

    /// What the same order brought the first time. Err: a newer one has been
    /// carried out since, and this one comes late.
    fn begun_before(&self, life: LifeId) -> Result<Option<Started>, RestartFailure> {
        let mut state = self.state.lock();
        if life < state.ordered {
            let newer = state.ordered.0;
            return refuse(format!("life {} is over: life {newer} was ordered since", life.0));
        }
        state.ordered = life;
        let same = state.newest.as_ref().filter(|newest| newest.record.life == life);
        Ok(same.map(|newest| started(&newest.record)))
    }

    /// SIGTERM to the whole group, then SIGKILL.
    async fn end_run(&self) -> Result<(), RestartFailure> {
        let lasting = self.state.lock().newest.as_ref().and_then(|newest| newest.lasting.clone());
        let Some(Lasting { leader, mut is_over }) = lasting else { return Ok(()) };
        leader.signal_group(Signal::TERM);
        // A stopped process gets SIGTERM only once it goes on.
        leader.signal_group(Signal::CONT);
        if timeout(self.spec.stop_grace.as_duration(), is_over.wait_for(|over| *over)).await.is_ok()
        {
            return Ok(());
        }
        tracing::warn!(
            workspace = %self.spec.workspace,
            grace_ms = self.spec.stop_grace.0,
            "process did not end within its grace, killing it"
        );
        leader.signal_group(Signal::KILL);
        match timeout(KILL_WAIT.as_duration(), is_over.wait_for(|over| *over)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(RestartFailure::TimedOut {
                after: self.spec.stop_grace.saturating_add(KILL_WAIT),
            }),
        }
    }

    async fn begin(self: &Arc<Self>, life: LifeId) -> Result<Started, RestartFailure> {
        let (address, held) = self.hold(life).or_else(refuse)?;
        let pid = held.leader.pid();
        let mut record = Record {
            workspace: self.spec.workspace.clone(),
            life,
            address,
            pid: pid.as_raw_nonzero().get(),
            start_ticks: proc::stat(pid).map_or(0, |stat| stat.start_ticks),
            boot_id: self.host.boot_id.clone(),
            began: self.host.clock.now(),
            phase: Phase::Begun,
        };
        if let Err(error) = self.save(&record).await {
            held.abandon().await;
            let dir = self.host.run_dir.display();
            return refuse(format!("cannot record the run in {dir}: {error}"));
        }
        let leader = match held.release().await {
            Ok(leader) => leader,
            Err(detail) => {
                self.forget_begun().await;
                return refuse(detail);
            }
        };
        record.phase = Phase::Running;
        if let Err(error) = self.save(&record).await {
            // It runs, and is recorded as begun: a next host would replace it.
            tracing::warn!(workspace = %self.spec.workspace, %error, "cannot confirm the run's record");
        }
        tracing::info!(workspace = %self.spec.workspace, life = life.0, pid = record.pid, address = %record.address, "process started");
        let started = started(&record);
        self.watch(record, leader);
        Ok(started)
    }

    fn hold(&self, life: LifeId) -> Result<(Url, Held), String> {
        let spec = &self.spec;
        let Some(program) = spec.command.first() else {
            return Err(format!("workspace {} has an empty command", spec.workspace));
        };
        if let Some(dir) = &spec.working_dir
            && !dir.is_dir()
        {
            return Err(format!("cannot run {program:?}: {} is no folder", dir.display()));
        }
        let address =
            self.address().map_err(|error| format!("no port for {program:?}: {error}"))?;
        let output = output::open(&spec.output, &self.host.log_dir, &spec.workspace)
            .map_err(|error| format!("no log file for {program:?}: {error}"))?;
        let held = Held::spawn(&self.host.trampoline, spec, life, &address, output)
            .map_err(|error| format!("cannot run {program:?}: {error}"))?;
        Ok((address, held))
    }

    fn address(&self) -> io::Result<Url> {
        match &self.spec.address {
            Listen::Fixed(url) => Ok(url.clone()),
            Listen::AnyPort => {
                let port = self.host.ports.pick(&self.spec.workspace)?;
                Url::parse(&format!("http://127.0.0.1:{port}/")).map_err(io::Error::other)
            }
        }
    }

    /// Takes a lasting run into care: from now on its end is noticed, recorded
    /// and reported.
    pub(super) fn watch(self: &Arc<Self>, record: Record, leader: Leader) {
        let leader = Arc::new(leader);
        let (over, is_over) = watch::channel(false);
        self.report(RuntimeEventKind::Started, &record);
        self.keep_port(&record);
        self.state.lock().newest = Some(Newest {
            record: record.clone(),
            listens: false,
            lasting: Some(Lasting { leader: leader.clone(), is_over }),
        });
        let slot = self.clone();
        self.host.spawn(async move {
            let exit_code = leader.ended().await;
            let ended = slot.note_end(record, exit_code).await;
            over.send_replace(true);
            slot.report_end(ended).await;
        });
    }

    /// Notes that the newest run has ended by now.
    pub(super) async fn note_end(&self, mut record: Record, exit_code: Option<i32>) -> Record {
        record.phase = Phase::Ended { at: self.host.clock.now(), exit_code };
        tracing::info!(workspace = %record.workspace, life = record.life.0, pid = record.pid, exit_code, "process ended");
        self.state.lock().newest =
            Some(Newest { record: record.clone(), listens: false, lasting: None });
        if let Err(error) = self.save(&record).await {
            // The next host finds the process gone, and only the exit code is lost.
            tracing::warn!(workspace = %record.workspace, %error, "cannot record the run's end");
        }
        record
    }

    /// Takes over a run that ended and was recorded so.
    pub(super) fn remember(&self, record: Record) {
        self.keep_port(&record);
        self.state.lock().newest = Some(Newest { record, listens: false, lasting: None });
    }

    fn keep_port(&self, record: &Record) {
        if let (Listen::AnyPort, Some(port)) = (&self.spec.address, record.address.port()) {
            self.host.ports.note(&self.spec.workspace, port);
        }
    }

    pub(super) async fn report_end(&self, record: Record) {
        let event = event(RuntimeEventKind::Stopped, &record);
        // Nobody listens any more: the host is going down.
        let _ = self.host.events.send(event).await;
    }

    fn report(&self, kind: RuntimeEventKind, record: &Record) {
        // Who ordered the run learns of it anyway; the order must not wait for
        // who listens to events.
        if self.host.events.try_send(event(kind, record)).is_err() {
            tracing::debug!(workspace = %record.workspace, "nobody takes the event of a start");
        }
    }

    /// A run that came to nothing leaves the record of the one before.
    async fn forget_begun(&self) {
        let before = self.state.lock().newest.as_ref().map(|newest| newest.record.clone());
        let result = match before {
            Some(record) => self.save(&record).await,
            None => super::super::records::remove(&self.host.run_dir, &self.spec.workspace),
        };
        if let Err(error) = result {
            tracing::warn!(workspace = %self.spec.workspace, %error, "cannot take back a run's record");
        }
    }

    async fn save(&self, record: &Record) -> io::Result<()> {
        let (record, host) = (record.clone(), self.host.clone());
        let written = tokio::task::spawn_blocking(move || record.write(&host.run_dir)).await;
        written.map_err(io::Error::other)?
    }

    /// Where to knock: only a run within its boot grace that was not seen to
    /// listen yet.
    fn address_to_try(&self) -> Option<Url> {
        let state = self.state.lock();
        let newest = state.newest.as_ref()?;
        let is_booting = newest.lasting.is_some()
            && !newest.listens
            && newest.record.began.age(self.host.clock.now()) < self.spec.boot_grace;
        is_booting.then(|| newest.record.address.clone())
    }
}

async fn accepts(address: &Url) -> bool {
    let (Some(host), Some(port)) = (address.host_str(), address.port_or_known_default()) else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    matches!(timeout(CONNECT_WAIT, TcpStream::connect((host, port))).await, Ok(Ok(_)))
}

fn started(record: &Record) -> Started {
    Started { address: Some(record.address.clone()), mark: Some(record.mark()) }
}

fn event(kind: RuntimeEventKind, record: &Record) -> RuntimeEvent {
    RuntimeEvent {
        workspace: record.workspace.clone(),
        kind,
        mark: Some(record.mark()),
        address: Some(record.address.clone()),
        report: None,
    }
}

fn refuse<T>(detail: impl Into<String>) -> Result<T, RestartFailure> {
    Err(RestartFailure::Refused { detail: detail.into() })
}
