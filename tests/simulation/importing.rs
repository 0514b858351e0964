//! Somebody's own history: every command of docs/history.md on its example, beats played
//! back to the millisecond, and files in which something is wrong.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use reprieve_core::{
    evidence::{Answer, Beat},
    settings::Settings,
};
use reprieve_lab::{Happening, RunOptions, Scenario, Seed, Truth, simulate};
use reprieve_tests::{outcome_of, page, reprieve};

use crate::contender;

const PAGE: &str = include_str!("../../docs/history.md");

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/history")
}

/// A command in that folder: its exit code, and what it prints.
fn told(folder: &Path, command: &str) -> (i32, String) {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", reprieve().parent().unwrap().display());
    outcome_of(Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path))
}

/// A folder with the example's files.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["beats.csv", "outages.jsonl", "probes.csv"] {
        fs::copy(example().join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn read(file: &Path) -> Scenario {
    let text = fs::read_to_string(file).unwrap();
    let mut open = |name: &str| {
        let beside = fs::File::open(file.with_file_name(name))?;
        Ok(Box::new(beside) as Box<dyn Read>)
    };
    Scenario::parse_with(&text, &mut open).unwrap()
}

#[test]
fn every_command_of_the_history_page_runs() {
    let folder = folder();
    let commands = page::commands(PAGE);
    assert_eq!(commands.len(), 5, "{commands:?}");
    for page::PageCommand { line, exit_code } in commands {
        let (code, told) = told(folder.path(), &line);
        assert_eq!(code, exit_code, "{line}: {told}");
        let parts: &[&str] = if line.contains("import") {
            &[
                "from 2026-04-16T09:00:00.000Z on, for 2 h",
                "beats of 3 workspaces",
                "planner",
                "60 probes, 1 of them faults",
                "6 times somebody was, or was called, down (2 crash, 1 cut, 1 hang, 1 lie, 1 stall)",
                "2 of them ended only with a restart",
            ]
        } else if line.contains("simulate") {
            &["default  2", "3 workspaces for 2 h"]
        } else if line.contains("score") {
            &["trust-the-probe"]
        } else {
            &["recommended:"]
        };
        for part in parts {
            assert!(told.contains(part), "{line}: {told:?} lacks {part:?}");
        }
    }
    let mine = fs::read_to_string(folder.path().join("mine.toml")).unwrap();
    for part in [
        "# ws-1 is planner",
        "line 1: nobody answered; its count begins anew afterwards",
        "what = \"hang\"\nat = \"3410s\"\nfor = \"45s\"\nwho = \"ws-2\" # billing",
    ] {
        assert!(mine.contains(part), "{mine} lacks {part}");
    }
    let (code, again) = told(folder.path(), "reprieve import --beats beats.csv --out mine.toml");
    assert_eq!(code, 2, "{again}");
    assert!(again.contains("may have been corrected") && again.contains("--force"), "{again}");
}

/// Whoever is judged has the beats of the file, to the millisecond, and no others.
#[test]
fn recorded_beats_are_played_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let (mut text, mut arrivals) = ("send_ms,receive_ms\n".to_owned(), Vec::new());
    for nth in 0..360_u64 {
        let (sent, way) = (nth * 10_000 + nth * nth % 977, nth * 31 % 1_500);
        text += &format!("{sent},{}\n", sent + way);
        arrivals.push(sent + way);
    }
    fs::write(folder.path().join("beats.csv"), text).unwrap();
    let file = folder.path().join("s.toml");
    // Twice as long as the trace: it is played again.
    let scenario = "name = \"s\"\nabout = \"\"\nlasts = \"2h\"\n[[workspaces]]\ncount = 2\n\
        beats = { trace = \"beats.csv\" }\n[probes]\ntakes = \"0ms\"\n[[event]]\nwhat = \"reset\"\nat = \"17s\"\n\
        every = \"41s\"\n";
    fs::write(&file, scenario).unwrap();
    let scenario = read(&file);
    let last = *arrivals.last().unwrap();
    let (mut asked, mut newest) = (0, 0);
    let by = contender("default", Settings::new());
    let run = simulate(&scenario, &by, RunOptions::seeded(Seed(1)), &mut |happening| {
        let Happening::Decided(decision) = happening else { return };
        let at = decision.at.0 - 1_000_000_000_000;
        for exchange in &decision.evidence {
            let Answer::NewestBeat(Ok(Some(Beat { age, .. }))) = exchange.answer else { continue };
            let arrived = at - age.0;
            asked += 1;
            newest = newest.max(arrived);
            if at <= last {
                let expected = arrivals.iter().filter(|arrival| **arrival <= at).max();
                assert_eq!(Some(&arrived), expected, "asked at {at}");
            }
        }
    });
    assert!(asked > 200, "{asked}");
    assert!(newest > last, "the trace is played again: {newest}");
    assert_eq!((run.measures.mistakes, run.measures.restarts), (0, 0));
}

