//! `/experiments`: a candidate is tried on live traffic. What is done stands in
//! [`Experiments`](crate::experiments::Experiments).
//!
//! A token of some tenants sees an experiment if it targets nobody but them, and of
//! the others nothing: a report names workspaces. Starting and ending one is the
//! fleet's business, as policies are.
//!
//! The state is the `ETag`. Promoting asks for it; aborting does not, because nothing
//! may stand between a person and the brake.

mod asked;
mod refusal;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode};
use reprieve_core::{
    access::{Role, Tenants},
    experiment::Target,
    ids::ExperimentName,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use self::asked::{EndExperiment, StartExperiment};
use super::{
    Admin,
    api::Api,
    audit::Note,
    etag::{IfMatch, Tag},
    extract::{Body, Named},
    guard::Caller,
    policies::actor,
    problem::{Flaw, Problem},
    route::{Access, Of, Route},
};
use crate::{
    experiments::{ExperimentFailure, ExperimentReport, Standing},
    policies::Actor,
};

/// What those are told of a suspension who do not see all tenants: the reason may
/// name another's settings.
const SUSPENDED: &str = "its candidate cannot be tried; ask who runs the host";

pub(super) fn routes(api: Api) -> Api {
    let viewer = |of| Access::Token(Role::Viewer, of);
    let policy_admin = Access::Token(Role::PolicyAdmin, Of::Fleet);
    api.route(
        Route::new(Method::GET, "/experiments", viewer(Of::Listed), list)
            .says(
                "Experiments, those that run and those that ended, newest first.",
                "A token of some tenants sees those that target nobody but them.",
            )
            .answers::<ExperimentsShown>(StatusCode::OK, "At most 1,000."),
    )
    .route(
        Route::new(Method::POST, "/experiments", policy_admin, start)
            .says(
                "Starts an experiment.",
                "It is on disk before the candidate judges. A candidate that is named is loaded \
                 first, as by `/policies/load`.",
            )
            .body::<StartExperiment>()
            .answers_tagged::<ExperimentReport>(StatusCode::CREATED, "It runs.")
            .refuses(404, "The candidate's component is not kept here, or has no such name.")
            .refuses(409, "The name is taken, others run on those workspaces, or too many run."),
    )
    .route(
        Route::new(Method::GET, "/experiments/{experiment}", viewer(Of::Found), one)
            .says("One experiment: how it stands, and what its arms did.", "")
            .answers_tagged::<ExperimentReport>(StatusCode::OK, "The report."),
    )
    .route(
        Route::new(Method::POST, "/experiments/{experiment}/abort", policy_admin, abort)
            .says(
                "Ends an experiment: the control judges alone from the next decision on.",
                "Cannot be taken back: what was aborted is started anew, under another name.",
            )
            .body::<EndExperiment>()
            .conditional(false)
            .answers_tagged::<ExperimentReport>(StatusCode::OK, "It is aborted.")
            .refuses(409, "It does not run."),
    )
    .route(
        Route::new(Method::POST, "/experiments/{experiment}/promote", policy_admin, promote)
            .says(
                "Puts the candidate in force.",
                "Its component for the fleet; its settings for the tenants that were targeted, or \
                 for the fleet.",
            )
            .body::<EndExperiment>()
            .conditional(true)
            .answers_tagged::<ExperimentReport>(StatusCode::OK, "It is in force.")
            .refuses(409, "It does not run, or targets labels, which no layer of settings has."),
    )
}

/// Experiments, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct ExperimentsShown {
    experiments: Vec<ExperimentReport>,
}

async fn list(State(admin): State<Admin>, caller: Caller) -> Json<ExperimentsShown> {
    let all = admin.experiments().list().into_iter();
    let seen = all.filter_map(|standing| as_seen_by(&caller, standing));
    let experiments = seen.map(|standing| ExperimentReport::from(standing).in_short()).collect();
    Json(ExperimentsShown { experiments })
}

