//! Decisions of simulated days, as a log: run again by what decided, by another policy,
//! and after somebody has tampered with them.

use std::{io::Write as _, process::Command};

use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::Question,
    ids::Digest,
    judgement::Verdict,
    settings::Settings,
};
use reprieve_lab::{
    Happening, Lab, RunOptions, Seed,
    replay::{Again, Archive, By, Report, Source, Unknown, read_line},
    simulate,
};
use reprieve_runtime::Who;
use reprieve_tests::{outcome_of, reprieve};

use crate::{contender, scenario};

/// A day as most are, as it would be on record.
fn log() -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut keep = |happening: Happening<'_>| {
        if let Happening::Decided(decision) = happening {
            decisions.push(decision.clone());
        }
    };
    let (day, default) = (scenario("ordinary-day"), contender("default", Settings::new()));
    simulate(&day, &default, RunOptions::seeded(Seed(1)), &mut keep);
    assert!(decisions.len() > 500, "{}", decisions.len());
    decisions
}

struct Shelf;

impl Source for Shelf {
    fn component(&mut self, _: Digest) -> Option<Vec<u8>> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/default.wasm");
        Some(std::fs::read(file).unwrap())
    }

    fn settings(&mut self, _: &Who, _: Digest) -> Option<Settings> {
        None
    }
}

fn same() -> By {
    By::Same(Archive::new(Lab::new().unwrap(), Shelf))
}

fn report(mut by: By, decisions: Vec<Decision>) -> Report {
    let mut report = Report::default();
    for decision in decisions {
        let again = by.run(&decision);
        report.add(decision, again);
    }
    report
}

#[test]
fn a_log_replays_without_a_difference_through_its_text_too() {
    let decisions = log();
    let count = decisions.len() as u64;
    let read = decisions.iter().map(|decision| {
        let line = serde_json::to_vec(decision).unwrap();
        read_line(&line).unwrap().expect("a decision")
    });
    let report = report(same(), read.collect());
    assert_eq!((report.counts.same, report.counts.decisions), (count, count), "{report:?}");
}

#[test]
fn what_was_tampered_with_differs_and_what_cannot_be_had_is_counted() {
    let mut by = same();
    let judged = log().into_iter().find(|decision| {
        matches!(decision.outcome, Outcome::Judged { verdict: Verdict::Busy(_), .. })
    });
    let judged = judged.expect("one is busy");
    assert_eq!(by.run(&judged), Again::Same);

    let mut other_verdict = judged.clone();
    if let Outcome::Judged { verdict, .. } = &mut other_verdict.outcome {
        *verdict = Verdict::Dead;
    }
    assert!(matches!(by.run(&other_verdict), Again::Differs(_)));

    let mut other_note = judged.clone();
    other_note.memory_write = Some(b"x".to_vec());
    assert!(matches!(by.run(&other_note), Again::Differs(_)));

    let mut no_evidence = judged.clone();
    no_evidence.evidence.clear();
    assert!(matches!(by.run(&no_evidence), Again::Differs(_)));

    let (mut settings, mut component) = (judged.clone(), judged.clone());
    std::sync::Arc::make_mut(&mut settings.generation).settings = Digest::of(b"others");
    std::sync::Arc::make_mut(&mut component.generation).component = Digest::of(b"others");
    assert!(matches!(by.run(&settings), Again::Unknown(Unknown::Settings { .. })));
    assert!(matches!(by.run(&component), Again::Unknown(Unknown::Component { .. })));

    let mut fell_back = judged;
    fell_back.outcome = Outcome::FellBack { failure: "trapped".into(), detail: "x".into() };
    assert_eq!(by.run(&fell_back), Again::HadFallenBack);
}

#[test]
fn a_candidate_is_told_what_would_change_and_what_nobody_was_asked() {
    let mut decisions = log();
    let of_its_day = contender("trust-the-probe", Settings::new());
    let by = || By::Candidate(std::sync::Arc::clone(of_its_day.generation()));
    let told = report(by(), decisions.clone());
    assert!(told.counts.differing > 0, "{:?}", told.counts);
    // The default policy rules the settle window without asking the runtime.
    assert!(told.counts.missing > 0, "{:?}", told.counts);
    assert!(told.by_failure()[0].what.contains("Look"), "{:?}", told.by_failure());
    let by_reason: u64 = told.by_reason().iter().map(|row| row.decisions).sum();
    assert_eq!(by_reason, told.counts.differing);

    for decision in &mut decisions {
        decision.evidence.retain(|exchange| exchange.question != Question::Look);
    }
    let blind = report(by(), decisions);
    assert!(blind.counts.missing > told.counts.missing, "{:?}", blind.counts);
}

#[test]
fn a_line_that_is_no_decision_is_refused_with_its_field() {
    for (case, line, expected) in [
        ("no JSON", "nonsense", "is no decision"),
        ("a field is missing", "{\"id\":\"1\"}", "missing field `at`"),
        (
            "a newer word",
            "{\"id\":\"1\",\"at\":1,\"workspace\":\"w\",\"tenant\":\"t\",\"life\":1,\"generation\":{\"number\":1,\"policy\":\"p\",\"component\":\"00\",\"settings\":\"00\"}}",
            "64 hex digits",
        ),
        ("a newer call", "{\"call\":{\"dream\":{}}}", "newer version"),
    ] {
        let refused = read_line(line.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{case}: {refused}");
    }
    assert!(read_line(b"  ").unwrap().is_none());
}

/// `reprieve replay`, with its exit code and what it prints.
fn told(args: &[&str]) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(reprieve());
    outcome_of(command.arg("replay").args(args).env("REPRIEVE_STATE_DIR", dir.path()))
}

#[test]
fn the_command_line_tells_what_came_of_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    let mut text = String::new();
    for decision in log() {
        text += &(serde_json::to_string(&decision).unwrap() + "\n");
    }
    std::fs::write(&file, &text).unwrap();
    let path = file.to_str().unwrap();

    let (code, same) = told(&[path]);
    assert_eq!(code, 0, "{same}");
    assert!(same.contains("0 DIFFER"), "{same}");

    let (code, changed) = told(&[path, "--policy", "trust-the-probe"]);
    assert_eq!(code, 0, "{changed}");
    assert!(changed.contains("would be decided otherwise") && changed.contains("by tenant"));
    let (code, one) = told(&[path, "--policy", "trust-the-probe", "--explain", "1"]);
    assert_eq!(code, 0, "{one}");
    assert!(one.contains("AS IT IS ON RECORD") && one.contains("AS IT WOULD BE"), "{one}");

    let settings = dir.path().join("longer.json");
    std::fs::write(&settings, "{\"busy_retry_after\": \"45s\"}").unwrap();
    let (code, waits) = told(&[path, "--settings", settings.to_str().unwrap()]);
    assert_eq!(code, 0, "{waits}");
    assert!(waits.contains("another note or wait"), "{waits}");

    let mut broken = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    broken.write_all(b"{\"id\": 1}\n").unwrap();
    let (code, bad) = told(&[path]);
    assert_eq!(code, 1, "{bad}");
    assert!(bad.contains("line ") && bad.contains("is no decision"), "{bad}");

    std::fs::write(&file, "").unwrap();
    let (code, empty) = told(&[path]);
    assert_eq!(code, 2, "{empty}");
    assert!(empty.contains("holds no decision"), "{empty}");
}
