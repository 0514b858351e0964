//! Counts of what happened since the host started: the one book of them. The
//! metrics and the admin API's counts are both read from it.
//!
//! Every host has a registry of its own, so that two hosts in one process do not
//! count into each other's. A count is an atomic; where it has labels, it is found
//! under a lock that only a new series takes to write.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, Registry, proto::MetricFamily,
};
use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::ProbeFault,
    incident::DropReason,
    judgement::{Admission, RestartCause, Verdict},
    ports::RestartFailure,
};
use serde::Serialize;

use crate::telemetry::families::{PREFIX, counter, counters, histograms, registered};

/// Policies with series of their own. Whoever loads more within one life of the
/// host finds the rest under [`BEYOND`].
const MAX_POLICIES: usize = 32;

/// The label of what is beyond a limit. No policy's name and version looks so, and
/// no tenant may be called so.
pub const BEYOND: &str = "_other";

/// Upper bounds, in seconds. A warm judgement takes about a microsecond; a policy
/// is cut off after a hundred milliseconds by default.
const GUEST_SECONDS: [f64; 12] =
    [1e-6, 2e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 5e-3, 2.5e-2, 1e-1];

/// Upper bounds, in seconds: from what is in memory to a daemon that is slow.
const DECISION_SECONDS: [f64; 12] =
    [1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// How policies fail most often. Shown from the beginning, so that the first one is
/// seen as a rise from zero.
const TRAPPED: &str = "policy-trapped";

/// Every count is bounded by [`MAX_POLICIES`], by what each of them declares (at
/// most 256 reasons) and by our own enums.
#[derive(Debug)]
pub struct Tally {
    registry: Registry,
    decisions: IntCounterVec,
    rulings: IntCounterVec,
    fall_backs: IntCounterVec,
    passes: IntCounterVec,
    guest: HistogramVec,
    took: HistogramVec,
    /// By the name and version that policies give themselves.
    policies: RwLock<HashMap<String, Arc<OfPolicy>>>,
    restarts: IntCounterVec,
    restart_failures: IntCounterVec,
    drops: IntCounterVec,
    voids: IntCounter,
    probes: IntCounter,
    probe_faults: IntCounterVec,
    store_faults: IntCounter,
    queued: IntCounter,
    delivered: IntCounter,
    queue_drops: IntCounterVec,
    heartbeats: IntCounter,
}

/// What one policy's decisions cost.
#[derive(Debug)]
struct OfPolicy {
    label: String,
    passes: IntCounter,
    guest: Histogram,
    took: Histogram,
}

/// A copy of the counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// By verdict and reason: `busy settle-window`.
    pub verdicts: BTreeMap<String, u64>,
    /// By failure: judgements that no policy gave.
    pub fall_backs: BTreeMap<String, u64>,
    /// Begun, by cause.
    pub restarts: BTreeMap<String, u64>,
    /// Wishes for a restart that came to nothing, by cause and why.
    pub drops: BTreeMap<String, u64>,
    /// Verdicts that were not acted on.
    pub voids: u64,
    pub probes: u64,
    /// By fault.
    pub probe_faults: BTreeMap<String, u64>,
    pub store_faults: u64,
    pub queued: u64,
    pub delivered: u64,
}

/// Why a queued request was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueDrop {
    /// It waited for too long.
    Stale,
    AttemptsExhausted,
    Operator,
}

impl Default for Tally {
    fn default() -> Self {
        let registry = Registry::new();
        let of = &registry;
        let (decisions, rulings, fall_backs) = outcomes(of);
        let (guest, took) = costs(of);
        let tally = Self {
            decisions,
            rulings,
            fall_backs,
            passes: registered(of, counters("passes_total", "Calls of the guest.", &["policy"])),
            guest,
            took,
            policies: RwLock::default(),
            restarts: registered(of, counters("restarts_total", "Restarts begun.", &["cause"])),
            restart_failures: registered(
                of,
                counters(
                    "restart_failures_total",
                    "Restarts that the runtime did not carry out.",
                    &["failure"],
                ),
            ),
            drops: registered(
                of,
                counters(
                    "restart_drops_total",
                    "Wishes for a restart that came to nothing.",
                    &["cause", "why"],
                ),
            ),
            voids: registered(
                of,
                counter(
                    "void_verdicts_total",
                    "Verdicts that were not acted on: the life that they judged had ended.",
                ),
            ),
            probes: registered(of, counter("probes_total", "Looks at a runtime.")),
            probe_faults: registered(
                of,
                counters("probe_faults_total", "Looks that saw nothing.", &["fault"]),
            ),
            store_faults: registered(
                of,
                counter("store_faults_total", "Times that one of the host's own stores failed."),
            ),
            queued: registered(of, counter("queue_accepted_total", "Requests queued.")),
            delivered: registered(
                of,
                counter("queue_delivered_total", "Queued requests delivered."),
            ),
            queue_drops: registered(
                of,
                counters("queue_dropped_total", "Queued requests dropped.", &["reason"]),
            ),
            heartbeats: registered(of, counter("heartbeats_total", "Heartbeats taken.")),
            registry,
        };
        tally.show_zeros();
        tally
    }
}

