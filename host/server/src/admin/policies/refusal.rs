//! How a policy is refused: with the step that it did not pass, in one place.

use std::io;

use http::StatusCode;
use reprieve_runtime::{
    LoadFailure,
    registry::{Refused, StepFailed},
};

use super::upload::COME_BACK_AFTER;
use crate::{
    admin::problem::{Flaw, Problem},
    policies::PoliciesFailure,
};

impl From<PoliciesFailure> for Problem {
    fn from(failure: PoliciesFailure) -> Self {
        let status = match &failure {
            PoliciesFailure::Refused(refused) => return at_a_step(refused),
            PoliciesFailure::NothingBefore => return Self::conflict("nothing before", failure),
            PoliciesFailure::Crowded { .. } => return Self::too_many(failure, COME_BACK_AFTER),
            PoliciesFailure::Changed { .. } => {
                let status = StatusCode::PRECONDITION_FAILED;
                return Self::new(status, "changed meanwhile", failure);
            }
            PoliciesFailure::Unknown { .. } | PoliciesFailure::NotInFolder { .. } => {
                StatusCode::NOT_FOUND
            }
        };
        Self::new(status, "not found", failure)
    }
}

fn at_a_step(refused: &Refused) -> Problem {
    let StepFailed { step, why } = StepFailed::of(refused);
    let detail =
        format!("the policy is refused at the step `{}`, and what judges stays", step.as_str());
    let problem = match refused {
        // A file that is not there, or not for the host, is the asker's to mend.
        Refused::Unreadable { source, .. } if is_about_the_name(source) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "policy refused", detail)
        }
        // Nothing is wrong with the component.
        Refused::Unreadable { .. } | Refused::NotKept { .. } | Refused::Aborted => {
            Problem::unavailable(detail)
        }
        Refused::Compiling | Refused::Load(LoadFailure::TooMany { .. }) => {
            Problem::conflict("no room for a policy", detail)
        }
        Refused::Oversized { .. } | Refused::Load(LoadFailure::TooLarge { .. }) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "policy refused", detail)
        }
        Refused::OtherDigest { .. }
        | Refused::Signature(_)
        | Refused::Load(_)
        | Refused::CompileBudget { .. }
        | Refused::Settings(_)
        | Refused::Golden(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "policy refused", detail)
        }
    };
    problem.with(vec![Flaw { path: step.as_str().to_owned(), message: why }])
}

fn is_about_the_name(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reprieve_core::ids::Digest;

    use super::*;

    #[test]
    fn who_is_at_fault_shows_in_the_status() {
        let (found, expected) = (Digest::of(b"a"), Digest::of(b"b"));
        let budget = Duration::from_secs(1);
        let io = || io::Error::other("disk full");
        let dangling = || io::Error::from(io::ErrorKind::NotFound);
        for (refused, status, step) in [
            (Refused::OtherDigest { found, expected }, 422, "digest"),
            (Refused::Load(LoadFailure::CoreModule), 422, "imports"),
            (Refused::Load(LoadFailure::WrongWorld), 422, "compile"),
            (Refused::CompileBudget { budget }, 422, "compile"),
            (Refused::Oversized { what: "it".to_owned(), limit: 1 }, 413, "fetch"),
            (Refused::Load(LoadFailure::TooLarge { bytes: 2, limit: 1 }), 413, "imports"),
            (Refused::Compiling, 409, "compile"),
            (Refused::Load(LoadFailure::TooMany { limit: 16 }), 409, "describe"),
            (Refused::NotKept { source: io() }, 503, "activate"),
            (Refused::Unreadable { what: "it".to_owned(), source: io() }, 503, "fetch"),
            (Refused::Unreadable { what: "it".to_owned(), source: dangling() }, 422, "fetch"),
        ] {
            let case = format!("{refused}");
            let problem = Problem::from(PoliciesFailure::from(refused));
            let told = serde_json::to_value(&problem).unwrap();
            assert_eq!(told["status"], status, "{case}");
            assert!(told["detail"].as_str().unwrap().contains(&format!("`{step}`")), "{told}");
            let flaw = &told["problems"][0];
            assert_eq!(flaw["path"], step, "{told}");
            assert!(flaw["message"].as_str().unwrap().starts_with(&case), "{told}");
        }
    }

    #[test]
    fn a_refusal_tells_its_causes() {
        let source = io::Error::other("disk full");
        let problem = Problem::from(PoliciesFailure::from(Refused::NotKept { source }));
        let told = serde_json::to_string(&problem).unwrap();
        assert!(told.contains("into force: disk full"), "{told}");
    }
}
