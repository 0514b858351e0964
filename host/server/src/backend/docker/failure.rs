//! What a call to the daemon can come to, told by types and status codes.
//!
//! No text decides anything here: a daemon that is out of breath may well say "no
//! such container" in the body of a 500.

use std::{error::Error as _, io};

use bollard::errors::Error;
use reprieve_core::evidence::ProbeFault;

/// As much of a daemon's message as a person wants to read.
const MAX_DETAIL_CHARS: usize = 300;

/// Why a call to the daemon came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallFailure {
    /// 404: the daemon answered, and does not know what was asked for. What that
    /// is only the caller can tell: an absent image is a 404 too.
    #[error("docker does not know it")]
    Absent,
    /// 409: it cannot be done as things stand.
    #[error("docker refused, because of a conflict: {detail}")]
    Conflict { detail: String },
    /// Any other answer that is no success.
    #[error("docker refused with status {status}: {detail}")]
    Refused { status: u16, detail: String },
    /// No answer, or none that can be read.
    #[error("docker could not be asked: {0}")]
    Fault(ProbeFault),
}

impl CallFailure {
    pub(super) const MALFORMED: Self = Self::Fault(ProbeFault::Malformed);

    /// What it is to a probe. A 404 is no news of a container by itself; whoever
    /// can believe it has done so before.
    pub(super) const fn as_fault(&self) -> ProbeFault {
        match self {
            Self::Fault(fault) => *fault,
            // Broken inside, often for want of time or memory.
            Self::Refused { status: 500.., .. } => ProbeFault::Overloaded,
            Self::Absent | Self::Conflict { .. } | Self::Refused { .. } => ProbeFault::Malformed,
        }
    }

    /// The daemon may be carrying the order out although nobody was told so.
    pub(super) const fn leaves_open(&self) -> bool {
        match self {
            Self::Absent | Self::Conflict { .. } | Self::Refused { .. } => false,
            Self::Fault(fault) => match fault {
                // The order never left.
                ProbeFault::Unreachable | ProbeFault::Denied => false,
                ProbeFault::TimedOut
                | ProbeFault::ClosedEarly
                | ProbeFault::Overloaded
                | ProbeFault::Malformed => true,
            },
        }
    }
}

impl From<Error> for CallFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                answered(status_code, &message)
            }
            Error::RequestTimeoutError => Self::Fault(ProbeFault::TimedOut),
            Error::SocketNotFoundError(_) => Self::Fault(ProbeFault::Unreachable),
            Error::HyperResponseError { err } => Self::Fault(cut(&err)),
            Error::HyperLegacyError { err } if err.is_connect() => {
                Self::Fault(unconnected(io_kind(&err)))
            }
            Error::HyperLegacyError { err } => {
                let cause = err.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
                Self::Fault(cause.map_or(ProbeFault::ClosedEarly, cut))
            }
            Error::IOError { .. } => Self::Fault(ProbeFault::ClosedEarly),
            // JSON of another shape, cut off, or none at all; and what bollard
            // finds wrong with addresses and headers.
            _ => Self::MALFORMED,
        }
    }
}

fn answered(status: u16, message: &str) -> CallFailure {
    let detail = || message.chars().take(MAX_DETAIL_CHARS).collect();
    match status {
        404 => CallFailure::Absent,
        409 => CallFailure::Conflict { detail: detail() },
        401 | 403 => CallFailure::Fault(ProbeFault::Denied),
        429 | 503 => CallFailure::Fault(ProbeFault::Overloaded),
        _ => CallFailure::Refused { status, detail: detail() },
    }
}

/// The connection stood, and broke.
fn cut(error: &hyper::Error) -> ProbeFault {
    if error.is_parse() {
        ProbeFault::Malformed
    } else if error.is_timeout() {
        ProbeFault::TimedOut
    } else {
        ProbeFault::ClosedEarly
    }
}

fn unconnected(kind: Option<io::ErrorKind>) -> ProbeFault {
    match kind {
        Some(io::ErrorKind::PermissionDenied) => ProbeFault::Denied,
        // The socket's backlog is full: the daemon does not keep up.
        Some(io::ErrorKind::WouldBlock) => ProbeFault::Overloaded,
        Some(io::ErrorKind::TimedOut) => ProbeFault::TimedOut,
        _ => ProbeFault::Unreachable,
    }
}

/// The kind of the io error at the bottom of it; no nearer type tells it.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    /// Far more than any library nests.
    const MAX_DEPTH: usize = 16;
    let mut error = error;
    for _ in 0..MAX_DEPTH {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        error = error.source()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status_code: u16, message: &str) -> CallFailure {
        Error::DockerResponseServerError { status_code, message: message.to_owned() }.into()
    }

    /// The table of the incident in which six healthy containers were restarted
    /// within a second because every error of an inspect read as "not running".
    #[test]
    fn only_a_404_says_that_a_container_is_not_there() {
        let io = |kind| Error::IOError { err: io::Error::from(kind) }.into();
        for (case, failure, not_found) in [
            ("No such container: ws-abc123", server(404, "No such container: ws-abc123"), true),
            ("container not found", server(404, "container not found"), true),
            ("context deadline exceeded", Error::RequestTimeoutError.into(), false),
            ("EOF", io(io::ErrorKind::UnexpectedEof), false),
            ("connection refused", io(io::ErrorKind::ConnectionRefused), false),
            ("i/o timeout", io(io::ErrorKind::TimedOut), false),
            ("empty text", server(500, ""), false),
            ("the right text with the wrong code", server(500, "No such container: x"), false),
            ("the socket is gone", Error::SocketNotFoundError(String::new()).into(), false),
        ] {
            assert_eq!(failure == CallFailure::Absent, not_found, "{case}: {failure:?}");
        }
    }

    #[test]
    fn a_status_code_decides_and_its_text_does_not() {
        let refused = |status| CallFailure::Refused { status, detail: "x".to_owned() };
        for (status, expected, fault) in [
            (301, refused(301), ProbeFault::Malformed),
            (400, refused(400), ProbeFault::Malformed),
            (401, CallFailure::Fault(ProbeFault::Denied), ProbeFault::Denied),
            (403, CallFailure::Fault(ProbeFault::Denied), ProbeFault::Denied),
            (404, CallFailure::Absent, ProbeFault::Malformed),
            (409, CallFailure::Conflict { detail: "x".to_owned() }, ProbeFault::Malformed),
            (429, CallFailure::Fault(ProbeFault::Overloaded), ProbeFault::Overloaded),
            (500, refused(500), ProbeFault::Overloaded),
            (503, CallFailure::Fault(ProbeFault::Overloaded), ProbeFault::Overloaded),
        ] {
            let failure = server(status, "x");
            assert_eq!(failure, expected, "{status}");
            assert_eq!(failure.as_fault(), fault, "{status}");
        }
    }

    #[test]
    fn a_message_is_held_to_a_size() {
        let CallFailure::Refused { detail, .. } = server(500, &"x".repeat(10_000)) else {
            panic!("a 500 is a refusal")
        };
        assert_eq!(detail.len(), MAX_DETAIL_CHARS);
    }
}
