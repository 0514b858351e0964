//! The official A2A SDK, unmodified: its clients of both generations against our
//! agent and through the proxy, and its server as a workspace behind the proxy.
//!
//! `cargo xtask test` sets up the Python environments and names their folder in
//! `REPRIEVE_VENVS`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stderr, reason = "says what it skips")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use reprieve_core::{
    evidence::Status,
    ids::{LifeId, QueueId, Revision, WorkspaceId},
    incident::WorkspaceState,
    judgement::{ForwardFailure, RestartCause},
    ports::{Accepted, Probe as _, QueueRefusal, RestartOrder, Restarter as _},
    queue::{Item, NewItem},
    time::Millis,
};
use reprieve_server::{
    backend::process::{Output, ProcessSpec, Processes, ProcessesOptions},
    clock::HostClock,
    proxy::{
        ProxyOptions,
        fleet::{Fleet, Heartbeat, Judged, Registration, ReportRefused, Route},
        router, serve,
    },
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    process::Command,
    sync::{mpsc, oneshot},
    time::{interval, timeout},
};

/// Python and its imports take seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const WORKSPACE: &str = "ws-1";
const TOKEN: &str = "token-of-ws-1-0123456789";
/// Client script, its environment, and how it names a completed task.
const CLIENTS: [(&str, &str, &str); 2] =
    [("client_v1.py", "v1", "TASK_STATE_COMPLETED"), ("client_v03.py", "v03", "completed")];

/// One child process and nothing that judges: no forward may fail here.
struct OneWorkspace {
    processes: Processes,
    beats: Mutex<Vec<(Option<String>, Heartbeat)>>,
}

#[async_trait]
impl Fleet for OneWorkspace {
    fn route(&self, workspace: &WorkspaceId) -> Option<Route> {
        let run = self.processes.run(workspace)?;
        Some(Route {
            tenant: "default".parse().unwrap(),
            life: run.life,
            state: WorkspaceState::Online,
            address: Some(run.address),
            owned: true,
            queues_for_itself: false,
        })
    }

    async fn forward_failed(&self, _: &WorkspaceId, _: LifeId, failure: ForwardFailure) -> Judged {
        panic!("a forward failed: {failure:?}")
    }

    async fn preflight(&self, _: &WorkspaceId) -> Option<Judged> {
        None
    }

    fn answered(&self, _: &WorkspaceId, _: LifeId) {}

    fn newest_sign(&self, _: &WorkspaceId) -> Option<Millis> {
        None
    }

    async fn accept(&self, _: NewItem) -> Result<Accepted, QueueRefusal> {
        Err(QueueRefusal::Unavailable)
    }

    async fn item(&self, _: &QueueId) -> Result<Option<Item>, QueueRefusal> {
        Ok(None)
    }

    async fn wake(&self, _: &WorkspaceId) {}

    async fn register(
        &self,
        _: &WorkspaceId,
        _: Option<&str>,
        _: Registration,
    ) -> Result<(), ReportRefused> {
        Ok(())
    }

    async fn heartbeat(
        &self,
        _: &WorkspaceId,
        token: Option<&str>,
        heartbeat: Heartbeat,
    ) -> Result<(), ReportRefused> {
        self.beats.lock().push((token.map(str::to_owned), heartbeat));
        Ok(())
    }
}

/// The proxy over TCP in front of one real child process.
struct Stand {
    fleet: Arc<OneWorkspace>,
    /// Through the proxy.
    base: String,
    /// Past it.
    direct: String,
    stop: oneshot::Sender<()>,
    _state: tempfile::TempDir,
}

impl Stand {
    async fn start(command: Vec<String>) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = format!("http://{}", listener.local_addr()?);
        let workspace: WorkspaceId = WORKSPACE.parse()?;
        let mut spec = ProcessSpec::new(workspace.clone(), command);
        spec.output = Output::Inherit;
        spec.env.insert("REPRIEVE_URL".to_owned(), proxy.clone());
        spec.env.insert("REPRIEVE_TOKEN".to_owned(), TOKEN.to_owned());

        let (events, _) = mpsc::channel(8);
        let clock = Arc::new(HostClock::start());
        let mut options = ProcessesOptions::new(state.path().to_owned(), clock, events);
        options.trampoline = reprieve();
        let processes = Processes::open(options, vec![spec]).await?;
        let order = RestartOrder {
            workspace: workspace.clone(),
            life: LifeId(1),
            cause: RestartCause::Operator,
            revision: Revision(0),
        };
        let started = processes.restart(&order).await?;
        until_it_listens(&processes, &workspace).await?;

