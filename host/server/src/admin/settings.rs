//! `/settings`: the policy's settings of the fleet, of tenants and of workspaces.
//! What is done stands in [`LiveSettings`](crate::settings::LiveSettings).
//!
//! The number of a layer's newest change is its `ETag`.

mod shapes;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode, request::Parts};
use reprieve_core::{
    access::{Role, Tenants},
    ids::{TenantId, TokenName, WorkspaceId},
    settings::{Change, ChangeNumber, Layer},
};
use serde_json::json;

use self::shapes::{
    ChangeMade, Changes, ChangesQuery, LayerSettings, SettingsHealth, SettingsPreview, Undo, Wanted,
};
use super::{
    Admin,
    api::Api,
    audit::Note,
    etag::{IfMatch, Tag},
    extract::{Body, Named, Parameter, Query, path_parameter},
    guard::Caller,
    problem::{Flaw, Problem},
    route::{Access, Of, PREFIX, Route},
    turns::About,
};
use crate::{
    settings::{ChangeRefused, ChangeRequest},
    store::{ChangeFilter, MAX_CHANGES_LISTED},
};

const FLEET: &str = "/settings/fleet";

/// Each layer's path, and whose it is.
const LAYERS: [(&str, Of); 3] = [
    (FLEET, Of::Fleet),
    ("/settings/tenants/{tenant}", Of::Tenant),
    ("/settings/workspaces/{workspace}", Of::Workspace),
];

pub(super) fn routes(api: Api) -> Api {
    let api = LAYERS.into_iter().fold(api, |api, (path, of)| of_layer(api, path, of));
    api.route(
        Route::new(Method::GET, "/settings/status", Access::Token(Role::Viewer, Of::Fleet), status)
            .says("Whether everything is in force that is applied and written.", "")
            .answers::<SettingsHealth>(StatusCode::OK, "How the settings are."),
    )
    .route(
        Route::new(
            Method::GET,
            "/settings/history",
            Access::Token(Role::Viewer, Of::Listed),
            history,
        )
        .says("Who changed which settings, newest first.", "A token of some tenants sees theirs.")
        .query::<ChangesQuery>()
        .answers::<Changes>(StatusCode::OK, "The newest changes."),
    )
    .route(
        Route::new(
            Method::POST,
            "/settings/changes/{change}/undo",
            Access::Token(Role::Operator, Of::Found),
            undo,
        )
        .says("Puts back what a change of settings replaced.", "It is a change like any other.")
        .body::<Undo>()
        .conditional(false)
        .answers_tagged::<ChangeMade>(StatusCode::OK, "It is in force.")
        .refuses(409, "Later changes touched the same settings; `force` undoes it anyway."),
    )
}

fn of_layer(api: Api, path: &str, of: Of) -> Api {
    api.route(
        Route::new(Method::GET, path, Access::Token(Role::Viewer, of), show)
            .says(
                "The settings in force, and where each comes from.",
                "The `ETag` is the number of the newest change of this layer.",
            )
            .answers_tagged::<LayerSettings>(StatusCode::OK, "What is in force."),
    )
    .route(
        Route::new(Method::PATCH, path, Access::Token(Role::Operator, of), apply)
            .says(
                "Changes settings.",
                "In force for every decision that begins after the answer. Null takes back what \
                 was applied. What is refused changes nothing.",
            )
            .body::<Wanted>()
            .conditional(true)
            .answers_tagged::<ChangeMade>(StatusCode::OK, "It is in force."),
    )
    .route(
        Route::new(
            Method::POST,
            &format!("{path}/preview"),
            Access::Token(Role::Operator, of),
            preview,
        )
        .says("What a change of settings would do, and for how many.", "Changes nothing.")
        .body::<Wanted>()
        .answers_tagged::<SettingsPreview>(StatusCode::OK, "What would change."),
    )
}

/// The layer that the path names. Its rule has been looked at already.
struct At(Layer);

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        if path == FLEET || path.strip_suffix("/preview") == Some(FLEET) {
            return Ok(Self(Layer::Fleet));
        }
        if path_parameter(parts, state, TenantId::NAME).await.is_some() {
            let Named(tenant) = Named::<TenantId>::from_request_parts(parts, state).await?;
            return Ok(Self(Layer::Tenant(tenant)));
        }
        let Named(id) = Named::<WorkspaceId>::from_request_parts(parts, state).await?;
        Ok(Self(Layer::Workspace(id)))
    }
}

fn tag(version: ChangeNumber) -> Tag {
    Tag::of_version(version.0)
}

async fn show(
    State(admin): State<Admin>,
    caller: Caller,
    At(layer): At,
) -> Result<Response, Problem> {
    let shown = admin.settings().show(&layer)?;
    let tag = tag(shown.version);
    Ok((tag.header(), Json(LayerSettings::of(shown, sees_all(&caller)))).into_response())
}

async fn preview(
    State(admin): State<Admin>,
    caller: Caller,
    At(layer): At,
    Body(Wanted { settings: patch, why }): Body<Wanted>,
) -> Result<Response, Problem> {
    let who = caller.token.to_string();
    let request = ChangeRequest { layer, patch, who, why, expected: None };
    let preview = admin.settings().preview(request).await?;
    let tag = tag(preview.version);
    Ok((tag.header(), Json(SettingsPreview::of(preview, sees_all(&caller)))).into_response())
}

