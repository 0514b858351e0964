//! An experiment as it runs in this host: the candidate's generation, made anew
//! whenever the one in force changes.

use std::sync::Arc;

use reprieve_core::{
    causes::with_causes,
    evidence::{Answer, Question},
    experiment::{Arm, Experiment},
    ports::Witness,
};

use crate::{Generation, GenerationRefused, Policy, Who};

/// An experiment that runs.
#[derive(Clone, Debug)]
pub struct Trial {
    pub(super) experiment: Arc<Experiment>,
    /// The candidate's. None: whichever is in force.
    policy: Option<Arc<Policy>>,
    /// What the candidate judges by, or why it cannot: then nobody is tried.
    candidate: Result<Arc<Generation>, Arc<str>>,
}

/// A decision was part of an experiment.
#[derive(Clone, Debug)]
pub struct Tried {
    pub experiment: Arc<Experiment>,
    /// Whose arm acts for the workspace.
    pub acts: Arm,
    /// That is the candidate's, and the control decided all the same.
    pub stood_in: Option<StoodIn>,
    /// Who is to judge the same evidence beside it. None: nobody.
    pub other: Option<Arc<Generation>>,
}

/// Why the control decides where the candidate acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoodIn {
    /// The candidate gave no usable answer.
    Failed,
    /// It was not asked: it keeps failing.
    Distrusted,
}

impl Trial {
    /// What is tried beside `control`. `policy`: the candidate's own, if it has one.
    pub fn new(
        experiment: Arc<Experiment>,
        policy: Option<Arc<Policy>>,
        control: &Generation,
    ) -> Self {
        let candidate = control.candidate(policy.as_ref(), &experiment, None);
        Self { candidate: said(candidate), experiment, policy }
    }

    /// The same beside the next generation. What it shares with `former` is not put
    /// to the candidate again.
    pub(super) fn beside(&self, next: &Generation, former: &Generation) -> Self {
        let known = self.candidate.as_ref().ok().map(|candidate| (former, candidate.as_ref()));
        let candidate = next.candidate(self.policy.as_ref(), &self.experiment, known);
        Self { candidate: said(candidate), ..self.clone() }
    }

    /// The same with another share, end or guardrails.
    #[must_use]
    pub fn as_changed(&self, experiment: Arc<Experiment>) -> Self {
        Self { experiment, ..self.clone() }
    }

    pub const fn experiment(&self) -> &Arc<Experiment> {
        &self.experiment
    }

    /// What the candidate judges by. The error says why nobody is tried.
    pub fn candidate(&self) -> Result<&Arc<Generation>, &str> {
        self.candidate.as_ref().map_err(AsRef::as_ref)
    }
}

fn said(made: Result<Generation, GenerationRefused>) -> Result<Arc<Generation>, Arc<str>> {
    made.map(Arc::new).map_err(|refused| with_causes(&refused).into())
}

/// The experiment that a workspace takes part in, and its candidate.
pub(super) fn of<'a>(
    trials: &'a [Trial],
    who: &Who,
    witness: &Arc<dyn Witness>,
) -> Option<(&'a Trial, Arc<Generation>)> {
    trials.iter().find_map(|trial| {
        let target = &trial.experiment.target;
        let candidate = trial.candidate.as_ref().ok()?;
        let labels = if target.labels.is_empty() { Vec::new() } else { labels(witness) };
        let label =
            |key: &str| labels.iter().find(|(of, _)| of == key).map(|(_, value)| value.as_str());
        target.includes(&who.tenant, label).then(|| (trial, Arc::clone(candidate)))
    })
}

fn labels(witness: &Arc<dyn Witness>) -> Vec<(String, String)> {
    match witness.at_hand(&Question::Subject, witness.now()) {
        Some(Answer::Subject(subject)) => subject.labels,
        _ => Vec::new(),
    }
}
