//! The operator's listener: `/admin/v1`, for people and their programs. The
//! document of it, made from this code, is at `/admin/v1/openapi.json`.
//!
//! **To add a route:** write a handler in the file of its resource that takes
//! `State<Admin>` and what [`extract`] and [`etag`] offer, and returns
//! `Result<_, Problem>` with types of this folder (`Serialize`, `ToSchema`). Add
//! it to that file's `routes` as a [`Route`](route::Route): method, path, role,
//! whose it is ([`Of`](route::Of)), what it takes and answers. That is its rule
//! and its part of the document; there is no other way in. A new file goes into
//! [`all_routes`], what it works on into [`AdminParts`]. A handler of `Of::Listed`
//! or `Of::Found` asks [`Caller::sees`](guard::Caller::sees) itself; one that
//! overwrites takes [`IfMatch`](etag::IfMatch). What it changed, it says in an
//! audit [`Note`](audit::Note). The tests go over every route of the document.
//!
//! [`guard`] lets requests in or not; [`problem`] is the shape of every refusal;
//! [`limits`] bounds how often one may ask; [`starting`] answers until there is a
//! host to ask.

mod api;
mod audit;
mod counts;
mod decisions;
mod etag;
mod experiments;
mod extract;
mod guard;
mod health;
mod incidents;
mod limits;
mod metrics;
mod policies;
mod problem;
mod queue;
mod route;
mod settings;
mod starting;
mod stream;
mod tokens;
mod turns;
mod whoami;
mod workspaces;

use std::sync::{Arc, atomic::AtomicU64};

use axum::{
    Json, Router,
    extract::State,
    middleware,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode};
use reprieve_core::{
    access::{Grant, Role, Tenants, TokenDigest},
    ids::TokenName,
    ports::Clock,
    time::UnixMillis,
};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use self::{
    api::{Api, Rules},
    guard::Caller,
    limits::Limits,
    problem::Problem,
    route::{Access, Of, Route},
    stream::Streams,
    turns::{About, Turns},
};
pub use self::{limits::AdminLimits, starting::Starting};
use crate::{
    experiments::Experiments,
    policies::Policies,
    settings::LiveSettings,
    store::{AuditLog, DecisionLog, QueueStore, Store, TokenStore},
    supervisor::Supervisor,
};

/// What the API works on.
#[derive(Clone)]
pub struct AdminParts {
    pub supervisor: Supervisor,
    pub settings: LiveSettings,
    pub policies: Policies,
    pub experiments: Experiments,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    /// The token in the state folder: for everything, for ever.
    pub hosts_own_token: String,
    pub limits: AdminLimits,
    /// Streams end with it.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for AdminParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminParts").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Everything that operators reach.
pub fn router(parts: AdminParts) -> Router {
    let (router, rules, document) = all_routes(Api::new()).finish();
    let hosts_own = HostsOwn {
        digest: TokenDigest::of(&parts.hosts_own_token),
        name: tokens::HOSTS_OWN.parse().ok(),
    };
    let admin = Admin(Arc::new(Inner {
        limits: Limits::new(&parts.limits),
        hosts_own,
        rules,
        document,
        turns: Turns::default(),
        refusals_left_out: AtomicU64::default(),
        streams: Streams::default(),
        uploads: policies::places(),
        parts,
    }));
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(another_method)
        .layer(middleware::from_fn_with_state(admin.clone(), guard::guard))
        .with_state(admin)
}

fn all_routes(api: Api) -> Api {
    let api = health::routes(api);
    let api = whoami::routes(api);
    let api = workspaces::routes(api);
    let api = incidents::routes(api);
    let api = decisions::routes(api);
    let api = queue::routes(api);
    let api = counts::routes(api);
    let api = metrics::routes(api);
    let api = settings::routes(api);
    let api = policies::routes(api);
    let api = experiments::routes(api);
    let api = tokens::routes(api);
    let api = audit::routes(api);
    api.route(
        Route::new(Method::GET, "/openapi.json", Access::Token(Role::Viewer, Of::Nobody), document)
            .says("This document.", "")
            .answers::<serde_json::Value>(StatusCode::OK, "OpenAPI 3.1."),
    )
}

/// What handlers work on. Cheap to clone.
#[derive(Clone)]
pub(super) struct Admin(Arc<Inner>);

struct Inner {
    parts: AdminParts,
    hosts_own: HostsOwn,
    rules: Rules,
    document: OpenApi,
    limits: Limits,
    turns: Turns,
    refusals_left_out: AtomicU64,
    streams: Streams,
    uploads: Arc<Semaphore>,
}

struct HostsOwn {
    digest: TokenDigest,
    name: Option<TokenName>,
}

impl Admin {
    fn supervisor(&self) -> &Supervisor {
        &self.0.parts.supervisor
    }

