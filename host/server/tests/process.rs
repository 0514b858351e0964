//! The process backend on real processes: what is promised at the top of
//! `backend/process/mod.rs`, one test for each promise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stdout, reason = "a host that is to be killed speaks to its killer")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use reprieve_core::{
    evidence::Status,
    ids::{LifeId, Revision, WorkspaceId},
    judgement::RestartCause,
    ports::{
        Clock, Probe as _, RestartFailure, RestartOrder, Restarter as _, RuntimeEvent,
        RuntimeEventKind,
    },
    time::{Millis, UnixMillis},
};
use reprieve_server::backend::process::{
    Listen, OpenFailure, Output, ProcessSpec, Processes, ProcessesOptions,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader as AsyncBufReader},
    net::unix::pipe,
    sync::mpsc,
    time::timeout,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// For what must happen; a quiet machine needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
const WORKSPACE: &str = "ws-1";
/// Tells this test binary to be the host that gets killed.
const VICTIM: &str = "REPRIEVE_TEST_VICTIM";

/// Stands where the test puts it.
#[derive(Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<TestClock>,
}

impl Bench {
    fn new() -> std::io::Result<Self> {
        Ok(Self { dir: tempfile::tempdir()?, clock: Arc::default() })
    }

    async fn open(
        &self,
        specs: Vec<ProcessSpec>,
    ) -> Result<(Processes, mpsc::Receiver<RuntimeEvent>), OpenFailure> {
        open(self.dir.path(), self.clock.clone(), specs).await
    }

    /// A named pipe that a child can speak into.
    fn pipe(&self) -> Result<(PathBuf, Lines), Box<dyn std::error::Error>> {
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

type Lines = tokio::io::Lines<AsyncBufReader<pipe::Receiver>>;

async fn open(
    state_dir: &Path,
    clock: Arc<dyn Clock>,
    specs: Vec<ProcessSpec>,
) -> Result<(Processes, mpsc::Receiver<RuntimeEvent>), OpenFailure> {
    let (events, received) = mpsc::channel(64);
    let mut options = ProcessesOptions::new(state_dir.to_path_buf(), clock, events);
    options.trampoline = env!("CARGO_BIN_EXE_reprieve").into();
    Ok((Processes::open(options, specs).await?, received))
}

fn workspace() -> WorkspaceId {
    WORKSPACE.parse().expect("a name")
}

fn shell(script: &str) -> ProcessSpec {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    ProcessSpec { stop_grace: Millis(10_000), ..ProcessSpec::new(workspace(), command) }
}

fn order(life: u64) -> RestartOrder {
    RestartOrder {
        workspace: workspace(),
        life: LifeId(life),
        cause: RestartCause::Operator,
        revision: Revision(0),
    }
}

async fn next(events: &mut mpsc::Receiver<RuntimeEvent>, kind: RuntimeEventKind) -> RuntimeEvent {
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

async fn line(lines: &mut Lines) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("the child speaks in time");
    line.expect("the pipe is readable").expect("the pipe stays open")
}

fn pid_of(processes: &Processes) -> Pid {
    let run = processes.run(&workspace()).expect("it runs");
    pid(run.pid)
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).expect("a pid")
}

/// Gone, reaped, no zombie.
fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

/// Gone, or dead and waiting for whoever adopted it to reap it.
fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
}

#[tokio::test]
async fn an_end_is_seen_with_its_exit_code_and_leaves_no_zombie() -> Outcome {
    for (script, exit_code) in
        [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        let bench = Bench::new()?;
        let (processes, mut events) = bench.open(vec![shell(script)]).await?;
        let started = processes.restart(&order(1)).await?;
        let stopped = next(&mut events, RuntimeEventKind::Stopped).await;
        assert_eq!(stopped.mark, started.mark, "{script}");
        bench.clock.0.store(5_000, Ordering::SeqCst);
        let look = processes.look(&workspace()).await?;
        assert_eq!(look.sighting.status, Status::Stopped, "{script}");
        assert_eq!(look.sighting.exit_code, Some(exit_code), "{script}");
        assert_eq!(look.sighting.ended, Some(Millis(5_000)), "{script}");
        assert_eq!(look.mark, started.mark, "{script}");
        let mark = started.mark.ok_or("a mark")?.0;
        let number = mark.split_once('@').ok_or("a pid in the mark")?.0.parse()?;
        assert!(is_gone(pid(number)), "{script}");
    }
    Ok(())
}

