//! The policy's settings, over HTTP. What is done stands in [`LiveSettings`].
//!
//! A layer's version is its `ETag`; whoever changes it names the version that he
//! saw in `If-Match`, so that two people cannot overwrite each other.

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query, State, rejection::JsonRejection},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use reprieve_core::settings::{ChangeNumber, Layer, Patch};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    settings::{ChangeRefused, ChangeRequest, LiveSettings},
    store::ChangeFilter,
};

/// Where all of this is.
const BASE: &str = "/admin/v1/settings/";

/// Who changes settings as long as there is but one token.
const OPERATOR: &str = "operator";

pub(super) fn router(settings: LiveSettings) -> Router {
    let mut router = Router::new()
        .route("/admin/v1/settings/status", get(status))
        .route("/admin/v1/settings/history", get(history))
        .route("/admin/v1/settings/changes/{number}/undo", post(undo));
    for layer in ["fleet", "tenants/{name}", "workspaces/{name}"] {
        router = router
            .route(&format!("{BASE}{layer}"), get(show).patch(apply))
            .route(&format!("{BASE}{layer}/preview"), post(preview));
    }
    router.with_state(settings)
}

/// The layer that a request is about.
struct At(Layer);

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let path = parts.uri.path();
        let path = path.strip_prefix(BASE).unwrap_or(path);
        let path = path.strip_suffix("/preview").unwrap_or(path);
        match path.parse() {
            Ok(layer) => Ok(Self(layer)),
            Err(error) => Err(refusal(StatusCode::NOT_FOUND, &error.to_string())),
        }
    }
}

/// A change of settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// A value for each key; null takes back what was applied.
    settings: Patch,
    #[serde(default)]
    why: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UndoBody {
    why: String,
    /// Undo although later changes touched the same settings.
    force: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    layer: Option<String>,
    who: Option<String>,
    limit: Option<u32>,
}

async fn show(State(settings): State<LiveSettings>, At(layer): At) -> Response {
    match settings.show(&layer) {
        Ok(shown) => versioned(shown.version, shown),
        Err(refused) => refused_as(&refused),
    }
}

async fn preview(
    State(settings): State<LiveSettings>,
    At(layer): At,
    body: Result<Json<ChangeBody>, JsonRejection>,
) -> Response {
    let Json(ChangeBody { settings: patch, why }) = match body {
        Ok(body) => body,
        Err(rejected) => return refusal(rejected.status(), &rejected.body_text()),
    };
    let who = OPERATOR.to_owned();
    match settings.preview(ChangeRequest { layer, patch, who, why, expected: None }).await {
        Ok(preview) => versioned(preview.version, preview),
        Err(refused) => refused_as(&refused),
    }
}

async fn apply(
    State(settings): State<LiveSettings>,
    At(layer): At,
    headers: HeaderMap,
    body: Result<Json<ChangeBody>, JsonRejection>,
) -> Response {
    let expected = match expected(&headers) {
        Ok(expected) => expected,
        Err((status, sentence)) => return refusal(status, sentence),
    };
    let Json(ChangeBody { settings: patch, why }) = match body {
        Ok(body) => body,
        Err(rejected) => return refusal(rejected.status(), &rejected.body_text()),
    };
    let who = OPERATOR.to_owned();
    match settings.apply(ChangeRequest { layer, patch, who, why, expected }).await {
        Ok(change) => versioned(change.number, change),
        Err(refused) => refused_as(&refused),
    }
}

async fn undo(
    State(settings): State<LiveSettings>,
    Path(number): Path<u64>,
    body: Result<Json<UndoBody>, JsonRejection>,
) -> Response {
    let Json(UndoBody { why, force }) = match body {
        Ok(body) => body,
        Err(rejected) => return refusal(rejected.status(), &rejected.body_text()),
    };
    match settings.undo(ChangeNumber(number), OPERATOR.to_owned(), why, force).await {
        Ok(change) => versioned(change.number, change),
        Err(refused) => refused_as(&refused),
    }
}

async fn history(
    State(settings): State<LiveSettings>,
    Query(query): Query<HistoryQuery>,
) -> Response {
    let layer = match query.layer.as_deref().map(str::parse).transpose() {
        Ok(layer) => layer,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &format!("{error}")),
    };
    let default = ChangeFilter::default();
    let limit = query.limit.unwrap_or(default.limit);
    match settings.history(&ChangeFilter { layer, who: query.who, limit, ..default }).await {
        Ok(changes) => Json(json!({ "changes": changes })).into_response(),
        Err(refused) => refused_as(&refused),
    }
}

async fn status(State(settings): State<LiveSettings>) -> Response {
    match settings.status().await {
        Ok(status) => Json(status).into_response(),
        Err(refused) => refused_as(&refused),
    }
}

/// The version that who asks has seen; None: `*`.
fn expected(headers: &HeaderMap) -> Result<Option<ChangeNumber>, (StatusCode, &'static str)> {
    let Some(shown) = headers.get(header::IF_MATCH) else {
        let sentence = "say in If-Match which version you have seen (its ETag), or * for any";
        return Err((StatusCode::PRECONDITION_REQUIRED, sentence));
    };
    let shown = shown.to_str().unwrap_or_default().trim();
    if shown == "*" {
        return Ok(None);
    }
    let number = shown.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match number.and_then(|number| number.parse().ok()) {
        Some(number) => Ok(Some(ChangeNumber(number))),
        None => Err((StatusCode::BAD_REQUEST, "If-Match is no ETag of settings, like \"12\"")),
    }
}

fn versioned(version: ChangeNumber, body: impl Serialize) -> Response {
    ([(header::ETAG, format!("\"{version}\""))], Json(body)).into_response()
}

fn refused_as(refused: &ChangeRefused) -> Response {
    let status = match refused {
        ChangeRefused::Problems(_)
        | ChangeRefused::Empty
        | ChangeRefused::TooLarge { .. }
        | ChangeRefused::NothingApplied { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        ChangeRefused::Stale { .. } => StatusCode::PRECONDITION_FAILED,
        ChangeRefused::UnknownWorkspace(_) | ChangeRefused::NoSuchChange(_) => {
            StatusCode::NOT_FOUND
        }
        ChangeRefused::Overlaid { .. } => StatusCode::CONFLICT,
        ChangeRefused::Store(_) | ChangeRefused::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut body = json!({ "error": refused.to_string() });
    match refused {
        ChangeRefused::Problems(problems) => body["problems"] = json!(problems),
        ChangeRefused::Stale { version, .. } => body["version"] = json!(version),
        ChangeRefused::Overlaid { later } => body["later"] = json!(later),
        ChangeRefused::UnknownWorkspace(_)
        | ChangeRefused::Empty
        | ChangeRefused::TooLarge { .. }
        | ChangeRefused::NothingApplied { .. }
        | ChangeRefused::NoSuchChange(_)
        | ChangeRefused::Store(_)
        | ChangeRefused::Interrupted => {}
    }
    (status, Json(body)).into_response()
}

fn refusal(status: StatusCode, sentence: &str) -> Response {
    (status, Json(json!({ "error": sentence }))).into_response()
}
