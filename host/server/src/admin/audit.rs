//! `GET /audit`: who did what, when, with which outcome. And how entries come to
//! be: [`Witnessed`] of every request, completed by handlers with a [`Note`].

use std::{net::IpAddr, sync::atomic::Ordering};

use axum::{
    Json,
    extract::{MatchedPath, State},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, request::Parts};
use reprieve_core::{
    access::Role,
    ids::{TenantId, TokenName},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Admin,
    api::Api,
    extract::Query,
    guard::{self, Caller},
    problem::Problem,
    route::{Access, Of, Route},
    tokens,
};
use crate::store::{AuditEntry, AuditFilter, AuditRecord};

/// The longest path that is put on record.
const MAX_TARGET_CHARS: usize = 300;

/// So many hex digits in a row are taken for a secret. An id of the host's own has
/// dashes in between.
const SECRET_HEX_DIGITS: usize = 32;

/// The largest number that JSON's usual readers tell from its neighbours.
const MAX_NUMBER: u64 = 1 << 53;

pub(super) fn routes(api: Api) -> Api {
    api.route(
        Route::new(Method::GET, "/audit", Access::Token(Role::Operator, Of::Listed), list)
            .says(
                "Who did what, newest first.",
                "Requests that change something, and refused ones. A token of some tenants sees \
                 what was about their workspaces.",
            )
            .query::<AuditQuery>()
            .answers::<AuditPage>(StatusCode::OK, "A page of entries."),
    )
}

/// What a handler adds to the entry about its request. Goes into the extensions
/// of its answer. Small things only, and no secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Note {
    pub(super) tenant: Option<TenantId>,
    /// What the asker gave as the reason.
    pub(super) reason: Option<String>,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

impl Note {
    /// `answer`, with this note.
    pub(super) fn on(self, answer: impl IntoResponse) -> Response {
        let mut answer = answer.into_response();
        answer.extensions_mut().insert(self);
        answer
    }
}

/// What is known of a request before it is answered.
pub(super) struct Witnessed {
    pub(super) who: Option<TokenName>,
    pub(super) tenant: Option<TenantId>,
    /// The token is for some tenants only.
    pub(super) is_limited: bool,
    method: Method,
    peer: Option<IpAddr>,
    route: Option<MatchedPath>,
    target: String,
}

impl Witnessed {
    pub(super) fn of(parts: &Parts) -> Self {
        Self {
            who: None,
            tenant: None,
            is_limited: false,
            method: parts.method.clone(),
            peer: guard::peer(parts),
            route: parts.extensions.get().cloned(),
            target: parts.uri.path().to_owned(),
        }
    }

    /// Returns the answer once it is on record, if it is worth it: what changed
    /// something, and what was refused for want of rights.
    pub(super) async fn put_on_record(self, admin: &Admin, mut answer: Response) -> Response {
        let status = answer.status();
        let is_denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            // Another tenant's, or nobody's: both look the same.
            || (status == StatusCode::NOT_FOUND && self.is_limited);
        let note = answer.extensions_mut().remove::<Note>().unwrap_or_default();
        let problem = answer.extensions_mut().remove::<Problem>();
        if !(is_denied || guard::changes(&self.method)) || status == StatusCode::TOO_MANY_REQUESTS {
            return answer;
        }
        // Whoever is refused must not be able to fill the log. What failed here
        // may have changed something.
        let is_refused = status.is_client_error();
        if is_refused && !admin.limits().has_room_for_refusal(self.who.as_ref(), self.peer) {
            admin.left_out().fetch_add(1, Ordering::Relaxed);
            return answer;
        }
        let left_out = admin.left_out().swap(0, Ordering::Relaxed);
        let entry = AuditEntry {
            at: admin.now(),
            who: self.who,
            peer: self.peer.map(|peer| peer.to_string()),
            route: format!("{} {}", self.method, self.route.as_ref().map_or("", |r| r.as_str())),
            target: target_of(admin, &self.target),
            tenant: note.tenant.or(self.tenant),
            status: status.as_u16(),
            detail: note.reason.or(problem.map(|problem| masked(problem.detail(), |_| false))),
            before: note.before,
            after: note.after,
            left_out,
        };
        if let Err(fault) = admin.audit().record(entry).await {
            tracing::error!(%fault, "the audit log could not be written");
            // For the next entry that can be written.
            admin.left_out().fetch_add(left_out, Ordering::Relaxed);
        }
        answer
    }
}

/// A path as it is put on record.
fn target_of(admin: &Admin, path: &str) -> String {
    let is_known = |word: &str| {
        word.parse().is_ok_and(|workspace| admin.supervisor().tenant_of(&workspace).is_some())
    };
    masked(path, is_known).chars().take(MAX_TARGET_CHARS).collect()
}

/// `text` without what may be a secret: who puts his token where a name belongs
/// must not find it on record. What `is_known` is none.
fn masked(text: &str, is_known: impl Fn(&str) -> bool) -> String {
    let ends_word = |c: char| !(c.is_ascii_alphanumeric() || "-_.%".contains(c));
    let mut shown = String::with_capacity(text.len());
    for part in text.split_inclusive(ends_word) {
        let word = part.trim_end_matches(ends_word);
        match may_be_secret(word) && !is_known(word) {
            true => shown.extend(["…", &part[word.len()..]]),
            false => shown.push_str(part),
        }
    }
    shown
}

fn may_be_secret(word: &str) -> bool {
    let is_long = |hex: &str| hex.len() >= SECRET_HEX_DIGITS;
    word.contains(tokens::PREFIX) || word.split(|c: char| !c.is_ascii_hexdigit()).any(is_long)
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Only entries older than the one of this number.
    #[param(minimum = 0, maximum = 9_007_199_254_740_992_u64)]
    before: Option<u64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Entries, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct AuditPage {
    entries: Vec<Entry>,
    /// Goes into `before` for the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// One request on record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct Entry {
    number: u64,
    /// Milliseconds since the Unix epoch.
    at_ms: u64,
    /// The token's name. Absent: none that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    /// The address that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    /// Method and route.
    route: String,
    /// The path that was asked for.
    target: String,
    /// Whose the target is, where it is somebody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// The status of the answer.
    status: u16,
    /// The reason that was given, or why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    /// Refused attempts that were left out before this entry, to bound them.
    left_out: u64,
}

impl From<AuditRecord> for Entry {
    fn from(AuditRecord { number, entry }: AuditRecord) -> Self {
        Self {
            number,
            at_ms: entry.at.0,
            who: entry.who.map(String::from),
            peer: entry.peer,
            route: entry.route,
            target: entry.target,
            tenant: entry.tenant.map(String::from),
            status: entry.status,
            detail: entry.detail,
            before: entry.before,
            after: entry.after,
            left_out: entry.left_out,
        }
    }
}

async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = super::page_size(query.limit)?;
    if query.before.is_some_and(|before| before > MAX_NUMBER) {
        return Err(Problem::malformed(format!("before must be 0 to {MAX_NUMBER}")));
    }
    let filter = AuditFilter { tenants: caller.grant.tenants, before: query.before, limit };
    let entries = admin.audit().list(filter).await?;
    let is_full = entries.len() >= limit as usize;
    let next = entries.last().filter(|_| is_full).map(|record| record.number);
    Ok(Json(AuditPage { entries: entries.into_iter().map(Entry::from).collect(), next }))
}
