//! What came of a replay, for people and for machines.

use std::fmt::Write as _;

use reprieve_core::time::UnixMillis;
use reprieve_lab::replay::{MAX_KEPT, Report, Row};
use serde_json::{Value, json};

use crate::cli::{
    explain,
    output::{self, BAD, CAREFUL, GOOD, HEADING},
};

/// Rows of each table that are printed; `--json` has them all.
const MAX_SHOWN: usize = 20;
/// Changes that are listed one by one.
const MAX_LISTED: usize = 10;

pub(super) fn table(report: &Report, is_candidate: bool) -> String {
    let counts = &report.counts;
    let style = match (counts.differing, is_candidate) {
        (0, _) => GOOD,
        (_, true) => CAREFUL,
        (_, false) => BAD,
    };
    let differ = if is_candidate { "would be decided otherwise" } else { "DIFFER" };
    let mut text = format!(
        "{} decisions: {} the same, {}\n",
        counts.decisions,
        counts.same,
        output::styled(style, &format!("{} {differ}", counts.differing))
    );
    for (count, what) in [
        (counts.had_fallen_back, "had fallen back: no policy's answer is on record"),
        (counts.missing, "cannot be told: the candidate asks for what is not on record"),
        (counts.failing, "fail under the candidate"),
        (counts.unknown, "cannot be run again: what decided cannot be had"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "  {count} {what}");
        }
    }
    for (heading, rows) in [
        ("by reason", report.by_reason()),
        ("by tenant", report.by_tenant()),
        ("by workspace", report.by_workspace()),
        ("what is missing, or fails", report.by_failure()),
        ("what cannot be had", report.by_unknown()),
    ] {
        text += &listed(heading, &rows);
    }
    if !report.changed.is_empty() {
        let _ = writeln!(text, "\n{}", output::styled(HEADING, "the first"));
        for (nth, changed) in (1..).zip(report.changed.iter().take(MAX_LISTED)) {
            let recorded = &changed.recorded;
            let _ = writeln!(
                text,
                "  {nth}. {} {}: {} {} -> {} {}",
                explain::facts::date(recorded.at),
                recorded.workspace,
                explain::verdict(&recorded.outcome),
                recorded.outcome.reason_code(),
                explain::verdict(&changed.outcome),
                changed.outcome.reason_code(),
            );
        }
        text += "  --explain N tells one of them whole\n";
    }
    text
}

fn listed(heading: &str, rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", output::styled(HEADING, heading));
    for row in rows.iter().take(MAX_SHOWN) {
        let _ = writeln!(text, "  {:>8}  {}", row.decisions, output::plain(&row.what));
    }
    if rows.len() > MAX_SHOWN {
        let _ = writeln!(text, "  {:>8}  more rows", rows.len() - MAX_SHOWN);
    }
    text
}

pub(super) fn json(report: &Report, bad_lines: u64) -> Value {
    json!({
        "counts": report.counts,
        "bad_lines": bad_lines,
        "by_reason": report.by_reason(),
        "by_tenant": report.by_tenant(),
        "by_workspace": report.by_workspace(),
        "by_failure": report.by_failure(),
        "by_unknown": report.by_unknown(),
        "changed": report.changed,
    })
}

/// As it is on record, and as it would be.
pub(super) fn explained(report: &Report, nth: u32, now: UnixMillis) -> anyhow::Result<String> {
    let place = nth as usize - 1;
    let Some(changed) = report.changed.get(place) else {
        let kept = report.changed.len();
        anyhow::bail!(
            "there is no change {nth}: {kept} of {} are kept to be explained, at most {MAX_KEPT}",
            report.counts.differing
        );
    };
    let mut again = changed.recorded.clone();
    again.outcome = changed.outcome.clone();
    again.memory_write.clone_from(&changed.memory_write);
    again.effect = None;
    Ok(format!(
        "{}\n{}\n{}\n{}",
        output::styled(HEADING, "AS IT IS ON RECORD"),
        output::bold_headings(&explain::explain(&changed.recorded, now)),
        output::styled(HEADING, "AS IT WOULD BE"),
        output::bold_headings(&explain::explain(&again, now)),
    ))
}
