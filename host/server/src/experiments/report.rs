//! What is told of an experiment: by the admin API, and by whoever prints it.
//!
//! Intervals are of 95 % and hold for one look; what aborts an experiment is the
//! evidence of its guardrails, which may be looked at all the time.

use std::collections::BTreeMap;

use reprieve_core::{
    experiment::{self, Arm, Guardrail, Tally},
    settings::Settings,
    time::Millis,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Act, Disagreement, Standing};

/// How an experiment stands, and what its arms did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExperimentReport {
    pub name: String,
    pub owner: String,
    pub hypothesis: String,
    /// `shadow`, `canary` or `ab`.
    pub mode: String,
    /// Of those who take part, in basis points.
    pub share_bp: u16,
    /// Empty: all.
    pub tenants: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// The candidate's SHA-256. Absent: it is whichever is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The candidate's, over everybody's own.
    #[schema(value_type = Object)]
    pub settings: Settings,
    pub started: ExperimentAct,
    pub ends_at_ms: u64,
    /// `running`, `aborted`, `ended`, `promoting` or `promoted`.
    pub state: String,
    /// What ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<ExperimentAct>,
    /// Why nobody is tried now, though it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// The control's, then the candidate's.
    pub arms: Vec<ArmReport>,
    /// What they did over time. A list of experiments leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<CourseReport>,
    pub comparison: ComparisonReport,
    /// The evidence at which a guardrail aborts the candidate.
    pub threshold: f64,
    pub guardrails: Vec<GuardrailReport>,
    /// The most frequent first.
    pub kinds: Vec<DisagreementKind>,
    /// The newest first, 200 at most. A list of experiments leaves them out.
    pub disagreements: Vec<DisagreementReport>,
}

/// Who did something, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExperimentAct {
    pub at_ms: u64,
    pub by: String,
    pub why: String,
}

/// A figure and what it may be in truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IntervalReport {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// What one arm did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArmReport {
    /// `control` or `candidate`.
    pub arm: String,
    pub workspace_hours: f64,
    /// Calls that its policy was asked, as who acts or beside it.
    pub judged: u64,
    pub failed: u64,
    /// Lives that it ruled dead, or would have.
    pub dead: u64,
    /// Of those: lives that gave a sign afterwards.
    pub false_deaths: u64,
    pub restarts: u64,
    /// Requests to its workspaces that were queued.
    pub queued: u64,
    /// Of those: delivered, and how long after they were accepted.
    pub delayed: TimesReport,
    /// Of those: given up. The others wait.
    pub lost: u64,
    /// Of the calls, those that failed. Absent, as below: nothing to go by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_part: Option<IntervalReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deaths_per_workspace_hour: Option<IntervalReport>,
    /// Of the deaths, those that were false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_part: Option<IntervalReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts_per_workspace_hour: Option<IntervalReport>,
    /// From the end that the runtime reports, or the first look, to DEAD.
    pub detection: TimesReport,
    /// From DEAD to the next life's first ALIVE.
    pub recovery: TimesReport,
}

/// How long something took, to an eighth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimesReport {
    pub count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<u64>,
}

/// What the arms did over time, in at most 120 parts of it, each as long as the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CourseReport {
    /// When the first part begins: when the experiment was started, or, if an older
    /// version of the host started it, when this one first counted.
    pub began_ms: u64,
    pub width_ms: u64,
    pub control: Vec<CoursePart>,
    pub candidate: Vec<CoursePart>,
}

/// What one arm did within one part of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CoursePart {
    pub workspace_hours: f64,
    pub judged: u64,
    pub dead: u64,
    /// Lives that gave a sign in this part, after they had been ruled dead.
    pub false_deaths: u64,
    pub restarts: u64,
}

/// What both arms judged from the same evidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComparisonReport {
    pub compared: u64,
    pub disagreed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagreed_part: Option<IntervalReport>,
    /// The other arm could not judge from that evidence: it asked for something else.
    pub missing: u64,
    /// The other arm was not asked, for want of time.
    pub dropped: u64,
}

/// What is known against the candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GuardrailReport {
    /// `failures`, `deaths`, `restarts`, `false-deaths`, `disagreement` or
    /// `slow-recoveries`.
    pub guardrail: String,
    pub control_events: u64,
    pub candidate_events: u64,
    /// How many times as likely what was seen is if the candidate is worse.
    pub evidence: f64,
    pub broken: bool,
}

/// In which way the arms disagreed, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DisagreementKind {
    /// Verdict and reason of the control, then of the candidate.
    pub kind: String,
    pub count: u64,
}

/// The arms judged the same evidence in two ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DisagreementReport {
    /// Of the arm that acts; its evidence explains both.
    pub decision: String,
    pub at_ms: u64,
    pub workspace: String,
    pub tenant: String,
    pub control: String,
    pub candidate: String,
}

impl ExperimentReport {
    /// Without what fills pages: the disagreements one by one, and the course of time.
    pub fn in_short(self) -> Self {
        Self { disagreements: Vec::new(), course: None, ..self }
    }
}

