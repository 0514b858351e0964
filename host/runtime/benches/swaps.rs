//! What swapping policies costs those who are judged meanwhile.
//!
//! `cargo bench --bench swaps [-- SWAPS]`. Eight tasks judge as fast as they can;
//! two policies take turns every 50 ms, each loaded afresh from its bytes, as a
//! file that changed is. Reported, not asserted: only ratios travel.

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
use reprieve_runtime::{
    Current, Engine, EngineOptions, Generation, Owners, Who,
    registry::{Candidate, Progress, Registry, Standards},
};

use crate::support::{CALL, Latencies, Settling, is_wanted, rss_kib};

const POLICIES: [&[u8]; 2] = [
    include_bytes!("../../../policies/default.wasm"),
    include_bytes!("../../../policies/trust-the-probe.wasm"),
];
const JUDGES: usize = 8;
const SWAP_EVERY: Duration = Duration::from_millis(50);
const WITHOUT_SWAPS: Duration = Duration::from_secs(10);
const WARM_UP_SWAPS: u32 = 100;

fn candidate(bytes: &[u8]) -> Candidate {
    Candidate {
        source: "a benchmark".to_owned(),
        bytes: bytes.into(),
        expected: None,
        signature: None,
        built_in: true,
    }
}

/// What the judges saw: how long it took, and decisions that failed or named a
/// policy that was never there.
#[derive(Default)]
struct Seen {
    latencies: Latencies,
    failed: u64,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.failed += other.failed;
    }
}

struct Judges {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Seen>>,
}

impl Judges {
    fn start(current: &Arc<Current>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let judge = |_| tokio::spawn(judge(Arc::clone(current), Arc::clone(&stop)));
        let tasks = (0..JUDGES).map(judge).collect();
        Self { stop, tasks }
    }

    async fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for task in self.tasks {
            all.add(&task.await.expect("a judge"));
        }
        all
    }
}

async fn judge(current: Arc<Current>, stop: Arc<AtomicBool>) -> Seen {
    let tenant = "acme".parse().expect("a name");
    let who = Who { tenant, workspace: "ws-1".parse().expect("a name") };
    let witness: Arc<dyn Witness> = Arc::new(Settling);
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let decided = current.decide(CALL, &who, &witness).await;
        seen.latencies.note(began.elapsed());
        seen.failed += u64::from(decided.blame.is_some());
        tokio::task::yield_now().await;
    }
    seen
}

fn report(what: &str, seen: &Seen, over: Duration) -> u64 {
    let latencies = &seen.latencies;
    println!(
        "{what}: {:.0} decisions/s, p50 {} ns, p99 {} ns, p99.9 {} ns, longest {} us, {} failed",
        latencies.count() as f64 / over.as_secs_f64(),
        latencies.at(0.5),
        latencies.at(0.99),
        latencies.at(0.999),
        latencies.longest() / 1_000,
        seen.failed
    );
    latencies.at(0.99)
}

async fn swap(registry: &Arc<Registry>, current: &Arc<Current>, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    let progress = Progress::new("a benchmark");
    let policy = registry.vet(candidate(bytes), &progress).await.expect("a policy");
    let (registry, current) = (Arc::clone(registry), Arc::clone(current));
    let activating = tokio::task::spawn_blocking(move || {
        registry.activate(&current, &policy, &progress, || Ok(())).expect("activated");
    });
    activating.await.expect("activated");
    began.elapsed()
}

fn registry(cache_dir: Option<std::path::PathBuf>) -> Arc<Registry> {
    let options = EngineOptions { cache_dir, ..EngineOptions::default() };
    Arc::new(Registry::new(Engine::new(options).expect("an engine"), Standards::default()))
}

async fn started(registry: &Registry) -> Arc<Current> {
    let policy = registry.vet(candidate(POLICIES[0]), &Progress::new("a benchmark")).await;
    let policy = policy.expect("a policy");
    let generation = Generation::new(1, policy, SettingsBook::default(), &Owners::new());
    Arc::new(Current::new(generation.expect("a generation")))
}

fn longest(mut swaps: Vec<Duration>) -> (Duration, Duration) {
    swaps.sort_unstable();
    (swaps[swaps.len() / 2], swaps[swaps.len() - 1])
}

async fn run(swaps: u32) {
    let cache = tempfile::tempdir().expect("a folder");
    let cold = registry(None);
    let current = started(&cold).await;
    let mut took = Vec::new();
    for nth in 0..20 {
        took.push(swap(&cold, &current, POLICIES[(nth + 1) % 2]).await);
    }
    let (median, most) = longest(took);
    println!("cold swap, compiled each time: median {median:?}, longest {most:?}");

    let registry = registry(Some(cache.path().join("cache")));
    let current = started(&registry).await;
    // Half of the time each, as with swaps: they do not take the same time.
    let mut quiet = Seen::default();
    for policy in POLICIES {
        swap(&registry, &current, policy).await;
        let judges = Judges::start(&current);
        tokio::time::sleep_until(tokio::time::Instant::now() + WITHOUT_SWAPS).await;
        let seen = judges.end().await;
        report("no swaps, one of the two", &seen, WITHOUT_SWAPS);
        quiet.add(&seen);
    }
    let quiet = report("no swaps, both", &quiet, 2 * WITHOUT_SWAPS);

    let judges = Judges::start(&current);
    let began = Instant::now();
    let mut pace = tokio::time::interval(SWAP_EVERY);
    let (mut took, mut after_warm_up) = (Vec::new(), 0);
    for nth in 0..swaps {
        pace.tick().await;
        took.push(swap(&registry, &current, POLICIES[nth as usize % 2]).await);
        if nth + 1 == WARM_UP_SWAPS.min(swaps) {
            after_warm_up = rss_kib();
        }
    }
    let (rss, over) = (rss_kib(), began.elapsed());
    let swapped = report(&format!("{swaps} swaps"), &judges.end().await, over);
    let (median, most) = longest(took);
    println!("swap under load, from the cache: median {median:?}, longest {most:?}");
    println!("p99 with swaps to without: {:.2}", swapped as f64 / quiet as f64);
    println!(
        "memory: {after_warm_up} KiB after {WARM_UP_SWAPS} swaps, {rss} KiB after all, {:+.1} %",
        (rss as f64 / after_warm_up as f64 - 1.0) * 100.0
    );
    println!(
        "places taken: {}, generations alive: {}",
        registry.engine().places().taken,
        current.alive().len()
    );
}

fn main() {
    if !is_wanted("swaps") {
        return;
    }
    let swaps = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(swaps.unwrap_or(1_000)));
}
