//! The host is killed (`kill -9`) while settings are being applied, and comes back
//! with the old or the new ones, whole.
//!
//! A failing run prints its seed; `REPRIEVE_SEED` plays it again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stderr, reason = "tells the seed")]

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use reprieve_tests::Program;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

const KILLS: u32 = 50;
const LAYER: &str = "settings/tenants/acme";

/// The two settings that every change sets to the same length.
const KEYS: [&str; 2] = ["settle", "restart_debounce"];

/// Applies one change after the other until no host answers. Returns the newest
/// that was acknowledged and the newest that was sent.
async fn apply_until_killed(program: Arc<Program>, first: u64) -> (u64, u64) {
    let (mut acknowledged, mut sent) = (first - 1, first - 1);
    loop {
        sent += 1;
        let length = format!("{sent}ms");
        let body = json!({ "settings": { KEYS[0]: length, KEYS[1]: length }, "why": "a test" });
        match program.ask_operator(Method::PATCH, LAYER, Some("*"), &body).await {
            Some((StatusCode::OK, change)) => {
                assert_eq!(change["after"]["settle"], length);
                acknowledged = sent;
            }
            Some((status, body)) => panic!("change {sent}: {status} {body}"),
            None => return (acknowledged, sent),
        }
    }
}

/// What is in force of both settings, and the newest change on record.
async fn in_force(program: &Program) -> ([String; 2], Value) {
    let shown = program.ask_operator(Method::GET, LAYER, None, &Value::Null).await;
    let (status, shown) = shown.expect("a host answers");
    assert_eq!(status, StatusCode::OK, "{shown}");
    let value = |key: &str| {
        let settings = shown["settings"].as_array().unwrap();
        let setting = settings.iter().find(|setting| setting["key"] == key).unwrap();
        setting["value"].as_str().unwrap().to_owned()
    };
    let history = "settings/history?limit=1";
    let (_, history) =
        program.ask_operator(Method::GET, history, None, &Value::Null).await.expect("it answers");
    (KEYS.map(value), history["changes"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_while_settings_are_applied_leave_the_old_or_the_new_whole() {
    let seed = std::env::var("REPRIEVE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("REPRIEVE_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let program = Arc::new(Program::new("admin.requests_per_second = 100000\n"));
    let (mut acknowledged, mut sent) = (0, 0);
    for kill in 0..KILLS {
        let mut host = program.start();
        program.until_up().await;
        let ([settle, debounce], newest) = in_force(&program).await;
        assert_eq!(settle, debounce, "kill {kill}: half a change is in force");
        // Before the first change it is the policy's default.
        let known = settle.strip_suffix("ms").map_or(0, |number| number.parse().unwrap());
        let expected = acknowledged..=sent;
        assert!(expected.contains(&known), "kill {kill}: {known} is not in {expected:?}");
        if known > 0 {
            assert_eq!(newest["after"]["settle"], settle, "kill {kill}: not what is on record");
        }
        let applying = tokio::spawn(apply_until_killed(Arc::clone(&program), known + 1));
        let moment = Duration::from_micros(dice.random_range(0..60_000));
        sleep_until(Instant::now() + moment).await;
        host.kill().await;
        (acknowledged, sent) = applying.await.unwrap();
    }
    assert!(acknowledged > u64::from(KILLS) / 2, "only {acknowledged} changes were made: no load");
}