/// The workspace dies in the middle, for a quarter of an hour. Restarted sooner than it
/// was then, it lives; and it is not judged by beats that it never sent.
#[test]
fn whoever_is_restarted_sooner_than_it_was_beats_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut beats = "sequence,send_s,receive_s\n".to_owned();
    for nth in 0..60_u64 {
        beats += &format!("{nth},{0},{0}.01\n", nth * 10);
    }
    for nth in 0..60_u64 {
        beats += &format!("{nth},{0},{0}.01\n", 1_500 + nth * 10);
    }
    fs::write(folder.path().join("beats.csv"), beats).unwrap();
    let outage = "{\"time_s\": 592, \"target\": \"workspace\", \"state\": \"down\", \
        \"duration\": \"15min\"}\n";
    fs::write(folder.path().join("outages.jsonl"), outage).unwrap();
    let command = "reprieve import --beats beats.csv --outages outages.jsonl --out mine.toml";
    let (code, said) = told(folder.path(), command);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("90 beats are added"), "{said}");
    let scenario = read(&folder.path().join("mine.toml"));
    let settings: Settings = [("liveness_ttl".to_owned(), "60s".into())].into_iter().collect();
    let mut healthy = false;
    let by = contender("default", settings);
    let run = simulate(&scenario, &by, RunOptions::seeded(Seed(1)), &mut |happening| {
        healthy |= matches!(happening, Happening::Truth { truth: Truth::Healthy, .. });
    });
    let measures = &run.measures;
    assert_eq!((measures.deaths, measures.restarts, measures.false_restarts), (1, 1, 0));
    assert!(healthy && measures.time_to_recover.count() == 1);
    assert!(run.violations.is_empty(), "{:?}", run.violations);
}

/// Nobody calls it: only its silence tells, and its watch begins with its first beat.
#[test]
fn whoever_beats_from_a_file_and_falls_silent_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (1..360).map(|nth| format!("{0},{0}\n", nth * 10));
    let text = format!("send_s,receive_s\n{}", rows.collect::<String>());
    fs::write(folder.path().join("beats.csv"), text).unwrap();
    let file = folder.path().join("s.toml");
    let scenario = "name = \"s\"\nabout = \"\"\nlasts = \"1h\"\n[[workspaces]]\ncount = 2\n\
        beats = { trace = \"beats.csv\" }\n[[event]]\nwhat = \"hang\"\nat = \"30min\"\n\
        who = \"ws-2\"\n";
    fs::write(&file, scenario).unwrap();
    let by = contender("default", Settings::new());
    let run = simulate(&read(&file), &by, RunOptions::seeded(Seed(1)), &mut |_| {});
    let measures = &run.measures;
    assert_eq!((measures.undetected, measures.restarts, measures.false_restarts), (0, 1, 0));
}

