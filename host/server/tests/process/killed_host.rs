//! What the next host finds after one that was killed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    ops::Range,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use reprieve_core::{
    evidence::Status,
    ids::LifeId,
    ports::{Probe as _, Restarter as _, RuntimeEventKind},
    time::Millis,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use crate::bench::{
    Bench, Outcome, PATIENCE, TestClock, is_dead, line, next, open, order, pid, pid_of, shell,
    workspace,
};

/// Tells this test binary to be the host that gets killed.
const VICTIM: &str = "REPRIEVE_TEST_VICTIM";

/// A host in a process of its own, to be killed.
struct Victim {
    process: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Victim {
    /// Begins one life after the other, as many as told, and waits.
    fn start(state_dir: &Path, lives: Range<u64>, script: &str) -> std::io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--exact", "killed_host::the_host_that_gets_killed", "--nocapture"])
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
        // A trampoline that was never let go is on its way out, and no child.
        let is_trampoline = read("cmdline").split(|b| *b == 0).any(|word| word == b"exec-child");
        if !is_trampoline && carries_it(read("environ")) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// On more threads than one: what the dropped backend still does must end while
/// this test waits for the next victim to speak.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
        taken_over += u64::from(processes.run(&workspace()).is_some());
        // A process that is just in `exec` or just ends is not seen for a moment.
        let agree = async {
            loop {
                let children = children_of(bench.dir.path()).expect("a list of processes");
                assert!(children.len() <= 1, "round {round}: {children:?}");
                let run = processes.run(&workspace()).map(|run| run.pid);
                if children == Vec::from_iter(run) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, agree).await.map_err(|_| format!("round {round}: an orphan"))?;
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
