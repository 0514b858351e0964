//! Notices by itself: silence, exits, the host's own lateness. And takes
//! workspaces on when the host starts.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reprieve_core::{
    evidence::{Health, StoreFault},
    ids::LifeId,
    incident::{Incident, Standing},
    judgement::{RestartCause, Trigger},
    ports::{RuntimeEvent, RuntimeEventKind},
    reports::Reports,
    supervision::{BLIND_AGAIN, LAG_TICK, MAX_SILENT_PER_TICK, SILENCE_TICK, SILENT_AGAIN},
    time::Millis,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use super::{
    QueueDrop, Supervisor, WorkspaceSpec,
    witness::{Shown, WorkspaceWitness},
    workspace::{Live, Workspace},
};

/// How often stale items of the queue are dropped.
const STALE_TICK: Duration = Duration::from_secs(60);

impl Supervisor {
    /// Takes a workspace on: reads what is known of it, and begins to watch. It
    /// is judged or started by [`Supervisor::start`].
    pub async fn take_on(&self, spec: WorkspaceSpec) -> Result<(), StoreFault> {
        let now = self.now();
        let record = self.0.ports.records.load(&spec.id).await?.unwrap_or_default();
        let history = self.0.ports.restarts.fetch(&spec.id).await?;
        let incident = Incident::new(
            record.standing,
            spec.is_restartable(),
            history.life,
            history.revision,
            record.wanted,
        );
        let live = Live {
            incident,
            owned_address: record.owned_address.or_else(|| spec.address.clone()),
            own_word: record.own_word,
            queues_for_itself: record.queues_for_itself.unwrap_or(spec.queues_for_itself),
            mark: record.mark,
            ended_by_hand: record.ended_by_hand,
            blind_since: None,
            reports: Reports::default(),
        };
        let workspace = Workspace::new(spec, live);
        let wanted = record.standing == Standing::Wanted;
        self.0.surroundings.wanted(&workspace.who, wanted, now);
        self.0.workspaces.write().insert(workspace.id().clone(), Arc::clone(&workspace));
        // Whoever changes settings from now on finds it among the workspaces; what
        // was changed before is in force.
        let limit = self.0.current.silence_limit(&workspace.who, &workspace.spec.labels);
        self.0.ports.heartbeats.watch(workspace.id(), limit, now);
        let is_watched = self.0.started.load(Ordering::Acquire);
        if wanted && record.stopped_with_host {
            let steps = workspace.live.lock().incident.wish(RestartCause::Operator, now).1;
            self.save(&workspace).await;
            self.carry_out(&workspace, steps, None).await;
        }
        if is_watched {
            self.begin_to_watch(workspace);
        }
        Ok(())
    }

    /// Begins to watch: from here on workspaces are judged.
    pub async fn start(&self, events: mpsc::Receiver<RuntimeEvent>) {
        for task in [
            tokio::spawn(self.clone().watch_silence()),
            tokio::spawn(self.clone().watch_lateness()),
            tokio::spawn(self.clone().watch_queue()),
            tokio::spawn(self.clone().watch_runtime(events)),
        ] {
            let stop = self.0.stop.clone();
            self.spawn(async move {
                let abort = task.abort_handle();
                tokio::select! {
                    _ = task => {}
                    () = stop.cancelled() => abort.abort(),
                }
            });
        }
        self.0.started.store(true, Ordering::Release);
        for workspace in self.all() {
            self.begin_to_watch(workspace);
        }
    }

    fn begin_to_watch(&self, workspace: Arc<Workspace>) {
        let supervisor = self.clone();
        self.spawn(async move {
            while !supervisor.find(&workspace).await {
                let again = tokio::time::sleep(BLIND_AGAIN.as_duration());
                if supervisor.0.stop.run_until_cancelled(again).await.is_none() {
                    return;
                }
            }
        });
    }

