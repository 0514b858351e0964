//! `reprieve agent` as a real process, and every way in which it misbehaves.

use std::{
    io,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::timeout,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// For what must happen; a quiet machine needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what must not happen.
const A_WHILE: Duration = Duration::from_millis(150);

/// Ends with the test.
struct Agent {
    process: Child,
    address: SocketAddr,
}

impl Agent {
    /// On a port that the test found free, as soon as it says that it listens.
    async fn start(arguments: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_reprieve"))
            .args(["agent", "--port", &address.port().to_string()])
            .args(arguments)
            .env("RUST_LOG", "info")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = process.stderr.take().ok_or("no stderr")?;
        let mut lines = BufReader::new(said).lines();
        let listens = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("agent listens") {
                    // What it says later must not stall it.
                    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                    return Ok(());
                }
            }
            Err(io::Error::other("the agent ended before it listened"))
        };
        timeout(PATIENCE, listens).await??;
        Ok(Self { process, address })
    }

    /// The status and body of the answer.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> io::Result<(u16, String)> {
        self.ask_as(method, path, "", &body.to_string()).await
    }

    async fn ask_as(
        &self,
        method: &str,
        path: &str,
        header: &str,
        body: &str,
    ) -> io::Result<(u16, String)> {
        let answer = async {
            let mut stream = TcpStream::connect(self.address).await?;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: agent.test:1234\r\nconnection: close\r\n\
                 content-type: application/json\r\n{header}content-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        let answer: String = timeout(PATIENCE, answer).await.map_err(io::Error::other)??;
        let no_answer = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let status = answer.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(no_answer)?;
        let body = answer.split_once("\r\n\r\n").ok_or_else(no_answer)?.1.to_owned();
        Ok((status, body))
    }

    async fn ping(&self) -> io::Result<(u16, String)> {
        self.ask("POST", "/a2a", &ping()).await
    }

    async fn switch(&self, change: Value) -> Outcome {
        let (status, body) = self.ask("POST", "/switch", &change).await?;
        if status == 200 { Ok(()) } else { Err(body.into()) }
    }

    fn signal(&self, signal: Signal) -> Outcome {
        let id = self.process.id().ok_or("it has ended")?;
        let pid = Pid::from_raw(id.cast_signed()).ok_or("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    async fn ended(&mut self) -> Result<ExitStatus, Box<dyn std::error::Error>> {
        Ok(timeout(PATIENCE, self.process.wait()).await??)
    }
}

fn ping() -> Value {
    message("message/send", "ping")
}

fn message(method: &str, text: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": { "message": {
        "messageId": "m-1", "role": "user", "parts": [{ "kind": "text", "text": text }],
    }}})
}

fn assert_pong(case: &str, answer: io::Result<(u16, String)>) {
    let (status, body) = answer.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(status == 200 && body.contains("PONG"), "{case}: {status} {body}");
}

#[tokio::test]
async fn both_generations_are_answered_each_in_its_words() -> Outcome {
    let agent = Agent::start(&[]).await?;
    let v10 = "a2a-version: 1.0\r\n";
    for (case, header, request, state) in [
        ("0.3", "", message("message/send", "ping"), "/result/status/state:completed"),
        (
            "1.0",
            v10,
            message("SendMessage", "ping"),
            "/result/task/status/state:TASK_STATE_COMPLETED",
        ),
        ("1.0 method without its header", "", message("SendMessage", "x"), "/error/code:-32601"),
        (
            "0.3 method with the header of 1.0",
            v10,
            message("message/send", "x"),
            "/error/code:-32601",
        ),
        ("unknown version", "a2a-version: 9\r\n", ping(), "/error/code:-32009"),
        (
            "unknown task",
            "",
            json!({"jsonrpc": "2.0", "id": 7, "method": "tasks/get", "params": {"id": "x"}}),
            "/error/code:-32001",
        ),
        (
            "no message",
            "",
            json!({"jsonrpc": "2.0", "id": 7, "method": "message/send"}),
            "/error/code:-32602",
        ),
        ("no JSON-RPC", "", json!({"id": 7, "method": "message/send"}), "/error/code:-32600"),
    ] {
        let (status, body) = agent.ask_as("POST", "/", header, &request.to_string()).await?;
        let answer: Value = serde_json::from_str(&body)?;
        let (pointer, expected) = state.split_once(':').ok_or("a pointer")?;
        let found = answer.pointer(pointer).unwrap_or_else(|| panic!("{case}: {answer}"));
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!((status, found.as_str()), (200, expected), "{case}");
        assert_eq!(answer["id"], 7, "{case}");
    }
    let (_, body) = agent.ask_as("POST", "/", "", "{\"jsonrpc\":").await?;
    assert!(body.contains("-32700"), "{body}");
    Ok(())
}

