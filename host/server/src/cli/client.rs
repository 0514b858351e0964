//! A client of the operator's listener.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header, response::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use reprieve_core::ids::WorkspaceId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::{output, unreached};
use crate::tls;

/// The longest that the host may take. A restart is only begun, not waited for.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What is waited for: a compiler has up to an hour, and others may come first.
const LONG: Duration = Duration::from_secs(2 * 3_600);
/// The largest answer that is read.
const ANSWER_LIMIT_BYTES: usize = 100 << 20;
/// Pages of one list that are asked for: a million workspaces.
const MAX_PAGES: usize = 1_000;

/// Speaks to one host.
pub(crate) struct AdminClient {
    base: Url,
    token: String,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What was asked reached a host, or may have, and no answer came.
#[derive(Debug, thiserror::Error)]
#[error("the answer of the host at {base} was lost; what was asked may be done all the same")]
pub(crate) struct AnswerLost {
    base: Url,
    source: anyhow::Error,
}

/// The host says no, in its own words where it has some.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Refused {
    status: StatusCode,
    sentence: String,
}

impl Refused {
    /// It may say yes later, whoever asks.
    pub(crate) fn may_pass(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

/// What is sent along.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) media_type: &'static str,
    pub(crate) bytes: Bytes,
}

impl Content {
    pub(crate) fn json(value: &Value) -> Self {
        Self { media_type: "application/json", bytes: value.to_string().into() }
    }
}

impl std::fmt::Debug for AdminClient {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminClient").field("base", &self.base).finish_non_exhaustive()
    }
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
    #[serde(default, skip_serializing)]
    next: Option<String>,
}

impl Workspaces {
    pub(crate) const fn of(workspaces: Vec<WorkspaceLine>) -> Self {
        Self { workspaces, next: None }
    }
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

/// What the host says to a verb.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    message: Option<String>,
}

/// Why not: RFC 9457.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: Option<String>,
    problems: Vec<Flaw>,
}

#[derive(Debug, Deserialize)]
struct Flaw {
    path: String,
    message: String,
}

impl AdminClient {
    /// `ca`: whom to trust over https, instead of whom the machine trusts.
    pub(crate) fn new(base: Url, token: String, ca: Option<&Path>) -> anyhow::Result<Self> {
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            bail!("{base} is no address of an operator's listener; it is an http or https URL");
        }
        let trusted = match ca {
            Some(file) => tls::config_trusting(file)?,
            None => tls::config(),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trusted)
            .https_or_http()
            .enable_http1()
            .build();
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base, token, http })
    }

    pub(crate) const fn base(&self) -> &Url {
        &self.base
    }

    /// All that the token sees.
    pub(crate) async fn workspaces(&self) -> anyhow::Result<Workspaces> {
        let mut all = Vec::new();
        let mut path = "workspaces?limit=1000".to_owned();
        for _ in 0..MAX_PAGES {
            let page: Workspaces = self.get(&path).await?;
            all.extend(page.workspaces);
            let Some(after) = page.next else { break };
            path = format!("workspaces?limit=1000&after={after}");
        }
        Ok(Workspaces::of(all))
    }

    /// Returns what the host says to it.
    pub(crate) async fn act(&self, workspace: &WorkspaceId, verb: Verb) -> anyhow::Result<String> {
        let path = format!("workspaces/{workspace}/{}", verb.as_str());
        let (_, answer) = self.ask(Method::POST, &path, &HeaderMap::new(), None).await?;
        let told: Told = serde_json::from_slice(&answer).unwrap_or_default();
        Ok(told.message.unwrap_or_else(|| format!("{} of {workspace}: accepted", verb.as_str())))
    }

    /// `path` is below `/admin/v1/`, with the query.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let (_, answer) = self.ask(Method::GET, path, &HeaderMap::new(), None).await?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("the host at {} answers with another shape", self.base))
    }

    /// Asks, and returns the head of the answer (with its `ETag`, for example)
    /// and its body. Whatever is no success is an error, in the host's words.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: Option<&Value>,
    ) -> anyhow::Result<(Parts, Bytes)> {
        let content = body.map(Content::json);
        self.exchange(method, path, headers, content, TIMEOUT).await
    }

    /// The same for what takes its time.
    pub(crate) async fn ask_and_wait(
        &self,
        path: &str,
        headers: &HeaderMap,
        content: Content,
    ) -> anyhow::Result<(Parts, Bytes)> {
        self.exchange(Method::POST, path, headers, Some(content), LONG).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        content: Option<Content>,
        within: Duration,
    ) -> anyhow::Result<(Parts, Bytes)> {
        let changes = method != Method::GET;
        let exchange = async {
            let (parts, body) = self.send(method, path, headers, content).await?;
            let body = Limited::new(body, ANSWER_LIMIT_BYTES).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed).context("the answer broke off");
            anyhow::Ok((parts, body.map_err(|error| self.lost(changes, error))?.to_bytes()))
        };
        let (parts, body) =
            tokio::time::timeout(within, exchange).await.map_err(|_elapsed| {
                let host = &self.base;
                let late = anyhow::anyhow!("the host at {host} did not answer within {within:?}");
                self.lost(changes, late)
            })??;
        match parts.status.is_success() {
            true => Ok((parts, body)),
            false => Err(refusal(parts.status, &body).into()),
        }
    }

    /// Asks for a stream of events, and returns its body to be read.
    pub(crate) async fn stream(&self, path: &str) -> anyhow::Result<Incoming> {
        let headers = HeaderMap::new();
        let asked = self.send(Method::GET, path, &headers, None);
        let (parts, body) = tokio::time::timeout(TIMEOUT, asked).await.with_context(|| {
            format!("the host at {} did not answer within {TIMEOUT:?}", self.base)
        })??;
        if parts.status.is_success() {
            return Ok(body);
        }
        let told = Limited::new(body, ANSWER_LIMIT_BYTES).collect().await;
        let told = told.map(|told| told.to_bytes()).unwrap_or_default();
        Err(refusal(parts.status, &told).into())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        content: Option<Content>,
    ) -> anyhow::Result<(Parts, Incoming)> {
        let url = self.base.join("admin/v1/")?.join(path)?;
        let changes = method != Method::GET;
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(content) = &content {
            request = request.header(header::CONTENT_TYPE, content.media_type);
        }
        let body = content.map(|content| content.bytes).unwrap_or_default();
        let answer = self.http.request(request.body(Full::from(body))?).await;
        let answer = answer.map_err(|error| {
            let is_sent = changes && !error.is_connect();
            let why = unreached::why(&self.base, &error);
            self.lost(is_sent, anyhow::Error::new(error).context(why))
        })?;
        Ok(answer.into_parts())
    }

    /// Of a question nobody needs to know what became of it.
    fn lost(&self, changes: bool, source: anyhow::Error) -> anyhow::Error {
        match changes {
            true => AnswerLost { base: self.base.clone(), source }.into(),
            false => source,
        }
    }
}

