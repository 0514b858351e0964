//! Carries out what the restart machine wants done.

use std::{collections::VecDeque, sync::Arc};

use futures::future::BoxFuture;
use reprieve_core::{
    ids::{LifeId, Revision},
    incident::{DropReason, Standing, Step, Void, Wish},
    judgement::RestartCause,
    ports::{LifeMark, NotBegun, RestartFailure, RestartOrder},
    time::UnixMillis,
};

use tracing::Instrument as _;

use super::{
    Supervisor,
    records::WorkspaceRecord,
    tally::{cause_name, failure_name},
    witness::WorkspaceWitness,
    workspace::Workspace,
};
use crate::telemetry::traces::spans;

impl Supervisor {
    /// Carries out steps in their order, and what follows from them. `judged` is
    /// the run that a death verdict was about. Boxed, because a step may lead to
    /// another judgement, and that to further steps.
    pub(super) fn carry_out<'a>(
        &'a self,
        workspace: &'a Arc<Workspace>,
        steps: Vec<Step>,
        judged: Option<LifeMark>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut steps = VecDeque::from(steps);
            while let Some(step) = steps.pop_front() {
                steps.extend(self.step(workspace, step, judged.as_ref()).await);
            }
        })
    }

    async fn step(
        &self,
        workspace: &Arc<Workspace>,
        step: Step,
        judged: Option<&LifeMark>,
    ) -> Vec<Step> {
        match step {
            Step::Admit { cause, .. } => {
                let admission = self.admission(workspace, cause).await;
                let now = self.now();
                let mut live = workspace.live.lock();
                let steps = live.incident.ruled(cause, admission, now);
                if !live.incident.is_in_flight() {
                    // Not admitted, or overtaken by what happened meanwhile.
                    self.0.surroundings.restarting(&workspace.who, false);
                }
                return steps;
            }
            Step::LookAgain => {
                let same_run = self.is_same_run(workspace, judged).await;
                let now = self.now();
                return workspace.live.lock().incident.looked_again(same_run, now);
            }
            Step::Begin { of, cause, revision } => {
                return self.begin(workspace, of, cause, revision).await;
            }
            Step::ForgetMemory => self.forget(workspace).await,
            // The state follows from the restart machine; see `Incident::state`.
            Step::MarkOffline => {
                self.0.surroundings.wanted(&workspace.who, true, self.now());
                self.0.surroundings.restarting(&workspace.who, true);
            }
            Step::ClearCredentials => {
                let mut live = workspace.live.lock();
                live.owned_address.clone_from(&workspace.spec.address);
                live.own_word = None;
            }
            Step::Broadcast { life, cause } => {
                let cause = cause_name(cause);
                tracing::info!(workspace = %workspace.id(), life = life.0, cause, "restart begins");
                self.announce(workspace.id(), format!("restart begins ({cause})"));
            }
            Step::Restart { life, cause, revision } => {
                self.restart(workspace, life, cause, revision);
            }
            Step::Finish { life } => self.finish(workspace, life).await,
            Step::TellWorkspace { cause } => self.tell(workspace, cause).await,
            Step::AskSettled => {
                let (supervisor, of) = (self.clone(), Arc::clone(workspace));
                self.spawn(async move { supervisor.sweep(&of).await });
            }
            Step::Drain => self.drain(workspace),
            Step::Stop => self.end_run(workspace),
            Step::JudgeAt(at) => self.judge_after(workspace, self.now_until(at)),
            Step::TakeUpAt(at) => self.take_up_at(workspace, at),
            Step::Drop { cause, why } => self.dropped(workspace, cause, why),
            Step::Void(void) => self.voided(workspace, void),
        }
        vec![]
    }

    fn now_until(&self, at: UnixMillis) -> reprieve_core::time::Millis {
        self.now().age(at)
    }

    /// Does the runtime still show the run that was judged? Where it cannot be
    /// seen, nothing says otherwise: the verdict was given on evidence.
    async fn is_same_run(&self, workspace: &Arc<Workspace>, judged: Option<&LifeMark>) -> bool {
        let Some(judged) = judged else { return true };
        let witness = WorkspaceWitness::new(self.clone(), Arc::clone(workspace));
        let patience = self.0.options.look_again_deadline.as_duration();
        match tokio::time::timeout(patience, witness.look()).await {
            Ok(Ok(look)) => look.mark.is_none_or(|mark| mark == *judged),
            Ok(Err(_)) | Err(_) => true,
        }
    }

    async fn begin(
        &self,
        workspace: &Arc<Workspace>,
        of: LifeId,
        cause: RestartCause,
        revision: Revision,
    ) -> Vec<Step> {
        let now = self.now();
        let begun = self.0.ports.restarts.begin(workspace.id(), of, cause, revision, now).await;
        match begun {
            Ok(_) => {
                self.0.tally.begun(cause);
                if cause == RestartCause::DeadVerdict {
                    let (who, labels) = (&workspace.who, &workspace.spec.labels);
                    self.0.ports.experiments.restarted(who, labels, now);
                }
            }
            Err(NotBegun::StoreUnavailable) => {
                self.store_failed();
            }
            Err(NotBegun::InFlight | NotBegun::LifeEnded { .. }) => {}
        }
        let begun = begun.map(|life| (life, revision));
        let steps = {
            let mut live = workspace.live.lock();
            if begun.is_ok() {
                // Nobody knows yet which run the new life will be.
                live.mark = None;
                live.ended_by_hand = None;
            }
            live.incident.begun(begun, self.now())
        };
        self.save(workspace).await;
        steps
    }

    async fn forget(&self, workspace: &Workspace) {
        let now = self.now();
        if self.0.ports.memory.write(workspace.id(), Vec::new(), now).await.is_err() {
            self.store_failed();
        }
        self.0.surroundings.suspected(&workspace.who, false, now);
    }

    /// Off the request path: whoever asked does not wait for the backend.
    fn restart(
        &self,
        workspace: &Arc<Workspace>,
        life: LifeId,
        cause: RestartCause,
        revision: Revision,
    ) {
        workspace.timers.clear();
        let (supervisor, of) = (self.clone(), Arc::clone(workspace));
        let span = spans::restart(cause_name(cause), life, of.id(), &of.spec.tenant);
        self.spawn(async move {
            let order = RestartOrder { workspace: of.id().clone(), life, cause, revision };
            let deadline = supervisor.0.options.restart_deadline;
            let restart = supervisor.0.ports.restarter.restart(&order).instrument(span.clone());
            let outcome = match tokio::time::timeout(deadline.as_duration(), restart).await {
                Ok(outcome) => outcome,
                Err(_) => Err(RestartFailure::TimedOut { after: deadline }),
            };
            spans::restarted(&span, outcome.as_ref().err().map(failure_name));
            drop(span);
            let outcome = outcome.map(|started| {
                let mut live = of.live.lock();
                if started.address.is_some() {
                    live.owned_address = started.address;
                }
                live.mark = started.mark;
            });
            supervisor.0.surroundings.restarting(&of.who, false);
            if let Err(failure) = &outcome {
                supervisor.0.tally.restart_failed(failure);
                tracing::warn!(workspace = %of.id(), life = life.0, %failure, "restart failed");
                supervisor.announce(of.id(), format!("restart failed: {failure}"));
            } else {
                supervisor.announce(of.id(), "restart carried out".to_owned());
            }
            let now = supervisor.now();
            let steps = of.live.lock().incident.carried_out(life, outcome.as_ref().copied(), now);
            supervisor.save(&of).await;
            supervisor.carry_out(&of, steps, None).await;
            of.restarted.notify_waiters();
            // The first start takes nothing away from anybody.
            let is_restart = life > LifeId::default().next();
            if is_restart && outcome.is_ok() && cause != RestartCause::Dependency {
                supervisor.restart_dependents(of.id()).await;
            }
        });
    }

    async fn finish(&self, workspace: &Workspace, life: LifeId) {
        if let Err(fault) = self.0.ports.restarts.finish(workspace.id(), life).await {
            self.store_failed();
            tracing::error!(workspace = %workspace.id(), life = life.0, %fault,
                "the end of a restart was not recorded; it counts as in flight until it is");
        }
    }

    fn end_run(&self, workspace: &Arc<Workspace>) {
        workspace.timers.clear();
        let (supervisor, of) = (self.clone(), Arc::clone(workspace));
        self.spawn(async move {
            if let Err(failure) = supervisor.0.ports.restarter.stop(of.id()).await {
                tracing::warn!(workspace = %of.id(), %failure, "the workspace was not stopped");
            }
            let steps = of.live.lock().incident.stopped(supervisor.now());
            supervisor.announce(of.id(), "stopped".to_owned());
            supervisor.carry_out(&of, steps, None).await;
        });
    }

    fn take_up_at(&self, workspace: &Arc<Workspace>, at: UnixMillis) {
        let (supervisor, of) = (self.clone(), Arc::clone(workspace));
        let wait = self.now_until(at).as_duration();
        let timer = self.0.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            let again = supervisor.clone();
            supervisor.spawn(async move {
                let steps = of.live.lock().incident.take_up(again.now());
                again.carry_out(&of, steps, None).await;
            });
        });
        workspace.timers.set_take_up(timer.abort_handle());
    }

    fn dropped(&self, workspace: &Workspace, cause: RestartCause, why: DropReason) {
        self.0.tally.dropped(cause, why);
        let cause = cause_name(cause);
        tracing::info!(workspace = %workspace.id(), cause, ?why, "restart dropped");
        self.announce(workspace.id(), format!("restart dropped ({cause})"));
    }

    fn voided(&self, workspace: &Workspace, void: Void) {
        if !workspace.live.lock().incident.is_in_flight() {
            self.0.surroundings.restarting(&workspace.who, false);
        }
        self.0.tally.voided();
        tracing::info!(workspace = %workspace.id(), ?void, "verdict void: nothing was done");
    }

    /// Somebody wants a restart: an operator, a settings change, a request for a
    /// hibernated workspace, a program. Returns what came of it, as far as that is
    /// known at once.
    pub(super) async fn wish(&self, workspace: &Arc<Workspace>, cause: RestartCause) -> Wish {
        let (wish, steps) = workspace.live.lock().incident.wish(cause, self.now());
        self.carry_out(workspace, steps, None).await;
        self.came_of(workspace, wish, cause)
    }

    fn came_of(&self, workspace: &Workspace, wish: Wish, cause: RestartCause) -> Wish {
        match wish {
            Wish::Taken => workspace.live.lock().incident.came_of(cause, self.now()),
            Wish::Waits { .. }
            | Wish::Dropped
            | Wish::NotBegun(_)
            | Wish::InFlight
            | Wish::NotAllowed(_)
            | Wish::LifeEnded => wish,
        }
    }

    pub(super) async fn put_to_rest(
        &self,
        workspace: &Arc<Workspace>,
        standing: Standing,
    ) -> Result<(), Wish> {
        let steps = workspace.live.lock().incident.put_to_rest(standing)?;
        self.0.surroundings.wanted(&workspace.who, false, self.now());
        self.save(workspace).await;
        self.carry_out(workspace, steps, None).await;
        Ok(())
    }

    pub(super) async fn resume(&self, workspace: &Arc<Workspace>) -> Wish {
        let (wish, steps) = workspace.live.lock().incident.resume(self.now());
        self.0.surroundings.wanted(&workspace.who, wish == Wish::Taken, self.now());
        self.save(workspace).await;
        if steps.is_empty() {
            return wish;
        }
        self.carry_out(workspace, steps, None).await;
        self.came_of(workspace, wish, RestartCause::Operator)
    }

    /// Keeps what must outlive the host.
    pub(super) async fn save(&self, workspace: &Workspace) {
        let record = {
            let live = workspace.live.lock();
            WorkspaceRecord {
                standing: live.incident.standing(),
                owned_address: live.owned_address.clone(),
                own_word: live.own_word.clone(),
                queues_for_itself: Some(live.queues_for_itself),
                wanted: live.incident.wanted_revision(),
                mark: live.mark.clone(),
                ended_by_hand: live.ended_by_hand.clone(),
                stopped_with_host: false,
            }
        };
        if let Err(fault) = self.0.ports.records.save(workspace.id(), record).await {
            self.store_failed();
            tracing::error!(workspace = %workspace.id(), %fault, "a workspace's record was not kept");
        }
    }
}
