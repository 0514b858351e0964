//! What people read of an experiment.

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Explained, page, prose};
use crate::experiments::ExperimentReport;

fn arm(name: &str, dead: u64, false_deaths: u64) -> Value {
    let of = |value: f64, low: f64, high: f64| json!({"value": value, "low": low, "high": high});
    let (d, f) = (dead as f64, false_deaths as f64);
    json!({
        "arm": name, "workspace_hours": 1_234.5, "judged": 4_210, "failed": 3, "dead": dead,
        "false_deaths": false_deaths, "restarts": dead, "queued": 40, "lost": 1,
        "delayed": {"count": 37, "p50_ms": 4_200, "p99_ms": 61_000},
        "failed_part": of(0.0007, 0.0002, 0.0021),
        "deaths_per_workspace_hour": of(d / 1234.5, d * 0.7 / 1234.5, d * 1.4 / 1234.5),
        "false_part": of(f / d, f * 0.6 / d, (f * 1.5 + 1.0) / d),
        "restarts_per_workspace_hour": of(d / 1234.5, d * 0.7 / 1234.5, d * 1.4 / 1234.5),
        "detection": {"count": dead, "p50_ms": 2_100, "p99_ms": 60_000},
        "recovery": {"count": 0},
    })
}

/// A part in which nobody was there, and others in which more and more happened.
fn course(times: u64) -> Vec<Value> {
    let part = |nth: u64| {
        let (dead, hours) = (nth / 7 * times, if nth == 12 { 0.0 } else { 35.0 });
        json!({"workspace_hours": hours, "judged": 120 + nth * nth % 19, "dead": dead,
            "false_deaths": dead / 2, "restarts": dead})
    };
    (0..36).map(part).collect()
}

fn report() -> ExperimentReport {
    let rail = |name: &str, control: u64, candidate: u64, evidence: f64, broken: bool| {
        json!({"guardrail": name, "control_events": control, "candidate_events": candidate,
            "evidence": evidence, "broken": broken})
    };
    let report = json!({
        "name": "faster", "owner": "ana <ana@example.com>",
        "hypothesis": "a shorter settle finds the dead sooner <script>alert(1)</script>",
        "mode": "ab", "share_bp": 5_000, "tenants": ["acme"], "labels": {"tier": "gold"},
        "component": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "settings": {"settle": "30s"},
        "started": {"at_ms": 1_800_000_000_000_u64, "by": "admin", "why": ""},
        "ends_at_ms": 1_800_600_000_000_u64, "state": "aborted",
        "ended": {"at_ms": 1_800_090_000_000_u64, "by": "guardrail",
            "why": "deaths: 41 in 1234.5 workspace-hours of the candidate, 12 of the control"},
        "arms": [arm("control", 12, 1), arm("candidate", 41, 19)],
        "course": {"began_ms": 1_800_000_000_000_u64, "width_ms": 2_560_000,
            "control": course(1), "candidate": course(3)},
        "comparison": {"compared": 8_100, "disagreed": 212, "missing": 14, "dropped": 0,
            "disagreed_part": {"value": 0.0262, "low": 0.0229, "high": 0.0299}},
        "threshold": 100.0,
        "guardrails": [rail("failures", 3, 3, 0.9, false), rail("deaths", 12, 41, 4_200.0, true),
            rail("restarts", 12, 38, 61.0, false), rail("false-deaths", 1, 19, 88.0, false),
            rail("slow-recoveries", 0, 0, 1.0, false)],
        "kinds": [{"kind": "busy settle-window / dead not-running", "count": 180},
            {"kind": "alive probe-fault / busy probe-fault", "count": 32}],
        "disagreements": [
            {"decision": "0199a3c2-5d8e-7b11-9f0a-3c5d2e7f8a90", "at_ms": 1_800_080_000_000_u64,
                "workspace": "ws-7", "tenant": "acme", "control": "busy settle-window",
                "candidate": "dead not-running"},
            {"decision": "0199a3c2-5d8e-7b11-9f0a-3c5d2e7f8a91", "at_ms": 1_800_070_000_000_u64,
                "workspace": "ws-9", "tenant": "acme", "control": "busy settle-window",
                "candidate": "dead not-running"}],
    });
    ExperimentReport::deserialize(report).unwrap()
}

/// The newer of its two disagreements is explained, the other cannot be.
fn explained() -> Explained {
    let report = report();
    let [newest, older] = [0, 1].map(|nth: usize| report.disagreements[nth].decision.clone());
    let prose = "Workspace ws-7: found BUSY & <left> alone\n  by".to_owned();
    let why = "404 unknown: it is on record <no> more".to_owned();
    Explained { report, explained: [(newest, prose)].into(), unexplained: [(older, why)].into() }
}

#[test]
fn a_report_tells_what_the_arms_did_and_what_ended_it() {
    let told = prose::report(&explained());
    insta::assert_snapshot!(anstream::adapter::strip_str(&told).to_string());
}

#[test]
fn a_page_needs_nothing_else_and_runs_nothing() {
    let page = page::page(&explained());
    // What lies in the page itself is nothing outside.
    let beyond = page.replace("url(#", "");
    for outside in ["<script", "src=", "href=", "url(", "@import", "http"] {
        assert!(!beyond.contains(outside), "{outside}");
    }
    assert!(page.contains("not explained: 404 unknown: it is on record &lt;no&gt; more"));
    assert!(page.contains("&lt;script&gt;") && page.contains("BUSY &amp; &lt;left&gt;"));
    let drawings = page.matches("<svg viewBox").count() + page.matches("<svg class").count();
    let told = page.matches("role=\"img\" aria-label").count();
    assert_eq!(drawings, told + page.matches("aria-hidden").count());
    assert!(page.contains("deaths 4200 (41 to 12), broken"), "plots are told in words, too");
    for tag in ["section", "details", "figure", "table", "tr", "td", "svg", "g", "dl"] {
        let (begun, ended) = (format!("<{tag}"), format!("</{tag}>"));
        let begun =
            page.matches(&format!("{begun}>")).count() + page.matches(&format!("{begun} ")).count();
        assert_eq!(begun, page.matches(&ended).count(), "{tag}");
    }
    insta::assert_snapshot!(page);
}

#[test]
fn an_experiment_without_events_has_a_page() {
    let mut report = report();
    for arm in &mut report.arms {
        arm.deaths_per_workspace_hour = None;
        arm.false_part = None;
    }
    report.kinds.clear();
    report.disagreements.clear();
    let (explained, unexplained) = Default::default();
    let page = page::page(&Explained { report, explained, unexplained });
    assert!(page.contains("Nothing yet.") && !page.contains("NaN"), "{page}");
}

#[test]
fn the_arms_are_drawn_over_time_with_gaps_where_nobody_was_and_told_as_a_list() {
    let mut explained = explained();
    let text = page::page(&explained);
    for part in [
        // 36 parts of 42 min 40 s are 18 steps of two of them each.
        "<td>2027-01-15 08:00:00.000</td><td>241 / 241</td><td>0 / 0</td>",
        "<td>2027-01-15 09:25:20.000</td>",
        "Ruled dead, a workspace-hour, from 2027-01-15 08:00:00.000 to 2027-01-16 09:36:00.000. In \
         all 75 of the control and 225 of the candidate",
        "<g class=\"candidate\">",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("kept no course"), "{text}");

    // One that an older host began.
    explained.report.started.at_ms -= 86_400_000;
    assert!(page::page(&explained).contains("kept no course"));
    explained.report.course = None;
    assert!(page::page(&explained).contains("<h2>Over time</h2><p>Nothing yet.</p>"));
}
