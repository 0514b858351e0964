//! One workspace: what is true of it, and what the stores that all hosts share keep
//! of it.

use std::collections::VecDeque;

use reprieve_core::{
    evidence::{Sighting, Status, Subject},
    ids::LifeId,
    judgement::RestartCause,
    ports::{NotBegun, RestartHistory, Signs},
    time::{Millis, UnixMillis},
};
use reprieve_runtime::Who;

use super::{truth::Running, weather::Haze};
use crate::Chance;

#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) who: Who,
    pub(super) subject: Subject,
    /// Its place among the scenario's groups.
    pub(super) group: usize,
    pub(super) node: usize,
    /// Whose recorded beats it sends.
    pub(super) sender: Option<usize>,
    pub(super) chance: Chance,
    pub(super) run: Running,
    /// A restart command is being carried out since then: nothing runs.
    pub(super) restarting: Option<UnixMillis>,
    pub(super) haze: Vec<Haze>,
    pub(super) kept: Kept,
    pub(super) book: Book,
    /// Somebody waits for a sign, or requests may fail: beats and requests are
    /// events.
    pub(super) awake: bool,
    /// It was reported silent, and no sign has come since.
    pub(super) unheard: bool,
    pub(super) beat_stamp: u32,
    pub(super) request_stamp: u32,
    /// Runs that there were.
    pub(super) runs: u64,
    pub(super) was_unhealthy: bool,
}

/// What the stores keep.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) history: RestartHistory,
    pub(super) note: Option<(Vec<u8>, UnixMillis)>,
    /// Signs of the runs before this one.
    pub(super) earlier: Signs,
    pub(super) queue: VecDeque<Item>,
    /// One delivery at a time, of all hosts.
    pub(super) taken: Option<Item>,
    /// Its settings, as whoever configures it counts them.
    pub(super) revision: u64,
}

/// A request that was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) accepted: UnixMillis,
    pub(super) attempts: u32,
    /// The host's own message about a restart.
    pub(super) is_notice: bool,
}

/// What is counted about it.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) down_since: Option<UnixMillis>,
    /// Some verdict has said so.
    pub(super) detected: bool,
    /// All that time before.
    pub(super) down_ms: u64,
    pub(super) mistaken_since: Option<UnixMillis>,
    pub(super) newest_mistake: Option<UnixMillis>,
    /// A restart began, and it is not up again.
    pub(super) coming_up: bool,
    pub(super) newest_change: Option<UnixMillis>,
    /// The newest verdict is DEAD, on faults alone.
    pub(super) convicted_on_errors: bool,
    pub(super) accepted: u64,
    pub(super) ended: u64,
}

impl Workspace {
    /// The life that the present run is, as far as the stores know.
    pub(super) const fn life(&self) -> LifeId {
        self.kept.history.life
    }

    /// What the runtime shows, and of which run.
    pub(super) fn sighting(&self, shows: Shows, now: UnixMillis) -> (Sighting, Option<u64>) {
        let run = &self.run;
        let down = |status, at: UnixMillis, exit_code, out_of_memory| Sighting {
            ended: shows.ends.then(|| at.age(now)),
            exit_code: Some(exit_code),
            out_of_memory,
            ..Sighting::bare(status)
        };
        let sighting = if let Some(since) = self.restarting {
            down(Status::Stopped, since, KILLED, false)
        } else if let Some(end) = run.end.filter(|end| end.at <= now) {
            let status = if end.removed { Status::Missing } else { Status::Stopped };
            down(status, end.at, end.exit_code, end.out_of_memory)
        } else if now < run.up_at && shows.booting != Status::Running {
            let uptime = (!shows.booting.is_down()).then(|| run.began.age(now));
            Sighting { uptime, ..Sighting::bare(shows.booting) }
        } else {
            let uptime = Some(run.began.age(now));
            Sighting { uptime, ..Sighting::bare(Status::Running) }
        };
        (sighting, Some(run.number))
    }
}

/// How a runtime shows what it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shows {
    /// When a run ended, too.
    pub(super) ends: bool,
    pub(super) booting: Status,
}

/// The exit code of a run that was ended by force.
const KILLED: i32 = 137;

impl Kept {
    /// Compare-and-set, as every store of restarts does it.
    pub(super) fn begin(
        &mut self,
        of: LifeId,
        cause: RestartCause,
        revision: reprieve_core::ids::Revision,
        now: UnixMillis,
    ) -> Result<LifeId, NotBegun> {
        self.may_begin(of)?;
        self.next_life(Some(cause), now);
        self.history.revision = revision;
        Ok(self.history.life)
    }

    /// The store's compare, before it sets.
    fn may_begin(&self, of: LifeId) -> Result<(), NotBegun> {
        let RestartHistory { life: current, revision, in_flight, .. } = self.history;
        match (in_flight, current == of) {
            (true, _) => Err(NotBegun::InFlight),
            (false, false) => Err(NotBegun::LifeEnded { current, revision }),
            (false, true) => Ok(()),
        }
    }

    /// Somebody else began a run.
    pub(super) fn began_elsewhere(
        &mut self,
        of: LifeId,
        began: UnixMillis,
    ) -> Result<LifeId, NotBegun> {
        self.may_begin(of)?;
        self.next_life(None, began);
        Ok(self.history.life)
    }

    pub(super) fn next_life(&mut self, cause: Option<RestartCause>, now: UnixMillis) {
        let history = &mut self.history;
        history.life = history.life.next();
        history.in_flight = cause.is_some();
        history.began = Some(now);
        history.cause = cause;
        if cause.is_some_and(|cause| cause != RestartCause::Operator) {
            history.unasked.insert(0, now);
            history.unasked.retain(|began| began.age(now) <= RestartHistory::REACH);
            history.unasked.truncate(RestartHistory::MAX_UNASKED);
        }
    }
}

impl Book {
    /// How long it was down, until now.
    pub(super) fn down_until(&self, now: UnixMillis) -> Millis {
        let present = self.down_since.map_or(Millis::ZERO, |since| since.age(now));
        Millis(self.down_ms).saturating_add(present)
    }
}
