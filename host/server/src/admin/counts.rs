//! `GET /counts`: what has happened since the host started.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use http::{Method, StatusCode};
use reprieve_core::access::Role;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Admin,
    api::Api,
    route::{Access, Of, Route},
};
use crate::supervisor;

pub(super) fn routes(api: Api) -> Api {
    api.route(
        Route::new(Method::GET, "/counts", Access::Token(Role::Viewer, Of::Fleet), counts)
            .says("What has happened since the host started, counted.", "")
            .answers::<Counts>(StatusCode::OK, "The counts."),
    )
}

/// Counts since the host started.
#[derive(Debug, Serialize, ToSchema)]
struct Counts {
    /// By verdict and reason: `busy settle-window`.
    verdicts: BTreeMap<String, u64>,
    /// Judgements that no policy gave, by failure.
    fall_backs: BTreeMap<String, u64>,
    /// Restarts begun, by cause.
    restarts: BTreeMap<String, u64>,
    /// Wishes for a restart that came to nothing, by cause and why.
    drops: BTreeMap<String, u64>,
    /// Verdicts that were not acted on.
    voids: u64,
    probes: u64,
    /// By fault.
    probe_faults: BTreeMap<String, u64>,
    store_faults: u64,
    queued: u64,
    delivered: u64,
}

impl From<supervisor::Counts> for Counts {
    fn from(counts: supervisor::Counts) -> Self {
        Self {
            verdicts: counts.verdicts,
            fall_backs: counts.fall_backs,
            restarts: counts.restarts,
            drops: counts.drops,
            voids: counts.voids,
            probes: counts.probes,
            probe_faults: counts.probe_faults,
            store_faults: counts.store_faults,
            queued: counts.queued,
            delivered: counts.delivered,
        }
    }
}

async fn counts(State(admin): State<Admin>) -> Json<Counts> {
    Json(admin.supervisor().tally().counts().into())
}
