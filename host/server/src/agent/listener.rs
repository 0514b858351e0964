//! Connections, and the faults that are made of them: refused, closed before an
//! answer, reset, never answered.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, body::Body, response::IntoResponse as _};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Agent, MAX_BODY_BYTES};

const MAX_CONNECTIONS: usize = 1024;
const BACKLOG: u32 = 1024;
/// For requests under way when the agent ends; below the usual stop grace.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// After a failed accept (too many open files), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const BUSY_RETRY_AFTER_S: &str = "30";

/// Also while connections of an earlier life are still closing.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Until `end`, with pauses in which connections are refused.
pub(super) async fn serve(
    mut listener: TcpListener,
    router: Router,
    agent: Arc<Agent>,
    end: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let closing = end.child_token();
        let mut connections = JoinSet::new();
        tokio::select! {
            () = end.cancelled() => {}
            () = agent.switches.refuse.notified() => closing.cancel(),
            () = accept(&listener, &router, &agent, &closing, &mut connections) => {}
        }
        drop(listener);
        drain(connections).await;
        if end.is_cancelled() {
            return Ok(());
        }
        let refuse_ms = agent.switches.take_refusal_ms().unwrap_or_default();
        tokio::select! {
            () = end.cancelled() => return Ok(()),
            () = sleep(Duration::from_millis(refuse_ms)) => {}
        }
        listener = bind(agent.address)
            .with_context(|| format!("cannot listen again on {}", agent.address))?;
    }
}

async fn accept(
    listener: &TcpListener,
    router: &Router,
    agent: &Arc<Agent>,
    closing: &CancellationToken,
    connections: &mut JoinSet<()>,
) {
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let (router, agent) = (router.clone(), agent.clone());
                connections.spawn(connection(stream, router, agent, closing.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "agent cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn drain(mut connections: JoinSet<()>) {
    let all = async { while connections.join_next().await.is_some() {} };
    // What is left is dropped, and with it the connections.
    let _ = timeout(DRAIN_WAIT, all).await;
}

async fn connection(
    stream: TcpStream,
    router: Router,
    agent: Arc<Agent>,
    closing: CancellationToken,
) {
    let resets = Arc::new(AtomicBool::new(false));
    let resets_too = resets.clone();
    let service = service_fn(move |request| {
        answer(request, router.clone(), agent.clone(), resets_too.clone())
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // An error is the caller's doing, or a fault that was asked for.
        _ = &mut connection => {}
        () = closing.cancelled() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            let _ = (&mut connection).await;
        }
    }
    let stream = connection.into_parts().io.into_inner();
    if resets.load(Ordering::SeqCst) {
        // Closing sends RST instead of FIN then.
        let _ = stream.set_zero_linger();
    }
}

/// No answer follows: hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the agent was told not to answer")]
struct Unanswered;

async fn answer(
    request: Request<Incoming>,
    router: Router,
    agent: Arc<Agent>,
    resets: Arc<AtomicBool>,
) -> Result<Response<Body>, Unanswered> {
    let positions = agent.switches.positions();
    if request.uri().path() == "/switch" {
        return Ok(route(request, router).await);
    }
    if positions.close_early || positions.reset {
        resets.store(positions.reset, Ordering::SeqCst);
        // Unread bytes would turn a close into a reset.
        let _ = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await;
        return Err(Unanswered);
    }
    if positions.hang {
        std::future::pending::<()>().await;
    }
    if positions.busy {
        let body = axum::Json(serde_json::json!({ "busy": true }));
        let retry = [(header::RETRY_AFTER, BUSY_RETRY_AFTER_S)];
        return Ok((StatusCode::SERVICE_UNAVAILABLE, retry, body).into_response());
    }
    Ok(route(request, router).await)
}

async fn route(request: Request<Incoming>, router: Router) -> Response<Body> {
    let answered: Result<_, Infallible> = TowerToHyperService::new(router).call(request).await;
    answered.unwrap_or_else(|never| match never {})
}