/// The host's own sentence, where it gives one.
fn refusal(status: StatusCode, body: &[u8]) -> Refused {
    let told: Problem = serde_json::from_slice(body).unwrap_or_default();
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            "; name the folder of the host that runs with --state-dir, or a token with --token-file"
        }
        _ => "",
    };
    let Some(mut sentence) = told.detail else {
        return Refused { status, sentence: format!("the host answers {status}{hint}") };
    };
    // A policy's own words may be among them.
    sentence = output::plain(&sentence) + hint;
    for Flaw { path, message } in told.problems {
        sentence += &format!("\n  {}: {}", output::plain(&path), output::plain(&message));
    }
    Refused { status, sentence }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, extract::Path, routing};
    use serde_json::json;

    use super::*;

    /// A host that knows `alpha` and one token.
    async fn host() -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let verb = |Path((id, verb)): Path<(String, String)>, headers: HeaderMap| async move {
            if headers.get(header::AUTHORIZATION).is_none_or(|token| token != "Bearer right") {
                return (StatusCode::UNAUTHORIZED, Json(json!({"detail": "it is not known"})));
            }
            match id.as_str() {
                "alpha" => {
                    (StatusCode::ACCEPTED, Json(json!({"message": format!("{verb} begun")})))
                }
                _ => (
                    StatusCode::NOT_FOUND,
                    Json(json!({"detail": "no such workspace",
                        "problems": [{"path": "id", "message": "is unknown"}]})),
                ),
            }
        };
        // Two pages.
        let list = |uri: http::Uri| async move {
            match uri.query() {
                Some("limit=1000") => Json(json!({"next": "a", "workspaces":
                    [{"id": "a", "tenant": "t", "state": "online"}]})),
                _ => Json(json!({"workspaces": [{"id": "b", "tenant": "t", "state": "paused"}]})),
            }
        };
        let router = Router::new()
            .route("/admin/v1/workspaces", routing::get(list))
            .route("/admin/v1/workspaces/{id}/{verb}", routing::post(verb));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Url::parse(&format!("http://{address}/")).unwrap()
    }

    fn client(base: Url, token: &str) -> AdminClient {
        AdminClient::new(base, token.to_owned(), None).unwrap()
    }

    #[tokio::test]
    async fn a_verb_brings_home_what_the_host_says() {
        let base = host().await;
        for (case, token, workspace, said) in [
            ("accepted", "right", "alpha", "hibernate begun"),
            ("unknown workspace", "right", "beta", "no such workspace\n  id: is unknown"),
            ("wrong token", "wrong", "alpha", "it is not known; name the folder"),
        ] {
            let client = client(base.clone(), token);
            let told = client.act(&workspace.parse().unwrap(), Verb::Hibernate).await;
            let told = told.unwrap_or_else(|error| error.to_string());
            assert!(told.contains(said), "{case}: {told}");
        }
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end() {
        let workspaces = client(host().await, "right").workspaces().await.unwrap().workspaces;
        let names: Vec<_> = workspaces.iter().map(|line| line.id.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_change_whose_answer_is_lost_may_be_done_all_the_same() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let host = tokio::spawn(async move {
            let (mut caller, _) = listener.accept().await.unwrap();
            let mut heard = [0];
            tokio::io::AsyncReadExt::read_exact(&mut caller, &mut heard).await.unwrap();
        });
        let client = client(base, "right");
        let alpha = "alpha".parse().unwrap();
        let lost = client.act(&alpha, Verb::Restart).await.unwrap_err();
        assert!(lost.is::<AnswerLost>(), "{lost:#}");
        host.await.unwrap();
        let nobody = client.act(&alpha, Verb::Restart).await.unwrap_err().to_string();
        assert!(nobody.contains("no host answers"), "it was never sent: {nobody}");
    }

    #[test]
    fn a_client_does_not_show_its_token() {
        let client = client(Url::parse("http://127.0.0.1:1/").unwrap(), "secret");
        let shown = format!("{client:?}");
        assert!(shown.contains("127.0.0.1") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn only_an_http_address_is_one() {
        for url in ["ftp://127.0.0.1/", "mailto:x@y"] {
            let url = Url::parse(url).unwrap();
            assert!(AdminClient::new(url.clone(), String::new(), None).is_err(), "{url}");
        }
    }
}
