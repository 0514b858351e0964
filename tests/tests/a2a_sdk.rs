//! The official A2A SDK, unmodified: its clients of both generations against our
//! agent and through the proxy, and its server as a workspace behind the proxy.
//!
//! `cargo xtask test` sets up the Python environments and names their folder in
//! `REPRIEVE_VENVS`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use reprieve_tests::{reprieve, venvs};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{interval, timeout},
};

/// Python and its imports take seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Client script, its environment, and how it names a completed task.
const CLIENTS: [(&str, &str, &str); 2] =
    [("client_v1.py", "v1", "TASK_STATE_COMPLETED"), ("client_v03.py", "v03", "completed")];

/// `reprieve run` with one workspace, `ws-1`.
struct Host {
    process: Child,
    /// Through the proxy.
    base: String,
    state: tempfile::TempDir,
}

impl Host {
    /// Once the workspace's card can be had.
    async fn start(command: &[&str]) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let config = state.path().join("reprieve.toml");
        std::fs::write(&config, configuration(command))?;
        let mut process = Command::new(reprieve())
            .args(["run", "--state-dir"])
            .arg(state.path())
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().expect("a piped stdout");
        let proxy = timeout(PATIENCE, address_in(stdout)).await??;
        let host = Self { process, base: format!("http://{proxy}/workspaces/ws-1"), state };
        timeout(PATIENCE, until_it_answers(&proxy)).await?;
        Ok(host)
    }

    /// Past the proxy.
    fn direct(&self) -> String {
        let record = std::fs::read(self.state.path().join("run/ws-1.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        record["address"].as_str().unwrap().to_owned()
    }

    /// As an operator would; its children end with it.
    async fn end(mut self) {
        let id = self.process.id().expect("it runs").cast_signed();
        let pid = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = timeout(PATIENCE, self.process.wait()).await.expect("it ends").unwrap();
        assert!(status.success(), "{status}");
    }
}

fn configuration(command: &[&str]) -> String {
    format!(
        "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [workspaces.ws-1]\ncommand = {command:?}\n"
    )
}

/// What the host prints for people: `proxy  http://127.0.0.1:1234/workspaces/…`.
async fn address_in(stdout: tokio::process::ChildStdout) -> anyhow::Result<String> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["proxy", url, ..] = words[..]
            && let Some(rest) = url.strip_prefix("http://")
            && let Some((address, _)) = rest.split_once('/')
        {
            // What it prints later must not stall it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address.to_owned());
        }
    }
    anyhow::bail!("the host ended before it named its address")
}

/// A Python program tells nobody when it listens: only asking helps.
async fn until_it_answers(proxy: &str) {
    let mut looks = interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        if card_status(proxy).await.is_ok_and(|status| status.contains(" 200 ")) {
            return;
        }
    }
}

async fn card_status(proxy: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(proxy).await?;
    let request = format!(
        "GET /workspaces/ws-1/.well-known/agent-card.json HTTP/1.1\r\n\
         host: {proxy}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// The binary that cargo built beside this test.
fn script(name: &str) -> String {
    format!("{}/a2a/{name}", env!("CARGO_MANIFEST_DIR"))
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
    let host = Host::start(&["{reprieve}", "agent"]).await.unwrap();
    for client in CLIENTS {
        for base in [&host.direct(), &host.base] {
            let told = ask(&venvs, client, base).await;
            assert_told(&format!("{} at {base}", client.0), &told, "ws-1", base, client.2);
        }
    }
    host.end().await;
}

#[tokio::test]
async fn the_official_clients_talk_to_the_official_server_through_the_proxy() {
    let Some(venvs) = venvs() else { return };
    let (python, server) = (python(&venvs, "v1"), script("server_v1.py"));
    let host = Host::start(&[python.to_str().unwrap(), &server]).await.unwrap();
    for client in CLIENTS {
        let told = ask(&venvs, client, &host.base).await;
        assert_told(client.0, &told, "official-echo", &host.base, client.2);
    }
    host.end().await;
}