    /// A workspace that this host never started is started; one that an earlier
    /// run of the host left behind is looked at, and judged if it does not run.
    /// False: it could not be seen.
    async fn find(&self, workspace: &Arc<Workspace>) -> bool {
        let is_there = self.workspace(workspace.id()).is_some_and(|it| Arc::ptr_eq(&it, workspace));
        let (life, told) = {
            let live = workspace.live.lock();
            let is_ours = workspace.spec.is_restartable() && live.may_be_judged();
            if !is_there || !is_ours {
                return true;
            }
            (live.incident.life(), live.reports.told())
        };
        let witness = WorkspaceWitness::new(self.clone(), Arc::clone(workspace));
        let look = witness.look().await;
        self.saw(workspace, look.as_ref().err().copied());
        let is_new = life == LifeId::default();
        match look.map(|look| look.sighting) {
            Ok(sighting) if !sighting.status.is_down() => {
                self.run_seen(workspace, witness.seen(), sighting.uptime).await;
                let is_unhealthy = sighting.health == Some(Health::Unhealthy);
                workspace.live.lock().found(is_unhealthy, told);
                self.judge_reported(workspace, Trigger::Sweep, None).await;
            }
            Ok(_) if is_new && workspace.spec.discovered => self.leave_stopped(workspace).await,
            Ok(_) if is_new => drop(self.wish(workspace, RestartCause::Operator).await),
            Ok(_) => drop(self.judge(workspace, Trigger::Sweep).await),
            Err(_) => {
                // It is judged again by itself; which run it is, is found out here.
                if !is_new && !workspace.timers.judges() {
                    self.judge(workspace, Trigger::Sweep).await;
                }
                return false;
            }
        }
        true
    }

    async fn watch_silence(self) {
        let mut tick = tokio::time::interval(SILENCE_TICK.as_duration());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for id in self.0.ports.heartbeats.overdue(self.now(), MAX_SILENT_PER_TICK) {
                let Some(workspace) = self.workspace(&id) else { continue };
                if workspace.live.lock().incident.standing() != Standing::Wanted {
                    continue;
                }
                let supervisor = self.clone();
                self.spawn(async move {
                    supervisor.judge(&workspace, Trigger::HeartbeatExpired).await;
                });
            }
        }
    }

    /// ALIVE for want of sight is no health: a silent workspace is judged again.
    pub(super) fn look_after_silence(&self, workspace: &Arc<Workspace>, trigger: Trigger) {
        let unasked = matches!(trigger, Trigger::HeartbeatExpired | Trigger::Sweep);
        let limit = self.0.current.silence_limit(&workspace.who, &workspace.spec.labels);
        let Some(limit) = limit.filter(|_| unasked) else { return };
        let signs = self.0.ports.heartbeats.at_hand(workspace.id()).unwrap_or_default();
        if signs.newest().is_some_and(|at| at.age(self.now()) >= limit) {
            self.judge_after(workspace, SILENT_AGAIN);
        }
    }

    /// How late this task runs is how late the host sees.
    async fn watch_lateness(self) {
        loop {
            let due = Instant::now() + LAG_TICK.as_duration();
            tokio::time::sleep_until(due).await;
            let lag = u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.surroundings.late(Millis(lag), self.now());
        }
    }

    async fn watch_queue(self) {
        let mut tick = tokio::time::interval(STALE_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let max_age = self.0.options.max_queue_age;
            match self.0.ports.queue.drop_stale(max_age, self.now()).await {
                Ok(dropped) if dropped.is_empty() => {}
                Ok(dropped) => {
                    self.given_up(QueueDrop::Stale, &dropped);
                    tracing::info!(dropped = dropped.len(), "stale items left the queue");
                }
                Err(_) => self.store_failed(),
            }
        }
    }

    /// What a runtime reports is a reason to judge, and never more.
    async fn watch_runtime(self, mut events: mpsc::Receiver<RuntimeEvent>) {
        while let Some(event) = events.recv().await {
            let Some(workspace) = self.workspace(&event.workspace) else { continue };
            let trigger = match event.kind {
                RuntimeEventKind::Started => {
                    self.run_began(&workspace, event.mark, event.address).await;
                    continue;
                }
                RuntimeEventKind::StoppedByHand => {
                    self.run_ended_by_hand(&workspace, event.mark.clone()).await;
                    Trigger::RuntimeStopped
                }
                RuntimeEventKind::Stopped => Trigger::RuntimeStopped,
                RuntimeEventKind::Unhealthy => Trigger::Unhealthy,
            };
            if workspace.live.lock().take_report(event.mark.as_ref()) {
                let shown = event.report.map(|report| Shown { report, mark: event.mark });
                let supervisor = self.clone();
                self.spawn(async move {
                    supervisor.judge_reported(&workspace, trigger, shown).await;
                });
            }
        }
    }

    /// Marks, before the host stops its workspaces with itself, that they are to
    /// be started when it comes back.
    pub async fn mark_stopped_with_host(&self) {
        for workspace in self.all() {
            if !workspace.spec.ends_with_host {
                continue;
            }
            let record = self.0.ports.records.load(workspace.id()).await;
            if let Ok(Some(mut record)) = record {
                record.stopped_with_host = true;
                // A record that cannot be written now is judged at the next start.
                let _ = self.0.ports.records.save(workspace.id(), record).await;
            }
        }
    }
}
