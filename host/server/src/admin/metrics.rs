//! `GET /metrics`: for Prometheus, which shows a token like everybody else.

use axum::{extract::State, response::IntoResponse};
use http::{Method, StatusCode, header};
use reprieve_core::access::Role;

use super::{
    Admin,
    api::Api,
    problem::Problem,
    route::{Access, Of, Route},
};
use crate::telemetry;

/// With the version of the format, as scrapers want it.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn routes(api: Api) -> Api {
    api.route(
        Route::new(Method::GET, "/metrics", Access::Token(Role::Viewer, Of::Fleet), metrics)
            .says("Metrics, in Prometheus' text format.", "docs/metrics.md names them all.")
            .answers_as::<String>(StatusCode::OK, "The metrics.", "text/plain"),
    )
}

async fn metrics(State(admin): State<Admin>) -> Result<impl IntoResponse, Problem> {
    let text = telemetry::exposition(
        admin.supervisor(),
        admin.policies(),
        admin.experiments(),
        &admin.0.parts.store,
    );
    let text = text.await.map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        Problem::unavailable("the metrics cannot be written; the host's log says why")
    })?;
    Ok(([(header::CONTENT_TYPE, TEXT)], text))
}
