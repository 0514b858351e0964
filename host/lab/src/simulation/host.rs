//! What one host holds in its memory: how well it sees, how its fleet is, who has
//! been silent, and for each workspace the restart machine and what goes on.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use reprieve_core::{
    decision::Decision,
    evidence::ProbeFault,
    eyesight::{EyesightLog, FleetGauge},
    ids::{LifeId, TenantId, WorkspaceId},
    incident::{Incident, Step},
    judgement::Trigger,
    liveness::Liveness,
    reports::Reports,
    supervision::Pace,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Deliberation, Generation};

use super::traffic::Caller;

/// How well a host sees, and how each tenant's fleet is. Shared with the witnesses
/// of its judgements.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) eyes: EyesightLog,
    fleets: HashMap<TenantId, FleetGauge>,
}

impl Surroundings {
    pub(super) fn fleet(&mut self, tenant: &TenantId) -> &mut FleetGauge {
        self.fleets.entry(tenant.clone()).or_default()
    }
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) surroundings: Arc<Mutex<Surroundings>>,
    pub(super) liveness: Liveness,
    pub(super) live: Vec<Live>,
    pub(super) probes: Probing,
    /// Of the newest plan to ask who is overdue, and for when.
    pub(super) silence: Timer,
}

impl Host {
    pub(super) fn suspect(
        &self,
        tenant: &TenantId,
        id: &WorkspaceId,
        suspected: bool,
        now: UnixMillis,
    ) {
        self.surroundings.lock().fleet(tenant).suspect(id, suspected, now);
    }

    pub(super) fn restarting(&self, tenant: &TenantId, id: &WorkspaceId, restarting: bool) {
        self.surroundings.lock().fleet(tenant).restarting(id, restarting);
    }
}

/// Probes of one host: so many at once, the others wait.
#[derive(Debug, Default)]
pub(super) struct Probing {
    pub(super) under_way: usize,
    /// Workspaces, with the stamps of their probes.
    pub(super) waiting: VecDeque<(usize, u32)>,
}

/// A timer that is set anew or cleared: what was planned before means nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timer {
    stamp: u32,
    pub(super) set_for: Option<UnixMillis>,
}

impl Timer {
    /// The stamp of the new plan.
    pub(super) fn set(&mut self, at: UnixMillis) -> u32 {
        self.stamp = self.stamp.wrapping_add(1);
        self.set_for = Some(at);
        self.stamp
    }

    pub(super) fn clear(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        self.set_for = None;
    }

    /// Whether the plan with that stamp still holds; if so, it is over now.
    pub(super) fn strike(&mut self, stamp: u32) -> bool {
        let holds = self.set_for.is_some() && self.stamp == stamp;
        if holds {
            self.set_for = None;
        }
        holds
    }
}

/// One workspace as one host holds it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) incident: Incident,
    /// Which run the runtime showed last.
    pub(super) mark: Option<u64>,
    /// The host knows where it listens.
    pub(super) placed: bool,
    pub(super) judging: Option<Box<Judging>>,
    pub(super) judge: Timer,
    pub(super) take_up: Timer,
    /// Of the newest probe or `recheck`.
    pub(super) step: Timer,
    /// How the newest probe ends, if that is on record: in a fault.
    pub(super) probe_fault: Option<ProbeFault>,
    pub(super) draining: bool,
    pub(super) pace: Pace,
    pub(super) suspected: bool,
    /// Which run the newest DEAD verdict was about.
    pub(super) judged: Option<u64>,
    pub(super) reports: Reports,
}

impl Live {
    /// The runtime reported something of this life that nobody has looked into.
    pub(super) fn owes_a_look(&self) -> bool {
        self.reports.are_owed(self.incident.life())
    }
}

/// A judgement under way, and what it leads to.
#[derive(Debug)]
pub(super) struct Judging {
    pub(super) trigger: Trigger,
    pub(super) first: UnixMillis,
    pub(super) number: u32,
    /// Requests that wait for it.
    pub(super) callers: Vec<Caller>,
    /// What the runtime has reported meanwhile.
    pub(super) reported: Option<Trigger>,
    pub(super) stage: Stage,
    /// Which run was seen last.
    pub(super) seen: Option<u64>,
    /// How the newest look of the newest attempt went, as the world knows it.
    pub(super) looked: Option<Result<(), ProbeFault>>,
}

#[derive(Debug)]
pub(super) enum Stage {
    Deliberating(Box<Deliberating>),
    /// A `recheck` is waited for.
    Waiting,
    /// The verdict is carried out: the runtime is looked at again.
    LookingAgain {
        decision: Box<Decision>,
        then: VecDeque<Step>,
    },
    /// Between two of these.
    Turning,
}

#[derive(Debug)]
pub(super) struct Deliberating {
    pub(super) deliberation: Deliberation,
    pub(super) generation: Arc<Generation>,
    pub(super) at: UnixMillis,
    pub(super) life: LifeId,
    /// How many reports there were before it was looked at.
    pub(super) told: u64,
}

/// Rounded up to the host's next tick.
pub(super) fn next_tick(at: UnixMillis, tick: Millis) -> UnixMillis {
    UnixMillis(at.0.div_ceil(tick.0) * tick.0)
}
