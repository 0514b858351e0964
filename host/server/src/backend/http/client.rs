//! One call to the control plane: its deadline, its size, its token, its faults.

use std::{error::Error, io, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Connections, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use reprieve_core::{evidence::ProbeFault, ids::WorkspaceId, time::Millis};
use rustix::io::Errno;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::{
    ControlPlaneOptions, InvalidControlPlane,
    contract::{Instance, Refusal},
};
use crate::{
    config::{Secret, sections::is_plain_http},
    tls,
};

/// An instance is described in a few hundred bytes.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Causes of causes that are followed at most.
const MAX_CAUSES: usize = 16;
const MAX_IDLE_CONNECTIONS: usize = 8;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Carries the order's key, by its usual name
/// (draft-ietf-httpapi-idempotency-key-header).
const KEY_HEADER: &str = "idempotency-key";

/// Why a call brought no instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallFailure {
    #[error("no answer within {after}")]
    TimedOut { after: Millis },
    #[error("no connection: {detail}")]
    Unreachable { detail: String },
    /// Nothing was sent: it is not known whom the request would have reached.
    #[error(
        "the control plane's certificate is not trusted: {detail}; name its authority in ca_file"
    )]
    Untrusted { detail: String },
    /// The request may have been read.
    #[error("the connection ended before the answer did: {detail}")]
    ClosedEarly { detail: String },
    #[error("the answer is no HTTP, or longer than {MAX_BODY_BYTES} bytes: {detail}")]
    Unreadable { detail: String },
    #[error("this host is out of sockets or memory: {detail}")]
    OurTrouble { detail: String },
    #[error("{}", in_words(.0))]
    Refused(Refusal),
}

/// An order, as far as it differs on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Start,
    Stop,
}

pub(super) struct Client {
    connections: Connections<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Without a slash at its end.
    base: String,
    authorization: Option<HeaderValue>,
    call_timeout: Millis,
}