fn outcomes(of: &Registry) -> (IntCounterVec, IntCounterVec, IntCounterVec) {
    (
        registered(
            of,
            counters(
                "decisions_total",
                "Judgements that a policy gave.",
                &["policy", "verdict", "reason"],
            ),
        ),
        registered(
            of,
            counters(
                "rulings_total",
                "Restarts that a policy was asked to admit.",
                &["policy", "admission", "reason"],
            ),
        ),
        registered(
            of,
            counters(
                "fall_backs_total",
                "Calls that a policy gave no usable answer to; they count as busy.",
                &["policy", "failure"],
            ),
        ),
    )
}

/// Time in the guest, and the whole.
fn costs(of: &Registry) -> (HistogramVec, HistogramVec) {
    (
        registered(
            of,
            histograms(
                "guest_seconds",
                "Time in the guest, all passes of a decision together.",
                &["policy"],
                &GUEST_SECONDS,
            ),
        ),
        registered(
            of,
            histograms(
                "decision_seconds",
                "From the question to the answer, fetching facts included.",
                &["policy"],
                &DECISION_SECONDS,
            ),
        ),
    )
}

impl Tally {
    pub fn counts(&self) -> Counts {
        let families = self.families();
        Counts {
            verdicts: by(&families, "decisions_total", &["verdict", "reason"], " "),
            fall_backs: by(&families, "fall_backs_total", &["failure"], ""),
            restarts: by(&families, "restarts_total", &["cause"], ""),
            drops: by(&families, "restart_drops_total", &["cause", "why"], ": "),
            voids: self.voids.get(),
            probes: self.probes.get(),
            probe_faults: by(&families, "probe_faults_total", &["fault"], ""),
            store_faults: self.store_faults.get(),
            queued: self.queued.get(),
            delivered: self.delivered.get(),
        }
    }

    /// Restarts begun, for any cause.
    pub fn restarts(&self) -> u64 {
        self.counts().restarts.values().sum()
    }

    /// Every count, as metrics.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// What our own enums can name is there from the beginning: otherwise the first
    /// of its kind would not be seen as a rise.
    fn show_zeros(&self) {
        for cause in CAUSES.map(cause_name) {
            self.restarts.with_label_values(&[cause]);
            for why in [DropReason::InFlight, DropReason::Policy].map(drop_name) {
                self.drops.with_label_values(&[cause, why]);
            }
        }
        for fault in ProbeFault::ALL.map(fault_name) {
            self.probe_faults.with_label_values(&[fault]);
        }
        for failure in ["not-ours", "timed-out", "refused"] {
            self.restart_failures.with_label_values(&[failure]);
        }
        for why in [QueueDrop::Stale, QueueDrop::AttemptsExhausted, QueueDrop::Operator] {
            self.queue_dropped(why, 0);
        }
    }

    /// A person dropped a queued request, or the host did.
    pub fn queue_dropped(&self, why: QueueDrop, requests: u32) {
        let reason = match why {
            QueueDrop::Stale => "stale",
            QueueDrop::AttemptsExhausted => "attempts-exhausted",
            QueueDrop::Operator => "operator",
        };
        self.queue_drops.with_label_values(&[reason]).inc_by(u64::from(requests));
    }

    pub(super) fn decided(&self, decision: &Decision) {
        let policy = self.of_policy(&decision.generation.policy);
        let label = policy.label.as_str();
        match &decision.outcome {
            Outcome::Judged { verdict, reason } => {
                let labels = [label, verdict_name(*verdict), &reason.code];
                self.decisions.with_label_values(&labels).inc();
            }
            Outcome::Ruled { admission, reason } => {
                let labels = [label, admission_name(*admission), &reason.code];
                self.rulings.with_label_values(&labels).inc();
            }
            Outcome::FellBack { failure, .. } => {
                self.fall_backs.with_label_values(&[label, failure]).inc();
            }
        }
        let cost = &decision.cost;
        policy.passes.inc_by(u64::from(cost.passes));
        policy.guest.observe(cost.guest_us as f64 / 1e6);
        policy.took.observe(cost.total.as_duration().as_secs_f64());
    }

