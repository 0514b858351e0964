//! The example for Docker Compose: what its proxy lets through is what the
//! backend calls, on a real Engine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};
use reprieve_core::{
    evidence::Status,
    ids::{LifeId, Revision, WorkspaceId},
    judgement::RestartCause,
    ports::{Probe as _, RestartFailure, RestartOrder, Restarter as _},
};
use reprieve_server::{
    backend::{
        discovery::Discovery,
        docker::{Docker, DockerOptions},
    },
    clock::HostClock,
};
use reprieve_tests::engine::{ContainerSpec, Engine, is_wanted};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{UnixListener, UnixStream},
    process::Command,
    sync::mpsc,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);
const COMPOSE: &str = include_str!("../../docs/examples/docker/compose.yaml");
const DOCKERFILE: &str = include_str!("../../docs/examples/docker/Dockerfile");
const TOOLCHAIN: &str = include_str!("../../rust-toolchain.toml");
const README: &str = include_str!("../../docs/examples/docker/README.md");
const MAX_HEAD_BYTES: usize = 64 << 10;

fn ws() -> WorkspaceId {
    "ws-1".parse().unwrap()
}

fn order(life: u64) -> RestartOrder {
    RestartOrder {
        workspace: ws(),
        life: LifeId(life),
        cause: RestartCause::Operator,
        revision: Revision(0),
    }
}

/// The methods and paths that the example's proxy lets through, matched as it
/// does: the whole path, as it came.
struct Allowed(Vec<(String, Regex)>);

impl Allowed {
    fn by_the_example() -> Self {
        let lines = COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("- -allow"));
        let rules = lines.map(|line| {
            let (method, pattern) = line.split_once('=').unwrap();
            let whole = RegexBuilder::new(&format!("^{pattern}$")).unicode(false).build();
            (method.to_owned(), whole.unwrap())
        });
        Self(rules.collect())
    }

    fn lets_through(&self, method: &str, path: &str) -> bool {
        self.0.iter().any(|(of, whole)| of == method && whole.is_match(path))
    }
}

/// The options of the volume with the filtered socket, as `docker volume create`
/// takes them.
fn volume_options() -> Vec<String> {
    let (_, options) = COMPOSE.split_once("driver_opts:\n").unwrap();
    let options = options.lines().map_while(|line| line.strip_prefix("      "));
    options.map(|option| format!("--opt={}", option.replacen(": ", "=", 1))).collect()
}

/// What is called, as the README writes it: `GET /containers/{id}/json`.
fn shape(method: &str, path: &str) -> String {
    let path = match path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
        Some((_version, rest)) => format!("/{rest}"),
        None => path.to_owned(),
    };
    let is_id = |part: &str| part == "ws-1" || part.len() == 64;
    let parts = path.split('/').map(|part| if is_id(part) { "{id}" } else { part });
    format!("{method} {}", parts.collect::<Vec<_>>().join("/"))
}

#[derive(Default)]
struct Calls {
    passed: BTreeSet<String>,
    refused: BTreeSet<String>,
}

/// Stands in for the example's proxy.
async fn filter(listener: UnixListener, engine: std::path::PathBuf, calls: Arc<Mutex<Calls>>) {
    let allowed = Arc::new(Allowed::by_the_example());
    while let Ok((client, _)) = listener.accept().await {
        let (engine, allowed, calls) = (engine.clone(), Arc::clone(&allowed), Arc::clone(&calls));
        tokio::spawn(async move { pass_on(client, &engine, &allowed, &calls).await });
    }
}

/// One request a connection.
async fn pass_on(
    mut client: UnixStream,
    engine: &Path,
    allowed: &Allowed,
    calls: &Mutex<Calls>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let path = target.split('?').next().unwrap();
    let is_allowed = allowed.lets_through(method, path);
    let call = shape(method, path);
    if !is_allowed {
        calls.lock().refused.insert(call);
        let answer = b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        return client.write_all(answer).await;
    }
    calls.lock().passed.insert(call);
    let mut upstream = UnixStream::connect(engine).await?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    upstream.write_all(head.as_bytes()).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_engine, mut to_engine) = upstream.split();
    tokio::select! {
        _ = copy(&mut from_client, &mut to_engine) => {}
        _ = copy(&mut from_engine, &mut to_client) => {}
    }
    Ok(())
}

#[test]
fn nothing_else_is_let_through() {
    let allowed = Allowed::by_the_example();
    for (call, is_allowed) in [
        ("GET /version", true),
        ("GET /v1.41/version", true),
        ("GET /containers/json", true),
        ("GET /v1.54/containers/json", true),
        ("GET /containers/ws-1/json", true),
        ("POST /containers/ws-1/restart", true),
        ("GET /info", false),
        ("GET /_ping", false),
        ("GET /containers/ws-1/logs", false),
        ("GET /containers/ws-1/archive", false),
        ("GET /containers/json/json/json", false),
        ("GET /v1.41/../containers/json", false),
        ("HEAD /containers/ws-1/json", false),
        ("POST /containers/ws-1/kill", false),
        ("POST /containers/ws-1/exec", false),
        ("POST /containers/ws-1/stop/../../create", false),
        ("POST /containers/create", false),
        ("POST /images/create", false),
        ("POST /build", false),
        ("DELETE /containers/ws-1", false),
        ("PUT /containers/ws-1/archive", false),
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        assert_eq!(allowed.lets_through(method, path), is_allowed, "{call}");
    }
}

