//! Workspaces come and go: a list finds them, the event stream follows them, and
//! a list after every gap makes up for what the stream did not show.
//!
//! Nothing here acts. What is seen becomes a `Discovery` or a `RuntimeEvent`, and
//! the policy judges.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::{StreamExt as _, stream};
use reprieve_core::{
    evidence::ProbeFault,
    ids::WorkspaceId,
    ports::{LifeMark, RuntimeEvent, RuntimeEventKind},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{
    Shared,
    container::{Container, Listed, Wanted, newest_running},
    events::{self, Event, What},
    failure::CallFailure,
    names::ContainerId,
    record::Record,
    seeing::Seen,
    slot::{Slot, Told, Vanished},
};
use crate::backend::{
    discovery::{Discovery, Found},
    records,
};

/// Workspaces of one daemon. A record of some 10 KiB is kept of each.
const MAX_WORKSPACES: usize = 4_096;
/// Inspects under way at once while a gap is closed.
const MAX_INSPECTS: usize = 8;
/// Events that wait while a gap is closed. More wait in the daemon.
const MAX_WAITING_EVENTS: usize = 1_024;
/// Containers that a person was told about because of their labels.
const MAX_COMPLAINTS: usize = 1_024;

/// From the end of a stream, or a gap that could not be closed, to the next try;
/// doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A stream that lasted so long was a good one: the pause begins afresh.
const GOOD_STREAM: Duration = Duration::from_secs(10);
/// How far the first stream reaches back: over what happens while it is opened.
const REACH_BACK: Duration = Duration::from_secs(2);

/// That the containers cannot be listed, told once for as long as it lasts.
#[derive(Default)]
struct Blindness {
    is_told: bool,
}

impl Blindness {
    fn persists(&mut self, closed: &Result<(), CallFailure>) -> bool {
        match closed {
            Ok(()) if self.is_told => {
                tracing::info!("docker's containers can be listed again");
            }
            Err(failure) if !self.is_told => {
                tracing::warn!(%failure, "docker's containers cannot be listed: new ones are not found");
            }
            Ok(()) | Err(_) => {}
        }
        self.is_told = closed.is_err();
        self.is_told
    }
}

impl Shared {
    /// Never ends by itself.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut since = wall_nanos().saturating_sub(nanos(REACH_BACK));
        let mut pause = FIRST_PAUSE;
        let mut blindness = Blindness::default();
        loop {
            let began = Instant::now();
            let end = self.follow_once(&mut since, &mut blindness).await;
            if began.elapsed() >= GOOD_STREAM {
                pause = FIRST_PAUSE;
            }
            if end == CallFailure::MALFORMED {
                // The daemon would send the same again. What else it would send
                // is made up for by the list.
                since = wall_nanos();
            }
            tracing::debug!(reason = %end, "the stream of docker's events ended");
            sleep(pause).await;
            pause = longer(pause);
        }
    }

    /// Until the stream ends. Reading begins before the list does, so that nothing
    /// falls between the two.
    async fn follow_once(
        self: &Arc<Self>,
        since: &mut u64,
        blindness: &mut Blindness,
    ) -> CallFailure {
        let stream = match self.daemon.agree().await {
            Ok(_) => self.daemon.events(*since).await,
            Err(failure) => Err(failure),
        };
        let mut stream = match stream {
            Ok(stream) => Box::pin(stream),
            Err(failure) => {
                blindness.persists(&Err(failure.clone()));
                return failure;
            }
        };
        let (buffer, mut waiting) = mpsc::channel(MAX_WAITING_EVENTS);
        let _reading = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(message) = stream.next().await {
                let is_over = message.is_err();
                if buffer.send(message).await.is_err() || is_over {
                    break;
                }
            }
        }));
        let mut pause = FIRST_PAUSE;
        let is_open = blindness.persists(&self.close_gap().await);
        let mut gap = is_open.then(|| Instant::now() + pause);
        let mut serves_since = gap.is_none().then(wall_nanos);
        loop {
            let again = gap.unwrap_or_else(Instant::now);
            let message = tokio::select! {
                message = waiting.recv() => message,
                () = sleep_until(again), if gap.is_some() => {
                    pause = longer(pause);
                    let is_open = blindness.persists(&self.close_gap().await);
                    gap = is_open.then(|| Instant::now() + pause);
                    if gap.is_none() {
                        serves_since.get_or_insert_with(wall_nanos);
                    }
                    continue;
                }
            };
            match message {
                Some(Ok(message)) => {
                    let Some(event) = events::read(&message) else { continue };
                    *since = event.at_nanos.saturating_add(1).max(*since);
                    let is_live = serves_since.is_some_and(|since| event.at_nanos >= since);
                    if self.take_note(&event, is_live).await.is_err() && gap.is_none() {
                        pause = FIRST_PAUSE;
                        gap = Some(Instant::now() + pause);
                    }
                }
                Some(Err(failure)) => return failure,
                None => return CallFailure::Fault(ProbeFault::ClosedEarly),
            }
        }
    }

    /// Lists and inspects every container that names a workspace, and asks after
    /// those that were known and are not listed.
    async fn close_gap(self: &Arc<Self>) -> Result<(), CallFailure> {
        let mut of_each: BTreeMap<WorkspaceId, Vec<Listed>> = BTreeMap::new();
        for one in self.list(None).await? {
            match &one.workspace {
                Ok(workspace) => of_each.entry(workspace.clone()).or_default().push(one),
                Err(error) => self.complain(&one.id, error),
            }
        }
        let mut best = Vec::new();
        for (workspace, listed) in &of_each {
            let known = self.slot(workspace).map(|slot| slot.container());
            let best_of_it = self.best(workspace, listed, known.as_ref());
            best.extend(best_of_it.map(|id| (workspace.clone(), id)));
        }
        let taken: Vec<Result<(), CallFailure>> = stream::iter(best)
            .map(|(workspace, id)| {
                let shared = Arc::clone(self);
                async move { shared.take_in(&workspace, &id).await }
            })
            .buffer_unordered(MAX_INSPECTS)
            .collect()
            .await;
        let listed: BTreeSet<WorkspaceId> = of_each.keys().cloned().collect();
        let unlisted: Vec<Arc<Slot>> = {
            let slots = self.slots.read();
            slots.values().filter(|slot| !listed.contains(&slot.workspace)).cloned().collect()
        };
        let mut whole: Result<(), CallFailure> = taken.into_iter().collect();
        for slot in unlisted {
            whole = whole.and(self.ask_after(&slot).await);
        }
        whole
    }

    fn best(
        &self,
        workspace: &WorkspaceId,
        listed: &[Listed],
        preferred: Option<&ContainerId>,
    ) -> Option<ContainerId> {
        let (best, other) = newest_running(listed, preferred)?;
        if let Some(other) = other {
            let twice = format!(
                "workspace {workspace} is run by {} as well, which began later; stop one of the two",
                best.id.short()
            );
            self.complain(&other.id, &twice);
        }
        Some(best.id.clone())
    }

    /// Once for each container.
    fn complain(&self, id: &ContainerId, reason: &str) {
        let mut complained = self.complained.lock();
        if complained.contains(id) {
            return;
        }
        if complained.len() >= MAX_COMPLAINTS {
            complained.clear();
        }
        complained.insert(id.clone());
        tracing::warn!(container = id.short(), reason, "a container is not taken on");
    }

    /// Looks at a container that may run a workspace, and reports what is new.
    async fn take_in(
        self: &Arc<Self>,
        workspace: &WorkspaceId,
        id: &ContainerId,
    ) -> Result<(), CallFailure> {
        match self.inspect(id, workspace).await {
            Ok(container) => self.report(container).await,
            // Gone again; its removal is reported on its own.
            Err(CallFailure::Absent) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn report(self: &Arc<Self>, container: Container) -> Result<(), CallFailure> {
        let wanted = match container.wanted() {
            Ok(wanted) => wanted,
            Err(refusal) => {
                self.complain(&container.id, &refusal.to_string());
                return Ok(());
            }
        };
        let parent = self.parent(&container).await?;
        let address = self.address(&container, &wanted.description).await?;
        let Some(slot) = self.slot_for(&container) else {
            self.complain(&container.id, &format!("{MAX_WORKSPACES} workspaces are known already"));
            return Ok(());
        };
        if slot.note(&container, parent.as_ref()) || !slot.is_told() {
            self.keep_soon(&slot);
        }
        let wanted = needing(wanted, parent);
        let mark = container.mark().cloned();
        self.watch_first_process(&slot, &container);
        let told = Told { wanted, address, mark, runs: container.runs() };
        let before = slot.tell(told.clone());
        self.tell(&slot, before, told).await;
        Ok(())
    }

    fn slot_for(&self, container: &Container) -> Option<Arc<Slot>> {
        if let Some(slot) = self.slot(&container.workspace) {
            return Some(slot);
        }
        let mut slots = self.slots.write();
        if slots.len() >= MAX_WORKSPACES {
            return None;
        }
        let new = || Arc::new(Slot::new(Record::of(container)));
        Some(Arc::clone(slots.entry(container.workspace.clone()).or_insert_with(new)))
    }

    /// What is new since it was last told.
    async fn tell(&self, slot: &Slot, before: Option<Told>, now: Told) {
        let Some(before) = before else { return self.discovered(found(now)).await };
        let Told { address, mark, .. } = now.clone();
        let another_run = before.mark != mark;
        if before.wanted != now.wanted {
            self.discovered(found(now.clone())).await;
        }
        if (another_run || now.runs && before.address != address) && mark.is_some() {
            self.happened(slot, RuntimeEventKind::Started, mark.clone(), address).await;
        }
        if !now.runs && (before.runs || another_run) {
            self.happened(slot, RuntimeEventKind::Stopped, mark, None).await;
        }
    }

    async fn discovered(&self, discovery: Discovery) {
        // Nobody listens any more: the host is going down.
        let _ = self.discoveries.send(discovery).await;
    }

    async fn happened(
        &self,
        slot: &Slot,
        kind: RuntimeEventKind,
        mark: Option<LifeMark>,
        address: Option<Url>,
    ) {
        let workspace = slot.workspace.clone();
        self.send(RuntimeEvent { workspace, kind, mark, address, report: None }).await;
    }

    async fn send(&self, event: RuntimeEvent) {
        // As above.
        let _ = self.events.send(event).await;
    }

    /// An error means that the gap must be closed again. `is_live`: it happened
    /// while the daemon answered questions.
    async fn take_note(self: &Arc<Self>, event: &Event, is_live: bool) -> Result<(), CallFailure> {
        let Event { workspace, container, at_nanos, what } = event;
        match what {
            What::Started | What::Renamed => {
                return self.look_closer(workspace, container).await;
            }
            What::Ended(_)
            | What::Stopped
            | What::Unhealthy
            | What::OutOfMemory
            | What::Removed => {}
        }
        let Some(slot) = self.slot(workspace) else { return Ok(()) };
        match what {
            What::Ended(exit_code) => self.note_end(&slot, container, *at_nanos, *exit_code).await,
            What::Stopped if is_live && self.serves(container).await => {
                if slot.stopped(container, *at_nanos) {
                    self.happened(&slot, RuntimeEventKind::StoppedByHand, slot.mark(), None).await;
                }
            }
            What::Unhealthy if slot.container() == *container => {
                self.happened(&slot, RuntimeEventKind::Unhealthy, slot.mark(), None).await;
            }
            What::OutOfMemory => {
                slot.wants_memory(container, *at_nanos);
                tracing::info!(%workspace, container = container.short(), "a process was killed for want of memory");
            }
            What::Removed if slot.removed(container, *at_nanos) => {
                return self.ask_after(&slot).await;
            }
            What::Stopped | What::Unhealthy | What::Removed => {}
            What::Started | What::Renamed => {}
        }
        Ok(())
    }

    /// Its newest run has ended. To ask the daemon now would mean to wait: it answers
    /// only once it has taken the container's network and mounts apart, and says
    /// no more than it has reported.
    pub(super) async fn note_end(
        &self,
        slot: &Slot,
        container: &ContainerId,
        at_nanos: u64,
        exit_code: Option<i32>,
    ) {
        if slot.ended(container, at_nanos) {
            let report = slot.report_of_end(at_nanos, exit_code, self.clock.now());
            let (workspace, mark) = (slot.workspace.clone(), slot.mark());
            let (kind, report) = (RuntimeEventKind::Stopped, Some(report));
            self.send(RuntimeEvent { workspace, kind, mark, address: None, report }).await;
        }
    }

    /// A daemon that goes down stops its containers itself, and one that was killed
    /// stops those that it finds running when it comes back. Both look like a
    /// person's doing, and in both it answers no question at that time.
    async fn serves(&self, container: &ContainerId) -> bool {
        match self.daemon.inspect(container).await {
            Ok(_)
            | Err(
                CallFailure::Absent | CallFailure::Conflict { .. } | CallFailure::Refused { .. },
            ) => true,
            Err(CallFailure::Fault(_)) => false,
        }
    }

    /// A container began to run, or to be called something else: is it the one that
    /// runs the workspace?
    async fn look_closer(
        self: &Arc<Self>,
        workspace: &WorkspaceId,
        id: &ContainerId,
    ) -> Result<(), CallFailure> {
        if self.slot(workspace).is_some_and(|slot| slot.container() == *id) {
            return self.take_in(workspace, id).await;
        }
        let listed = self.list(Some(workspace)).await?;
        match self.best(workspace, &listed, Some(id)) {
            Some(id) => self.take_in(workspace, &id).await,
            None => Ok(()),
        }
    }

    /// A container that was known is removed, or not listed.
    async fn ask_after(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), CallFailure> {
        match self.see(slot).await? {
            Seen::There(container) => return self.report(*container).await,
            Seen::Gone => {}
        }
        match slot.vanish(self.clock.now()) {
            Vanished::Withdrawn => {
                self.slots.write().remove(&slot.workspace);
                let _not_written_again = slot.writing.lock().await;
                if let Err(error) = records::remove(&self.records, &slot.workspace) {
                    tracing::warn!(workspace = %slot.workspace, %error, "cannot remove its record");
                }
                self.discovered(Discovery::Withdrawn(slot.workspace.clone())).await;
            }
            Vanished::Lost => {
                self.happened(slot, RuntimeEventKind::Stopped, slot.mark(), None).await;
            }
            Vanished::StillLost if !slot.is_told() => self.tell_of_lost(slot).await,
            Vanished::StillLost => {}
        }
        Ok(())
    }

    /// An earlier host was killed while it made the container again.
    async fn tell_of_lost(&self, slot: &Slot) {
        let record = slot.record();
        let parent = record.parent.clone();
        match record.recipe.wanted() {
            Ok(wanted) => {
                let (address, mark, runs) = (None, record.mark, false);
                let told = Told { wanted: needing(wanted, parent), address, mark, runs };
                let before = slot.tell(told.clone());
                self.tell(slot, before, told).await;
            }
            Err(refusal) => self.complain(&record.container, &refusal.to_string()),
        }
    }
}

impl Record {
    fn of(container: &Container) -> Self {
        Self {
            workspace: container.workspace.clone(),
            container: container.id.clone(),
            name: container.name.clone(),
            mark: container.mark().cloned(),
            recipe: container.recipe.clone(),
            parent: None,
            order: None,
        }
    }
}

/// Who shares a network needs whoever has it.
fn needing(mut wanted: Wanted, parent: Option<WorkspaceId>) -> Wanted {
    let depends_on = &mut wanted.description.depends_on;
    if let Some(parent) = parent.filter(|parent| !depends_on.contains(parent)) {
        depends_on.push(parent);
    }
    wanted
}

fn found(told: Told) -> Discovery {
    let Told { wanted, address, mark, runs } = told;
    let description = wanted.description;
    Discovery::Found(Found {
        id: description.workspace,
        tenant: description.tenant,
        labels: description.labels,
        settings: description.settings,
        depends_on: description.depends_on,
        queues_for_itself: description.queues_for_itself,
        token: wanted.token,
        address,
        mark,
        runs,
    })
}

/// The wall clock, which the daemon stamps its events with. The host's own clock
/// does not follow it when it is set.
pub(super) fn wall_nanos() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}
