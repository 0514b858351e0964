//! How well the host sees, and how each tenant's fleet is.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use reprieve_core::{
    evidence::{Eyesight, Fleet},
    eyesight::{EyesightLog, FleetGauge},
    ids::TenantId,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::Who;

#[derive(Debug, Default)]
pub(super) struct Surroundings {
    eyes: Mutex<EyesightLog>,
    fleets: Mutex<HashMap<TenantId, FleetGauge>>,
    /// Held while a restart is being admitted.
    admissions: Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Surroundings {
    pub(super) fn eyesight(&self, since: Millis, until: Millis, now: UnixMillis) -> Eyesight {
        self.eyes.lock().between(since, until, now)
    }

    pub(super) fn fleet(&self, who: &Who, within: Millis, now: UnixMillis) -> Fleet {
        self.of(&who.tenant, |gauge| gauge.fleet(&who.workspace, within, now))
    }

    pub(super) fn probed(&self, well: bool, now: UnixMillis) {
        self.eyes.lock().record_probe(now, well);
    }

    pub(super) fn store_failed(&self, now: UnixMillis) {
        self.eyes.lock().record_store_fault(now);
    }

    pub(super) fn late(&self, lag: Millis, now: UnixMillis) {
        self.eyes.lock().record_lag(now, lag);
    }

    /// The workspace should be running, or no longer.
    pub(super) fn wanted(&self, who: &Who, wanted: bool, now: UnixMillis) {
        self.of(&who.tenant, |gauge| {
            if wanted {
                gauge.add(who.workspace.clone());
            } else {
                gauge.remove(&who.workspace, now);
            }
        });
    }

    pub(super) fn suspected(&self, who: &Who, suspected: bool, now: UnixMillis) {
        self.of(&who.tenant, |gauge| gauge.suspect(&who.workspace, suspected, now));
    }

    /// One restart of a tenant's is admitted at a time: whoever asks next counts
    /// this one in. Otherwise all that die in one moment would be admitted, each
    /// seeing that nobody restarts yet.
    pub(super) fn admissions(&self, tenant: &TenantId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.admissions.lock().entry(tenant.clone()).or_default())
    }

    pub(super) fn restarting(&self, who: &Who, restarting: bool) {
        self.of(&who.tenant, |gauge| gauge.restarting(&who.workspace, restarting));
    }

    fn of<T>(&self, tenant: &TenantId, then: impl FnOnce(&mut FleetGauge) -> T) -> T {
        let mut fleets = self.fleets.lock();
        match fleets.get_mut(tenant) {
            Some(gauge) => then(gauge),
            None => then(fleets.entry(tenant.clone()).or_default()),
        }
    }
}
