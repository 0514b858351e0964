//! Runs every command of docs/simulation.md, in its order: the laboratory's on the fleet
//! that the page describes, made smaller, and the others on a real host.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::fs;

use http::Method;
use reprieve_tests::{Program, page};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../docs/simulation.md");
const OTHER: &[u8] = include_bytes!("../../policies/count-debounce.wasm");
const KUBELET: &[u8] = include_bytes!("../../policies/kubelet-liveness.wasm");

const CONFIG: &str = "[workspaces.ws-3]\ntenant = \"acme\"\ncommand = [\"{reprieve}\", \"agent\"]\n\
    stop_grace = \"1s\"\n";

/// The scenario of the page.
fn scenario() -> String {
    let block = PAGE.split("```toml\n").nth(1).expect("the page has a scenario");
    block.split("```").next().unwrap().to_owned()
}

/// So small that a hundred runs take no time.
fn small() -> String {
    let whole = scenario();
    let small = whole.replace("lasts = \"6h\"", "lasts = \"40min\"");
    let small = small.replace("count = 40", "count = 4");
    assert!(small.len() + 1 >= whole.len() && small != whole, "{small}");
    small
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_simulation_page_runs() {
    let program = Program::new(CONFIG);
    let folder = program.folder();
    let scenarios = folder.join("tests/simulation/scenarios");
    fs::create_dir_all(&scenarios).unwrap();
    fs::create_dir(folder.join("policies")).unwrap_or_default();
    fs::write(folder.join("fleet.toml"), small()).unwrap();
    fs::write(scenarios.join("ordinary-day.toml"), small()).unwrap();
    fs::write(folder.join("my-policy.wasm"), OTHER).unwrap();
    fs::write(folder.join("policies/kubelet-liveness.wasm"), KUBELET).unwrap();
    let host = program.start();
    program.until_up().await;
    // Something that was decided.
    let judged = || async { program.run_command("reprieve explain last").await.0 == 0 };
    program.send(Method::POST, "ws-3/a2a", &json!({"method": "message/send"})).await;
    program.until("a decision is on record", judged).await;

    let commands = page::commands(PAGE);
    assert!(commands.len() >= 12, "{commands:?}");
    for page::PageCommand { line, exit_code } in commands {
        // Nobody needs jq for a test.
        let command = line.split(" | jq ").next().unwrap();
        let (code, told) = program.run_command(command).await;
        assert_eq!(code, exit_code, "{line}: {told}");
        let parts: &[&str] = if line.contains("--json | jq") {
            &["\"measures\":{\"workspaces\":4,", "\"seed\":7"]
        } else if line.contains("simulate") && line.contains("my-policy.wasm") {
            &["4 workspaces for 40 min, 100 runs", "count-debounce"]
        } else if line.contains("simulate") {
            &["two-nodes", "T_D P50"]
        } else if line.contains("policies/kubelet-liveness.wasm") {
            &["T_D P50", "kubelet-liveness"]
        } else if line.contains("score") {
            &["default *", "do-nothing"]
        } else if line.contains("reprieve tune") {
            &["THE FRONT", "recommended: liveness_ttl="]
        } else if line.contains("settings apply") {
            &["In force from the next decision on"]
        } else if line.contains("> decisions.jsonl") {
            &[]
        } else {
            assert!(line.contains("decisions"), "{line} is not looked at");
            &["ws-3"]
        };
        for part in parts {
            assert!(told.contains(part), "{line}: {told:?} lacks {part:?}");
        }
    }
    for (file, part) in [
        ("run.html", "0:29:00.000 to 0:32:00.000"),
        ("score.html", "Median time to detect"),
        ("score.md", "| default \\* |"),
        ("incident.html", "ws-3 of acme"),
        ("tuned.toml", "liveness_ttl = "),
    ] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(part), "{file}: {text:?} lacks {part:?}");
    }
    // What was recommended judges.
    let recommended = fs::read_to_string(folder.join("tuned.toml")).unwrap();
    let path = "settings/workspaces/ws-3";
    let (_, shown) = program.ask_operator(Method::GET, path, None, &Value::Null).await.unwrap();
    let settings = shown["settings"].as_array().unwrap();
    let ttl = settings.iter().find(|own| own["key"] == "liveness_ttl").unwrap();
    assert_eq!(ttl["layer"], "fleet", "{ttl}");
    assert!(recommended.contains("Recommended by `reprieve tune` on two-nodes"), "{recommended}");
    host.end().await;
}

#[tokio::test]
async fn the_scenario_on_the_page_is_one() {
    let program = Program::new("");
    fs::write(program.folder().join("two-nodes.toml"), scenario()).unwrap();
    let (code, told) = program.run_command("reprieve simulate two-nodes.toml").await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("40 workspaces for 6 h, 1 run"), "{told}");
}
