//! `GET /whoami`: what a token is good for.

use std::collections::BTreeSet;

use axum::Json;
use http::{Method, StatusCode};
use reprieve_core::{
    access::{Grant, Role as CoreRole, Tenants},
    ids::TenantId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    api::Api,
    guard::Caller,
    route::{Access, Of, Route},
};

pub(super) fn routes(api: Api) -> Api {
    let access = Access::Token(CoreRole::Viewer, Of::Nobody);
    api.route(
        Route::new(Method::GET, "/whoami", access, whoami)
            .says("What the token in use is good for.", "")
            .answers::<WhoAmI>(StatusCode::OK, "Its name, role, tenants and end."),
    )
}

/// What a token allows. Each role may do all that the ones before it may.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    Viewer,
    Operator,
    PolicyAdmin,
}

impl From<CoreRole> for Role {
    fn from(role: CoreRole) -> Self {
        match role {
            CoreRole::Viewer => Self::Viewer,
            CoreRole::Operator => Self::Operator,
            CoreRole::PolicyAdmin => Self::PolicyAdmin,
        }
    }
}

impl From<Role> for CoreRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::PolicyAdmin => Self::PolicyAdmin,
        }
    }
}

/// The token in use.
#[derive(Debug, Serialize, ToSchema)]
struct WhoAmI {
    token: String,
    role: Role,
    /// Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<Vec<String>>,
    /// Milliseconds since the Unix epoch. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
}

/// The tenants of a grant as lists show them. None: all.
pub(super) fn tenants(grant: &Grant) -> Option<Vec<String>> {
    match &grant.tenants {
        Tenants::All => None,
        Tenants::These(tenants) => Some(tenants.iter().map(TenantId::to_string).collect()),
    }
}

/// The other way round.
pub(super) fn these(tenants: Option<BTreeSet<TenantId>>) -> Tenants {
    tenants.map_or(Tenants::All, Tenants::These)
}

async fn whoami(caller: Caller) -> Json<WhoAmI> {
    Json(WhoAmI {
        token: caller.token.to_string(),
        role: caller.grant.role.into(),
        tenants: tenants(&caller.grant),
        expires_ms: caller.expires.map(|at| at.0),
    })
}
