//! What the experiments that run have seen, for whoever scrapes. What has ended
//! leaves no series; its report is kept.

use prometheus::Registry;
use reprieve_core::experiment::{Arm, Guardrail};

use super::families::{counters, gauge, ratios, registered};
use crate::experiments::{Experiments, Standing, State};

pub(super) fn of_experiments(registry: &Registry, experiments: &Experiments) {
    let running: Vec<_> = experiments.list().into_iter().filter(runs).collect();
    let count = registered(registry, gauge("experiments_running", "Experiments that run."));
    count.set(i64::try_from(running.len()).unwrap_or(i64::MAX));
    of_arms(registry, &running);
    of_comparisons(registry, &running);
    of_guardrails(registry, &running);
}

fn runs(standing: &Standing) -> bool {
    standing.record.state == State::Running
}

fn of_arms(registry: &Registry, running: &[Standing]) {
    let of_arm = |name, help| registered(registry, counters(name, help, &["experiment", "arm"]));
    let judged = of_arm(
        "experiment_judgements_total",
        "Calls that an arm's policy was asked, as who acts or beside it.",
    );
    let failed = of_arm("experiment_failures_total", "Of those: calls without a usable answer.");
    let dead = of_arm("experiment_deaths_total", "Lives that an arm ruled dead, or would have.");
    let restarts =
        of_arm("experiment_restarts_total", "Restarts that an arm's verdicts asked for.");
    for standing in running {
        let name = standing.record.experiment.name.as_str();
        for arm in Arm::ALL {
            let (counts, labels) = (standing.page.tally.counts(arm), [name, arm.as_str()]);
            judged.with_label_values(&labels).inc_by(counts.judged);
            failed.with_label_values(&labels).inc_by(counts.failed);
            dead.with_label_values(&labels).inc_by(counts.dead);
            restarts.with_label_values(&labels).inc_by(counts.restarts);
        }
    }
}

fn of_comparisons(registry: &Registry, running: &[Standing]) {
    let comparisons = registered(
        registry,
        counters(
            "experiment_comparisons_total",
            "Judgements of one arm that the other was to give, too, from the same evidence.",
            &["experiment", "outcome"],
        ),
    );
    for standing in running {
        let (name, tally) = (standing.record.experiment.name.as_str(), &standing.page.tally);
        let (compared, disagreed) = tally.compared();
        for (outcome, count) in [
            ("agreed", compared.saturating_sub(disagreed)),
            ("disagreed", disagreed),
            ("missing", tally.missing),
            ("dropped", tally.dropped),
        ] {
            comparisons.with_label_values(&[name, outcome]).inc_by(count);
        }
    }
}

fn of_guardrails(registry: &Registry, running: &[Standing]) {
    let evidence = registered(
        registry,
        ratios(
            "experiment_evidence_ratio",
            "Evidence against the candidate, of that which aborts it.",
            &["experiment", "guardrail"],
        ),
    );
    for standing in running {
        let experiment = &standing.record.experiment;
        for guardrail in Guardrail::ALL {
            let Some(known) = standing.page.tally.evidence(guardrail) else { continue };
            let labels = [experiment.name.as_str(), guardrail.as_str()];
            let ratio = known.evidence / experiment.guardrails.threshold();
            evidence.with_label_values(&labels).set(ratio);
        }
    }
}
