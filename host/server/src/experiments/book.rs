//! What is on record of one experiment that runs.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::{Answer, Exchange},
    experiment::{Arm, Tally},
    ids::{ExperimentName, LifeId, WorkspaceId},
    judgement::{Attempt, Call, Verdict},
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{StoodIn, Trial, Tried, Who};
use tokio::sync::Notify;

use super::{Page, beside::Order};

/// A chain of looks that nobody went on with for so long has ended.
const CHAIN_ENDS_AFTER: Millis = Millis::from_secs(60);

#[derive(Debug)]
pub(super) struct Book {
    trial: Trial,
    /// When it was started.
    since: UnixMillis,
    /// Its candidate is tried, as of the last time that somebody looked.
    is_tried: AtomicBool,
    written: Mutex<Written>,
    /// Something is not on disk yet.
    changed: AtomicBool,
    breached: Arc<Notify>,
}

#[derive(Debug)]
struct Written {
    page: Page,
    /// Who was judged so far: no more than the host has workspaces while it runs.
    members: HashMap<WorkspaceId, Member>,
}

/// A workspace that takes part.
#[derive(Debug)]
struct Member {
    acts: Arm,
    /// The life that was ruled dead by who acts, and when.
    dead: Option<(LifeId, UnixMillis)>,
    /// The looks of the arm that does not act.
    chain: Option<Chain>,
}

#[derive(Clone, Copy, Debug)]
struct Chain {
    first: UnixMillis,
    newest: UnixMillis,
    looks: u32,
}

/// What the other arm judged, from the same evidence.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) failed: bool,
}

impl Book {
    pub(super) fn new(trial: Trial, since: UnixMillis, page: Page, breached: Arc<Notify>) -> Self {
        let is_tried = trial.candidate().is_ok().into();
        let written = Mutex::new(Written { page, members: HashMap::new() });
        Self { trial, since, is_tried, written, changed: true.into(), breached }
    }

    pub(super) const fn trial(&self) -> &Trial {
        &self.trial
    }

    pub(super) fn name(&self) -> &ExperimentName {
        &self.trial.experiment().name
    }

    pub(super) fn page(&self) -> Page {
        self.written.lock().page.clone()
    }

    /// The page, if it is to be written down.
    pub(super) fn take_changed(&self) -> Option<Page> {
        self.changed.swap(false, Ordering::AcqRel).then(|| self.page())
    }

    /// Some guardrail is. Looked at every second, so nothing is copied.
    pub(super) fn is_broken(&self) -> bool {
        self.written.lock().page.breach.is_some()
    }

    /// So many workspaces take part in each arm. None: its candidate cannot be tried.
    pub(super) fn pass(&self, workspaces: Option<[usize; 2]>, now: UnixMillis) {
        self.is_tried.store(workspaces.is_some(), Ordering::Release);
        let workspaces = workspaces.unwrap_or_default();
        self.write(|written| written.page.tally.pass(workspaces, now));
    }

    /// A decision was made. Returns which look the same is for the arm that does not act.
    pub(super) fn decided(
        &self,
        tried: &Tried,
        decision: &Decision,
        attempt: Attempt,
        failed: bool,
    ) -> Attempt {
        let Decision { workspace, life, at: now, .. } = decision;
        let (life, now, acts) = (*life, *now, tried.acts);
        // Who decided, in whosever place.
        let by = if tried.stood_in.is_some() { Arm::Control } else { acts };
        let verdict = decision.outcome.verdict();
        self.write(|Written { page: Page { tally, .. }, members }| {
            tally.judged(by, failed, now);
            if tried.stood_in == Some(StoodIn::Failed) {
                tally.judged(Arm::Candidate, true, now);
            }
            let member = match members.get_mut(workspace) {
                Some(member) => member,
                None => members.entry(workspace.clone()).or_insert(Member::new(acts)),
            };
            if verdict == Verdict::Dead {
                member.dies(life, now);
                let took = detected(&decision.evidence, attempt);
                tally.dead(by, acts, workspace, life, took, now);
            }
            if verdict == Verdict::Alive {
                member.lives(life, now, tally);
            }
            member.look_beside(now)
        })
    }

    /// The other arm has judged, or could not from that evidence (`None`).
    pub(super) fn judged_beside(&self, order: &Order, judged: Option<Judged>) {
        let (Call::Judge { attempt, .. }, acts) = (order.call, order.tried.acts) else { return };
        let (workspace, arm) = (&order.who.workspace, acts.other());
        self.write(|Written { page, members }| {
            let Some(Judged { outcome, failed }) = judged else {
                page.tally.missing += 1;
                return;
            };
            let verdict = outcome.verdict();
            if let Some(member) = members.get_mut(workspace) {
                member.looked_beside(attempt, matches!(verdict, Verdict::Recheck(_)), order.at);
            }
            page.tally.judged(arm, failed, order.at);
            if failed {
                return;
            }
            let agree = is_same_kind(verdict, order.outcome.verdict());
            page.tally.compared_both(agree);
            if verdict == Verdict::Dead {
                let took = detected(&order.evidence, attempt);
                page.tally.dead(arm, acts, workspace, order.life, took, order.at);
            }
            if !agree {
                page.disagree(order, &outcome);
            }
        });
    }

