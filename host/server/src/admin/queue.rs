//! `/workspaces/{workspace}/queue`: requests that were accepted and wait, or have
//! ended within a day.

use axum::{Json, extract::State, response::Response};
use http::{Method, StatusCode};
use reprieve_core::{
    access::Role,
    ids::{QueueId, TenantId, WorkspaceId},
    queue::GivenUp,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    Admin,
    api::Api,
    audit::Note,
    extract::{Body, Id, Named, Query},
    problem::{Flaw, Problem},
    route::{Access, Of, Route},
};
use crate::{
    store::{EntryStage, QueueEntry},
    supervisor::QueueDrop,
};

/// The longest reason for dropping a request.
const MAX_REASON_CHARS: usize = 200;

pub(super) fn routes(api: Api) -> Api {
    let access = |role| Access::Token(role, Of::Workspace);
    let queue = "/workspaces/{workspace}/queue";
    api.route(
        Route::new(Method::GET, queue, access(Role::Viewer), list)
            .says("A workspace's requests, oldest first.", "Without what is in them.")
            .query::<QueueQuery>()
            .answers::<Items>(StatusCode::OK, "A page of requests."),
    )
    .route(
        Route::new(Method::GET, &format!("{queue}/{{item}}"), access(Role::Viewer), one)
            .says("One request.", "")
            .answers::<Item>(StatusCode::OK, "How it stands."),
    )
    .route(
        Route::new(
            Method::POST,
            &format!("{queue}/{{item}}/drop"),
            access(Role::Operator),
            drop_it,
        )
        .says("Drops a request that waits.", "Its caller is told the reason.")
        .body::<Reason>()
        .answers::<Item>(StatusCode::OK, "It is dropped, now or before.")
        .refuses(409, "It is being delivered, or was."),
    )
    .route(
        Route::new(Method::POST, &format!("{queue}/retry"), access(Role::Operator), retry)
            .says(
                "Delivers what waits now.",
                "Without the wait that follows a failed delivery, and with all attempts before it \
                 again. What has ended stays ended.",
            )
            .answers_nothing(StatusCode::ACCEPTED, "It is under way."),
    )
}

/// Which requests.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct QueueQuery {
    /// Only those that were accepted after this one.
    #[param(value_type = Option<String>, pattern = "^[0-9a-fA-F-]{1,36}$")]
    after: Option<Id>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Why a request is dropped.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// For whoever sent it, and for the record.
    #[schema(max_length = 200, pattern = "\\S")]
    reason: String,
}

/// Requests, oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct Items {
    items: Vec<Item>,
    /// Goes into `after` for the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A request that was accepted. Times are milliseconds since the Unix epoch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueueItem)]
