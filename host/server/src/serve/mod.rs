//! Serves a router over TCP, with TLS or without, until told to stop. Whoever
//! connects has a share of the connections ([`peers`]) and is waited for so long
//! and no longer ([`patience`]).

mod notice;
mod patience;
mod peers;

use std::{
    future::Future,
    io::{self, Write as _},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use self::{
    notice::Notices,
    patience::{Arriving, Patient, Taken},
    peers::Peers,
};
pub(crate) use self::{patience::PeerStalled, peers::Network};

/// A caller that connects must send the head of a request within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A caller must have agreed on keys within this.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// After a failed accept (out of file descriptors), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection beyond its address's share hears, in plain HTTP. RFC 6585.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    content-type: application/json\r\n\
    content-length: 83\r\n\
    retry-after: 5\r\n\
    connection: close\r\n\r\n\
    {\"error\":\"too many connections are open from your address; use them or close some\"}";

/// How a router is served.
#[derive(Clone)]
pub struct ServeOptions {
    /// Connections at once, those that changed their protocol among them; more
    /// wait to be accepted.
    pub max_connections: usize,
    /// Of one address, or of one /64 of IPv6; more are refused. None: as many as
    /// there may be at all.
    pub max_connections_per_address: Option<usize>,
    /// A caller that has announced a body has so long to send the next byte of it,
    /// unless it takes bytes of the answer meanwhile.
    pub body_timeout: Duration,
    /// A caller has so long to take the next byte of what is written. It is not
    /// waited for, and this does not run, while there is nothing to write.
    pub write_timeout: Duration,
    /// Running requests may take so long to end when told to stop.
    pub shutdown_timeout: Duration,
    /// None: plain HTTP.
    pub tls: Option<TlsAcceptor>,
}

impl ServeOptions {
    /// What nginx takes (`client_body_timeout`).
    pub const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(60);

    /// What nginx takes (`send_timeout`).
    pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(60);
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: 1_000,
            max_connections_per_address: None,
            body_timeout: Self::DEFAULT_BODY_TIMEOUT,
            write_timeout: Self::DEFAULT_WRITE_TIMEOUT,
            shutdown_timeout: Duration::from_secs(30),
            tls: None,
        }
    }
}

impl std::fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeOptions")
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_address", &self.max_connections_per_address)
            .field("body_timeout", &self.body_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// Serves until `stop` completes, then accepts no more and lets running
/// requests end, for [`ServeOptions::shutdown_timeout`] at most. Connections
/// that changed their protocol are not waited for. Who is slow to agree on keys
/// keeps nobody else waiting.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stopping = CancellationToken::new();
    let mut connections = JoinSet::new();
    let door = Door::new(&listener, &options);
    let mut stop = pin!(stop);
    // Ends when told to stop; at most `max_connections` at once.
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = door.next(&listener) => match accepted {
                Ok(Some((stream, address))) => {
                    let peer = Peer {
                        address,
                        body_timeout: options.body_timeout,
                        taken: stream.taken(),
                        notices: Arc::clone(&door.notices),
                    };
                    let (tls, stopping) = (options.tls.clone(), stopping.clone());
                    connections.spawn(connection(stream, peer, router.clone(), tls, stopping));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stopping.cancel();
    let ended = timeout(options.shutdown_timeout, async {
        while connections.join_next().await.is_some() {}
    });
    if ended.await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off by the shutdown");
    }
    Ok(())
}

/// Lets connections in, as many as there may be.
struct Door {
    room: Arc<Semaphore>,
    peers: Peers,
    write_timeout: Duration,
    speaks_tls: bool,
    notices: Arc<Notices>,
}

impl Door {
    fn new(listener: &TcpListener, options: &ServeOptions) -> Self {
        let most = options.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(most)),
            peers: Peers::new(options.max_connections_per_address.unwrap_or(usize::MAX)),
            write_timeout: options.write_timeout,
            speaks_tls: options.tls.is_some(),
            notices: Arc::new(Notices::of(listener)),
        }
    }

    /// The next connection. None: it was refused. May be dropped at any time:
    /// nobody is lost.
    async fn next(
        &self,
        listener: &TcpListener,
    ) -> io::Result<Option<(Patient<TcpStream>, SocketAddr)>> {
        let room = self.room().await?;
        let (stream, peer) = listener.accept().await?;
        let Some(place) = self.peers.admit(peer.ip(), room) else {
            self.notices.refused(peer);
            self.refuse(stream);
            return Ok(None);
        };
        // Small answers are not held back to be sent together.
        let _ = stream.set_nodelay(true);
        Ok(Some((Patient::new(stream, self.write_timeout, Some(place)), peer)))
    }

    async fn room(&self) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(room);
        }
        self.notices.full();
        Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)
    }

    /// Says why, if that takes no waiting.
    fn refuse(&self, stream: TcpStream) {
        if !self.speaks_tls
            && let Ok(mut stream) = stream.into_std()
        {
            // It does not block: what does not fit is not said.
            let _ = stream.write(TOO_MANY);
        }
    }
}

/// Who is at the other end, and how long it is waited for.
struct Peer {
    address: SocketAddr,
    body_timeout: Duration,
    taken: Taken,
    notices: Arc<Notices>,
}

async fn connection(
    stream: Patient<TcpStream>,
    peer: Peer,
    router: Router,
    tls: Option<TlsAcceptor>,
    stopping: CancellationToken,
) {
    let Some(tls) = tls else { return exchange(stream, peer, router, stopping).await };
    let agreed = tokio::select! {
        agreed = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => agreed,
        () = stopping.cancelled() => return,
    };
    match agreed {
        Ok(Ok(stream)) => exchange(stream, peer, router, stopping).await,
        Ok(Err(error)) => peer.notices.no_tls(peer.address, &error),
        Err(_) => tracing::debug!(peer = %peer.address, "too slow to agree on keys"),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Peer,
    router: Router,
    stopping: CancellationToken,
) {
    let Peer { address, body_timeout, taken, notices } = peer;
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|body| Arriving::watch(body, body_timeout, taken.clone()));
        request.extensions_mut().insert(ConnectInfo(address));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => {}
        Err(error) if error.is_parse() => notices.no_http(address, &error),
        Err(error) => tracing::debug!(peer = %address, %error, "a caller's connection ended"),
    }
}

#[cfg(test)]
mod tests;
