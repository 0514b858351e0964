//! Runs judgements, as the server's supervisor does it: one under way per workspace,
//! which others share; `recheck` on fresh evidence; then what follows from the verdict.

use std::sync::Arc;

use reprieve_core::{
    decision::{Decision, Finding, Outcome},
    evidence::Question,
    ids::{DecisionId, LifeId},
    incident::Standing,
    judgement::{Admission, Attempt, Call, RestartCause, Trigger, Verdict},
    ports::Witness,
    supervision::{
        self, BLIND_AGAIN, JITTER_PER_MILLE, MAX_LOOKS, RETRY_WHILE_RESTARTING, SILENT_AGAIN,
    },
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Decided, Deliberation, Generation, Next};

use super::{
    Fault, Happening, Simulation,
    agenda::AtHost,
    host::{Deliberating, Judging, Stage},
    traffic::Caller,
    witness::unavailable,
};

/// How long a verdict is kept where one is kept on purpose.
const ACTED_ON_LATE: Millis = Millis::from_secs(5);

impl Simulation<'_> {
    /// Judges a workspace and acts on the verdict; whoever asks meanwhile shares it.
    pub(super) fn judge(&mut self, h: usize, w: usize, trigger: Trigger, caller: Option<Caller>) {
        if let Some(judging) = &mut self.hosts[h].live[w].judging {
            judging.callers.extend(caller);
            return;
        }
        self.hosts[h].live[w].judging = Some(Box::new(Judging {
            trigger,
            first: self.now,
            number: 0,
            callers: caller.into_iter().collect(),
            seen: None,
            reported: None,
            stage: Stage::Turning,
            looked: None,
        }));
        self.attempt(h, w);
    }

    /// The next look of a chain.
    fn attempt(&mut self, h: usize, w: usize) {
        let (now, generation) = (self.now, self.generation());
        let live = &mut self.hosts[h].live[w];
        let (life, told) = (live.incident.life(), live.reports.told());
        let Some(judging) = &mut live.judging else { return };
        let attempt = Attempt { number: judging.number, since_first: judging.first.age(now) };
        let call = Call::Judge { trigger: judging.trigger, attempt };
        judging.looked = None;
        let deliberation = Deliberation::begin(call, now);
        let deliberating = Deliberating { deliberation, generation, at: now, life, told };
        judging.stage = Stage::Deliberating(Box::new(deliberating));
        self.deliberate(h, w);
    }

    /// As far as it comes without asking the runtime.
    pub(super) fn deliberate(&mut self, h: usize, w: usize) {
        let Some(judging) = &mut self.hosts[h].live[w].judging else { return };
        let stage = std::mem::replace(&mut judging.stage, Stage::Turning);
        let Stage::Deliberating(mut deliberating) = stage else {
            judging.stage = stage;
            return;
        };
        let facts: Arc<dyn Witness> = Arc::new(self.facts(h, w));
        let generation = match self.options.fault {
            // Whatever is in force now, in the middle of a decision.
            Some(Fault::MixedGenerations) => self.generation(),
            _ => Arc::clone(&deliberating.generation),
        };
        let who = self.workspaces[w].who.clone();
        loop {
            match deliberating.deliberation.step(&generation, &who, &facts) {
                Next::Decided(decided) => return self.decided(h, w, &deliberating, *decided),
                Next::Fetch(Question::Look) => break,
                Next::Fetch(question) => {
                    self.store_failed(h);
                    deliberating.deliberation.fetched(question, unavailable(&question), self.now);
                }
            }
        }
        if let Some(judging) = &mut self.hosts[h].live[w].judging {
            judging.stage = Stage::Deliberating(deliberating);
        }
        let patience = generation.policy().limits().fact_deadline.as_millis() as u64;
        self.probe(h, w, Millis(patience));
    }

    /// Makes a record of a decision, and lets it be known.
    pub(super) fn record_of(
        &mut self,
        w: usize,
        at: UnixMillis,
        life: LifeId,
        decided: Decided,
    ) -> Decision {
        self.decisions += 1;
        let who = &self.workspaces[w].who;
        Decision {
            id: DecisionId(format!("{:032x}", self.decisions)),
            at,
            workspace: who.workspace.clone(),
            tenant: who.tenant.clone(),
            life,
            generation: decided.generation,
            experiment: None,
            call: decided.call,
            evidence: decided.evidence,
            memory_write: decided.memory_write,
            outcome: decided.outcome,
            cost: decided.cost,
            effect: None,
        }
    }

    fn decided(&mut self, h: usize, w: usize, of: &Deliberating, decided: Decided) {
        let mut decision = self.record_of(w, of.at, of.life, decided);
        if self.options.fault == Some(Fault::UnexplainedDecision) {
            decision.evidence.clear();
        }
        self.measures.judgements += 1;
        self.measures.fell_back += u64::from(matches!(decision.outcome, Outcome::FellBack { .. }));
        if let Some(note) = &decision.memory_write
            && self.hosts[h].live[w].incident.life() == of.life
        {
            self.remember(h, w, note.clone());
        }
        if let Some(suspected) = supervision::suspicion(&decision.outcome, &decision.evidence) {
            self.suspect(h, w, suspected);
            self.rouse(w);
        }
        if let Some(Ok(())) = supervision::sight(&decision.evidence) {
            self.hosts[h].live[w].reports.look_into(of.told);
        }
        self.audit_decision(w, &of.generation, &decision);
        let Some(judging) = &mut self.hosts[h].live[w].judging else { return };
        judging.number += 1;
        let (number, looked) = (judging.number, judging.looked);
        if let Verdict::Recheck(wait) = decision.outcome.verdict()
            && number < MAX_LOOKS
        {
            judging.stage = Stage::Waiting;
            let stamp = self.hosts[h].live[w].step.set(self.now + wait);
            self.plan_at(self.now + wait, h, AtHost::Again { workspace: w, stamp });
            return self.keep(decision, || format!("asked again {wait} later"));
        }
        self.audit_verdict(w, &decision, looked);
        self.conclude(h, w, decision);
    }

    /// A `recheck` is due.
    pub(super) fn look_again_due(&mut self, h: usize, w: usize, stamp: u32) {
        if self.hosts[h].live[w].step.strike(stamp) {
            self.attempt(h, w);
        }
    }

    /// Acts on a verdict.
    fn conclude(&mut self, h: usize, w: usize, decision: Decision) {
        let (now, life) = (self.now, decision.life);
        let blind = matches!(supervision::sight(&decision.evidence), Some(Err(_)));
        let Some(judging) = &self.hosts[h].live[w].judging else { return };
        let trigger = judging.trigger;
        match decision.outcome.verdict() {
            Verdict::Alive if blind => {
                self.leave_alone(h, w, life, BLIND_AGAIN);
                self.answer(h, w, decision, Finding::Alive, "not seen: asked again");
            }
            Verdict::Alive => {
                let live = &mut self.hosts[h].live[w];
                if !live.owes_a_look() {
                    live.judge.clear();
                }
                let steps = live.incident.alive(life, now);
                self.carry_out(h, w, steps);
                self.look_after_silence(h, w, trigger);
                self.answer(h, w, decision, Finding::Alive, "nothing: it is alive");
            }
            Verdict::Busy(wait) => {
                self.leave_alone(h, w, life, wait);
                let finding = Finding::Busy { retry_after: wait };
                self.answer(h, w, decision, finding, "left alone");
            }
            // Not decided within the limit.
            Verdict::Recheck(_) => {
                self.leave_alone(h, w, life, Outcome::FALL_BACK_RETRY);
                let finding = Finding::Busy { retry_after: Outcome::FALL_BACK_RETRY };
                self.answer(h, w, decision, finding, "left alone");
            }
            Verdict::Dead => {
                let live = &mut self.hosts[h].live[w];
                live.reports.close();
                live.judged = live.judging.as_ref().and_then(|judging| judging.seen);
                if self.options.fault == Some(Fault::EndedLife) {
                    self.plan_at(now + ACTED_ON_LATE, h, AtHost::ActLate { workspace: w });
                    return self.died(h, w, decision);
                }
                let (_, steps) = live.incident.dead(life, now);
                self.carry_out_death(h, w, steps, decision);
            }
        }
    }

    /// Nobody judges afresh, and nobody looks again: see [`Fault::EndedLife`].
    pub(super) fn act_late(&mut self, h: usize, w: usize) {
        let (_, steps) = self.hosts[h].live[w].incident.wish(RestartCause::DeadVerdict, self.now);
        self.carry_out(h, w, steps);
    }

    /// The steps that followed from a DEAD verdict have been carried out.
    pub(super) fn died(&mut self, h: usize, w: usize, decision: Decision) {
        let live = &self.hosts[h].live[w];
        if live.incident.is_in_flight() {
            let finding = Finding::Restarting { retry_after: RETRY_WHILE_RESTARTING };
            return self.answer(h, w, decision, finding, "a restart is under way");
        }
        if live.judge.set_for.is_none() {
            self.judge_after(h, w, Outcome::FALL_BACK_RETRY);
        }
        let finding = Finding::Busy { retry_after: Outcome::FALL_BACK_RETRY };
        self.answer(h, w, decision, finding, "no restart: it was not admitted");
    }

    /// Ends the judgement: whoever waited for it goes on.
    fn answer(
        &mut self,
        h: usize,
        w: usize,
        decision: Decision,
        finding: Finding,
        effect: &'static str,
    ) {
        self.keep(decision, || effect.to_owned());
        let Some(judging) = self.hosts[h].live[w].judging.take() else { return };
        for caller in judging.callers {
            self.reply(h, w, caller, finding);
        }
        let live = &self.hosts[h].live[w];
        if let Some(trigger) = judging.reported
            && !live.incident.is_in_flight()
            && live.owes_a_look()
        {
            self.judge(h, w, trigger, None);
        }
    }

    fn keep(&mut self, mut decision: Decision, effect: impl FnOnce() -> String) {
        decision.effect = Some(effect());
        (self.happens)(Happening::Decided(&decision));
    }

    /// BUSY: nobody touches it, and the host asks again by itself.
    fn leave_alone(&mut self, h: usize, w: usize, life: LifeId, wait: Millis) {
        self.hosts[h].live[w].incident.doubt(life);
        self.judge_after(h, w, wait);
    }

    pub(super) fn judge_after(&mut self, h: usize, w: usize, wait: Millis) {
        let at = self.now + wait;
        let stamp = self.hosts[h].live[w].judge.set(at);
        self.plan_at(at, h, AtHost::Sweep { workspace: w, stamp });
    }

    pub(super) fn sweep_due(&mut self, h: usize, w: usize, stamp: u32) {
        if self.hosts[h].live[w].judge.strike(stamp) {
            self.sweep(h, w);
        }
    }

    pub(super) fn sweep(&mut self, h: usize, w: usize) {
        let incident = &self.hosts[h].live[w].incident;
        if incident.standing() != Standing::Wanted {
            return;
        }
        let trigger = if incident.is_settling() { Trigger::Settling } else { Trigger::Sweep };
        self.judge(h, w, trigger, None);
    }

    /// ALIVE is no end of a silence: who is silent is judged again.
    fn look_after_silence(&mut self, h: usize, w: usize, trigger: Trigger) {
        if !matches!(trigger, Trigger::HeartbeatExpired | Trigger::Sweep) {
            return;
        }
        let Some(limit) = self.generation().silence_limit(&self.workspaces[w].who) else { return };
        let newest = self.signs(w, false).newest();
        if newest.is_some_and(|at| at.age(self.now) >= limit) {
            self.judge_after(h, w, SILENT_AGAIN);
        }
    }

    /// Asks whether a restart may begin. What it has to fetch for that takes no time
    /// here. From an admission on the workspace counts as restarting.
    pub(super) fn admission(&mut self, h: usize, w: usize, cause: RestartCause) -> Admission {
        let life = self.hosts[h].live[w].incident.life();
        let generation = self.generation();
        let decided = self.decide_now(h, w, Call::Admit { cause }, &generation);
        let decision = self.record_of(w, self.now, life, decided);
        self.measures.rulings += 1;
        self.audit_decision(w, &generation, &decision);
        let as_ruled = decision.outcome.admission();
        let admission = reprieve_core::incident::heeded(cause, as_ruled);
        let who = &self.workspaces[w].who;
        if admission == Admission::Admit {
            self.hosts[h].restarting(&who.tenant, &who.workspace, true);
        }
        let admission = match admission {
            Admission::Defer(wait) => {
                let (least, most) = JITTER_PER_MILLE.into_inner();
                let factor = least + (self.draw() * (most - least + 1) as f64) as u64;
                Admission::Defer(Millis(wait.0.saturating_mul(factor) / 1_000))
            }
            Admission::Admit | Admission::Drop => admission,
        };
        self.keep(decision, || match admission {
            Admission::Admit => "admitted".to_owned(),
            Admission::Drop => "dropped and counted".to_owned(),
            Admission::Defer(wait) => format!("put off by {wait}"),
        });
        admission
    }

    fn decide_now(&mut self, h: usize, w: usize, call: Call, generation: &Generation) -> Decided {
        let facts: Arc<dyn Witness> = Arc::new(self.facts(h, w));
        let who = self.workspaces[w].who.clone();
        let mut deliberation = Deliberation::begin(call, self.now);
        // Ends: a decision has a limited number of passes.
        loop {
            match deliberation.step(generation, &who, &facts) {
                Next::Decided(decided) => return *decided,
                Next::Fetch(question) => {
                    let answer = match question {
                        Question::Look => self.look_at_once(h, w),
                        _ => {
                            self.store_failed(h);
                            unavailable(&question)
                        }
                    };
                    deliberation.fetched(question, answer, self.now);
                }
            }
        }
    }

    fn remember(&mut self, h: usize, w: usize, note: Vec<u8>) {
        if self.weather.stores_fail(self.now) {
            return self.store_failed(h);
        }
        self.workspaces[w].kept.note = (!note.is_empty()).then_some((note, self.now));
    }

    pub(super) fn store_failed(&mut self, h: usize) {
        self.hosts[h].surroundings.lock().eyes.record_store_fault(self.now);
    }
}
