//! Everything below a workspace that has no meaning of its own to the proxy:
//! any method, any path, streamed both ways, changed protocols included.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use reprieve_core::{card, judgement::ForwardFailure};
use serde_json::Value;
use url::Url;

use super::{
    answer::Answer,
    body::Uploading,
    failure::Trouble,
    forward::{Errand, Proxy, whole},
    headers::{self, Way},
    tunnel, upstream,
    watch::Upload,
};

/// The largest agent card that is read and rewritten.
const MAX_CARD_BYTES: usize = 1 << 20;

pub(super) async fn handle(
    proxy: &Proxy,
    mut errand: Errand,
    request: Request<Body>,
    rest: &str,
    way: &Way,
) -> Answer {
    let mut exchange = match exchange(proxy, &mut errand, request, rest, way).await {
        Ok(exchange) => exchange,
        Err(answer) => return answer,
    };
    if exchange.response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(proxy, &mut errand, &mut exchange).await;
    }
    proxy.pass_on(&errand, exchange.response)
}

/// `GET /workspaces/{id}/.well-known/agent-card.json`: the workspace's card,
/// leading to the proxy.
pub(super) async fn card(
    proxy: &Proxy,
    mut errand: Errand,
    mut request: Request<Body>,
    rest: &str,
    way: &Way,
) -> Answer {
    let public = match &proxy.options.public_url {
        Some(url) => Some(url.clone()),
        None => way.public_url(request.headers()),
    };
    // The card differs from the workspace's own: it must come, and in the clear.
    for name in
        [header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::RANGE]
    {
        request.headers_mut().remove(name);
    }
    let exchange = match exchange(proxy, &mut errand, request, rest, way).await {
        Ok(exchange) => exchange,
        Err(answer) => return answer,
    };
    let Some(public) = public.and_then(|url| below(&url, &errand)) else {
        let sentence = "the proxy cannot tell its own public URL; the request names no usable host";
        return super::answer::refusal(StatusCode::BAD_REQUEST, sentence);
    };
    let sign = proxy.newest_sign(&errand.workspace);
    let (mut head, body) = exchange.response.into_parts();
    match proxy.upstream.read(body, MAX_CARD_BYTES, &sign).await {
        Ok(bytes) => {
            proxy.fleet.answered(&errand.workspace, errand.route.life);
            let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
                return whole(head, bytes);
            };
            card::rewrite(&mut value, &exchange.address, &public);
            head.headers.remove(header::ETAG);
            whole(head, value.to_string().into())
        }
        Err(problem) => match problem.failure() {
            Some(failure) => proxy.failed(&mut errand, failure, None).await,
            None => {
                let sentence = "the workspace's agent card cannot be read";
                super::answer::refusal(StatusCode::BAD_GATEWAY, sentence)
            }
        },
    }
}

/// Where callers reach the workspace.
fn below(public: &Url, errand: &Errand) -> Option<Url> {
    let base = public.as_str().trim_end_matches('/');
    format!("{base}/workspaces/{}", errand.workspace).parse().ok()
}

/// A request that was answered, and not with a failure.
struct Exchange {
    response: Response<Incoming>,
    address: Url,
    /// The caller's side, if the request asked for another protocol.
    upgrade: Option<OnUpgrade>,
}

async fn exchange(
    proxy: &Proxy,
    errand: &mut Errand,
    mut request: Request<Body>,
    rest: &str,
    way: &Way,
) -> Result<Exchange, Answer> {
    let address = proxy.admit(errand).await?;
    let protocol = headers::upgrade(request.headers());
    let upgrade = protocol.as_ref().map(|_| hyper::upgrade::on(&mut request));
    let (mut head, body) = request.into_parts();
    headers::towards_workspace(&mut head.headers, way);
    if let Some(protocol) = protocol {
        ask_to_switch(&mut head.headers, protocol);
    }
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let upload = Arc::new(Upload::begin());
    let body = Uploading::watch(body, Arc::clone(&upload));
    let sent = match upstream::request(head.method, &address, &format!("{rest}{query}"), body) {
        Ok(mut request) => {
            *request.headers_mut() = head.headers;
            let sign = proxy.newest_sign(&errand.workspace);
            proxy.upstream.send(&errand.route, &address, request, &sign, &upload).await
        }
        Err(trouble) => Err(trouble),
    };
    let response = match sent {
        Ok(response) => response,
        Err(trouble) => return Err(proxy.troubled(errand, trouble).await),
    };
    let status = response.status().as_u16();
    if proxy.options.bad_statuses.contains(&status) {
        let failure = ForwardFailure::BadStatus(status);
        return Err(proxy.failed(errand, failure, Some(response)).await);
    }
    Ok(Exchange { response, address, upgrade })
}

fn ask_to_switch(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Joins the two sides once both have changed their protocol.
async fn switch(proxy: &Proxy, errand: &mut Errand, exchange: &mut Exchange) -> Answer {
    let Some(caller) = exchange.upgrade.take() else {
        let detail = "the workspace changed the protocol unasked".to_owned();
        let failure = ForwardFailure::BadStatus(101);
        return proxy.troubled(errand, Trouble::Failed { failure, detail }).await;
    };
    proxy.fleet.answered(&errand.workspace, errand.route.life);
    let workspace = hyper::upgrade::on(&mut exchange.response);
    let sign = proxy.newest_sign(&errand.workspace);
    let (idle, name) = (proxy.options.idle_timeout, errand.workspace.clone());
    tokio::spawn(async move {
        if let Err(error) = tunnel::join(caller, workspace, idle, sign).await {
            tracing::debug!(workspace = %name, %error, "a tunnel broke off");
        }
    });
    let protocol = exchange.response.headers().get(header::UPGRADE).cloned();
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = exchange.response.headers().clone();
    headers::towards_caller(answer.headers_mut());
    if let Some(protocol) = protocol {
        ask_to_switch(answer.headers_mut(), protocol);
    }
    answer
}
