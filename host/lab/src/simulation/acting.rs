//! Carries out what the restart machine wants done, in its order.

use std::collections::VecDeque;

use reprieve_core::{
    decision::Decision,
    ids::{LifeId, Revision},
    incident::{DropReason, Step, Void},
    judgement::{RestartCause, Trigger},
    ports::{NotBegun, RestartFailure},
    time::Millis,
};

use super::{
    Fault, Happening, RestartKind, Simulation,
    agenda::{AtHost, Due},
    host::Stage,
    workspace::Item,
};

/// How long the runtime may take to show, before a death is acted on, that another
/// run has taken the place of the one that was judged.
const LOOK_AGAIN_DEADLINE: Millis = Millis::from_secs(5);

impl Simulation<'_> {
    /// Carries out steps, and what follows from them. None of them looks again.
    pub(super) fn carry_out(&mut self, h: usize, w: usize, steps: Vec<Step>) {
        let mut steps = VecDeque::from(steps);
        // Ends: every step of the machine leads to fewer.
        while let Some(step) = steps.pop_front() {
            let more = self.step(h, w, step);
            steps.extend(more);
        }
    }

    /// The same for a death, which is looked at again before it is acted on.
    pub(super) fn carry_out_death(
        &mut self,
        h: usize,
        w: usize,
        steps: Vec<Step>,
        decision: Decision,
    ) {
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            if step == Step::LookAgain {
                let Some(judging) = &mut self.hosts[h].live[w].judging else { return };
                if judging.seen.is_some() {
                    let decision = Box::new(decision);
                    judging.stage = Stage::LookingAgain { decision, then: steps };
                    return self.probe(h, w, LOOK_AGAIN_DEADLINE);
                }
            }
            let more = self.step(h, w, step);
            steps.extend(more);
        }
        self.died(h, w, decision);
    }

    /// The look before a death is acted on has ended.
    pub(super) fn looked_again(&mut self, h: usize, w: usize, same_run: bool) {
        let live = &mut self.hosts[h].live[w];
        let Some(judging) = &mut live.judging else { return };
        let stage = std::mem::replace(&mut judging.stage, Stage::Turning);
        let Stage::LookingAgain { decision, then } = stage else {
            judging.stage = stage;
            return;
        };
        let mut steps: Vec<Step> = then.into();
        steps.extend(live.incident.looked_again(same_run, self.now));
        self.carry_out_death(h, w, steps, *decision);
    }

    fn step(&mut self, h: usize, w: usize, step: Step) -> Vec<Step> {
        let now = self.now;
        match step {
            Step::Admit { cause, .. } => {
                let admission = self.admission(h, w, cause);
                let steps = self.hosts[h].live[w].incident.ruled(cause, admission, now);
                self.restarts_no_more(h, w);
                return steps;
            }
            // Nothing was seen that could be looked for again.
            Step::LookAgain => return self.hosts[h].live[w].incident.looked_again(true, now),
            Step::Begin { of, cause, revision } => {
                return self.begin_life(h, w, of, cause, revision);
            }
            Step::ForgetMemory => self.forget(h, w),
            Step::MarkOffline => {
                let who = &self.workspaces[w].who;
                self.hosts[h].restarting(&who.tenant, &who.workspace, true);
            }
            Step::ClearCredentials => self.hosts[h].live[w].placed = false,
            Step::Broadcast { .. } => {}
            Step::Restart { life, cause, .. } => self.restart(h, w, life, cause),
            Step::Finish { life } => self.finish(h, w, life),
            Step::TellWorkspace { .. } => self.tell(h, w),
            Step::AskSettled => self.plan_at(now, h, AtHost::AskSettled { workspace: w }),
            Step::Drain => self.drain(h, w),
            // Nobody puts a workspace to rest here.
            Step::Stop => {}
            Step::JudgeAt(at) => self.judge_after(h, w, now.age(at)),
            Step::TakeUpAt(at) => {
                let stamp = self.hosts[h].live[w].take_up.set(at);
                self.plan_at(at, h, AtHost::TakeUp { workspace: w, stamp });
            }
            Step::Drop { why: DropReason::InFlight | DropReason::Policy, .. } => {
                self.measures.dropped += 1;
            }
            Step::Void(Void::LifeEnded { .. } | Void::AnotherRun | Void::NotBegun(_)) => {
                self.measures.voided += 1;
                self.restarts_no_more(h, w);
            }
        }
        vec![]
    }

    /// Not admitted, or void, or overtaken.
    fn restarts_no_more(&self, h: usize, w: usize) {
        if !self.hosts[h].live[w].incident.is_in_flight() {
            let who = &self.workspaces[w].who;
            self.hosts[h].restarting(&who.tenant, &who.workspace, false);
        }
    }

    fn begin_life(
        &mut self,
        h: usize,
        w: usize,
        of: LifeId,
        cause: RestartCause,
        revision: Revision,
    ) -> Vec<Step> {
        let now = self.now;
        let earlier = self.signs(w, true);
        let before = self.workspaces[w].kept.history.clone();
        let begun = if self.weather.stores_fail(now) {
            self.store_failed(h);
            Err(NotBegun::StoreUnavailable)
        } else if matches!(self.options.fault, Some(Fault::SecondRestart | Fault::EndedLife)) {
            // A store that compares nothing.
            let kept = &mut self.workspaces[w].kept;
            kept.next_life(Some(cause), now);
            kept.history.revision = revision;
            Ok(kept.history.life)
        } else {
            self.workspaces[w].kept.begin(of, cause, revision, now)
        };
        if begun.is_ok() {
            self.workspaces[w].kept.earlier = earlier;
            self.count_restart(w, cause, &before);
            if cause == RestartCause::DeadVerdict {
                self.audit_death(h, w);
            }
        }
        let begun = begun.map(|life| (life, revision));
        let live = &mut self.hosts[h].live[w];
        if begun.is_ok() {
            live.mark = None;
        }
        live.incident.begun(begun, now)
    }

    fn forget(&mut self, h: usize, w: usize) {
        if self.weather.stores_fail(self.now) {
            self.store_failed(h);
        } else {
            self.workspaces[w].kept.note = None;
        }
        self.suspect(h, w, false);
    }

    /// The runtime ends the run, if one runs, and begins the next.
    fn restart(&mut self, h: usize, w: usize, life: LifeId, cause: RestartCause) {
        let truth = self.truth(w);
        let live = &mut self.hosts[h].live[w];
        live.judge.clear();
        live.take_up.clear();
        self.audit_order(w);
        let (id, at) = (&self.workspaces[w].who.workspace, self.now);
        let kind = RestartKind { cause, truth };
        (self.happens)(Happening::Restart { at, workspace: id, kind });
        let group = self.group(w);
        let (refused, takes) = (self.draw(), self.draw());
        let refused = refused < group.restart_refused.get();
        if !refused {
            let workspace = &mut self.workspaces[w];
            workspace.restarting.get_or_insert(at);
            self.turned(w);
        }
        let due = Due::Restarted { host: h, workspace: w, life, refused };
        self.plan(group.restart_takes.at(takes), due);
    }

    /// In the world: the command has been carried out, or refused.
    pub(super) fn restarted(&mut self, h: usize, w: usize, life: LifeId, refused: bool) {
        if !refused {
            self.workspaces[w].restarting = None;
            let unit = self.draw();
            let boot = self.group(w).boot.at(unit);
            self.begin_run(w, boot);
        }
        self.plan_at(self.now, h, AtHost::CarriedOut { workspace: w, life, refused });
    }

    /// At the host that ordered it.
    pub(super) fn carried_out(&mut self, h: usize, w: usize, life: LifeId, refused: bool) {
        let run = self.workspaces[w].run.number;
        let who = &self.workspaces[w].who;
        self.hosts[h].restarting(&who.tenant, &who.workspace, false);
        let live = &mut self.hosts[h].live[w];
        let outcome = if refused {
            Err(RestartFailure::Refused { detail: "simulated".to_owned() })
        } else {
            (live.mark, live.placed) = (Some(run), true);
            Ok(())
        };
        let steps = live.incident.carried_out(life, outcome.as_ref().copied(), self.now);
        self.carry_out(h, w, steps);
        self.rouse(w);
    }

    fn finish(&mut self, h: usize, w: usize, life: LifeId) {
        if self.weather.stores_fail(self.now) {
            // It counts as in flight until it is recorded.
            return self.store_failed(h);
        }
        let history = &mut self.workspaces[w].kept.history;
        if history.life == life {
            history.in_flight = false;
        }
    }

    /// The message that tells a new life that it was restarted.
    fn tell(&mut self, h: usize, w: usize) {
        if self.weather.stores_fail(self.now) {
            return self.store_failed(h);
        }
        let item = Item { accepted: self.now, attempts: 0, is_notice: true };
        self.workspaces[w].kept.queue.push_front(item);
        self.rouse(w);
    }

    pub(super) fn take_up_due(&mut self, h: usize, w: usize, stamp: u32) {
        let live = &mut self.hosts[h].live[w];
        if live.take_up.strike(stamp) {
            let steps = live.incident.take_up(self.now);
            self.carry_out(h, w, steps);
        }
    }

    /// A person orders a restart.
    pub(super) fn ordered(&mut self, h: usize, w: usize) {
        let (_, steps) = self.hosts[h].live[w].incident.wish(RestartCause::Operator, self.now);
        self.carry_out(h, w, steps);
    }

    /// Its settings have this revision now.
    pub(super) fn revised(&mut self, h: usize, w: usize, revision: u64) {
        let steps = self.hosts[h].live[w].incident.revise(Revision(revision), self.now);
        self.carry_out(h, w, steps);
    }

    /// The runtime reports something of that run.
    pub(super) fn reported(&mut self, h: usize, w: usize, run: u64, trigger: Trigger) {
        let live = &mut self.hosts[h].live[w];
        let of_this_run =
            !live.incident.is_in_flight() && live.mark.is_none_or(|known| known == run);
        if !of_this_run {
            return;
        }
        live.reports.tell(live.incident.life());
        match &mut live.judging {
            Some(judging) => judging.reported = Some(trigger),
            None => self.judge(h, w, trigger, None),
        }
    }

    /// The runtime reports a run that this host may not have ordered.
    pub(super) fn started(&mut self, h: usize, w: usize, run: u64) {
        let live = &mut self.hosts[h].live[w];
        if live.incident.is_in_flight() {
            return;
        }
        let is_another = live.mark.is_some_and(|known| known != run);
        live.mark = Some(run);
        if !is_another {
            return;
        }
        let of = live.incident.life();
        if self.weather.stores_fail(self.now) {
            return self.store_failed(h);
        }
        let began = self.now;
        let Ok(life) = self.workspaces[w].kept.began_elsewhere(of, began) else { return };
        let steps = self.hosts[h].live[w].incident.began_elsewhere(life, began);
        self.carry_out(h, w, steps);
        self.rouse(w);
    }
}
