//! What can be tuned, per tenant and per workspace.

use alloc::{format, vec::Vec};

use reprieve_policy::{Millis, Percent, Problem, Reader, Setting};

// Under test, JSON Schema is generated from this type: the doc comments of its
// fields are the sentences that operators read.
/// Settings of the default policy. Lengths of time carry their unit: "500ms",
/// "1.5s", "10min", "1h".
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Settings {
    /// For so long after a restart began the workspace is left alone, and the runtime is not even asked.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub settle: Millis,
    /// Not running, but a sign of life of this life (a heartbeat or a successful round trip) at most this old: left alone. Widened to 1.5 times the workspace's own heartbeat interval.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub recent_heartbeat: Millis,
    /// No sign of life older than this counts as recent, however slow the workspace's heartbeats are.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub recent_heartbeat_max: Millis,
    /// Whether the runtime's report that this life ended outweighs a sign of life that is older than the end.
    #[cfg_attr(test, schemars(with = "schema::Flag"))]
    pub trust_reported_exit: bool,
    /// After what looks like death, the runtime is asked again after so long.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub reprobe_delay: Millis,
    /// Restarts that no person asked for are dropped within so long of the beginning of the last one; newer settings wait for its end.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub restart_debounce: Millis,
    /// A workspace that has ever sent a heartbeat, runs, and gave no sign of life for so long is dead.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub liveness_ttl: Millis,
    /// How long callers are told to wait when the workspace is left alone, and after how long the host looks again.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub busy_retry_after: Millis,
    /// So many restarts that no person asked for may begin within `restart_budget_window`.
    #[cfg_attr(test, schemars(with = "schema::Count"))]
    pub restart_budget: u32,
    /// The window in which `restart_budget` counts.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub restart_budget_window: Millis,
    /// Beyond the budget a restart waits at least so long; the wait doubles each time.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub restart_backoff: Millis,
    /// Beyond the budget a restart waits at most so long at a time.
    #[cfg_attr(test, schemars(with = "schema::Length"))]
    pub restart_backoff_max: Millis,
    /// So many in a hundred of the tenant's workspaces may be restarting at once, and always one.
    #[cfg_attr(test, schemars(with = "schema::Count"))]
    pub max_restarting_percent: u32,
    /// When so large a share of the tenant's workspaces looks dead at once without a reported exit (5 workspaces or more), or of all probes fails, the host's eyes are at fault and nobody is dead.
    #[cfg_attr(test, schemars(with = "schema::Share"))]
    pub panic_threshold: Percent,
}

const fn length(
    key: &'static str,
    default: Millis,
    least: Millis,
    most: Millis,
) -> Setting<Millis> {
    Setting { key, default, least, most }
}

const fn secs(secs: u64) -> Millis {
    Millis::from_secs(secs)
}

const MINUTE: Millis = secs(60);
const HOUR: Millis = secs(3_600);
const DAY: Millis = secs(86_400);

const SETTLE: Setting<Millis> = length("settle", secs(60), Millis::ZERO, HOUR);
const RECENT_HEARTBEAT: Setting<Millis> = length("recent_heartbeat", secs(15), Millis::ZERO, HOUR);
const RECENT_HEARTBEAT_MAX: Setting<Millis> =
    length("recent_heartbeat_max", MINUTE, Millis::ZERO, HOUR);
const TRUST_REPORTED_EXIT: (&str, bool) = ("trust_reported_exit", true);
// The host holds `recheck` to 10 ms .. 60 s.
const REPROBE_DELAY: Setting<Millis> = length("reprobe_delay", secs(2), Millis(10), MINUTE);
const RESTART_DEBOUNCE: Setting<Millis> = length("restart_debounce", MINUTE, Millis::ZERO, HOUR);
const LIVENESS_TTL: Setting<Millis> = length("liveness_ttl", secs(180), secs(1), DAY);
// The host holds `busy` to 1 s .. 1 h.
const BUSY_RETRY_AFTER: Setting<Millis> = length("busy_retry_after", secs(30), secs(1), HOUR);
const RESTART_BUDGET: Setting<u32> =
    Setting { key: "restart_budget", default: 5, least: 1, most: 1_000 };