struct Item {
    id: String,
    workspace: String,
    /// Absent: the workspace is no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    message_id: String,
    /// Larger goes first.
    priority: u8,
    accepted_ms: u64,
    /// Deliveries that were tried, since `retry` if that was asked for.
    attempts: u32,
    /// Why the last one came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
    /// The decision that sent it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_ms: Option<u64>,
    /// Why it was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_reason: Option<String>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QueueStage)]
enum Stage {
    Waiting,
    /// Being delivered.
    Taken,
    Delivered,
    Dropped,
}

impl From<&EntryStage> for Stage {
    fn from(stage: &EntryStage) -> Self {
        match stage {
            EntryStage::Waiting => Self::Waiting,
            EntryStage::Taken => Self::Taken,
            EntryStage::Delivered { .. } => Self::Delivered,
            EntryStage::Dropped { .. } => Self::Dropped,
        }
    }
}

impl Item {
    fn of(entry: QueueEntry, tenant: Option<TenantId>) -> Self {
        let stage = Stage::from(&entry.stage);
        let (ended, drop_reason) = match entry.stage {
            EntryStage::Waiting | EntryStage::Taken => (None, None),
            EntryStage::Delivered { at } => (Some(at), None),
            EntryStage::Dropped { at, reason } => (Some(at), Some(reason)),
        };
        Self {
            id: entry.id.to_string(),
            workspace: entry.workspace.to_string(),
            tenant: tenant.map(String::from),
            message_id: entry.message_id,
            priority: entry.priority.0,
            accepted_ms: entry.accepted.0,
            attempts: entry.attempts,
            last_failure: entry.last_failure,
            decision: entry.decision.map(|decision| decision.0),
            stage,
            ended_ms: ended.map(|at| at.0),
            drop_reason,
        }
    }
}

async fn list(
    State(admin): State<Admin>,
    Named(workspace): Named<WorkspaceId>,
    Query(query): Query<QueueQuery>,
) -> Result<Json<Items>, Problem> {
    let limit = super::page_size(query.limit)?;
    let after = query.after.map(|Id(id)| QueueId(id));
    let entries = admin.queue().list(&workspace, after.as_ref(), limit).await?;
    let is_full = entries.len() >= limit as usize;
    let next = entries.last().filter(|_| is_full).map(|entry| entry.id.to_string());
    let tenant = admin.supervisor().tenant_of(&workspace);
    let items = entries.into_iter().map(|entry| Item::of(entry, tenant.clone())).collect();
    Ok(Json(Items { items, next }))
}

async fn one(
    State(admin): State<Admin>,
    Named(workspace): Named<WorkspaceId>,
    Named(id): Named<QueueId>,
) -> Result<Json<Item>, Problem> {
    let entry = entry(&admin, &workspace, &id).await?;
    Ok(Json(Item::of(entry, admin.supervisor().tenant_of(&workspace))))
}

async fn drop_it(
    State(admin): State<Admin>,
    Named(workspace): Named<WorkspaceId>,
    Named(id): Named<QueueId>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Response, Problem> {
    let reason = reason.trim();
    // It is shown on terminals.
    let is_plain = !reason.chars().any(char::is_control);
    if !is_plain || !(1..=MAX_REASON_CHARS).contains(&reason.chars().count()) {
        let message = format!("1 to {MAX_REASON_CHARS} characters on one line");
        let flaw = Flaw { path: "reason".to_owned(), message };
        return Err(Problem::invalid("a reason is needed", vec![flaw]));
    }
    let before = entry(&admin, &workspace, &id).await?;
    if admin.queue().drop_waiting(&id, reason).await? {
        let QueueEntry { workspace, message_id, accepted, .. } = before.clone();
        let given_up = GivenUp { workspace, message_id, accepted };
        admin.supervisor().given_up(QueueDrop::Operator, &[given_up]);
    }
    let after = entry(&admin, &workspace, &id).await?;
    match &after.stage {
        EntryStage::Dropped { .. } => {
            let note = Note {
                reason: Some(reason.to_owned()),
                before: Some(json!({"stage": Stage::from(&before.stage)})),
                after: Some(json!({"stage": Stage::Dropped})),
                ..Note::default()
            };
            let tenant = admin.supervisor().tenant_of(&workspace);
            Ok(note.on(Json(Item::of(after, tenant))))
        }
        EntryStage::Waiting | EntryStage::Taken | EntryStage::Delivered { .. } => {
            let detail = format!("{id} is being delivered, or was; look at it again");
            Err(Problem::conflict("not waiting", detail))
        }
    }
}

async fn retry(
    State(admin): State<Admin>,
    Named(workspace): Named<WorkspaceId>,
) -> Result<StatusCode, Problem> {
    admin.queue().renew_attempts(&workspace).await?;
    match admin.supervisor().deliver_now(&workspace) {
        true => Ok(StatusCode::ACCEPTED),
        false => Err(Problem::unknown("workspace", workspace)),
    }
}

/// Another workspace's item is none here.
async fn entry(
    admin: &Admin,
    workspace: &WorkspaceId,
    id: &QueueId,
) -> Result<QueueEntry, Problem> {
    let entry = admin.queue().entry(id).await?;
    let own = entry.filter(|entry| entry.workspace == *workspace);
    own.ok_or_else(|| Problem::unknown("queued request", id))
}
