//! The host is killed (`kill -9`) at random moments under load, and comes back:
//! nothing that it accepted is lost, no workspace has a second child, and nobody
//! is left behind.
//!
//! A failing run prints its seed; `REPRIEVE_SEED` plays it again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stderr, reason = "tells the seed")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use reprieve_tests::Program;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep_until, timeout};

const KILLS: u32 = 50;
const WORKSPACES: [&str; 2] = ["ws-1", "ws-2"];
const CALLERS: u32 = 4;
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn program() -> Program {
    let mut config = "[policy.settings]\nsettle = \"300ms\"\nrestart_debounce = \"300ms\"\n\
         reprobe_delay = \"100ms\"\n"
        .to_owned();
    for workspace in WORKSPACES {
        config.push_str(&format!(
            "[workspaces.{workspace}]\ncommand = [\"{{reprieve}}\", \"agent\", \
             \"--beat-every-ms\", \"100\"]\nstop_grace = \"1s\"\n"
        ));
    }
    Program::new(&config)
}

/// What a caller was promised with a 202.
#[derive(Clone, Debug)]
struct Promise {
    workspace: &'static str,
    queue_id: String,
}

/// Sends requests until told to stop; keeps every promise that came whole.
async fn call(
    stage: Arc<Program>,
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
    let stage = Arc::new(program());
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
        host.kill().await;
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
    host.end().await;
    assert_eq!(stage.children(), BTreeMap::new(), "nobody is left behind");
}

/// Every promise is kept: delivered, or dropped with a reason on record.
async fn all_end(stage: &Program, promises: &[Promise]) {
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
