//! Experiments, for people.

use std::fmt::Write as _;

use reprieve_core::time::{Millis, UnixMillis};

use super::Explained;
use crate::{
    cli::{
        explain::facts,
        output::{self, BAD, CAREFUL, FAINT, GOOD, HEADING},
        table,
    },
    experiments::{ArmReport, ExperimentAct, ExperimentReport, IntervalReport, TimesReport},
};

/// Disagreements that a report names one by one; the rest is counted.
const MAX_SHOWN: usize = 10;

pub(super) fn started(report: &ExperimentReport) -> String {
    let name = &report.name;
    format!(
        "{} experiment {name} runs. Look at it with\n  reprieve experiment status {name}\nand end \
         it with\n  reprieve experiment abort {name} --why '…'\n",
        output::styled(GOOD, "OK:"),
    )
}

pub(super) fn list(experiments: &[ExperimentReport], now: UnixMillis) -> String {
    if experiments.is_empty() {
        return "There has been no experiment.\n".to_owned();
    }
    let row = |report: &ExperimentReport| {
        let started = UnixMillis(report.started.at_ms).age(now);
        [
            report.name.clone(),
            standing(report).to_owned(),
            report.mode.clone(),
            percent(f64::from(report.share_bp) / 10_000.0),
            format!("{started} ago"),
            output::plain(&report.owner),
            output::plain(&report.hypothesis),
        ]
    };
    let rows: Vec<_> = experiments.iter().map(row).collect();
    let headings = ["name", "state", "mode", "share", "started", "owner", "hypothesis"];
    table::print(headings, &rows, |column, cell| match (column, cell) {
        (1, "running") => Some(GOOD),
        (1, "aborted") => Some(BAD),
        (1, "suspended") => Some(CAREFUL),
        _ => None,
    })
}

pub(super) fn status(report: &ExperimentReport) -> String {
    let mut out = format!(
        "{} is {}: {}\n",
        output::styled(HEADING, &report.name),
        standing(report),
        output::plain(&report.hypothesis),
    );
    for (what, text) in facts_of(report) {
        let _ = writeln!(out, "  {what:<10} {}", output::plain(&text));
    }
    out.push('\n');
    out += &arms(report);
    out
}

pub(super) fn report(explained: &Explained) -> String {
    let report = &explained.report;
    let mut out = status(report);
    out.push('\n');
    out += &guardrails(report);
    out.push('\n');
    out += &disagreements(report);
    if let Some(sentence) = unexplained(explained) {
        let _ = writeln!(out, "{}", output::plain(&sentence));
    }
    out += &output::styled(
        FAINT,
        "Intervals are of 95 %, for one look. What aborts is the evidence, at any time.",
    );
    out.push('\n');
    out
}

/// The state, or that nobody is tried.
pub(super) fn standing(report: &ExperimentReport) -> &str {
    if report.suspended.is_some() { "suspended" } else { &report.state }
}

/// What it is, line by line.
pub(super) fn facts_of(report: &ExperimentReport) -> Vec<(&'static str, String)> {
    let share = percent(f64::from(report.share_bp) / 10_000.0);
    let whom = match (&report.tenants[..], report.labels.is_empty()) {
        ([], true) => "everybody".to_owned(),
        (tenants, _) => {
            let labels = report.labels.iter().map(|(key, value)| format!("{key}={value}"));
            tenants.iter().cloned().chain(labels).collect::<Vec<_>>().join(", ")
        }
    };
    let component = report.component.as_ref().map_or_else(
        || "the component in force".to_owned(),
        |component| format!("sha256:{component:.12}"),
    );
    let candidate = match report.settings.is_empty() {
        true => component,
        false => {
            let settings = serde_json::to_string(&report.settings).unwrap_or_default();
            format!("{component} with {settings}")
        }
    };
    let mut facts = vec![
        ("mode", format!("{}, {share} of {whom}", report.mode)),
        ("candidate", candidate),
        ("owner", report.owner.clone()),
        ("started", act(&report.started)),
        ("ends", facts::date(UnixMillis(report.ends_at_ms))),
    ];
    if let Some(ended) = &report.ended {
        facts.push(("ended", act(ended)));
    }
    if let Some(why) = &report.suspended {
        facts.push(("suspended", why.clone()));
    }
    facts
}

fn act(act: &ExperimentAct) -> String {
    let why = if act.why.is_empty() { String::new() } else { format!(": {}", act.why) };
    format!("{}, by {}{why}", facts::date(UnixMillis(act.at_ms)), act.by)
}

fn arms(report: &ExperimentReport) -> String {
    let rows = arm_rows(report);
    table::print(["", "control", "candidate"], &rows, |column, _| (column == 0).then_some(FAINT))
}

