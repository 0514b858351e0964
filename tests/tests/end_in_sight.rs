//! A host on the Engine's machine sees a container's process end, whatever the Engine
//! does at that moment. A real Engine, a real host beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use reprieve_core::{
    decision::{Decision, Outcome},
    ids::LifeId,
    judgement::{Call, Trigger, Verdict},
    ports::DecisionFilter,
};
use reprieve_server::store::DecisionReader;
use reprieve_tests::{
    engine::{ContainerSpec, Engine},
    reprieve,
};
use tokio::time::{interval, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const MANY: u32 = 1_000;

#[tokio::test]
async fn an_end_is_judged_while_the_engine_is_frozen_and_believed_when_it_is_back() {
    let Some(stage) = Stage::with_one_running().await else { return };
    let pid = stage.first_process().await;
    stage.engine.freeze().await;
    stage.kill(&pid).await;
    stage.until("its end is judged", |all| all.iter().any(is_first_word)).await;
    stage
        .until("to look is in vain", |all| {
            let since = all.iter().skip_while(|one| !is_first_word(one));
            since.into_iter().any(|one| rules(one, "probe-fault"))
        })
        .await;
    stage.engine.thaw().await;
    stage.until("it is dead", |all| all.iter().any(is_death)).await;
    stage.until_restarted().await;
}

/// The Engine writes an end down some milliseconds after it was seen, which is no
/// other end: the second look believes it, and no third is needed.
///
/// A busy machine may lose the millisecond in which a look's ages are handed on,
/// which costs one more look. So one life of three suffices: taken for another end,
/// it would be that in each.
#[tokio::test]
async fn an_end_in_sight_is_believed_at_the_second_look() {
    let Some(stage) = Stage::with_one_running().await else { return };
    let mut looks_of_each = Vec::new();
    for life in 1..=3 {
        stage.kill(&stage.first_process().await).await;
        let all = stage.until("it is dead", |all| of(life, all).any(is_death)).await;
        let since = of(life, &all).skip_while(|one| !is_first_word(one));
        let looks = since.take_while(|one| !is_death(one));
        let looks = looks.filter(|one| matches!(one.call, Call::Judge { .. })).count();
        if looks == 1 {
            return;
        }
        looks_of_each.push(looks);
        stage
            .until("it lives again", |all| of(life + 1, all).any(|one| rules(one, "running")))
            .await;
    }
    panic!("judged before it was dead: {looks_of_each:?} times");
}

/// A real Engine, a real host that sees its processes, and a container `one`.
struct Stage {
    engine: Engine,
    state: tempfile::TempDir,
    _host: tokio::process::Child,
}

impl Stage {
    async fn with_one_running() -> Option<Self> {
        let engine = Engine::start().await?;
        let state = tempfile::tempdir().unwrap();
        let container = ContainerSpec::idle("one");
        let container = container.label("reprieve.workspace", "one").label("reprieve.port", "8000");
        engine.run(&container).await;
        let config = state.path().join("reprieve.toml");
        let text = format!(
            "proxy.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
             [docker]\nenabled = true\nsocket = \"{}\"\n[policy.settings]\nsettle = \"1s\"\nrestart_debounce = \"1s\"\n",
            engine.socket().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut host = engine.beside(reprieve());
        host.args(["run", "--config"]).arg(&config).arg("--state-dir").arg(state.path());
        let host = host.kill_on_drop(true).spawn().unwrap();
        let stage = Self { engine, state, _host: host };
        stage.until("it is found alive", |all| all.iter().any(|one| rules(one, "running"))).await;
        Some(stage)
    }

    async fn first_process(&self) -> String {
        let pid = self.engine.docker(&["inspect", "--format", "{{.State.Pid}}", "one"]).await;
        pid.trim().to_owned()
    }

    async fn kill(&self, pid: &str) {
        let killed = self.engine.beside("kill").args(["-KILL", pid]).status().await.unwrap();
        assert!(killed.success(), "{killed}");
    }

    /// Waits until the decisions on record, oldest first, are so.
    async fn until(&self, what: &str, is_so: impl Fn(&[Decision]) -> bool) -> Vec<Decision> {
        let filter = DecisionFilter { limit: MANY, ..DecisionFilter::default() };
        let mut newest = Vec::new();
        let mut look = interval(LOOK_EVERY);
        let waited = timeout(PATIENCE, async {
            loop {
                look.tick().await;
                // Until the host has made its store, there is none to be read.
                let Ok(reader) = DecisionReader::open(self.state.path()) else { continue };
                newest = reader.list(&filter).unwrap_or_default();
                if is_so(&newest) {
                    return;
                }
            }
        });
        let waited = waited.await;
        assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}; there is {newest:#?}");
        newest
    }

    async fn until_restarted(&self) {
        let mut look = interval(LOOK_EVERY);
        let back = async {
            while self.engine.inspect("one").await["State"]["Running"] != true {
                look.tick().await;
            }
        };
        timeout(PATIENCE, back).await.expect("it is restarted");
    }
}

/// The end was reported, and shall be looked at again.
fn is_first_word(decision: &Decision) -> bool {
    matches!(decision.call, Call::Judge { trigger: Trigger::RuntimeStopped, attempt } if attempt.number == 0)
        && rules(decision, "exit-reported")
}

fn of(life: u64, all: &[Decision]) -> impl Iterator<Item = &Decision> {
    all.iter().filter(move |decision| decision.life == LifeId(life))
}

fn rules(decision: &Decision, reason: &str) -> bool {
    decision.outcome.reason_code() == reason
}

fn is_death(decision: &Decision) -> bool {
    matches!(decision.outcome, Outcome::Judged { verdict: Verdict::Dead, .. })
}
