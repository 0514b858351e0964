//! Whether the host lives, and whether it can take on anything: for load balancers
//! and orchestrators, without a token.

use axum::extract::State;
use http::{Method, StatusCode};

use super::{
    Admin,
    api::Api,
    problem::Problem,
    route::{Access, Route},
};

pub(super) const PATH: &str = "/health";

pub(super) fn routes(api: Api) -> Api {
    api.route(
        Route::new(Method::GET, PATH, Access::Open, is_there)
            .says(
                "Whether the host lives.",
                "Needs no token, and tells nothing else. While the host starts, it says \
                 `starting`.",
            )
            .answers_nothing(StatusCode::OK, "It does.")
            .refuses(400, "There is a query."),
    )
    .route(
        Route::new(Method::GET, "/readyz", Access::Open, is_ready)
            .says(
                "Whether the host has started, and can write down what it accepts.",
                "Needs no token, and tells nothing else.",
            )
            .answers_nothing(StatusCode::OK, "It can.")
            .refuses(400, "There is a query.")
            .refuses(503, "The host is starting, or the store cannot be written."),
    )
}

/// While the host starts, [`super::starting`] answers.
async fn is_there() -> StatusCode {
    StatusCode::OK
}

async fn is_ready(State(admin): State<Admin>) -> Result<StatusCode, Problem> {
    match admin.can_write() {
        true => Ok(StatusCode::OK),
        false => Err(Problem::unavailable("the store cannot be written; the host's log says why")),
    }
}
