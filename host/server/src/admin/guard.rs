//! Lets requests in, or not: who asks, how often, with which role, about whose
//! workspaces. And has the audit log written.
//!
//! | what is wrong | answer |
//! |---|---|
//! | no token, or one that is unknown, revoked or expired | 401; soon 429 |
//! | too many requests with one token | 429 |
//! | the token's role is too low, or it is not for all tenants | 403 |
//! | another tenant's workspace | 404, as if there were none |

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, header, request::Parts};
use reprieve_core::{
    access::{Grant, Tenants, TokenDigest},
    ids::{TenantId, TokenName, WorkspaceId},
    time::UnixMillis,
};

use super::{
    Admin,
    api::Rule,
    audit::Witnessed,
    extract::path_parameter,
    problem::Problem,
    route::{Access, Of},
};

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) token: TokenName,
    pub(super) grant: Grant,
    /// None: never.
    pub(super) expires: Option<UnixMillis>,
}

impl Caller {
    pub(super) fn sees(&self, tenant: &TenantId) -> bool {
        self.grant.tenants.contain(tenant)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::unauthenticated("this route is for known tokens"))
    }
}

/// Stands before every route, and before what is none.
pub(super) async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut witnessed = Witnessed::of(&parts);
    let answer = match let_in(&admin, &mut parts, &mut witnessed).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    };
    witnessed.put_on_record(&admin, answer).await
}

async fn let_in(
    admin: &Admin,
    parts: &mut Parts,
    witnessed: &mut Witnessed,
) -> Result<(), Problem> {
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let rule = route.and_then(|route| admin.rules().of(&parts.method, route.as_str()));
    let wanted = match rule {
        Some(Rule { access: Access::Open, .. }) => return no_query(rule, parts),
        Some(Rule { access: Access::Token(role, of), .. }) => Some((role, of)),
        // Not even that nothing is there is told to strangers.
        None => None,
    };
    let caller = authenticate(admin, parts)?;
    witnessed.who = Some(caller.token.clone());
    witnessed.is_limited = caller.grant.tenants != Tenants::All;
    admin.limits().request(&caller.token).map_err(|wait| {
        Problem::too_many(format!("token {} asks too often", caller.token), wait)
    })?;
    if let Some((role, of)) = wanted {
        if caller.grant.role < role {
            return Err(Problem::forbidden(format!(
                "this needs the role {role}, and token {} has {}",
                caller.token, caller.grant.role
            )));
        }
        witnessed.tenant = tenant_of(admin, parts, &caller, of).await?;
    }
    no_query(rule, parts)?;
    parts.extensions.insert(caller);
    Ok(())
}

/// 404 if it is another tenant's, as if there were none.
async fn tenant_of(
    admin: &Admin,
    parts: &mut Parts,
    caller: &Caller,
    of: Of,
) -> Result<Option<TenantId>, Problem> {
    let (what, name, tenant) = match of {
        Of::Nobody | Of::Listed | Of::Found => return Ok(None),
        Of::Fleet if caller.grant.tenants == Tenants::All => {
            return Ok(None);
        }
        Of::Fleet => {
            return Err(Problem::forbidden(format!(
                "this is about the whole fleet, and token {} is for some tenants only",
                caller.token
            )));
        }
        Of::Workspace => {
            let name = path_parameter(parts, admin, "workspace").await.unwrap_or_default();
            let tenant = name.parse::<WorkspaceId>().ok();
            let tenant = tenant.and_then(|id| admin.supervisor().tenant_of(&id));
            ("workspace", name, tenant)
        }
        Of::Tenant => {
            let name = path_parameter(parts, admin, "tenant").await.unwrap_or_default();
            let tenant = name.parse().ok();
            ("tenant", name, tenant)
        }
    };
    match tenant {
        Some(tenant) if caller.sees(&tenant) => Ok(Some(tenant)),
        Some(_) | None => Err(Problem::unknown(what, name)),
    }
}

/// Who shows no known token is refused; who does so too often, for a while.
fn authenticate(admin: &Admin, parts: &Parts) -> Result<Caller, Problem> {
    let shown = bearer(&parts.headers);
    let known = shown.and_then(|token| admin.caller(&TokenDigest::of(token)));
    let why = match (shown, known) {
        (_, Some(caller)) if caller.expires.is_none_or(|at| admin.now() < at) => {
            admin.tokens().used(&caller.token, admin.now());
            return Ok(caller);
        }
        (_, Some(_)) => "the token has expired; ask for a new one",
        (Some(_), None) => "the token is not known here",
        (None, None) => {
            "a token is missing: it goes into `Authorization: Bearer …`; the host's own is in \
             admin.token in its state folder"
        }
    };
    match admin.limits().failure(peer(parts)) {
        Ok(()) => Err(Problem::unauthenticated(why)),
        Err(wait) => Err(Problem::too_many(format!("too many wrong tokens; {why}"), wait)),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(super) fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
}

/// A query that no handler would look at is a mistake of the asker.
fn no_query(rule: Option<Rule>, parts: &Parts) -> Result<(), Problem> {
    let is_unread = rule.is_some_and(|rule| !rule.takes_query);
    match parts.uri.query() {
        Some(query) if is_unread && !query.is_empty() => {
            Err(Problem::malformed("this route takes no query"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether a request by this method may change something.
pub(super) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
