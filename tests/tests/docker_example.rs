//! The example for Docker Compose: what its proxy lets through is what the
//! backend calls, on a real Engine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
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
use reprieve_tests::engine::{ContainerSpec, Engine};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);
const COMPOSE: &str = include_str!("../../docs/examples/docker/compose.yaml");
const README: &str = include_str!("../../docs/examples/docker/README.md");
/// As it stands in the example: any name or id.
const ANY_NAME: &str = "[a-zA-Z0-9_.-]+";
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

/// `POST /containers/[a-zA-Z0-9_.-]+/(restart|start|stop)`, without the version.
fn allowed() -> Vec<(String, Vec<String>)> {
    let lines = COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("- -allow"));
    let rules = lines.map(|line| {
        let (method, pattern) = line.split_once('=').unwrap();
        let path = pattern.strip_prefix(r"(/v1\.\d+)?").unwrap_or(pattern);
        let path = path.strip_prefix(r"/v1\.\d+").unwrap_or(path);
        (method.to_owned(), path.split('/').map(str::to_owned).collect())
    });
    rules.collect()
}

fn fits(part: &str, rule: &str) -> bool {
    let one_of = rule.strip_prefix('(').and_then(|rule| rule.strip_suffix(')'));
    rule == ANY_NAME
        || rule == part
        || one_of.is_some_and(|names| names.split('|').any(|name| name == part))
}

/// What is called, as the README writes it: `GET /containers/{id}/json`.
fn shape(method: &str, path: &str) -> String {
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
    while let Ok((client, _)) = listener.accept().await {
        let (engine, calls) = (engine.clone(), Arc::clone(&calls));
        tokio::spawn(async move { pass_on(client, &engine, &calls).await });
    }
}

/// One request a connection.
async fn pass_on(
    mut client: UnixStream,
    engine: &Path,
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
    let path = match path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
        Some((_version, rest)) => format!("/{rest}"),
        None => path.to_owned(),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let is_allowed = allowed().iter().any(|(of, rule)| {
        of == method
            && rule.len() == parts.len()
            && parts.iter().zip(rule).all(|(part, rule)| fits(part, rule))
    });
    let call = shape(method, &path);
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
