//! Sends messages to the collector, over the HTTP client that the host uses for
//! everything else.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_http::{HttpClient, HttpError};
use reprieve_core::causes::with_causes;
use tokio::{runtime::Handle, time::timeout};

use crate::tls;

/// The collector says how many spans it did not take, and little else.
const MAX_REPLY_BYTES: usize = 64 << 10;

/// How long a connection is kept for the next message.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The collector's address is no part of it: messages come with it.
pub(super) struct Collector {
    connections: Connections,
    headers: HeaderMap,
    send_timeout: Duration,
    /// Messages are gathered on a thread that Tokio does not know.
    runtime: Handle,
    /// The last message did not arrive.
    is_failing: AtomicBool,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

impl Collector {
    pub(super) fn new(headers: &[(HeaderName, HeaderValue)], send_timeout: Duration) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(send_timeout));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::config())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let connections = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1)
            .build(https);
        Self {
            connections,
            headers: headers.iter().cloned().collect(),
            send_timeout,
            runtime: Handle::current(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Logs changes only: a collector that is away for a day is one warning.
    fn note(&self, collector: &Uri, failure: Option<&str>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(failure) if !was_failing => {
                tracing::warn!(%collector, failure, "spans do not reach the collector and are dropped");
            }
            None if was_failing => tracing::info!(%collector, "spans reach the collector again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = request.map(Full::new);
        request.headers_mut().extend(self.headers.clone());
        let collector = request.uri().clone();
        let (connections, patience) = (self.connections.clone(), self.send_timeout);
        let sending = self.runtime.spawn(async move {
            let exchange = timeout(patience, exchange(connections, request));
            exchange.await.unwrap_or_else(|_| Err(format!("no answer within {patience:?}").into()))
        });
        let sent = sending.await.unwrap_or_else(|stopped| Err(stopped.into()));
        match &sent {
            Ok(reply) if reply.status().is_success() => self.note(&collector, None),
            Ok(reply) => {
                self.note(&collector, Some(&format!("it answers with status {}", reply.status())));
            }
            Err(error) => self.note(&collector, Some(&with_causes(&**error))),
        }
        sent
    }
}

async fn exchange(
    connections: Connections,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = connections.request(request).await?.into_parts();
    let body = Limited::new(body, MAX_REPLY_BYTES).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}
