//! The seven properties, checked while a run goes on, and what it comes to.

use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::{Answer, ProbeFault},
    judgement::{RestartCause, Verdict},
    ports::RestartHistory,
    time::Millis,
};
use reprieve_runtime::{Generation, replay, replay_afresh};
use serde::Serialize;

use super::{Happening, Simulation};

/// A property that is broken on purpose: a test breaks the world here to see that
/// the audit finds it. No other way leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 1: probe faults are told as "stopped".
    ErrorIsDeath,
    /// 2: the store begins a life whatever is in flight.
    SecondRestart,
    /// 2: a verdict is kept, and acted on later without looking whether that life
    /// still runs.
    EndedLife,
    /// 4: a decision goes on with whatever generation is in force.
    MixedGenerations,
    /// 6: a request is accepted and not kept.
    LoseAccepted,
    /// 7: a decision goes on record without its evidence.
    UnexplainedDecision,
}

/// One of the seven properties, as far as a run can break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// 1: nobody is dead of an error.
    NoErrorIsADeath,
    /// 2: one restart in flight.
    OneRestartInFlight,
    /// 2: a verdict about a life that has ended is void.
    NoVerdictOutlivesItsLife,
    /// 3: the same evidence gives the same verdict, in an instance that was never
    /// called, too.
    FunctionOfItsEvidence,
    /// 4: one decision, one generation.
    OneGeneration,
    /// 6: nothing accepted is lost.
    NothingAcceptedIsLost,
    /// 7: every decision can be replayed.
    Replayable,
}

/// A property was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub property: Property,
    /// Since the beginning of the run.
    pub at_ms: u64,
    pub workspace: String,
    pub detail: String,
}

impl Violation {
    /// Of one run, the first.
    pub const MOST_KEPT: usize = 100;
}

/// After a change of settings, restarts count as its consequence for so long.
const CONSEQUENCE: Millis = Millis::from_secs(300);
/// A restart that soon after the life began is one within settle: the default
/// policy's window.
const SETTLE: Millis = Millis::from_secs(60);

