//! The host is killed (`kill -9`) while experiments are started, aborted and promoted.
//! It comes back with each of them whole or not at all, with what anybody was told of
//! it, and with the policy and the settings in force that this leads to. Who was
//! aborted never acts again.
//!
//! A failing run prints its seed; `REPRIEVE_SEED` plays it again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stderr, reason = "tells the seed")]

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use reprieve_tests::Program;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

const KILLS: u32 = 40;
const KILLS_AT_A_GUARDRAIL: u32 = 10;
/// The newest moment of a kill, after the host is up.
const LATEST: Duration = Duration::from_millis(600);
const UNRULY: &[u8] = include_bytes!("../../policies/unruly.wasm");

/// One workspace, about which every request asks the policy.
const CONFIG: &str = "admin.requests_per_second = 100000\nproxy.preflight = true\n\
    policy.folder = \"{folder}\"\n\
    [workspaces.ws-1]\ntenant = \"acme\"\ncommand = [\"{reprieve}\", \"agent\"]\n\
    stop_grace = \"1s\"\n";

/// The candidates: another component than the one before, and settings that no other
/// has.
fn policy(number: u32) -> &'static str {
    ["trust-the-probe", "default"][number as usize % 2]
}

fn liveness_ttl(number: u32) -> String {
    format!("{}s", 600 + number)
}

/// What anybody was told of the experiments, each by its number.
type Told = Arc<Mutex<BTreeMap<u32, String>>>;

/// Never back: nobody unlearns that something has ended.
fn learn(told: &Told, number: u32, state: &str) {
    let mut told = told.lock();
    let known = told.entry(number).or_insert_with(|| state.to_owned());
    if known == "running" {
        state.clone_into(known);
    }
}

