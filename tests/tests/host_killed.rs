//! The host is killed (`kill -9`) at random moments under load, and comes back:
//! nothing that it accepted is lost, no workspace has a second child, and nobody
//! is left behind.
//!
//! A failing run prints its seed; `REPRIEVE_SEED` plays it again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stderr, reason = "tells the seed")]

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::{Instant, interval, sleep_until, timeout},
};

const KILLS: u32 = 50;
const WORKSPACES: [&str; 2] = ["ws-1", "ws-2"];
const CALLERS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

type Http = Client<HttpConnector, Full<Bytes>>;

struct Stage {
    state: tempfile::TempDir,
    base: String,
    /// In the environment of every child of this test.
    mark: String,
    http: Http,
}

impl Stage {
    fn set() -> Self {
        let [proxy, admin] = [free_port(), free_port()];
        let mark = format!("mark-{proxy}-{}", std::process::id());
        let state = tempfile::tempdir().unwrap();
        let mut config = format!(
            "[proxy]\nlisten = \"127.0.0.1:{proxy}\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [policy.settings]\nsettle = \"300ms\"\nrestart_debounce = \"300ms\"\n\
             reprobe_delay = \"100ms\"\n[log]\nlevel = \"warn\"\n"
        );
        for workspace in WORKSPACES {
            config.push_str(&format!(
                "[workspaces.{workspace}]\ncommand = [\"{{reprieve}}\", \"agent\", \
                 \"--beat-every-ms\", \"100\"]\nenv = {{ MARK = \"{mark}\" }}\n\
                 stop_grace = \"1s\"\n"
            ));
        }
        std::fs::write(state.path().join("reprieve.toml"), config).unwrap();
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { state, base: format!("http://127.0.0.1:{proxy}/workspaces"), mark, http }
    }

    fn start(&self) -> Child {
        Command::new(reprieve())
            .arg("run")
            .arg("--config")
            .arg(self.state.path().join("reprieve.toml"))
            .arg("--state-dir")
            .arg(self.state.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// None: no host answers.
    async fn send(&self, method: Method, path: &str, body: &Value) -> Option<(StatusCode, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))
            .unwrap();
        let exchange = async {
            let answer = self.http.request(request).await.ok()?;
            let status = answer.status();
            let body = answer.into_body().collect().await.ok()?.to_bytes();
            Some((status, serde_json::from_slice(&body).unwrap_or_default()))
        };
        timeout(PATIENCE, exchange).await.expect("an answer or an end within a minute")
    }

    async fn until_up(&self) {
        let mut look = interval(LOOK_EVERY);
        let up = async {
            loop {
                look.tick().await;
                if self.send(Method::GET, "nobody/queue/none", &Value::Null).await.is_some() {
                    return;
                }
            }
        };
        timeout(PATIENCE, up).await.expect("the host comes up");
    }

    /// Every living child of this test, by workspace.
    fn children(&self) -> BTreeMap<String, Vec<u32>> {
        let mut children = BTreeMap::<_, Vec<u32>>::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            if let Some(workspace) = workspace_of(&entry.path(), &self.mark) {
                children.entry(workspace).or_default().push(pid);
            }
        }
        children
    }
}

