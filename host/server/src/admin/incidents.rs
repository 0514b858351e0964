//! `/incidents`: what the restart machines are doing, and what they did.

use axum::{Json, extract::State};
use http::{Method, StatusCode};
use reprieve_core::{
    access::Role,
    ids::{TenantId, WorkspaceId},
    incident,
    judgement::RestartCause,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Admin,
    api::Api,
    extract::{Named, Query},
    guard::Caller,
    problem::Problem,
    route::{Access, Of, Route},
    workspaces::{InState, Standing},
};
use crate::supervisor::IncidentStatus;

pub(super) fn routes(api: Api) -> Api {
    let viewer = |of| Access::Token(Role::Viewer, of);
    api.route(
        Route::new(Method::GET, "/incidents", viewer(Of::Listed), list)
            .says(
                "The workspaces with which something is going on, by name.",
                "A restart is asked for, begun, carried out or settling; or one is wanted later.",
            )
            .query::<IncidentsQuery>()
            .answers::<Incidents>(StatusCode::OK, "A page of incidents."),
    )
    .route(
        Route::new(Method::GET, "/workspaces/{workspace}/incident", viewer(Of::Workspace), one)
            .says("What a workspace's restart machine does, and its restarts.", "")
            .answers::<Incident>(StatusCode::OK, "How it stands."),
    )
}

/// Which incidents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct IncidentsQuery {
    /// Only those of workspaces whose name comes after this one.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    after: Option<WorkspaceId>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Incidents, by name of the workspace.
#[derive(Debug, Serialize, ToSchema)]
struct Incidents {
    incidents: Vec<Incident>,
    /// Goes into `after` for the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One workspace's restart machine. Times are milliseconds since the Unix epoch.
#[derive(Debug, Serialize, ToSchema)]
struct Incident {
    workspace: String,
    tenant: String,
    state: InState,
    standing: Standing,
    life: u64,
    activity: Activity,
    /// Of the restart that is going on. Absent: none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    /// Restarts that are wanted and whose time has not come.
    wishes: Vec<Wish>,
    /// The newest restart. Absent: there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_restart: Option<Restart>,
    /// When restarts that no person asked for began, newest first: those of the
    /// last hour.
    unasked_restarts_ms: Vec<u64>,
}

/// What a restart machine is doing.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Activity {
    /// Nothing.
    Resting,
    /// The policy is asked whether a restart may begin.
    Admitting,
    /// The runtime is looked at again, and the store begins the next life.
    Beginning,
    /// The one restart is carried out.
    Restarting,
    /// It was carried out; is the workspace back?
    Settling,
}

/// Who or what wants a restart.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RestartCause)]
enum Cause {
    Operator,
    DeadVerdict,
    SettingsChanged,
    Wake,
    Dependency,
}

/// A restart that is wanted.
#[derive(Debug, Serialize, ToSchema)]
struct Wish {
    cause: Cause,
    not_before_ms: u64,
}

/// A restart that began.
#[derive(Debug, Serialize, ToSchema)]
struct Restart {
    began_ms: u64,
    /// Absent: somebody else began it, through the runtime itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
}

impl From<RestartCause> for Cause {
    fn from(cause: RestartCause) -> Self {
        match cause {
            RestartCause::Operator => Self::Operator,
            RestartCause::DeadVerdict => Self::DeadVerdict,
            RestartCause::SettingsChanged => Self::SettingsChanged,
            RestartCause::Wake => Self::Wake,
            RestartCause::Dependency => Self::Dependency,
        }
    }
}

impl From<IncidentStatus> for Incident {
    fn from(status: IncidentStatus) -> Self {
        let (activity, cause) = match status.phase {
            incident::Phase::Resting => (Activity::Resting, None),
            incident::Phase::Admitting { cause } => (Activity::Admitting, Some(cause)),
            incident::Phase::Beginning { cause } => (Activity::Beginning, Some(cause)),
            incident::Phase::Restarting { cause } => (Activity::Restarting, Some(cause)),
            incident::Phase::Settling => (Activity::Settling, None),
        };
        let history = status.history;
        let wishes = status.wishes.into_iter();
        Self {
            workspace: status.workspace.to_string(),
            tenant: status.tenant.to_string(),
            state: status.state.into(),
            standing: status.standing.into(),
            life: status.life.0,
            activity,
            cause: cause.map(Cause::from),
            wishes: wishes
                .map(|(cause, at)| Wish { cause: cause.into(), not_before_ms: at.0 })
                .collect(),
            newest_restart: history
                .began
                .map(|at| Restart { began_ms: at.0, cause: history.cause.map(Cause::from) }),
            unasked_restarts_ms: history.unasked.into_iter().map(|at| at.0).collect(),
        }
    }
}

async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(query): Query<IncidentsQuery>,
) -> Result<Json<Incidents>, Problem> {
    let limit = super::page_size(query.limit)? as usize;
    let wanted = |id: &WorkspaceId, of: &TenantId| {
        caller.sees(of) && query.after.as_ref().is_none_or(|after| id > after)
    };
    let mut page = admin.supervisor().incidents(wanted, limit + 1);
    let is_last = page.len() <= limit;
    page.truncate(limit);
    let next = page.last().filter(|_| !is_last).map(|status| status.workspace.to_string());
    Ok(Json(Incidents { incidents: page.into_iter().map(Incident::from).collect(), next }))
}

async fn one(
    State(admin): State<Admin>,
    Named(id): Named<WorkspaceId>,
) -> Result<Json<Incident>, Problem> {
    let status = admin.supervisor().incident(&id);
    let status = status.ok_or_else(|| Problem::unknown("workspace", &id))?;
    Ok(Json(status.into()))
}