async fn apply(
    State(admin): State<Admin>,
    caller: Caller,
    At(layer): At,
    if_match: IfMatch,
    Body(Wanted { settings: patch, why }): Body<Wanted>,
) -> Result<Response, Problem> {
    let _turn = admin.turn(About::Settings).await?;
    let version = admin.settings().version(&layer);
    if_match.check(&tag(version))?;
    let expected = match if_match {
        IfMatch::Any => None,
        // Whoever hangs up gives up the turn, while the change goes on.
        IfMatch::Tags(_) => Some(version),
    };
    let who = caller.token.to_string();
    let request = ChangeRequest { layer, patch, who, why, expected };
    let change = admin.settings().apply(request).await?;
    Ok(made(&admin, change))
}

async fn undo(
    State(admin): State<Admin>,
    caller: Caller,
    Named(number): Named<ChangeNumber>,
    if_match: Option<IfMatch>,
    body: Result<Body<Undo>, Problem>,
) -> Result<Response, Problem> {
    let unknown = || Problem::unknown("change", number);
    let done = admin.settings().change(number).await?;
    // Before a word about the body: it is none of a stranger's business.
    if !sees(&admin, &caller, &done.layer) {
        return Err(unknown());
    }
    let Body(Undo { why, force }) = body?;
    let _turn = admin.turn(About::Settings).await?;
    if let Some(if_match) = if_match {
        if_match.check(&tag(admin.settings().version(&done.layer)))?;
    }
    let who = caller.token.to_string();
    let change = admin.settings().undo(number, who, why, force).await?;
    Ok(made(&admin, change))
}

/// A token of some tenants sees theirs among the newest 10 000.
async fn history(
    State(admin): State<Admin>,
    caller: Caller,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<Changes>, Problem> {
    let limit = super::page_size(query.limit)?;
    let layer = query.layer.as_deref().map(str::parse::<Layer>).transpose();
    let layer = layer.map_err(Problem::malformed)?;
    let who = query.who.map(TokenName::into);
    let listed = if sees_all(&caller) { limit } else { MAX_CHANGES_LISTED };
    let filter = ChangeFilter { layer, who, limit: listed, ..ChangeFilter::default() };
    let changes = admin.settings().history(&filter).await?.into_iter();
    let seen = changes.filter(|change| sees(&admin, &caller, &change.layer));
    let changes = seen.take(limit as usize).map(ChangeMade::from).collect();
    Ok(Json(Changes { changes }))
}

async fn status(State(admin): State<Admin>) -> Result<Json<SettingsHealth>, Problem> {
    Ok(Json(admin.settings().status().await?.into()))
}

/// The answer to a change, and what goes on record about it.
fn made(admin: &Admin, change: Change) -> Response {
    let note = Note {
        tenant: tenant_of(admin, &change.layer),
        reason: Some(change.why.clone()).filter(|why| !why.is_empty()),
        before: Some(json!({"settings": change.before})),
        after: Some(json!({"settings": change.after, "change": change.number})),
    };
    note.on((tag(change.number).header(), Json(ChangeMade::from(change))))
}

fn sees_all(caller: &Caller) -> bool {
    caller.grant.tenants == Tenants::All
}

/// The fleet's layer, and that of a workspace that is gone, are nobody's but
/// theirs who see all tenants.
fn sees(admin: &Admin, caller: &Caller, layer: &Layer) -> bool {
    sees_all(caller) || tenant_of(admin, layer).is_some_and(|tenant| caller.sees(&tenant))
}

fn tenant_of(admin: &Admin, layer: &Layer) -> Option<TenantId> {
    match layer {
        Layer::Fleet => None,
        Layer::Tenant(tenant) => Some(tenant.clone()),
        Layer::Workspace(id) => admin.supervisor().tenant_of(id),
    }
}

impl From<ChangeRefused> for Problem {
    fn from(refused: ChangeRefused) -> Self {
        let detail = "the settings are refused, and nothing has changed";
        let one = |path: &str| vec![Flaw { path: path.to_owned(), message: refused.to_string() }];
        match &refused {
            ChangeRefused::Problems(problems) => {
                let flaw = |problem: &crate::settings::SettingProblem| Flaw {
                    path: problem.path.clone(),
                    message: match &problem.layer {
                        Some(layer) => format!("{}: {}", layer.name(), problem.message),
                        None => problem.message.clone(),
                    },
                };
                Self::invalid(detail, problems.iter().map(flaw).collect())
            }
            ChangeRefused::Empty | ChangeRefused::TooLarge { .. } => {
                Self::invalid(detail, one("settings"))
            }
            ChangeRefused::NothingApplied { key, .. } => Self::invalid(detail, one(key)),
            ChangeRefused::Stale { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "changed meanwhile", refused)
            }
            ChangeRefused::UnknownWorkspace(id) => Self::unknown("workspace", id),
            ChangeRefused::NoSuchChange(number) => Self::unknown("change", number),
            ChangeRefused::Overlaid { .. } => Self::conflict("later changes", refused),
            ChangeRefused::Store(_) | ChangeRefused::Interrupted => Self::unavailable(refused),
        }
    }
}
