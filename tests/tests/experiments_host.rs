//! Experiments on a real host, with its program for operators.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{fs, net::Shutdown};

use http::{Method, StatusCode};
use reprieve_core::ids::Digest;
use reprieve_tests::Program;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const COUNT_DEBOUNCE: &[u8] = include_bytes!("../../policies/count-debounce.wasm");
const TRUST_THE_PROBE: &[u8] = include_bytes!("../../policies/trust-the-probe.wasm");
const UNRULY: &[u8] = include_bytes!("../../policies/unruly.wasm");

/// One workspace, about which every request asks the policy.
const CONFIG: &str = "proxy.preflight = true\n[workspaces.ws-1]\ntenant = \"acme\"\n\
    command = [\"{reprieve}\", \"agent\", \"--beat-every-ms\", \"100\"]\nstop_grace = \"1s\"\n";

const DEFINITION: &str = "name = \"beside\"\nowner = \"ana\"\nhypothesis = \"as good\"\n\
    mode = \"MODE\"\nshare = \"100%\"\nfor = \"1h\"\n[candidate]\npolicy = \"POLICY\"\n";

/// Beyond what a shelf keeps.
const MANY: u8 = 40;

async fn shown(program: &Program, path: &str) -> Value {
    let answer = program.ask_operator(Method::GET, path, None, &Value::Null).await;
    let (status, shown) = answer.expect("a host answers");
    assert_eq!(status, StatusCode::OK, "{path}: {shown}");
    shown
}

/// Writes `beside.toml` into a folder of its own, beside what `files` are.
fn define(program: &Program, mode: &str, policy: &str, more: &str, files: &[(&str, &[u8])]) {
    let folder = program.folder().join("definitions");
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let text = DEFINITION.replace("MODE", mode).replace("POLICY", policy) + more;
    fs::write(folder.join("beside.toml"), text).unwrap();
}

