//! Whether the host lives: for load balancers and orchestrators, without a token.

use http::{Method, StatusCode};

use super::{
    api::Api,
    route::{Access, Route},
};

pub(super) fn routes(api: Api) -> Api {
    ["/health", "/readyz"].into_iter().fold(api, |api, path| {
        api.route(
            Route::new(Method::GET, path, Access::Open, is_there)
                .says("Whether the host answers.", "Needs no token, and tells nothing else.")
                .answers_nothing(StatusCode::OK, "It does.")
                .refuses(400, "There is a query."),
        )
    })
}

/// The listener is served only once everything else runs.
async fn is_there() -> StatusCode {
    StatusCode::OK
}
