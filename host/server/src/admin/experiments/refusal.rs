//! How an experiment is refused.

use reprieve_core::experiment::Unsound;

use crate::{
    admin::problem::{Flaw, Problem},
    experiments::ExperimentFailure,
};

impl From<ExperimentFailure> for Problem {
    fn from(failure: ExperimentFailure) -> Self {
        let invalid = |path: &str, message: String| {
            let flaws = vec![Flaw { path: path.to_owned(), message }];
            Self::invalid("the experiment is refused, and nothing has changed", flaws)
        };
        match failure {
            ExperimentFailure::Unsound(unsound) => invalid(&path(&unsound), unsound.to_string()),
            ExperimentFailure::Candidate { .. } => invalid("candidate", failure.to_string()),
            ExperimentFailure::NameTaken(_) => Self::conflict("name taken", failure),
            ExperimentFailure::Overlaps { .. } => Self::conflict("overlapping experiment", failure),
            ExperimentFailure::TooMany { .. } => Self::conflict("too many experiments", failure),
            ExperimentFailure::NotRunning { .. } => Self::conflict("not running", failure),
            ExperimentFailure::LabelsNotPromoted => Self::conflict("labels not promoted", failure),
            ExperimentFailure::Unknown(name) => Self::unknown("experiment", name),
            ExperimentFailure::Policy(failure) => Self::from(failure),
            ExperimentFailure::Settings(refused) => Self::from(refused),
            ExperimentFailure::NotWritten { .. } => Self::unavailable(failure),
            ExperimentFailure::Store(fault) => Self::from(fault),
        }
    }
}

/// The key of the definition that is at fault.
fn path(unsound: &Unsound) -> String {
    let key = match unsound {
        Unsound::Share { .. } | Unsound::LargeCanary { .. } => "share_bp",
        Unsound::NoDifference => "candidate",
        Unsound::Empty { what, .. } | Unsound::TooLong { what, .. } => what,
        Unsound::Over { .. } => "ends_at_ms",
        Unsound::Guardrails(unsound) => return format!("guardrails.{}", unsound.key),
    };
    key.to_owned()
}
