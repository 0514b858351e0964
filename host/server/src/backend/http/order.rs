//! One restart or stop. Each order is sent once; what came of it is found out by
//! looking.
//!
//! A restart: look; stop what runs and wait until it is stopped; start with the
//! life as the key. It is done when the control plane took the start: the
//! instance is pending then, and the policy sees `starting`.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use reprieve_core::{
    ids::{LifeId, WorkspaceId},
    ports::{LifeMark, RestartFailure, RestartOrder, Started},
    time::Millis,
};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::{
    ControlPlane, ControlPlaneOptions,
    client::{CallFailure, Verb},
    contract::{Instance, State},
};

/// What this host knows of one workspace's orders.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Held for the length of an order: one at a time.
    order: tokio::sync::Mutex<()>,
    is_restarting: AtomicBool,
    newest: Mutex<Newest>,
    /// The run whose address was told last, and the address.
    pub(super) told: Mutex<Option<(LifeMark, Url)>>,
}

/// The newest life that this host was ordered to begin, and what it brought.
#[derive(Debug, Default)]
struct Newest {
    life: LifeId,
    started: Option<Started>,
}

impl Slot {
    /// Between the order to stop a run and the one that begins the next.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_restarting.load(Ordering::SeqCst)
    }

    /// What the same order brought the first time. Err: a newer one was carried
    /// out since, and this one comes late.
    fn begun_before(&self, life: LifeId) -> Result<Option<Started>, RestartFailure> {
        let mut newest = self.newest.lock();
        if life < newest.life {
            let newer = newest.life.0;
            return refuse(format!("life {} is over: life {newer} was ordered since", life.0));
        }
        if life > newest.life {
            *newest = Newest { life, started: None };
        }
        Ok(newest.started.clone())
    }
}

/// Says that a restart is under way for as long as it lives.
struct UnderWay<'a>(&'a Slot);

impl<'a> UnderWay<'a> {
    fn begin(slot: &'a Slot) -> Self {
        slot.is_restarting.store(true, Ordering::SeqCst);
        Self(slot)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.is_restarting.store(false, Ordering::SeqCst);
    }
}

/// What waiting for the end of a run came to.
enum Ended {
    Down,
    /// Somebody else has begun another run.
    Another(Instance),
}

impl ControlPlane {
    pub(super) async fn restart_one(
        &self,
        order: &RestartOrder,
    ) -> Result<Started, RestartFailure> {
        let slot = self.slot(&order.workspace);
        let _one_at_a_time = slot.order.lock().await;
        if let Some(started) = slot.begun_before(order.life)? {
            return Ok(started);
        }
        let instance = {
            let _under_way = UnderWay::begin(&slot);
            self.begin(&order.workspace, order.life).await?
        };
        let started = started(&instance);
        slot.newest.lock().started = Some(started.clone());
        if instance.address_if_running().is_none() {
            self.watch_boot(order.workspace.clone());
        }
        Ok(started)
    }

    /// Ends the run, if one lasts, and begins the next.
    async fn begin(
        &self,
        workspace: &WorkspaceId,
        life: LifeId,
    ) -> Result<Instance, RestartFailure> {
        let key = life.0.to_string();
        let before = self.0.client.look(workspace).await.or_else(|failure| {
            refuse(format!("nothing was ordered, the instance cannot be seen: {failure}"))
        })?;
        if let Some(instance) = &before
            && instance.is_up()
            && instance.start_key.as_deref() == Some(&key)
        {
            // An earlier run of this host was given the same order.
            return Ok(instance.clone());
        }
        if let Some(instance) = before.as_ref().filter(|instance| instance.is_lasting())
            && let Ended::Another(instance) = self.end(workspace, instance, &key).await?
        {
            tracing::info!(%workspace, life = life.0, mark = %instance.mark().0,
                "another run was begun meanwhile: it is taken as it is");
            return Ok(instance);
        }
        self.start(workspace, before.as_ref(), &key).await
    }

    pub(super) async fn stop_one(&self, workspace: &WorkspaceId) -> Result<(), RestartFailure> {
        let slot = self.slot(workspace);
        let _one_at_a_time = slot.order.lock().await;
        let seen = self.0.client.look(workspace).await.or_else(|failure| {
            refuse(format!("nothing was ordered, the instance cannot be seen: {failure}"))
        })?;
        let Some(instance) = seen.filter(Instance::is_lasting) else { return Ok(()) };
        // The run names the order: the same stop twice is one.
        let key = format!("stop-{}", instance.mark().0);
        match self.end(workspace, &instance, &key).await? {
            Ended::Down => Ok(()),
            Ended::Another(_) => refuse("another run was begun meanwhile"),
        }
    }

