//! Runs judgements, waits for re-probes, and acts on what comes of them.

use std::sync::Arc;

use reprieve_core::{
    decision::{Decision, Finding, Outcome, Part},
    evidence::{Exchange, ProbeFault},
    ids::{DecisionId, LifeId},
    incident::heeded,
    judgement::{Admission, Attempt, Call, RestartCause, Trigger, Verdict},
    ports::{LifeMark, Witness},
    supervision::{self, BLIND_AGAIN, MAX_LOOKS, RETRY_WHILE_RESTARTING},
    time::Millis,
};
use reprieve_runtime::{Blame, Tried};
use tracing::Instrument as _;

use super::{
    Supervisor,
    tally::{admission_name, verdict_name},
    witness::{Shown, WorkspaceWitness},
    workspace::Workspace,
};
use crate::{proxy::fleet::Judged, telemetry::traces::spans};

/// Blindness that lasts for so long is worth a person's attention.
pub(super) const BLIND_ALERT: Millis = Millis::from_secs(60);

/// A decision, as far as the host goes on with it.
pub(super) struct Ruled {
    pub(super) decision: Decision,
    /// Which run was seen, if one was.
    pub(super) mark: Option<LifeMark>,
    /// The policy asked the runtime, and the host could not see.
    blind: bool,
}

impl Supervisor {
    pub(super) async fn look_until_decided(
        &self,
        workspace: &Arc<Workspace>,
        trigger: Trigger,
        mut shown: Option<Shown>,
    ) -> Ruled {
        let first = self.now();
        let mut number = 0;
        loop {
            let attempt = Attempt { number, since_first: first.age(self.now()) };
            let (supervisor, of) = (self.clone(), Arc::clone(workspace));
            // Every look but the first is a real one.
            let witness = match shown.take() {
                Some(shown) => WorkspaceWitness::after(shown, supervisor, of),
                None => WorkspaceWitness::new(supervisor, of),
            };
            let ruled = self.ask(workspace, Call::Judge { trigger, attempt }, witness).await;
            number += 1;
            let Verdict::Recheck(wait) = ruled.decision.outcome.verdict() else { return ruled };
            if number >= MAX_LOOKS || self.0.stop.is_cancelled() {
                return ruled;
            }
            self.record(ruled.decision, format!("asked again {wait} later")).await;
            tokio::time::sleep(wait.as_duration()).await;
        }
    }

    /// Puts one call to whoever judges now. What came of it is recorded by
    /// whoever acts on it, with what was done.
    async fn ask(
        &self,
        workspace: &Arc<Workspace>,
        call: Call,
        witness: WorkspaceWitness,
    ) -> Ruled {
        let at = self.now();
        let (life, told) = {
            let live = workspace.live.lock();
            (live.incident.life(), live.reports.told())
        };
        let witness = Arc::new(witness);
        let asked: Arc<dyn Witness> = witness.clone();
        let span = spans::decide(&call, workspace.id(), &workspace.spec.tenant);
        let deciding = self.0.current.decide_and_try(call, &workspace.who, &asked);
        let (decided, tried) = deciding.instrument(span.clone()).await;
        let failed = decided.blame == Some(Blame::Policy);
        if let Some(note) = &decided.memory_write
            && workspace.life() == life
        {
            self.remember(workspace, note.clone()).await;
        }
        self.suspect(workspace, &decided.outcome, &decided.evidence);
        let blind = self.note_sight(workspace, &decided.evidence);
        if let (Call::Judge { .. }, Some(Ok(()))) = (call, supervision::sight(&decided.evidence)) {
            workspace.live.lock().reports.look_into(told);
        }
        let decision = Decision {
            id: new_decision_id(),
            at,
            workspace: workspace.id().clone(),
            tenant: workspace.spec.tenant.clone(),
            life,
            generation: decided.generation,
            experiment: tried.as_ref().map(part),
            call: decided.call,
            evidence: decided.evidence,
            memory_write: decided.memory_write,
            outcome: decided.outcome,
            cost: decided.cost,
            effect: None,
        };
        spans::decided(&span, &decision, verdict_in_force(&decision));
        drop(span);
        self.0.tally.decided(&decision);
        if let Outcome::Judged { verdict, reason } = &decision.outcome {
            let what = format!("judged {}: {}", verdict_name(*verdict), reason.code);
            self.announce(workspace.id(), what);
        }
        self.log(&decision);
        if let Some(tried) = tried {
            self.0.ports.experiments.decided(tried, &decision, failed, asked);
        }
        Ruled { decision, mark: witness.seen(), blind }
    }

