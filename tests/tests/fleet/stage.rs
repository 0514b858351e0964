//! A fleet of labelled containers, and the host that watches over it.

use std::{collections::BTreeMap, net::TcpListener, path::Path, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use reprieve_core::incident::WorkspaceState;
use reprieve_server::{
    config::{Config, policy::PolicySource},
    wiring::{Host, HostOptions},
};
use reprieve_tests::engine::{ContainerSpec, Engine};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

/// For whatever a test waits for: two cores serve several Engines at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const TOKEN: &str = "a-token-of-the-fleet";

type Http = Client<HttpConnector, Full<Bytes>>;

pub(crate) struct Fleet {
    pub(crate) engine: Engine,
    pub(crate) host: Host,
    pub(crate) names: Vec<String>,
    /// Of the host, as callers and containers reach it.
    pub(crate) url: String,
    http: Http,
    _state: tempfile::TempDir,
}

/// What a caller got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Fleet {
    /// Starts so many agents in containers, then the host, and waits until all
    /// have settled. None: this run has no Engine.
    pub(crate) async fn set(agents: u32, policy: &str, settings: &str) -> Option<Self> {
        let engine = Engine::start().await?;
        let port = free_port(&engine);
        let url = format!("http://{}:{port}", engine.host_ip());
        let names: Vec<String> = (1..=agents).map(|number| format!("ws-{number}")).collect();
        for name in &names {
            engine.run(&agent(name, &url)).await;
        }
        let state = tempfile::tempdir().unwrap();
        let config = format!(
            "[proxy]\nlisten = \"{}:{port}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [docker]\nenabled = true\nsocket = \"{}\"\n[policy.settings]\n{settings}",
            engine.host_ip(),
            engine.socket().display()
        );
        let config = Config::parse("the test's configuration", &config).unwrap();
        let policy = PolicySource::choose(Some(Path::new(policy)), &config);
        let host = Host::start(HostOptions {
            config,
            policy,
            state_dir: state.path().to_owned(),
            try_it: false,
            wrap_probe: None,
        });
        let host = host.await.unwrap();
        let http = Client::builder(TokioExecutor::new()).build_http();
        let fleet = Self { engine, host, names, url, http, _state: state };
        fleet.until("every agent has settled", || fleet.are_online()).await;
        Some(fleet)
    }

    pub(crate) async fn end(self) {
        self.host.shutdown().await;
    }

    pub(crate) async fn until<F: Future<Output = bool>>(
        &self,
        what: &str,
        mut is_so: impl FnMut() -> F,
    ) {
        let mut look = interval(LOOK_EVERY);
        let waited = timeout(PATIENCE, async {
            while !is_so().await {
                look.tick().await;
            }
        });
        if waited.await.is_err() {
            let statuses = self.host.supervisor.statuses().await;
            let counts = self.host.supervisor.tally().counts();
            panic!("not within {PATIENCE:?}: {what}\n{statuses:#?}\n{counts:#?}");
        }
    }

    pub(crate) async fn are_online(&self) -> bool {
        let statuses = self.host.supervisor.statuses().await;
        statuses.len() == self.names.len()
            && statuses.iter().all(|status| status.state == WorkspaceState::Online)
    }

    pub(crate) async fn state_of(&self, name: &str) -> Option<WorkspaceState> {
        Some(self.host.supervisor.status(&name.parse().unwrap()).await?.state)
    }

    /// Which run each container is in: its id, and when that run began.
    pub(crate) async fn runs(&self) -> BTreeMap<String, String> {
        let format = "{{.Name}} {{.Id}} {{.State.StartedAt}}";
        let names = self.names.iter().map(String::as_str);
        let args: Vec<&str> = ["inspect", "--format", format].into_iter().chain(names).collect();
        let shown = self.engine.docker(&args).await;
        let run = |line: &str| {
            let (name, run) = line.trim_start_matches('/').split_once(' ').unwrap();
            (name.to_owned(), run.to_owned())
        };
        shown.lines().map(run).collect()
    }

    /// Every agent that runs now, and since when none of them was started anew.
    pub(crate) async fn are_all_running(&self) -> bool {
        let shown = self.engine.try_docker(&["ps", "--format", "{{.Names}}"]).await;
        shown.is_ok_and(|shown| shown.lines().count() == self.names.len())
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.host.supervisor.tally().restarts()
    }

    pub(crate) async fn ping(&self, name: &str) -> Got {
        self.send(
            Method::POST,
            &format!("{name}/a2a"),
            &json!({"parts": [{"kind": "text", "text": "ping"}]}),
        )
        .await
    }

    /// A request to every agent at once.
    pub(crate) async fn ping_all(&self) -> Vec<Got> {
        join_all(self.names.iter().map(|name| self.ping(name))).await
    }

    /// Makes an agent misbehave; see `reprieve agent --help`.
    pub(crate) async fn switch(&self, name: &str, change: &Value) {
        let got = self.send(Method::POST, &format!("{name}/switch"), change).await;
        assert!(got.status.is_success(), "{name} was not switched: {got:?}");
    }

    /// Makes an agent answer again, if it is there: one that is started anew does.
    pub(crate) async fn relieve(&self, name: &str) {
        let change = json!({"close_early": false});
        self.send(Method::POST, &format!("{name}/switch"), &change).await;
    }

    /// The answer to a request that was queued, once it has one.
    pub(crate) async fn is_delivered(&self, name: &str, queued: &Got) -> bool {
        let id = queued.body["queue_id"].as_str().unwrap();
        let item = self.send(Method::GET, &format!("{name}/queue/{id}"), &Value::Null).await;
        item.body["state"] == "delivered"
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Got {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/workspaces/{path}", self.url))
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))
            .unwrap();
        let exchange = async {
            let answer = self.http.request(request).await.expect("the host answers");
            let status = answer.status();
            let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
            Got { status, body: serde_json::from_slice(&body).unwrap_or_default() }
        };
        timeout(PATIENCE, exchange).await.expect("an answer")
    }
}

impl Got {
    pub(crate) fn is_queued(&self) -> bool {
        self.status == StatusCode::ACCEPTED
    }
}

/// An agent that reports to the host at `url`.
pub(crate) fn agent(name: &str, url: &str) -> ContainerSpec {
    ContainerSpec::agent(name)
        .env("REPRIEVE_URL", url)
        .env("REPRIEVE_TOKEN", TOKEN)
        .arg("--beat-every-ms")
        .arg("1000")
}

/// The containers must know it before the host listens there.
fn free_port(engine: &Engine) -> u16 {
    TcpListener::bind((engine.host_ip(), 0)).unwrap().local_addr().unwrap().port()
}
