//! `/tokens`: who may use this API. A token is shown once, when it is made; the
//! host keeps its digest.

use std::collections::BTreeSet;

use axum::{Json, extract::State, response::Response};
use http::{Method, StatusCode};
use rand::random;
use reprieve_core::{
    access::{Grant, Role as CoreRole, Tenants, TokenDigest},
    ids::{TenantId, TokenName},
    time::Millis,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    Admin,
    api::Api,
    audit::Note,
    extract::{Body, Named, whole_number},
    guard::Caller,
    problem::{Flaw, Problem},
    route::{Access, Of, Route},
    whoami::{self, Role},
};
use crate::store::{TokenNotCreated, TokenRecord};

/// By it a token is recognised where it must not be: in a commit, in a log.
pub(super) const PREFIX: &str = "rpv_";

/// The name of the token in the state folder, which no other may have.
pub(super) const HOSTS_OWN: &str = "admin";
/// Who else brings policies into force, as histories name him.
const RESERVED: [&str; 3] = ["configuration", "host", "watch"];

/// Tenants of one token.
const MAX_TENANTS: usize = 1_000;

/// Ten years.
const MAX_LIFETIME: Millis = Millis::from_secs(3_650 * 24 * 3_600);

pub(super) fn routes(api: Api) -> Api {
    let policy_admin = |of| Access::Token(CoreRole::PolicyAdmin, of);
    api.route(
        Route::new(Method::GET, "/tokens", policy_admin(Of::Listed), list)
            .says("The tokens, by name.", "Without those that allow more than the asker's own.")
            .answers::<Tokens>(StatusCode::OK, "What is known of each. Not what they are."),
    )
    .route(
        Route::new(Method::POST, "/tokens", policy_admin(Of::Listed), create)
            .says(
                "Makes a token.",
                "It cannot allow more than the asker's own, nor for longer, and is not revoked \
                 with it. It is in the answer, and nowhere \
                 else: who loses it makes another one.",
            )
            .body::<NewToken>()
            .answers::<CreatedToken>(StatusCode::CREATED, "The token.")
            .refuses(
                409,
                "There is one of that name, or there are too many: of all, or of the asker's.",
            ),
    )
    .route(
        Route::new(Method::DELETE, "/tokens/{token}", policy_admin(Of::Found), revoke)
            .says(
                "Revokes a token.",
                "Nobody is let in with it from now on, even if the answer is 503: then it is \
                 still on disk, and good again if the host is started anew before it could be \
                 removed there.",
            )
            .answers_nothing(StatusCode::NO_CONTENT, "It is revoked.")
            .refuses(409, "It is the host's own."),
    )
}

/// The tokens.
#[derive(Debug, Serialize, ToSchema)]
struct Tokens {
    tokens: Vec<Token>,
}

/// What is known of a token. Times are milliseconds since the Unix epoch.
#[derive(Debug, Serialize, ToSchema)]
struct Token {
    name: String,
    role: Role,
    /// Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<Vec<String>>,
    created_ms: u64,
    /// The token that made it.
    created_by: String,
    /// Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    /// To within a minute. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_ms: Option<u64>,
}

impl From<TokenRecord> for Token {
    fn from(record: TokenRecord) -> Self {
        Self {
            name: record.name.to_string(),
            role: record.grant.role.into(),
            tenants: whoami::tenants(&record.grant),
            created_ms: record.created.0,
            created_by: record.created_by.to_string(),
            expires_ms: record.expires.map(|at| at.0),
            last_used_ms: record.last_used.map(|at| at.0),
        }
    }
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// 1 to 63 letters, digits, `-`, `_` and `.`.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    name: String,
    role: Role,
    /// Whose workspaces it is about. Absent: everybody's.
    #[schema(min_items = 1, max_items = 1000)]
    tenants: Option<Vec<TenantName>>,
    /// How long it is good for, in milliseconds. Absent: until it is revoked.
    #[schema(minimum = 1, maximum = 315_360_000_000_u64)]
    #[serde(default, deserialize_with = "whole_number")]
    expires_in_ms: Option<u64>,
}

/// 1 to 63 letters, digits, `-`, `_` and `.`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
pub(super) struct TenantName(String);

/// A token that was made.
#[derive(Serialize, ToSchema)]
struct CreatedToken {
    /// What to show. It is not to be had again.
    token: String,
    #[serde(flatten)]
    known: Token,
}

async fn list(State(admin): State<Admin>, caller: Caller) -> Json<Tokens> {
    let tokens = admin.tokens().list().into_iter();
    let seen = tokens.filter(|token| caller.grant.covers(&token.grant));
    Json(Tokens { tokens: seen.map(Token::from).collect() })
}

