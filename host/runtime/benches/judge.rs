//! What a judgement costs: through the component, natively, and in Rego; and what
//! the same small policy costs in three languages.
//!
//! `cargo bench -p reprieve-runtime --bench judge`, or `-- twins` for the languages
//! alone. All in one run on one machine, because only ratios travel.

#![allow(clippy::expect_used, missing_debug_implementations)]

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use reprieve_core::{
    evidence::{Answer, Beat, Life, ProbeFault, Question},
    judgement::{Attempt, Call, ForwardFailure, Trigger},
    ports::Witness,
    settings::{Settings, SettingsBook},
    time::{Millis, UnixMillis},
};
use reprieve_policy as kit;
use reprieve_policy::{Evidence, Policy as _};
use reprieve_runtime::{Decided, Engine, EngineOptions, Generation, Limits, Owners, Who};

const DEFAULT: &[u8] = include_bytes!("../../../policies/default.wasm");
const UNRULY: &[u8] = include_bytes!("../../../policies/unruly.wasm");
const TWINS: [(&str, &[u8]); 4] = [
    ("the default policy", DEFAULT),
    ("Rust", include_bytes!("../../../policies/examples/second-look-rust.wasm")),
    ("C", include_bytes!("../../../policies/examples/second-look-c.wasm")),
    ("JavaScript", include_bytes!("../../../policies/examples/second-look-javascript.wasm")),
];
const REGO: &str = include_str!("same-rules.rego");

const CALL: Call = Call::Judge {
    trigger: Trigger::ForwardFailed(ForwardFailure::Refused),
    attempt: Attempt { number: 0, since_first: Millis::ZERO },
};

/// A restart that long ago, and a probe that fails.
#[derive(Clone, Copy)]
struct Scene {
    began: Millis,
}

/// Inside the settle window: the default policy asks for the life alone.
const SETTLING: Scene = Scene { began: Millis(10_000) };
/// Past it: it asks for the life and for a look, and rules on the fault.
const BLIND: Scene = Scene { began: Millis(90_000) };

#[async_trait::async_trait]
impl Witness for Scene {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_000_000)
    }

    fn at_hand(&self, question: &Question, _: UnixMillis) -> Option<Answer> {
        match question {
            Question::CurrentLife => {
                let began = Some(self.began);
                Some(Answer::CurrentLife(Ok(Life { began, ..Life::default() })))
            }
            Question::Look => Some(Answer::Look(Err(ProbeFault::TimedOut))),
            Question::NewestBeat => {
                let beat = Beat { age: Millis(7_000), this_life: true };
                Some(Answer::NewestBeat(Ok(Some(beat))))
            }
            _ => None,
        }
    }

    async fn fetch(&self, question: &Question) -> Answer {
        unreachable!("{question:?} is at hand")
    }
}

impl Evidence for Scene {
    fn subject(&self) -> kit::Subject {
        kit::Subject::default()
    }

    fn look(&self) -> Result<kit::Sighting, kit::ProbeFault> {
        Err(kit::ProbeFault::TimedOut)
    }

    fn newest_beat(&self) -> Result<Option<kit::Beat>, kit::StoreFault> {
        Ok(Some(kit::Beat { age: kit::Millis(7_000), this_life: true }))
    }

    fn intervals(&self, _: u32) -> Result<Vec<kit::Millis>, kit::StoreFault> {
        Ok(Vec::new())
    }

    fn newest_contact(&self) -> Result<Option<kit::Beat>, kit::StoreFault> {
        Ok(None)
    }

    fn current_life(&self) -> Result<kit::Life, kit::StoreFault> {
        let began = Some(kit::Millis(self.began.0));
        Ok(kit::Life { began, ..kit::Life::default() })
    }

    fn restart_count(&self, _: kit::Millis) -> Result<u32, kit::StoreFault> {
        Ok(0)
    }

    fn note(&self) -> Result<Option<kit::Note>, kit::StoreFault> {
        Ok(None)
    }

    fn write_note(&self, _: &[u8]) {}

    fn eyesight_between(&self, _: kit::Millis, _: kit::Millis) -> kit::Eyesight {
        kit::Eyesight::default()
    }

    fn tenant_fleet(&self, _: kit::Millis) -> kit::Fleet {
        kit::Fleet::default()
    }
}

