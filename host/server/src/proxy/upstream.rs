//! The client side: connections to workspaces.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use reprieve_core::{address, judgement::ForwardFailure};
use url::Url;

use super::{
    failure::{self, Trouble},
    fleet::Route,
    options::ProxyOptions,
    resolve::Resolver,
    watch::{NewestSign, Patience, Upload, wait},
};
use crate::tls;

type Connections = Client<HttpsConnector<HttpConnector<Resolver>>, Body>;

/// Idle connections kept to one workspace.
const MAX_IDLE_PER_WORKSPACE: usize = 32;

/// Pooled connections to workspaces. Those to owned addresses and the others
/// have pools of their own, so that no connection to a private address is ever
/// used for a workspace that does not own it.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    owned: Connections,
    public: Connections,
    patience: Patience,
}

impl Upstream {
    pub(super) fn new(options: &ProxyOptions) -> Self {
        let connections = |public_only| {
            let mut http = HttpConnector::new_with_resolver(Resolver { public_only });
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(options.connect_timeout));
            let https = HttpsConnectorBuilder::new()
                .with_tls_config(tls::config())
                .https_or_http()
                .enable_http1()
                .wrap_connector(http);
            // The client sends a request again by itself only when its pooled
            // connection was closed before a byte of it went out.
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(options.pool_idle_timeout)
                .pool_max_idle_per_host(MAX_IDLE_PER_WORKSPACE)
                .build(https)
        };
        let patience = Patience { idle: options.idle_timeout, longest: options.answer_timeout };
        Self { owned: connections(false), public: connections(true), patience }
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        route: &Route,
        address: &Url,
        mut request: Request<Body>,
        newest_sign: NewestSign<'_>,
        upload: &Arc<Upload>,
    ) -> Result<Response<Incoming>, Trouble> {
        // The resolver sees names only; addresses in numbers are checked here.
        address::check(address, |_| route.owned).map_err(Trouble::Forbidden)?;
        *request.version_mut() = Version::HTTP_11;
        let connections = if route.owned { &self.owned } else { &self.public };
        match wait(self.patience, newest_sign, upload, connections.request(request)).await {
            _ if upload.has_caller_failed() => Err(Trouble::CallerGone),
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(failure::of_client(&error)),
            None if upload.is_awaiting_caller() => Err(Trouble::CallerGone),
            None => Err(Trouble::timed_out("no answer and no sign of life within the time-out")),
        }
    }

    /// Reads an answer's body whole.
    pub(super) async fn read(
        &self,
        mut body: Incoming,
        limit_bytes: usize,
        newest_sign: NewestSign<'_>,
    ) -> Result<Bytes, ReadProblem> {
        let too_large = |bytes: u64| bytes > limit_bytes as u64;
        if too_large(http_body::Body::size_hint(&body).lower()) {
            return Err(ReadProblem::TooLarge);
        }
        let upload = Upload::begin();
        let mut whole = BytesMut::new();
        // Ends with the body, which is bounded by `limit_bytes`.
        loop {
            let frame = match wait(self.patience, newest_sign, &upload, body.frame()).await {
                Some(None) => return Ok(whole.freeze()),
                Some(Some(Ok(frame))) => frame,
                Some(Some(Err(error))) => return Err(ReadProblem::Lost(failure::of_body(&error))),
                None => return Err(ReadProblem::Lost(Trouble::timed_out("the answer stalled"))),
            };
            if let Ok(data) = frame.into_data() {
                if too_large((whole.len() + data.len()) as u64) {
                    return Err(ReadProblem::TooLarge);
                }
                whole.extend_from_slice(&data);
            }
        }
    }
}

/// Why an answer that began could not be read whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadProblem {
    #[error("the answer is too large")]
    TooLarge,
    #[error("the answer was lost")]
    Lost(#[source] Trouble),
}

impl ReadProblem {
    /// What it says about the workspace.
    pub(super) fn failure(&self) -> Option<ForwardFailure> {
        match self {
            Self::Lost(Trouble::Failed { failure, .. }) => Some(*failure),
            Self::TooLarge | Self::Lost(_) => None,
        }
    }
}

/// An answer that comes in pieces for as long as it takes.
pub(super) fn is_event_stream(response: &Response<Incoming>) -> bool {
    response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(
        |value| value.trim_start().to_ascii_lowercase().starts_with("text/event-stream"),
    )
}

/// A request for a workspace, without headers.
pub(super) fn request(
    method: Method,
    address: &Url,
    path: &str,
    body: Body,
) -> Result<Request<Body>, Trouble> {
    let build = || {
        let uri = super::path::join(address, path)?;
        Request::builder().method(method).uri(uri).body(body)
    };
    build().map_err(|error: http::Error| Trouble::Ours {
        detail: format!("no request could be made of {address} and {path}: {error}"),
    })
}
