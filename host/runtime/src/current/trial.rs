//! An experiment as it runs in this host: the candidate's generation, made anew
//! whenever the one in force changes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

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
    /// Seen by every decision at once, whatever else is under way.
    stopped: Arc<AtomicBool>,
}

/// A decision was part of an experiment.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What was tried beside the generation in force, and which of them it is: a
    /// decision holds them anyway, so nothing else has to be counted.
    pub(super) trials: Arc<[Trial]>,
    pub(super) nth: usize,
    /// Whose arm acts for the workspace.
    pub acts: Arm,
    /// That is the candidate's, and the control decided all the same.
    pub stood_in: Option<StoodIn>,
    pub(super) beside: Beside,
}

/// Who is to judge the same evidence beside who decided.
#[derive(Clone, Debug)]
pub(super) enum Beside {
    Nobody,
    Candidate,
    Control(Arc<Generation>),
}

/// Why the control decides where the candidate acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoodIn {
    /// The candidate gave no usable answer.
    Failed,
    /// It was not asked: it keeps failing.
    Distrusted,
}

impl Tried {
    pub fn experiment(&self) -> &Experiment {
        &self.trials[self.nth].experiment
    }

    /// Who is to judge the same evidence beside who decided. None: nobody.
    pub fn other(&self) -> Option<&Arc<Generation>> {
        match &self.beside {
            Beside::Nobody => None,
            Beside::Candidate => self.trials[self.nth].candidate.as_ref().ok(),
            Beside::Control(control) => Some(control),
        }
    }
}

impl Trial {
    /// What is tried beside `control`. `policy`: the candidate's own, if it has one.
    pub fn new(
        experiment: Arc<Experiment>,
        policy: Option<Arc<Policy>>,
        control: &Generation,
    ) -> Self {
        let candidate = control.candidate(policy.as_ref(), &experiment, None);
        let stopped = Arc::default();
        Self { candidate: said(candidate), experiment, policy, stopped }
    }

    /// From the next decision on, the control judges alone. Waits for nobody, and
    /// cannot be taken back.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// The same beside the next generation. What it shares with `former` is not put
    /// to the candidate again.
    pub(super) fn beside(&self, next: &Generation, former: &Generation) -> Self {
        let known = self.candidate.as_ref().ok().map(|candidate| (former, candidate.as_ref()));
        let candidate = next.candidate(self.policy.as_ref(), &self.experiment, known);
        Self { candidate: said(candidate), ..self.clone() }
    }

    /// Whether that workspace takes part.
    pub fn includes(&self, who: &Who, labels: &[(String, String)]) -> bool {
        let label =
            |key: &str| labels.iter().find(|(of, _)| of == key).map(|(_, value)| value.as_str());
        self.experiment.target.includes(&who.tenant, label)
    }

    /// What the candidate judges by, as long as it is tried.
    pub(super) fn running(&self) -> Option<&Arc<Generation>> {
        let candidate = self.candidate.as_ref().ok()?;
        (!self.stopped.load(Ordering::Acquire)).then_some(candidate)
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

/// Which of the experiments a workspace takes part in, and its candidate.
pub(super) fn of<'a>(
    trials: &'a [Trial],
    who: &Who,
    witness: &Arc<dyn Witness>,
) -> Option<(usize, &'a Arc<Generation>)> {
    trials.iter().enumerate().find_map(|(nth, trial)| {
        let candidate = trial.running()?;
        let needs_labels = !trial.experiment.target.labels.is_empty();
        let labels = if needs_labels { labels(witness) } else { Vec::new() };
        trial.includes(who, &labels).then_some((nth, candidate))
    })
}

fn labels(witness: &Arc<dyn Witness>) -> Vec<(String, String)> {
    match witness.at_hand(&Question::Subject, witness.now()) {
        Some(Answer::Subject(subject)) => subject.labels,
        _ => Vec::new(),
    }
}
