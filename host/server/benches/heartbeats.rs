//! What signs of life and accepted requests cost.
//!
//! `cargo bench -p reprieve-server --bench heartbeats`
//!
//! - beats per second, and the memory of [`FLEET`] workspaces with their signs
//!   and deadlines, beside the least that anyone could keep: a map from name to
//!   the time of the newest beat
//! - the time to accept a request, on disk, with 1, 8 and 64 callers at once,
//!   beside an append and `fdatasync` of the same bytes for each

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark speaks to whoever runs it, and gives up by panicking"
)]

use std::{
    collections::HashMap,
    fs::File,
    hint::black_box,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use reprieve_core::{
    ids::{LifeId, WorkspaceId},
    liveness::Liveness,
    ports::{Clock, Queue},
    queue::{NewItem, Priority, StoredRequest},
    time::{Millis, UnixMillis},
};
use reprieve_server::{
    clock::HostClock,
    store::{Store, StoreOptions},
};

const FLEET: u32 = 1_000_000;
const LIMIT: Millis = Millis::from_secs(180);
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// As large as a usual message.
const BODY_BYTES: usize = 1_024;

fn workspace(number: u32) -> WorkspaceId {
    format!("workspace-{number}").parse().unwrap()
}

/// Memory that the process has in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1_024
}

fn full(fleet: u32) -> Liveness {
    let mut liveness = Liveness::new();
    for number in 0..fleet {
        let of = workspace(number);
        liveness.set_limit(&of, Some(LIMIT));
        liveness.beat(&of, LifeId(1), NOW);
    }
    liveness
}

/// Printed, not timed: criterion knows no memory.
fn report_memory() {
    let before = resident();
    let baseline: HashMap<String, Instant> =
        (0..FLEET).map(|number| (format!("workspace-{number}"), Instant::now())).collect();
    let bare = resident() - before;
    drop(black_box(baseline));

    let before = resident();
    let liveness = full(FLEET);
    let ours = resident() - before;
    println!(
        "memory of {FLEET} workspaces: signs and deadlines {:.0} MB ({} bytes each); \
         HashMap<String, Instant> {:.0} MB ({} bytes each)",
        ours as f64 / 1e6,
        ours / u64::from(FLEET),
        bare as f64 / 1e6,
        bare / u64::from(FLEET),
    );
    drop(black_box(liveness));
}

fn ingestion(criterion: &mut Criterion) {
    report_memory();
    let mut group = criterion.benchmark_group("beat");
    group.throughput(Throughput::Elements(1));
    // A stride that meets every workspace, far from the one before.
    let next = |number: &mut u32| {
        *number = (*number + 618_033) % FLEET;
        *number as usize
    };
    let names: Vec<WorkspaceId> = (0..FLEET).map(workspace).collect();

    let mut liveness = full(FLEET);
    let (mut number, mut now) = (0, NOW);
    group.bench_function("watched, of a million", |bencher| {
        bencher.iter(|| {
            now = now + Millis(1);
            liveness.beat(&names[next(&mut number)], LifeId(1), now);
        });
    });
    group.bench_function("who is overdue, of a million, nobody", |bencher| {
        bencher.iter(|| black_box(liveness.expired(NOW, 64)));
    });
    drop(liveness);

    let mut baseline: HashMap<WorkspaceId, Instant> = HashMap::with_capacity(FLEET as usize);
    baseline.extend(names.iter().map(|name| (name.clone(), Instant::now())));
    group.bench_function("HashMap insert, of a million", |bencher| {
        bencher.iter(|| {
            if let Some(at) = baseline.get_mut(&names[next(&mut number)]) {
                *at = Instant::now();
            }
        });
    });
    group.finish();
}

fn request(number: u64) -> NewItem {
    NewItem {
        workspace: workspace((number % 512) as u32),
        message_id: number.to_string(),
        priority: Priority::TASK,
        request: StoredRequest {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
            body: vec![b'x'; BODY_BYTES],
        },
        decision: None,
    }
}

fn accepting(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir_in(".").unwrap();
    let (store, clock) = runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(HostClock::start());
        let options = StoreOptions { queue_capacity: u32::MAX, ..StoreOptions::default() };
        (Store::open(folder.path(), options, Arc::clone(&clock)).await.unwrap(), clock)
    });
    let mut group = criterion.benchmark_group("accept");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    let mut number = 0;
    for callers in [1u64, 8, 64] {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(format!("{callers} callers"), |bencher| {
            bencher.iter(|| {
                number += callers;
                let (queue, now) = (&store.queue, clock.now());
                let accepts =
                    (0..callers).map(|caller| queue.accept(request(number + caller), now));
                runtime.block_on(futures::future::join_all(accepts))
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    let mut file = File::create(folder.path().join("baseline")).unwrap();
    group.bench_function("append and fdatasync", |bencher| {
        bencher.iter_batched(
            || vec![b'x'; BODY_BYTES],
            |bytes| {
                file.write_all(&bytes).unwrap();
                file.sync_data().unwrap();
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    runtime.block_on(store.close()).unwrap();
}

criterion_group!(benches, ingestion, accepting);
criterion_main!(benches);
