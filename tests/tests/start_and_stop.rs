//! How the program begins and ends: what it says while it starts, for how long it
//! lets running requests end, and that a second signal ends it at once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use http::{Method, StatusCode};
use reprieve_tests::{Program, Running};
use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What a caller sends once the host wants it.
const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{
    "kind":"message","role":"user","messageId":"m-1","parts":[{"kind":"text","text":"hello"}]}}}"#;

fn program(shutdown_timeout: &str) -> Program {
    Program::new(&format!(
        "proxy.shutdown_timeout = \"{shutdown_timeout}\"\n[workspaces.alpha]\n\
         command = [\"{{reprieve}}\", \"agent\"]\nstop_grace = \"100ms\"\n"
    ))
}

/// The agent takes that.
async fn switched(program: &Program, change: &Value) -> bool {
    let told = program.send(Method::POST, "alpha/switch", change).await;
    told.is_some_and(|(status, _)| status == StatusCode::OK)
}

/// A host that waits for the body of a request, and that caller.
async fn with_request_in_flight(program: &Program) -> (Running, TcpStream) {
    let host = program.start();
    let nothing = json!({});
    program.until("the agent answers", || switched(program, &nothing)).await;
    let mut caller = TcpStream::connect(program.proxy()).await.unwrap();
    let head = format!(
        "POST /workspaces/alpha/a2a HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        BODY.len()
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    caller.read_exact(&mut told).await.unwrap();
    assert!(told.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&told));
    (host, caller)
}

async fn until_it_stops(program: &Program) {
    let takes_nobody = || async { TcpStream::connect(program.proxy()).await.is_err() };
    program.until("it takes no more requests", takes_nobody).await;
}

#[tokio::test]
async fn a_running_request_is_answered_though_the_host_is_told_to_stop() {
    let program = program("50s");
    let (mut host, mut caller) = with_request_in_flight(&program).await;
    host.tell_to_stop();
    until_it_stops(&program).await;
    caller.write_all(BODY.as_bytes()).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(host.ended().await.success());
}

#[tokio::test]
async fn a_request_that_does_not_end_is_waited_for_no_longer_than_its_time() {
    let program = program("100ms");
    let (host, mut caller) = with_request_in_flight(&program).await;
    // An agent that lives and does not answer is waited for: an hour.
    assert!(switched(&program, &json!({"hang": true})).await);
    caller.write_all(BODY.as_bytes()).await.unwrap();
    host.end().await;
    let mut answer = Vec::new();
    let _ = caller.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "it was cut off: {}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn whoever_tells_it_twice_to_stop_waits_for_nothing() {
    let program = program("1h");
    let (mut host, _caller) = with_request_in_flight(&program).await;
    host.tell_to_stop();
    until_it_stops(&program).await;
    host.tell_to_stop();
    // As a shell says it: 128, and the signal's number.
    assert_eq!(host.ended().await.code(), Some(128 + 15));
}

#[tokio::test]
async fn a_host_that_starts_says_that_it_lives_and_is_not_ready() {
    let program = program("1s");
    // It waits for whoever writes what it reads there.
    let key = program.state().join("workspaces.key");
    mkfifoat(CWD, &key, Mode::RUSR | Mode::WUSR).unwrap();
    let host = program.start();
    let says = async |body: &str| {
        program.health("health").await == Some((StatusCode::OK, body.to_owned()))
    };
    program.until("it says that it starts", || says("starting")).await;
    let (status, why) = program.health("readyz").await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{why}");
    assert!(why.contains("the host is starting"), "{why}");
    let written = tokio::task::spawn_blocking(move || std::fs::write(key, "k".repeat(64)));
    written.await.unwrap().unwrap();
    program.until("it has started", || says("")).await;
    assert_eq!(program.health("readyz").await.unwrap().0, StatusCode::OK);
    host.end().await;
}
