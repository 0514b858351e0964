//! Settings tuned on what was decided already: a log with a known best window, and logs on
//! which nothing can be tuned.

use std::{fs, path::Path, process::Command};

use reprieve_core::{decision::Decision, settings::Settings};
use reprieve_lab::{
    Happening, RunOptions, Scenario, Seed, simulate,
    tune::{Outcome, Part, Plan, Price, Record, Search},
};
use reprieve_tests::{outcome_of, reprieve};

use crate::contender;

/// Beats every 10 s, and now and then four are not sent: the living are silent for 50 s. The runtime says "stopped" of everybody, so that the signs alone tell who
/// is dead: the best `recent_heartbeat` is as long as the living are silent. Restarts are
/// put off for so long that the log goes on where a verdict was too quick.
const RUNTIME_THAT_LIES: &str = r#"
name = "runtime-that-lies"
about = "Only the signs tell who is dead."
lasts = "3h"

[[workspaces]]
count = 4
beats = { every = "10s" }
boot = "5s"

[probes]
takes = "5ms"

[[event]]
what = "lie"
at = "0s"
for = "3h"

[[event]]
what = "reset"
at = "1s"
every = "1s"

[[event]]
what = "mute"
at = "2min"
every = "4min"
for = "40s"

[[event]]
what = "crash"
per_day = 72.0
"#;
const BEST_S: f64 = 50.0;
/// Of them.
const NEAR: f64 = 0.1;

/// What a policy of too quick a day decided.
fn log() -> Vec<Decision> {
    let scenario = Scenario::parse(RUNTIME_THAT_LIES).unwrap();
    let settings = [("recent_heartbeat", "5s"), ("restart_debounce", "10min")];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.into()));
    let by = contender("default", settings.into_iter().collect());
    let mut decisions = Vec::new();
    simulate(&scenario, &by, RunOptions::seeded(Seed(1)), &mut |happening| {
        if let Happening::Decided(decision) = happening {
            decisions.push(decision.clone());
        }
    });
    decisions
}

fn seconds(settings: &Settings) -> f64 {
    let written = settings["recent_heartbeat"].as_str().unwrap();
    match written.strip_suffix("ms") {
        Some(digits) => digits.parse::<f64>().unwrap() / 1e3,
        None => written.strip_suffix('s').unwrap().parse().unwrap(),
    }
}

fn outcome(record: &Record, part: Part, group: u64, settings: &Settings) -> Outcome {
    record.outcome(part, group, contender("default", settings.clone()).generation())
}

#[test]
fn the_best_window_of_a_log_is_found_and_keeps_its_promise_on_the_later_part() {
    let record = Record::of(log()).unwrap();
    let runs = record.groups(Part::Earlier).min(8);
    let knobs = vec!["recent_heartbeat=8s..60s/7".parse().unwrap()];
    let price = Price::default();
    let mut search = Search::new(knobs, Plan { price, seed: 0, runs }).unwrap();
    loop {
        for run in search.wanted() {
            let settings = search.points()[run.point].settings.clone();
            search.came(run, outcome(&record, Part::Earlier, run.seed, &settings));
        }
        if !search.next_round() {
            break;
        }
    }
    let best = search.points()[search.best().unwrap()].settings.clone();
    let found_s = seconds(&best);
    assert!((found_s / BEST_S - 1.0).abs() <= NEAR, "{found_s} s");

    let tally = |window: &str| {
        let settings = [("recent_heartbeat".to_owned(), window.into())].into_iter().collect();
        record.tally(Part::Later, contender("default", settings).generation())
    };
    let kept = record.tally(Part::Later, contender("default", best).generation());
    assert!(kept.down >= 3 && kept.lived_on >= 20, "{kept:?}");
    assert_eq!((kept.found, kept.falsely), (kept.down, 0), "{kept:?}");
    // Half of it restarts the living.
    let half = tally(&format!("{}s", (found_s / 2.0).round()));
    assert!(half.falsely >= 5, "{half:?}");
    assert_eq!(half.found, half.down);
}

