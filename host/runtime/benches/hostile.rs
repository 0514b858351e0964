//! What a hostile policy costs its neighbours, and what it leaves behind.
//!
//! `cargo bench --bench hostile`. A policy in force behaves badly with the settings
//! of one tenant and well with those of another. Four tasks ask for each, as fast
//! as they can; the neighbour's time counts from when it asks, waiting for its turn
//! included. Beside it in the same run: the same eight while nobody misbehaves.
//!
//! Twice: with a policy that was in force before and stands in for one that keeps
//! failing, as on a host that has swapped policies; and with none. Reported, not
//! asserted.

#![allow(clippy::expect_used, clippy::print_stdout, missing_debug_implementations)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reprieve_core::{
    ports::Witness,
    settings::{Settings, SettingsBook},
};
use reprieve_runtime::{
    Current, Engine, EngineOptions, Generation, GenerationRefused, Limits, Owners, Who,
};

use crate::support::{CALL, Latencies, Settling, is_wanted, rss_kib};

const DEFAULT: &[u8] = include_bytes!("../../../policies/default.wasm");
const UNRULY: &[u8] = include_bytes!("../../../policies/unruly.wasm");
const DEEDS: [&str; 7] = ["loop", "grab", "trap", "pester", "curious", "leak", "note-and-trap"];
const EACH: usize = 4;
const FOR: Duration = Duration::from_secs(5);
const WELL: &str = "nothing";

/// The unruly policy in force, which does that for `mallory` and nothing for anybody
/// else; before it the default policy, or nobody.
fn in_force(engine: &Engine, deed: &str, has_stand_in: bool) -> Arc<Current> {
    let load = |bytes| engine.load(bytes, Limits::default()).expect("a policy");
    let told = |deed: &str| -> Arc<Settings> {
        Arc::new([("do".to_owned(), deed.into())].into_iter().collect())
    };
    let mallory = ("mallory".parse().expect("a name"), told(deed));
    let book = SettingsBook {
        fleet: told(WELL),
        tenants: [mallory].into_iter().collect(),
        ..SettingsBook::default()
    };
    let unruly = load(UNRULY);
    let unruly = |number| Generation::new(number, unruly, book, &Owners::new());
    if !has_stand_in {
        return Arc::new(Current::new(unruly(1).expect("a generation")));
    }
    let before = Generation::new(1, load(DEFAULT), SettingsBook::default(), &Owners::new());
    let current = Current::new(before.expect("a generation"));
    let swapped: Result<_, GenerationRefused> = current.update(|_| unruly(2));
    swapped.expect("a generation");
    Arc::new(current)
}

#[derive(Default)]
struct Seen {
    latencies: Latencies,
    failed: u64,
}

async fn ask(current: Arc<Current>, tenant: &str, stop: Arc<AtomicBool>) -> Seen {
    let tenant = tenant.parse().expect("a name");
    let who = Who { tenant, workspace: "ws-1".parse().expect("a name") };
    let witness: Arc<dyn Witness> = Arc::new(Settling);
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        tokio::task::yield_now().await;
        let decided = current.decide(CALL, &who, &witness).await;
        seen.latencies.note(asked.elapsed());
        seen.failed += u64::from(decided.blame.is_some());
    }
    seen
}

/// What the neighbour saw, and what the other tenant saw.
async fn beside(current: &Arc<Current>) -> (Seen, Seen) {
    let stop = Arc::new(AtomicBool::new(false));
    let start = |tenant: &'static str| {
        let ask = |_| tokio::spawn(ask(Arc::clone(current), tenant, Arc::clone(&stop)));
        (0..EACH).map(ask).collect::<Vec<_>>()
    };
    let (good, bad) = (start("acme"), start("mallory"));
    tokio::time::sleep_until(tokio::time::Instant::now() + FOR).await;
    stop.store(true, Ordering::Relaxed);
    (all(good).await, all(bad).await)
}

async fn all(tasks: Vec<tokio::task::JoinHandle<Seen>>) -> Seen {
    let mut all = Seen::default();
    for task in tasks {
        let seen = task.await.expect("one who asks");
        all.latencies.add(&seen.latencies);
        all.failed += seen.failed;
    }
    all
}

async fn run() {
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    for has_stand_in in [true, false] {
        println!("{}:", if has_stand_in { "with a stand-in" } else { "with nobody to stand in" });
        let (quiet, _) = beside(&in_force(&engine, WELL, has_stand_in)).await;
        let (as_ever, before) = (quiet.latencies.at(0.99), rss_kib());
        println!("  nobody misbehaves: p50 {} ns, p99 {as_ever} ns", quiet.latencies.at(0.5));
        for deed in DEEDS {
            let current = in_force(&engine, deed, has_stand_in);
            let (good, bad) = beside(&current).await;
            drop(current);
            let p99 = good.latencies.at(0.99);
            println!(
                "  beside {deed} ({} of {} calls failed): p50 {} ns, p99 {p99} ns ({:.2}x), \
                 {} failed, {:+} KiB afterwards",
                bad.failed,
                bad.latencies.count(),
                good.latencies.at(0.5),
                p99 as f64 / as_ever as f64,
                good.failed,
                i128::from(rss_kib()) - i128::from(before)
            );
        }
    }
}

fn main() {
    if !is_wanted("hostile") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}
