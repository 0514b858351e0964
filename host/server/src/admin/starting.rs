//! The listener while the host starts, which may take as long as a policy is
//! compiled: an orchestrator that asks for life must not kill it meanwhile.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use tower_service::Service as _;

use super::{health, problem::Problem, route::PREFIX};

/// Tells that the host starts, until it has. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Starting(Arc<OnceLock<Router>>);

impl Starting {
    /// What is served from the first moment on.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// The host has started: from now on this answers.
    pub fn end(&self, router: Router) {
        // Only the first counts, and a host starts once.
        let _ = self.0.set(router);
    }
}

async fn answer(State(starting): State<Starting>, request: Request) -> Response {
    if let Some(router) = starting.0.get() {
        let Ok(answer) = router.clone().call(request).await;
        return answer;
    }
    match request.uri().path().strip_prefix(PREFIX) {
        Some(health::PATH) => "starting".into_response(),
        Some(_) | None => {
            let detail = "the host is starting; `GET /admin/v1/health` tells that it lives";
            Problem::unavailable(detail).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing};
    use http::StatusCode;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(starting: &Starting, path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(format!("/admin/v1{path}"));
        let Ok(answer) = starting.router().call(request.body(Body::empty()).unwrap()).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_host_that_starts_lives_and_is_not_ready() {
        let starting = Starting::default();
        assert_eq!(ask(&starting, "/health").await, (StatusCode::OK, "starting".to_owned()));
        for path in ["/readyz", "/workspaces", "/nowhere"] {
            let (status, body) = ask(&starting, path).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert!(body.contains("the host is starting"), "{path}: {body}");
        }
        starting
            .end(Router::new().route("/admin/v1/health", routing::get(|| async { "all of it" })));
        assert_eq!(ask(&starting, "/health").await, (StatusCode::OK, "all of it".to_owned()));
        assert_eq!(ask(&starting, "/nowhere").await.0, StatusCode::NOT_FOUND);
    }
}
