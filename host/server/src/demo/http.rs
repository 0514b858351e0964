//! The callers of a story.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use url::Url;

/// No caller of a story waits for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a caller got.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Got {
    /// In a caller's words.
    pub(super) fn words(&self) -> String {
        let flag = |name: &str| self.body.get(name) == Some(&Value::Bool(true));
        let meaning = if flag("restarting") {
            "dead, restarting"
        } else if flag("queued") {
            "busy, queued"
        } else if flag("busy") {
            "busy"
        } else if self.status.is_success() {
            "answered"
        } else {
            "upstream error"
        };
        format!("{} {meaning}", self.status.as_u16())
    }

    pub(super) fn is_queued(&self) -> bool {
        self.status == StatusCode::ACCEPTED
    }

    pub(super) fn is_answered(&self) -> bool {
        self.status == StatusCode::OK
    }
}

#[derive(Clone, Debug)]
pub(super) struct Http(Client<HttpConnector, Full<Bytes>>);

impl Http {
    pub(super) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        token: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<Got> {
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::from(body.to_string()))?;
        let exchange = async {
            let answer = self.0.request(request).await?;
            let status = answer.status();
            let bytes = answer.into_body().collect().await?.to_bytes();
            anyhow::Ok(Got { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .with_context(|| format!("{url} did not answer within 30 s"))?
    }
}