/// What an import says of a file in which something is wrong. Nothing is written.
fn refused(flag: &str, text: &str, more: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), text).unwrap();
    let command = format!("reprieve import --{flag} file {more} --out mine.toml");
    let (code, said) = told(folder.path(), &command);
    assert_eq!(code, 2, "{text}: {said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{text}: something is written");
    said
}

#[test]
fn beats_that_cannot_be_are_named_by_line_and_field() {
    const HEADER: &str = "workspace,sequence,send_ms,receive_ms\n";
    for (case, rows, expected) in [
        ("no time", "a,0,,5\n", "line 2: send_ms: is empty"),
        ("no number", "a,0,1,5\na,1,soon,5\n", "line 3: send_ms: \"soon\" is no number"),
        ("no count", "a,-1,1,5\n", "line 2: sequence: \"-1\" is no number from 0 on"),
        ("nobody", ",0,1,5\n", "line 2: workspace: \"\" is no name"),
        ("too few values", "a,0,1\n", "line 2: row: has 3 values, and the header 4 names"),
        (
            "unordered",
            "a,0,9,9\na,1,5,6\n",
            "line 3: send_ms: is 4 ms before the row above it of a",
        ),
        ("received first", "a,0,9,5\n", "line 2: receive_ms: lies 4 ms before the beat was sent"),
        ("another unit", "a,0,9,90000000000\n", "are both columns' units right?"),
        ("twice", "a,7,1,5\na,7,2,6\n", "line 3: sequence: 7 stands twice for a"),
        ("backwards", "a,7,1,5\na,5,2,6\n", "line 3: sequence: 5 stands after 7 for a"),
        ("no such count", "a,1,1,5\na,99999999999,2,6\n", "jumps from 1 to 99999999999"),
        ("nothing arrived", "a,0,1,\n", "line 2: file: no beat arrived"),
        ("no row", "", "line 2: file: no beat arrived"),
        ("quoted, over two lines", "\"a\nb\",0,1,2\n", "line 2: workspace: \"a"),
    ] {
        let said = refused("beats", &format!("{HEADER}{rows}"), "");
        assert!(said.contains(expected), "{case}: {said}");
    }
    for (case, text, expected) in [
        ("empty", "", "line 1: header: the file is empty"),
        ("no column", "a,b\n1,2\n", "line 1: header: has no column \"send\""),
        (
            "no unit",
            "send,receive\n1,2\n",
            "line 2: send: \"1\" has no unit: call the column send_ms",
        ),
        ("years", "send_s,receive_s\n1,1\n99999999,99999999\n", "a scenario at most"),
    ] {
        let said = refused("beats", text, "");
        assert!(said.contains(expected), "{case}: {said}");
    }
    let bad = "a,x,1,5\n".repeat(60);
    let all = refused("beats", &format!("{HEADER}{bad}"), "");
    assert_eq!(all.matches("error: file, line").count(), 50, "{all}");
    assert!(all.contains("and 10 more in file"), "{all}");
    let crowd: String = (0..=10_000).map(|n| format!("w-{n},0,1,5\n")).collect();
    let many = refused("beats", &format!("{HEADER}{crowd}"), "");
    assert!(many.contains("line 10002: ") && many.contains("more than 10000 workspaces"), "{many}");
    let unit = refused("beats", "send,receive\n1,x\n", "--unit s");
    assert!(unit.contains("line 2: receive: \"x\" is no number"), "{unit}");
}

