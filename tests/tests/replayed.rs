//! What a host decided, replayed from its state folder: 100,000 decisions without a
//! difference, while it runs and after it has stopped.
//!
//! The host, its children, the callers and the store are real. Settings change on the
//! way, so that several generations judge.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stderr, reason = "tells how fast it was")]

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use http::{Method, StatusCode};
use reprieve_tests::{Program, outcome_of, reprieve};
use serde_json::{Value, json};

const DECISIONS: usize = 100_000;
const WORKSPACES: usize = 16;
const LAYER: &str = "settings/fleet";
/// How often settings change on the way.
const CHANGES: usize = 5;

fn program() -> Program {
    let mut config = String::new();
    for number in 1..=WORKSPACES {
        config.push_str(&format!(
            "[workspaces.ws-{number}]\ncommand = [\"{{reprieve}}\", \"agent\", \
             \"--beat-every-ms\", \"{}\", \"--close-early\"]\n",
            200 + 10 * number
        ));
    }
    Program::new(&config)
}

/// Requests to one workspace, one after the other, until all callers together have sent
/// enough. Each fails and is judged.
async fn call(program: Arc<Program>, number: usize, sent: Arc<AtomicUsize>) {
    let path = format!("ws-{number}/work");
    while sent.fetch_add(1, Ordering::Relaxed) < DECISIONS {
        let (status, body) = program.send(Method::GET, &path, &Value::Null).await.unwrap();
        assert!(status.is_server_error(), "{status} {body}");
    }
}

async fn retune(program: &Program, seconds: usize) {
    let body =
        json!({ "settings": { "busy_retry_after": format!("{seconds}s") }, "why": "to see" });
    let answer = program.ask_operator(Method::PATCH, LAYER, Some("*"), &body).await;
    assert_eq!(answer.as_ref().map(|(status, _)| *status), Some(StatusCode::OK), "{answer:?}");
}

/// `reprieve replay`: how it ended, and what it says.
fn replay(state: &Path) -> (i32, String) {
    outcome_of(Command::new(reprieve()).arg("replay").arg(state))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_decisions_of_a_real_host_replay_without_a_difference() {
    let program = Arc::new(program());
    let host = program.start();
    program.until_up().await;
    let (began, sent) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (1..=WORKSPACES)
        .map(|number| tokio::spawn(call(Arc::clone(&program), number, Arc::clone(&sent))))
        .collect();
    for change in 1..=CHANGES {
        let due = DECISIONS * change / (CHANGES + 1);
        program.until("enough is judged", async || sent.load(Ordering::Relaxed) >= due).await;
        retune(&program, 30 + change).await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    eprintln!("{DECISIONS} requests judged in {:?}", began.elapsed());

    let state = program.state().to_owned();
    let (code, told) = tokio::task::spawn_blocking(move || replay(&state)).await.unwrap();
    assert_eq!(code, 0, "while it runs: {told}");
    host.end().await;
    let (state, began) = (program.state().to_owned(), Instant::now());
    let (code, told) = tokio::task::spawn_blocking(move || replay(&state)).await.unwrap();
    eprintln!("{told}\nin {:?}", began.elapsed());
    assert_eq!(code, 0, "{told}");
    assert!(told.contains(" 0 DIFFER"), "{told}");
    let count: usize = told.split(' ').next().unwrap().replace(',', "").parse().expect(&told);
    assert!(count >= DECISIONS, "{told}");
}
