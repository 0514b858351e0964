//! Resolves the names of workspaces, and keeps connections to those that their
//! backends do not own off private networks: what a name resolves to is checked
//! at every connect, because it may have changed since it was registered.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use reprieve_core::address::{self, AddressRefused};
use tower_service::Service;

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver {
    /// Only public addresses come out.
    pub(super) public_only: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("the name could not be resolved")]
    Failed(#[source] io::Error),
    #[error("the name was not resolved within {RESOLVE_TIMEOUT:?}")]
    TimedOut,
    #[error("the name resolves to nothing")]
    Nothing,
    #[error("the name resolves to an address that is not allowed")]
    Forbidden(#[source] AddressRefused),
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let public_only = self.public_only;
        Box::pin(async move {
            let found =
                tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name.as_str(), 0)))
                    .await
                    .map_err(|_| ResolveError::TimedOut)?
                    .map_err(ResolveError::Failed)?
                    .collect();
            allowed(found, public_only).map(Vec::into_iter)
        })
    }
}

/// The addresses that may be connected to.
fn allowed(found: Vec<SocketAddr>, public_only: bool) -> Result<Vec<SocketAddr>, ResolveError> {
    if found.is_empty() {
        return Err(ResolveError::Nothing);
    }
    if !public_only {
        return Ok(found);
    }
    let mut refused = None;
    let mut kept = Vec::with_capacity(found.len());
    for socket in found {
        match address::check_ip(socket.ip()) {
            Ok(()) => kept.push(socket),
            Err(error) => refused = Some(error),
        }
    }
    match (kept.is_empty(), refused) {
        (true, Some(refused)) => Err(ResolveError::Forbidden(refused)),
        (true, None) => Err(ResolveError::Nothing),
        (false, _) => Ok(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_come_out_for_a_name_that_nobody_owns() {
        let socket = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 0);
        let (public, private) = (socket("8.8.8.8"), socket("10.0.0.1"));
        for (case, found, public_only, expected) in [
            ("rebound to a private one", vec![private], true, None),
            ("one of each", vec![private, public], true, Some(vec![public])),
            ("owned", vec![private], false, Some(vec![private])),
            ("nothing", vec![], false, None),
        ] {
            assert_eq!(allowed(found, public_only).ok(), expected, "{case}");
        }
    }
}
