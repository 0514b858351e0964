//! A policy author's first half hour, by every command of docs/policies.md, against a
//! real host; and the same with a mistake in each step. What is built is a real project
//! with the real compiler.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{fs, path::Path};

use http::Method;
use reprieve_tests::{Program, page};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/policies.md");

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_policies_page_runs() {
    let program = Program::new("");
    let host = program.start();
    program.until_up().await;
    let commands = page::commands(PAGE);
    assert!(commands.len() > 16, "{commands:?}");
    for page::PageCommand { line, exit_code } in commands {
        let (code, told) = program.run_command(&line).await;
        assert_eq!(code, exit_code, "{line}: {told}");
        let part = if line.starts_with("cargo test") {
            "2 passed"
        } else if line.contains("policy build") {
            "quiet-hours/quiet-hours.wasm in"
        } else if line.contains("inspect") {
            "recent_beat = \"15s\" in \"1s\"..=\"10min\""
        } else if line.contains("--every-reason") || exit_code == 1 && line.contains("test") {
            // What the page prints below the command.
            let is_it = |shown: &str| {
                let shown = shown.strip_prefix("$ ").and_then(|shown| shown.split(" # ").next());
                shown == Some(&line)
            };
            let shown = PAGE.lines().skip_while(|shown| !is_it(shown)).nth(1).unwrap();
            assert!(shown.contains("rows") || shown.contains("FAILED"), "{shown}");
            shown
        } else if line.contains("--golden") {
            "13 rows"
        } else if line.contains("policy check") {
            "would come into force; only `activate` is left"
        } else if line.contains("diff") {
            "are ruled otherwise by quiet-hours 0.1.0 (b) than by default 0.1.0 (a)"
        } else if line.contains("bench") {
            "TO DEFAULT"
        } else if line.contains("keygen") {
            "keys = [\"RW"
        } else if line.contains("verify") {
            "quiet-hours.wasm: signed by RW"
        } else if line.contains("--shadow") {
            "experiment shadow-"
        } else {
            ""
        };
        assert!(told.contains(part), "{line}: {told:?} lacks {part:?}");
    }
    let answer = program.ask_operator(Method::GET, "experiments", None, &Value::Null).await;
    let experiments = answer.expect("a host answers").1;
    assert_eq!(experiments["experiments"][0]["state"], "running", "{experiments}");
    host.end().await;
}