fn dice() -> StdRng {
    let seed = std::env::var("REPRIEVE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("REPRIEVE_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn program() -> Program {
    let folder = tempfile::tempdir().unwrap().keep();
    fs::write(folder.join("unruly.wasm"), UNRULY).unwrap();
    Program::new(&CONFIG.replace("{folder}", folder.to_str().unwrap()))
}

/// What a host says that is asked.
async fn shown(program: &Program, path: &str) -> Option<Value> {
    let (status, shown) = program.ask_operator(Method::GET, path, None, &Value::Null).await?;
    // Cut off in the middle: nobody was told anything.
    (!shown.is_null()).then(|| {
        assert_eq!(status, StatusCode::OK, "{path}: {shown}");
        shown
    })
}

/// Number and state of each experiment, the oldest first.
fn standing(listed: &Value) -> Vec<(u32, String)> {
    let all = listed["experiments"].as_array().unwrap().iter().rev();
    let one = |experiment: &Value| {
        let name = experiment["name"].as_str().unwrap();
        let number = name.strip_prefix("e-").unwrap().parse().unwrap();
        assert_eq!(experiment["suspended"], Value::Null, "{experiment}");
        (number, experiment["state"].as_str().unwrap().to_owned())
    };
    all.map(one).collect()
}

/// Looks all the time, as a page that somebody has open does.
async fn watch_until_killed(program: Arc<Program>, told: Told) {
    while let Some(listed) = shown(&program, "experiments").await {
        for (number, state) in standing(&listed) {
            learn(&told, number, &state);
        }
    }
}

/// Asks for it. None: the host was killed before it answered.
async fn ask(program: &Program, path: &str, body: &Value) -> Option<StatusCode> {
    let (status, answer) = program.ask_operator(Method::POST, path, Some("*"), body).await?;
    assert!(status.is_success() || answer.is_null(), "{path}: {status} {answer}");
    (!answer.is_null()).then_some(status)
}

async fn start(program: &Program, number: u32, more: Value) -> Option<StatusCode> {
    let mut definition = json!({
        "name": format!("e-{number}"), "owner": "ana", "hypothesis": "a kill harms nobody",
        "mode": "ab", "share_bp": 10_000, "ends_at_ms": now_ms() + 3_600_000,
        "candidate": {"policy": policy(number),
            "settings": {"liveness_ttl": liveness_ttl(number)}},
    });
    definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask(program, "experiments", &json!({"definition": definition})).await
}

/// What runs is ended, one way or the other, and the next one started. Returns what was
/// asked for last.
async fn change_until_killed(
    program: Arc<Program>,
    told: Told,
    mut running: Option<u32>,
    mut next: u32,
    mut dice: StdRng,
) -> (u32, &'static str) {
    loop {
        let (number, verb, answered) = match running.take() {
            Some(number) => {
                let (verb, state) = match dice.random_bool(0.5) {
                    true => ("abort", "aborted"),
                    false => ("promote", "promoted"),
                };
                let path = format!("experiments/e-{number}/{verb}");
                let answered = ask(&program, &path, &json!({"why": "a test"})).await;
                (number, verb, answered.map(|_| state))
            }
            None => {
                let number = next;
                next += 1;
                let answered = start(&program, number, json!({})).await;
                running = answered.map(|_| number);
                (number, "start", answered.map(|_| "running"))
            }
        };
        let Some(state) = answered else { return (number, verb) };
        learn(&told, number, state);
    }
}

/// The component that is in force, and the setting.
async fn in_force(program: &Program) -> (String, String) {
    let policies = shown(program, "policies").await.expect("a host answers");
    let settings = shown(program, "settings/fleet").await.expect("a host answers");
    let settings = settings["settings"].as_array().unwrap();
    let setting = settings.iter().find(|setting| setting["key"] == "liveness_ttl").unwrap();
    let policy = policies["active"]["policy"].as_str().unwrap();
    let name = policy.split(' ').next().unwrap();
    (name.to_owned(), setting["value"].as_str().unwrap().to_owned())
}

/// Who decides about the workspace now: of which experiment's arm, and by which policy.
async fn decides(program: &Program) -> (Value, String) {
    let newest = || async {
        let path = "decisions?limit=1&workspace=ws-1";
        shown(program, path).await.expect("a host answers")["decisions"][0].clone()
    };
    let before = newest().await["record"]["id"].clone();
    program.send(Method::POST, "ws-1/hello", &json!({})).await;
    let decision = Mutex::new(Value::Null);
    program
        .until("somebody decides", || async {
            *decision.lock() = newest().await;
            decision.lock()["record"]["id"] != before
        })
        .await;
    let record = decision.into_inner()["record"].take();
    let policy = record["generation"]["policy"].as_str().unwrap_or_default();
    let name = policy.split(' ').next().unwrap_or_default().to_owned();
    (record["experiment"].clone(), name)
}

/// What has become of the experiments, and that everything else agrees with it.
struct Found {
    states: BTreeMap<u32, String>,
    running: Option<u32>,
}

async fn found(program: &Program, case: &str) -> Found {
    let all = standing(&shown(program, "experiments").await.expect("a host answers"));
    let states: BTreeMap<_, _> = all.iter().cloned().collect();
    assert_eq!(states.len(), all.len(), "{case}: {all:?}");
    let promoted = all.iter().rfind(|(_, state)| state == "promoted").map(|(number, _)| *number);
    let expected = match promoted {
        Some(number) => (policy(number).to_owned(), liveness_ttl(number)),
        None => ("default".to_owned(), "3min".to_owned()),
    };
    assert_eq!(in_force(program).await, expected, "{case}: {all:?}");
    let running: Vec<_> =
        all.iter().filter(|(_, state)| state == "running").map(|(number, _)| *number).collect();
    let (part, name) = decides(program).await;
    match running[..] {
        [] => assert_eq!((part, name), (Value::Null, expected.0), "{case}: {all:?}"),
        [number] => {
            let expected = json!({"name": format!("e-{number}"), "arm": "candidate"});
            assert_eq!((part, &*name), (expected, policy(number)), "{case}: {all:?}");
        }
        _ => panic!("{case}: two run on one workspace: {all:?}"),
    }
    Found { states, running: running.first().copied() }
}

/// Everything is as somebody was told, but for what was under way.
fn holds(told: &BTreeMap<u32, String>, found: &Found, last: Option<(u32, &str)>, case: &str) {
    for (number, state) in &found.states {
        let known = told.get(number).map(String::as_str);
        let asked = last.filter(|(of, _)| of == number).map(|(_, verb)| verb);
        let allowed: &[&str] = match (known, asked) {
            (Some("running"), Some("abort")) => &["running", "aborted"],
            (Some("running"), Some("promote")) => &["running", "promoted"],
            (Some("running"), _) | (None, Some("start")) => &["running"],
            (Some(over), _) => &[over],
            (None, _) => panic!("{case}: nobody asked for e-{number}"),
        };
        assert!(allowed.contains(&&**state), "{case}: e-{number} is {state}, not {allowed:?}");
    }
    let lost: Vec<_> = told.keys().filter(|number| !found.states.contains_key(number)).collect();
    assert!(lost.is_empty(), "{case}: {lost:?} are gone, and somebody was told of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_kills_leave_every_experiment_as_its_caller_was_told() {
    let mut dice = dice();
    let program = Arc::new(program());
    let told = Told::default();
    let (mut last, mut interrupted) = (None, BTreeMap::<&str, u32>::new());
    for kill in 0..KILLS {
        let mut host = program.start();
        program.until_up().await;
        let case = format!("kill {kill}, after {last:?}");
        let found = found(&program, &case).await;
        holds(&told.lock(), &found, last, &case);
        for (number, state) in &found.states {
            learn(&told, *number, state);
        }
        let next = found.states.keys().last().map_or(1, |number| number + 1);
        // A name that was asked for and is not there is free.
        let changing = tokio::spawn(change_until_killed(
            Arc::clone(&program),
            Arc::clone(&told),
            found.running,
            next,
            StdRng::seed_from_u64(dice.random()),
        ));
        let watching = tokio::spawn(watch_until_killed(Arc::clone(&program), Arc::clone(&told)));
        let moment = dice.random_range(Duration::ZERO..LATEST);
        sleep_until(Instant::now() + moment).await;
        host.kill().await;
        let (number, verb) = changing.await.unwrap();
        watching.await.unwrap();
        *interrupted.entry(verb).or_default() += 1;
        last = Some((number, verb));
    }
    let host = program.start();
    program.until_up().await;
    let found = found(&program, "in the end").await;
    holds(&told.lock(), &found, last, "in the end");
    eprintln!("interrupted: {interrupted:?}; in the end: {:?}", found.states);
    let ended = |state: &str| found.states.values().filter(|found| *found == state).count();
    assert_eq!(interrupted.len(), 3, "{interrupted:?}: nothing was interrupted");
    assert!(ended("aborted") > 3 && ended("promoted") > 3, "{:?}", found.states);
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_by_a_guardrail_that_anybody_saw_outlives_a_kill() {
    let mut dice = dice();
    let program = Arc::new(program());
    let told = Told::default();
    for kill in 1..=KILLS_AT_A_GUARDRAIL {
        let mut host = program.start();
        program.until_up().await;
        let before = standing(&shown(&program, "experiments").await.expect("a host answers"));
        for (number, state) in before {
            match told.lock().get(&number).map(String::as_str) {
                Some("aborted") => assert_eq!(state, "aborted", "kill {kill}: e-{number}"),
                known => assert!(known.is_some(), "kill {kill}: nobody asked for e-{number}"),
            }
            if state == "running" {
                let path = format!("experiments/e-{number}/abort");
                ask(&program, &path, &json!({"why": "the next one"})).await.unwrap();
            }
            learn(&told, number, "aborted");
        }
        let guardrails = json!({"min_events": 1, "min_judgements": 1, "error_bound": 0.5});
        let more = json!({"mode": "shadow", "guardrails": guardrails,
            "candidate": {"policy": "unruly", "settings": {"do": "trap"}}});
        start(&program, kill, more).await.expect("a host answers");
        learn(&told, kill, "running");
        let watching = tokio::spawn(watch_until_killed(Arc::clone(&program), Arc::clone(&told)));
        // Every one of them traps the candidate, and some break the guardrail.
        let asking = async {
            loop {
                program.send(Method::POST, "ws-1/hello", &json!({})).await;
            }
        };
        let moment = dice.random_range(Duration::ZERO..LATEST);
        let _ = tokio::time::timeout(moment, asking).await;
        host.kill().await;
        watching.await.unwrap();
    }
    let aborted = told.lock().values().filter(|state| *state == "aborted").count();
    assert!(aborted > 0, "no guardrail was broken");
}