    async fn remember(&self, workspace: &Workspace, note: Vec<u8>) {
        let now = self.now();
        if let Err(fault) = self.0.ports.memory.write(workspace.id(), note, now).await {
            self.store_failed();
            tracing::warn!(workspace = %workspace.id(), %fault, "a policy's note was not kept");
        }
    }

    /// Acts on a verdict.
    pub(super) async fn conclude(
        &self,
        workspace: &Arc<Workspace>,
        trigger: Trigger,
        ruled: Ruled,
    ) -> Judged {
        let (now, life) = (self.now(), ruled.decision.life);
        let (finding, effect) = match ruled.decision.outcome.verdict() {
            // ALIVE for want of sight is no health: it is asked again until the
            // host sees.
            Verdict::Alive if ruled.blind => {
                self.leave_alone(workspace, life, BLIND_AGAIN);
                (Finding::Alive, format!("not seen: asked again {BLIND_AGAIN} later"))
            }
            Verdict::Alive => {
                let steps = {
                    let mut live = workspace.live.lock();
                    // What is owed a look keeps the time at which it is judged again.
                    if !live.owes_a_look() {
                        workspace.timers.clear_judge();
                    }
                    live.incident.alive(life, now)
                };
                self.carry_out(workspace, steps, None).await;
                self.look_after_silence(workspace, trigger);
                (Finding::Alive, "nothing: it is alive".to_owned())
            }
            Verdict::Busy(wait) => self.leave_alone(workspace, life, wait),
            // Not decided within the limit.
            Verdict::Recheck(_) => self.leave_alone(workspace, life, Outcome::FALL_BACK_RETRY),
            Verdict::Dead if self.ended_by_hand(workspace, ruled.mark.as_ref()) => {
                self.leave_stopped(workspace).await;
                let effect = "left stopped: a person stopped it".to_owned();
                (Finding::Busy { retry_after: Outcome::FALL_BACK_RETRY }, effect)
            }
            Verdict::Dead => {
                let (_, steps) = {
                    let mut live = workspace.live.lock();
                    live.reports.close();
                    live.incident.dead(life, now)
                };
                self.carry_out(workspace, steps, ruled.mark).await;
                self.finding_of_the_dead(workspace)
            }
        };
        let decision = ruled.decision.id.clone();
        self.record(ruled.decision, effect).await;
        Judged { decision, finding }
    }

    async fn record(&self, mut decision: Decision, effect: String) {
        decision.effect = Some(effect);
        if self.0.decisions.receiver_count() > 0 {
            let _ = self.0.decisions.send(Arc::new(decision.clone()));
        }
        self.0.ports.decisions.record(decision).await;
    }

    /// BUSY: nobody touches it, and the host asks again by itself.
    fn leave_alone(
        &self,
        workspace: &Arc<Workspace>,
        life: LifeId,
        wait: Millis,
    ) -> (Finding, String) {
        workspace.live.lock().incident.doubt(life);
        self.judge_after(workspace, wait);
        (Finding::Busy { retry_after: wait }, format!("left alone, to be asked again {wait} later"))
    }

    /// A restart was begun, or is in flight; or it was not admitted, and then
    /// the caller is told to come back.
    fn finding_of_the_dead(&self, workspace: &Arc<Workspace>) -> (Finding, String) {
        {
            let live = workspace.live.lock();
            if live.incident.is_in_flight() {
                let effect = format!("a restart is under way: life {}", live.incident.life().0);
                return (Finding::Restarting { retry_after: RETRY_WHILE_RESTARTING }, effect);
            }
        }
        if !workspace.timers.judges() {
            self.judge_after(workspace, Outcome::FALL_BACK_RETRY);
        }
        let effect = "no restart: it was not admitted, or the life had ended".to_owned();
        (Finding::Busy { retry_after: Outcome::FALL_BACK_RETRY }, effect)
    }

    /// Judges again after so long, unless something clears the doubt before.
    pub(super) fn judge_after(&self, workspace: &Arc<Workspace>, wait: Millis) {
        let (supervisor, of) = (self.clone(), Arc::clone(workspace));
        let timer = self.0.tasks.spawn(async move {
            tokio::time::sleep(wait.as_duration()).await;
            // In a task of its own: this one is the timer, and a judgement that
            // clears the timer must not end itself.
            let again = supervisor.clone();
            supervisor.spawn(async move { again.sweep(&of).await });
        });
        workspace.timers.set_judge(timer.abort_handle());
    }

    pub(super) async fn sweep(&self, workspace: &Arc<Workspace>) {
        let trigger = {
            let live = workspace.live.lock();
            if live.incident.standing() != reprieve_core::incident::Standing::Wanted {
                return;
            }
            if live.incident.is_settling() { Trigger::Settling } else { Trigger::Sweep }
        };
        self.judge(workspace, trigger).await;
    }

