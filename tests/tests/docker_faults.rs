//! Ten thousand calls over a socket that lies: no live container is ever reported
//! as gone or ended, no call hangs, no connection is left open.
//!
//! A program of its own, because it counts the files that the process has open.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stderr, reason = "figures, and the seed that replays a failure")]
#![allow(dead_code, reason = "the parts are those of the other tests")]

#[path = "docker/fixture.rs"]
mod fixture;
#[path = "docker/socket.rs"]
mod socket;

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reprieve_core::{
    evidence::Status,
    ports::{Probe as _, RuntimeEventKind},
};
use reprieve_server::backend::{discovery::Discovery, docker::CallLimits};
use reprieve_tests::engine::Engine;
use tokio::time::{interval, timeout};

use crate::{
    fixture::{PATIENCE, Watch, idle, ws},
    socket::LyingSocket,
};

const CALLS: usize = 10_000;
const AT_ONCE: usize = 64;
const LIES_PERCENT: u32 = 50;
const WORKSPACES: [&str; 4] = ["ws-1", "ws-2", "ws-3", "ws-4"];
/// Stalls are over quickly, and an Engine that shares two cores is heard.
const QUESTION: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// Two calls in a row, of three at most.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lie_of_the_socket_ends_a_live_container() {
    let Some(engine) = Engine::start().await else { return };
    let seed = std::env::var("REPRIEVE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("REPRIEVE_SEED={seed} replays this");
    for id in WORKSPACES {
        engine.run(&idle(id)).await;
    }
    let files_before = open_files();
    let state = tempfile::tempdir().unwrap();
    let socket = LyingSocket::before(engine.socket());
    let limits = CallLimits { question: QUESTION, ..CallLimits::default() };
    let mut watch = Watch::through(socket.path(), state.path().to_owned(), limits).await;
    for _ in WORKSPACES {
        watch.discovery().await;
    }

    socket.lie_at_random(seed, LIES_PERCENT);
    let began = Instant::now();
    let answers = look(&watch).await;
    let took = began.elapsed();
    eprintln!("{CALLS} looks in {took:.1?}, {} lies told: {answers:?}", socket.lies_told());
    assert!(took < LONGEST, "{took:?}, seed {seed}");
    assert!(answers["running"] > CALLS / 50, "enough of the truth came through, seed {seed}");
    let wrong: Vec<_> = answers.keys().filter(|answer| is_death(answer)).collect();
    assert!(wrong.is_empty(), "reported of live containers: {wrong:?}, seed {seed}");
    let (events, discoveries) = watch.reported();
    for event in events {
        assert_eq!(event.kind, RuntimeEventKind::Started, "{event:?}, seed {seed}");
    }
    for discovery in discoveries {
        assert!(matches!(discovery, Discovery::Found(_)), "{discovery:?}, seed {seed}");
    }

    socket.be_honest();
    engine.docker(&["kill", "ws-1"]).await;
    let died = timeout(PATIENCE, watch.event("ws-1")).await.expect("the stream is back");
    assert_eq!(died.kind, RuntimeEventKind::Stopped, "seed {seed}");
    watch.docker.shutdown().await;
    drop(watch);
    let mut tick = interval(Duration::from_millis(10));
    let closed = async {
        while socket.open() > 0 {
            tick.tick().await;
        }
    };
    timeout(PATIENCE, closed).await.expect("every connection is closed");
    drop(socket);
    let left = open_files().saturating_sub(files_before);
    assert!(left <= 4, "{left} files are left open, seed {seed}");
}

/// How often each answer came.
async fn look(watch: &Watch) -> BTreeMap<String, usize> {
    let answers = Arc::new(Mutex::new(BTreeMap::new()));
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..AT_ONCE).map(|_| {
        let (docker, answers, next) =
            (Arc::clone(&watch.docker), Arc::clone(&answers), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= CALLS {
                    return;
                }
                let id = ws(WORKSPACES[number % WORKSPACES.len()]);
                let look = timeout(LONGEST_LOOK, docker.look(&id)).await.expect("no look hangs");
                let answer = match look {
                    Ok(look) => format!("{:?}", look.sighting.status).to_lowercase(),
                    Err(fault) => fault.to_string(),
                };
                *answers.lock().entry(answer).or_default() += 1;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    answers.lock().clone()
}

fn is_death(answer: &str) -> bool {
    [Status::Stopped, Status::Missing, Status::Restarting]
        .iter()
        .any(|status| format!("{status:?}").to_lowercase() == answer)
}