/// Writes `to` where `from` stands first.
fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_each_step_is_told_with_its_place_and_the_remedy() {
    let program = Program::new("");
    let project = program.folder().join("quiet");
    let (rules, table) = (project.join("src/lib.rs"), project.join("judgements.toml"));
    let refused = async |command: &str, expected: i32, parts: &[&str]| {
        let (code, told) = program.run_command(&format!("reprieve policy {command}")).await;
        assert_eq!(code, expected, "{command}: {told}");
        for part in parts {
            assert!(told.contains(part), "{command}: {told:?} lacks {part:?}");
        }
    };

    refused("new Quiet", 2, &["\"Quiet\" is no name for a policy", "say --name"]).await;
    refused("build quiet", 2, &["quiet/Cargo.toml cannot be read", "`reprieve policy new`"]).await;
    refused("new quiet", 0, &["reprieve policy build"]).await;
    refused("new quiet", 2, &["quiet is not empty", "a folder that is not there yet"]).await;
    refused("test quiet", 2, &["quiet/quiet.wasm is not there", "reprieve policy build"]).await;

    // What does not compile, with its place; what makes no policy, with the remedy.
    let good = fs::read_to_string(&rules).unwrap();
    edit(&rules, "Judgement::dead(Reason::StillNotRunning)", "Judgement::dead(Reason::Gone)");
    refused("build quiet", 1, &["quiet does not compile: src/lib.rs:", "named `Gone`"]).await;
    fs::write(&rules, &good).unwrap();
    edit(&rules, "#![cfg_attr(target_arch = \"wasm32\", no_std)]", "");
    refused("build quiet", 1, &["src/lib.rs begins with `#![cfg_attr(target_arch"]).await;
    fs::write(&rules, &good).unwrap();
    edit(&rules, "reprieve_policy::export!(Settings);", "");
    refused("build quiet", 1, &["quiet is no policy", "ends with `reprieve_policy::export!`"])
        .await;
    fs::write(&rules, &good).unwrap();
    edit(&rules, "\"15s\" in \"1s\"", "\"15s\" in \"16s\"");
    refused("build quiet", 1, &["quiet does not compile: src/lib.rs:", "out of range"]).await;
    fs::write(&rules, &good).unwrap();
    refused("build quiet --out nowhere/quiet.wasm", 1, &["cannot write nowhere/quiet.wasm"]).await;
    refused("build quiet", 0, &["OK: quiet/quiet.wasm"]).await;

    fs::write(program.folder().join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    refused("build module.wasm", 2, &["module.wasm is a module", "--out"]).await;
    refused(
        "build module.wasm --out x.wasm",
        1,
        &["module.wasm is no policy", "does not export reprieve:policy/guard"],
    )
    .await;

    // A wrong row, a misspelt one, settings that are refused, a reason nobody declared.
    let rows = fs::read_to_string(&table).unwrap();
    let line = |part: &str| {
        let before = rows.split(part).next().unwrap();
        let row = before.rfind("[[row]]").unwrap();
        format!("quiet/judgements.toml:{}: ", before[..row].matches('\n').count() + 1)
    };
    let row = line("settings = { recent_beat = \"5s\" }");
    edit(&table, "settings = { recent_beat = \"5s\" }", "settings = { recent_beat = \"6s\" }");
    refused("test quiet", 1, &[&row, "busy for 30 s (recent-beat), expected recheck"]).await;
    fs::write(&table, &rows).unwrap();
    edit(&table, "settings = { recent_beat = \"5s\" }", "settings = { recent_beat = 5 }");
    refused("test quiet", 1, &[&row, "recent_beat", "1s to 10min"]).await;
    fs::write(&table, &rows).unwrap();
    edit(&table, "settings = { recent_beat = \"5s\" }", "setings = { recent_beat = \"5s\" }");
    refused("test quiet", 2, &["judgements.toml", "line ", "unknown field `setings`"]).await;
    fs::write(&table, &rows).unwrap();
    edit(&table, "reason = \"coming-up\"", "reason = \"comming-up\"");
    refused("test quiet", 1, &[&line("reason = \"coming-up\""), "declares no such reason"]).await;
    fs::write(&table, &rows).unwrap();
    edit(
        &table,
        "{ status = \"starting\" }\n",
        "{ status = \"starting\" }\nnever_asked = [\"look\"]\n",
    );
    refused("test quiet", 1, &["it asks what the row says is never asked (look)"]).await;
    let cut = rows.split("[[row]]").filter(|row| !row.contains("coming-up"));
    fs::write(&table, cut.collect::<Vec<_>>().join("[[row]]")).unwrap();
    refused("test quiet", 0, &["unreached no row comes to coming-up"]).await;
    refused("test quiet --every-reason", 1, &["unreached no row comes to coming-up"]).await;
    fs::write(&table, &rows).unwrap();

    // Each step of the way into force.
    fs::write(program.folder().join("garbled.wasm"), "settle = 60").unwrap();
    fs::write(program.folder().join("fleet.toml"), "recent_beat = \"2h\"\n").unwrap();
    for (command, expected, parts) in [
        ("check ./nowhere.wasm", 1, &["NO fetch", "nowhere.wasm"][..]),
        ("check garbled.wasm", 1, &["NO imports", "begins with \"settle = 60\""]),
        ("check quiet --require-signature", 1, &["NO signature", "not signed"]),
        ("check quiet --settings fleet.toml", 1, &["NO settings", "recent_beat", "1s to 10min"]),
        ("check default --golden quiet/judgements.toml", 1, &["NO golden", "recent_beat"]),
        ("check quiet --config nowhere.toml", 2, &["nowhere.toml"]),
        ("check quiet --key RWx", 2, &["\"RWx\" is no public key"]),
        ("check quiet", 0, &["only `activate` is left"]),
        ("diff quiet nobody.wasm --on quiet/judgements.toml", 2, &["nobody.wasm"]),
        ("diff quiet quiet --on nowhere.jsonl", 2, &["cannot read the table nowhere.jsonl"]),
        ("diff quiet quiet --on quiet/judgements.toml", 0, &["0 of 13 rows"]),
        ("sign quiet --key nowhere.key", 2, &["cannot read the key nowhere.key"]),
        ("sign quiet --key fleet.toml", 2, &["fleet.toml gives no secret key"]),
        ("keygen ours --no-password", 0, &["ours.key"]),
        ("keygen ours --no-password", 2, &["ours.key is there already"]),
        ("keygen theirs --no-password", 0, &["theirs.key"]),
        ("verify quiet --key ours.pub", 1, &["not signed"]),
        ("sign quiet --key ours.key", 0, &["quiet.wasm.minisig, by RW"]),
        ("verify quiet --key theirs.pub", 1, &["by none of the 1 keys"]),
        ("verify quiet --key theirs.pub --key ours.pub", 0, &["signed by RW"]),
        ("load quiet/quiet.wasm --shadow", 2, &["--owner", "--hypothesis"]),
        (
            "load quiet/quiet.wasm --shadow --owner ana --hypothesis x",
            1,
            &["start the host first", "--token-file"],
        ),
    ] {
        refused(command, expected, parts).await;
    }
    // Another byte is another component.
    let component = project.join("quiet.wasm");
    let mut bytes = fs::read(&component).unwrap();
    bytes.extend([0, 1, 0]);
    fs::write(&component, bytes).unwrap();
    refused("verify quiet --key ours.pub", 1, &["changed after it was signed"]).await;
}
