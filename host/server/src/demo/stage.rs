//! A host with real agents for a story.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use http::Method;
use reprieve_core::{ids::WorkspaceId, time::Millis};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use url::Url;

use super::{
    Story,
    faults::{Faults, FaultyProbe},
    http::{Got, Http},
    timeline::Timeline,
};
use crate::{
    config::{Config, policy::PolicySource},
    proxy::Fleet as _,
    wiring::{Host, HostOptions},
};

/// A tenth of the default policy's windows; see `policy/src/settings.rs`.
pub(super) const SETTLE: Duration = Duration::from_secs(6);
const SETTINGS: &str = r#"
[policy.settings]
settle = "6s"
recent_heartbeat = "1500ms"
recent_heartbeat_max = "6s"
reprobe_delay = "200ms"
restart_debounce = "6s"
liveness_ttl = "18s"
busy_retry_after = "3s"
"#;

/// From start to listening, where an agent is slow: a tenth of the half minute
/// that a cloud instance takes.
pub(super) const SLOW_BOOT: Duration = Duration::from_millis(2_500);

/// A sign no older than this is of an agent that beats, every 500 ms, now.
const FRESH: Millis = Millis(600);

/// Shown in the reports of the story's workspaces.
const TOKEN: &str = "a-token-of-the-demo-workspaces";

/// Steps of 100 ms in which something that is to come may come.
const PATIENCE_STEPS: u32 = 400;

pub(super) struct Stage {
    host: Host,
    pub(super) faults: Arc<Faults>,
    http: Http,
    proxy: Url,
    events: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Stage {
    /// Starts the host and waits until every workspace has long settled.
    pub(super) async fn set(
        story: Story,
        workspaces: u32,
        policy: Option<&Path>,
        timeline: &Timeline,
    ) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("reprieve-demo-")?;
        let mut config = configuration(story, workspaces, true)?;
        let source = PolicySource::choose(policy, &config);
        if !source.name().starts_with("default") {
            // Windows of its own day.
            config = configuration(story, workspaces, false)?;
        }
        let faults = Arc::new(Faults::default());
        let between = Arc::clone(&faults);
        let host = Host::start(HostOptions {
            config,
            policy: source,
            state_dir: folder.path().to_owned(),
            try_it: false,
            wrap_probe: Some(Box::new(|truth| Arc::new(FaultyProbe { faults: between, truth }))),
        })
        .await?;
        let proxy = Url::parse(&format!("http://{}/", host.proxy))?;
        let mut stage =
            Self { host, faults, http: Http::new(), proxy, events: None, _folder: folder };
        timeline.tell("", &format!("{workspaces} agents start, policy {}", stage.policy()))?;
        for number in 1..=workspaces {
            let signed = stage.until(|stage| stage.newest_sign(number).is_some()).await;
            if !signed {
                bail!("{} gave no sign of life within 40 s", ws(number));
            }
        }
        tokio::time::sleep(SETTLE + Duration::from_secs(1)).await;
        timeline.tell("", "all have settled; the story begins")?;
        stage.events = Some(follow(&stage.host, timeline.clone()));
        Ok(stage)
    }

    pub(super) fn policy(&self) -> String {
        self.host.policy.clone()
    }

    /// A caller's request.
    pub(super) async fn ping(&self, number: u32) -> anyhow::Result<Got> {
        let message = json!({
            "method": "message/send",
            "params": {"message": {"role": "user", "parts": [{"kind": "text", "text": "ping"}]}},
        });
        self.send(Method::POST, number, "/a2a", None, &message).await
    }

    /// Makes the agent misbehave; see `reprieve agent --help`.
    pub(super) async fn switch(&self, number: u32, change: &Value) -> anyhow::Result<()> {
        self.send(Method::POST, number, "/switch", None, change).await.map(drop)
    }

    /// The workspace's settings change.
    pub(super) async fn revise(&self, number: u32, revision: u64) -> anyhow::Result<()> {
        let registration = json!({ "revision": revision });
        let got = self.send(Method::PUT, number, "", Some(TOKEN), &registration).await?;
        if !got.status.is_success() {
            bail!("the registration was not taken: {} {}", got.status, got.body);
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        number: u32,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<Got> {
        let url = self.proxy.join(&format!("workspaces/{}{path}", ws(number)))?;
        self.http.send(method, url, token, body).await
    }

    /// How long ago the workspace gave a sign of life.
    pub(super) fn newest_sign(&self, number: u32) -> Option<Millis> {
        self.host.supervisor.newest_sign(&ws(number))
    }

    /// Waits until a workspace that was restarted beats again, without asking
    /// it: to some policies a request that fails is a death.
    pub(super) async fn until_back(&self, number: u32) -> bool {
        tokio::time::sleep(SLOW_BOOT).await;
        self.until(|stage| stage.newest_sign(number).is_some_and(|age| age <= FRESH)).await
    }

    /// Asks until the workspace answers.
    pub(super) async fn until_answered(&self, number: u32) -> anyhow::Result<()> {
        for _ in 0..PATIENCE_STEPS {
            if self.ping(number).await?.is_answered() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{} did not answer within 40 s", ws(number))
    }

    /// Waits until `what` holds; whether it came to hold.
    pub(super) async fn until(&self, what: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..PATIENCE_STEPS {
            if what(self) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// Ends the process, as the kernel's out-of-memory killer would.
    pub(super) fn kill(&self, number: u32) -> anyhow::Result<()> {
        let pids = self.pids();
        let pid = pids.get(&ws(number)).context("it runs")?;
        let pid = i32::try_from(*pid).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("a pid")?, rustix::process::Signal::KILL)?;
        Ok(())
    }

    pub(super) fn pids(&self) -> BTreeMap<WorkspaceId, u32> {
        self.host.pids()
    }

    /// Restarts begun since the host started, the first starts among them.
    pub(super) fn starts(&self) -> u64 {
        self.host.supervisor.tally().restarts()
    }

    pub(super) fn delivered(&self) -> u64 {
        self.host.supervisor.tally().counts().delivered
    }

    pub(super) async fn strike(self) {
        if let Some(events) = &self.events {
            events.abort();
        }
        self.host.shutdown().await;
    }
}

/// Writes what the host does into the timeline.
fn follow(host: &Host, timeline: Timeline) -> JoinHandle<()> {
    let mut events = host.supervisor.events();
    tokio::spawn(async move {
        // Ends with the host, or when nobody reads the timeline any more.
        while let Ok(event) = events.recv().await {
            if timeline.host(event.workspace.as_str(), &event.what).is_err() {
                return;
            }
        }
    })
}

pub(super) fn ws(number: u32) -> WorkspaceId {
    match format!("ws-{number}").parse() {
        Ok(id) => id,
        Err(_) => unreachable!("a number makes a valid name"),
    }
}

fn configuration(story: Story, workspaces: u32, scaled: bool) -> anyhow::Result<Config> {
    let boot_ms = match story {
        Story::OneChangeFourRestarts => SLOW_BOOT.as_millis(),
        Story::SixContainers | Story::FalseAfterPong => 0,
    };
    let mut text = String::from(
        "[proxy]\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"3s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
    );
    if scaled {
        text.push_str(SETTINGS);
    }
    for number in 1..=workspaces {
        text.push_str(&format!(
            "[workspaces.{}]\ncommand = [\"{{reprieve}}\", \"agent\", \"--beat-every-ms\", \"500\", \
             \"--boot-ms\", \"{boot_ms}\"]\nstop_grace = \"1s\"\ntoken = \"{TOKEN}\"\n",
            ws(number)
        ));
    }
    Ok(Config::parse("the demo's configuration", &text)?)
}
