//! A fleet with an admin API in front of it, asked without a network.

use std::{num::NonZeroU32, sync::Arc};

use axum::{Router, body::Body};
use futures::FutureExt as _;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use reprieve_core::{
    access::{Grant, Role, Tenants, TokenDigest},
    time::{Millis, UnixMillis},
};
use reprieve_server::{
    admin::{self, AdminLimits, AdminParts},
    policies::Policies,
    store::TokenRecord,
};
use reprieve_tests::{PolicyName, Stage, StageOptions, policies_in};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

/// The token in the state folder.
pub(crate) const HOSTS_OWN: &str = "the-hosts-own-token";

/// The tenant of every workspace on a stage.
pub(crate) const TENANT: &str = "acme";

pub(crate) struct Desk {
    pub(crate) stage: Stage,
    /// The host's state, as far as it is not in memory.
    pub(crate) folder: TempDir,
    router: Router,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null: no JSON, or a stream.
    pub(crate) body: Value,
}

impl Desk {
    /// With limits that no test reaches.
    pub(crate) async fn set() -> Self {
        let many = NonZeroU32::new(100_000).unwrap();
        Self::with(AdminLimits { requests_per_second: many, failures_per_minute: many }).await
    }

    pub(crate) async fn with(limits: AdminLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policies = policies_in(folder.path()).await;
        let current = Some(Arc::clone(policies.current()));
        let stage = Stage::set(StageOptions { current, ..StageOptions::default() }).await;
        Self::before(stage, folder, policies, limits).await
    }

    /// A policy judges that misbehaves on demand. It is none of the host's own.
    pub(crate) async fn unruly() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policies = policies_in(folder.path()).await;
        let policy = PolicyName::Unruly;
        let stage = Stage::set(StageOptions { policy, ..StageOptions::default() }).await;
        Self::before(stage, folder, policies, AdminLimits::default()).await
    }

    async fn before(
        stage: Stage,
        folder: TempDir,
        policies: Policies,
        limits: AdminLimits,
    ) -> Self {
        let experiments = stage.experiments(&policies).await;
        let router = admin::router(AdminParts {
            supervisor: stage.supervisor.clone(),
            settings: stage.settings.clone(),
            policies,
            experiments,
            store: stage.store.clone(),
            clock: stage.clock.clone(),
            hosts_own_token: HOSTS_OWN.to_owned(),
            limits,
            stop: CancellationToken::new(),
        });
        Self { stage, folder, router }
    }

    /// A token of that role, for these tenants; none: for all.
    pub(crate) async fn token(&self, name: &str, role: Role, tenants: &[&str]) -> String {
        self.token_until(name, role, tenants, None).await
    }

    pub(crate) async fn token_until(
        &self,
        name: &str,
        role: Role,
        tenants: &[&str],
        expires: Option<UnixMillis>,
    ) -> String {
        let tenants = match tenants {
            [] => Tenants::All,
            some => Tenants::These(some.iter().map(|name| name.parse().unwrap()).collect()),
        };
        let record = TokenRecord {
            name: name.parse().unwrap(),
            grant: Grant { role, tenants },
            created: self.stage.clock.now(),
            created_by: "admin".parse().unwrap(),
            expires,
            last_used: None,
        };
        let secret = format!("rpv_{name}");
        self.stage.store.tokens.create(record, TokenDigest::of(&secret)).await.unwrap();
        secret
    }

    /// An experiment that runs: other settings, judged in the shadow. Once, if it is
    /// asked for twice.
    pub(crate) async fn try_settings(&self, name: &str, tenants: &[&str]) {
        let now = self.now().0;
        let definition = json!({"name": name, "owner": "ana", "hypothesis": "it is as good",
            "mode": "shadow", "share_bp": 10_000, "target": {"tenants": tenants},
            "candidate": {"settings": {"settle": "45s"}}, "ends_at_ms": now + 86_400_000});
        let body = json!({"definition": definition});
        let answer = self.post("/experiments", HOSTS_OWN, &body).await;
        let is_there = matches!(answer.status.as_u16(), 201 | 409);
        assert!(is_there, "{}", answer.body);
    }

    pub(crate) async fn revoke(&self, name: &str) {
        let (tokens, name) = (&self.stage.store.tokens, name.parse().unwrap());
        let (_, digest) = tokens.get(&name).unwrap();
        assert_eq!(tokens.revoke(&name, digest).await, Ok(true), "{name}");
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.stage.clock.now()
    }

    /// Time goes on.
    pub(crate) async fn pass(&self, time: Millis) {
        self.stage.pass(time.as_duration()).await;
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, Some(token), &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.ask(Method::POST, path, Some(token), &json, &body.to_string()).await
    }

    /// Changes settings, if they are still as they were seen.
    pub(crate) async fn patch(
        &self,
        layer: &str,
        token: &str,
        if_match: &str,
        body: &Value,
    ) -> Answer {
        let headers = [("content-type", "application/json"), ("if-match", if_match)];
        let path = format!("/settings/{layer}");
        self.ask(Method::PATCH, &path, Some(token), &headers, &body.to_string()).await
    }

    /// A stream, which is let in.
    pub(crate) async fn stream(&self, path: &str, token: &str) -> Body {
        let request = Request::builder()
            .uri(format!("/admin/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let answer = self.router.clone().call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.into_body()
    }

    /// Asks, and hangs up at once: what hyper does with a request then.
    pub(crate) async fn hang_up_on(&self, path: &str, token: &str) {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/admin/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        assert!(self.router.clone().call(request).now_or_never().is_none(), "it takes a while");
    }

    /// `path` is below `/admin/v1`.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.send(method, path, token, headers, Body::from(body.to_owned())).await
    }

    /// The same with any body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/admin/v1{path}"));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let answer = self.router.clone().call(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let is_stream = kind.is_some_and(|kind| kind == "text/event-stream");
        let body = match is_stream {
            true => Value::Null,
            false => {
                let bytes = body.collect().await.unwrap().to_bytes();
                serde_json::from_slice(&bytes).unwrap_or_default()
            }
        };
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// A path of the document with a value in the place of each name: `{workspace}`.
pub(crate) fn filled(template: &str, value: impl Fn(&str) -> String) -> String {
    let parts = template.split('/').map(|part| {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        name.map_or_else(|| part.to_owned(), &value)
    });
    parts.collect::<Vec<_>>().join("/")
}