/// None: it is no child of this test, or a zombie.
fn workspace_of(process: &Path, mark: &str) -> Option<String> {
    let environment = std::fs::read(process.join("environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment);
    let of = |name: &str| {
        environment.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    (of("MARK")? == mark).then(|| of("REPRIEVE_WORKSPACE").map(str::to_owned))?
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn reprieve() -> std::path::PathBuf {
    let here = std::env::current_exe().unwrap();
    here.parent().and_then(Path::parent).unwrap().join("reprieve")
}

/// What a caller was promised with a 202.
#[derive(Clone, Debug)]
struct Promise {
    workspace: &'static str,
    queue_id: String,
}

/// Sends requests until told to stop; keeps every promise that came whole.
async fn call(
    stage: Arc<Stage>,
    number: u32,
    seed: u64,
    stop: Arc<AtomicBool>,
    promises: Arc<Mutex<Vec<Promise>>>,
) {
    let mut dice = StdRng::seed_from_u64(seed ^ u64::from(number));
    let mut pace = interval(LOOK_EVERY);
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        pace.tick().await;
        let workspace = WORKSPACES[dice.random_range(0..WORKSPACES.len())];
        if dice.random_ratio(1, 8) {
            let change = json!({ "close_early": dice.random_bool(0.6) });
            stage.send(Method::POST, &format!("{workspace}/switch"), &change).await;
        }
        sent += 1;
        let text = format!("caller {number}, request {sent}");
        let message = json!({"method": "message/send", "params": {"message": {
            "role": "user", "messageId": format!("m-{number}-{sent}"),
            "parts": [{"kind": "text", "text": text}],
        }}});
        let answer = stage.send(Method::POST, &format!("{workspace}/a2a"), &message).await;
        if let Some((StatusCode::ACCEPTED, body)) = answer {
            let queue_id = body["queue_id"].as_str().expect("a 202 names its item").to_owned();
            promises.lock().push(Promise { workspace, queue_id });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_of_the_host_lose_nothing_and_leave_nobody() {
    let seed = std::env::var("REPRIEVE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("REPRIEVE_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let stage = Arc::new(Stage::set());
    let (stop, promises) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (stop, promises) = (Arc::clone(&stop), Arc::clone(&promises));
            tokio::spawn(call(Arc::clone(&stage), number, seed, stop, promises))
        })
        .collect();

    for kill in 0..KILLS {
        let mut host = stage.start();
        // Some are killed while they start, most under load.
        if dice.random_ratio(4, 5) {
            stage.until_up().await;
        }
        let moment = Duration::from_millis(dice.random_range(0..400));
        sleep_until(Instant::now() + moment).await;
        host.kill().await.unwrap();
        for (workspace, pids) in stage.children() {
            assert!(pids.len() <= 1, "kill {kill}: {workspace} has children {pids:?}");
        }
    }

    stop.store(true, Ordering::SeqCst);
    let host = stage.start();
    stage.until_up().await;
    for caller in callers {
        caller.await.unwrap();
    }
    let promises = promises.lock().clone();
    assert!(promises.len() > 20, "only {} requests were queued: no load", promises.len());
    all_end(&stage, &promises).await;
    end(host).await;
    assert_eq!(stage.children(), BTreeMap::new(), "nobody is left behind");
}

/// Every promise is kept: delivered, or dropped with a reason on record.
async fn all_end(stage: &Stage, promises: &[Promise]) {
    for workspace in WORKSPACES {
        let calm = json!({"close_early": false});
        stage.send(Method::POST, &format!("{workspace}/switch"), &calm).await;
    }
    let mut states = BTreeMap::<String, usize>::new();
    for Promise { workspace, queue_id } in promises {
        let path = format!("{workspace}/queue/{queue_id}");
        let mut look = interval(LOOK_EVERY);
        let ended = async {
            loop {
                look.tick().await;
                let (status, item) = stage.send(Method::GET, &path, &Value::Null).await.unwrap();
                assert_eq!(status, StatusCode::OK, "{queue_id} was accepted and is gone: {item}");
                match item["state"].as_str().unwrap() {
                    "delivered" => return "delivered".to_owned(),
                    "dropped" => return format!("dropped: {}", item["reason"].as_str().unwrap()),
                    _ => {}
                }
            }
        };
        let state = timeout(Duration::from_secs(400), ended).await.expect("every item ends");
        *states.entry(state).or_default() += 1;
    }
    eprintln!("{} promises: {states:?}", promises.len());
    assert!(states.contains_key("delivered"), "{states:?}");
}

async fn end(mut host: Child) {
    let pid = rustix::process::Pid::from_raw(host.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = timeout(PATIENCE, host.wait()).await.expect("it ends").unwrap();
    assert!(status.success(), "{status}");
}
