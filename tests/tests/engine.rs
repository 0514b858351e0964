//! The fixture itself: what tests on a real Engine rely on, and that it leaves
//! nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stdout, reason = "tells the test that started this process")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use reprieve_tests::engine::{ContainerSpec, Engine};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    time::{interval, timeout},
};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Names a process of this test that is to be killed.
const VICTIM: &str = "REPRIEVE_ENGINE_VICTIM";

async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let mut look = interval(LOOK_EVERY);
    let waited = timeout(PATIENCE, async {
        while !is_so().await {
            look.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "not within {PATIENCE:?}: {what}");
}

async fn fetch(address: (std::net::Ipv4Addr, u16), path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn containers_and_the_test_reach_each_other() {
    let Some(engine) = Engine::start().await else { return };
    let id = engine.run(&ContainerSpec::agent("ws-1")).await;
    assert_eq!(engine.inspect("ws-1").await["Id"], id);

    for (case, network) in [("the bridge", "bridge"), ("the Engine's own network", "host")] {
        let name = format!("on-{network}");
        engine.run(&ContainerSpec::agent(&name).network(network)).await;
        let ip = engine.address_of(&name).await;
        let card = || async move {
            fetch((ip, 8000), "/.well-known/agent-card.json").await.is_ok_and(|a| a.contains("200"))
        };
        until(&format!("an agent's card over {case}"), card).await;
    }

    let listener = TcpListener::bind((engine.host_ip(), 0)).await.unwrap();
    let target = listener.local_addr().unwrap();
    let url = format!("http://{target}/");
    let served = tokio::spawn(async move {
        let (mut stream, from) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").await.unwrap();
        from.ip()
    });
    assert_eq!(engine.exec("ws-1", &["wget", "-q", "-O", "-", &url]).await, "hello");
    assert_eq!(served.await.unwrap(), engine.address_of("ws-1").await, "it is not rewritten");
}

#[tokio::test]
async fn a_frozen_engine_answers_nobody_and_its_containers_run_on() {
    let Some(engine) = Engine::start().await else { return };
    engine.run(&ContainerSpec::agent("ws-1")).await;
    let ip = engine.address_of("ws-1").await;
    let card = || async move { fetch((ip, 8000), "/.well-known/agent-card.json").await.is_ok() };
    until("the agent listens", card).await;

    engine.freeze().await;
    let asked = timeout(Duration::from_millis(500), engine.docker(&["ps"])).await;
    assert!(asked.is_err(), "it answered: {asked:?}");
    assert!(card().await, "the agent runs on");
    engine.thaw().await;
    assert_eq!(engine.inspect("ws-1").await["State"]["Status"], "running");
    assert_eq!(engine.exec("ws-1", &["echo", "hello"]).await, "hello\n");

    engine.freeze_containerd().await;
    assert_eq!(engine.inspect("ws-1").await["State"]["Status"], "running");
    let restart = engine.docker(&["restart", "-t", "1", "ws-1"]);
    let restart = timeout(Duration::from_secs(3), restart).await;
    assert!(restart.is_err(), "a restart needs containerd: {restart:?}");
    engine.thaw_containerd().await;
}

#[tokio::test]
async fn a_killed_engine_comes_back_and_finds_its_containers_ended() {
    let Some(engine) = Engine::start().await else { return };
    engine.run(&ContainerSpec::idle("ws-1")).await;
    engine.docker(&["stop", "ws-1"]).await;
    assert_eq!(engine.inspect("ws-1").await["State"]["ExitCode"], 0, "it ends when asked to");
    engine.docker(&["start", "ws-1"]).await;

    engine.kill().await;
    let asked = engine.try_docker(&["ps"]).await;
    assert!(asked.is_err(), "it answered: {asked:?}");
    engine.start_again().await;
    engine.until_ready().await;
    let state = engine.inspect("ws-1").await["State"].take();
    assert_eq!((&state["Status"], &state["Running"]), (&"exited".into(), &false.into()), "{state}");
}

#[tokio::test]
async fn an_engine_that_is_dropped_leaves_nothing() {
    let Some(engine) = Engine::start().await else { return };
    let id = engine.run(&ContainerSpec::idle("ws-1")).await;
    // The kernel does not kill what is frozen.
    engine.docker(&["pause", "ws-1"]).await;
    let folder = engine.socket().parent().unwrap().to_owned();
    let number = folder.file_name().unwrap().to_str().unwrap().to_owned();
    // Another Engine may get its place at once.
    let mark = folder.join("left");
    std::fs::write(&mark, "").unwrap();
    let the_cable = cable(&number).expect("a cable");
    assert!(!control_groups(&number, &id).is_empty());
    let pids = processes_of(&folder);
    assert!(!pids.is_empty(), "the Engine can be found by its folder");

    drop(engine);
    assert!(!mark.exists(), "{} is left", mark.display());
    assert_ne!(cable(&number), Some(the_cable), "the cable is left");
    let left = processes_of(&folder);
    assert!(!pids.keys().any(|pid| left.contains_key(pid)), "{left:?}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(folder.to_str().unwrap()), "{mounts}");
    let groups = control_groups(&number, &id);
    assert!(groups.is_empty(), "{groups:?}");
}

#[tokio::test]
async fn what_a_killed_test_run_left_is_swept_by_the_next() {
    if std::env::var_os(VICTIM).is_some() {
        let engine = Engine::start().await.unwrap();
        engine.run(&ContainerSpec::idle("ws-1")).await;
        println!("\nvictim {}", engine.socket().display());
        return std::future::pending().await;
    }
    let Some(_engine) = Engine::start().await else { return };
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_a_killed_test_run_left_is_swept_by_the_next", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let socket = timeout(PATIENCE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it says where it is");
            if let Some(socket) = line.strip_prefix("victim ") {
                return PathBuf::from(socket);
            }
        }
    });
    let folder = socket.await.unwrap().parent().unwrap().to_owned();
    // Another Engine may get its place.
    let mark = folder.join("left");
    std::fs::write(&mark, "").unwrap();
    let dockerd = |line: &String| line.starts_with("dockerd ");
    let pids = processes_of(&folder);
    assert!(pids.values().any(dockerd), "{pids:?}");
    victim.kill().await.unwrap();
    let is_left = |pid: &u32| processes_of(&folder).contains_key(pid);
    until("its processes end with it", || async { !pids.keys().any(is_left) }).await;
    let _next = Engine::start().await.unwrap();
    assert!(!mark.exists(), "{} is left", mark.display());
}

/// Whoever has the folder on its command line: `dockerd`, containerd, shims.
fn processes_of(folder: &Path) -> BTreeMap<u32, String> {
    let folder = format!("{}/", folder.display());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let process = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let pid = entry.file_name().to_str()?.parse().ok()?;
        line.contains(&folder).then_some((pid, line))
    };
    entries.filter_map(process).collect()
}

/// Tells one cable from every other.
fn cable(number: &str) -> Option<String> {
    std::fs::read_to_string(format!("/sys/class/net/rv-engine{number}/ifindex")).ok()
}

fn control_groups(number: &str, container: &str) -> Vec<PathBuf> {
    let name = format!("reprieve-engine-{number}/{container}");
    let roots = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let groups = roots.chain(["/sys/fs/cgroup".into()]).map(|root| root.join(&name));
    groups.filter(|group| group.exists()).collect()
}
