//! `GET /workspaces/{id}/queue/{queue_id}`: how a queued request stands, and its
//! answer once there is one; `…/answer`: that answer as it came.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use reprieve_core::{
    ids::{QueueId, WorkspaceId},
    queue::{Ending, Item, Stage, StoredAnswer},
    reply::{BUSY_RETRY_AFTER, whole_seconds},
};
use serde_json::{Value, json};

use super::{
    answer::{self, Answer},
    forward::Proxy,
    headers,
};

/// The longest name of a queued request, in bytes.
const MAX_QUEUE_ID_BYTES: usize = 64;

/// `rest` is what follows `/queue/`.
pub(super) async fn show(proxy: &Proxy, workspace: &WorkspaceId, rest: &str) -> Answer {
    let (id, as_it_came) = match rest.split_once('/') {
        None => (rest, false),
        Some((id, "answer")) => (id, true),
        Some(_) => return unknown(workspace),
    };
    if id.is_empty() || id.len() > MAX_QUEUE_ID_BYTES {
        return unknown(workspace);
    }
    let item = match proxy.fleet.item(&QueueId(id.to_owned())).await {
        Ok(Some(item)) if item.workspace == *workspace => item,
        // Another workspace's item is none of this one's.
        Ok(Some(_) | None) => return unknown(workspace),
        Err(refusal) => return answer::refusal(StatusCode::SERVICE_UNAVAILABLE, refusal),
    };
    if as_it_came { the_answer(&item) } else { answer::with_json(StatusCode::OK, &status(&item)) }
}

fn unknown(workspace: &WorkspaceId) -> Answer {
    let sentence = format!("workspace {workspace} has no such queued request");
    answer::refusal(StatusCode::NOT_FOUND, sentence)
}

fn status(item: &Item) -> Value {
    let mut status = json!({
        "queue_id": item.id,
        "workspace": item.workspace,
        "message_id": item.message_id,
        "priority": item.priority,
        "state": state(item),
        "attempts": item.attempts,
        "accepted_unix_ms": item.accepted,
        "last_failure": item.last_failure,
        "decision": item.decision,
    });
    if let Stage::Ended { at, ending } = &item.stage {
        status["ended_unix_ms"] = json!(at);
        match ending {
            Ending::Delivered(answer) => status["answer"] = in_json(answer),
            Ending::Dropped { reason } => status["reason"] = json!(reason),
        }
    }
    status
}

const fn state(item: &Item) -> &'static str {
    match &item.stage {
        Stage::Waiting => "waiting",
        Stage::Taken => "delivering",
        Stage::Ended { ending: Ending::Delivered(_), .. } => "delivered",
        Stage::Ended { ending: Ending::Dropped { .. }, .. } => "dropped",
    }
}

/// JSON as it is, everything else as text.
fn in_json(answer: &StoredAnswer) -> Value {
    let body = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&answer.body)));
    json!({"status": answer.status, "body": body})
}

fn the_answer(item: &Item) -> Answer {
    match &item.stage {
        Stage::Waiting | Stage::Taken => {
            let body = json!({"state": state(item), "error": "there is no answer yet"});
            let mut answer = answer::with_json(StatusCode::CONFLICT, &body);
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, whole_seconds(BUSY_RETRY_AFTER).into());
            answer
        }
        Stage::Ended { ending: Ending::Dropped { reason }, .. } => {
            let body = json!({"state": "dropped", "reason": reason, "error": "the request was dropped; there will be no answer"});
            answer::with_json(StatusCode::GONE, &body)
        }
        Stage::Ended { ending: Ending::Delivered(stored), .. } => replay(stored),
    }
}

fn replay(stored: &StoredAnswer) -> Answer {
    let mut answer = Response::new(Body::from(stored.body.clone()));
    *answer.status_mut() = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in &stored.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value))
        {
            answer.headers_mut().append(name, value);
        }
    }
    headers::towards_caller(answer.headers_mut());
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer
}
