//! Bodies on their way through, watched: who broke off, and whether the
//! workspace fell silent.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use reprieve_core::{judgement::ForwardFailure, time::Millis};
use tokio::time::{Instant, Sleep, sleep};

use super::{
    failure::{self, Trouble},
    watch::Upload,
};

/// A request's body that keeps note of how far it has come.
#[derive(Debug)]
pub(super) struct Uploading {
    inner: Body,
    upload: Arc<Upload>,
}

impl Uploading {
    pub(super) fn watch(inner: Body, upload: Arc<Upload>) -> Body {
        if inner.is_end_stream() {
            upload.sent();
        }
        Body::new(Self { inner, upload })
    }
}

impl HttpBody for Uploading {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        match &polled {
            Poll::Pending => this.upload.awaits_caller(),
            Poll::Ready(Some(Ok(_))) => {
                this.upload.flowed();
                if this.inner.is_end_stream() {
                    this.upload.sent();
                }
            }
            Poll::Ready(Some(Err(_))) => this.upload.caller_failed(),
            Poll::Ready(None) => this.upload.sent(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How a streamed answer came out. Told once, and not at all when the caller
/// went away: that is no failure of the workspace.
pub(super) enum Ended {
    Whole,
    Lost(ForwardFailure),
}

/// An answer's body that is passed on as it comes.
pub(super) struct Answering {
    inner: Incoming,
    idle: Duration,
    newest_sign: Box<dyn Fn() -> Option<Millis> + Send + Sync>,
    on_end: Option<Box<dyn FnOnce(Ended) + Send + Sync>>,
    /// Runs while the workspace is waited for, and not while the caller is.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Answering {
    pub(super) fn watch(
        inner: Incoming,
        idle: Duration,
        newest_sign: impl Fn() -> Option<Millis> + Send + Sync + 'static,
        on_end: impl FnOnce(Ended) + Send + Sync + 'static,
    ) -> Body {
        let mut this = Self {
            inner,
            idle,
            newest_sign: Box::new(newest_sign),
            on_end: Some(Box::new(on_end)),
            timer: None,
        };
        if this.inner.is_end_stream() {
            this.end(Ended::Whole);
        }
        Body::new(this)
    }

    fn end(&mut self, ended: Ended) {
        if let Some(on_end) = self.on_end.take() {
            on_end(ended);
        }
    }

    /// Ready when the workspace has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        // Each turn moves the timer ahead by what was heard, so it comes to rest.
        while timer.as_mut().poll(cx).is_ready() {
            let heard = (self.newest_sign)().map(Millis::as_duration);
            match heard.and_then(|age| idle.checked_sub(age)).filter(|rest| !rest.is_zero()) {
                Some(rest) => timer.as_mut().reset(Instant::now() + rest),
                None => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.timer = None;
                if this.inner.is_end_stream() {
                    this.end(Ended::Whole);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Trouble::Failed { failure, .. } = failure::of_body(&error) {
                    this.end(Ended::Lost(failure));
                }
                Poll::Ready(Some(Err(io::Error::other(error))))
            }
            Poll::Ready(None) => {
                this.end(Ended::Whole);
                Poll::Ready(None)
            }
            Poll::Pending => {
                std::task::ready!(this.poll_silence(cx));
                this.end(Ended::Lost(ForwardFailure::TimedOut));
                Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").field("inner", &self.inner).finish_non_exhaustive()
    }
}