        let fleet = Arc::new(OneWorkspace { processes, beats: Mutex::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = router(fleet.clone(), ProxyOptions::default());
        tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, routes, &ProxyOptions::default(), stopped).await
        });
        Ok(Self {
            fleet,
            base: format!("{proxy}/workspaces/{WORKSPACE}"),
            direct: started.address.map(|url| url.to_string()).unwrap_or_default(),
            stop,
            _state: state,
        })
    }

    async fn end(self) {
        self.fleet.processes.shutdown().await;
        let _ = self.stop.send(());
    }
}

/// A Python program tells nobody when it listens: only looking helps.
async fn until_it_listens(processes: &Processes, workspace: &WorkspaceId) -> anyhow::Result<()> {
    let mut looks = interval(LOOK_EVERY);
    let listens = async {
        loop {
            looks.tick().await;
            let look = processes.look(workspace).await?;
            match look.sighting.status {
                Status::Starting => {}
                Status::Running => return Ok(()),
                status => anyhow::bail!("it is {status:?}"),
            }
        }
    };
    timeout(PATIENCE, listens).await?
}

/// The binary that cargo built beside this test.
fn reprieve() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("reprieve");
    assert!(binary.exists(), "{} is missing: cargo build --bin reprieve", binary.display());
    binary
}

fn agent() -> Vec<String> {
    [reprieve().to_str().unwrap(), "agent"].map(str::to_owned).to_vec()
}

fn script(name: &str) -> String {
    format!("{}/a2a/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// None: this run has no Python environments, and says so.
fn venvs() -> Option<PathBuf> {
    let folder = std::env::var_os("REPRIEVE_VENVS").map(PathBuf::from);
    assert!(
        folder.is_some() || std::env::var_os("CI").is_none(),
        "in CI nothing is skipped: run `cargo xtask test`"
    );
    if folder.is_none() {
        eprintln!("skipped: REPRIEVE_VENVS is not set; `cargo xtask test` sets it");
    }
    folder
}

fn python(venvs: &Path, venv: &str) -> PathBuf {
    venvs.join(venv).join("bin/python")
}

/// What the official client was told.
async fn ask(venvs: &Path, (client, venv, _): (&str, &str, &str), base: &str) -> Value {
    let command =
        Command::new(python(venvs, venv)).arg(script(client)).arg(base).kill_on_drop(true).output();
    let output = timeout(PATIENCE, command).await.expect("the client ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client} at {base}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_told(case: &str, told: &Value, name: &str, base: &str, completed: &str) {
    assert_eq!(told["card"]["name"], name, "{case}: {told}");
    let urls = told["card"]["urls"].as_array().unwrap();
    assert!(!urls.is_empty(), "{case}: {told}");
    for url in urls {
        assert!(url.as_str().unwrap().starts_with(base), "{case}: {url} is not below {base}");
    }
    assert_eq!(told["send"]["answer"], "PONG", "{case}: {told}");
    assert_eq!(told["stream"]["answer"], "one two three", "{case}: {told}");
    assert!(told["stream"]["events"].as_array().unwrap().len() > 3, "{case}: {told}");
    for call in ["send", "stream", "get"] {
        assert_eq!(told[call]["state"], completed, "{case}: {call}: {told}");
    }
    assert_eq!(told["get"]["task"], told["send"]["task"], "{case}: {told}");
}

#[tokio::test]
async fn the_official_clients_talk_to_our_agent_directly_and_through_the_proxy() {
    let Some(venvs) = venvs() else { return };
    let stand = Stand::start(agent()).await.unwrap();
    for client in CLIENTS {
        for base in [&stand.direct, &stand.base] {
            let told = ask(&venvs, client, base).await;
            assert_told(&format!("{} at {base}", client.0), &told, WORKSPACE, base, client.2);
        }
    }
    stand.end().await;
}

#[tokio::test]
async fn the_official_clients_talk_to_the_official_server_through_the_proxy() {
    let Some(venvs) = venvs() else { return };
    let server = [python(&venvs, "v1").to_str().unwrap().to_owned(), script("server_v1.py")];
    let stand = Stand::start(server.to_vec()).await.unwrap();
    for client in CLIENTS {
        let told = ask(&venvs, client, &stand.base).await;
        assert_told(client.0, &told, "official-echo", &stand.base, client.2);
    }
    stand.end().await;
}

#[tokio::test]
async fn our_agent_beats_through_the_proxy_with_its_token_and_life() {
    let stand = Stand::start(agent()).await.unwrap();
    let mut looks = interval(LOOK_EVERY);
    let beaten = async {
        while stand.fleet.beats.lock().is_empty() {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, beaten).await.expect("it beats");
    let (token, beat) = stand.fleet.beats.lock()[0].clone();
    assert_eq!(token.as_deref(), Some(TOKEN));
    assert_eq!(beat.life, Some(LifeId(1)));
    assert!(beat.spare_capacity.is_some_and(|spare| spare > 0), "{beat:?}");
    stand.end().await;
}
