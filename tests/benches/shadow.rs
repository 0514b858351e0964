//! What a shadow costs who acts: the failed forwards of story 1, with and without one.
//!
//! `cargo xtask bench shadow`. The daemon answers nothing, and the forwards to all of
//! 16 workspaces fail: once in bursts, 5 to 35 ms apart, and once as fast as their
//! callers can. Timed is how long each caller waits for what is to become of his request, through
//! the real supervisor: its tasks, the look, the policy, the decision log (in memory) and
//! the experiments with the thread that judges beside.
//!
//! In turns of 2 s, so that the machine is the same for all: nobody beside, nobody beside
//! once more, which shows how much differs by chance, and `trust-the-probe` beside
//! everybody, which would kill them all. Reported, not asserted.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark speaks to whoever runs it, and gives up by panicking"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reprieve_core::{
    evidence::ProbeFault,
    experiment::{Arm, Experiment},
    ids::{Digest, ExperimentName},
    judgement::ForwardFailure,
};
use reprieve_server::{
    experiments::Experiments,
    policies::{Actor, Policies},
    proxy::fleet::Fleet as _,
    supervisor::Supervisor,
};
use reprieve_tests::{Stage, StageOptions, policies_in, ws};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const FLEET: u32 = 16;
const TURNS: u32 = 20;
const TURN: Duration = Duration::from_secs(2);
/// Of each turn, and not timed: who starts an experiment turns everything over once.
const WARMING: Duration = Duration::from_millis(200);
/// Of every length alike often, so that no burst keeps time with who judges beside.
const BETWEEN_BURSTS_MS: std::ops::Range<u64> = 5..36;
/// Until nobody settles any more: then the policy asks for a look, as in story 1.
const SETTLED_AFTER: Duration = Duration::from_secs(62);

/// How callers come.
#[derive(Clone, Copy)]
enum Load {
    Bursts,
    AsFastAsTheyCan,
}

/// What callers waited, and what became of the judgements beside.
#[derive(Default)]
struct Seen {
    waited: Vec<Duration>,
    judged: u64,
    dropped: u64,
}

struct Bench {
    stage: Stage,
    experiments: Experiments,
    candidate: Digest,
    turn: u32,
    /// To set it up.
    starts: usize,
}

impl Bench {
    /// A fleet that has settled, and whose runtime then shows nothing.
    async fn set(policies: &Policies, stop: CancellationToken) -> Self {
        let loaded = policies.load_named("trust-the-probe", &somebody()).await.unwrap();
        let stage = Stage::set_at_once(StageOptions {
            workspaces: FLEET,
            beat_every: Duration::from_secs(5),
            current: Some(Arc::clone(policies.current())),
            ..StageOptions::default()
        })
        .await;
        let experiments = stage.experiments(policies).await;
        tokio::spawn(experiments.clone().follow(stop));
        stage.pass(SETTLED_AFTER).await;
        stage.runtime.stall(ProbeFault::ClosedEarly);
        let starts = stage.restarts().len();
        Self { stage, experiments, candidate: loaded.component, turn: 0, starts }
    }

    async fn alone(&mut self, load: Load, seen: &mut Seen) {
        seen.waited.extend(callers(&self.stage.supervisor, load).await);
    }

    async fn beside_a_shadow(&mut self, load: Load, seen: &mut Seen) {
        let name = self.start().await;
        self.alone(load, seen).await;
        let observer = Arc::clone(&self.stage.observer);
        tokio::task::spawn_blocking(move || observer.wait_for_beside()).await.unwrap();
        let ended = self.experiments.abort(&name, &somebody()).await.unwrap();
        seen.judged += ended.page.tally.counts(Arm::Candidate).judged;
        seen.dropped += ended.page.tally.dropped;
    }

    /// Whatever it would do, no guardrail ends it.
    async fn start(&mut self) -> ExperimentName {
        self.turn += 1;
        let experiment = json!({
            "name": format!("shadow-{}", self.turn), "owner": "bench",
            "hypothesis": "it costs who acts nothing", "mode": "shadow", "share_bp": 10_000,
            "candidate": {"component": self.candidate},
            "guardrails": {"error_bound": 0.0001, "min_events": 1_000},
            "ends_at": self.stage.clock.now().0 + 3_600_000,
        });
        let experiment: Experiment = serde_json::from_value(experiment).unwrap();
        self.experiments.start(experiment, &somebody()).await.unwrap().record.experiment.name
    }
}

