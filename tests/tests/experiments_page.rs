//! Runs every command of docs/experiments.md, in its order, against a real host with
//! workspaces of acme's and globex's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::fs;

use http::Method;
use reprieve_tests::{Program, page};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../docs/experiments.md");
const OTHER: &[u8] = include_bytes!("../../policies/count-debounce.wasm");

const CONFIG: &str = "[workspaces.ws-1]\ntenant = \"acme\"\ncommand = [\"{reprieve}\", \"agent\"]\n\
    stop_grace = \"1s\"\n[workspaces.ws-2]\ntenant = \"globex\"\n\
    command = [\"{reprieve}\", \"agent\"]\nstop_grace = \"1s\"\n";

/// The definitions on the page: a line ends with the file's name and a colon, then
/// comes the block.
fn definitions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut name = None;
    let mut block: Option<String> = None;
    for line in PAGE.lines() {
        match (&mut block, line) {
            (None, "```toml") => block = Some(String::new()),
            (Some(text), "```") => {
                found.push((name.take().expect("a block has a name"), std::mem::take(text)));
                block = None;
            }
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, line) => {
                let quoted = line.split('`').find(|part| part.ends_with(".toml"));
                name = quoted.map(str::to_owned).or(name);
            }
        }
    }
    found
}

/// What `path` of the admin API says.
async fn shown(program: &Program, path: &str) -> Value {
    let answer = program.ask_operator(Method::GET, path, None, &Value::Null).await;
    answer.expect("a host answers").1
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_experiments_page_runs() {
    let program = Program::new(CONFIG);
    let definitions = definitions();
    assert_eq!(definitions.len(), 3, "{definitions:?}");
    for (name, text) in &definitions {
        fs::write(program.folder().join(name), text).unwrap();
    }
    fs::write(program.folder().join("my-policy.wasm"), OTHER).unwrap();
    let host = program.start();
    program.until_up().await;
    let commands = page::commands(PAGE);
    assert!(commands.len() > 12, "{commands:?}");
    for page::PageCommand { line, exit_code } in commands {
        // Nobody needs jq for a test.
        let line = match line.split_once("$(") {
            Some((before, after)) => {
                let newest = shown(&program, "experiments").await["experiments"][0].clone();
                let rest = after.split_once(')').unwrap().1;
                format!("{before}{}{rest}", newest["name"].as_str().unwrap())
            }
            None => line,
        };
        let (code, told) = program.run_command(&line).await;
        assert_eq!(code, exit_code, "{line}: {told}");
        let part = if line.contains("start canary.toml") {
            "runs already on workspaces"
        } else if line.contains("start") {
            "runs. Look at it with"
        } else if line.contains("--shadow") {
            "experiment shadow-"
        } else if line.contains("abort") {
            "is aborted"
        } else if line.contains("promote") {
            "is promoted"
        } else if line.ends_with("report faster") {
            "The candidate is aborted at evidence 100"
        } else if line.contains("settings show acme") {
            "30s"
        } else {
            ""
        };
        assert!(told.contains(part), "{line}: {told:?} lacks {part:?}");
    }
    let written = fs::read_to_string(program.folder().join("faster.html")).unwrap();
    assert!(written.starts_with("<!doctype html>") && written.contains("kills no living"));
    let states: Vec<_> = shown(&program, "experiments").await["experiments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|experiment| experiment["state"].clone())
        .collect();
    assert_eq!(json!(states), json!(["promoted", "aborted", "aborted"]));
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_not_valid_is_told_with_its_file_line_value_and_remedy() {
    let program = Program::new("");
    let (_, good) = definitions().remove(0);
    for (wrong, part) in [
        (good.replace("\"100%\"", "\"0%\""), "wrong.toml is not valid: line 5: \"0%\" is no share"),
        (good.replace("\"shadow\"", "\"shadwo\""), "line 4: unknown variant `shadwo`"),
        (good.replace("ana", ""), "line 2: owner is empty; say whom to ask"),
    ] {
        fs::write(program.folder().join("wrong.toml"), wrong).unwrap();
        let (code, told) = program.run_command("reprieve experiment start wrong.toml").await;
        assert_eq!(code, 2, "{told}");
        assert!(told.contains(part), "{told}");
    }
}