async fn run(program: &Program, command: &str) -> String {
    let (code, told) = program.run_command(command).await;
    assert_eq!(code, 0, "{command}: {told}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_names_its_component_as_seen_from_its_own_folder() {
    let program = Program::new(CONFIG);
    // Another one of that name lies where the command is run.
    fs::write(program.folder().join("mine.wasm"), TRUST_THE_PROBE).unwrap();
    define(&program, "shadow", "mine.wasm", "", &[("mine.wasm", COUNT_DEBOUNCE)]);
    let host = program.start();
    program.until_up().await;
    run(&program, "reprieve experiment start definitions/beside.toml").await;
    let component = Digest::of(COUNT_DEBOUNCE).to_string();
    assert_eq!(shown(&program, "experiments/beside").await["component"], component);
    assert!(shown(&program, "policies").await["active"]["policy"] == "default 0.1.0");
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_loaded_as_a_shadow_judges_beside_and_acts_on_nobody() {
    let program = Program::new(CONFIG);
    fs::write(program.folder().join("mine.wasm"), COUNT_DEBOUNCE).unwrap();
    let host = program.start();
    program.until_up().await;
    let load = "reprieve policy load ./mine.wasm --shadow --owner ana --hypothesis 'as good'";
    let told = run(&program, load).await;
    assert!(told.contains("runs. Look at it with"), "{told}");
    let listed = shown(&program, "experiments").await["experiments"][0].clone();
    assert_eq!(listed["mode"], "shadow", "{listed}");
    assert_eq!(listed["component"], Digest::of(COUNT_DEBOUNCE).to_string());
    let path = format!("experiments/{}", listed["name"].as_str().unwrap());
    program
        .until("the shadow is asked", || async {
            program.send(Method::POST, "ws-1/hello", &json!({})).await;
            let comparison = shown(&program, &path).await["comparison"].clone();
            // It may ask for what the control did not look at.
            ["compared", "missing"].iter().any(|key| comparison[key].as_u64().unwrap() > 0)
        })
        .await;
    let decided = shown(&program, "decisions?limit=1").await["decisions"][0]["record"].clone();
    assert_eq!(decided["generation"]["policy"], "default 0.1.0", "{decided}");
    assert_eq!(decided["experiment"]["arm"], "control", "{decided}");
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_caller_hangs_up_is_seen_through() {
    let program = Program::new("");
    let mut host = program.start();
    program.until_up().await;
    let ends = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() + 3_600_000;
    // It is loaded and compiled first, which takes its time.
    let definition = json!({"name": "left", "owner": "ana", "hypothesis": "as good",
        "mode": "shadow", "share_bp": 10_000, "candidate": {"policy": "count-debounce"},
        "ends_at_ms": u64::try_from(ends).unwrap()});
    let body = json!({"definition": definition}).to_string();
    let request = format!(
        "POST /admin/v1/experiments HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        program.admin_token().trim(),
        body.len()
    );
    let address = program.admin().trim_start_matches("http://");
    let mut caller = TcpStream::connect(address).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    caller.flush().await.unwrap();
    let caller = caller.into_std().unwrap();
    caller.shutdown(Shutdown::Both).unwrap();
    drop(caller);
    let is_there = || async {
        let listed = shown(&program, "experiments").await;
        listed["experiments"][0]["state"] == "running"
    };
    program.until("it runs", is_there).await;
    host.kill().await;
    let host = program.start();
    program.until_up().await;
    assert!(is_there().await, "and it is on disk");
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_starts_keeps_what_its_experiments_try_however_full_the_shelf_is() {
    let program = Program::new("");
    define(&program, "ab", "mine.wasm", "", &[("mine.wasm", COUNT_DEBOUNCE)]);
    let mut host = program.start();
    program.until_up().await;
    run(&program, "reprieve experiment start definitions/beside.toml").await;
    host.kill().await;
    for nth in 0..MANY {
        let newer = format!("policies/{}.wasm", Digest::of(&[nth]));
        fs::write(program.folder().join(newer), [nth]).unwrap();
    }
    for _ in 0..2 {
        let mut host = program.start();
        program.until_up().await;
        let beside = shown(&program, "experiments/beside").await;
        assert_eq!(beside["state"], "running");
        assert_eq!(beside["suspended"], Value::Null, "{beside}");
        host.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_was_put_away_is_told_and_is_no_fault_of_the_policy_that_judges() {
    let program = Program::new(CONFIG);
    let more = "settings = { do = \"trap\" }\n[guardrails]\nmin_events = 1\n\
        min_judgements = 1\nerror_bound = 0.5\n";
    define(&program, "shadow", "unruly.wasm", more, &[("unruly.wasm", UNRULY)]);
    let host = program.start();
    program.until_up().await;
    run(&program, "reprieve experiment start definitions/beside.toml").await;
    program
        .until("its abort", || async {
            program.send(Method::POST, "ws-1/hello", &json!({})).await;
            shown(&program, "experiments/beside").await["state"] == "aborted"
        })
        .await;
    let told = run(&program, "reprieve policy status").await;
    assert!(told.contains("experiment-aborted"), "{told}");
    let (code, told) = program.run_command("reprieve experiment status beside").await;
    assert_eq!(code, 1, "{told}");
    host.end().await;
}

/// What the host has written down of it.
fn written(program: &Program) -> Value {
    let database = rusqlite::Connection::open(program.folder().join("reprieve.db")).unwrap();
    let sql = "SELECT page FROM experiments WHERE name = 'beside'";
    let page: String = database.query_row(sql, [], |found| found.get(0)).unwrap();
    serde_json::from_str(&page).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_over_a_kill_is_delayed_in_the_arm_where_it_was_queued() {
    let program = Program::new(&CONFIG.replace("true", "false"));
    define(&program, "ab", "mine.wasm", "", &[("mine.wasm", COUNT_DEBOUNCE)]);
    let mut host = program.start();
    program.until_up().await;
    run(&program, "reprieve experiment start definitions/beside.toml").await;
    let switched = |close_early: bool| {
        let (program, change) = (&program, json!({"close_early": close_early}));
        async move { program.send(Method::POST, "ws-1/switch", &change).await }
    };
    program
        .until("it closes early", || async {
            switched(true).await.is_some_and(|(status, _)| status.is_success())
        })
        .await;
    let message = json!({"method": "message/send", "params": {"message": {
        "role": "user", "messageId": "m-1", "parts": [{"kind": "text", "text": "hello"}]}}});
    let (status, answer) =
        program.send(Method::POST, "ws-1/a2a", &message).await.expect("a host answers");
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let queued = |page: &Value| page["tally"]["counts"][1]["queued"] == 1;
    program.until("it is written down", || async { queued(&written(&program)) }).await;
    host.kill().await;

    let host = program.start();
    program.until_up().await;
    let arm = || async { shown(&program, "experiments/beside").await["arms"][1].clone() };
    assert_eq!(arm().await["queued"], 1);
    switched(false).await;
    program.until("it is delivered", || async { arm().await["delayed"]["count"] == 1 }).await;
    let arm = arm().await;
    assert_eq!((&arm["queued"], &arm["lost"]), (&json!(1), &json!(0)), "{arm}");
    assert!(arm["delayed"]["p50_ms"].as_u64().unwrap() > 0, "{arm}");
    host.end().await;
}
