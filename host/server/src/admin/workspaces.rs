//! `/workspaces`: what is watched over, and what people may want of it.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode};
use reprieve_core::{
    access::Role,
    ids::{TenantId, WorkspaceId},
    incident::{self, Wish, WorkspaceState as CoreState},
    judgement::RestartCause,
    ports::NotBegun,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    Admin,
    api::Api,
    audit::Note,
    etag::{IfMatch, Tag},
    extract::{Body, Named, Query},
    guard::Caller,
    problem::{Flaw, Problem},
    route::{Access, Of, Route},
    turns::About,
};
use crate::supervisor::WorkspaceStatus;

pub(super) fn routes(api: Api) -> Api {
    let viewer = |of| Access::Token(Role::Viewer, of);
    let api = api
        .route(
            Route::new(Method::GET, "/workspaces", viewer(Of::Listed), list)
                .says("The workspaces that the token may see, by name.", "")
                .query::<WorkspacesQuery>()
                .answers::<Workspaces>(StatusCode::OK, "A page of workspaces."),
        )
        .route(
            Route::new(Method::GET, "/workspaces/{workspace}", viewer(Of::Workspace), one)
                .says("One workspace.", "Its `ETag` stands for its standing and its life.")
                .answers_tagged::<Workspace>(StatusCode::OK, "How it is now."),
        )
        .route(
            Route::new(
                Method::PUT,
                "/workspaces/{workspace}/standing",
                Access::Token(Role::Operator, Of::Workspace),
                set_standing,
            )
            .says(
                "Says whether a workspace shall run.",
                "As the verbs do, but only if it is still as the asker has seen it.",
            )
            .body::<WantedStanding>()
            .conditional(true)
            .answers_tagged::<Workspace>(StatusCode::ACCEPTED, "It is, or will be.")
            .refuses(409, "A restart is in flight, or the workspace was removed."),
        );
    VERBS.into_iter().fold(api, |api, verb| api.route(verb.route()))
}

/// What can be asked of a workspace at once, whatever it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Restart,
    Pause,
    Resume,
    Hibernate,
    Wake,
}

const VERBS: [Verb; 5] = [Verb::Restart, Verb::Pause, Verb::Resume, Verb::Hibernate, Verb::Wake];

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Hibernate => "hibernate",
            Self::Wake => "wake",
        }
    }

    const fn says(self) -> &'static str {
        match self {
            Self::Restart => "Restarts a workspace now, whatever the policy rules.",
            Self::Pause => "Stops a workspace; nothing restarts it until it is resumed.",
            Self::Resume => "Brings a paused or hibernated workspace back.",
            Self::Hibernate => "Stops a workspace until somebody calls it.",
            Self::Wake => "Starts a hibernated workspace.",
        }
    }

    /// What it does when it is asked again.
    const fn repeated(self) -> &'static str {
        match self {
            Self::Restart => {
                "While a restart is in flight, another one is refused. Once that has ended, it is \
                 another restart: with `If-Match`, only the life that was seen is restarted."
            }
            Self::Wake => {
                "Asked twice, it is done once. The policy may put it off; the answer says so."
            }
            Self::Pause | Self::Resume | Self::Hibernate => "Asked twice, it is done once.",
        }
    }

    fn route(self) -> Route {
        let handler = move |State(admin): State<Admin>,
                            Named(id): Named<WorkspaceId>,
                            if_match: Option<IfMatch>| async move {
            act(&admin, &id, self, if_match.as_ref()).await
        };
        let path = format!("/workspaces/{{workspace}}/{}", self.as_str());
        Route::new(Method::POST, &path, Access::Token(Role::Operator, Of::Workspace), handler)
            .says(self.says(), self.repeated())
            .conditional(false)
            .answers::<Told>(StatusCode::ACCEPTED, "It is under way, or put off until then.")
            .refuses(409, "A restart is in flight, or what it is now does not allow it.")
    }
}

/// Which workspaces.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WorkspacesQuery {
    /// Only those of this tenant.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    tenant: Option<TenantId>,
    /// Only those in this state.
    #[param(inline)]
    state: Option<InState>,
    /// Only those whose name comes after this one.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    after: Option<WorkspaceId>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Workspaces, by name.