async fn create(
    State(admin): State<Admin>,
    caller: Caller,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    let Checked { name, grant, lifetime } = check(new)?;
    if !caller.grant.covers(&grant) {
        return Err(Problem::forbidden(format!(
            "token {} cannot give on more than it is itself: {}, for {}",
            caller.token,
            caller.grant.role,
            shown(&caller.grant.tenants)
        )));
    }
    let secret = make();
    let now = admin.now();
    let expires = lifetime.map(|lifetime| now + lifetime);
    if caller.expires.is_some_and(|end| expires.is_none_or(|expires| expires > end)) {
        return Err(Problem::forbidden(format!(
            "token {} has an end, and cannot make a token that outlives it: give expires_in_ms, \
             at most {}",
            caller.token,
            caller.expires.map_or(0, |end| now.age(end).0)
        )));
    }
    let record = TokenRecord {
        name,
        grant,
        created: now,
        created_by: caller.token,
        expires,
        last_used: None,
    };
    let created = admin.tokens().create(record.clone(), TokenDigest::of(&secret)).await;
    created.map_err(|refused| match refused {
        TokenNotCreated::NameTaken(_) => Problem::conflict("name taken", refused),
        TokenNotCreated::TooMany | TokenNotCreated::TooManyOfOne(_) => {
            Problem::conflict("too many tokens", refused)
        }
        TokenNotCreated::StoreUnavailable => Problem::unavailable(refused),
    })?;
    let known = Token::from(record);
    let after = Some(json!({"token": known.name, "role": known.role, "tenants": known.tenants,
        "expires_ms": known.expires_ms}));
    let created = (StatusCode::CREATED, Json(CreatedToken { token: secret, known }));
    Ok(Note { after, ..Note::default() }.on(created))
}

async fn revoke(
    State(admin): State<Admin>,
    caller: Caller,
    Named(name): Named<TokenName>,
) -> Result<Response, Problem> {
    if name.as_str() == HOSTS_OWN {
        let detail = "the host's own token goes with its file: stop the host, remove admin.token \
                      from the state folder, and start it";
        return Err(Problem::conflict("hosts own token", detail));
    }
    let unknown = || Problem::unknown("token", &name);
    let (record, digest) = admin.tokens().get(&name).ok_or_else(unknown)?;
    if !caller.grant.covers(&record.grant) {
        return Err(unknown());
    }
    match admin.tokens().revoke(&name, digest).await {
        Ok(true) => {}
        Ok(false) => return Err(unknown()),
        Err(fault) => {
            return Err(Problem::unavailable(format!(
                "nobody is let in with token {name} any more, but {fault}: a host that is started \
                 anew would let it in; revoke it again when the store can be written"
            )));
        }
    }
    let before = Some(json!({"token": record.name, "role": record.grant.role,
        "tenants": whoami::tenants(&record.grant)}));
    Ok(Note { before, ..Note::default() }.on(StatusCode::NO_CONTENT))
}

struct Checked {
    name: TokenName,
    grant: Grant,
    lifetime: Option<Millis>,
}

/// Names everything that is wrong with it.
fn check(new: NewToken) -> Result<Checked, Problem> {
    let mut flaws = Vec::new();
    let mut wrong = |path: String, message: String| flaws.push(Flaw { path, message });
    let name = new.name.parse::<TokenName>();
    match &name {
        Err(invalid) => wrong("name".to_owned(), invalid.to_string()),
        Ok(name) if name.as_str() == HOSTS_OWN => {
            wrong("name".to_owned(), format!("{HOSTS_OWN} is the host's own token"));
        }
        Ok(name) if RESERVED.contains(&name.as_str()) => {
            wrong("name".to_owned(), format!("{name} is what the host calls itself in histories"));
        }
        Ok(_) => {}
    }
    let tenants = new.tenants.map(|tenants| {
        if tenants.is_empty() || tenants.len() > MAX_TENANTS {
            let message = format!("1 to {MAX_TENANTS} tenants; leave it out for all of them");
            wrong("tenants".to_owned(), message);
        }
        let mut these = BTreeSet::new();
        for (index, TenantName(tenant)) in tenants.iter().take(MAX_TENANTS).enumerate() {
            match tenant.parse::<TenantId>() {
                Ok(tenant) => drop(these.insert(tenant)),
                Err(invalid) => wrong(format!("tenants[{index}]"), invalid.to_string()),
            }
        }
        these
    });
    let lifetime = new.expires_in_ms.map(Millis);
    if lifetime.is_some_and(|lifetime| !(Millis(1)..=MAX_LIFETIME).contains(&lifetime)) {
        let message = format!("must be 1 to {} ms", MAX_LIFETIME.0);
        wrong("expires_in_ms".to_owned(), message);
    }
    match name {
        Ok(name) if flaws.is_empty() => {
            let grant = Grant { role: new.role.into(), tenants: whoami::these(tenants) };
            Ok(Checked { name, grant, lifetime })
        }
        Ok(_) | Err(_) => Err(Problem::invalid("the token cannot be made", flaws)),
    }
}

fn shown(tenants: &Tenants) -> String {
    match tenants {
        Tenants::All => "all tenants".to_owned(),
        Tenants::These(tenants) => {
            let names: Vec<_> = tenants.iter().map(TenantId::as_str).take(10).collect();
            names.join(", ")
        }
    }
}

fn make() -> String {
    let bytes: [u8; 32] = random();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}{hex}")
}
