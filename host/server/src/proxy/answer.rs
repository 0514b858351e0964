//! The proxy's own answers: JSON, with a sentence for the caller. What is for
//! the log goes to the log.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use reprieve_core::{
    a2a::A2aProblem,
    ids::DecisionId,
    reply::{Told, whole_seconds},
};
use serde_json::{Value, json};

use super::headers::DECISION;

pub(super) type Answer = Response<Body>;

pub(super) fn with_json(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A refusal in one sentence.
pub(super) fn refusal(status: StatusCode, sentence: impl std::fmt::Display) -> Answer {
    with_json(status, &json!({ "error": sentence.to_string() }))
}

/// A JSON-RPC error, for what is no JSON-RPC request.
pub(super) fn rpc_error(problem: &A2aProblem) -> Answer {
    with_json(StatusCode::BAD_REQUEST, &problem.answer())
}

pub(super) fn told(told: &Told) -> Answer {
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = with_json(status, &told.body);
    if let Some(after) = told.retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, whole_seconds(after).into());
    }
    answer
}

/// The answer, naming the decision behind it.
pub(super) fn decided(mut answer: Answer, decision: Option<&DecisionId>) -> Answer {
    if let Some(id) = decision.and_then(|id| HeaderValue::try_from(&id.0).ok()) {
        answer.headers_mut().insert(DECISION, id);
    }
    answer
}