#[test]
fn outages_and_probes_that_cannot_be_are_named_by_line_and_field() {
    const DOWN: &str = "{\"time_s\":9,\"target\":\"a\",\"state\":\"down\"";
    for (case, text, expected) in [
        ("empty", String::new(), "line 1: file: holds no outage"),
        ("no JSON", "down\n".to_owned(), "line 1: line: is no JSON object"),
        ("cut off", format!("{DOWN}}}\n{DOWN}"), "line 2: line: is no JSON object"),
        ("no time", "{\"target\":\"a\"}".to_owned(), "line 1: time: is missing"),
        ("no unit", "{\"time\":9,\"target\":\"a\"}".to_owned(), "line 1: time: \"9\" has no unit"),
        ("no date", "{\"time\":\"noon\"}".to_owned(), "line 1: time: \"noon\" is no time"),
        ("nobody", "{\"time_s\":9}".to_owned(), "line 1: target: is missing"),
        ("no state", "{\"time_s\":9,\"target\":\"a\"}".to_owned(), "line 1: state: is missing"),
        (
            "another state",
            format!("{DOWN},\"state\":\"ill\"}}"),
            "line 1: state: \"ill\" is neither",
        ),
        (
            "no code",
            format!("{DOWN},\"status_code\":9}}"),
            "line 1: status_code: \"9\" is no status",
        ),
        ("no length", format!("{DOWN},\"duration\":90}}"), "line 1: duration: \"90\" has no unit"),
        (
            "down twice",
            format!("{DOWN}}}\n{DOWN}}}"),
            "line 2: state: says down, and line 1 said so",
        ),
        (
            "unordered",
            format!("{DOWN}}}\n{}", "{\"time_s\":8,\"target\":\"a\",\"state\":\"up\"}"),
            "line 2: time: is 1 s before line 1",
        ),
        ("endless", "x".repeat(70_000), "line 1: line: is longer than 65536 bytes"),
        (
            "too many",
            format!("{DOWN},\"duration_s\":0}}\n").repeat(1_001),
            "more than 1000 outages",
        ),
    ] {
        let said = refused("outages", &text, "");
        assert!(said.contains(expected), "{case}: {said}");
    }
    for (case, rows, expected) in [
        ("no such fault", "5,9,tired\n", "line 2: result: \"tired\" is neither an answer"),
        ("no length", "5,long,ok\n", "line 2: duration_ms: \"long\" is no number"),
        ("another unit", "5,90000000,ok\n", "line 2: duration_ms: is 25 h: is the unit right?"),
        ("unordered", "5,9,ok\n4,9,ok\n", "line 3: time_ms: is 1 ms before the row above it"),
        ("none", "", "line 2: file: holds no probe"),
        ("alone", "5,9,ok\n", "nothing names a workspace"),
    ] {
        let said = refused("probes", &format!("time_ms,duration_ms,result\n{rows}"), "");
        assert!(said.contains(expected), "{case}: {said}");
    }
}

#[test]
fn a_scenario_whose_trace_cannot_be_played_is_refused_with_its_line_and_the_traces() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    for (case, beats, trace, expected) in [
        (
            "not there",
            "trace = \"no.csv\"",
            "",
            "line 6: workspaces.beats.trace: cannot read no.csv",
        ),
        ("not one", "trace = \"t.csv\"", "send_ms\n", "t.csv, line 1: header: has no column"),
        (
            "a bad row",
            "trace = \"t.csv\"",
            "send_ms,receive_ms\n9,5\n",
            "t.csv, line 2: receive_ms",
        ),
        ("both", "trace = \"t.csv\", every = \"9s\"", "", "nothing stands beside it"),
        ("neither", "jitter = \"9s\"", "", "say `every`, or `trace`"),
        (
            "dates",
            "trace = \"t.csv\"",
            "send_ms,receive_ms\n1776330003000,1776330003004\n",
            "times count from the scenario's beginning",
        ),
    ] {
        fs::write(folder.path().join("t.csv"), trace).unwrap();
        let text = format!(
            "name = \"s\"\nabout = \"\"\nlasts = \"1h\"\n[[workspaces]]\ncount = 1\n\
             beats = {{ {beats} }}\n"
        );
        fs::write(&file, text).unwrap();
        let (code, said) = told(folder.path(), "reprieve simulate s.toml");
        assert_eq!(code, 2, "{case}: {said}");
        assert!(said.contains(expected), "{case}: {said}");
    }
}