impl Simulation<'_> {
    fn violated(&mut self, property: Property, w: usize, detail: String) {
        if self.violations.len() < Violation::MOST_KEPT {
            let at_ms = super::START.age(self.now).0;
            let workspace = self.workspaces[w].who.workspace.to_string();
            self.violations.push(Violation { property, at_ms, workspace, detail });
        }
    }

    /// Every decision: one generation, and the same again from its evidence.
    pub(super) fn audit_decision(&mut self, w: usize, began: &Generation, decision: &Decision) {
        if decision.generation.number != began.number() {
            let detail = format!(
                "decision {} began by generation {} and is generation {}'s",
                decision.id,
                began.number(),
                decision.generation.number
            );
            return self.violated(Property::OneGeneration, w, detail);
        }
        let is_turn = |one_in: u64| one_in > 0 && self.decisions.is_multiple_of(one_in);
        let warm = is_turn(self.options.replay_one_in);
        let afresh = is_turn(self.options.replay_afresh_one_in);
        // What failed within the host is no answer of the policy's.
        if matches!(decision.outcome, Outcome::FellBack { .. }) {
            return;
        }
        let who = self.workspaces[w].who.clone();
        let differs = |again: &reprieve_runtime::Decided| {
            again.outcome != decision.outcome || again.memory_write != decision.memory_write
        };
        let told = |again: &reprieve_runtime::Decided| {
            format!("decision {}: {:?}, again {:?}", decision.id, decision.outcome, again.outcome)
        };
        if afresh {
            let again = replay_afresh(began, decision.call, &who, &decision.evidence);
            if differs(&again) && !matches!(again.outcome, Outcome::FellBack { .. }) {
                return self.violated(Property::FunctionOfItsEvidence, w, told(&again));
            }
        }
        if warm || afresh {
            let again = replay(began, decision.call, &who, &decision.evidence);
            if differs(&again) {
                self.violated(Property::Replayable, w, told(&again));
            }
        }
    }

    /// The end of a chain of looks. `looked`: how its last look really went.
    pub(super) fn audit_verdict(
        &mut self,
        w: usize,
        decision: &Decision,
        looked: Option<Result<(), ProbeFault>>,
    ) {
        let (now, truth, life) = (self.now, self.truth(w), self.workspaces[w].life());
        let dead = decision.outcome.verdict() == Verdict::Dead;
        let on_errors = dead && (matches!(looked, Some(Err(_))) || is_on_errors(decision));
        if on_errors {
            let detail = format!("decision {} says DEAD, and nobody saw anything", decision.id);
            self.violated(Property::NoErrorIsADeath, w, detail);
        }
        let book = &mut self.workspaces[w].book;
        book.convicted_on_errors = on_errors;
        if !dead {
            return self.end_mistake(w);
        }
        // The next life has begun meanwhile: void, and neither a find nor a mistake.
        if decision.life != life {
            return;
        }
        if truth.is_down() {
            if !std::mem::replace(&mut book.detected, true)
                && let Some(since) = book.down_since
            {
                self.measures.time_to_detect.add(since.age(now));
            }
        } else if book.mistaken_since.is_none() {
            book.mistaken_since = Some(now);
            if let Some(before) = book.newest_mistake.replace(now) {
                self.measures.mistake_recurrence.add(before.age(now));
            }
            self.measures.mistakes += 1;
        }
    }

    fn end_mistake(&mut self, w: usize) {
        if let Some(since) = self.workspaces[w].book.mistaken_since.take() {
            let lasted = since.age(self.now);
            self.measures.mistake_duration.add(lasted);
            self.measures.mistaken_ms += lasted.0;
        }
    }

    /// A life begins because of a verdict: was the run judged that runs?
    pub(super) fn audit_death(&mut self, h: usize, w: usize) {
        let seen = self.hosts[h].live[w].judged;
        let runs = self.workspaces[w].run.number;
        if let Some(judged) = seen.filter(|judged| *judged != runs) {
            let detail = format!("run {judged} was judged, run {runs} is restarted");
            self.violated(Property::NoVerdictOutlivesItsLife, w, detail);
        }
    }

    /// The runtime is ordered to restart a workspace.
    pub(super) fn audit_order(&mut self, w: usize) {
        if let Some(since) = self.workspaces[w].restarting {
            let ago = since.age(self.now);
            let detail = format!("one is ordered {ago} after another that is under way");
            self.violated(Property::OneRestartInFlight, w, detail);
        }
    }

    /// A restart begins. `before`: the record as it was.
    pub(super) fn count_restart(&mut self, w: usize, cause: RestartCause, before: &RestartHistory) {
        let (now, truth) = (self.now, self.truth(w));
        let book = &mut self.workspaces[w].book;
        if !std::mem::replace(&mut book.coming_up, true) {
            self.coming_up += 1;
        }
        let largest = &mut self.measures.largest_simultaneous_restart;
        *largest = (*largest).max(self.coming_up);
        let changed = book.newest_change.is_some_and(|at| at.age(now) <= CONSEQUENCE);
        if changed && cause != RestartCause::Operator && !truth.is_down() {
            self.measures.restarts_after_changes += 1;
        }
        match cause {
            RestartCause::Operator => self.measures.operator_restarts += 1,
            RestartCause::DeadVerdict => {
                self.measures.restarts += 1;
                self.measures.false_restarts += u64::from(!truth.is_down());
                self.measures.restarts_on_errors += u64::from(book.convicted_on_errors);
                let young = before.began.is_some_and(|began| began.age(now) < SETTLE);
                self.measures.restarts_within_settle += u64::from(young);
            }
            RestartCause::SettingsChanged | RestartCause::Wake | RestartCause::Dependency => {}
        }
    }

    /// It is up again.
    pub(super) fn came_up(&mut self, w: usize) {
        let now = self.now;
        let workspace = &mut self.workspaces[w];
        (self.happens)(Happening::Up { at: now, workspace: &workspace.who.workspace });
        if let Some(since) = workspace.book.down_since.take() {
            let lasted = since.age(now);
            workspace.book.down_ms += lasted.0;
            workspace.book.detected = false;
            self.measures.time_to_recover.add(lasted);
        }
        self.coming_up = self.coming_up.saturating_sub(1);
        self.end_mistake(w);
    }

    /// Closes the books.
    pub(super) fn conclude_run(&mut self) {
        let lasted = self.scenario.lasts;
        for w in 0..self.workspaces.len() {
            self.end_mistake(w);
            let book = &self.workspaces[w].book;
            self.measures.undetected += u64::from(book.down_since.is_some() && !book.detected);
            self.measures.live_ms += lasted.0.saturating_sub(book.down_until(self.now).0);
            if let Some(stream) = self.stream(w) {
                self.measures.requests += stream.count(self.now);
            }
            self.audit_queue(w);
        }
        self.measures.workspace_days = self.measures.workspaces as f64 * days(lasted);
    }

    fn audit_queue(&mut self, w: usize) {
        let workspace = &self.workspaces[w];
        let (kept, book) = (&workspace.kept, &workspace.book);
        let waiting = kept.queue.iter().chain(&kept.taken).filter(|item| !item.is_notice).count();
        self.measures.waiting += waiting as u64;
        if book.accepted != book.ended + waiting as u64 {
            let detail = format!(
                "{} were accepted; {} ended with a reason, and {waiting} wait",
                book.accepted, book.ended
            );
            self.violated(Property::NothingAcceptedIsLost, w, detail);
        }
    }
}

fn days(lasted: Millis) -> f64 {
    lasted.0 as f64 / Millis::from_secs(24 * 3_600).0 as f64
}

/// What the policy was told was faults, and no sighting and no sign of life.
fn is_on_errors(decision: &Decision) -> bool {
    let is_seen = |answer: &Answer| match answer {
        Answer::Look(look) => look.is_ok(),
        Answer::NewestBeat(beat) | Answer::NewestContact(beat) => beat.is_ok(),
        Answer::Intervals(intervals) => intervals.is_ok(),
        Answer::Subject(_)
        | Answer::CurrentLife(_)
        | Answer::RestartCount(_)
        | Answer::Memory(_)
        | Answer::Eyesight(_)
        | Answer::Fleet(_) => false,
    };
    let mut answers = decision.evidence.iter().map(|exchange| &exchange.answer);
    let looked_in_vain = answers.clone().any(|answer| matches!(answer, Answer::Look(Err(_))));
    looked_in_vain || (answers.clone().any(Answer::is_fault) && !answers.any(is_seen))
}