#[derive(Debug, Serialize, ToSchema)]
struct Workspaces {
    workspaces: Vec<Workspace>,
    /// Goes into `after` for the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What a workspace is doing, as far as people and requests are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WorkspaceState)]
pub(super) enum InState {
    Provisioning,
    Online,
    Degraded,
    Offline,
    Paused,
    Hibernating,
    Hibernated,
    Removed,
}

impl From<CoreState> for InState {
    fn from(state: CoreState) -> Self {
        match state {
            CoreState::Provisioning => Self::Provisioning,
            CoreState::Online => Self::Online,
            CoreState::Degraded => Self::Degraded,
            CoreState::Offline => Self::Offline,
            CoreState::Paused => Self::Paused,
            CoreState::Hibernating => Self::Hibernating,
            CoreState::Hibernated => Self::Hibernated,
            CoreState::Removed => Self::Removed,
        }
    }
}

/// What people made of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// It shall run.
    Wanted,
    Paused,
    Hibernated,
    Removed,
}

impl From<incident::Standing> for Standing {
    fn from(standing: incident::Standing) -> Self {
        match standing {
            incident::Standing::Wanted => Self::Wanted,
            incident::Standing::Paused => Self::Paused,
            incident::Standing::Hibernated => Self::Hibernated,
            incident::Standing::Removed => Self::Removed,
        }
    }
}

/// What people want of a workspace.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WantedStanding {
    /// `removed` cannot be wished for here.
    standing: Standing,
}

/// One workspace at this moment. Ages are in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
struct Workspace {
    id: String,
    tenant: String,
    /// Who runs it: `process`, `docker`, `http` or `external`.
    kind: String,
    state: InState,
    standing: Standing,
    /// Which run it is.
    life: u64,
    restart_in_flight: bool,
    /// The newest settings revision is not the running one.
    revision_stale: bool,
    wanted_revision: u64,
    /// Where it listens. Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// Age of the newest heartbeat or contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_sign_ms: Option<u64>,
    /// For so long the runtime could not be asked about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    blind_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_restart_ms: Option<u64>,
    /// Requests that wait. Absent: the store does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_depth: Option<u32>,
}

impl From<WorkspaceStatus> for Workspace {
    fn from(status: WorkspaceStatus) -> Self {
        Self {
            id: status.id.to_string(),
            tenant: status.tenant.to_string(),
            kind: status.kind,
            state: status.state.into(),
            standing: status.standing.into(),
            life: status.life.0,
            restart_in_flight: status.restart_in_flight,
            revision_stale: status.revision_stale,
            wanted_revision: status.wanted_revision.0,
            address: status.address.map(String::from),
            newest_sign_ms: status.newest_sign_ms.map(|age| age.0),
            blind_ms: status.blind_ms.map(|age| age.0),
            last_restart_ms: status.last_restart_ms.map(|age| age.0),
            queue_depth: status.queue_depth,
        }
    }
}

/// What the host says to it.
#[derive(Debug, Serialize, ToSchema)]
struct Told {
    message: String,
    /// The policy put it off: it is taken up then at the earliest. Milliseconds since
    /// the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before_ms: Option<u64>,
}

/// Of what a person can change, and of what a change would be about.
fn tag(status: &WorkspaceStatus) -> Tag {
    Tag::of(&(status.standing, status.life, status.wanted_revision))
}

async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(query): Query<WorkspacesQuery>,
) -> Result<Json<Workspaces>, Problem> {
    let limit = super::page_size(query.limit)? as usize;
    let wanted = |id: &WorkspaceId, of: &TenantId, state: CoreState| {
        caller.sees(of)
            && query.tenant.as_ref().is_none_or(|tenant| tenant == of)
            && query.state.is_none_or(|wanted| wanted == InState::from(state))
            && query.after.as_ref().is_none_or(|after| id > after)
    };
    let mut page = admin.supervisor().page(wanted, limit + 1).await;
    let is_last = page.len() <= limit;
    page.truncate(limit);
    let next = page.last().filter(|_| !is_last).map(|status| status.id.to_string());
    Ok(Json(Workspaces { workspaces: page.into_iter().map(Workspace::from).collect(), next }))
}

async fn one(
    State(admin): State<Admin>,
    Named(id): Named<WorkspaceId>,
) -> Result<Response, Problem> {
    let status = status(&admin, &id).await?;
    Ok((tag(&status).header(), Json(Workspace::from(status))).into_response())
}

async fn set_standing(
    State(admin): State<Admin>,
    Named(id): Named<WorkspaceId>,
    if_match: IfMatch,
    Body(wanted): Body<WantedStanding>,
) -> Result<Response, Problem> {
    let verb = match wanted.standing {
        Standing::Wanted => Verb::Resume,
        Standing::Paused => Verb::Pause,
        Standing::Hibernated => Verb::Hibernate,
        Standing::Removed => {
            let message = "a workspace is removed where it is described".to_owned();
            let flaw = Flaw { path: "standing".to_owned(), message };
            return Err(Problem::invalid("no such standing can be wished for", vec![flaw]));
        }
    };
    let Done { note, .. } = carry_out(&admin, &id, verb, Some(&if_match)).await?;
    let status = status(&admin, &id).await?;
    let answer = (StatusCode::ACCEPTED, tag(&status).header(), Json(Workspace::from(status)));
    Ok(note.on(answer))
}

