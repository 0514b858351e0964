//! What a host shows is what `docs/metrics.md` names, and what the dashboard and the
//! alert rules ask for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    num::NonZeroU32,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use regex::Regex;
use reprieve_core::{
    decision::Finding,
    evidence::ProbeFault,
    experiment::{ALL_BP, Candidate as ExperimentCandidate, Experiment, Guardrails, Mode, Target},
    judgement::{ForwardFailure, RestartCause},
    time::Millis,
};
use reprieve_runtime::registry::Candidate;
use reprieve_server::{
    admin::{self, AdminLimits, AdminParts},
    experiments::{self, Experiments},
    policies::{ALERTS, Actor, Policies},
};
use reprieve_tests::{Stage, StageOptions, policies_in, ws};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

const TOKEN: &str = "the-hosts-own-token";

/// What a histogram is made of.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

struct Watched {
    stage: Stage,
    policies: Policies,
    experiments: Experiments,
    router: Router,
    /// The host's state, as far as it is not in memory.
    _folder: TempDir,
}

/// By name and labels, as written.
struct Scrape(String);

/// A family's type and the labels of its series.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

impl Watched {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policies = policies_in(folder.path()).await;
        let current = Some(Arc::clone(policies.current()));
        let options = StageOptions { workspaces: 2, current, ..StageOptions::default() };
        let stage = Stage::set(options).await;
        let experiments = stage.experiments(&policies).await;
        let many = NonZeroU32::new(100_000).unwrap();
        let router = admin::router(AdminParts {
            supervisor: stage.supervisor.clone(),
            settings: stage.settings.clone(),
            policies: policies.clone(),
            experiments: experiments.clone(),
            store: stage.store.clone(),
            clock: stage.clock.clone(),
            hosts_own_token: TOKEN.to_owned(),
            limits: AdminLimits { requests_per_second: many, failures_per_minute: many },
            stop: CancellationToken::new(),
        });
        Self { stage, policies, experiments, router, _folder: folder }
    }

    async fn scrape(&self) -> Scrape {
        let request = Request::builder()
            .uri("/admin/v1/metrics")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Body::empty())
            .unwrap();
        let answer = self.router.clone().call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        Scrape(String::from_utf8(text.to_vec()).unwrap())
    }
}

impl Scrape {
    /// The sum of the series of that name with all of these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of_it = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or("#");
            rest.starts_with(['{', ' '])
                && labels.iter().all(|(key, value)| rest.contains(&format!("{key}=\"{value}\"")))
        };
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        let series: Vec<_> = self.0.lines().filter(of_it).collect();
        assert!(!series.is_empty(), "{name} {labels:?} is not there:\n{}", self.0);
        series.into_iter().map(value).sum()
    }

    fn families(&self) -> Families {
        let label = Regex::new(r#"([a-z_]+)="(?:[^"\\]|\\.)*""#).unwrap();
        let mut families = Families::new();
        let mut name = String::new();
        for line in self.0.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (family, kind) = family.split_once(' ').unwrap();
                name = family.to_owned();
                families.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&name), "{line} is of no family");
                let labels = label.captures_iter(line).map(|found| found[1].to_owned());
                families.get_mut(&name).unwrap().1.extend(labels.filter(|name| name != "le"));
            }
        }
        families
    }
}

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the document says of each family.
fn documented() -> Families {
    let mut families = Families::new();
    for line in file("metrics.md").lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, tells, moves] = cells[..] else { continue };
        let Some(name) = name.strip_prefix('`') else { continue };
        assert!(!tells.is_empty() && !moves.is_empty(), "{name} is explained");
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        families.insert(name.trim_end_matches('`').to_owned(), (kind.to_owned(), labels));
    }
    families
}

impl Watched {
    /// Every guardrail is on.
    async fn try_settings(&self) {
        let guardrails = Guardrails { max_disagreement_bp: Some(500), ..Guardrails::default() };
        let settings = [("settle".to_owned(), "45s".into())].into_iter().collect();
        let experiment = Experiment {
            name: "faster".parse().unwrap(),
            owner: "ana".to_owned(),
            hypothesis: "it is as good".to_owned(),
            mode: Mode::Shadow,
            share_bp: ALL_BP,
            target: Target::default(),
            candidate: ExperimentCandidate { component: None, settings },
            guardrails,
            ends_at: self.stage.clock.now() + Millis::from_secs(86_400),
        };
        let actor = Actor { by: "ana".to_owned(), why: String::new() };
        self.experiments.start(experiment, &actor).await.unwrap();
    }
}

