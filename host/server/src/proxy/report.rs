//! What workspaces report of themselves: `PUT /workspaces/{id}` and `POST
//! /workspaces/{id}/heartbeat`, each with the workspace's own token.

use axum::{Json, body::Body};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use reprieve_core::ids::WorkspaceId;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    a2a::read_body,
    answer::{self, Answer},
    fleet::{Heartbeat, Registration, ReportRefused},
    forward::Proxy,
};

/// The largest report.
const MAX_REPORT_BYTES: usize = 16 << 10;

pub(super) async fn register(
    proxy: &Proxy,
    workspace: &WorkspaceId,
    request: Request<Body>,
) -> Answer {
    let (token, registration) = match read::<Registration>(proxy, request).await {
        Ok(report) => report,
        Err(answer) => return answer,
    };
    match proxy.fleet.register(workspace, token.as_deref(), registration).await {
        Ok(()) => {
            answer::with_json(StatusCode::OK, &json!({"workspace": workspace, "registered": true}))
        }
        Err(refused) => refuse(&refused),
    }
}

pub(super) async fn heartbeat(
    proxy: &Proxy,
    workspace: &WorkspaceId,
    request: Request<Body>,
) -> Answer {
    let (token, heartbeat) = match read::<Heartbeat>(proxy, request).await {
        Ok(report) => report,
        Err(answer) => return answer,
    };
    match proxy.fleet.heartbeat(workspace, token.as_deref(), heartbeat).await {
        Ok(()) => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        }
        Err(refused) => refuse(&refused),
    }
}

/// The token and the report. An empty body is a report that says nothing.
async fn read<T: DeserializeOwned + Default>(
    proxy: &Proxy,
    request: Request<Body>,
) -> Result<(Option<String>, T), Answer> {
    let (head, body) = request.into_parts();
    let bytes = read_body(body, MAX_REPORT_BYTES, proxy.options.caller_timeout).await?;
    let report = if bytes.is_empty() {
        T::default()
    } else {
        // Names the field that is wrong.
        let Json(report) = Json::from_bytes(&bytes)
            .map_err(|error| answer::refusal(StatusCode::BAD_REQUEST, error.body_text()))?;
        report
    };
    Ok((bearer(&head.headers), report))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn refuse(refused: &ReportRefused) -> Answer {
    let status = match refused {
        ReportRefused::UnknownWorkspace(_) => StatusCode::NOT_FOUND,
        ReportRefused::WrongToken => StatusCode::UNAUTHORIZED,
        ReportRefused::AddressNotAllowed(_) => StatusCode::BAD_REQUEST,
        ReportRefused::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut answer = answer::refusal(status, refused);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    answer
}
