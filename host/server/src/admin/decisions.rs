//! `/decisions`: what was judged and why, on record and as it happens.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode};
use reprieve_core::{
    access::{Role, Tenants},
    decision::{Decision as CoreDecision, Outcome},
    ids::{DecisionId, TenantId, WorkspaceId},
    judgement::{Admission, Verdict},
    ports::{DecisionFilter, Decisions as _},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Admin,
    api::Api,
    extract::{Id, Named, Query},
    guard::Caller,
    problem::Problem,
    route::{Access, Of, Route},
    stream,
};

pub(super) fn routes(api: Api) -> Api {
    let viewer = |of| Access::Token(Role::Viewer, of);
    api.route(
        Route::new(Method::GET, "/decisions", viewer(Of::Listed), list)
            .says("Recorded decisions, newest first.", "")
            .query::<DecisionsQuery>()
            .answers::<Decisions>(StatusCode::OK, "A page of decisions."),
    )
    .route(
        Route::new(Method::GET, "/decisions/stream", viewer(Of::Listed), follow)
            .says(
                "Decisions as they are recorded, as server-sent events.",
                "An event `decision` carries one as JSON. An event `dropped` says that some were \
                 left out because the reader was too slow; how many, only to who follows all: \
                 `{\"dropped\": 12}`. With `after`, or the header `Last-Event-ID`, what was \
                 recorded since then comes first.",
            )
            .query::<StreamQuery>()
            .answers_as::<String>(StatusCode::OK, "The stream.", "text/event-stream"),
    )
    .route(
        Route::new(Method::GET, "/decisions/{decision}", viewer(Of::Found), one)
            .says("One decision, with all that is needed to explain it.", "")
            .answers::<Decision>(StatusCode::OK, "The decision."),
    )
}

/// Which decisions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DecisionsQuery {
    /// Only those about this workspace.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    workspace: Option<WorkspaceId>,
    /// Only those about workspaces of this tenant.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    tenant: Option<TenantId>,
    /// Only those recorded before this one.
    #[param(value_type = Option<String>, pattern = "^[0-9a-fA-F-]{1,36}$")]
    before: Option<Id>,
    /// Only those recorded after this one.
    #[param(value_type = Option<String>, pattern = "^[0-9a-fA-F-]{1,36}$")]
    after: Option<Id>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Which decisions to follow.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StreamQuery {
    /// Only those about this workspace.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    workspace: Option<WorkspaceId>,
    /// Only those about workspaces of this tenant.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    tenant: Option<TenantId>,
    /// First those that were recorded after this one, at most the newest 1,000.
    #[param(value_type = Option<String>, pattern = "^[0-9a-fA-F-]{1,36}$")]
    after: Option<Id>,
}

/// Decisions, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Decisions {
    decisions: Vec<Decision>,
    /// Goes into `before` for the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One decision.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Decision {
    pub(super) id: String,
    /// Milliseconds since the Unix epoch.
    at_ms: u64,
    workspace: String,
    tenant: String,
    life: u64,
    /// `alive`, `busy`, `dead` or `recheck` of a judgement; `admit`, `drop` or
    /// `defer` of a ruling; `fell-back` if the policy gave neither.
    verdict: String,
    /// The code of the policy's reason, or the kind of its failure.
    reason: String,
    /// The policy's name and version.
    policy: String,
    /// What the host did with it. Absent: not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    /// The whole record, as `reprieve explain --json` prints it: call, evidence,
    /// generation, outcome, cost.
    #[schema(value_type = Object)]
    record: Value,
}

impl From<&CoreDecision> for Decision {
    fn from(decision: &CoreDecision) -> Self {
        Self {
            id: decision.id.to_string(),
            at_ms: decision.at.0,
            workspace: decision.workspace.to_string(),
            tenant: decision.tenant.to_string(),
            life: decision.life.0,
            verdict: verdict(&decision.outcome).to_owned(),
            reason: decision.outcome.reason_code().to_owned(),
            policy: decision.generation.policy.clone(),
            effect: decision.effect.clone(),
            record: serde_json::to_value(decision).unwrap_or_default(),
        }
    }
}

const fn verdict(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Judged { verdict: Verdict::Alive, .. } => "alive",
        Outcome::Judged { verdict: Verdict::Busy(_), .. } => "busy",
        Outcome::Judged { verdict: Verdict::Dead, .. } => "dead",
        Outcome::Judged { verdict: Verdict::Recheck(_), .. } => "recheck",
        Outcome::Ruled { admission: Admission::Admit, .. } => "admit",
        Outcome::Ruled { admission: Admission::Drop, .. } => "drop",
        Outcome::Ruled { admission: Admission::Defer(_), .. } => "defer",
        Outcome::FellBack { .. } => "fell-back",
    }
}

async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(query): Query<DecisionsQuery>,
) -> Result<Json<Decisions>, Problem> {
    let limit = super::page_size(query.limit)?;
    let wanted = Wanted::of(&caller, query.workspace, query.tenant);
    let filter = DecisionFilter {
        before: query.before.map(|Id(id)| DecisionId(id)),
        after: query.after.map(|Id(id)| DecisionId(id)),
        limit,
        ..wanted.filter()
    };
    let found = admin.decisions().list(&filter).await?;
    let is_full = found.len() >= limit as usize;
    let next = found.first().filter(|_| is_full).map(|oldest| oldest.id.to_string());
    let decisions = found.iter().rev().map(Decision::from).collect();
    Ok(Json(Decisions { decisions, next }))
}

async fn one(
    State(admin): State<Admin>,
    caller: Caller,
    Named(id): Named<DecisionId>,
) -> Result<Json<Decision>, Problem> {
    match admin.decisions().get(&id).await? {
        Some(decision) if caller.sees(&decision.tenant) => Ok(Json(Decision::from(&decision))),
        Some(_) | None => Err(Problem::unknown("decision", id)),
    }
}

async fn follow(
    State(admin): State<Admin>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<StreamQuery>,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&caller, query.workspace, query.tenant);
    // As a browser says it when it comes back.
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let seen = seen.and_then(|id| Id::try_from(id.to_owned()).ok());
    let after = seen.or(query.after).map(|Id(id)| DecisionId(id));
    Ok(stream::follow(admin, caller, wanted, after).await?.into_response())
}

/// Which decisions a caller wants, of those that he sees.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    workspace: Option<WorkspaceId>,
    /// None: of whomever.
    tenants: Option<BTreeSet<TenantId>>,
}

impl Wanted {
    fn of(caller: &Caller, workspace: Option<WorkspaceId>, tenant: Option<TenantId>) -> Self {
        let tenants = match (tenant, &caller.grant.tenants) {
            (Some(tenant), _) if caller.sees(&tenant) => Some([tenant].into()),
            // As if there were none.
            (Some(_), _) => Some(BTreeSet::new()),
            (None, Tenants::All) => None,
            (None, Tenants::These(tenants)) => Some(tenants.clone()),
        };
        Self { workspace, tenants }
    }

    pub(super) fn filter(&self) -> DecisionFilter {
        DecisionFilter {
            workspace: self.workspace.clone(),
            tenants: self.tenants.clone(),
            ..DecisionFilter::default()
        }
    }

    pub(super) const fn is_everything(&self) -> bool {
        self.workspace.is_none() && self.tenants.is_none()
    }

    pub(super) fn takes(&self, decision: &CoreDecision) -> bool {
        self.workspace.as_ref().is_none_or(|workspace| *workspace == decision.workspace)
            && self.tenants.as_ref().is_none_or(|these| these.contains(&decision.tenant))
    }
}