    /// There was no time for the other arm to judge.
    pub(super) fn dropped(&self) {
        self.write(|written| written.page.tally.dropped += 1);
    }

    /// A life gave a sign.
    pub(super) fn sign_of_life(
        &self,
        who: &Who,
        labels: &[(String, String)],
        life: LifeId,
        now: UnixMillis,
    ) {
        self.write_of(who, labels, |tally, member| {
            tally.sign_of_life(&who.workspace, life, now);
            member.lives(life, now, tally);
        });
    }

    /// A restart begins that a DEAD verdict asked for.
    pub(super) fn restarted(&self, who: &Who, labels: &[(String, String)], now: UnixMillis) {
        self.write_of(who, labels, |tally, member| {
            tally.restarted(member.acts, &who.workspace, now);
        });
    }

    /// Something became of a request that was accepted then. What was accepted before an
    /// experiment began is none of its doing.
    pub(super) fn request(
        &self,
        who: &Who,
        labels: &[(String, String)],
        accepted: UnixMillis,
        note: impl FnOnce(&mut Tally, Arm),
    ) {
        let experiment = self.trial.experiment();
        if self.is_tried.load(Ordering::Acquire)
            && self.trial.includes(who, labels)
            && experiment.is_compared(&who.workspace)
            && accepted >= self.since
        {
            let arm = experiment.acts(&who.workspace);
            self.write(|written| note(&mut written.page.tally, arm));
        }
    }

    /// Of a workspace that takes part and was judged; of another one there is nothing to
    /// write, and it waits for nobody.
    fn write_of(
        &self,
        who: &Who,
        labels: &[(String, String)],
        write: impl FnOnce(&mut Tally, &mut Member),
    ) {
        if !self.trial.includes(who, labels) {
            return;
        }
        let mut written = self.written.lock();
        let Written { page, members } = &mut *written;
        if let Some(member) = members.get_mut(&who.workspace) {
            write(&mut page.tally, member);
            self.has_changed(page);
        }
    }

    fn write<T>(&self, write: impl FnOnce(&mut Written) -> T) -> T {
        let mut written = self.written.lock();
        let result = write(&mut written);
        self.has_changed(&mut written.page);
        result
    }

    /// Stops the candidate if that broke a guardrail.
    fn has_changed(&self, page: &mut Page) {
        self.changed.store(true, Ordering::Release);
        if page.breach.is_none()
            && let Some(breach) = page.tally.breach()
        {
            // From the next decision on; that it is so is written down by who is
            // told here.
            self.trial.stop();
            page.breach = Some(breach);
            self.breached.notify_one();
        }
    }
}

impl Member {
    const fn new(acts: Arm) -> Self {
        Self { acts, dead: None, chain: None }
    }

    fn dies(&mut self, life: LifeId, now: UnixMillis) {
        if self.dead.is_none_or(|(dead, _)| dead != life) {
            self.dead = Some((life, now));
        }
    }

    /// A life after the one that was ruled dead is a recovery.
    fn lives(&mut self, life: LifeId, now: UnixMillis, tally: &mut Tally) {
        if let Some((_, at)) = self.dead.take_if(|(dead, _)| *dead < life) {
            tally.recovered(self.acts, at.age(now));
        }
    }

    /// Which of its looks the next one is for the arm that does not act.
    fn look_beside(&self, now: UnixMillis) -> Attempt {
        let chain = self.chain.filter(|chain| chain.newest.age(now) <= CHAIN_ENDS_AFTER);
        let (number, first) = chain.map_or((0, now), |chain| (chain.looks, chain.first));
        Attempt { number, since_first: first.age(now) }
    }

    fn looked_beside(&mut self, Attempt { number, .. }: Attempt, goes_on: bool, now: UnixMillis) {
        let former = self.chain.filter(|_| number > 0);
        let first = former.map_or(now, |chain| chain.first);
        self.chain = goes_on.then_some(Chain { first, newest: now, looks: number + 1 });
    }
}

const fn is_same_kind(one: Verdict, other: Verdict) -> bool {
    matches!(
        (one, other),
        (Verdict::Alive, Verdict::Alive)
            | (Verdict::Busy(_), Verdict::Busy(_))
            | (Verdict::Recheck(_), Verdict::Recheck(_))
            | (Verdict::Dead, Verdict::Dead)
    )
}

/// From the end that the runtime reports, or else from the first look.
fn detected(evidence: &[Exchange], attempt: Attempt) -> Millis {
    let ended = evidence.iter().find_map(|exchange| match &exchange.answer {
        Answer::Look(Ok(sighting)) => sighting.ended,
        _ => None,
    });
    ended.map_or(attempt.since_first, |ended| ended.max(attempt.since_first))
}
