//! `/policies`: which policy judges, and how another comes into its place. What is
//! done stands in [`Policies`](crate::policies::Policies), which takes whoever
//! changes something one after the other.
//!
//! The revision, which every activation raises, is the `ETag`.

mod asked;
mod refusal;
mod shapes;
mod upload;

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode};
use reprieve_core::access::Role;
use reprieve_runtime::{
    MAX_COMPONENT_BYTES,
    registry::{Candidate, StepFailed},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::{
    asked::{Activate, LoadNamed, RollBack, UploadQuery},
    shapes::{PoliciesShown, PolicyInForce, PolicyLoaded},
    upload::{Announced, BASE64_PATTERN, SIGNATURE, Upload, WASM},
};
use super::{
    Admin,
    api::Api,
    audit::Note,
    etag::{IfMatch, Tag},
    extract::Body,
    guard::Caller,
    problem::{Flaw, Problem},
    route::{Access, Of, Route},
};
use crate::policies::{Activation, Actor, Checked, InForce, MAX_WORDS_BYTES, PoliciesFailure};

/// Uploads at once: each holds up to [`MAX_COMPONENT_BYTES`] until it is checked.
const MAX_UPLOADS: usize = 4;

/// The longest account of a refusal that is put on record.
const MAX_REASON_CHARS: usize = 1_000;

/// What the document says of a refusal at a step.
const REFUSED: &str = "It does not pass a step, which `problems` names; what judges stays.";

/// For those who upload.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_UPLOADS))
}

pub(super) fn routes(api: Api) -> Api {
    let policy_admin = Access::Token(Role::PolicyAdmin, Of::Fleet);
    api.route(
        Route::new(Method::GET, "/policies", Access::Token(Role::Viewer, Of::Fleet), status)
            .says(
                "What is wanted, loaded and in force, and why they differ.",
                "The `ETag` is the revision, which every activation raises.",
            )
            .answers_tagged::<PoliciesShown>(StatusCode::OK, "How the policies are."),
    )
    .route(
        Route::new(Method::POST, "/policies/upload", policy_admin, upload)
            .says(
                "Checks a component, and keeps it.",
                "It passes everything but the last step: see `/policies/activate`. Answered when \
                 that is done; `GET /policies` tells meanwhile how far it has come. At most 32 \
                 MiB.",
            )
            .query::<UploadQuery>()
            .header(
                SIGNATURE,
                BASE64_PATTERN,
                "A detached signature, in base64: the .minisig file that `minisign -S` writes, \
                 or the 64 bytes of an Ed25519 signature.",
            )
            .bytes(WASM, MAX_COMPONENT_BYTES)
            .answers::<PolicyLoaded>(StatusCode::OK, "It waits to be activated.")
            .refuses(409, "There is no room for it at this moment.")
            .refuses(422, REFUSED),
    )
    .route(
        Route::new(Method::POST, "/policies/load", policy_admin, load)
            .says(
                "Checks a component of `policy.folder`, or a built-in one, and keeps it.",
                "As an uploaded one.",
            )
            .body::<LoadNamed>()
            .answers::<PolicyLoaded>(StatusCode::OK, "It waits to be activated.")
            .refuses(404, "There is none of that name.")
            .refuses(409, "There is no room for it at this moment.")
            .refuses(422, REFUSED),
    )
    .route(
        Route::new(Method::POST, "/policies/activate", policy_admin, activate)
            .says(
                "Puts a component in force that was loaded, or was in force before.",
                "Every decision that begins after the answer is made by it.",
            )
            .body::<Activate>()
            .conditional(true)
            .answers_tagged::<PolicyInForce>(StatusCode::OK, "It is in force.")
            .refuses(404, "It is not kept here; load it first.")
            .refuses(409, "There is no room for it at this moment.")
            .refuses(422, REFUSED),
    )
    .route(
        Route::new(Method::POST, "/policies/rollback", policy_admin, roll_back)
            .says(
                "Puts the policy in force again that was so before this one.",
                "An activation like any other: twice, and the first is back.",
            )
            .body::<RollBack>()
            .conditional(true)
            .answers_tagged::<PolicyInForce>(StatusCode::OK, "It is in force.")
            .refuses(404, "The one before is kept here no more; load it.")
            .refuses(409, "There was none before, or there is no room for it at this moment.")
            .refuses(422, REFUSED),
    )
}