/// A figure a line: what it is, the control's, the candidate's.
pub(super) fn arm_rows(report: &ExperimentReport) -> Vec<[String; 3]> {
    let row = |what: &str, figure: &dyn Fn(&ArmReport) -> String| {
        let of = |arm| report.arms.get::<usize>(arm).map(figure).unwrap_or_default();
        [what.to_owned(), of(0), of(1)]
    };
    let per_hour = |of: Option<IntervalReport>| of.map_or_else(nothing, |of| interval(of, &number));
    let part = |of: Option<IntervalReport>| of.map_or_else(nothing, |of| interval(of, &percent));
    vec![
        row("workspace-hours", &|arm| number(arm.workspace_hours)),
        row("judged", &|arm| arm.judged.to_string()),
        row("failed", &|arm| arm.failed.to_string()),
        row("  of the calls", &|arm| part(arm.failed_part)),
        row("ruled dead", &|arm| arm.dead.to_string()),
        row("  a workspace-hour", &|arm| per_hour(arm.deaths_per_workspace_hour)),
        row("falsely dead", &|arm| arm.false_deaths.to_string()),
        row("  of the dead", &|arm| part(arm.false_part)),
        row("restarts", &|arm| arm.restarts.to_string()),
        row("  a workspace-hour", &|arm| per_hour(arm.restarts_per_workspace_hour)),
        row("detected, p50 p99", &|arm| times(arm.detection)),
        row("recovered, p50 p99", &|arm| times(arm.recovery)),
        row("requests queued", &|arm| arm.queued.to_string()),
        row("requests delayed", &|arm| arm.delayed.count.to_string()),
        row("  by, p50 p99", &|arm| times(arm.delayed)),
        row("requests lost", &|arm| arm.lost.to_string()),
    ]
}

fn guardrails(report: &ExperimentReport) -> String {
    let rows: Vec<_> = report
        .guardrails
        .iter()
        .map(|rail| {
            [
                rail.guardrail.clone(),
                if rail.broken { "broken" } else { "holds" }.to_owned(),
                rail.control_events.to_string(),
                rail.candidate_events.to_string(),
                evidence(rail.evidence),
            ]
        })
        .collect();
    let headings = ["guardrail", "state", "control", "candidate", "evidence"];
    table::print(headings, &rows, |column, cell| match (column, cell) {
        (1, "broken") => Some(BAD),
        (1, _) => Some(GOOD),
        _ => None,
    }) + &format!("The candidate is aborted at evidence {}.\n", evidence(report.threshold))
}

fn disagreements(report: &ExperimentReport) -> String {
    let mut out = comparison(report) + "\n";
    if report.kinds.is_empty() {
        return out;
    }
    let rows: Vec<_> = report
        .kinds
        .iter()
        .map(|kind| [kind.count.to_string(), output::plain(&kind.kind)])
        .collect();
    out += &table::print(["times", "control / candidate"], &rows, |_, _| None);
    out.push('\n');
    let newest = report.disagreements.iter().take(MAX_SHOWN).map(|one| {
        [
            facts::date(UnixMillis(one.at_ms)),
            one.workspace.clone(),
            output::plain(&one.control),
            output::plain(&one.candidate),
            one.decision.clone(),
        ]
    });
    let headings = ["newest", "workspace", "control", "candidate", "reprieve explain"];
    out += &table::print(headings, &newest.collect::<Vec<_>>(), |_, _| None);
    out
}

/// How many of the newest disagreements nobody can explain, and why the newest of them.
pub(super) fn unexplained(explained: &Explained) -> Option<String> {
    let mut all = explained.report.disagreements.iter();
    let (newest, why) = all.find_map(|one| {
        let why = explained.unexplained.get(&one.decision)?;
        Some((&one.decision, why))
    })?;
    let (missing, found) = (explained.unexplained.len(), explained.explained.len());
    let of = missing + found;
    Some(format!("Of the newest {of}, {missing} could not be explained; {newest}: {why}"))
}

/// In a sentence.
pub(super) fn comparison(report: &ExperimentReport) -> String {
    let comparison = &report.comparison;
    let part = comparison.disagreed_part.map(|part| format!(", {}", interval(part, &percent)));
    format!(
        "Of {} judgements that both gave, {} differ in kind{}; {} could not be given from the \
         same evidence, {} were dropped for want of time.",
        comparison.compared,
        comparison.disagreed,
        part.unwrap_or_default(),
        comparison.missing,
        comparison.dropped,
    )
}

fn nothing() -> String {
    "-".to_owned()
}

pub(super) fn interval(of: IntervalReport, figure: &dyn Fn(f64) -> String) -> String {
    format!("{} ({} to {})", figure(of.value), figure(of.low), figure(of.high))
}

fn times(took: TimesReport) -> String {
    match (took.p50_ms, took.p99_ms) {
        (Some(p50), Some(p99)) => format!("{} {}", Millis(p50), Millis(p99)),
        _ => nothing(),
    }
}

/// Three digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

pub(super) fn percent(part: f64) -> String {
    let text = format!("{:.2}", part * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// An e-value, which may be very large.
pub(super) fn evidence(value: f64) -> String {
    if value >= 1e6 { format!("{value:.0e}") } else { number(value) }
}
