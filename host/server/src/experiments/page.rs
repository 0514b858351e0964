//! What is written of an experiment that runs, and goes to disk.

use std::collections::{BTreeMap, VecDeque};

use reprieve_core::{
    decision::Outcome,
    experiment::{Arm, Breach, Experiment, Tally},
    ids::{DecisionId, TenantId, WorkspaceId},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::beside::Order;

/// The newest disagreements of an experiment that are kept one by one.
pub const MAX_DISAGREEMENTS: usize = 200;
/// Kinds of disagreement that are counted apart; the rest counts as one more.
const MAX_KINDS: usize = 64;
/// What kinds beyond that are called together.
const OTHERS: &str = "_other";

/// What goes to disk of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub tally: Tally,
    /// The newest first.
    pub disagreements: VecDeque<Disagreement>,
    pub kinds: BTreeMap<String, u64>,
    /// The guardrail that was broken.
    pub breach: Option<Breach>,
}

/// The arms judged the same evidence in two ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// Of the arm that acts; its evidence explains both.
    pub decision: DecisionId,
    pub at: UnixMillis,
    pub workspace: WorkspaceId,
    pub tenant: TenantId,
    /// Verdict and reason: "busy settle-window".
    pub control: String,
    pub candidate: String,
}

impl Page {
    pub(super) fn new(experiment: &Experiment) -> Self {
        Self {
            tally: Tally::new(experiment.mode, experiment.guardrails),
            disagreements: VecDeque::new(),
            kinds: BTreeMap::new(),
            breach: None,
        }
    }

    pub(super) fn disagree(&mut self, order: &Order, other: &Outcome) {
        let (acting, other) = (told(&order.outcome), told(other));
        let (control, candidate) = match order.tried.acts {
            Arm::Control => (acting, other),
            Arm::Candidate => (other, acting),
        };
        let mut kind = format!("{control} / {candidate}");
        if !self.kinds.contains_key(&kind) && self.kinds.len() >= MAX_KINDS {
            OTHERS.clone_into(&mut kind);
        }
        *self.kinds.entry(kind).or_default() += 1;
        self.disagreements.truncate(MAX_DISAGREEMENTS - 1);
        self.disagreements.push_front(Disagreement {
            decision: order.decision.clone(),
            at: order.at,
            workspace: order.who.workspace.clone(),
            tenant: order.who.tenant.clone(),
            control,
            candidate,
        });
    }
}

fn told(outcome: &Outcome) -> String {
    format!("{} {}", crate::supervisor::verdict_name(outcome.verdict()), outcome.reason_code())
}
