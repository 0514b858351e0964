//! The whole fleet at a glance, by tenant.

use std::collections::BTreeMap;

use reprieve_core::{
    evidence::Eyesight,
    ids::TenantId,
    incident::WorkspaceState,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::Alive;

use super::{Supervisor, judging::BLIND_ALERT};

/// How one tenant's workspaces stand, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    by_state: [u32; STATES.len()],
    /// With a restart in flight.
    pub restarting: u32,
    /// The runtime cannot be asked about them.
    pub blind: u32,
    /// The same, for so long that a person should know.
    pub blind_for_long: u32,
}

/// By their position.
const STATES: [&str; 8] = [
    "provisioning",
    "online",
    "degraded",
    "offline",
    "paused",
    "hibernating",
    "hibernated",
    "removed",
];

const fn position(state: WorkspaceState) -> usize {
    match state {
        WorkspaceState::Provisioning => 0,
        WorkspaceState::Online => 1,
        WorkspaceState::Degraded => 2,
        WorkspaceState::Offline => 3,
        WorkspaceState::Paused => 4,
        WorkspaceState::Hibernating => 5,
        WorkspaceState::Hibernated => 6,
        WorkspaceState::Removed => 7,
    }
}

impl Standings {
    /// Every state, with how many workspaces are in it.
    pub fn states(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        STATES.into_iter().zip(self.by_state)
    }
}

impl Supervisor {
    /// Every tenant that has workspaces.
    pub fn survey(&self) -> BTreeMap<TenantId, Standings> {
        let now = self.now();
        let mut tenants = BTreeMap::<_, Standings>::new();
        for workspace in self.all() {
            let live = workspace.live.lock();
            let standings = tenants.entry(workspace.spec.tenant.clone()).or_default();
            standings.by_state[position(live.incident.state())] += 1;
            standings.restarting += u32::from(live.incident.is_in_flight());
            standings.blind += u32::from(live.blind_since.is_some());
            let alerts = live.blind_since.is_some_and(|since| since.age(now) >= BLIND_ALERT);
            standings.blind_for_long += u32::from(alerts);
        }
        tenants
    }

    /// What decides now, first, and whatever else is alive.
    pub fn generations(&self) -> Vec<Alive> {
        self.0.current.alive()
    }

    /// How well the host has seen within so long.
    pub fn eyesight(&self, within: Millis) -> Eyesight {
        self.0.surroundings.eyesight(within, Millis::ZERO, self.now())
    }

    /// When this host began.
    pub fn started(&self) -> UnixMillis {
        self.0.since
    }
}
