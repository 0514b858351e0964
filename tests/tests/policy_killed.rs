//! The host is killed (`kill -9`) at random moments while a policy comes into
//! force, and comes back with the old one or the new one, whole.
//!
//! A failing run prints its seed; `REPRIEVE_SEED` plays it again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stderr, reason = "tells the seed")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use http::{Method, StatusCode};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use reprieve_core::ids::Digest;
use reprieve_tests::Program;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

const KILLS: u32 = 50;
const KILLS_BY_REQUEST: u32 = 25;
const POLICIES: [&[u8]; 2] = [
    include_bytes!("../../policies/default.wasm"),
    include_bytes!("../../policies/count-debounce.wasm"),
];

/// Whole from one moment to the next, as a careful operator copies files.
fn put(folder: &Path, bytes: &[u8]) {
    fs::write(folder.join("policy.new"), bytes).unwrap();
    fs::rename(folder.join("policy.new"), folder.join("policy.wasm")).unwrap();
}

/// What the record says is in force, if it is one of the two and kept whole.
fn in_force(folder: &Path) -> Result<Digest, String> {
    let text = fs::read(folder.join("policies/active.json")).map_err(|e| e.to_string())?;
    let record: Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    let component = record["activations"][0]["component"].as_str().unwrap_or_default();
    let known = POLICIES.map(Digest::of);
    let Some(active) = known.into_iter().find(|digest| digest.to_string() == component) else {
        return Err(format!("{component:?} is in force"));
    };
    let kept = fs::read(folder.join(format!("policies/{active}.wasm")));
    let kept = kept.map_err(|e| e.to_string())?;
    if Digest::of(&kept) == active { Ok(active) } else { Err(format!("{active} is damaged")) }
}

fn dice() -> StdRng {
    let seed = std::env::var("REPRIEVE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("REPRIEVE_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_in_the_middle_of_an_activation_leave_the_old_policy_or_the_new() {
    let mut dice = dice();
    let program = Program::new("[policy]\nfile = \"policy.wasm\"\nwatch = \"activate\"\n");
    put(program.folder(), POLICIES[0]);
    let mut changes = 0;
    let mut before = None;
    for kill in 1..=KILLS {
        let mut host = program.start();
        program.until_up().await;
        let found = in_force(program.folder()).unwrap_or_else(|why| panic!("kill {kill}: {why}"));
        changes += u32::from(before.replace(found).is_some_and(|before| before != found));
        put(program.folder(), POLICIES[kill as usize % 2]);
        // The host waits for 250 ms of quiet, and then takes some tens of them.
        let moment = Duration::from_millis(dice.random_range(0..600));
        sleep_until(Instant::now() + moment).await;
        host.kill().await;
        in_force(program.folder()).unwrap_or_else(|why| panic!("after kill {kill}: {why}"));
    }
    assert!(changes > KILLS / 4, "only {changes} activations: nothing was interrupted");
    let host = program.start();
    program.until_up().await;
    host.end().await;
}

/// None: the host was killed before it answered.
async fn activate(program: Arc<Program>, component: Digest) -> Option<StatusCode> {
    let body = json!({"component": component.to_string(), "why": "a test"});
    let answer = program.ask_operator(Method::POST, "policies/activate", Some("*"), &body);
    Some(answer.await?.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_that_was_answered_outlives_a_kill() {
    let mut dice = dice();
    let program = Arc::new(Program::new(""));
    let names = ["default", "count-debounce"];
    let (mut expected, mut answered) = (vec![Digest::of(POLICIES[0])], 0);
    for kill in 0..KILLS_BY_REQUEST {
        let mut host = program.start();
        program.until_up().await;
        let found = in_force(program.folder()).unwrap_or_else(|why| panic!("kill {kill}: {why}"));
        assert!(expected.contains(&found), "kill {kill}: {found} instead of one of {expected:?}");
        let other = usize::from(found == Digest::of(POLICIES[0]));
        let wanted = Digest::of(POLICIES[other]);
        let body = json!({"name": names[other]});
        let loaded = program.ask_operator(Method::POST, "policies/load", None, &body).await;
        assert_eq!(loaded.unwrap().0, StatusCode::OK, "kill {kill}");
        let activating = tokio::spawn(activate(Arc::clone(&program), wanted));
        // On a busy machine nothing else may be answered in time.
        let latest_ms = if kill % 5 == 0 { 60_000 } else { dice.random_range(0..40) };
        let answer = timeout(Duration::from_millis(latest_ms), activating).await;
        host.kill().await;
        expected = match answer {
            Ok(answer) => {
                assert_eq!(answer.unwrap(), Some(StatusCode::OK), "kill {kill}");
                answered += 1;
                vec![wanted]
            }
            // Under way, or done and its answer was too late.
            Err(_elapsed) => vec![found, wanted],
        };
    }
    assert!(answered >= KILLS_BY_REQUEST / 5, "only {answered} were answered");
}
