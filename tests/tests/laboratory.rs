//! The laboratory's command line as people and scripts meet it: what it prints and
//! writes, what it takes up again, and what it says to a wrong question.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{fs, path::Path, process::Stdio, sync::Arc};

use reprieve_server::{
    clock::HostClock,
    store::{DATABASE, Store, StoreOptions},
};
use reprieve_tests::{Program, reprieve};
use serde_json::Value;
use tokio::process::Command;

/// Four workspaces for an hour: beats every 10 s, now and then none for a minute, and
/// some hang.
const FLEET: &str = r#"
name = "small <fleet>"
about = "Four & some."
lasts = "1h"

[[workspaces]]
count = 4
beats = { every = "10s" }
boot = "5s"

[[event]]
what = "mute"
per_day = 100.0
for = "60s"

[[event]]
what = "hang"
per_day = 40.0

[[event]]
what = "crash"
at = "20min"
who = "ws-2"
"#;

/// A folder with a fleet in it.
fn laboratory() -> Program {
    let program = Program::new("");
    fs::write(program.folder().join("fleet.toml"), FLEET).unwrap();
    program
}

async fn run(program: &Program, command: &str) -> String {
    let (code, told) = program.run_command(command).await;
    assert_eq!(code, 0, "{command}: {told}");
    told
}

fn read(program: &Program, file: &str) -> String {
    fs::read_to_string(program.folder().join(file)).unwrap()
}

/// A page that opens without a network, and says in words what it draws.
fn assert_self_contained(page: &str) {
    assert!(page.starts_with("<!doctype html>"), "{page:.200}");
    for part in ["<script", "src=", "@import", "http://", "https://", "<fleet>"] {
        assert!(!page.contains(part), "{part} in {page}");
    }
    assert!(page.contains("role=\"img\"") && page.contains("aria-label"), "{page:.2000}");
}

#[tokio::test]
async fn a_score_is_a_table_json_markdown_and_a_page_of_the_same_figures() {
    let program = laboratory();
    let score = "reprieve score fleet.toml --runs 3 --seed 5";
    let table = run(&program, &format!("{score} --html score.html --markdown score.md")).await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "small <fleet>", "{table}");
    assert!(lines[1].starts_with("POLICY") && lines[1].contains("T_D P50"), "{table}");
    for policy in ["default *", "trust-the-probe", "count-debounce", "do-nothing"] {
        assert!(lines[2..].iter().any(|line| line.starts_with(policy)), "{policy}: {table}");
    }

    let board: Value =
        serde_json::from_str(&run(&program, &format!("{score} --json")).await).unwrap();
    let scores = board["scores"].as_array().unwrap();
    assert_eq!(scores.len(), 4, "{board}");
    let default = scores.iter().find(|score| score["policy"] == "default").unwrap();
    assert_eq!((&default["runs"], &default["scenario"]), (&3.into(), &"small <fleet>".into()));
    let false_a_day = &default["false_restarts_a_day"];
    assert!(false_a_day["low"].as_f64() <= false_a_day["mean"].as_f64(), "{false_a_day}");

    let markdown = read(&program, "score.md");
    assert!(
        markdown.contains("3 seeds each") && markdown.contains("\n| default \\* | "),
        "{markdown}"
    );
    let page = read(&program, "score.html");
    assert_self_contained(&page);
    assert!(page.contains("small &lt;fleet&gt;") && page.contains("Four &amp; some."), "{page}");
    // The same figure wherever one looks.
    let row = lines.iter().find(|line| line.starts_with("default")).unwrap();
    let found = row.split("  ").filter(|cell| !cell.is_empty()).nth(1).unwrap().trim();
    assert!(markdown.contains(&format!("| default \\* | {found} |")), "{found}: {markdown}");
    assert!(page.contains(&format!("<td>{found}</td>")), "{found}: {page}");

    // Several scenarios are told in short, too.
    let calm = FLEET.replace("small <fleet>", "calm").replace("per_day = 100.0", "per_day = 0.1");
    fs::write(program.folder().join("calm.toml"), calm).unwrap();
    let two = "reprieve score fleet.toml calm.toml --runs 2 --policy default --policy do-nothing";
    let table = run(&program, &format!("{two} --html two.html --markdown two.md")).await;
    let (_, short) = table.split_once("all scenarios\n").unwrap();
    let row: Vec<&str> = short.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..4], ["default", "2", "of", "2"], "{table}");
    assert!(read(&program, "two.md").contains("\n| default | 2 of 2 | "), "{table}");
    assert!(read(&program, "two.html").contains("<td>default</td><td>2 of 2</td>"), "{table}");
    assert!(!markdown.contains("All scenarios") && !page.contains("All scenarios"), "of one");

    // The number of threads changes nothing.
    let single = run(&program, &format!("{score} --json --jobs 1")).await;
    assert_eq!(serde_json::from_str::<Value>(&single).unwrap(), board);
}

