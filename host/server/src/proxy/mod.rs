//! Requests in, answers out.
//!
//! | request below `/workspaces/{id}` | meaning |
//! |---|---|
//! | `POST /a2a`, `POST /a2a-at/{path}` | an A2A request for the workspace's address, or for a path below it: made whole, queued when the workspace is busy ([`a2a`]) |
//! | `GET /.well-known/agent-card.json`, `…/agent.json` | the workspace's card, leading to the proxy ([`transparent::card`]) |
//! | `GET /queue/{queue_id}`, `…/answer` | a queued request and its answer ([`item`]) |
//! | `PUT` | the workspace registers ([`report`]) |
//! | `POST /heartbeat` | the workspace gives a sign of life ([`report`]) |
//! | anything else | streamed through as it is ([`transparent`]) |
//!
//! A forward that fails is classified ([`failure`]), judged by the fleet (known
//! here only as the trait [`Fleet`]) and answered ([`forward`]) as the table in
//! [`reprieve_core::reply`] says. Answers that a decision led to name it in the
//! header `reprieve-decision`.

mod a2a;
mod answer;
mod body;
pub mod deliver;
mod failure;
pub mod fleet;
mod forward;
pub mod headers;
mod item;
pub mod options;
mod path;
mod report;
mod resolve;
mod transparent;
mod tunnel;
mod upstream;
mod watch;

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, State},
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use reprieve_core::ids::WorkspaceId;
use tracing::Instrument as _;

use self::{
    answer::{Answer, refusal},
    forward::{Errand, Proxy},
    headers::Way,
    path::{PathProblem, Target},
    upstream::Upstream,
};
pub use self::{
    deliver::{Deliverer, DeliveryFailure},
    fleet::Fleet,
    options::ProxyOptions,
};
use crate::telemetry::traces::spans;

/// Everything that callers and workspaces reach of the proxy. Callers' addresses
/// are known if it is served with [`crate::serve::serve()`], or with axum's connect info.
pub fn router(fleet: Arc<dyn Fleet>, options: ProxyOptions) -> Router {
    let upstream = Upstream::new(&options);
    let proxy = Proxy { fleet, options: Arc::new(options), upstream };
    Router::new().fallback(handle).with_state(proxy)
}

async fn handle(State(proxy): State<Proxy>, request: Request<Body>) -> Answer {
    let path = request.uri().path().to_owned();
    let Target { workspace, rest } = match path::parse(&path) {
        Ok(target) => target,
        Err(problem @ PathProblem::NotOurs) => return refusal(StatusCode::NOT_FOUND, problem),
        Err(problem @ (PathProblem::Name(_) | PathProblem::Escapes)) => {
            return refusal(StatusCode::BAD_REQUEST, problem);
        }
    };
    if let Some(name) = headers::forged(request.headers()) {
        let sentence = format!("the header {name} speaks for the system; callers may not send it");
        return refusal(StatusCode::FORBIDDEN, sentence);
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let way = Way { peer, trust_forwarded: proxy.options.trust_forwarded };
    match Resource::of(request.method(), rest) {
        Resource::Registration => report::register(&proxy, &workspace, request).await,
        Resource::Heartbeat => report::heartbeat(&proxy, &workspace, request).await,
        Resource::Queued(rest) => item::show(&proxy, &workspace, rest).await,
        Resource::NotAllowed(allowed) => not_allowed(allowed),
        Resource::A2a(below) => {
            let go = |errand, request| a2a::handle(&proxy, errand, request, below, &way);
            run(&proxy, &workspace, request, go).await
        }
        Resource::Card => {
            let go = |errand, request| transparent::card(&proxy, errand, request, rest, &way);
            run(&proxy, &workspace, request, go).await
        }
        Resource::Transparent => {
            let go = |errand, request| transparent::handle(&proxy, errand, request, rest, &way);
            run(&proxy, &workspace, request, go).await
        }
    }
}

/// What a request below a workspace is for.
#[derive(Debug, PartialEq, Eq)]
enum Resource<'a> {
    Registration,
    Heartbeat,
    Queued(&'a str),
    /// Ours, but only with that method.
    NotAllowed(Method),
    A2a(&'a str),
    Card,
    Transparent,
}

impl<'a> Resource<'a> {
    fn of(method: &Method, rest: &'a str) -> Self {
        let (first, below) = match rest.strip_prefix('/') {
            Some(path) => path.split_at(path.find('/').unwrap_or(path.len())),
            None => ("", ""),
        };
        match (first, below) {
            ("", "") if rest.is_empty() && method == Method::PUT => Self::Registration,
            ("heartbeat", "") if method == Method::POST => Self::Heartbeat,
            ("heartbeat", "") => Self::NotAllowed(Method::POST),
            ("queue", _) if method == Method::GET => {
                Self::Queued(below.strip_prefix('/').unwrap_or(below))
            }
            ("queue", _) => Self::NotAllowed(Method::GET),
            ("a2a", "") if method == Method::POST => Self::A2a(""),
            ("a2a-at", _) if method == Method::POST => Self::A2a(below),
            (".well-known", "/agent-card.json" | "/agent.json") if method == Method::GET => {
                Self::Card
            }
            _ => Self::Transparent,
        }
    }
}

/// Runs an errand for a workspace, in a span of its own.
async fn run<F: Future<Output = Answer>>(
    proxy: &Proxy,
    workspace: &WorkspaceId,
    request: Request<Body>,
    go: impl FnOnce(Errand, Request<Body>) -> F,
) -> Answer {
    let Some(route) = proxy.fleet.route(workspace) else { return unknown(workspace) };
    let span = spans::request(&request, workspace, &route.tenant);
    let errand = Errand { workspace: workspace.clone(), route, item: None };
    let answer = go(errand, request).instrument(span.clone()).await;
    spans::answered(&span, answer.status());
    answer
}

fn unknown(workspace: &WorkspaceId) -> Answer {
    refusal(StatusCode::NOT_FOUND, format!("there is no workspace {workspace}"))
}

fn not_allowed(allowed: Method) -> Answer {
    let sentence = format!("only {allowed} is understood here");
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, sentence);
    if let Ok(allowed) = HeaderValue::try_from(allowed.as_str()) {
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_never_forwarded() {
        for (method, rest, expected) in [
            (Method::PUT, "", Resource::Registration),
            (Method::GET, "", Resource::Transparent),
            (Method::PUT, "/", Resource::Transparent),
            (Method::POST, "/heartbeat", Resource::Heartbeat),
            (Method::GET, "/heartbeat", Resource::NotAllowed(Method::POST)),
            (Method::GET, "/queue/q-1", Resource::Queued("q-1")),
            (Method::GET, "/queue/q-1/answer", Resource::Queued("q-1/answer")),
            (Method::GET, "/queue", Resource::Queued("")),
            (Method::DELETE, "/queue/q-1", Resource::NotAllowed(Method::GET)),
            (Method::POST, "/a2a", Resource::A2a("")),
            (Method::POST, "/a2a-at/rpc/v1", Resource::A2a("/rpc/v1")),
            (Method::GET, "/a2a", Resource::Transparent),
            (Method::GET, "/.well-known/agent-card.json", Resource::Card),
            (Method::GET, "/.well-known/agent.json", Resource::Card),
            (Method::GET, "/.well-known/other.json", Resource::Transparent),
            (Method::POST, "/heartbeats", Resource::Transparent),
        ] {
            assert_eq!(Resource::of(&method, rest), expected, "{method} {rest}");
        }
    }
}