#[tokio::test]
async fn what_never_ran_is_stopped_without_an_end_and_what_is_unknown_is_missing() -> Outcome {
    let bench = Bench::new()?;
    let (processes, _events) = bench.open(vec![shell("exit 0")]).await?;
    let look = processes.look(&workspace()).await?;
    assert_eq!((look.sighting.status, look.sighting.ended), (Status::Stopped, None));
    let stranger = "stranger".parse()?;
    assert_eq!(processes.look(&stranger).await?.sighting.status, Status::Missing);
    let refused = processes.stop(&stranger).await;
    assert_eq!(refused, Err(RestartFailure::NotOurs { workspace: stranger }));
    assert_eq!(processes.stop(&workspace()).await, Ok(()));
    Ok(())
}

#[tokio::test]
async fn a_child_knows_who_it_is_and_prints_into_its_log() -> Outcome {
    let bench = Bench::new()?;
    let log = bench.dir.path().join("child.log");
    let mut spec = shell("echo $REPRIEVE_WORKSPACE $REPRIEVE_LIFE $PORT $EXTRA; pwd >&2");
    spec.output = Output::File(log.clone());
    spec.working_dir = Some(bench.dir.path().canonicalize()?);
    spec.env.insert("EXTRA".to_owned(), "more".to_owned());
    let (processes, mut events) = bench.open(vec![spec]).await?;
    let started = processes.restart(&order(7)).await?;
    next(&mut events, RuntimeEventKind::Stopped).await;
    let port = started.address.ok_or("an address")?.port().ok_or("a port")?;
    let dir = bench.dir.path().canonicalize()?;
    assert_eq!(fs::read_to_string(log)?, format!("ws-1 7 {port} more\n{}\n", dir.display()));
    Ok(())
}

