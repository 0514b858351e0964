//! What really comes over a socket, and what it is to a caller.

use std::path::PathBuf;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixSocket, UnixStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::*;

const VERSION: &str = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"ApiVersion\":\"1.41\"}";
const ID: &str = "e4023437deac8918e4023437deac8918e4023437deac8918e4023437deac8918";

/// What a daemon does once it has read a question.
#[derive(Clone, Copy)]
enum Then {
    Closes,
    Stalls,
}

/// A daemon that has one answer to everything but the question for its version.
struct Liar {
    socket: PathBuf,
    then: Then,
    _dir: tempfile::TempDir,
    _serving: AbortOnDropHandle<()>,
}

impl Liar {
    fn saying(answer: &str, then: Then) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let answer = answer.to_owned();
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(converse(connection, answer.clone(), then));
            }
        });
        Self { socket, then, _dir: dir, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Waits only as long as it must for an answer that never comes, and long for
    /// any other: a busy machine is no part of the case.
    async fn daemon(&self) -> Daemon {
        let question = match self.then {
            Then::Stalls => Duration::from_millis(300),
            Then::Closes => Duration::from_secs(60),
        };
        let limits = CallLimits { question, ..CallLimits::default() };
        let daemon = Daemon::at(&self.socket, limits).unwrap();
        let too_slow = CallFailure::Fault(ProbeFault::TimedOut);
        while daemon.agree().await.is_err_and(|failure| failure == too_slow) {}
        daemon
    }
}

async fn converse(mut connection: UnixStream, answer: String, then: Then) {
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") {
        let Ok(byte) = connection.read_u8().await else { return };
        question.push(byte);
    }
    let is_version = String::from_utf8_lossy(&question).contains("/version");
    let answer = if is_version { VERSION } else { &answer };
    let _ = connection.write_all(answer.as_bytes()).await;
    if matches!(then, Then::Stalls) && !is_version {
        std::future::pending::<()>().await;
    }
}

fn id() -> ContainerId {
    ID.parse().unwrap()
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn what_comes_over_the_socket_is_told_by_its_type() {
    let fault = CallFailure::Fault;
    let refused = |status, detail: &str| CallFailure::Refused { status, detail: detail.to_owned() };
    let conflict = CallFailure::Conflict { detail: "x".to_owned() };
    let short = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 99\r\n\r\n{{\"mess");
    for (case, said, then, expected) in [
        (
            "no such container",
            answer("404 Not Found", r#"{"message":"x"}"#),
            Then::Closes,
            CallFailure::Absent,
        ),
        (
            "a 404 of something else",
            answer("404 Not Found", "404 page not found"),
            Then::Closes,
            CallFailure::Absent,
        ),
        ("a conflict", answer("409 Conflict", r#"{"message":"x"}"#), Then::Closes, conflict),
        (
            "broken inside",
            answer("500 Oops", r#"{"message":"No such container"}"#),
            Then::Closes,
            refused(500, "No such container"),
        ),
        ("moved", answer("301 Moved", ""), Then::Closes, refused(301, "")),
        (
            "broken inside, broken off",
            answer("500 Oops", r#"{"message":"No su"#),
            Then::Closes,
            fault(ProbeFault::Malformed),
        ),
        ("an empty answer", answer("200 OK", ""), Then::Closes, fault(ProbeFault::Malformed)),
        (
            "the body of an error is cut off",
            short("500 Oops"),
            Then::Closes,
            fault(ProbeFault::ClosedEarly),
        ),
        ("the body is cut off", short("200 OK"), Then::Closes, fault(ProbeFault::ClosedEarly)),
        ("the body stalls", short("200 OK"), Then::Stalls, fault(ProbeFault::TimedOut)),
        (
            "the body of an error stalls",
            short("500 Oops"),
            Then::Stalls,
            fault(ProbeFault::TimedOut),
        ),
        ("nothing before the end", String::new(), Then::Closes, fault(ProbeFault::ClosedEarly)),
        (
            "half of the headers",
            "HTTP/1.1 200 OK\r\nCont".to_owned(),
            Then::Closes,
            fault(ProbeFault::ClosedEarly),
        ),
        ("nothing at all", String::new(), Then::Stalls, fault(ProbeFault::TimedOut)),
        (
            "no HTTP",
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            Then::Closes,
            fault(ProbeFault::Malformed),
        ),
        (
            "JSON of another shape",
            answer("200 OK", r#"{"Id": 7}"#),
            Then::Closes,
            fault(ProbeFault::Malformed),
        ),
        ("no JSON", answer("200 OK", "<html>"), Then::Closes, fault(ProbeFault::Malformed)),
        ("an empty object", answer("200 OK", "{}"), Then::Closes, fault(ProbeFault::Malformed)),
        (
            "another container",
            answer("200 OK", r#"{"Id":"x"}"#),
            Then::Closes,
            fault(ProbeFault::Malformed),
        ),
        ("not for us", answer("403 Forbidden", ""), Then::Closes, fault(ProbeFault::Denied)),
    ] {
        let liar = Liar::saying(&said, then);
        let inspected = liar.daemon().await.inspect(&id()).await;
        assert_eq!(inspected.err(), Some(expected), "{case}");
    }
}

#[tokio::test]
async fn a_list_is_never_absent() {
    let liar = Liar::saying(&answer("404 Not Found", "404 page not found"), Then::Closes);
    let listed = liar.daemon().await.list(None).await;
    assert_eq!(listed.err(), Some(CallFailure::MALFORMED));
}

#[tokio::test]
async fn what_is_done_already_is_done() {
    let liar = Liar::saying("HTTP/1.1 304 Not Modified\r\n\r\n", Then::Closes);
    assert_eq!(liar.daemon().await.start(&id()).await, Ok(()));
}

#[tokio::test]
async fn a_socket_that_cannot_be_reached_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let failure = Daemon::at(&socket, CallLimits::default()).err();
    assert_eq!(failure, Some(CallFailure::Fault(ProbeFault::Unreachable)), "never there");

    let liar = Liar::saying("", Then::Closes);
    let daemon = liar.daemon().await;
    std::fs::remove_file(&liar.socket).unwrap();
    let gone = daemon.inspect(&id()).await.err();
    assert_eq!(gone, Some(CallFailure::Fault(ProbeFault::Unreachable)), "there no more");

    drop(std::os::unix::net::UnixListener::bind(&liar.socket).unwrap());
    let refused = daemon.inspect(&id()).await.err();
    assert_eq!(refused, Some(CallFailure::Fault(ProbeFault::Unreachable)), "nobody listens");

    std::fs::remove_file(&liar.socket).unwrap();
    let full = UnixSocket::new_stream().unwrap();
    full.bind(&liar.socket).unwrap();
    let _listener = full.listen(0).unwrap();
    let _waiting = UnixStream::connect(&liar.socket).await.unwrap();
    let overloaded = daemon.inspect(&id()).await.err();
    assert_eq!(overloaded, Some(CallFailure::Fault(ProbeFault::Overloaded)), "backlog full");
}
