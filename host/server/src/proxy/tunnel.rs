//! A connection that changed its protocol (WebSocket and others): bytes go both
//! ways until one side ends.
//!
//! How a tunnel ends is not judged: once the protocol is not HTTP, the proxy
//! cannot tell a failure from a farewell.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use reprieve_core::time::Millis;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    time::sleep,
};

/// Joins the two sides. Ends when both do, on an error, or when neither the
/// tunnel nor the workspace gave a sign for `idle`.
pub(super) async fn join(
    caller: OnUpgrade,
    workspace: OnUpgrade,
    idle: Duration,
    newest_sign: impl Fn() -> Option<Millis> + Send + Sync,
) -> io::Result<()> {
    let (caller, workspace) = tokio::try_join!(caller, workspace).map_err(io::Error::other)?;
    let moved = Arc::new(AtomicU64::new(0));
    let mut caller = Counted { inner: TokioIo::new(caller), moved: Arc::clone(&moved) };
    let mut workspace = TokioIo::new(workspace);
    tokio::select! {
        copied = copy_bidirectional(&mut caller, &mut workspace) => copied.map(|_| ()),
        () = silence(&moved, idle, newest_sign) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Ends when nothing moved and nothing was heard for `idle`.
async fn silence(moved: &AtomicU64, idle: Duration, newest_sign: impl Fn() -> Option<Millis>) {
    let mut before = moved.load(Ordering::Relaxed);
    // One turn each `idle`, for as long as the tunnel is in use.
    loop {
        sleep(idle).await;
        let now = moved.load(Ordering::Relaxed);
        let heard = newest_sign().is_some_and(|age| age.as_duration() < idle);
        if now == before && !heard {
            return;
        }
        before = now;
    }
}

/// Counts the bytes that go through one side, which are those of both.
struct Counted {
    inner: TokioIo<Upgraded>,
    moved: Arc<AtomicU64>,
}

impl Counted {
    fn count(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.count(buf.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.count(*written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