async fn act(
    admin: &Admin,
    id: &WorkspaceId,
    verb: Verb,
    if_match: Option<&IfMatch>,
) -> Result<Response, Problem> {
    let Done { note, not_before } = carry_out(admin, id, verb, if_match).await?;
    let stands = match not_before {
        Some(at) => format!("put off by the policy, for {}", admin.now().age(at)),
        None => "under way".to_owned(),
    };
    let message = format!("{} of {id}: {stands}", verb.as_str());
    let told = Told { message, not_before_ms: not_before.map(|at| at.0) };
    Ok(note.on((StatusCode::ACCEPTED, Json(told))))
}

/// What was taken up.
struct Done {
    note: Note,
    /// The policy put it off until then.
    not_before: Option<UnixMillis>,
}

/// Has it done, if the workspace is as the asker has seen it.
async fn carry_out(
    admin: &Admin,
    id: &WorkspaceId,
    verb: Verb,
    if_match: Option<&IfMatch>,
) -> Result<Done, Problem> {
    let _turn = admin.turn(About::Workspace(id.clone())).await?;
    let before = status(admin, id).await?;
    if let Some(if_match) = if_match {
        if_match.check(&tag(&before))?;
    }
    let supervisor = admin.supervisor();
    let wish = match verb {
        Verb::Restart => supervisor.want_restart(id, RestartCause::Operator).await,
        Verb::Resume => supervisor.bring_back(id).await,
        // It is awake: to start it anew would be a restart.
        Verb::Wake if before.standing == incident::Standing::Wanted => Some(Wish::Taken),
        // As a request would: what a person paused stays paused.
        Verb::Wake => {
            supervisor.want_restart(id, RestartCause::Wake).await.map(|wish| match wish {
                Wish::InFlight => Wish::Taken,
                wish => wish,
            })
        }
        Verb::Pause => rested(supervisor.rest(id, incident::Standing::Paused).await),
        Verb::Hibernate => rested(supervisor.rest(id, incident::Standing::Hibernated).await),
    };
    let not_before = granted(id, wish.ok_or_else(|| Problem::unknown("workspace", id))?)?;
    let after = status(admin, id).await?;
    let seen = |status: WorkspaceStatus| {
        Some(json!({"standing": Standing::from(status.standing), "life": status.life}))
    };
    let note = Note { before: seen(before), after: seen(after), ..Note::default() };
    Ok(Done { note, not_before })
}

fn rested(outcome: Option<Result<(), Wish>>) -> Option<Wish> {
    outcome.map(|rested| rested.err().unwrap_or(Wish::Taken))
}

/// Returns until when the policy put it off, if it did.
fn granted(id: &WorkspaceId, wish: Wish) -> Result<Option<UnixMillis>, Problem> {
    match wish {
        Wish::Taken => Ok(None),
        Wish::Waits { not_before } => Ok(Some(not_before)),
        Wish::Dropped => Err(Problem::conflict(
            "dropped by the policy",
            format!("the policy does not admit it; `reprieve decisions --workspace {id}` says why"),
        )),
        Wish::NotBegun(NotBegun::StoreUnavailable) => Err(Problem::unavailable(format!(
            "nothing was begun with {id}: the host's store is unavailable; the host's log says why"
        ))),
        Wish::NotBegun(reason @ (NotBegun::InFlight | NotBegun::LifeEnded { .. })) => {
            let detail = format!("nothing was begun with {id}: {reason}");
            Err(Problem::conflict("restarted elsewhere", detail))
        }
        Wish::InFlight => Err(Problem::conflict(
            "restart in flight",
            format!("a restart of {id} is in flight; wait for it and ask again if need be"),
        )),
        Wish::NotAllowed(incident::Standing::Wanted) => Err(Problem::conflict(
            "not restartable",
            format!("nothing here can start or stop {id}: it is run elsewhere"),
        )),
        Wish::NotAllowed(standing) => {
            let standing = format!("{standing:?}").to_lowercase();
            let detail = format!("{id} is {standing}; resume it first");
            Err(Problem::conflict(&standing, detail))
        }
        Wish::LifeEnded => Err(Problem::conflict("life ended", "that life has ended")),
    }
}

async fn status(admin: &Admin, id: &WorkspaceId) -> Result<WorkspaceStatus, Problem> {
    let status = admin.supervisor().status(id).await;
    status.ok_or_else(|| Problem::unknown("workspace", id))
}
