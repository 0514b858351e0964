//! What ten thousand tenants with settings of their own cost.
//!
//! `cargo bench -p reprieve-runtime --bench settings`
//!
//! - a change of one tenant's settings, beside a host that checks everybody's
//!   again, and a change of the fleet's settings, which does concern everybody
//! - the memory of a tenant
//! - a decision where every tenant has another session of the policy than the one
//!   before, beside one where all have the same

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark speaks to whoever runs it, and gives up by panicking"
)]

mod support;

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use criterion::{Criterion, criterion_group, criterion_main};
use reprieve_core::{
    ids::TenantId,
    ports::Witness,
    settings::{Layer, Settings, SettingsBook, Source},
};
use reprieve_runtime::{
    Engine, EngineOptions, Generation, LayerChange, Limits, Owners, Policy, Who,
};

use crate::support::{CALL, Settling, rss_kib};

const DEFAULT: &[u8] = include_bytes!("../../../policies/default.wasm");
const TENANTS: usize = 10_000;

fn tenant(number: usize) -> TenantId {
    format!("tenant-{number}").parse().expect("a name")
}

fn setting(key: &str, value: String) -> Settings {
    [(key.to_owned(), value.into())].into_iter().collect()
}

/// Each tenant has a window of its own.
fn book() -> SettingsBook {
    let own =
        |number| (tenant(number), Arc::new(setting("settle", format!("{}ms", 60_001 + number))));
    SettingsBook { tenants: (0..TENANTS).map(own).collect(), ..SettingsBook::default() }
}

fn everybody(policy: &Arc<Policy>, book: SettingsBook) -> Generation {
    Generation::new(1, Arc::clone(policy), book, &Owners::new()).expect("a generation")
}

fn changed(layer: Layer, key: &str, value: String) -> LayerChange {
    LayerChange { layer, source: Source::Applied, settings: setting(key, value) }
}

fn next(generation: &Generation, change: LayerChange) -> Generation {
    generation.with_settings(&[change], &Owners::new()).expect("a generation")
}

fn changes(c: &mut Criterion) {
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let policy = engine.load(DEFAULT, Limits::default()).expect("a policy");
    let before = rss_kib();
    let generation = everybody(&policy, book());
    let per_tenant = (rss_kib() - before) * 1_024 / TENANTS as u64;
    let before = rss_kib();
    // As many generations as a minute of swapping every 50 ms would leave behind,
    // if somebody held them all.
    let mut kept = vec![generation.clone()];
    for number in 0..100 {
        let change =
            changed(Layer::Tenant(tenant(number)), "settle", format!("{}ms", 90_001 + number));
        kept.push(next(&kept[number], change));
    }
    let per_generation = (rss_kib() - before) / 100;
    println!(
        "memory of {TENANTS} tenants with settings of their own: {per_tenant} bytes each; of each \
         further generation that somebody holds: {} KiB",
        per_generation
    );
    drop(kept);

    let mut number = 0;
    c.bench_function("settings: a change of one tenant of 10,000", |b| {
        b.iter(|| {
            number += 1;
            let settle = format!("{}ms", 100_000 + number % 1_000_000);
            next(&generation, changed(Layer::Tenant(tenant(17)), "settle", settle))
        });
    });
    let mut group = c.benchmark_group("settings");
    group.sample_size(10);
    group.bench_function("the same, everybody checked again", |b| {
        b.iter(|| everybody(&policy, black_box(book())));
    });
    group.bench_function("a change of the fleet's settings", |b| {
        b.iter(|| {
            number += 1;
            let delay = format!("{}ms", 2_000 + number % 10_000);
            next(&generation, changed(Layer::Fleet, "reprobe_delay", delay))
        });
    });
    group.finish();
}

/// With everything at hand a decision is there when it is first looked at.
fn decide(generation: &Generation, who: &Who, witness: &Arc<dyn Witness>) {
    let decision = pin!(generation.decide(CALL, who, witness));
    match decision.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(decided) => assert_eq!(decided.outcome.reason_code(), "settle-window"),
        Poll::Pending => unreachable!("all facts are at hand"),
    }
}

fn decisions(c: &mut Criterion) {
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let witness: Arc<dyn Witness> = Arc::new(Settling);
    let workspace = || "w".parse().expect("a name");
    let all: Vec<Who> =
        (0..TENANTS).map(|of| Who { tenant: tenant(of), workspace: workspace() }).collect();
    for (sessions, of) in [(32, 1), (32, 32), (32, 33), (32, TENANTS), (16_384, TENANTS)] {
        let limits = Limits { sessions, ..Limits::default() };
        let policy = engine.load(DEFAULT, limits).expect("a policy");
        let generation = everybody(&policy, book());
        let mut turn = all.iter().take(of).cycle();
        let name = format!("settings: a decision, {of} tenants in turn, {sessions} sessions kept");
        c.bench_function(&name, |b| {
            b.iter(|| decide(&generation, turn.next().expect("it cycles"), &witness));
        });
    }
}

criterion_group!(benches, changes, decisions);
criterion_main!(benches);