    /// Orders the stop of a run and waits until it is down.
    async fn end(
        &self,
        workspace: &WorkspaceId,
        run: &Instance,
        key: &str,
    ) -> Result<Ended, RestartFailure> {
        if run.is_up() {
            match self.0.client.order(Verb::Stop, workspace, key).await {
                Ok(_) => {}
                Err(failure) if failure.may_be_taken() => followed_up("stop", workspace, &failure),
                Err(failure) => return refuse(format!("the stop was not taken: {failure}")),
            }
        }
        let mark = run.mark();
        let limit = self.0.options.stop_limit;
        self.until(workspace, limit, |seen| match seen {
            None => Some(Ended::Down),
            Some(instance) if !instance.is_lasting() => Some(Ended::Down),
            Some(instance) if instance.is_up() && instance.mark() != mark => {
                Some(Ended::Another(instance))
            }
            Some(_) => None,
        })
        .await
    }

    /// Orders a start, and makes sure that a run has begun.
    async fn start(
        &self,
        workspace: &WorkspaceId,
        before: Option<&Instance>,
        key: &str,
    ) -> Result<Instance, RestartFailure> {
        match self.0.client.order(Verb::Start, workspace, key).await {
            Ok(instance) if instance.is_up() => return Ok(instance),
            // Taken, and not yet to be seen.
            Ok(_) => {}
            Err(failure) if failure.may_be_taken() => followed_up("start", workspace, &failure),
            Err(failure) => return refuse(format!("the start was not taken: {failure}")),
        }
        let before = before.map(Instance::mark);
        let limit = self.0.options.start_limit;
        self.until(workspace, limit, |seen| {
            let is_new = |instance: &Instance| {
                instance.start_key.as_deref() == Some(key)
                    || before.as_ref() != Some(&instance.mark())
            };
            seen.filter(|instance| instance.is_up() && is_new(instance))
        })
        .await
    }

    /// Looks until it is so, at longer and longer intervals.
    async fn until<T>(
        &self,
        workspace: &WorkspaceId,
        limit: Millis,
        mut is_so: impl FnMut(Option<Instance>) -> Option<T>,
    ) -> Result<T, RestartFailure> {
        let deadline = Instant::now() + limit.as_duration();
        let first = self.0.options.look_pause.as_duration();
        let mut pause = first;
        loop {
            let look = timeout_at(deadline, self.0.client.look(workspace)).await;
            if let Ok(Ok(seen)) = look
                && let Some(found) = is_so(seen)
            {
                return Ok(found);
            }
            if Instant::now() + pause >= deadline {
                return Err(RestartFailure::TimedOut { after: limit });
            }
            sleep(pause).await;
            pause = (pause * 2).min(first * ControlPlaneOptions::MAX_PAUSE_FACTOR);
        }
    }

    /// An instance that is pending often has no address: watched until it has,
    /// and that is told.
    fn watch_boot(&self, workspace: WorkspaceId) {
        let plane = self.clone();
        tokio::spawn(async move {
            let limit = plane.0.options.boot_limit;
            let is_over = |seen: Option<Instance>| {
                let Some(instance) = seen else { return Some(()) };
                plane.tell_address(&workspace, &instance);
                (instance.state != State::Pending).then_some(())
            };
            if plane.until(&workspace, limit, is_over).await.is_err() {
                tracing::warn!(%workspace, %limit, "the instance is pending still; its address is not known");
            }
        });
    }
}

impl Instance {
    /// Not down yet.
    fn is_lasting(&self) -> bool {
        self.is_up() || self.state == State::Stopping
    }
}

fn started(instance: &Instance) -> Started {
    Started { address: instance.address.clone(), mark: Some(instance.mark()) }
}

fn followed_up(what: &str, workspace: &WorkspaceId, failure: &CallFailure) {
    tracing::warn!(%workspace, %failure, "no clear answer to the order to {what}: it is followed up by looking");
}

fn refuse<T>(detail: impl Into<String>) -> Result<T, RestartFailure> {
    Err(RestartFailure::Refused { detail: detail.into() })
}
