//! Runs begun, seen and ended by a host that lives.

use std::{
    fs,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use reprieve_core::{
    evidence::Status,
    ids::LifeId,
    ports::{Probe as _, RestartFailure, Restarter as _, RuntimeEventKind},
    time::Millis,
};
use reprieve_server::backend::process::{Listen, OpenFailure, Output, ProcessSpec};
use rustix::process::{Signal, kill_process};
use tokio::time::timeout;

use crate::bench::{
    Bench, Outcome, is_dead, is_gone, line, next, order, pid, pid_of, shell, workspace,
};

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
