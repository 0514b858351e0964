//! Runs every command of docs/swapping.md, in its order, against a real host: what
//! judges after each is what the page says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::fs;

use http::{Method, StatusCode};
use reprieve_tests::{Program, page};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../docs/swapping.md");
const OTHER: &[u8] = include_bytes!("../../policies/count-debounce.wasm");

/// What `policies` of the admin API says.
async fn shown(program: &Program) -> Value {
    let shown = program.ask_operator(Method::GET, "policies", None, &Value::Null).await;
    let (status, shown) = shown.expect("a host answers");
    assert_eq!(status, StatusCode::OK, "{shown}");
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_swapping_page_runs() {
    let program = Program::new("");
    fs::write(program.folder().join("my-policy.wasm"), OTHER).unwrap();
    fs::write(program.folder().join("garbled.wasm"), "settle = 60").unwrap();
    let host = program.start();
    program.until_up().await;
    let mut judges = "default 0.1.0";
    let commands = page::commands(PAGE);
    assert!(commands.len() >= 10, "{commands:?}");
    for page::PageCommand { line, exit_code } in commands {
        let (code, told) = program.run_command(&line).await;
        assert_eq!(code, exit_code, "{line}: {told}");
        let part = if line.contains("load ./my-policy.wasm --activate") {
            judges = "count-debounce 0.1.0";
            "count-debounce 0.1.0"
        } else if line.contains("load ./my-policy.wasm") {
            "is kept, and judges nothing yet"
        } else if line.contains("activate count-debounce") {
            judges = "count-debounce 0.1.0";
            "and default 0.1.0"
        } else if line.contains("rollback") || line.contains("load default --activate") {
            judges = "default 0.1.0";
            "and count-debounce 0.1.0"
        } else if line.contains("garbled") {
            "imports: the policy file is not WebAssembly"
        } else if line.contains("status") && exit_code == 1 {
            "uploaded is wanted, and does not judge"
        } else {
            ""
        };
        assert!(told.contains(part), "{line}: {told:?} lacks {part:?}");
        let active = shown(&program).await["active"]["policy"].clone();
        assert_eq!(active, judges, "{line}: {told}");
    }
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_overwrites_nothing_that_its_reader_has_not_seen() {
    let program = Program::new("");
    fs::write(program.folder().join("my-policy.wasm"), OTHER).unwrap();
    let host = program.start();
    program.until_up().await;
    let (code, told) = program.run_command("reprieve policy load ./my-policy.wasm --json").await;
    assert_eq!(code, 0, "{told}");
    let loaded: Value = serde_json::from_str(&told).unwrap();
    let digest = loaded["component"].as_str().unwrap();
    for (command, expected, part) in [
        (format!("activate {:.8} --expect 7 --why x", digest), 1, "changed it meanwhile"),
        (format!("activate {:.8} --expect 1 --why x", digest), 0, "count-debounce 0.1.0"),
        ("rollback --expect 1 --why x".to_owned(), 1, "changed it meanwhile"),
        ("activate nobody --why x".to_owned(), 2, "keeps no policy"),
        ("activate default".to_owned(), 2, "--why"),
        ("load ./my-policy.wasm --activate".to_owned(), 2, "--why"),
        ("load ./nowhere.wasm".to_owned(), 2, "no file ./nowhere.wasm"),
        ("load nowhere".to_owned(), 1, "there are: default"),
        ("rollback --why x".to_owned(), 0, "default 0.1.0"),
    ] {
        let (code, told) = program.run_command(&format!("reprieve policy {command}")).await;
        assert_eq!(code, expected, "{command}: {told}");
        assert!(told.contains(part), "{command}: {told:?} lacks {part:?}");
    }
    let history = shown(&program).await["activations"].clone();
    let policies: Vec<_> =
        history.as_array().unwrap().iter().map(|past| past["policy"].clone()).collect();
    assert_eq!(json!(policies), json!(["default 0.1.0", "count-debounce 0.1.0", "default 0.1.0"]));
    host.end().await;
}