#[tokio::test]
async fn a_run_is_starting_until_it_accepts_connections_or_its_boot_grace_is_over() -> Outcome {
    let bench = Bench::new()?;
    let (path, mut lines) = bench.pipe()?;
    let mut spec = shell(&format!("echo $PORT > {}; exec sleep 1000", path.display()));
    spec.boot_grace = Millis(30_000);
    let (processes, _events) = bench.open(vec![spec]).await?;
    processes.restart(&order(1)).await?;
    let port: u16 = line(&mut lines).await.parse()?;
    let status = async || processes.look(&workspace()).await.map(|look| look.sighting.status);
    assert_eq!(status().await?, Status::Starting);
    bench.clock.0.store(30_000, Ordering::SeqCst);
    assert_eq!(status().await?, Status::Running, "past its boot grace");
    bench.clock.0.store(29_999, Ordering::SeqCst);
    assert_eq!(status().await?, Status::Starting);
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    assert_eq!(status().await?, Status::Running, "it accepts connections");
    drop(listener);
    assert_eq!(status().await?, Status::Running, "it did accept connections");
    processes.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_child_that_ignores_sigterm_is_killed_after_its_grace() -> Outcome {
    let bench = Bench::new()?;
    let (path, mut lines) = bench.pipe()?;
    let script =
        format!("trap '' TERM; echo up > {}; while :; do sleep 1000; done", path.display());
    let spec = ProcessSpec { stop_grace: Millis(150), ..shell(&script) };
    let (processes, mut events) = bench.open(vec![spec]).await?;
    processes.restart(&order(1)).await?;
    line(&mut lines).await;
    let (pid, asked) = (pid_of(&processes), Instant::now());
    processes.stop(&workspace()).await?;
    assert!(asked.elapsed() >= Duration::from_millis(150), "{:?}", asked.elapsed());
    assert!(is_gone(pid));
    next(&mut events, RuntimeEventKind::Stopped).await;
    assert_eq!(processes.look(&workspace()).await?.sighting.exit_code, Some(137));
    Ok(())
}

#[tokio::test]
async fn a_group_ends_with_its_leader_asked_or_not() -> Outcome {
    for crash in [false, true] {
        let bench = Bench::new()?;
        let (path, mut lines) = bench.pipe()?;
        // The grandchild ignores SIGTERM: only SIGKILL to the group ends it.
        let script = format!(
            "(trap '' TERM; echo up > {0}; sleep 1000) & echo $! > {0}; wait",
            path.display()
        );
        let (processes, mut events) = bench.open(vec![shell(&script)]).await?;
        processes.restart(&order(1)).await?;
        let said = [line(&mut lines).await, line(&mut lines).await];
        let grandchild = said.iter().find_map(|line| line.parse().ok()).ok_or("a pid")?;
        if crash {
            kill_process(pid_of(&processes), Signal::KILL)?;
        } else {
            processes.stop(&workspace()).await?;
        }
        next(&mut events, RuntimeEventKind::Stopped).await;
        assert!(is_dead(pid(grandchild)), "crash: {crash}");
    }
    Ok(())
}

#[tokio::test]
async fn a_frozen_child_is_running_and_can_be_ended() -> Outcome {
    let bench = Bench::new()?;
    let spec = ProcessSpec { boot_grace: Millis(0), ..shell("exec sleep 1000") };
    let (processes, _events) = bench.open(vec![spec]).await?;
    processes.restart(&order(1)).await?;
    let pid = pid_of(&processes);
    kill_process(pid, Signal::STOP)?;
    assert_eq!(processes.look(&workspace()).await?.sighting.status, Status::Running);
    processes.stop(&workspace()).await?;
    assert!(is_gone(pid));
    let exit_code = processes.look(&workspace()).await?.sighting.exit_code;
    assert_eq!(exit_code, Some(143), "it was woken to hear SIGTERM");
    Ok(())
}

#[tokio::test]
async fn the_same_order_given_twice_at_once_begins_one_run() -> Outcome {
    let bench = Bench::new()?;
    let (processes, mut events) = bench.open(vec![shell("exec sleep 1000")]).await?;
    let order = order(1);
    let (one, other) = tokio::join!(processes.restart(&order), processes.restart(&order));
    assert_eq!(one, other);
    assert!(one.is_ok(), "{one:?}");
    let pid = pid_of(&processes);
    assert_eq!(processes.restart(&order).await, one, "and once more later");
    assert_eq!(pid_of(&processes), pid);
    next(&mut events, RuntimeEventKind::Started).await;
    processes.shutdown().await;
    next(&mut events, RuntimeEventKind::Stopped).await;
    assert!(events.try_recv().is_err(), "one start, one end");
    Ok(())
}

#[tokio::test]
async fn the_next_life_begins_after_the_last_has_ended_and_a_late_order_begins_none() -> Outcome {
    let bench = Bench::new()?;
    let (processes, _events) = bench.open(vec![shell("exec sleep 1000")]).await?;
    let first = processes.restart(&order(1)).await?;
    let old = pid_of(&processes);
    let second = processes.restart(&order(2)).await?;
    assert!(is_gone(old));
    assert_ne!(first.mark, second.mark);
    assert_eq!(first.address, second.address, "a workspace keeps its address");
    let late = processes.restart(&order(1)).await;
    assert!(matches!(late, Err(RestartFailure::Refused { .. })), "{late:?}");
    assert_eq!(processes.run(&workspace()).map(|run| run.life), Some(LifeId(2)));
    processes.shutdown().await;
    let closed = processes.restart(&order(3)).await;
    assert!(matches!(closed, Err(RestartFailure::Refused { .. })), "{closed:?}");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_stops_waiting_does_not_stop_the_order() -> Outcome {
    let bench = Bench::new()?;
    let (processes, mut events) = bench.open(vec![shell("exec sleep 1000")]).await?;
    let order = order(1);
    let gave_up = timeout(Duration::ZERO, processes.restart(&order)).await;
    assert!(gave_up.is_err(), "{gave_up:?}");
    next(&mut events, RuntimeEventKind::Started).await;
    processes.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_named() -> Outcome {
    let bench = Bench::new()?;
    let here = bench.dir.path().to_path_buf();
    let plain = |command: &[&str]| {
        ProcessSpec::new(workspace(), command.iter().map(|&word| word.to_owned()).collect())
    };
    for (case, spec, expected) in [
        (
            "no such program",
            plain(&["no-such-program", "-x"]),
            "cannot run \"no-such-program\": No such file",
        ),
        (
            "not executable",
            plain(&["/etc/passwd"]),
            "cannot run \"/etc/passwd\": Permission denied",
        ),
        ("empty command", plain(&[]), "workspace ws-1 has an empty command"),
        (
            "no such folder",
            ProcessSpec { working_dir: Some(here.join("gone")), ..shell("true") },
            "gone is no folder",
        ),
        (
            "no such log folder",
            ProcessSpec { output: Output::File(here.join("gone/log")), ..shell("true") },
            "no log file for \"/bin/sh\": No such file",
        ),
    ] {
        let bench = Bench::new()?;
        let (processes, _events) = bench.open(vec![spec]).await?;
        let Err(RestartFailure::Refused { detail }) = processes.restart(&order(1)).await else {
            panic!("{case}: it started");
        };
        assert!(detail.contains(expected), "{case}: {detail}");
        let look = processes.look(&workspace()).await?;
        assert_eq!((look.sighting.status, look.sighting.ended), (Status::Stopped, None), "{case}");
        assert!(!bench.dir.path().join("run/ws-1.json").exists(), "{case}: no record stays");
    }
    Ok(())
}

#[tokio::test]
async fn a_fixed_address_is_told_to_the_child_and_to_the_host() -> Outcome {
    let bench = Bench::new()?;
    let (path, mut lines) = bench.pipe()?;
    let mut spec = shell(&format!("echo $PORT > {}", path.display()));
    spec.address = Listen::Fixed("http://127.0.0.1:4567/base/".parse()?);
    let (processes, _events) = bench.open(vec![spec]).await?;
    let started = processes.restart(&order(1)).await?;
    assert_eq!(started.address, Some("http://127.0.0.1:4567/base/".parse()?));
    assert_eq!(line(&mut lines).await, "4567");
    Ok(())
}

#[tokio::test]
async fn a_state_folder_serves_one_host_and_must_make_sense() -> Outcome {
    let bench = Bench::new()?;
    let held = bench.open(Vec::new()).await?;
    let second = bench.open(Vec::new()).await;
    assert!(matches!(second, Err(OpenFailure::InUse { .. })), "{second:?}");
    drop(held);
    let twice = bench.open(vec![shell("true"), shell("true")]).await;
    assert!(matches!(twice, Err(OpenFailure::Twice { .. })), "{twice:?}");
    fs::write(bench.dir.path().join("run/ws-1.json"), "{")?;
    let broken = bench.open(Vec::new()).await;
    assert!(matches!(broken, Err(OpenFailure::BrokenRecord { .. })), "{broken:?}");
    Ok(())
}

/// A host in a process of its own, to be killed.
struct Victim {
    process: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Victim {
    /// Begins one life after the other, as many as told, and waits.
    fn start(state_dir: &Path, lives: Range<u64>, script: &str) -> std::io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--exact", "the_host_that_gets_killed", "--nocapture"])
            .env(VICTIM, state_dir)
            .env("VICTIM_FIRST_LIFE", lives.start.to_string())
            .env("VICTIM_END_OF_LIVES", lives.end.to_string())
            .env("VICTIM_SCRIPT", script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, said: BufReader::new(stdout).lines() })
    }

    /// The pid of the next life that it began.
    fn began(&mut self) -> Pid {
        let number = self
            .said
            .by_ref()
            .find_map(|line| line.expect("the victim speaks").strip_prefix("began ")?.parse().ok());
        pid(number.expect("the victim begins a life"))
    }

    fn kill(mut self) -> std::io::Result<()> {
        self.process.kill()?;
        self.process.wait().map(drop)
    }
}

/// No test by itself: the body of [`Victim`].
#[tokio::test]
async fn the_host_that_gets_killed() -> Outcome {
    let Some(state_dir) = std::env::var_os(VICTIM) else { return Ok(()) };
    let number =
        |name| -> Result<u64, Box<dyn std::error::Error>> { Ok(std::env::var(name)?.parse()?) };
    let lives = number("VICTIM_FIRST_LIFE")?..number("VICTIM_END_OF_LIVES")?;
    let spec = shell(&std::env::var("VICTIM_SCRIPT")?);
    let (processes, _events) =
        open(Path::new(&state_dir), Arc::new(TestClock::default()), vec![spec]).await?;
    for life in lives {
        processes.restart(&order(life)).await?;
        // The harness has printed the test's name without a line end.
        println!("\nbegan {}", pid_of(&processes).as_raw_nonzero());
    }
    std::future::pending().await
}

#[tokio::test]
async fn a_child_of_a_killed_host_is_taken_over() -> Outcome {
    let bench = Bench::new()?;
    let mut victim = Victim::start(bench.dir.path(), 1..2, "exec sleep 1000")?;
    let pid = victim.began();
    victim.kill()?;
    let (processes, mut events) = bench.open(vec![shell("exec sleep 1000")]).await?;
    let run = processes.run(&workspace()).ok_or("it was not taken over")?;
    assert_eq!((pid_of(&processes), run.life), (pid, LifeId(1)));
    assert!(!is_dead(pid));
    let again = processes.restart(&order(1)).await?;
    assert_eq!(again.mark, Some(run.mark.clone()), "the same order begins no second run");

    kill_process(pid, Signal::KILL)?;
    let stopped = next(&mut events, RuntimeEventKind::Stopped).await;
    assert_eq!(stopped.mark, Some(run.mark));
    let sighting = processes.look(&workspace()).await?.sighting;
    assert_eq!(sighting.status, Status::Stopped);
    assert!(sighting.ended.is_some());
    assert_eq!(sighting.exit_code, None, "only a parent learns the exit code");
    Ok(())
}

#[tokio::test]
async fn a_taken_over_child_is_replaced_by_the_next_life() -> Outcome {
    let bench = Bench::new()?;
    let mut victim = Victim::start(bench.dir.path(), 1..2, "exec sleep 1000")?;
    let pid = victim.began();
    victim.kill()?;
    let (processes, _events) = bench.open(vec![shell("exec sleep 1000")]).await?;
    processes.restart(&order(2)).await?;
    assert!(is_dead(pid));
    assert_ne!(pid_of(&processes), pid);
    processes.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_child_that_died_with_no_host_is_reported_with_what_it_left_ended() -> Outcome {
    let bench = Bench::new()?;
    let (path, mut lines) = bench.pipe()?;
    let script = format!("sleep 1000 & echo $! > {}; wait", path.display());
    let mut victim = Victim::start(bench.dir.path(), 1..2, &script)?;
    let leader = victim.began();
    let grandchild = pid(line(&mut lines).await.parse()?);
    victim.kill()?;
    kill_process(leader, Signal::KILL)?;
    let (processes, mut events) = bench.open(vec![shell(&script)]).await?;
    next(&mut events, RuntimeEventKind::Stopped).await;
    assert_eq!(processes.run(&workspace()), None);
    let sighting = processes.look(&workspace()).await?.sighting;
    assert_eq!((sighting.status, sighting.ended), (Status::Stopped, Some(Millis(0))));
    // SIGKILL was sent; the kernel ends it in its own time.
    let dead = async {
        while !is_dead(grandchild) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, dead).await?;
    Ok(())
}

#[tokio::test]
async fn a_run_whose_begin_was_not_confirmed_is_ended() -> Outcome {
    let bench = Bench::new()?;
    let mut victim = Victim::start(bench.dir.path(), 1..2, "exec sleep 1000")?;
    let pid = victim.began();
    victim.kill()?;
    let record = bench.dir.path().join("run/ws-1.json");
    let text = fs::read_to_string(&record)?;
    assert!(text.contains("\"running\""), "{text}");
    fs::write(&record, text.replace("\"running\"", "\"begun\""))?;
    let (processes, _events) = bench.open(vec![shell("exec sleep 1000")]).await?;
    assert!(is_dead(pid));
    assert_eq!(processes.run(&workspace()), None);
    Ok(())
}

#[tokio::test]
async fn a_workspace_that_is_no_longer_configured_is_ended_and_forgotten() -> Outcome {
    let bench = Bench::new()?;
    let mut victim = Victim::start(bench.dir.path(), 1..2, "exec sleep 1000")?;
    let pid = victim.began();
    victim.kill()?;
    let (processes, mut events) = bench.open(Vec::new()).await?;
    next(&mut events, RuntimeEventKind::Stopped).await;
    assert!(is_dead(pid));
    assert_eq!(processes.look(&workspace()).await?.sighting.status, Status::Missing);
    Ok(())
}

/// Lives of `WORKSPACE` of this state folder, wherever in the machine they are.
fn children_of(state_dir: &Path) -> std::io::Result<Vec<u32>> {
    let marker = format!("VICTIM_SCRIPT=exec sleep 1000 # {}", state_dir.display());
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = |what| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        let carries_it = |bytes: Vec<u8>| bytes.split(|b| *b == 0).any(|e| e == marker.as_bytes());
        // A trampoline that was never let go is on its way out.
        if carries_it(read("environ")) && read("cmdline").starts_with(b"sleep\0") {
            children.push(pid);
        }
    }
    Ok(children)
}

#[tokio::test]
async fn a_host_killed_at_any_moment_leaves_no_orphan_and_no_second_child() -> Outcome {
    const ROUNDS: u64 = 50;
    /// More than it can begin before it is killed.
    const LIVES_A_ROUND: u64 = 1_000_000;
    let bench = Bench::new()?;
    let script = format!("exec sleep 1000 # {}", bench.dir.path().display());
    // A fixed seed: the same moments in every run, as far as a machine has such.
    let mut moment = 0x9e37_79b9_7f4a_7c15_u64;
    let mut taken_over = 0;
    for round in 0..ROUNDS {
        let first_life = 1 + round * LIVES_A_ROUND;
        let mut victim =
            Victim::start(bench.dir.path(), first_life..first_life + LIVES_A_ROUND, &script)?;
        victim.began();
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until = Instant::now() + Duration::from_micros(moment >> 51);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        victim.kill()?;
        let (processes, events) = bench.open(vec![shell(&script)]).await?;
        let run = processes.run(&workspace()).map(|run| run.pid);
        taken_over += u64::from(run.is_some());
        assert_eq!(children_of(bench.dir.path())?, Vec::from_iter(run), "round {round}");
        if round % 5 == 4 {
            processes.shutdown().await;
            assert_eq!(children_of(bench.dir.path())?, [] as [u32; 0], "round {round}");
        }
        drop((processes, events));
    }
    println!("{taken_over} of {ROUNDS} rounds found a child to take over");
    let (processes, _events) = bench.open(vec![shell(&script)]).await?;
    processes.shutdown().await;
    Ok(())
}