/// With everything at hand a decision is there when it is first looked at.
fn decide(generation: &Generation, who: &Who, witness: &Arc<dyn Witness>) -> Decided {
    let decision = pin!(generation.decide(CALL, who, witness));
    match decision.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(decided) => decided,
        Poll::Pending => unreachable!("all facts are at hand"),
    }
}

fn generation(engine: &Engine, bytes: &[u8], fleet: Settings) -> Generation {
    let policy = engine.load(bytes, Limits::default()).expect("a policy");
    let book = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
    Generation::new(1, policy, book, &Owners::new()).expect("a generation")
}

fn deed(name: &str) -> Settings {
    [("do".to_owned(), name.into())].into_iter().collect()
}

fn component(c: &mut Criterion) {
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let who =
        Who { tenant: "acme".parse().expect("a name"), workspace: "w".parse().expect("a name") };
    let default = generation(&engine, DEFAULT, Settings::new());
    let nothing = generation(&engine, UNRULY, deed("nothing"));
    for (name, generation, scene, imports) in [
        ("component, warm, 0 imports (nothing is asked)", &nothing, SETTLING, 0),
        ("component, warm, 1 import (settle window)", &default, SETTLING, 1),
        ("component, warm, 2 imports (probe fault)", &default, BLIND, 2),
    ] {
        let witness: Arc<dyn Witness> = Arc::new(scene);
        assert_eq!(decide(generation, &who, &witness).evidence.len(), imports, "{name}");
        c.bench_function(name, |b| b.iter(|| decide(generation, &who, black_box(&witness))));
    }
    let witness: Arc<dyn Witness> = Arc::new(BLIND);
    c.bench_function("component, fresh instance, session and judgement", |b| {
        let cool = || default.policy().drop_idle();
        b.iter_batched(cool, |()| decide(&default, &who, &witness), BatchSize::PerIteration);
    });
}

/// Two imports are asked by each: the life, and a look that fails.
fn twins(c: &mut Criterion) {
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let who =
        Who { tenant: "acme".parse().expect("a name"), workspace: "w".parse().expect("a name") };
    let witness: Arc<dyn Witness> = Arc::new(BLIND);
    let mut group = c.benchmark_group("twins");
    group.sample_size(20);
    for (language, bytes) in TWINS {
        let judging = generation(&engine, bytes, Settings::new());
        assert_eq!(decide(&judging, &who, &witness).evidence.len(), 2, "{language}");
        group.bench_function(format!("{language}, {} bytes: judge, warm", bytes.len()), |b| {
            b.iter(|| decide(&judging, &who, black_box(&witness)));
        });
        group.bench_function(format!("{language}: judge in a fresh instance"), |b| {
            let cool = || judging.policy().drop_idle();
            b.iter_batched(cool, |()| decide(&judging, &who, &witness), BatchSize::PerIteration);
        });
        group.bench_function(format!("{language}: load, compilation included"), |b| {
            b.iter(|| engine.load(bytes, Limits::default()).expect("a policy"));
        });
    }
    group.finish();
}

fn native(c: &mut Criterion) {
    let policy = reprieve_default_policy::Settings::default();
    let trigger = kit::Trigger::ForwardFailed(kit::ForwardFailure::Refused);
    for (name, scene) in [("native, settle window", SETTLING), ("native, probe fault", BLIND)] {
        c.bench_function(name, |b| {
            b.iter(|| policy.judge(black_box(&scene), trigger, kit::Attempt::FIRST));
        });
    }
}

fn rego(c: &mut Criterion) {
    let mut engine = regorus::Engine::new();
    engine.add_policy("same-rules.rego".to_owned(), REGO.to_owned()).expect("the policy");
    for (name, began, reason) in [
        ("Rego, settle window", SETTLING.began, "settle-window"),
        ("Rego, probe fault", BLIND.began, "probe-fault"),
    ] {
        let input = format!(
            r#"{{"life": {{"in_flight": false, "began": {}}}, "look": {{"fault": "timed-out"}}}}"#,
            began.0
        );
        let input = regorus::Value::from_json_str(&input).expect("an input");
        let mut judge = || {
            engine.set_input(input.clone());
            engine.eval_rule("data.reprieve.judgement".to_owned()).expect("a judgement")
        };
        let judged = judge().to_json_str().expect("JSON");
        assert!(judged.contains(reason), "{judged}");
        c.bench_function(name, |b| b.iter(&mut judge));
    }
}

criterion_group!(benches, component, native, rego, twins);
criterion_main!(benches);
