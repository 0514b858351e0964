//! What came of decisions that were run again, counted.

use std::collections::BTreeMap;

use reprieve_core::{
    decision::{Decision, Outcome},
    judgement::{Admission, Verdict},
};
use serde::Serialize;

use super::Again;

/// Rows of one table; whatever comes after them is counted together, as "others".
pub const MAX_ROWS: usize = 1_000;
/// What rows beyond [`MAX_ROWS`] are counted as.
pub const OTHERS: &str = "others";
/// Changes that are kept whole, to be explained: the first.
pub const MAX_KEPT: usize = 1_000;

/// How many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All that were read.
    pub decisions: u64,
    pub same: u64,
    pub differing: u64,
    pub had_fallen_back: u64,
    pub missing: u64,
    pub failing: u64,
    pub unknown: u64,
}

/// Something that changes, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub what: String,
    pub decisions: u64,
}

/// A decision that would be another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    pub recorded: Decision,
    /// What comes of it now.
    pub outcome: Outcome,
    pub memory_write: Option<Vec<u8>>,
}

/// What came of a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    pub counts: Counts,
    by_tenant: BTreeMap<String, u64>,
    by_workspace: BTreeMap<String, u64>,
    /// "alive running -> busy slow-answer"
    by_reason: BTreeMap<String, u64>,
    /// What candidates ask for that is not on record, and how they fail.
    by_failure: BTreeMap<String, u64>,
    /// What cannot be had.
    by_unknown: BTreeMap<String, u64>,
    pub changed: Vec<Changed>,
}

impl Report {
    /// `decision`: as it is on record.
    pub fn add(&mut self, decision: Decision, again: Again) {
        self.counts.decisions += 1;
        match again {
            Again::Same => self.counts.same += 1,
            Again::HadFallenBack => self.counts.had_fallen_back += 1,
            Again::Unknown(unknown) => {
                self.counts.unknown += 1;
                count(&mut self.by_unknown, unknown.to_string());
            }
            Again::Missing(decided) => {
                self.counts.missing += 1;
                count(&mut self.by_failure, detail(&decided.outcome));
            }
            Again::FailsNow(decided) => {
                self.counts.failing += 1;
                count(&mut self.by_failure, detail(&decided.outcome));
            }
            Again::Differs(decided) => {
                self.counts.differing += 1;
                count(&mut self.by_tenant, decision.tenant.to_string());
                count(&mut self.by_workspace, decision.workspace.to_string());
                let (before, after) = (told(&decision.outcome), told(&decided.outcome));
                let row = if before == after {
                    format!("{before}: another note or wait")
                } else {
                    format!("{before} -> {after}")
                };
                count(&mut self.by_reason, row);
                if self.changed.len() < MAX_KEPT {
                    let (outcome, memory_write) = (decided.outcome, decided.memory_write);
                    self.changed.push(Changed { recorded: decision, outcome, memory_write });
                }
            }
        }
    }

    pub fn by_tenant(&self) -> Vec<Row> {
        rows(&self.by_tenant)
    }

    pub fn by_workspace(&self) -> Vec<Row> {
        rows(&self.by_workspace)
    }

    pub fn by_reason(&self) -> Vec<Row> {
        rows(&self.by_reason)
    }

    pub fn by_failure(&self) -> Vec<Row> {
        rows(&self.by_failure)
    }

    pub fn by_unknown(&self) -> Vec<Row> {
        rows(&self.by_unknown)
    }
}

fn count(table: &mut BTreeMap<String, u64>, row: String) {
    let row =
        if table.len() < MAX_ROWS || table.contains_key(&row) { row } else { OTHERS.to_owned() };
    *table.entry(row).or_default() += 1;
}

/// The most frequent first; equal ones by name.
fn rows(table: &BTreeMap<String, u64>) -> Vec<Row> {
    let row =
        |(what, decisions): (&String, &u64)| Row { what: what.clone(), decisions: *decisions };
    let mut rows: Vec<Row> = table.iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.decisions));
    rows
}

/// "busy slow-answer"
fn told(outcome: &Outcome) -> String {
    let ruled = match outcome {
        Outcome::Judged { verdict, .. } => match verdict {
            Verdict::Alive => "alive",
            Verdict::Busy(_) => "busy",
            Verdict::Dead => "dead",
            Verdict::Recheck(_) => "recheck",
        },
        Outcome::Ruled { admission, .. } => match admission {
            Admission::Admit => "admit",
            Admission::Drop => "drop",
            Admission::Defer(_) => "defer",
        },
        Outcome::FellBack { .. } => "fell back",
    };
    format!("{ruled} {}", outcome.reason_code())
}

fn detail(outcome: &Outcome) -> String {
    match outcome {
        Outcome::FellBack { detail, .. } => detail.clone(),
        Outcome::Judged { .. } | Outcome::Ruled { .. } => told(outcome),
    }
}
