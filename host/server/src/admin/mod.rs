//! The operator's listener: `/admin/v1`. On the loopback interface, closed to
//! whoever does not show the token of the state folder.

mod settings;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use reprieve_core::{
    ids::WorkspaceId,
    incident::{Standing, Wish},
    judgement::RestartCause,
};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::{settings::LiveSettings, supervisor::Supervisor};

/// Everything that operators reach.
pub fn router(supervisor: Supervisor, settings: LiveSettings, token: &str) -> Router {
    let token: Arc<str> = token.into();
    let settings = settings::router(settings);
    Router::new()
        .route("/admin/v1/workspaces", get(workspaces))
        .route("/admin/v1/workspaces/{id}", get(workspace))
        .route("/admin/v1/workspaces/{id}/{verb}", post(act))
        .route("/admin/v1/counts", get(counts))
        .with_state(supervisor)
        .merge(settings)
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(token, authenticated))
}

async fn authenticated(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let known = shown.is_some_and(|shown| bool::from(shown.ct_eq(token.as_bytes())));
    if known {
        return next.run(request).await;
    }
    let sentence = "the operator's token is missing or wrong; it is in admin.token in the state \
                    folder, and goes into `Authorization: Bearer …`";
    refusal(StatusCode::UNAUTHORIZED, sentence)
}

async fn workspaces(State(supervisor): State<Supervisor>) -> Response {
    Json(json!({"workspaces": supervisor.statuses().await})).into_response()
}

async fn workspace(State(supervisor): State<Supervisor>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<WorkspaceId>() else { return unknown(&id) };
    match supervisor.status(&id).await {
        Some(status) => Json(status).into_response(),
        None => unknown(id.as_str()),
    }
}

async fn counts(State(supervisor): State<Supervisor>) -> Response {
    Json(supervisor.tally().counts()).into_response()
}

async fn act(
    State(supervisor): State<Supervisor>,
    Path((id, verb)): Path<(String, String)>,
) -> Response {
    let Ok(id) = id.parse::<WorkspaceId>() else { return unknown(&id) };
    let wish = match verb.as_str() {
        "restart" => supervisor.want_restart(&id, RestartCause::Operator).await,
        "resume" | "wake" => supervisor.bring_back(&id).await,
        "pause" => rested(supervisor.rest(&id, Standing::Paused).await),
        "hibernate" => rested(supervisor.rest(&id, Standing::Hibernated).await),
        _ => return nothing_here().await,
    };
    match wish {
        None => unknown(id.as_str()),
        Some(Wish::Taken) => {
            let message = format!("{verb} of {id}: under way");
            (StatusCode::ACCEPTED, Json(json!({ "message": message }))).into_response()
        }
        Some(Wish::InFlight) => refusal(
            StatusCode::CONFLICT,
            &format!("a restart of {id} is in flight; wait for it and ask again if need be"),
        ),
        Some(Wish::NotAllowed(standing)) => {
            let standing = format!("{standing:?}").to_lowercase();
            refusal(StatusCode::CONFLICT, &format!("{id} is {standing}; resume it first"))
        }
        Some(Wish::LifeEnded) => refusal(StatusCode::CONFLICT, "that life has ended"),
    }
}

fn rested(outcome: Option<Result<(), Wish>>) -> Option<Wish> {
    outcome.map(|rested| rested.err().unwrap_or(Wish::Taken))
}

fn unknown(id: &str) -> Response {
    refusal(StatusCode::NOT_FOUND, &format!("there is no workspace {id:?}"))
}

async fn nothing_here() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        "nothing is here; there are workspaces, workspaces/{id}, counts, and for a workspace \
         restart, pause, resume, hibernate and wake",
    )
}

fn refusal(status: StatusCode, sentence: &str) -> Response {
    (status, Json(json!({ "error": sentence }))).into_response()
}
