//! How long a peer is waited for: to take what is written, and to send what it
//! announced. Neither runs while the host itself is at work, so a slow answer and
//! a stream that lives for days are cut by neither.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::peers::Place;

/// Why a peer was no longer waited for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerStalled {
    #[error("the caller took no byte of what was written for {0:?}")]
    TakesNothing(Duration),
    #[error(
        "no byte of the request's body came for {0:?}; send it whole, or announce a shorter one"
    )]
    SendsNothing(Duration),
}

/// Bytes that a peer has taken. All clones are one count.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(Arc<AtomicU64>);

impl Taken {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection whose peer must take what is written to it, at least a byte each
/// `write_timeout`. Must lie directly on the socket: what lies between may hold
/// bytes back.
#[derive(Debug)]
pub(super) struct Patient<S> {
    inner: S,
    write_timeout: Duration,
    taken: Taken,
    /// Runs while a write waits for the peer.
    stalled: Option<Pin<Box<Sleep>>>,
    /// None: of a test.
    _place: Option<Place>,
}

impl<S> Patient<S> {
    pub(super) fn new(inner: S, write_timeout: Duration, place: Option<Place>) -> Self {
        Self { inner, write_timeout, taken: Taken::default(), stalled: None, _place: place }
    }

    pub(super) fn taken(&self) -> Taken {
        self.taken.clone()
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.stalled = None;
            self.taken.add(*written.as_ref().unwrap_or(&0));
            return Poll::Ready(written);
        }
        let patience = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        let gone = PeerStalled::TakesNothing(patience);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, gone)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Of a socket, this and the next wait for nobody.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// A request's body whose peer must go on sending it. A peer that takes bytes of
/// an answer meanwhile is there, and may be silent.
#[derive(Debug)]
pub(super) struct Arriving {
    inner: Incoming,
    body_timeout: Duration,
    taken: Taken,
    /// Runs while the peer is waited for, with what it had taken when that began.
    silent: Option<(Pin<Box<Sleep>>, u64)>,
}

impl Arriving {
    pub(super) fn watch(inner: Incoming, body_timeout: Duration, taken: Taken) -> Body {
        Body::new(Self { inner, body_timeout, taken, silent: None })
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.silent = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let (patience, taken) = (this.body_timeout, this.taken.bytes());
        let begun = || (Box::pin(sleep(patience)), taken);
        let (timer, before) = this.silent.get_or_insert_with(begun);
        // At most one turn for each time that the timer runs out.
        while timer.as_mut().poll(cx).is_ready() {
            if *before == taken {
                return Poll::Ready(Some(Err(PeerStalled::SendsNothing(patience).into())));
            }
            *before = taken;
            timer.as_mut().reset(Instant::now() + patience);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
