//! A host that is killed loses nothing that it has said is safe.
//!
//! The test starts itself again as a child, which accepts, delivers and restarts
//! as fast as it can and says so line by line. It is killed at a random line; all
//! that it said must be on disk. What is tested is the death of a process; that a
//! power cut loses nothing rests on SQLite's `synchronous=FULL`.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use reprieve_core::{
    ids::{LifeId, QueueId, Revision},
    judgement::RestartCause,
    ports::{Clock, Queue, Restarts},
    queue::{Ending, Priority, Stage},
};
use reprieve_server::store::{Store, StoreOptions};

use crate::{TestClock, queue::new_item, workspace};

/// Tells the child where the store is.
const FOLDER: &str = "REPRIEVE_TEST_CRASH_FOLDER";

const ROUNDS: u32 = 12;
const SEED: u64 = 0x5eed;

/// Lines that the child says at most before it is killed.
const MAX_LINES: usize = 400;

const CALLERS: u64 = 8;

/// Messages of one caller and one life of the child: more than it can accept
/// before it is killed.
const MAX_MESSAGES: u64 = 100_000;

#[test]
fn what_a_killed_host_said_is_safe_is_safe() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut said = Vec::new();
    for round in 0..ROUNDS {
        let lines = random.random_range(1..MAX_LINES);
        said.extend(run_and_kill(folder.path(), lines));
        check(folder.path(), &said, round);
    }
    assert!(said.iter().any(|line| line.starts_with("ended ")), "deliveries were under way");
    assert!(said.iter().any(|line| line.starts_with("began ")), "restarts were under way");
}

/// Starts the child, kills it after so many lines, and returns all that it said.
fn run_and_kill(folder: &Path, lines: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::a_host_says_what_is_safe", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut heard = Vec::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    loop {
        let mut line = String::new();
        let read = output.read_line(&mut line).unwrap();
        if read == 0 {
            break;
        }
        // A line that the kill cut off was not said.
        if let Some(whole) = line.strip_suffix('\n') {
            heard.push(whole.to_owned());
        }
        if heard.len() == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(heard.len() >= lines, "the child ended by itself after {heard:?}");
    heard
}

fn check(folder: &Path, said: &[String], round: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(folder, options(), TestClock::new()).await.unwrap();
        for line in said {
            let (what, about) = line.split_once(' ').unwrap_or_default();
            let stage = |id: &str| {
                let (queue, id) = (Arc::clone(&store.queue), QueueId(id.to_owned()));
                async move { queue.get(&id).await.unwrap().map(|item| item.stage) }
            };
            match what {
                "accepted" => {
                    assert!(stage(about).await.is_some(), "round {round}: lost {about}");
                }
                "ended" => {
                    let ended = matches!(stage(about).await, Some(Stage::Ended { .. }));
                    assert!(ended, "round {round}: {about} would be delivered twice");
                }
                "began" => {
                    let life = store.restarts.at_hand(&workspace("ws-0")).unwrap().life;
                    assert!(life.0 >= about.parse().unwrap(), "round {round}: {line}");
                }
                // The test harness's own lines.
                _ => {}
            }
        }
        store.close().await.unwrap();
    });
}

fn options() -> StoreOptions {
    StoreOptions { queue_capacity: u32::MAX, ..StoreOptions::default() }
}

/// Not a test by itself: the child of the one above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_says_what_is_safe() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let clock = TestClock::new();
    let store = Store::open(Path::new(&folder), options(), clock.clone()).await.unwrap();
    let callers = (0..CALLERS).map(|caller| tokio::spawn(accept(store.clone(), caller)));
    let callers: Vec<_> = callers.collect();
    let (deliverer, restarter) =
        (tokio::spawn(deliver(store.clone())), tokio::spawn(restart(store)));
    for task in callers.into_iter().chain([deliverer, restarter]) {
        task.await.unwrap();
    }
}

async fn accept(store: Store, caller: u64) {
    for number in 0..MAX_MESSAGES {
        // Unique over all lives of the child.
        let message_id = format!("{}-{caller}-{number}", std::process::id());
        let new = new_item(&format!("ws-{}", caller % 4), &message_id, Priority::TASK);
        let accepted = store.queue.accept(new, TestClock::new().now()).await.unwrap();
        say("accepted", &accepted.id);
    }
}

async fn deliver(store: Store) {
    for round in 0..MAX_MESSAGES {
        let of = workspace(&format!("ws-{}", round % 4));
        let now = TestClock::new().now();
        if let Some(item) = store.queue.take(&of, now).await.unwrap() {
            let ending = Ending::Dropped { reason: "test".to_owned() };
            store.queue.end(&item.id, ending, now).await.unwrap();
            say("ended", &item.id);
        }
    }
}

async fn restart(store: Store) {
    let of = workspace("ws-0");
    let mut life: LifeId = store.restarts.at_hand(&of).unwrap().life;
    for _ in 0..MAX_MESSAGES {
        let (cause, now) = (RestartCause::DeadVerdict, TestClock::new().now());
        life = store.restarts.begin(&of, life, cause, Revision(0), now).await.unwrap();
        say("began", &life.0);
        store.restarts.finish(&of, life).await.unwrap();
    }
}

/// In one piece: other tasks speak too.
fn say(what: &str, about: &dyn std::fmt::Display) {
    let line = format!("{what} {about}\n");
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).and_then(|()| output.flush()).unwrap();
}
