//! Runs every command of docs/tuning.md, in its order, against a real host with a
//! workspace of acme's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use http::Method;
use reprieve_tests::{Program, page};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../docs/tuning.md");

const CONFIG: &str = "[workspaces.ws-1]\ntenant = \"acme\"\ncommand = [\"{reprieve}\", \"agent\"]\n\
    stop_grace = \"1s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_tuning_page_runs() {
    let program = Program::new(CONFIG);
    let host = program.start();
    program.until_up().await;
    // Something to explain: the workspace is started, and judged.
    let judged = || async { program.run_command("reprieve explain last").await.0 == 0 };
    let poke = json!({"method": "message/send"});
    program.send(Method::POST, "ws-1/a2a", &poke).await;
    program.until("a decision is on record", judged).await;

    let settle = || async {
        let path = "settings/workspaces/ws-1";
        let (_, shown) = program.ask_operator(Method::GET, path, None, &Value::Null).await.unwrap();
        let settings = shown["settings"].as_array().unwrap().clone();
        settings.into_iter().find(|own| own["key"] == "settle").unwrap()
    };
    let commands = page::commands(PAGE);
    assert!(commands.len() > 10, "{commands:?}");
    for page::PageCommand { line: command, exit_code } in commands {
        let (code, told) = program.run_command(&command).await;
        assert_eq!(code, exit_code, "{command}: {told}");
        let (value, part) = if command.contains("apply acme settle=90s") {
            ("90s", "In force from the next decision on")
        } else if command.contains("undo") {
            ("1min", "undone by change 2")
        } else if command.contains("settle=null") {
            ("1min", "90s -> not applied")
        } else if command.contains("settle=2h") {
            ("1min", "settle: \"2h\" is out of range; allowed is 0s to 1h")
        } else if command.contains("history") {
            ("90s", "why: slow imports at night")
        } else if command.contains("diff") {
            ("1min", "Would change 1 workspace of 1 tenant")
        } else {
            continue;
        };
        assert_eq!(settle().await["value"], value, "{command}: {told}");
        assert!(told.contains(part), "{command}: {told:?} lacks {part:?}");
    }
    let undone = settle().await;
    assert_eq!(undone["origin"], "the policy's default", "the page ends where it began");
    host.end().await;
}
