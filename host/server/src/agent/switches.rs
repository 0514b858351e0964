//! How the agent misbehaves, and `POST /switch`, which changes it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Json, extract::State};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Agent, AgentArgs};

/// The longest that `late_ms` and `refuse_ms` are held to: an hour.
const MAX_MS: u64 = 3_600_000;

/// Where every switch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Positions {
    /// Answers 503.
    pub(super) busy: bool,
    /// Takes requests and never answers.
    pub(super) hang: bool,
    /// Waits so long before each answer.
    pub(super) late_ms: u64,
    /// Closes the connection before any answer (EOF).
    pub(super) close_early: bool,
    /// Resets the connection before any answer (RST).
    pub(super) reset: bool,
    /// Sends heartbeats.
    pub(super) beats: bool,
    /// Lives on after SIGTERM.
    pub(super) ignore_term: bool,
}

/// What `POST /switch` takes: what is absent stays as it is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Change {
    busy: Option<bool>,
    hang: Option<bool>,
    late_ms: Option<u64>,
    close_early: Option<bool>,
    reset: Option<bool>,
    beats: Option<bool>,
    ignore_term: Option<bool>,
    /// Ends this process at once, by SIGABRT.
    crash: Option<bool>,
    /// Stops listening for so long: connections are refused. Then listens again
    /// on the same port, as after a slow boot.
    #[serde(alias = "boot_ms")]
    refuse_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Switches {
    positions: Mutex<Positions>,
    ignores_term: Arc<AtomicBool>,
    refusal: Mutex<Option<u64>>,
    /// Rung when the listener shall refuse.
    pub(super) refuse: Notify,
    /// Rung when a heartbeat would tell something new.
    pub(super) news: Notify,
}

impl Switches {
    pub(super) fn new(args: &AgentArgs) -> Self {
        let positions = Positions {
            busy: args.busy,
            hang: args.hang,
            late_ms: args.late_ms.min(MAX_MS),
            close_early: args.close_early,
            reset: args.reset,
            beats: !args.no_beats,
            ignore_term: args.ignore_term,
        };
        Self {
            positions: Mutex::new(positions),
            ignores_term: Arc::new(AtomicBool::new(args.ignore_term)),
            refusal: Mutex::default(),
            refuse: Notify::new(),
            news: Notify::new(),
        }
    }

    pub(super) fn positions(&self) -> Positions {
        *self.positions.lock()
    }

    pub(super) fn ignore_term_flag(&self) -> Arc<AtomicBool> {
        self.ignores_term.clone()
    }

    /// For how long to refuse, asked for once.
    pub(super) fn take_refusal_ms(&self) -> Option<u64> {
        self.refusal.lock().take()
    }

    fn change(&self, change: Change) -> Positions {
        let mut positions = self.positions.lock();
        let set = |position: &mut bool, to: Option<bool>| *position = to.unwrap_or(*position);
        set(&mut positions.busy, change.busy);
        set(&mut positions.hang, change.hang);
        set(&mut positions.close_early, change.close_early);
        set(&mut positions.reset, change.reset);
        set(&mut positions.beats, change.beats);
        set(&mut positions.ignore_term, change.ignore_term);
        positions.late_ms = change.late_ms.unwrap_or(positions.late_ms).min(MAX_MS);
        self.ignores_term.store(positions.ignore_term, Ordering::SeqCst);
        if let Some(refuse_ms) = change.refuse_ms {
            *self.refusal.lock() = Some(refuse_ms.min(MAX_MS));
            self.refuse.notify_one();
        }
        self.news.notify_one();
        *positions
    }
}

pub(super) async fn handle(
    State(agent): State<Arc<Agent>>,
    Json(change): Json<Change>,
) -> Json<Positions> {
    tracing::info!(?change, "agent was switched");
    if change.crash == Some(true) {
        std::process::abort();
    }
    Json(agent.switches.change(change))
}