async fn one(
    State(admin): State<Admin>,
    caller: Caller,
    Named(name): Named<ExperimentName>,
) -> Result<Response, Problem> {
    let standing = admin.experiments().standing(&name).ok();
    let seen = standing.and_then(|standing| as_seen_by(&caller, standing));
    Ok(shown(seen.ok_or_else(|| Problem::unknown("experiment", name))?, StatusCode::OK))
}

async fn start(
    State(admin): State<Admin>,
    caller: Caller,
    Body(StartExperiment { why, definition }): Body<StartExperiment>,
) -> Result<Response, Problem> {
    let actor = actor(&caller, why)?;
    let (mut experiment, named) = definition.read()?;
    if let Some(policy) = named {
        // What is wrong with the rest is found before a compiler runs.
        experiment.check(admin.now()).map_err(ExperimentFailure::from)?;
        let loaded = admin.policies().load_named(&policy, &actor).await?;
        experiment.candidate.component = Some(loaded.component);
    }
    done(admin.experiments().start(experiment, &actor).await, StatusCode::CREATED, actor)
}

async fn abort(
    State(admin): State<Admin>,
    caller: Caller,
    Named(name): Named<ExperimentName>,
    if_match: Option<IfMatch>,
    Body(EndExperiment { why }): Body<EndExperiment>,
) -> Result<Response, Problem> {
    let actor = reasoned(&caller, why)?;
    if let Some(if_match) = if_match {
        if_match.check(&tag(&admin.experiments().standing(&name)?))?;
    }
    done(admin.experiments().abort(&name, &actor).await, StatusCode::OK, actor)
}

async fn promote(
    State(admin): State<Admin>,
    caller: Caller,
    Named(name): Named<ExperimentName>,
    if_match: IfMatch,
    Body(EndExperiment { why }): Body<EndExperiment>,
) -> Result<Response, Problem> {
    let actor = reasoned(&caller, why)?;
    // Between this and the change it can only end, which refuses the change.
    if_match.check(&tag(&admin.experiments().standing(&name)?))?;
    done(admin.experiments().promote(&name, &actor).await, StatusCode::OK, actor)
}

/// None: it is none of his business.
fn as_seen_by(caller: &Caller, standing: Standing) -> Option<Standing> {
    let Target { tenants, .. } = &standing.record.experiment.target;
    match caller.grant.tenants {
        Tenants::All => Some(standing),
        Tenants::These(_) => {
            let is_his = !tenants.is_empty() && tenants.iter().all(|tenant| caller.sees(tenant));
            let suspended = standing.suspended.as_ref().map(|_| SUSPENDED.to_owned());
            is_his.then_some(Standing { suspended, ..standing })
        }
    }
}

/// Somebody reads one day why an experiment ended.
fn reasoned(caller: &Caller, why: String) -> Result<Actor, Problem> {
    if why.trim().is_empty() {
        let message = "is empty; say why, for whoever reads the report".to_owned();
        let flaws = vec![Flaw { path: "why".to_owned(), message }];
        return Err(Problem::invalid("the reason is missing", flaws));
    }
    actor(caller, why)
}

fn done(
    changed: Result<Standing, ExperimentFailure>,
    status: StatusCode,
    actor: Actor,
) -> Result<Response, Problem> {
    let standing = changed?;
    let experiment = &standing.record.experiment;
    let after: Value = json!({"experiment": experiment.name, "mode": experiment.mode.as_str(),
        "component": experiment.candidate.component, "state": standing.record.state.as_str()});
    let reason = Some(actor.why).filter(|why| !why.is_empty());
    let note = Note { reason, after: Some(after), ..Note::default() };
    Ok(note.on(shown(standing, status)))
}

fn shown(standing: Standing, status: StatusCode) -> Response {
    let tag = tag(&standing);
    (status, tag.header(), Json(ExperimentReport::from(standing))).into_response()
}

fn tag(standing: &Standing) -> Tag {
    Tag::of(&(&standing.record.started, &standing.record.state))
}