    fn settings(&self) -> &LiveSettings {
        &self.0.parts.settings
    }

    fn policies(&self) -> &Policies {
        &self.0.parts.policies
    }

    fn experiments(&self) -> &Experiments {
        &self.0.parts.experiments
    }

    fn tokens(&self) -> &TokenStore {
        &self.0.parts.store.tokens
    }

    fn audit(&self) -> &AuditLog {
        &self.0.parts.store.audit
    }

    fn decisions(&self) -> &DecisionLog {
        &self.0.parts.store.decisions
    }

    fn queue(&self) -> &QueueStore {
        &self.0.parts.store.queue
    }

    /// The store takes what is written.
    fn can_write(&self) -> bool {
        !self.0.parts.store.health().is_failing
    }

    fn rules(&self) -> &Rules {
        &self.0.rules
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }

    fn now(&self) -> UnixMillis {
        self.0.parts.clock.now()
    }

    /// Whoever overwrites takes a turn: between his look at what is in force and
    /// his change no other request changes the same.
    /// 503 if that takes too long.
    async fn turn(&self, about: About) -> Result<OwnedMutexGuard<()>, Problem> {
        self.0.turns.take(about).await
    }

    /// Whom a token lets in, expired or not.
    fn caller(&self, digest: &TokenDigest) -> Option<Caller> {
        let hosts_own = &self.0.hosts_own;
        let is_hosts_own = bool::from(hosts_own.digest.0.ct_eq(&digest.0));
        let found = self.tokens().find(digest);
        if is_hosts_own && let Some(token) = hosts_own.name.clone() {
            let grant = Grant { role: Role::PolicyAdmin, tenants: Tenants::All };
            return Some(Caller { token, digest: *digest, grant, expires: None });
        }
        found.map(|record| Caller {
            token: record.name,
            digest: *digest,
            grant: record.grant,
            expires: record.expires,
        })
    }

    fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Of whoever uploads.
    fn uploads(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.uploads)
    }

    /// The host is told to stop.
    async fn stopped(&self) {
        self.0.parts.stop.cancelled().await;
    }

    /// Its token was not revoked and has not expired since it was let in.
    fn is_still_let_in(&self, caller: &Caller) -> bool {
        self.caller(&caller.digest).is_some() && caller.expires.is_none_or(|at| self.now() < at)
    }

    /// Refused attempts that the audit log left out since its newest entry.
    fn left_out(&self) -> &AtomicU64 {
        &self.0.refusals_left_out
    }
}

/// The most that a page of a list holds.
const MAX_PAGE: u32 = 1_000;
const USUAL_PAGE: u32 = 100;

/// How many a list shows at once.
fn page_size(asked: Option<u32>) -> Result<u32, Problem> {
    match asked {
        None => Ok(USUAL_PAGE),
        Some(size @ 1..=MAX_PAGE) => Ok(size),
        Some(size) => {
            Err(Problem::malformed(format!("limit {size} is not valid: must be 1 to {MAX_PAGE}")))
        }
    }
}

async fn document(State(admin): State<Admin>) -> Json<OpenApi> {
    Json(admin.0.document.clone())
}

async fn nothing_here() -> Response {
    let detail = "nothing is here; /admin/v1/openapi.json tells what there is";
    Problem::new(StatusCode::NOT_FOUND, "not found", detail).into_response()
}

async fn another_method() -> Response {
    let detail = "there is no such method here; the header `Allow` names those that there are";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever opens a route wider changes this list, and is seen to.
    #[test]
    fn every_route_has_its_role() {
        let (_, _, document) = all_routes(Api::new()).finish();
        let document = serde_json::to_value(document).unwrap();
        let mut routes = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let rule = |name: &str| operation[name].as_str().unwrap_or("-").to_owned();
                let (role, of) = (rule("x-reprieve-role"), rule("x-reprieve-of"));
                routes.push(format!("{path} {} {role} {of}", method.to_uppercase()));
            }
        }
        routes.sort();
        insta::assert_snapshot!(routes.join("\n"));
    }
}
