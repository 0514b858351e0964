//! A client of the operator's listener.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use reprieve_core::ids::WorkspaceId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// The longest that the host may take. A restart is only begun, not waited for.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read: a million workspaces of 100 bytes.
const ANSWER_LIMIT_BYTES: usize = 100 << 20;

/// Speaks to one host.
#[derive(Debug)]
pub(crate) struct AdminClient {
    base: Url,
    token: String,
}

/// What an operator can ask of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Restart,
    Pause,
    Resume,
    Hibernate,
    Wake,
}

impl Verb {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Hibernate => "hibernate",
            Self::Wake => "wake",
        }
    }
}

/// `GET /admin/v1/workspaces`. Absent fields are unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Workspaces {
    pub(crate) workspaces: Vec<WorkspaceLine>,
}

/// One workspace as the host sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkspaceLine {
    pub(crate) id: WorkspaceId,
    pub(crate) tenant: String,
    /// `online`, `paused`, …
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) life: u64,
    #[serde(default)]
    pub(crate) address: Option<String>,
    /// Age of the newest heartbeat or contact.
    #[serde(default)]
    pub(crate) newest_sign_ms: Option<u64>,
    /// Requests that wait.
    #[serde(default)]
    pub(crate) queue_depth: Option<u32>,
}

/// What the host says to a verb, or why not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    message: Option<String>,
    error: Option<String>,
}

impl AdminClient {
    pub(crate) fn new(base: Url, token: String) -> anyhow::Result<Self> {
        if base.scheme() != "http" || base.cannot_be_a_base() {
            bail!("{base} is no address of an operator's listener; it is an http URL");
        }
        Ok(Self { base, token })
    }

    pub(crate) async fn workspaces(&self) -> anyhow::Result<Workspaces> {
        let answer = self.ask(Method::GET, "admin/v1/workspaces").await?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("the host at {} answers with another shape", self.base))
    }

    /// Returns what the host says to it.
    pub(crate) async fn act(&self, workspace: &WorkspaceId, verb: Verb) -> anyhow::Result<String> {
        let path = format!("admin/v1/workspaces/{workspace}/{}", verb.as_str());
        let answer = self.ask(Method::POST, &path).await?;
        let told: Told = serde_json::from_slice(&answer).unwrap_or_default();
        Ok(told.message.unwrap_or_else(|| format!("{} of {workspace}: accepted", verb.as_str())))
    }

    /// Asks with a body, if there is one, and brings home whatever the host says.
    /// `if_match`: the ETag that was seen.
    pub(crate) async fn ask_json(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.request(method, path)?;
        if let Some(etag) = if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Full::from(body.to_string())
            }
            None => Full::default(),
        };
        let (status, body) = self.exchange(request.body(body)?).await?;
        Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }

    async fn ask(&self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        let request = self.request(method, path)?.body(Full::default())?;
        let (status, body) = self.exchange(request).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<http::request::Builder> {
        let url = self.base.join(path)?;
        let request = Request::builder().method(method).uri(url.as_str());
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        Ok(request.header(header::ACCEPT, "application/json"))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let exchange = async {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let answer = client.request(request).await.with_context(|| {
                format!("no host answers at {}; is `reprieve run` running?", self.base)
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_LIMIT_BYTES).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed).context("the answer broke off")?;
            anyhow::Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .with_context(|| format!("the host at {} did not answer within 30 s", self.base))?
    }
}

/// What a host answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Null where the answer is no JSON.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn refusal(&self) -> anyhow::Error {
        refusal(self.status, self.body.to_string().as_bytes())
    }
}

/// The host's own sentence, where it gives one.
fn refusal(status: StatusCode, body: &[u8]) -> anyhow::Error {
    let told: Told = serde_json::from_slice(body).unwrap_or_default();
    match (told.error.or(told.message), status) {
        (Some(sentence), _) => anyhow::anyhow!("{sentence}"),
        (None, StatusCode::UNAUTHORIZED) => anyhow::anyhow!(
            "the host does not know this token; name the folder of the host that runs with --state-dir"
        ),
        (None, _) => anyhow::anyhow!("the host answers {status}"),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, extract::Path, http::HeaderMap, routing};
    use serde_json::json;

    use super::*;

    /// A host that knows `alpha` and one token.
    async fn host() -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let verb = |Path((id, verb)): Path<(String, String)>, headers: HeaderMap| async move {
            if headers.get(header::AUTHORIZATION).is_none_or(|token| token != "Bearer right") {
                return (StatusCode::UNAUTHORIZED, Json(Value::Null));
            }
            match id.as_str() {
                "alpha" => {
                    (StatusCode::ACCEPTED, Json(json!({"message": format!("{verb} begun")})))
                }
                _ => (StatusCode::NOT_FOUND, Json(json!({"error": "there is no such workspace"}))),
            }
        };
        let list = || async {
            Json(json!({"workspaces": [{"id": "alpha", "tenant": "t", "state": "online"}]}))
        };
        let router = Router::new()
            .route("/admin/v1/workspaces", routing::get(list))
            .route("/admin/v1/workspaces/{id}/{verb}", routing::post(verb));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Url::parse(&format!("http://{address}/")).unwrap()
    }

    #[tokio::test]
    async fn a_verb_brings_home_what_the_host_says() {
        let base = host().await;
        for (case, token, workspace, said) in [
            ("accepted", "right", "alpha", "hibernate begun"),
            ("unknown workspace", "right", "beta", "there is no such workspace"),
            ("wrong token", "wrong", "alpha", "does not know this token"),
        ] {
            let client = AdminClient::new(base.clone(), token.into()).unwrap();
            let told = client.act(&workspace.parse().unwrap(), Verb::Hibernate).await;
            let told = told.unwrap_or_else(|error| error.to_string());
            assert!(told.contains(said), "{case}: {told}");
        }
    }

    #[tokio::test]
    async fn the_list_is_read() {
        let client = AdminClient::new(host().await, "right".into()).unwrap();
        let workspaces = client.workspaces().await.unwrap().workspaces;
        assert_eq!(workspaces[0].state, "online");
    }

    #[test]
    fn only_an_http_address_is_one() {
        for url in ["https://127.0.0.1/", "mailto:x@y"] {
            assert!(AdminClient::new(Url::parse(url).unwrap(), String::new()).is_err(), "{url}");
        }
    }
}