fn told(folder: &Path, args: &[&str]) -> (i32, String) {
    let always = ["--param", "recent_heartbeat=20s..60s/3", "--runs", "4"];
    let mut command = Command::new(reprieve());
    outcome_of(command.arg("tune").args(args).args(always).current_dir(folder))
}

#[test]
fn the_command_line_tunes_on_a_log_and_says_how_much_of_it_tells_something() {
    let folder = tempfile::tempdir().unwrap();
    let lines = log().into_iter().map(|decision| serde_json::to_string(&decision).unwrap() + "\n");
    let text: String = lines.collect();
    fs::write(folder.path().join("day.log"), &text).unwrap();
    let args = ["--on", "day.log", "--out", "tuned.toml", "--html", "t.html", "--journal", "j"];
    let (code, said) = told(folder.path(), &args);
    assert_eq!(code, 0, "{said}");
    for part in [
        "groups of incidents",
        "recommended: recent_heartbeat=",
        "which the search has not seen",
        "the log tells that the workspace lived on",
        "they count for nothing",
        "settings apply fleet --file tuned.toml",
    ] {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    let tuned = fs::read_to_string(folder.path().join("tuned.toml")).unwrap();
    assert!(tuned.contains("recent_heartbeat = \"") && tuned.contains("day.log"), "{tuned}");
    let page = fs::read_to_string(folder.path().join("t.html")).unwrap();
    assert!(page.contains("decisions about 4 workspaces"), "{page}");
    // What is known of the log is not worked out again; of another log it is refused.
    let (code, json) = told(folder.path(), &["--on", "day.log", "--json", "--journal", "j"]);
    assert_eq!(code, 0, "{json}");
    for part in ["j has ", "\"on_later_part\"", "\"tally\"", "\"false_share\"", "\"unknown\""] {
        assert!(json.contains(part), "{json} lacks {part}");
    }
    let shorter: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    fs::write(folder.path().join("other.log"), shorter).unwrap();
    let (code, refused) = told(folder.path(), &["--on", "other.log", "--journal", "j"]);
    assert_eq!(code, 2, "{refused}");
    assert!(refused.contains("of another scenario or log"), "{refused}");
}

#[test]
fn a_log_on_which_nothing_can_be_tuned_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let first = serde_json::to_string(&log()[0]).unwrap();
    for (case, text, expected) in [
        ("empty", String::new(), "it holds no decision"),
        ("one decision", format!("{first}\n"), "it tells of 0 incidents how they ended"),
        ("no decision", format!("{first}\n{{\"id\": 1}}\n"), "log.jsonl, line 2: is no decision"),
        (
            "a newer version",
            format!("{first}\n{}\n", first.replace("\"forward_failed\"", "\"dreamt\"")),
            "line 2: unknown variant `dreamt`",
        ),
        ("cut off", first[..first.len() / 2].to_owned(), "line 1: is no decision: EOF"),
    ] {
        fs::write(folder.path().join("log.jsonl"), text).unwrap();
        let (code, said) = told(folder.path(), &["--on", "log.jsonl", "--out", "tuned.toml"]);
        assert_eq!(code, 2, "{case}: {said}");
        assert!(said.contains(expected), "{case}: {said}");
        assert!(!folder.path().join("tuned.toml").exists(), "{case}");
    }
    fs::write(folder.path().join("log.jsonl"), format!("{}\n", "{}\n".repeat(30))).unwrap();
    let (_, all) = told(folder.path(), &["--on", "log.jsonl"]);
    assert!(all.contains("line 20: ") && !all.contains("line 21: "), "{all}");
    assert!(all.contains("30 in all are no decisions"), "{all}");
    let (code, nowhere) = told(folder.path(), &["--on", "nowhere.jsonl"]);
    assert!(code == 2 && nowhere.contains("cannot read nowhere.jsonl"), "{nowhere}");
    let (code, no_host) = told(folder.path(), &["--on", "."]);
    assert!(code == 2 && no_host.contains("cannot read the decisions in ."), "{no_host}");
}
