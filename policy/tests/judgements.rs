//! Every row of `judgements.toml`, natively.

#![allow(clippy::expect_used, reason = "a test that cannot go on may say so by panicking")]

use std::collections::BTreeSet;

use reprieve_default_policy::{Reason, Settings};
use reprieve_policy::{FakeEvidence, FromSettings as _, Policy as _, Question, Reason as _};

#[path = "rows/mod.rs"]
mod rows;

use rows::{Expected, Row};

/// Fewer would mean that the table was cut by mistake.
const FEWEST_ROWS: usize = 60;

fn ruled(row: &Row, evidence: &FakeEvidence) -> (Expected, &'static str) {
    let policy = Settings::open(&row.settings).expect(&row.name);
    match row.call {
        rows::Call::Judge(trigger, attempt) => {
            let judgement = policy.judge(evidence, trigger, attempt);
            (Expected::Verdict(judgement.verdict), judgement.reason.code())
        }
        rows::Call::Admit(cause) => {
            let ruling = policy.admit(evidence, cause);
            (Expected::Admission(ruling.admission), ruling.reason.code())
        }
    }
}

#[test]
fn every_row_is_ruled_as_it_says() {
    let wrong: Vec<_> = rows::all()
        .iter()
        .filter_map(|row| {
            let got = ruled(row, &row.evidence);
            let expected = (row.expected, row.reason.as_str());
            (got != expected).then(|| format!("{}: {got:?}, expected {expected:?}", row.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn nothing_is_asked_that_a_row_forbids() {
    for row in rows::all() {
        let evidence = row.evidence.clone();
        ruled(&row, &evidence);
        if row.never_look {
            assert!(!evidence.asked().contains(&Question::Look), "{}", row.name);
        }
        assert!(evidence.looks() <= 1, "{}: the runtime was asked twice", row.name);
        assert_eq!(evidence.written(), None, "{}: this policy keeps no notes", row.name);
    }
}

#[test]
fn every_reason_is_reached_and_every_row_has_its_own_name() {
    let rows = rows::all();
    assert!(rows.len() >= FEWEST_ROWS, "{} rows", rows.len());
    let reached: BTreeSet<_> = rows.iter().map(|row| row.reason.as_str()).collect();
    let declared: BTreeSet<_> = Reason::ALL.iter().map(|(code, _)| *code).collect();
    assert_eq!(reached, declared);
    let names: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
    assert_eq!(names.len(), rows.len(), "two rows have the same name");
}

#[test]
fn reasons_keep_to_the_contract() {
    assert!(Reason::ALL.len() <= 256);
    let codes: BTreeSet<_> = Reason::ALL.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes.len(), Reason::ALL.len(), "two reasons have the same code");
    for (code, meaning) in Reason::ALL {
        let kebab = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        assert!(kebab && code.len() <= 64, "{code}");
        assert!(meaning.ends_with('.') && !meaning.starts_with(' '), "{code}: {meaning}");
    }
}
