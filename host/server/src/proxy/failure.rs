//! Tells what a failed forward says about the workspace, and what says nothing
//! about it: the host's own trouble, a caller that went away, an address that
//! may not be connected to.

use std::{error::Error, io};

use hyper_util::client::legacy;
use reprieve_core::{address::AddressRefused, judgement::ForwardFailure};
use rustix::io::Errno;

use super::resolve::ResolveError;

/// Causes of causes that are followed at most.
const MAX_CAUSES: usize = 16;

/// Why a forward got no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{detail}")]
    Failed { failure: ForwardFailure, detail: String },
    /// The host could not even try. No error of the host is a death.
    #[error("the host could not connect: {detail}")]
    Ours { detail: String },
    #[error("the workspace's address is not allowed")]
    Forbidden(#[source] AddressRefused),
    #[error("the caller did not send its whole request")]
    CallerGone,
}

impl Trouble {
    pub(super) fn timed_out(detail: impl Into<String>) -> Self {
        Self::Failed { failure: ForwardFailure::TimedOut, detail: detail.into() }
    }
}

/// Reads an error of the client.
pub(super) fn of_client(error: &legacy::Error) -> Trouble {
    let fallback =
        if error.is_connect() { ForwardFailure::Refused } else { ForwardFailure::ClosedEarly };
    of_error(error, fallback)
}

/// Reads an error that came while an answer's body was read.
pub(super) fn of_body(error: &hyper::Error) -> Trouble {
    of_error(error, ForwardFailure::ClosedEarly)
}

/// The first cause that says something decides.
fn of_error(error: &(dyn Error + 'static), fallback: ForwardFailure) -> Trouble {
    let detail = in_words(error);
    let mut cause = Some(error);
    for _ in 0..MAX_CAUSES {
        let Some(error) = cause else { break };
        if let Some(trouble) = of_cause(error, &detail) {
            return trouble;
        }
        cause = next(error);
    }
    Trouble::Failed { failure: fallback, detail }
}

/// The cause, also where an I/O error wraps one: `source` leaves that out.
fn next<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = next(error);
    for _ in 0..MAX_CAUSES {
        let Some(error) = cause else { break };
        let text = error.to_string();
        if !words.ends_with(&text) {
            words = format!("{words}: {text}");
        }
        cause = next(error);
    }
    words
}

fn of_cause(error: &(dyn Error + 'static), detail: &str) -> Option<Trouble> {
    let failed = |failure| Some(Trouble::Failed { failure, detail: detail.to_owned() });
    if let Some(error) = error.downcast_ref::<ResolveError>() {
        return match error {
            ResolveError::Forbidden(refused) => Some(Trouble::Forbidden(refused.clone())),
            ResolveError::Failed(_) | ResolveError::TimedOut | ResolveError::Nothing => {
                failed(ForwardFailure::Unresolved)
            }
        };
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            failed(ForwardFailure::ClosedEarly)
        } else if error.is_timeout() {
            failed(ForwardFailure::TimedOut)
        } else if error.is_parse() {
            // An answer that is not HTTP is what HTTP calls a bad gateway.
            failed(ForwardFailure::BadStatus(502))
        } else {
            None
        };
    }
    let error = error.downcast_ref::<io::Error>()?;
    if is_ours(error) {
        return Some(Trouble::Ours { detail: detail.to_owned() });
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => failed(ForwardFailure::Refused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => failed(ForwardFailure::Reset),
        io::ErrorKind::UnexpectedEof => failed(ForwardFailure::ClosedEarly),
        io::ErrorKind::TimedOut => failed(ForwardFailure::TimedOut),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            failed(ForwardFailure::Unresolved)
        }
        _ => None,
    }
}

/// The host is out of something of its own.
fn is_ours(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_is_read_however_deep_it_lies() {
        let raw = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for (error, expected) in [
            (raw(Errno::CONNREFUSED), Some(ForwardFailure::Refused)),
            (raw(Errno::CONNRESET), Some(ForwardFailure::Reset)),
            (raw(Errno::PIPE), Some(ForwardFailure::Reset)),
            (raw(Errno::TIMEDOUT), Some(ForwardFailure::TimedOut)),
            (raw(Errno::HOSTUNREACH), Some(ForwardFailure::Unresolved)),
            (io::ErrorKind::UnexpectedEof.into(), Some(ForwardFailure::ClosedEarly)),
            (io::Error::other(ResolveError::Nothing), Some(ForwardFailure::Unresolved)),
            (io::Error::other("unknown"), Some(ForwardFailure::ClosedEarly)),
            (raw(Errno::MFILE), None),
            (raw(Errno::ADDRNOTAVAIL), None),
        ] {
            let case = error.to_string();
            let wrapped = io::Error::other(io::Error::other(error));
            let found = match of_error(&wrapped, ForwardFailure::ClosedEarly) {
                Trouble::Failed { failure, .. } => Some(failure),
                Trouble::Ours { .. } | Trouble::Forbidden(_) | Trouble::CallerGone => None,
            };
            assert_eq!(found, expected, "{case}");
        }
    }
}