fn somebody() -> Actor {
    Actor { by: "bench".to_owned(), why: "to measure".to_owned() }
}

/// What the callers of every workspace wait, for the length of a turn.
async fn callers(supervisor: &Supervisor, load: Load) -> Vec<Duration> {
    let began = Instant::now();
    let mut waited = Vec::new();
    let warm = move |(asked, waited): (Instant, Duration)| {
        (asked.duration_since(began) >= WARMING).then_some(waited)
    };
    match load {
        Load::Bursts => {
            let mut lengths = BETWEEN_BURSTS_MS.cycle().step_by(11);
            while began.elapsed() < TURN {
                let length = lengths.next().map_or(Duration::ZERO, Duration::from_millis);
                tokio::time::sleep_until(tokio::time::Instant::now() + length).await;
                let burst: Vec<_> =
                    (1..=FLEET).map(|n| tokio::spawn(fails(supervisor.clone(), n))).collect();
                for caller in burst {
                    waited.extend(warm(caller.await.unwrap()));
                }
            }
        }
        Load::AsFastAsTheyCan => {
            let again_and_again = |number| {
                let supervisor = supervisor.clone();
                tokio::spawn(async move {
                    let mut waited = Vec::new();
                    while began.elapsed() < TURN {
                        waited.extend(warm(fails(supervisor.clone(), number).await));
                    }
                    waited
                })
            };
            let all: Vec<_> = (1..=FLEET).map(again_and_again).collect();
            for caller in all {
                waited.extend(caller.await.unwrap());
            }
        }
    }
    waited
}

/// A forward to that workspace fails: when, and how long until its caller can be
/// answered.
async fn fails(supervisor: Supervisor, number: u32) -> (Instant, Duration) {
    let id = ws(number);
    let life = supervisor.route(&id).expect("it is known").life;
    let asked = Instant::now();
    supervisor.forward_failed(&id, life, ForwardFailure::ClosedEarly).await;
    (asked, asked.elapsed())
}

fn part(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

fn tell(what: &str, seen: &mut Seen, baseline: Option<[Duration; 2]>) -> [Duration; 2] {
    seen.waited.sort_unstable();
    let [p50, p99] = [0.5, 0.99].map(|share| part(&seen.waited, share));
    let against = baseline.map(|[of_p50, of_p99]| {
        let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
        format!(" ({:.2}x, {:.2}x)", ratio(p50, of_p50), ratio(p99, of_p99))
    });
    let count = seen.waited.len();
    println!("  {what}: p50 {p50:.1?}, p99 {p99:.1?}{} of {count}", against.unwrap_or_default());
    [p50, p99]
}

async fn run() {
    let state = tempfile::tempdir().unwrap();
    let policies = policies_in(state.path()).await;
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let mut bench = Bench::set(&policies, stop).await;
    for (name, load) in [
        ("16 at once, 5 to 35 ms apart", Load::Bursts),
        ("16 as fast as they can", Load::AsFastAsTheyCan),
    ] {
        let [mut alone, mut again, mut beside] = <[Seen; 3]>::default();
        for _ in 0..TURNS {
            bench.alone(load, &mut alone).await;
            bench.beside_a_shadow(load, &mut beside).await;
            bench.alone(load, &mut again).await;
        }
        println!("{name}:");
        let baseline = tell("nobody beside", &mut alone, None);
        tell("nobody beside, once more", &mut again, Some(baseline));
        tell("beside a shadow", &mut beside, Some(baseline));
        println!("  it judged {} of them, and had no time for {}", beside.judged, beside.dropped);
    }
    assert_eq!(bench.stage.restarts()[bench.starts..], [], "a shadow acts on nobody");
}

fn main() {
    let mut wanted = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    if wanted.next().is_some_and(|filter| !"shadow".contains(&filter)) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}