/// A workspace that is busy, one that is dead and restarted, a restart that came to
/// nothing, a runtime that does not answer, and a request that waits.
async fn a_bad_day(host: &Watched) {
    let stage = &host.stage;
    host.try_settings().await;
    stage.until_last_beat_is(1, Duration::from_secs(1)).await;
    stage.runtime.crash(&ws(1));
    let busy = stage.fail(1, ForwardFailure::Refused).await;
    assert!(matches!(busy, Finding::Busy { .. }), "{busy:?}");
    stage.queue(1, "m-1").await;
    stage.pass(Duration::from_secs(20)).await;
    let dead = stage.fail(1, ForwardFailure::Refused).await;
    assert!(matches!(dead, Finding::Restarting { .. }), "{dead:?}");
    stage.want_restart(1, RestartCause::DeadVerdict).await;
    stage.pass(Duration::from_secs(120)).await;
    stage.runtime.stall(ProbeFault::Unreachable);
    stage.silence(2);
    stage.pass(Duration::from_secs(400)).await;
    stage.queue(2, "m-2").await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_shows_in_the_metrics() {
    let host = Watched::new().await;
    let before = host.scrape().await;
    a_bad_day(&host).await;
    let after = host.scrape().await;
    let rose =
        |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let policy = ("policy", "default 0.1.0");
    assert!(after.sum("reprieve_decisions_total", &[policy, ("verdict", "busy")]) >= 1.0);
    assert_eq!(after.sum("reprieve_decisions_total", &[policy, ("verdict", "dead")]), 1.0);
    assert_eq!(rose("reprieve_restarts_total", &[("cause", "dead-verdict")]), 1.0);
    let dropped = [("cause", "dead-verdict"), ("why", "in-flight")];
    assert_eq!(rose("reprieve_restart_drops_total", &dropped), 1.0);
    assert!(rose("reprieve_probe_faults_total", &[("fault", "unreachable")]) >= 1.0);
    assert!(rose("reprieve_heartbeats_total", &[]) > 10.0);
    assert!(rose("reprieve_queue_delivered_total", &[]) >= 1.0);
    assert_eq!(after.sum("reprieve_workspaces", &[("tenant", "acme")]), 2.0);
    assert_eq!(after.sum("reprieve_workspaces_blind", &[("tenant", "acme")]), 1.0);
    assert_eq!(after.sum("reprieve_alerts", &[("alert", "blindness")]), 1.0);
    assert_eq!(after.sum("reprieve_queue_depth", &[]), 1.0);
    assert_eq!(after.sum("reprieve_generation_number", &[]), 1.0);
    let decided =
        after.sum("reprieve_decisions_total", &[]) + after.sum("reprieve_rulings_total", &[]);
    assert_eq!(after.sum("reprieve_guest_seconds_count", &[]), decided);
    assert!(after.sum("reprieve_passes_total", &[]) >= decided);
    let counts = host.stage.supervisor.tally().counts();
    let judged: u64 = counts.verdicts.values().sum();
    assert_eq!(after.sum("reprieve_decisions_total", &[]), judged as f64, "one book of counts");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_wanted_and_does_not_judge_is_an_alert() {
    let host = Watched::new().await;
    let alerts = async |code: &str| {
        let scrape = host.scrape().await;
        scrape.sum("reprieve_alerts", &[("alert", code)])
    };
    for code in ALERTS {
        assert_eq!(alerts(code).await, 0.0, "{code}: nothing is wrong");
    }
    let (source, bytes) = ("uploaded".to_owned(), b"oh no".to_vec());
    let candidate =
        Candidate { source, bytes: bytes.into(), expected: None, signature: None, built_in: false };
    let actor = Actor { by: "ana".to_owned(), why: String::new() };
    host.policies.load(candidate, &actor).await.unwrap_err();
    assert_eq!(alerts("policy-not-as-configured").await, 1.0);
    // What judges is what is wanted again.
    let judges = host.policies.status().active.unwrap().component;
    host.policies.activate(judges, &actor, None).await.unwrap();
    assert_eq!(alerts("policy-not-as-configured").await, 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_experiment_shows_in_the_metrics_as_long_as_it_runs() {
    let host = Watched::new().await;
    assert_eq!(host.scrape().await.sum("reprieve_experiments_running", &[]), 0.0);
    a_bad_day(&host).await;
    let scrape = host.scrape().await;
    let of = [("experiment", "faster"), ("arm", "control")];
    assert_eq!(scrape.sum("reprieve_experiments_running", &[]), 1.0);
    assert!(scrape.sum("reprieve_experiment_judgements_total", &of) >= 1.0);
    assert_eq!(scrape.sum("reprieve_experiment_deaths_total", &of), 1.0);
    let rails = [("experiment", "faster"), ("guardrail", "deaths")];
    assert!(scrape.sum("reprieve_experiment_evidence_ratio", &rails) < 1.0);
    for code in experiments::ALERTS {
        assert_eq!(scrape.sum("reprieve_alerts", &[("alert", code)]), 0.0, "{code}");
    }
    let actor = Actor { by: "ana".to_owned(), why: "enough was seen".to_owned() };
    host.experiments.abort(&"faster".parse().unwrap(), &actor).await.unwrap();
    let families = host.scrape().await.families();
    assert!(!families.contains_key("reprieve_experiment_evidence_ratio"), "it has ended");
}

#[test]
fn every_alert_is_documented_and_has_a_rule() {
    let (document, rules) = (file("metrics.md"), file("examples/observability/alerts.yml"));
    let matchers = Regex::new(r#"reprieve_alerts\{alert(=~?)"([^"]+)"\}"#).unwrap();
    let matchers: Vec<_> = matchers
        .captures_iter(&rules)
        .map(|found| match &found[1] {
            "=~" => format!("^(?:{})$", &found[2]),
            _ => format!("^{}$", regex::escape(&found[2])),
        })
        .map(|matcher| Regex::new(&matcher).unwrap())
        .collect();
    for code in ALERTS.into_iter().chain(experiments::ALERTS).chain(["blindness"]) {
        assert!(document.contains(&format!("`{code}`")), "{code} in docs/metrics.md");
        let rules = matchers.iter().filter(|matcher| matcher.is_match(code)).count();
        assert_eq!(rules, 1, "{code}: one rule of alerts.yml asks for it");
    }
}

#[tokio::test(start_paused = true)]
async fn the_document_names_every_metric_and_no_other() {
    let host = Watched::new().await;
    a_bad_day(&host).await;
    let (shown, documented) = (host.scrape().await.families(), documented());
    assert!(documented.len() > 20, "the document is read");
    for (name, of_it) in &shown {
        assert_eq!(documented.get(name), Some(of_it), "{name} in docs/metrics.md");
    }
    for name in documented.keys() {
        assert!(shown.contains_key(name), "{name} stands in docs/metrics.md and is not shown");
    }
}

#[tokio::test(start_paused = true)]
async fn dashboard_and_alert_rules_ask_for_what_there_is() {
    let host = Watched::new().await;
    a_bad_day(&host).await;
    let scrape = host.scrape().await;
    let families = scrape.families();
    let name = Regex::new(r"(?:reprieve|process)_[a-z_]+").unwrap();
    let selector = Regex::new(r#"((?:reprieve|process)_[a-z_]+)\{([^}]*)[}]"#).unwrap();
    for example in ["dashboard.json", "alerts.yml"] {
        let text = file(&format!("examples/observability/{example}")).replace("\\\"", "\"");
        let mut asked = 0;
        for found in name.find_iter(&text).map(|found| found.as_str()) {
            let family = PARTS.iter().find_map(|part| found.strip_suffix(part)).unwrap_or(found);
            let known = families.contains_key(found)
                || families.get(family).is_some_and(|(kind, _)| kind == "histogram");
            assert!(known, "{example}: {found} is not shown");
            asked += 1;
        }
        assert!(asked >= 10, "{example} is read");
        for found in selector.captures_iter(&text) {
            let family = found[1].trim_end_matches("_bucket").trim_end_matches("_count");
            for pair in found[2].split(',') {
                let label = pair.trim().split(['=', '!']).next().unwrap();
                let known = label == "instance" || families[family].1.contains(label);
                assert!(known, "{example}: {} has no label {label}", &found[1]);
            }
        }
    }
    let rest = file("examples/observability/dashboard.json");
    serde_json::from_str::<serde_json::Value>(&rest).expect("the dashboard is JSON");
}
