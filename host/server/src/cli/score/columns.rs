//! What is shown of a score, in every form.

use reprieve_core::time::Millis;
use reprieve_lab::{
    Samples,
    score::{Detected, Figure, Overall, Score, Scoreboard},
};

/// Of a table whose rows are `T`s.
pub(super) struct Column<T> {
    pub(super) heading: &'static str,
    pub(super) meaning: &'static str,
    pub(super) cell: fn(&Scoreboard, &T) -> String,
}

// What is told both of one scenario and of all of them.
const AT_ONCE: &str = "the most workspaces restarting at once";
const IN_SETTLE: &str = "restarts by verdicts within a minute after a life had begun";
const ON_ERRORS: &str = "restarts on faults alone: nobody had seen anything";
const LOST: &str = "requests that were accepted and dropped, of all";

/// Of each policy over one scenario.
pub(super) const COLUMNS: [Column<Score>; 13] = [
    Column {
        heading: "POLICY",
        meaning: "the policy; \\* if it is on the front",
        cell: |board, score| {
            let is_front = board.better_than(score).is_empty();
            format!("{}{}", score.policy, if is_front { " *" } else { "" })
        },
    },
    Column {
        heading: "T_D P50",
        meaning: "time from a death to the first DEAD verdict about it: half of all deaths are \
                  found within it. Deaths that are never found count as endless",
        cell: |_, score| detected(score.detect_p50),
    },
    Column {
        heading: "P99",
        meaning: "99 of 100 are",
        cell: |_, score| detected(score.detect_p99),
    },
    Column {
        heading: "FALSE A WS-DAY",
        meaning: "restarts of workspaces that were not down, a workspace and day, with the \
                  interval",
        cell: |_, score| interval(&score.false_restarts_a_day),
    },
    Column {
        heading: "T_MR",
        meaning: "median time from one mistake (a DEAD verdict about the present life of a \
                  workspace that is not down) to the next about the same workspace",
        cell: |_, score| median(&score.measures.mistake_recurrence),
    },
    Column {
        heading: "T_M",
        meaning: "median time until a mistake is over",
        cell: |_, score| median(&score.measures.mistake_duration),
    },
    Column {
        heading: "P_A",
        meaning: "how likely it is that no mistake stands, while a workspace is not down",
        cell: |_, score| format!("{:.6}", score.query_accuracy.mean),
    },
    Column {
        heading: "AT ONCE",
        meaning: AT_ONCE,
        cell: |_, score| score.measures.largest_simultaneous_restart.to_string(),
    },
    Column {
        heading: "A CHANGE",
        meaning: "restarts for each change of settings, of workspaces that were not down",
        cell: |_, score| {
            let ratio = score.measures.restarts_per_change();
            ratio.map_or_else(none, |ratio| format!("{ratio:.2}"))
        },
    },
    Column {
        heading: "IN SETTLE",
        meaning: IN_SETTLE,
        cell: |_, score| score.measures.restarts_within_settle.to_string(),
    },
    Column {
        heading: "ON ERRORS",
        meaning: ON_ERRORS,
        cell: |_, score| score.measures.restarts_on_errors.to_string(),
    },
    Column {
        heading: "LOST",
        meaning: LOST,
        cell: |_, score| format!("{} of {}", score.measures.lost, score.measures.requests),
    },
    Column {
        heading: "DELAYED",
        meaning: "requests that were queued and delivered later, and after how long in the median",
        cell: |_, score| {
            let delay = &score.measures.delivery_delay;
            match delay.at(0.5) {
                Some(median) => format!("{} by {median}", delay.count()),
                None => none(),
            }
        },
    },
];

/// Of each policy over all scenarios.
pub(super) const OVERALL: [Column<Overall>; 10] = [
    Column { heading: "POLICY", meaning: "the policy", cell: |_, all| all.policy.clone() },
    Column {
        heading: "FRONT",
        meaning: "scenarios in which it is on the front",
        cell: |_, all| format!("{} of {}", all.on_the_front, all.scenarios),
    },
    Column {
        heading: "FALSE",
        meaning: "restarts of workspaces that were not down, in all runs",
        cell: |_, all| all.false_restarts.to_string(),
    },
    Column {
        heading: "WORST IN",
        meaning: "the scenario with the most of them a workspace-day, and how many",
        cell: |_, all| match &all.worst {
            Some((scenario, rate)) if *rate < 0.01 => format!("{scenario}: < 0.01"),
            Some((scenario, rate)) => format!("{scenario}: {rate:.2}"),
            None => none(),
        },
    },
    Column {
        heading: "NEVER FOUND",
        meaning: "the dead that were still down at the end, and that no verdict had found",
        cell: |_, all| format!("{} of {}", all.undetected, all.deaths),
    },
    Column {
        heading: "AT ONCE",
        meaning: AT_ONCE,
        cell: |_, all| all.largest_simultaneous_restart.to_string(),
    },
    Column {
        heading: "IN SETTLE",
        meaning: IN_SETTLE,
        cell: |_, all| all.restarts_within_settle.to_string(),
    },
    Column {
        heading: "ON ERRORS",
        meaning: ON_ERRORS,
        cell: |_, all| all.restarts_on_errors.to_string(),
    },
    Column {
        heading: "LOST",
        meaning: LOST,
        cell: |_, all| format!("{} of {}", all.lost, all.requests),
    },
    Column {
        heading: "BROKEN",
        meaning: "runs in which a property was broken that a host must hold",
        cell: |_, all| all.broken.to_string(),
    },
];

fn none() -> String {
    "-".to_owned()
}

pub(super) fn detected(detected: Detected) -> String {
    match detected {
        Detected::NobodyDied => none(),
        Detected::After(length) => length.to_string(),
        Detected::Never => "never".to_owned(),
    }
}

fn median(samples: &Samples) -> String {
    samples.at(0.5).map_or_else(none, |length: Millis| length.to_string())
}

pub(super) fn interval(figure: &Figure) -> String {
    let Figure { mean, low, high } = *figure;
    if mean == 0.0 && high == 0.0 {
        return "0".to_owned();
    }
    format!("{mean:.3} ({:.3} to {high:.3})", low.max(0.0))
}