impl Client {
    pub(super) fn new(options: &ControlPlaneOptions) -> Result<Self, InvalidControlPlane> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(options.call_timeout.as_duration()));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(trust(options)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let connections = Connections::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            // An order is never sent twice, by nobody.
            .retry_canceled_requests(false)
            .build(https);
        Ok(Self {
            connections,
            base: base(options)?,
            authorization: authorization(options)?,
            call_timeout: options.call_timeout,
        })
    }

    /// None: definitely no such instance.
    pub(super) async fn look(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<Instance>, CallFailure> {
        match self.call(Method::GET, &format!("instances/{workspace}"), None).await {
            Ok(instance) => Ok(Some(instance)),
            Err(CallFailure::Refused(Refusal::NotFound)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn order(
        &self,
        verb: Verb,
        workspace: &WorkspaceId,
        key: &str,
    ) -> Result<Instance, CallFailure> {
        let path = match verb {
            Verb::Start => format!("instances/{workspace}/start"),
            Verb::Stop => format!("instances/{workspace}/stop"),
        };
        self.call(Method::POST, &path, Some(key)).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
    ) -> Result<Instance, CallFailure> {
        let request = self.request(method, path, key).map_err(|error| {
            // Ids and keys are of characters that a URL and a header take.
            CallFailure::OurTrouble { detail: format!("no request could be made: {error}") }
        })?;
        let exchange = async {
            let answer = self.connections.request(request).await.map_err(|error| {
                let fallback = if error.is_connect() { unreachable } else { closed_early };
                of_error(&error, fallback)
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
            let body = body.map_err(|error| of_error(&*error, closed_early))?.to_bytes();
            Instance::read(status, &body).map_err(CallFailure::Refused)
        };
        // Over the head and the body: a body may stall for ever.
        let after = self.call_timeout;
        timeout(after.as_duration(), exchange).await.unwrap_or(Err(CallFailure::TimedOut { after }))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(key) = key {
            request = request.header(KEY_HEADER, key);
        }
        request.body(Full::default())
    }
}

fn base(options: &ControlPlaneOptions) -> Result<String, InvalidControlPlane> {
    let url = &options.url;
    let invalid = || {
        // The password stays out of messages.
        let mut shown = url.clone();
        let _ = shown.set_password(None);
        InvalidControlPlane::Url { name: options.name.clone(), url: shown.into() }
    };
    let base = url.as_str().trim_end_matches('/').to_owned();
    if is_plain_http(url) && base.parse::<Uri>().is_ok() { Ok(base) } else { Err(invalid()) }
}

fn trust(options: &ControlPlaneOptions) -> Result<ClientConfig, InvalidControlPlane> {
    let Some(file) = &options.ca_file else { return Ok(tls::config()) };
    tls::config_trusting(file)
        .map_err(|source| InvalidControlPlane::Authorities { name: options.name.clone(), source })
}

fn authorization(
    options: &ControlPlaneOptions,
) -> Result<Option<HeaderValue>, InvalidControlPlane> {
    let Some(token) = &options.token else { return Ok(None) };
    let is_plain = |token: &Secret| {
        !token.reveal().is_empty() && token.reveal().bytes().all(|byte| byte.is_ascii_graphic())
    };
    let invalid = || InvalidControlPlane::Token { name: options.name.clone() };
    if !is_plain(token) {
        return Err(invalid());
    }
    let value = format!("Bearer {}", token.reveal());
    let mut value = HeaderValue::from_str(&value).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl CallFailure {
    /// What it means for a probe.
    pub(super) const fn as_fault(&self) -> ProbeFault {
        match self {
            Self::TimedOut { .. } => ProbeFault::TimedOut,
            Self::Unreachable { .. } | Self::Untrusted { .. } => ProbeFault::Unreachable,
            Self::ClosedEarly { .. } => ProbeFault::ClosedEarly,
            Self::Unreadable { .. } => ProbeFault::Malformed,
            Self::OurTrouble { .. } => ProbeFault::Overloaded,
            Self::Refused(refusal) => refusal.as_fault(),
        }
    }

    /// Whether it lasts until a person changes something.
    pub(super) const fn waits_for_a_person(&self) -> bool {
        matches!(self, Self::Untrusted { .. } | Self::Refused(Refusal::Denied))
    }

    /// Whether an order that ended so may have been taken all the same.
    pub(super) const fn may_be_taken(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::ClosedEarly { .. } | Self::Unreadable { .. } => true,
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::OurTrouble { .. } => false,
            Self::Refused(refusal) => match refusal {
                // Another order is under way: what comes of it is to be seen.
                Refusal::Conflict { .. } | Refusal::Broken { .. } => true,
                Refusal::Nonsense { status } => *status < 300,
                Refusal::NotFound | Refusal::Denied | Refusal::Overloaded => false,
            },
        }
    }
}

fn in_words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound => "the control plane knows no such instance".to_owned(),
        Refusal::Denied => "the control plane denies it; check the token".to_owned(),
        Refusal::Overloaded => "the control plane is overloaded".to_owned(),
        Refusal::Conflict { message } => format!("another order is under way: {message:?}"),
        Refusal::Broken { status } => format!("the control plane failed with status {status}"),
        Refusal::Nonsense { status } => {
            format!("the answer with status {status} is not of the contract; check the URL")
        }
    }
}

fn unreachable(detail: String) -> CallFailure {
    CallFailure::Unreachable { detail }
}

fn closed_early(detail: String) -> CallFailure {
    CallFailure::ClosedEarly { detail }
}

fn unreadable(detail: String) -> CallFailure {
    CallFailure::Unreadable { detail }
}

fn untrusted(detail: String) -> CallFailure {
    CallFailure::Untrusted { detail }
}

fn our_trouble(detail: String) -> CallFailure {
    CallFailure::OurTrouble { detail }
}

/// The first cause that says something decides.
fn of_error(error: &(dyn Error + 'static), fallback: fn(String) -> CallFailure) -> CallFailure {
    let mut cause = Some(error);
    let mut detail = error.to_string();
    let mut found = None;
    for _ in 0..MAX_CAUSES {
        let Some(error) = cause else { break };
        found = found.or_else(|| of_cause(error));
        cause = cause_of(error);
        if let Some(deeper) = cause {
            detail = deeper.to_string();
        }
    }
    found.unwrap_or(fallback)(detail)
}

/// What an [`io::Error`] was made of is no `source` of it.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(within) => Some(within),
        None => error.source(),
    }
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<fn(String) -> CallFailure> {
    if error.is::<LengthLimitError>() {
        return Some(unreadable);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_parse().then_some(unreadable as _);
    }
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return Some(untrusted);
    }
    let error = error.downcast_ref::<io::Error>()?;
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
    let is_ours = Errno::from_io_error(error).is_some_and(|errno| ours.contains(&errno));
    is_ours.then_some(our_trouble as _)
}
