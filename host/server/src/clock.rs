//! The host's one clock.

use std::time::Duration;

use reprieve_core::{ports::Clock, time::UnixMillis};
use tokio::time::Instant;

/// Reads the wall clock once, then counts with the monotonic clock: it never
/// runs backwards, and follows tokio's virtual time in tests.
#[derive(Clone, Copy, Debug)]
pub struct HostClock {
    began: Instant,
    /// Since the epoch. No coarser: what the clock says would lag behind what others
    /// read off the wall.
    began_at: Duration,
}

impl HostClock {
    /// Must be called inside a tokio runtime.
    pub fn start() -> Self {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_at: since_epoch }
    }
}

impl Clock for HostClock {
    fn now(&self) -> UnixMillis {
        let since_epoch = self.began_at.saturating_add(self.began.elapsed());
        UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}
