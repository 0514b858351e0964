//! `reprieve run`, as a process of its own with children of its own.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::{interval, timeout},
};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// In the environment of every child of one program, and of no other's.
const MARK: &str = "REPRIEVE_TESTS_MARK";

/// This build's `reprieve`, beside the tests that run.
pub fn reprieve() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let binary = test.parent().and_then(Path::parent).expect("a target folder").join("reprieve");
    assert!(binary.exists(), "{} is missing: cargo build --bin reprieve", binary.display());
    binary
}

/// Runs a command to its end: its exit code, and what it prints on both streams.
pub fn outcome_of(command: &mut std::process::Command) -> (i32, String) {
    let output = command.output().expect("the command starts");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).expect("it prints text");
    (output.status.code().expect("no signal ends it"), told)
}

/// A configuration, a state folder and ports, for hosts that come and go.
pub struct Program {
    state: tempfile::TempDir,
    base: String,
    admin: String,
    mark: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// A host that runs. Killed when it is dropped.
pub struct Running(Child);

impl Program {
    /// `config`: the policy's settings and the workspaces. Where it listens is
    /// added.
    pub fn new(config: &str) -> Self {
        let [proxy, admin] = [free_port(), free_port()];
        let mark = format!("{proxy}-{}", std::process::id());
        let state = tempfile::tempdir().unwrap();
        let config = format!(
            "proxy.listen = \"127.0.0.1:{proxy}\"\nadmin.listen = \"127.0.0.1:{admin}\"\n\
             log.level = \"warn\"\n{config}"
        );
        std::fs::write(state.path().join("reprieve.toml"), config).unwrap();
        let http = Client::builder(TokioExecutor::new()).build_http();
        let base = format!("http://127.0.0.1:{proxy}/workspaces");
        Self { state, base, admin: format!("http://127.0.0.1:{admin}"), mark, http }
    }

    /// Of the state and the configuration.
    pub fn folder(&self) -> &Path {
        self.state.path()
    }

    pub fn start(&self) -> Running {
        let mut command = Command::new(reprieve());
        command.arg("run").arg("--config").arg(self.state.path().join("reprieve.toml"));
        command.arg("--state-dir").arg(self.state.path()).env(MARK, &self.mark);
        Running(command.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap())
    }

    /// Where callers connect to.
    pub fn proxy(&self) -> &str {
        self.base.trim_start_matches("http://").trim_end_matches("/workspaces")
    }

    /// The operator's listener.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// The host's own token, once it has run.
    pub fn admin_token(&self) -> String {
        std::fs::read_to_string(self.state.path().join("admin.token")).unwrap()
    }

    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// None: no host answers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Option<(StatusCode, Value)> {
        self.send_with(method, path, &[], body).await
    }

    /// The same, with headers of the caller's. None: no host answers.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Option<(StatusCode, Value)> {
        let mut request = Request::builder().method(method).uri(format!("{}/{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.exchange(request, body).await
    }

    /// Asks the operator's listener, with its token. None: no host answers.
    pub async fn ask_operator(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: &Value,
    ) -> Option<(StatusCode, Value)> {
        let token = std::fs::read_to_string(self.state.path().join("admin.token")).ok()?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/admin/v1/{path}", self.admin))
            .header("authorization", format!("Bearer {}", token.trim()));
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        self.exchange(request, body).await
    }

    /// Asks the operator's listener what needs no token. None: no host answers.
    pub async fn health(&self, path: &str) -> Option<(StatusCode, String)> {
        let request = Request::builder().uri(format!("{}/admin/v1/{path}", self.admin));
        let exchange = async {
            let answer = self.http.request(request.body(Full::default()).unwrap()).await.ok()?;
            let status = answer.status();
            let body = answer.into_body().collect().await.ok()?.to_bytes();
            Some((status, String::from_utf8_lossy(&body).into_owned()))
        };
        timeout(PATIENCE, exchange).await.expect("an answer or an end within a minute")
    }

    async fn exchange(
        &self,
        request: http::request::Builder,
        body: &Value,
    ) -> Option<(StatusCode, Value)> {
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::from(body.to_string())).unwrap();
        let exchange = async {
            let answer = self.http.request(request).await.ok()?;
            let status = answer.status();
            let body = answer.into_body().collect().await.ok()?.to_bytes();
            Some((status, serde_json::from_slice(&body).unwrap_or_default()))
        };
        timeout(PATIENCE, exchange).await.expect("an answer or an end within a minute")
    }

    /// A host answers.
    pub async fn until_up(&self) {
        let answers =
            || async { self.send(Method::GET, "nobody/queue/none", &Value::Null).await.is_some() };
        self.until("the host comes up", answers).await;
    }

    pub async fn until<F: Future<Output = bool>>(&self, what: &str, mut is_so: impl FnMut() -> F) {
        let mut look = interval(LOOK_EVERY);
        let waited = timeout(PATIENCE, async {
            while !is_so().await {
                look.tick().await;
            }
        });
        assert!(waited.await.is_ok(), "not within {PATIENCE:?}: {what}");
    }

    /// The processes of every workspace, of whichever host's making.
    pub fn children(&self) -> BTreeMap<String, Vec<u32>> {
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

impl Running {
    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.0.kill().await.unwrap();
    }

    /// SIGTERM.
    pub fn tell_to_stop(&self) {
        let pid = Pid::from_raw(self.0.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// How it ends.
    pub async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.0.wait()).await.expect("it ends").unwrap()
    }

    /// SIGTERM, and it ends well.
    pub async fn end(mut self) {
        self.tell_to_stop();
        let status = self.ended().await;
        assert!(status.success(), "{status}");
    }
}

/// None: it is no child of this test, or a zombie.
fn workspace_of(process: &Path, mark: &str) -> Option<String> {
    let environment = std::fs::read(process.join("environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment);
    let of = |name: &str| {
        environment.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    (of(MARK)? == mark).then(|| of("REPRIEVE_WORKSPACE").map(str::to_owned))?
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