#[tokio::test]
async fn a_run_is_drawn_with_its_truth_and_a_part_of_it_too() {
    let program = laboratory();
    let simulate = "reprieve simulate fleet.toml --policy default --policy trust-the-probe";
    run(&program, &format!("{simulate} --html run.html")).await;
    let page = read(&program, "run.html");
    assert_self_contained(&page);
    for part in ["<h2>default, seed 1</h2>", "<h2>trust-the-probe, seed 1</h2>"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for part in [
        "<td>0:20:00.000</td><td>ws-2</td><td>in truth dead, until",
        "DEAD: ",
        "restart (dead verdict); in truth it was dead",
        "beats not, until",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    run(&program, &format!("{simulate} --html again.html")).await;
    assert_eq!(read(&program, "again.html"), page, "the same seed gives the same bytes");

    let part = "reprieve simulate fleet.toml --html run.html --between 19min..21min";
    run(&program, part).await;
    let page = read(&program, "run.html");
    assert!(page.contains("0:19:00.000 to 0:21:00.000"), "{page}");
    assert!(!page.contains("<td>0:2:"), "{page}");
}

/// A decision as a log has it, on a line of its own.
fn decision(n: u32, workspace: &str, verdict: &str) -> String {
    format!(
        "{{\"id\":\"{n:032x}\",\"at\":{at},\"workspace\":\"{workspace}\",\"tenant\":\"acme\",\
         \"life\":1,\"generation\":{{\"number\":1,\"policy\":\"default 0.1.0\",\
         \"component\":\"{digest}\",\"settings\":\"{digest}\"}},\"call\":{{\"judge\":{{\
         \"trigger\":\"sweep\",\"attempt\":{{\"number\":0,\"since_first\":0}}}}}},\
         \"evidence\":[{{\"question\":\"look\",\"answer\":{{\"look\":{{\"Err\":\
         \"overloaded\"}}}}}}],\"memory_write\":null,\"outcome\":{{\"judged\":{{\
         \"verdict\":\"{verdict}\",\"reason\":{{\"code\":\"probe-fault\",\
         \"meaning\":\"Not seen.\"}}}}}},\"cost\":{{\"passes\":2,\"guest_us\":1,\
         \"total\":40}},\"effect\":null}}\n",
        at = 1_776_330_626_000_u64 + u64::from(n) * 1_000,
        digest = "ab".repeat(32),
    )
}

#[tokio::test]
async fn a_log_is_listed_and_drawn_as_the_host_that_wrote_it() {
    let program = Program::new("");
    let log = decision(1, "ws-1", "alive") + &decision(2, "ws-2", "alive");
    fs::write(program.folder().join("log.jsonl"), &log).unwrap();
    let list = run(&program, "reprieve decisions --log log.jsonl --html log.html").await;
    assert_eq!(list.lines().count(), 2, "{list}");
    let page = read(&program, "log.html");
    assert_self_contained(&page);
    for part in [
        "2 decisions, and what they tell.",
        "<td>2026-04-16 09:10:27.040</td><td>ws-1</td><td>probe failed: the runtime or the host&#39;s \
         probing is overloaded",
        "<td>ws-2</td><td>ALIVE: probe-fault (sweep)",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("in truth"), "nobody knows it: {page}");

    // Through a pipe it is the same, of one workspace only that, and of the newest one.
    assert_eq!(run(&program, "reprieve decisions --log - < log.jsonl").await, list);
    let one = run(&program, "reprieve decisions --log log.jsonl --workspace ws-2 --json").await;
    assert_eq!(one, decision(2, "ws-2", "alive"));
    let three = log.clone() + &decision(4, "ws-1", "dead");
    fs::write(program.folder().join("three.jsonl"), &three).unwrap();
    let newest = run(&program, "reprieve decisions --log three.jsonl --limit 2 --json").await;
    assert_eq!(newest, decision(2, "ws-2", "alive") + &decision(4, "ws-1", "dead"));

    let garbled = log.replace("\"alive\"", "\"undead\"");
    fs::write(program.folder().join("log.jsonl"), decision(3, "ws-3", "dead") + &garbled).unwrap();
    let (code, told) = program.run_command("reprieve decisions --log log.jsonl").await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("log.jsonl, line 2") && told.contains("DEAD"), "{told}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_told_with_its_place() {
    let program = Program::new("");
    let folder = program.folder().join("kept");
    let clock = Arc::new(HostClock::start());
    let store = Store::open(&folder, StoreOptions::default(), clock).await.unwrap();
    store.close().await.unwrap();
    let database = rusqlite::Connection::open(folder.join(DATABASE)).unwrap();
    let told = async |command: &str| program.run_command(command).await;
    assert_eq!(told("reprieve replay kept").await, (2, "error: kept holds no decision\n".into()));

    for (id, row) in [
        ("d-1", decision(1, "ws-1", "alive").into_bytes()),
        ("d-2", decision(2, "ws-1", "undead").into_bytes()),
        ("d-3", Vec::new()),
        ("d-4", vec![0xff, b'{']),
    ] {
        let sql = "INSERT INTO decisions (id, at, workspace, tenant, decision) \
                   VALUES (?, 1, 'w', 't', CAST(? AS TEXT))";
        database.execute(sql, (id, row)).unwrap();
    }
    for (command, code) in [
        ("reprieve replay kept", 1),
        ("reprieve decisions --log kept", 1),
        ("reprieve tune --on kept --param settle=10s..2min", 2),
    ] {
        let (exit, told) = told(command).await;
        assert_eq!(exit, code, "{command}: {told}");
        for part in [
            "kept, decision d-2: unknown variant `undead`",
            "written by a newer version",
            "kept, decision d-3: is no decision: it is empty",
            "kept, decision d-4: is no decision",
        ] {
            assert!(told.contains(part), "{command}: {told:?} lacks {part:?}");
        }
    }
    for (format, remedy) in [
        (99, "start the version of Reprieve that wrote it, or a newer one"),
        (1, "start a host of this version on it once"),
    ] {
        database.pragma_update(None, "user_version", format).unwrap();
        for command in
            ["replay kept", "decisions --log kept", "tune --on kept --param settle=1s..9s"]
        {
            let (exit, told) = told(&format!("reprieve {command}")).await;
            assert_eq!(exit, 2, "{command}: {told}");
            let expected = format!("kept/{DATABASE} has format {format}");
            assert!(told.contains(&expected) && told.contains(remedy), "{command}: {told}");
        }
    }
}

/// Runs in a journal: all lines but the first.
fn runs(journal: &Path) -> usize {
    fs::read_to_string(journal).map_or(0, |text| text.lines().count().saturating_sub(1))
}

#[tokio::test]
async fn a_search_that_is_killed_goes_on_to_the_same_result() {
    let program = laboratory();
    let tune = "tune --on fleet.toml --param liveness_ttl=20s..10min --param settle=10s..2min/3 \
                --false-restart 30 --runs 8 --jobs 1 --json";
    let whole = run(&program, &format!("reprieve {tune} --journal whole.jsonl")).await;
    let all = runs(&program.folder().join("whole.jsonl"));

    let journal = program.folder().join("killed.jsonl");
    let mut search = Command::new(reprieve())
        .args(tune.split_whitespace())
        .args(["--journal", "killed.jsonl"])
        .current_dir(program.folder())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    program.until("some runs are on disk", || async { runs(&journal) >= 5 }).await;
    search.kill().await.unwrap();
    let before = runs(&journal);
    assert!((5..all).contains(&before), "{before} of {all} runs: killed too late");

    // What it says beside the result is on standard error.
    let again = run(&program, &format!("reprieve {tune} --journal killed.jsonl 2> told")).await;
    assert_eq!(again, whole);
    let told = read(&program, "told");
    assert!(told.contains("killed.jsonl has ") && told.contains(" runs already"), "{told}");
    assert_eq!(runs(&journal), all, "nothing was run twice");

    let other = format!("reprieve {} --journal killed.jsonl", tune.replace("fleet", "other"));
    let text = FLEET.replace("count = 4", "count = 5");
    fs::write(program.folder().join("other.toml"), text).unwrap();
    let (code, told) = program.run_command(&other).await;
    assert_eq!(code, 2, "{told}");
    assert!(
        told.contains("killed.jsonl is of another scenario or log, policy or version"),
        "{told}"
    );
}

#[tokio::test]
async fn what_tune_recommends_is_the_same_in_every_form() {
    let program = laboratory();
    let tune = "reprieve tune --on fleet.toml --param liveness_ttl=20s..10min --false-restart 30 \
                --runs 4";
    let told = run(&program, &format!("{tune} --out tuned.toml --html tuned.html")).await;
    let json: Value =
        serde_json::from_str(&run(&program, &format!("{tune} --json")).await).unwrap();
    let best = json["recommended"]["settings"]["liveness_ttl"].as_str().unwrap();
    assert!(told.contains(&format!("recommended: liveness_ttl={best}")), "{best}: {told}");
    assert!(told.contains("on 4 other seeds: "), "{told}");
    let file = read(&program, "tuned.toml");
    assert!(file.contains(&format!("liveness_ttl = \"{best}\"\n")), "{best}: {file}");
    let page = read(&program, "tuned.html");
    assert_self_contained(&page);
    assert!(page.contains(&format!("Recommended: liveness_ttl={best}")), "{best}: {page}");
    assert!(page.contains("Tuned on small &lt;fleet&gt;"), "{page}");
}

#[tokio::test]
async fn a_wrong_question_is_told_what_is_wrong_with_it() {
    let program = laboratory();
    let folder = program.folder();
    fs::create_dir(folder.join("empty")).unwrap();
    fs::create_dir(folder.join("project")).unwrap();
    fs::write(folder.join("project/Cargo.toml"), "[package]\nname = \"mine\"\n").unwrap();
    fs::write(folder.join("no.toml"), "settle = \"60s\"\n").unwrap();
    let escape = FLEET.replace("small <fleet>", "\\u001b[2J");
    fs::write(folder.join("escape.toml"), escape).unwrap();
    fs::write(folder.join("odd.toml"), FLEET.replace("\"1h\"", "\"1 hour\"")).unwrap();
    fs::write(folder.join("not.wasm"), "settle = 60").unwrap();
    fs::write(folder.join("other.jsonl"), "{\"policy\": \"a\"}\n").unwrap();
    let settle = "tune --on fleet.toml --param settle=10s..2min";
    for (command, parts) in [
        ("simulate nowhere.toml", &["cannot read nowhere.toml"][..]),
        ("simulate no.toml", &["no.toml is no scenario", "settle"]),
        ("simulate odd.toml", &["odd.toml is no scenario", "line 4", "1 hour"]),
        ("simulate fleet.toml --policy nobody.wasm", &["nobody.wasm"]),
        ("simulate fleet.toml --policy not.wasm", &["not.wasm"]),
        (
            "simulate fleet.toml --policy project",
            &["mine.wasm is not there", "reprieve policy build"],
        ),
        ("simulate fleet.toml --policy empty", &["empty is no policy project"]),
        ("simulate fleet.toml --between 1min..2min", &["--html"]),
        (
            "simulate fleet.toml --html x.html --between 2min..1min",
            &["\"2min..1min\" is no part of a run; write it like 9min..12min"],
        ),
        (
            "simulate fleet.toml --html x.html --between 2h..3h",
            &["--between begins at 2 h, when small <fleet> has ended: it lasts 60 min"],
        ),
        ("simulate fleet.toml --runs 0", &["0 is not in 1..=1000000"]),
        ("score", &["<FILE|DIR>"]),
        ("score empty", &["empty holds no scenario (*.toml)"]),
        ("score fleet.toml no.toml", &["no.toml is no scenario"]),
        ("score fleet.toml --runs 1", &["1 is not in 2..=100000"]),
        ("score fleet.toml fleet.toml", &["fleet.toml is the second scenario called"]),
        ("score fleet.toml -p default -p default", &["policy default (built in) is named twice"]),
        ("simulate escape.toml", &["escape.toml is no scenario", "name: holds a character"]),
        ("score fleet.toml --policy project", &["mine.wasm is not there"]),
        ("tune --on empty --param settle=10s..2min", &["empty"]),
        ("tune --on fleet.toml", &["--param"]),
        ("tune --on fleet.toml --param settle", &["settle", "it has no `=`"]),
        ("tune --on fleet.toml --param settle=2min..10s", &["not less than its last"]),
        ("tune --on fleet.toml --param settle=10s..5", &["different units"]),
        ("tune --on fleet.toml --param settle=10s..2min/1", &["2 to 100 values are taken"]),
        ("tune --on fleet.toml --param setle=10s..2min", &["setle"]),
        (
            "tune --on fleet.toml --param settle=10s..2h",
            &["settle: \"7200s\" is out of range; allowed is 0s to 1h"],
        ),
        (&format!("{settle} --false-restart -1"), &["\"-1\" is no price"]),
        (
            &format!("{settle} --journal other.jsonl"),
            &["of another scenario or log, policy or version"],
        ),
        (&format!("{settle} --policy project"), &["mine.wasm is not there"]),
        ("decisions --log nowhere.jsonl", &["cannot read the log nowhere.jsonl"]),
        ("decisions --log x --follow", &["--follow"]),
        ("replay other.jsonl --policy project", &["mine.wasm is not there"]),
    ] {
        let (code, told) = program.run_command(&format!("reprieve {command}")).await;
        assert_eq!(code, 2, "{command}: {told}");
        for part in parts {
            assert!(told.contains(part), "{command}: {told:?} lacks {part:?}");
        }
    }
    // It could not be written: no question is wrong.
    let (code, told) =
        program.run_command("reprieve simulate fleet.toml --html nowhere/x.html").await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("cannot write nowhere/x.html"), "{told}");
}

#[tokio::test]
async fn a_projects_folder_stands_for_its_component() {
    let program = laboratory();
    let project = program.folder().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("Cargo.toml"), "[package]\nname = \"mine\"\n").unwrap();
    let component = include_bytes!("../../policies/count-debounce.wasm");
    fs::write(project.join("mine.wasm"), component).unwrap();
    let told = run(&program, "reprieve simulate fleet.toml --policy ./project").await;
    assert!(told.contains("count-debounce"), "{told}");
    let told = run(&program, "reprieve score fleet.toml --runs 2 --policy ./project").await;
    assert!(told.contains("count-debounce"), "{told}");
    // Beside another of the same name it is told apart.
    let score = "reprieve score fleet.toml --runs 2 --policy count-debounce --policy ./project";
    let told = run(&program, &format!("{score} --markdown two.md")).await;
    for name in ["count-debounce (built in)", "./project/mine.wasm"] {
        assert!(told.contains(name), "{name}: {told}");
    }
}
