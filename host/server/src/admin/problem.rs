//! How the admin API says no: RFC 9457, one shape for every refusal.

use std::{fmt, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use reprieve_core::evidence::StoreFault;
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Names the kind of problem, for programs.
    #[serde(rename = "type")]
    kind: String,
    /// The kind, for people.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong here, and what helps.
    detail: String,
    /// Each thing that is wrong, where there may be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<Flaw>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Flaw {
    /// Where: a key, `settle` or `tenants[0]`.
    pub(super) path: String,
    pub(super) message: String,
}

impl Problem {
    /// `kind` is a few words, which name the kind of problem for good:
    /// `restart in flight` becomes `urn:reprieve:problem:restart-in-flight`.
    pub(super) fn new(status: StatusCode, kind: &str, detail: impl fmt::Display) -> Self {
        Self {
            kind: format!("urn:reprieve:problem:{}", kind.replace(' ', "-")),
            title: kind.to_owned(),
            status: status.as_u16(),
            detail: detail.to_string(),
            problems: Vec::new(),
            retry_after: None,
        }
    }

    /// 400: the request cannot be read, or holds what must not be.
    pub(super) fn malformed(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed request", detail)
    }

    /// 404: there is no such thing, or it is none of the asker's business.
    pub(super) fn unknown(what: &str, name: impl fmt::Display) -> Self {
        let name: String = name.to_string().chars().take(80).collect();
        Self::new(StatusCode::NOT_FOUND, "not found", format!("there is no {what} {name:?}"))
    }

    /// 409.
    pub(super) fn conflict(kind: &str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, kind, detail)
    }

    /// 422: it can be read, and is not valid. Names everything that is wrong.
    pub(super) fn invalid(detail: impl fmt::Display, problems: Vec<Flaw>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid content", detail).with(problems)
    }

    /// Names each thing that is wrong, too.
    pub(super) fn with(self, problems: Vec<Flaw>) -> Self {
        Self { problems, ..self }
    }

    /// 401: who asks?
    pub(super) fn unauthenticated(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    /// 403: known, and not allowed.
    pub(super) fn forbidden(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, "not allowed", detail)
    }

    /// 429: later.
    pub(super) fn too_many(detail: impl fmt::Display, retry_after: Duration) -> Self {
        let retry_after = Some(retry_after);
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { retry_after, ..Self::new(status, "too many requests", detail) }
    }

    /// 503: the host itself cannot.
    pub(super) fn unavailable(detail: impl fmt::Display) -> Self {
        let retry_after = Some(Duration::from_secs(5));
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail) }
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<StoreFault> for Problem {
    fn from(fault: StoreFault) -> Self {
        Self::unavailable(format!("{fault}; the host's log says why"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let content_type = [(header::CONTENT_TYPE, PROBLEM_JSON)];
        let mut answer = (self.status(), content_type, body).into_response();
        let headers = answer.headers_mut();
        if let Some(wait) = self.retry_after {
            // A part of a second is no second.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            let challenge = HeaderValue::from_static("Bearer realm=\"reprieve\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        // For the audit log.
        answer.extensions_mut().insert(self);
        answer
    }
}