const RESTART_BUDGET_WINDOW: Setting<Millis> =
    length("restart_budget_window", secs(600), secs(1), DAY);
// The host holds `defer` to 100 ms .. 1 h.
const RESTART_BACKOFF: Setting<Millis> = length("restart_backoff", secs(10), Millis(100), HOUR);
const RESTART_BACKOFF_MAX: Setting<Millis> =
    length("restart_backoff_max", secs(300), Millis(100), HOUR);
const MAX_RESTARTING_PERCENT: Setting<u32> =
    Setting { key: "max_restarting_percent", default: 10, least: 1, most: 100 };
const PANIC_THRESHOLD: Setting<Percent> =
    Setting { key: "panic_threshold", default: Percent(50), least: Percent(1), most: Percent(100) };

impl Default for Settings {
    fn default() -> Self {
        Self {
            settle: SETTLE.default,
            recent_heartbeat: RECENT_HEARTBEAT.default,
            recent_heartbeat_max: RECENT_HEARTBEAT_MAX.default,
            trust_reported_exit: TRUST_REPORTED_EXIT.1,
            reprobe_delay: REPROBE_DELAY.default,
            restart_debounce: RESTART_DEBOUNCE.default,
            liveness_ttl: LIVENESS_TTL.default,
            busy_retry_after: BUSY_RETRY_AFTER.default,
            restart_budget: RESTART_BUDGET.default,
            restart_budget_window: RESTART_BUDGET_WINDOW.default,
            restart_backoff: RESTART_BACKOFF.default,
            restart_backoff_max: RESTART_BACKOFF_MAX.default,
            max_restarting_percent: MAX_RESTARTING_PERCENT.default,
            panic_threshold: PANIC_THRESHOLD.default,
        }
    }
}

impl Settings {
    /// Reads a JSON object; absent keys have their defaults. Fails with every
    /// problem that there is.
    pub fn parse(json: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(json)?;
        let (trust_key, trust_default) = TRUST_REPORTED_EXIT;
        let settings = Self {
            settle: reader.read(&SETTLE),
            recent_heartbeat: reader.read(&RECENT_HEARTBEAT),
            recent_heartbeat_max: reader.read(&RECENT_HEARTBEAT_MAX),
            trust_reported_exit: reader.flag(trust_key, trust_default),
            reprobe_delay: reader.read(&REPROBE_DELAY),
            restart_debounce: reader.read(&RESTART_DEBOUNCE),
            liveness_ttl: reader.read(&LIVENESS_TTL),
            busy_retry_after: reader.read(&BUSY_RETRY_AFTER),
            restart_budget: reader.read(&RESTART_BUDGET),
            restart_budget_window: reader.read(&RESTART_BUDGET_WINDOW),
            restart_backoff: reader.read(&RESTART_BACKOFF),
            restart_backoff_max: reader.read(&RESTART_BACKOFF_MAX),
            max_restarting_percent: reader.read(&MAX_RESTARTING_PERCENT),
            panic_threshold: reader.read(&PANIC_THRESHOLD),
        };
        settings.refuse_contradictions(&mut reader);
        reader.finish()?;
        Ok(settings)
    }

    fn refuse_contradictions(&self, reader: &mut Reader) {
        for (lower_key, lower, upper_key, upper) in [
            (
                RECENT_HEARTBEAT.key,
                self.recent_heartbeat,
                RECENT_HEARTBEAT_MAX.key,
                self.recent_heartbeat_max,
            ),
            (
                RESTART_BACKOFF.key,
                self.restart_backoff,
                RESTART_BACKOFF_MAX.key,
                self.restart_backoff_max,
            ),
        ] {
            if lower > upper {
                reader.refuse(lower_key, format!("{lower} is more than `{upper_key}`, {upper}"));
            }
        }
    }
}

#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
