//! Runs every command of docs/tuning.md, in its order, against a real host with a
//! workspace of acme's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::process::Stdio;

use http::Method;
use reprieve_tests::{Program, reprieve};
use serde_json::{Value, json};
use tokio::process::Command;

const PAGE: &str = include_str!("../../docs/tuning.md");

const CONFIG: &str = "[workspaces.ws-1]\ntenant = \"acme\"\ncommand = [\"{reprieve}\", \"agent\"]\n\
    stop_grace = \"1s\"\n";

/// The commands in the console blocks, each with the exit code that its comment
/// promises.
fn commands() -> Vec<(String, i32)> {
    let mut within = false;
    let mut commands = Vec::new();
    for line in PAGE.lines() {
        match line {
            "```console" => within = true,
            "```" => within = false,
            _ if within => {
                let line = line.strip_prefix("$ ").expect("a command");
                let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
                let code =
                    comment.strip_prefix("exits with ").map_or(0, |code| code.parse().unwrap());
                commands.push((command.trim().to_owned(), code));
            }
            _ => {}
        }
    }
    commands
}

/// As a shell would run it, with the program of this build and the host's folder.
async fn run(program: &Program, command: &str) -> (i32, String) {
    let arguments = command.strip_prefix("reprieve ").expect("the page speaks of one program");
    let line = format!("exec \"$REPRIEVE\" {arguments}");
    let output = Command::new("sh")
        .args(["-c", &line])
        .env("REPRIEVE", reprieve())
        .env("REPRIEVE_CONFIG", program.folder().join("reprieve.toml"))
        .env("REPRIEVE_STATE_DIR", program.folder())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(told).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_tuning_page_runs() {
    let program = Program::new(CONFIG);
    let host = program.start();
    program.until_up().await;
    // Something to explain: the workspace is started, and judged.
    let judged = || async { run(&program, "reprieve explain last").await.0 == 0 };
    let poke = json!({"method": "message/send"});
    program.send(Method::POST, "ws-1/a2a", &poke).await;
    program.until("a decision is on record", judged).await;

    let settle = || async {
        let path = "settings/workspaces/ws-1";
        let (_, shown) = program.ask_operator(Method::GET, path, None, &Value::Null).await.unwrap();
        let settings = shown["settings"].as_array().unwrap().clone();
        settings.into_iter().find(|own| own["key"] == "settle").unwrap()
    };
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for (command, expected) in commands {
        let (code, told) = run(&program, &command).await;
        assert_eq!(code, expected, "{command}: {told}");
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
