//! What can be tuned, per tenant and per workspace.

use reprieve_policy::{Millis, Percent};

reprieve_policy::settings! {
    /// Settings of the default policy. Lengths of time carry their unit: "500ms",
    /// "1.5s", "10min", "1h".
    pub struct Settings {
        /// For so long after a restart began the workspace is left alone, and the runtime is not
        /// even asked.
        pub settle: Millis = "1min" in "0s"..="1h",
        /// Not running, but a sign of life of this life (a heartbeat or a successful round trip) at
        /// most this old: left alone. Widened to 1.5 times the workspace's own heartbeat interval.
        pub recent_heartbeat: Millis = "15s" in "0s"..="1h",
        /// No sign of life older than this counts as recent, however slow the workspace's
        /// heartbeats are.
        pub recent_heartbeat_max: Millis = "1min" in "0s"..="1h",
        /// Whether the runtime's report that this life ended outweighs a sign of life that is older
        /// than the end.
        pub trust_reported_exit: bool = true,
        /// After what looks like death, the runtime is asked again after so long.
        // The host holds `recheck` to 10 ms .. 60 s.
        pub reprobe_delay: Millis = "2s" in "10ms"..="1min",
        /// Restarts that no person asked for are dropped within so long of the beginning of the
        /// last one; newer settings wait for its end.
        pub restart_debounce: Millis = "1min" in "0s"..="1h",
        /// A workspace that has ever sent a heartbeat, runs, and gave no sign of life for so long
        /// is dead.
        pub liveness_ttl: Millis = "3min" in "1s"..="24h",
        /// How long callers are told to wait when the workspace is left alone, and after how long
        /// the host looks again.
        // The host holds `busy` to 1 s .. 1 h.
        pub busy_retry_after: Millis = "30s" in "1s"..="1h",
        /// So many restarts that no person asked for may begin within `restart_budget_window`.
        pub restart_budget: u32 = 5 in 1..=1000,
        /// The window in which `restart_budget` counts.
        pub restart_budget_window: Millis = "10min" in "1s"..="24h",
        /// Beyond the budget a restart waits at least so long; the wait doubles each time.
        // The host holds `defer` to 100 ms .. 1 h.
        pub restart_backoff: Millis = "10s" in "100ms"..="1h",
        /// Beyond the budget a restart waits at most so long at a time.
        pub restart_backoff_max: Millis = "5min" in "100ms"..="1h",
        /// So many in a hundred of the tenant's workspaces may be restarting at once, and always
        /// one.
        pub max_restarting_percent: u32 = 10 in 1..=100,
        /// When so large a share of the tenant's workspaces looks dead at once without a reported
        /// exit (5 workspaces or more), or of all probes fails, the host's eyes are at fault and
        /// nobody is dead.
        pub panic_threshold: Percent = "50%" in "1%"..="100%",
    }
    where
        recent_heartbeat <= recent_heartbeat_max,
        restart_backoff <= restart_backoff_max,
}

#[cfg(test)]
mod tests;
