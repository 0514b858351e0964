//! The host's one clock.

use reprieve_core::{
    ports::Clock,
    time::{Millis, UnixMillis},
};
use tokio::time::Instant;

/// Reads the wall clock once, then counts with the monotonic clock: it never
/// runs backwards, and follows tokio's virtual time in tests.
#[derive(Clone, Copy, Debug)]
pub struct HostClock {
    began: Instant,
    began_at: UnixMillis,
}

impl HostClock {
    /// Must be called inside a tokio runtime.
    pub fn start() -> Self {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self { began: Instant::now(), began_at: UnixMillis(millis) }
    }
}

impl Clock for HostClock {
    fn now(&self) -> UnixMillis {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.began_at + Millis(elapsed)
    }
}
