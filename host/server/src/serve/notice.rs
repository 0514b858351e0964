//! What the log is told of a listener, each at most once a minute: whoever can
//! connect can make it happen as often as he likes.

use std::{io, net::SocketAddr, time::Duration};

use parking_lot::Mutex;
use rustls::AlertDescription;
use tokio::{net::TcpListener, time::Instant};

use crate::cause;

const TELL_EVERY: Duration = Duration::from_secs(60);

/// Of one listener.
#[derive(Debug)]
pub(super) struct Notices {
    /// Where it listens.
    at: String,
    full: Notice,
    refused: Notice,
    no_tls: Notice,
    no_http: Notice,
}

impl Notices {
    pub(super) fn of(listener: &TcpListener) -> Self {
        Self::at(listener.local_addr().map(|at| at.to_string()).unwrap_or_default())
    }

    pub(super) fn at(at: String) -> Self {
        let notice = Notice::default;
        Self { at, full: notice(), refused: notice(), no_tls: notice(), no_http: notice() }
    }

    pub(super) fn full(&self) {
        if self.full.is_due().is_some() {
            tracing::warn!(at = self.at, "all connections are in use: callers wait");
        }
    }

    pub(super) fn refused(&self, peer: SocketAddr) {
        if let Some(times) = self.refused.is_due() {
            let at = &self.at;
            tracing::warn!(at, %peer, times, "connections refused: too many of one address");
        }
    }

    pub(super) fn no_tls(&self, peer: SocketAddr, error: &io::Error) {
        let Some(cause) = cause::find::<rustls::Error>(error) else {
            // Whoever hangs up first, as whoever looks for open ports does.
            tracing::debug!(%peer, %error, "no TLS connection came about");
            return;
        };
        if let Some(times) = self.no_tls.is_due() {
            tracing::warn!(at = self.at, %peer, times, %error, "{}", remedy(cause));
        }
    }

    pub(super) fn no_http(&self, peer: SocketAddr, error: &hyper::Error) {
        if let Some(times) = self.no_http.is_due() {
            tracing::warn!(
                at = self.at, %peer, times, %error,
                "what a caller sends is not HTTP; if it speaks TLS, it must write http:// here"
            );
        }
    }
}

fn remedy(cause: &rustls::Error) -> &'static str {
    match cause {
        rustls::Error::InvalidMessage(_) => {
            "what a caller sends is not TLS; if it speaks plain HTTP, it must write https:// here"
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "a caller says that the certificate is out of its time; give the host another one \
             (admin.tls) and start it anew, or set the clock that is wrong"
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnsupportedCertificate,
        ) => {
            "a caller does not trust the certificate; tell it the authority (--ca), or give the \
             host one for this name (admin.tls)"
        }
        rustls::Error::PeerIncompatible(_) => {
            "a caller speaks another TLS than this listener, which takes TLS 1.3 alone"
        }
        _ => "no TLS connection to a caller came about",
    }
}

/// Something that happens, and when the log was told.
#[derive(Debug, Default)]
struct Notice(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// Since then.
    times: u64,
}

impl Notice {
    /// It has happened. If the log is to be told: how often since it was told.
    fn is_due(&self) -> Option<u64> {
        let mut told = self.0.lock();
        told.times += 1;
        if told.last.is_some_and(|last| last.elapsed() < TELL_EVERY) {
            return None;
        }
        told.last = Some(Instant::now());
        Some(std::mem::take(&mut told.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_log_is_told_once_a_minute_and_how_often_it_happened() {
        let notice = Notice::default();
        assert_eq!([notice.is_due(), notice.is_due(), notice.is_due()], [Some(1), None, None]);
        tokio::time::advance(TELL_EVERY).await;
        assert_eq!(notice.is_due(), Some(3));
    }
}
