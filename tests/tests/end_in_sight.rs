//! A host on the Engine's machine sees a container's process end, whatever the Engine
//! does at that moment. A real Engine, a real host beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{path::Path, time::Duration};

use reprieve_core::{
    decision::{Decision, Outcome},
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
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let container = ContainerSpec::idle("one");
    engine.run(&container.label("reprieve.workspace", "one").label("reprieve.port", "8000")).await;
    let config = state.path().join("reprieve.toml");
    let text = format!(
        "proxy.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
         [docker]\nenabled = true\nsocket = \"{}\"\n[policy.settings]\nsettle = \"1s\"\nrestart_debounce = \"1s\"\n",
        engine.socket().display()
    );
    std::fs::write(&config, text).unwrap();
    let mut host = engine.beside(reprieve());
    host.args(["run", "--config"]).arg(&config).arg("--state-dir").arg(state.path());
    let _host = host.kill_on_drop(true).spawn().unwrap();
    until(state.path(), "it is found alive", |all| all.iter().any(|one| rules(one, "running")))
        .await;

    let pid = engine.docker(&["inspect", "--format", "{{.State.Pid}}", "one"]).await;
    engine.freeze().await;
    let killed = engine.beside("kill").args(["-KILL", pid.trim()]).status().await.unwrap();
    assert!(killed.success(), "{killed}");
    until(state.path(), "its end is judged", |all| all.iter().any(is_first_word)).await;
    until(state.path(), "to look is in vain", |all| {
        let since = all.iter().skip_while(|one| !is_first_word(one));
        since.into_iter().any(|one| rules(one, "probe-fault"))
    })
    .await;
    engine.thaw().await;
    until(state.path(), "it is dead", |all| {
        all.iter().any(|one| matches!(one.outcome, Outcome::Judged { verdict: Verdict::Dead, .. }))
    })
    .await;
    let mut look = interval(LOOK_EVERY);
    let back = async {
        while engine.inspect("one").await["State"]["Running"] != true {
            look.tick().await;
        }
    };
    timeout(PATIENCE, back).await.expect("and it is restarted");
}

/// The end was reported, and shall be looked at again.
fn is_first_word(decision: &Decision) -> bool {
    matches!(decision.call, Call::Judge { trigger: Trigger::RuntimeStopped, attempt } if attempt.number == 0)
        && rules(decision, "exit-reported")
}

fn rules(decision: &Decision, reason: &str) -> bool {
    decision.outcome.reason_code() == reason
}

async fn until(state_dir: &Path, what: &str, is_so: impl Fn(&[Decision]) -> bool) {
    let filter = DecisionFilter { limit: MANY, ..DecisionFilter::default() };
    let mut newest = Vec::new();
    let mut look = interval(LOOK_EVERY);
    let waited = timeout(PATIENCE, async {
        loop {
            look.tick().await;
            // Until the host has made its store, there is none to be read.
            let Ok(reader) = DecisionReader::open(state_dir) else { continue };
            newest = reader.list(&filter).unwrap_or_default();
            if is_so(&newest) {
                return;
            }
        }
    });
    let waited = waited.await;
    assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}; there is {newest:#?}");
}
