//! What a hostile policy costs its neighbours, and what it leaves behind.
//!
//! `cargo bench --bench hostile`. Four tasks are judged by a good policy, while
//! four others keep asking one that loops, grabs memory, traps or floods the host
//! with questions, in the same engine. Reported, not asserted.

#![allow(clippy::expect_used, clippy::print_stdout, missing_debug_implementations)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reprieve_core::{ports::Witness, settings::SettingsBook};
use reprieve_runtime::{Engine, EngineOptions, Generation, Limits, Owners, Policy, Who};

use crate::support::{CALL, Settling, is_wanted};

const DEFAULT: &[u8] = include_bytes!("../../../policies/default.wasm");
const UNRULY: &[u8] = include_bytes!("../../../policies/unruly.wasm");
const EACH: usize = 4;
const FOR: Duration = Duration::from_secs(5);

fn told(policy: &Arc<Policy>, deed: Option<&str>) -> Arc<Generation> {
    let fleet = deed.map(|deed| ("do".to_owned(), deed.into()));
    let book =
        SettingsBook { fleet: Arc::new(fleet.into_iter().collect()), ..SettingsBook::default() };
    let generation = Generation::new(1, Arc::clone(policy), book, &Owners::new());
    Arc::new(generation.expect("a generation"))
}

async fn ask(generation: Arc<Generation>, stop: Arc<AtomicBool>) -> (Vec<u64>, u64) {
    let tenant = "acme".parse().expect("a name");
    let who = Who { tenant, workspace: "ws-1".parse().expect("a name") };
    let witness: Arc<dyn Witness> = Arc::new(Settling);
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let decided = generation.decide(CALL, &who, &witness).await;
        latencies.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        failed += u64::from(decided.blame.is_some());
        tokio::task::yield_now().await;
    }
    (latencies, failed)
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// The neighbour's p50 and p99 beside what the other does, in nanoseconds.
async fn beside(neighbour: &Arc<Generation>, other: &Arc<Generation>) -> (u64, u64, u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let start = |generation: &Arc<Generation>| {
        let ask = |_| tokio::spawn(ask(Arc::clone(generation), Arc::clone(&stop)));
        (0..EACH).map(ask).collect::<Vec<_>>()
    };
    let (good, bad) = (start(neighbour), start(other));
    tokio::time::sleep_until(tokio::time::Instant::now() + FOR).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in good {
        let (of_one, failed) = task.await.expect("a judge");
        assert_eq!(failed, 0, "the neighbour failed");
        latencies.extend(of_one);
    }
    let mut asked = 0;
    for task in bad {
        asked += task.await.expect("a judge").0.len() as u64;
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
    (at(0.5), at(0.99), asked)
}

async fn run() {
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let load = |bytes| engine.load(bytes, Limits::default()).expect("a policy");
    let (good, bad) = (load(DEFAULT), load(UNRULY));
    let neighbour = told(&good, None);
    let (_, as_ever, _) = beside(&neighbour, &told(&bad, Some("nothing"))).await;
    let before = rss_kib();
    println!("beside a policy that does nothing bad: p99 {as_ever} ns, {before} KiB");
    for deed in ["loop", "grab", "trap", "pester", "curious", "leak", "note-and-trap"] {
        let (p50, p99, asked) = beside(&neighbour, &told(&bad, Some(deed))).await;
        bad.drop_idle();
        let rss = rss_kib();
        println!(
            "beside {deed} ({asked} times): p50 {p50} ns, p99 {p99} ns ({:.2}x), {:+} KiB",
            p99 as f64 / as_ever as f64,
            i128::from(rss) - i128::from(before)
        );
    }
}

fn main() {
    if !is_wanted("hostile") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}
