//! `POST /workspaces/{id}/a2a`: an A2A request, read whole, so that it can be
//! made whole, and queued when its workspace is busy.
//!
//! It goes to the workspace's address itself; `POST …/a2a-at/{path}` does the
//! same for endpoints below it. JSON answers are read whole as well, up to
//! [`ProxyOptions::response_limit_bytes`](super::ProxyOptions), so that an answer
//! that breaks off can be told from none. Event streams are passed on as they
//! come, without a limit. A streaming request that is queued is answered 202
//! like any other; its events are stored as one answer.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use reprieve_core::{
    a2a,
    judgement::ForwardFailure,
    queue::{NewItem, StoredRequest},
};
use uuid::Uuid;

use super::{
    answer::{self, Answer},
    body::Uploading,
    forward::{Errand, Proxy, whole},
    headers::{self, Way},
    upstream::{self, ReadProblem, is_event_stream},
    watch::Upload,
};

/// Read and thrown away of a body that is too large, so that its sender comes
/// to read the refusal.
const MAX_DRAIN_BYTES: usize = 4 << 20;

pub(super) async fn handle(
    proxy: &Proxy,
    mut errand: Errand,
    request: Request<Body>,
    below: &str,
    way: &Way,
) -> Answer {
    let (head, body) = request.into_parts();
    let item = match read_item(proxy, &errand, head, body, below, way).await {
        Ok(item) => item,
        Err(answer) => return answer,
    };
    let stored = item.request.clone();
    errand.item = Some(item);
    let address = match proxy.admit(&mut errand).await {
        Ok(address) => address,
        Err(answer) => return answer,
    };
    let upload = Arc::new(Upload::begin());
    let sign = proxy.newest_sign(&errand.workspace);
    let sent = match to_request(&stored, &address, &upload) {
        Ok(request) => proxy.upstream.send(&errand.route, &address, request, &sign, &upload).await,
        Err(trouble) => Err(trouble),
    };
    match sent {
        Ok(response) => answered(proxy, &mut errand, response, &upload).await,
        Err(trouble) => proxy.troubled(&mut errand, trouble).await,
    }
}

/// A stored request as it is sent to that address.
pub(super) fn to_request(
    stored: &StoredRequest,
    address: &url::Url,
    upload: &Arc<Upload>,
) -> Result<Request<Body>, super::failure::Trouble> {
    let body = Uploading::watch(Body::from(stored.body.clone()), Arc::clone(upload));
    let method = Method::from_bytes(stored.method.as_bytes()).unwrap_or(Method::POST);
    let mut request = upstream::request(method, address, &stored.path, body)?;
    for (name, value) in &stored.headers {
        if let (Ok(name), Ok(value)) =
            (name.parse::<http::HeaderName>(), HeaderValue::from_bytes(value))
        {
            request.headers_mut().append(name, value);
        }
    }
    Ok(request)
}

async fn read_item(
    proxy: &Proxy,
    errand: &Errand,
    mut head: http::request::Parts,
    body: Body,
    below: &str,
    way: &Way,
) -> Result<NewItem, Answer> {
    let priority = headers::priority(&head.headers)
        .map_err(|sentence| answer::refusal(StatusCode::BAD_REQUEST, sentence))?;
    if let Some(coding) = head.headers.get(header::CONTENT_ENCODING)
        && coding != "identity"
    {
        let sentence = "an A2A request must be sent without a content coding";
        return Err(answer::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
    }
    let body =
        read_body(body, proxy.options.request_limit_bytes, proxy.options.caller_timeout).await?;
    let version = head.headers.get("a2a-version").and_then(|version| version.to_str().ok());
    let fresh = Uuid::now_v7().to_string();
    let envelope =
        a2a::normalise(&body, version, &fresh).map_err(|problem| answer::rpc_error(&problem))?;
    tracing::debug!(
        workspace = %errand.workspace,
        method = envelope.method,
        streaming = envelope.streaming,
        "an A2A request",
    );
    headers::towards_workspace(&mut head.headers, way);
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(NewItem {
        workspace: errand.workspace.clone(),
        message_id: envelope.message_id,
        priority,
        request: StoredRequest {
            method: Method::POST.to_string(),
            path: format!("{below}{query}"),
            headers: stored_headers(head.headers),
            body: envelope.bytes,
        },
        decision: None,
    })
}

fn stored_headers(mut headers: HeaderMap) -> Vec<(String, Vec<u8>)> {
    // The body may have become longer, and is sent with a length of its own.
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    super::deliver::to_stored(&headers)
}

/// Reads a caller's body whole, within `patience`.
pub(super) async fn read_body(
    mut body: Body,
    limit_bytes: usize,
    patience: std::time::Duration,
) -> Result<Bytes, Answer> {
    let mut whole = BytesMut::new();
    let mut drained = 0;
    let deadline = tokio::time::Instant::now() + patience;
    // Ends with the body, which is bounded by the two limits.
    loop {
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) if drained == 0 => return Ok(whole.freeze()),
            Ok(Some(Err(_))) | Err(_) if drained == 0 => {
                let sentence = "the request did not arrive whole";
                return Err(answer::refusal(StatusCode::REQUEST_TIMEOUT, sentence));
            }
            Ok(_) | Err(_) => return Err(too_large(limit_bytes)),
        };
        let Ok(data) = frame.into_data() else { continue };
        if drained > 0 || whole.len() + data.len() > limit_bytes {
            drained += data.len();
        } else {
            whole.extend_from_slice(&data);
        }
        if drained > MAX_DRAIN_BYTES {
            return Err(too_large(limit_bytes));
        }
    }
}

fn too_large(limit_bytes: usize) -> Answer {
    let sentence = format!("the body is larger than {limit_bytes} bytes, the most that is taken");
    answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, sentence)
}

async fn answered(
    proxy: &Proxy,
    errand: &mut Errand,
    response: Response<Incoming>,
    upload: &Upload,
) -> Answer {
    let status = response.status().as_u16();
    if proxy.options.bad_statuses.contains(&status) {
        return proxy.failed(errand, ForwardFailure::BadStatus(status), Some(response)).await;
    }
    if is_event_stream(&response) {
        return proxy.pass_on(errand, response);
    }
    let limit_bytes = proxy.options.response_limit_bytes;
    let sign = proxy.newest_sign(&errand.workspace);
    let (head, body) = response.into_parts();
    match proxy.upstream.read(body, limit_bytes, &sign).await {
        Ok(bytes) => {
            proxy.fleet.answered(&errand.workspace, errand.route.life);
            whole(head, bytes)
        }
        Err(ReadProblem::TooLarge) => {
            proxy.fleet.answered(&errand.workspace, errand.route.life);
            answer::with_json(StatusCode::BAD_GATEWAY, &oversized(limit_bytes))
        }
        Err(problem @ ReadProblem::Lost(_)) => {
            let failure = problem.failure().unwrap_or(ForwardFailure::ClosedEarly);
            if upload.is_sent() {
                proxy.lost(errand, failure).await
            } else {
                proxy.failed(errand, failure, None).await
            }
        }
    }
}

/// What is told about an answer that is too large to be read whole.
pub(super) fn oversized(limit_bytes: usize) -> serde_json::Value {
    serde_json::json!({
        "delivery_confirmed": true,
        "error": format!("the workspace's answer is larger than {limit_bytes} bytes, the most that is passed on"),
    })
}