/// `.dockerignore` keeps `rust-toolchain.toml` out: the image's own compiler builds.
#[test]
fn the_image_is_built_with_the_toolchain_of_the_repository() {
    let channel = TOOLCHAIN.lines().find_map(|line| line.strip_prefix("channel = "));
    let channel = channel.expect("a pinned toolchain").trim_matches('"');
    let image = DOCKERFILE.lines().find_map(|line| line.strip_prefix("FROM rust:"));
    let version = image.and_then(|image| image.split('-').next()).expect("a version");
    assert!(channel.starts_with(version), "{channel} is not rust:{version}");
}

#[tokio::test]
async fn compose_understands_the_example() {
    if !is_wanted() {
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/docker/compose.yaml");
    let token = "0123456789abcdef";
    let all = [("DOCKER_GID", "105"), ("PLANNER_TOKEN", token), ("WRITER_TOKEN", token)];
    for (case, variables, is_taken) in
        [("as the README sets it up", &all[..], true), ("without its tokens", &all[..1], false)]
    {
        let mut compose = Command::new("docker-compose");
        compose.args(["--file", file, "config", "--quiet"]).envs(variables.iter().copied());
        let output = compose.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), is_taken, "{case}: {said}");
    }
}

/// A volume belongs to root unless something says otherwise.
#[tokio::test]
async fn the_proxy_may_make_its_socket_and_only_its_user_sees_it() {
    let Some(engine) = Engine::start().await else { return };
    let options = volume_options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    engine.docker(&[&["volume", "create"], &*options, &["filtered"]].concat()).await;
    // The folder is there as long as somebody has it mounted.
    let on_volume = |name: &str, user: &str| {
        let mounted = ["--user", user, "--volume", "filtered:/filtered"];
        ContainerSpec::idle(name).more(&mounted)
    };
    engine.run(&on_volume("proxy", "65534:105")).await;
    engine.exec("proxy", &["touch", "/filtered/docker.sock"]).await;
    engine.run(&on_volume("reprieve", "65534:65534")).await;
    assert_eq!(engine.exec("reprieve", &["ls", "/filtered"]).await.trim(), "docker.sock");
    engine.run(&on_volume("stranger", "1000:1000")).await;
    engine.try_docker(&["exec", "stranger", "ls", "/filtered"]).await.expect_err("not theirs");
}

#[tokio::test]
async fn the_calls_that_the_example_lets_through_are_those_that_are_made() {
    let Some(engine) = Engine::start().await else { return };
    engine.run(&ContainerSpec::agent("ws-1")).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let calls = Arc::new(Mutex::new(Calls::default()));
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(filter(listener, engine.socket(), Arc::clone(&calls)));

    let (events, _events) = mpsc::channel(64);
    let (discoveries, mut found) = mpsc::channel(64);
    let clock = Arc::new(HostClock::start());
    let state_dir = folder.path().join("state");
    let options = DockerOptions::new(socket, state_dir, clock, events, discoveries);
    let docker = Docker::connect(options).await.unwrap();
    docker.follow();
    let first = timeout(PATIENCE, found.recv()).await.unwrap().unwrap();
    assert!(matches!(&first, Discovery::Found(found) if found.id == ws()), "{first:?}");

    assert_eq!(docker.look(&ws()).await.unwrap().sighting.status, Status::Running);
    docker.restart(&order(1)).await.unwrap();
    docker.stop(&ws()).await.unwrap();
    assert_eq!(docker.look(&ws()).await.unwrap().sighting.status, Status::Stopped);
    docker.restart(&order(2)).await.unwrap();
    assert_eq!(calls.lock().refused, BTreeSet::new());

    engine.docker(&["rm", "--force", "ws-1"]).await;
    assert_eq!(docker.look(&ws()).await.unwrap().sighting.status, Status::Missing);
    let restored = docker.restart(&order(3)).await;
    assert!(matches!(restored, Err(RestartFailure::Refused { .. })), "{restored:?}");
    docker.shutdown().await;

    let calls = calls.lock();
    assert_eq!(calls.refused, BTreeSet::from(["POST /containers/create".to_owned()]));
    for call in calls.passed.iter().chain(&calls.refused) {
        let (method, path) = call.split_once(' ').unwrap();
        let last = path.rsplit_once('/').map_or(path, |(_, last)| last);
        let is_named = README.contains(&format!("`{method} {path}`"))
            || method == "POST" && README.contains(&format!("`/{last}`"));
        assert!(is_named, "the README does not name {call}");
    }
}