    /// Asks whether a restart may begin; spreads what is deferred. From an
    /// admission on the workspace counts as restarting.
    pub(super) async fn admission(
        &self,
        workspace: &Arc<Workspace>,
        cause: RestartCause,
    ) -> Admission {
        let one_at_a_time = self.0.surroundings.admissions(&workspace.spec.tenant);
        let turn = one_at_a_time.lock().await;
        let witness = WorkspaceWitness::new(self.clone(), Arc::clone(workspace));
        let ruled = self.ask(workspace, Call::Admit { cause }, witness).await;
        let as_ruled = ruled.decision.outcome.admission();
        let admission = heeded(cause, as_ruled);
        if admission == Admission::Admit {
            self.0.surroundings.restarting(&workspace.who, true);
        }
        drop(turn);
        let (admission, effect) = match admission {
            Admission::Defer(wait) => {
                let factor = (self.0.options.jitter_per_mille)();
                let wait = Millis(wait.0.saturating_mul(factor) / 1_000);
                (Admission::Defer(wait), format!("put off by {wait}"))
            }
            Admission::Admit if as_ruled == Admission::Admit => {
                (Admission::Admit, "admitted".to_owned())
            }
            Admission::Admit => {
                (Admission::Admit, "carried out all the same: a person ordered it".to_owned())
            }
            Admission::Drop => (Admission::Drop, "dropped and counted".to_owned()),
        };
        self.record(ruled.decision, effect).await;
        admission
    }

    /// Whether the policy asked the runtime and the host could not see.
    fn note_sight(&self, workspace: &Workspace, evidence: &[Exchange]) -> bool {
        let Some(sight) = supervision::sight(evidence) else { return false };
        self.saw(workspace, sight.err());
        sight.is_err()
    }

    /// Keeps the book on workspaces that cannot be seen, and raises the alert if
    /// that lasts.
    pub(super) fn saw(&self, workspace: &Workspace, fault: Option<ProbeFault>) {
        let (now, id) = (self.now(), workspace.id());
        let mut live = workspace.live.lock();
        match (fault, live.blind_since) {
            (Some(fault), None) => {
                live.blind_since = Some(now);
                tracing::info!(workspace = %id, %fault, "cannot be seen");
            }
            (Some(fault), Some(since)) if since.age(now) >= BLIND_ALERT => {
                tracing::warn!(workspace = %id, %fault, blind_ms = since.age(now).0,
                    "still cannot be seen; if it is dead, nobody would know");
            }
            (None, Some(since)) => {
                live.blind_since = None;
                tracing::info!(workspace = %id, blind_ms = since.age(now).0, "can be seen again");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// Keeps the tenant's gauge of suspicion: see `fleet.suspected` in the
    /// contract.
    fn suspect(&self, workspace: &Workspace, outcome: &Outcome, evidence: &[Exchange]) {
        if let Some(suspected) = supervision::suspicion(outcome, evidence) {
            self.0.surroundings.suspected(&workspace.who, suspected, self.now());
        }
    }

    fn log(&self, decision: &Decision) {
        let (workspace, tenant) = (&decision.workspace, &decision.tenant);
        let (id, reason) = (&decision.id, decision.outcome.reason_code());
        match &decision.outcome {
            Outcome::Judged { verdict: Verdict::Dead, .. } => {
                tracing::info!(%workspace, %tenant, decision = %id, reason, "ruled dead");
            }
            Outcome::FellBack { failure, detail } => tracing::warn!(
                %workspace, %tenant, decision = %id, failure, detail,
                "the policy gave no verdict; counted as busy"
            ),
            Outcome::Judged { verdict, .. } => {
                tracing::debug!(%workspace, %tenant, decision = %id, reason, ?verdict, "judged");
            }
            Outcome::Ruled { admission, .. } => tracing::info!(
                %workspace, %tenant, decision = %id, reason, ?admission,
                "ruled on a restart"
            ),
        }
    }
}

const fn verdict_in_force(decision: &Decision) -> &'static str {
    match decision.call {
        Call::Judge { .. } => verdict_name(decision.outcome.verdict()),
        Call::Admit { .. } => admission_name(decision.outcome.admission()),
    }
}

fn new_decision_id() -> DecisionId {
    DecisionId(uuid::Uuid::now_v7().simple().to_string())
}

fn part(tried: &Tried) -> Part {
    let (name, arm) = (tried.experiment().name.clone(), tried.acts);
    Part { name, arm, stood_in: tried.stood_in.is_some() }
}
