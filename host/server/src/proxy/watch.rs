//! Waits for a workspace for as long as it gives signs of life.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    time::Duration,
};

use reprieve_core::time::Millis;
use tokio::time::{Instant, timeout_at};

/// How long ago the workspace last gave a sign of life.
pub(super) type NewestSign<'a> = &'a (dyn Fn() -> Option<Millis> + Send + Sync);

/// How long a forward waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without any sign from the workspace.
    pub(super) idle: Duration,
    /// Whatever the signs.
    pub(super) longest: Duration,
}

/// Waits for something from the workspace. Its signs of life, and what it takes
/// of the request, extend the wait. None: it ran out.
pub(super) async fn wait<T>(
    patience: Patience,
    newest_sign: NewestSign<'_>,
    upload: &Upload,
    what: impl Future<Output = T>,
) -> Option<T> {
    let began = Instant::now();
    let end = began + patience.longest;
    let mut latest = began;
    let mut what = pin!(what);
    // Each turn moves the deadline ahead by what was heard since, up to `end`.
    loop {
        let deadline = end.min(latest + patience.idle);
        if let Ok(value) = timeout_at(deadline, &mut what).await {
            return Some(value);
        }
        let now = Instant::now();
        let heard = newest_sign().and_then(|age| now.checked_sub(age.as_duration()));
        latest = latest.max(upload.moved()).max(heard.unwrap_or(began));
        if now >= end || latest + patience.idle <= now {
            return None;
        }
    }
}

/// How far a request's body has come.
#[derive(Debug)]
pub(super) struct Upload {
    began: Instant,
    moved_ms: AtomicU64,
    stage: AtomicU8,
}

const FLOWING: u8 = 0;
const WAITING_FOR_CALLER: u8 = 1;
const SENT: u8 = 2;
const CALLER_FAILED: u8 = 3;

impl Upload {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), moved_ms: AtomicU64::new(0), stage: AtomicU8::new(FLOWING) }
    }

    pub(super) fn flowed(&self) {
        let moved = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(moved, Ordering::Relaxed);
        self.stage.store(FLOWING, Ordering::Relaxed);
    }

    pub(super) fn awaits_caller(&self) {
        self.stage.store(WAITING_FOR_CALLER, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) {
        self.stage.store(SENT, Ordering::Relaxed);
    }

    pub(super) fn caller_failed(&self) {
        self.stage.store(CALLER_FAILED, Ordering::Relaxed);
    }

    /// The whole request went out.
    pub(super) fn is_sent(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == SENT
    }

    /// The caller broke off.
    pub(super) fn has_caller_failed(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == CALLER_FAILED
    }

    /// The workspace would take more, and the caller sends nothing.
    pub(super) fn is_awaiting_caller(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == WAITING_FOR_CALLER
    }

    fn moved(&self) -> Instant {
        self.began + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const PATIENCE: Patience =
        Patience { idle: Duration::from_secs(300), longest: Duration::from_secs(3600) };

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_silence_and_signs_extend_it() {
        let began = Instant::now();
        let beats_until = |last: u64| {
            move || {
                let now = began.elapsed().as_secs();
                let newest = now.min(last) / 60 * 60;
                Some(Millis::from_secs(now - newest))
            }
        };
        for (case, last_beat_s, ends_s) in
            [("silent", 0, 300), ("beat for a while", 600, 900), ("beats on", 99_999, 3600)]
        {
            let start = began.elapsed().as_secs();
            let sign = beats_until(start / 60 * 60 + last_beat_s);
            let sign = move || sign();
            let waited = wait(PATIENCE, &sign, &Upload::begin(), pending::<()>()).await;
            assert!(waited.is_none(), "{case}");
            let took = began.elapsed().as_secs() - start;
            assert!(took.abs_diff(ends_s) <= 60, "{case}: took {took} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_before_shortens_nothing() {
        let sign = || Some(Millis::from_secs(1_000_000));
        let began = Instant::now();
        assert!(wait(PATIENCE, &sign, &Upload::begin(), pending::<()>()).await.is_none());
        assert_eq!(began.elapsed(), PATIENCE.idle);
    }
}