#[tokio::test]
async fn a_stream_tells_the_task_its_answer_in_pieces_and_its_end() -> Outcome {
    let agent = Agent::start(&[]).await?;
    let request = message("message/stream", "one two").to_string();
    let (status, body) = agent.ask_as("POST", "/", "", &request).await?;
    assert_eq!(status, 200);
    let events: Vec<Value> = body
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    let kinds: Vec<&str> = events.iter().filter_map(|e| e["result"]["kind"].as_str()).collect();
    assert_eq!(
        kinds,
        ["task", "status-update", "artifact-update", "artifact-update", "status-update"]
    );
    assert_eq!(events[4]["result"]["final"], true);
    Ok(())
}

#[tokio::test]
async fn the_card_leads_to_where_it_was_found() -> Outcome {
    let agent = Agent::start(&["--name", "alpha"]).await?;
    for path in ["/.well-known/agent-card.json", "/.well-known/agent.json"] {
        let (status, body) = agent.ask("GET", path, &Value::Null).await?;
        let card: Value = serde_json::from_str(&body)?;
        assert_eq!((status, card["name"].as_str()), (200, Some("alpha")), "{path}");
        assert_eq!(card["url"], "http://agent.test:1234/", "{path}");
        assert_eq!(card["supportedInterfaces"][0]["url"], card["url"], "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn every_fault_can_be_switched_on_and_off() -> Outcome {
    use io::ErrorKind::{ConnectionReset, UnexpectedEof};
    let agent = Agent::start(&[]).await?;
    assert_pong("at first", agent.ping().await);
    for (switch, fault) in [("close_early", UnexpectedEof), ("reset", ConnectionReset)] {
        agent.switch(json!({ switch: true })).await?;
        let failed = agent.ping().await.map_err(|error| error.kind());
        assert_eq!(failed, Err(fault), "{switch}");
        agent.switch(json!({ switch: false })).await?;
        assert_pong(switch, agent.ping().await);
    }
    agent.switch(json!({ "busy": true })).await?;
    assert_eq!(agent.ping().await?.0, 503);
    agent.switch(json!({ "busy": false, "hang": true })).await?;
    assert!(timeout(A_WHILE, agent.ping()).await.is_err(), "a hanging agent answered");
    agent.switch(json!({ "hang": false, "late_ms": 150 })).await?;
    let asked = std::time::Instant::now();
    assert_pong("late", agent.ping().await);
    assert!(asked.elapsed() >= Duration::from_millis(150), "{:?}", asked.elapsed());
    let (status, body) = agent.ask("POST", "/switch", &json!({ "bussy": true })).await?;
    assert!(status == 422 && body.contains("bussy"), "{status} {body}");
    Ok(())
}

#[tokio::test]
async fn a_task_under_way_can_be_canceled_and_an_ended_one_not() -> Outcome {
    let agent = Agent::start(&["--late-ms", "60000"]).await?;
    let mut stream = TcpStream::connect(agent.address).await?;
    let body = message("message/stream", "ping").to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let first = loop {
        let line = timeout(PATIENCE, lines.next_line()).await??.ok_or("the stream ended")?;
        if let Some(event) = line.strip_prefix("data: ") {
            break serde_json::from_str::<Value>(event)?;
        }
    };
    let id = &first["result"]["id"];
    let cancel =
        json!({ "jsonrpc": "2.0", "id": 8, "method": "tasks/cancel", "params": { "id": id } });
    let (_, body) = agent.ask("POST", "/", &cancel).await?;
    assert!(body.contains("\"canceled\""), "{body}");
    let (_, body) = agent.ask("POST", "/", &cancel).await?;
    assert!(body.contains("-32002"), "{body}");
    Ok(())
}

#[tokio::test]
async fn a_refusing_agent_lives_and_listens_again() -> Outcome {
    let agent = Agent::start(&[]).await?;
    agent.switch(json!({ "refuse_ms": 300 })).await?;
    let both = async {
        let mut was_refused = false;
        loop {
            match TcpStream::connect(agent.address).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    was_refused = true
                }
                Ok(_) if was_refused => return,
                // Not closed yet, or just while this one waited to be accepted.
                Ok(_) | Err(_) => {}
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, both).await?;
    assert_pong("afterwards", agent.ping().await);
    Ok(())
}

#[tokio::test]
async fn it_ends_on_sigterm_unless_told_otherwise_and_crashes_on_demand() -> Outcome {
    let mut agent = Agent::start(&[]).await?;
    agent.signal(Signal::TERM)?;
    assert_eq!(agent.ended().await?.code(), Some(0));

    let mut agent = Agent::start(&["--ignore-term"]).await?;
    agent.signal(Signal::TERM)?;
    assert_pong("after SIGTERM", agent.ping().await);
    agent.switch(json!({ "ignore_term": false })).await?;
    agent.signal(Signal::TERM)?;
    assert_eq!(agent.ended().await?.code(), Some(0));

    use std::os::unix::process::ExitStatusExt as _;
    let mut agent = Agent::start(&[]).await?;
    assert!(agent.switch(json!({ "crash": true })).await.is_err(), "a crashed agent answered");
    assert_eq!(agent.ended().await?.signal(), Some(Signal::ABORT.as_raw()));
    Ok(())
}

/// The next heartbeat that a proxy would get: its head and its body.
async fn beat(proxy: &TcpListener) -> Result<(String, Value), Box<dyn std::error::Error>> {
    let (mut stream, _) = timeout(PATIENCE, proxy.accept()).await??;
    let (mut request, mut buffer) = (String::new(), [0; 1024]);
    loop {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await??;
        request.push_str(std::str::from_utf8(&buffer[..read])?);
        if let Some((head, body)) = request.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await?;
            return Ok((head.to_lowercase(), body));
        }
        if read == 0 {
            return Err(format!("half a heartbeat: {request}").into());
        }
    }
}

#[tokio::test]
async fn it_beats_with_its_token_and_tells_its_spare_capacity() -> Outcome {
    let proxy = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", proxy.local_addr()?);
    let agent = Agent::start(&[
        "--name",
        "alpha",
        "--heartbeat-url",
        &url,
        "--token",
        "s3cret",
        "--life",
        "3",
        "--capacity",
        "5",
        "--beat-every-ms",
        "3600000",
    ])
    .await?;
    let (head, body) = beat(&proxy).await?;
    assert!(head.starts_with("post /workspaces/alpha/heartbeat http/1.1"), "{head}");
    assert!(head.contains("authorization: bearer s3cret"), "{head}");
    assert_eq!(body, json!({ "spare_capacity": 5, "life": 3 }));

    agent.switch(json!({ "busy": true })).await?;
    assert_eq!(beat(&proxy).await?.1["spare_capacity"], 0, "told at once");
    agent.switch(json!({ "beats": false })).await?;
    assert!(timeout(A_WHILE, beat(&proxy)).await.is_err(), "it beats no more");
    Ok(())
}