impl From<Standing> for ExperimentReport {
    fn from(Standing { record, page, suspended }: Standing) -> Self {
        let (experiment, tally) = (record.experiment, &page.tally);
        let mut kinds: Vec<_> = page.kinds.iter().map(DisagreementKind::from).collect();
        kinds.sort_by(|one, other| other.count.cmp(&one.count).then(one.kind.cmp(&other.kind)));
        let broken = page.breach.map(|breach| breach.guardrail);
        let guardrails = Guardrail::ALL.into_iter();
        let guardrails = guardrails.filter_map(|rail| GuardrailReport::of(rail, tally, broken));
        Self {
            name: experiment.name.into(),
            owner: experiment.owner,
            hypothesis: experiment.hypothesis,
            mode: experiment.mode.as_str().to_owned(),
            share_bp: experiment.share_bp,
            tenants: experiment.target.tenants.into_iter().map(String::from).collect(),
            labels: experiment.target.labels,
            component: experiment.candidate.component.map(String::from),
            settings: experiment.candidate.settings,
            started: ExperimentAct::from(&record.started),
            ends_at_ms: experiment.ends_at.0,
            state: record.state.as_str().to_owned(),
            ended: record.state.act().map(ExperimentAct::from),
            suspended,
            arms: Arm::ALL.into_iter().map(|arm| ArmReport::of(arm, tally)).collect(),
            course: CourseReport::of(tally),
            comparison: ComparisonReport::of(tally),
            threshold: experiment.guardrails.threshold(),
            guardrails: guardrails.collect(),
            kinds,
            disagreements: page.disagreements.into_iter().map(Into::into).collect(),
        }
    }
}

impl ArmReport {
    fn of(arm: Arm, tally: &Tally) -> Self {
        let (counts, hours) = (tally.counts(arm), tally.hours(arm));
        Self {
            arm: arm.as_str().to_owned(),
            workspace_hours: hours,
            judged: counts.judged,
            failed: counts.failed,
            dead: counts.dead,
            false_deaths: counts.false_deaths,
            restarts: counts.restarts,
            queued: counts.queued,
            delayed: TimesReport::from(&counts.delays),
            lost: counts.lost,
            failed_part: interval(experiment::proportion(counts.failed, counts.judged)),
            deaths_per_workspace_hour: interval(experiment::rate(counts.dead, hours)),
            false_part: interval(experiment::proportion(counts.false_deaths, counts.dead)),
            restarts_per_workspace_hour: interval(experiment::rate(counts.restarts, hours)),
            detection: TimesReport::from(&counts.detections),
            recovery: TimesReport::from(&counts.recoveries),
        }
    }
}

impl CourseReport {
    fn of(tally: &Tally) -> Option<Self> {
        let (began, width, parts) = tally.course().parts()?;
        let of = |arm| parts.iter().map(|part| CoursePart::from(&part[arm as usize])).collect();
        let (control, candidate) = (of(Arm::Control), of(Arm::Candidate));
        Some(Self { began_ms: began.0, width_ms: width.0, control, candidate })
    }
}

impl From<&experiment::Part> for CoursePart {
    fn from(part: &experiment::Part) -> Self {
        let experiment::Part { workspace_hours, judged, dead, false_deaths, restarts } = *part;
        Self { workspace_hours, judged, dead, false_deaths, restarts }
    }
}

impl ComparisonReport {
    fn of(tally: &Tally) -> Self {
        let (compared, disagreed) = tally.compared();
        Self {
            compared,
            disagreed,
            disagreed_part: interval(experiment::proportion(disagreed, compared)),
            missing: tally.missing,
            dropped: tally.dropped,
        }
    }
}

impl GuardrailReport {
    /// None: it is off.
    fn of(guardrail: Guardrail, tally: &Tally, broken: Option<Guardrail>) -> Option<Self> {
        let known = tally.evidence(guardrail)?;
        let [control_events, candidate_events] = known.events;
        Some(Self {
            guardrail: guardrail.as_str().to_owned(),
            control_events,
            candidate_events,
            evidence: known.evidence,
            broken: broken == Some(guardrail),
        })
    }
}

impl From<&experiment::Durations> for TimesReport {
    fn from(took: &experiment::Durations) -> Self {
        let quantile = |part| took.quantile(part).map(|Millis(ms)| ms);
        Self { count: took.count(), p50_ms: quantile(0.5), p99_ms: quantile(0.99) }
    }
}

impl From<&Act> for ExperimentAct {
    fn from(act: &Act) -> Self {
        Self { at_ms: act.at.0, by: act.by.clone(), why: act.why.clone() }
    }
}

impl From<(&String, &u64)> for DisagreementKind {
    fn from((kind, count): (&String, &u64)) -> Self {
        Self { kind: kind.clone(), count: *count }
    }
}

impl From<Disagreement> for DisagreementReport {
    fn from(disagreement: Disagreement) -> Self {
        Self {
            decision: disagreement.decision.0,
            at_ms: disagreement.at.0,
            workspace: disagreement.workspace.into(),
            tenant: disagreement.tenant.into(),
            control: disagreement.control,
            candidate: disagreement.candidate,
        }
    }
}

fn interval(of: Option<experiment::Interval>) -> Option<IntervalReport> {
    of.map(|experiment::Interval { value, low, high }| IntervalReport { value, low, high })
}