    fn of_policy(&self, name: &str) -> Arc<OfPolicy> {
        if let Some(known) = self.policies.read().get(name) {
            return Arc::clone(known);
        }
        let mut policies = self.policies.write();
        let name = if policies.len() < MAX_POLICIES { name } else { BEYOND };
        let policy = policies.entry(name.to_owned()).or_insert_with(|| {
            self.fall_backs.with_label_values(&[name, TRAPPED]);
            Arc::new(OfPolicy {
                label: name.to_owned(),
                passes: self.passes.with_label_values(&[name]),
                guest: self.guest.with_label_values(&[name]),
                took: self.took.with_label_values(&[name]),
            })
        });
        Arc::clone(policy)
    }

    pub(super) fn begun(&self, cause: RestartCause) {
        self.restarts.with_label_values(&[cause_name(cause)]).inc();
    }

    pub(super) fn restart_failed(&self, failure: &RestartFailure) {
        self.restart_failures.with_label_values(&[failure_name(failure)]).inc();
    }

    pub(super) fn dropped(&self, cause: RestartCause, why: DropReason) {
        self.drops.with_label_values(&[cause_name(cause), drop_name(why)]).inc();
    }

    pub(super) fn voided(&self) {
        self.voids.inc();
    }

    pub(super) fn probed(&self, fault: Option<ProbeFault>) {
        self.probes.inc();
        if let Some(fault) = fault {
            self.probe_faults.with_label_values(&[fault_name(fault)]).inc();
        }
    }

    pub(super) fn store_failed(&self) {
        self.store_faults.inc();
    }

    pub(super) fn queued(&self) {
        self.queued.inc();
    }

    pub(super) fn delivered(&self) {
        self.delivered.inc();
    }

    pub(super) fn beat(&self) {
        self.heartbeats.inc();
    }
}

const CAUSES: [RestartCause; 5] = [
    RestartCause::Operator,
    RestartCause::DeadVerdict,
    RestartCause::SettingsChanged,
    RestartCause::Wake,
    RestartCause::Dependency,
];

/// The counts of one family, by these of its labels.
fn by(
    families: &[MetricFamily],
    name: &str,
    labels: &[&str],
    between: &str,
) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let family = families.iter().find(|family| family.name() == format!("{PREFIX}_{name}"));
    for metric in family.map(MetricFamily::get_metric).unwrap_or_default() {
        let value = |label: &&str| {
            let mut pairs = metric.get_label().iter();
            pairs.find(|pair| pair.name() == *label).map_or("", |pair| pair.value())
        };
        let key = labels.iter().map(value).collect::<Vec<_>>().join(between);
        let count = metric.get_counter().get_value() as u64;
        if count > 0 {
            *counts.entry(key).or_default() += count;
        }
    }
    counts
}

pub(crate) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Alive => "alive",
        Verdict::Busy(_) => "busy",
        Verdict::Dead => "dead",
        Verdict::Recheck(_) => "recheck",
    }
}

pub(super) const fn admission_name(admission: Admission) -> &'static str {
    match admission {
        Admission::Admit => "admit",
        Admission::Drop => "drop",
        Admission::Defer(_) => "defer",
    }
}

pub(super) const fn cause_name(cause: RestartCause) -> &'static str {
    match cause {
        RestartCause::Operator => "operator",
        RestartCause::DeadVerdict => "dead-verdict",
        RestartCause::SettingsChanged => "settings-changed",
        RestartCause::Wake => "wake",
        RestartCause::Dependency => "dependency",
    }
}

pub(super) const fn failure_name(failure: &RestartFailure) -> &'static str {
    match failure {
        RestartFailure::NotOurs { .. } => "not-ours",
        RestartFailure::TimedOut { .. } => "timed-out",
        RestartFailure::Refused { .. } => "refused",
    }
}

const fn drop_name(why: DropReason) -> &'static str {
    match why {
        DropReason::InFlight => "in-flight",
        DropReason::Policy => "policy",
    }
}

pub(super) const fn fault_name(fault: ProbeFault) -> &'static str {
    match fault {
        ProbeFault::TimedOut => "timed-out",
        ProbeFault::Unreachable => "unreachable",
        ProbeFault::ClosedEarly => "closed-early",
        ProbeFault::Overloaded => "overloaded",
        ProbeFault::Denied => "denied",
        ProbeFault::Malformed => "malformed",
    }
}