async fn status(State(admin): State<Admin>) -> Result<Response, Problem> {
    let policies = admin.policies().clone();
    // It looks into a folder.
    let status = tokio::task::spawn_blocking(move || policies.status()).await;
    let status = status.map_err(|_ended| Problem::unavailable("the host is stopping"))?;
    let mut status = status;
    // Where people look whether all is well.
    status.alerts.extend(admin.experiments().alerts());
    let tag = Tag::of_version(status.revision);
    Ok((tag.header(), Json(PoliciesShown::from(status))).into_response())
}

async fn upload(
    State(admin): State<Admin>,
    Announced { actor, expected }: Announced,
    upload: Upload,
) -> Result<Response, Problem> {
    let Upload { bytes, signature, place } = upload;
    let (source, bytes) = ("uploaded".to_owned(), Vec::from(bytes).into());
    let candidate = Candidate { source, bytes, expected, signature, built_in: false };
    let checked = admin.policies().load(candidate, &actor).await;
    drop(place);
    Ok(loaded(checked, actor))
}

async fn load(
    State(admin): State<Admin>,
    caller: Caller,
    Body(LoadNamed { name, why }): Body<LoadNamed>,
) -> Result<Response, Problem> {
    let actor = actor(&caller, why)?;
    Ok(loaded(admin.policies().load_named(&name, &actor).await, actor))
}

async fn activate(
    State(admin): State<Admin>,
    caller: Caller,
    if_match: IfMatch,
    Body(Activate { component, why }): Body<Activate>,
) -> Result<Response, Problem> {
    let actor = actor(&caller, why)?;
    let seen = seen(&admin, &if_match)?;
    Ok(in_force(admin.policies().activate(component, &actor, seen).await, actor))
}

async fn roll_back(
    State(admin): State<Admin>,
    caller: Caller,
    if_match: IfMatch,
    Body(RollBack { why }): Body<RollBack>,
) -> Result<Response, Problem> {
    let actor = actor(&caller, why)?;
    let seen = seen(&admin, &if_match)?;
    Ok(in_force(admin.policies().roll_back(&actor, seen).await, actor))
}

pub(super) fn actor(caller: &Caller, why: String) -> Result<Actor, Problem> {
    if why.len() > MAX_WORDS_BYTES {
        let message = format!("has {} bytes; {MAX_WORDS_BYTES} are allowed", why.len());
        let flaws = vec![Flaw { path: "why".to_owned(), message }];
        return Err(Problem::invalid("the reason is too long", flaws));
    }
    Ok(Actor { by: caller.token.to_string(), why })
}

/// The revision that must still be so when it comes to his turn, which may take a
/// compiler's time.
fn seen(admin: &Admin, if_match: &IfMatch) -> Result<Option<u64>, Problem> {
    let revision = admin.policies().revision();
    if_match.check(&Tag::of_version(revision))?;
    Ok(match if_match {
        IfMatch::Any => None,
        IfMatch::Tags(_) => Some(revision),
    })
}

fn loaded(checked: Result<Checked, PoliciesFailure>, actor: Actor) -> Response {
    let checked = match checked {
        Ok(checked) => checked,
        Err(failure) => return refused(failure, &actor),
    };
    let passage = &checked.passage;
    let after = json!({"loaded": checked.component, "policy": passage.policy,
        "source": passage.source});
    let note = Note { reason: reason(actor.why), after: Some(after), ..Note::default() };
    note.on(Json(PolicyLoaded::from(checked)))
}

fn in_force(done: Result<InForce, PoliciesFailure>, actor: Actor) -> Response {
    let done = match done {
        Ok(done) => done,
        Err(failure) => return refused(failure, &actor),
    };
    let named = |activation: &Activation| -> Value {
        json!({"component": activation.component, "policy": activation.policy})
    };
    let note = Note {
        reason: reason(actor.why),
        before: done.before.as_ref().map(named),
        after: Some(named(&done.activation)),
        ..Note::default()
    };
    let tag = Tag::of_version(done.revision);
    note.on((tag.header(), Json(PolicyInForce::from(done))))
}

/// On record with its digests, which are no secrets. A name may be one: who puts
/// his token there must not find it on record.
fn refused(failure: PoliciesFailure, actor: &Actor) -> Response {
    let told = match &failure {
        PoliciesFailure::NotInFolder { .. } => return Problem::from(failure).into_response(),
        PoliciesFailure::Refused(refused) => StepFailed::of(refused).why,
        other => other.to_string(),
    };
    let told = match actor.why.as_str() {
        "" => told,
        why => format!("{why}; {told}"),
    };
    let reason = reason(told.chars().take(MAX_REASON_CHARS).collect());
    Note { reason, ..Note::default() }.on(Problem::from(failure))
}

fn reason(why: String) -> Option<String> {
    Some(why).filter(|why| !why.is_empty())
}
