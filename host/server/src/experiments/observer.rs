//! What the supervisor tells of, experiment by experiment.
//!
//! Costs a host without experiments one atomic for each event. What the arm that
//! does not act would have judged is found out off the judgements' way: see
//! [`beside`](super::beside).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::{Answer, Exchange},
    experiment::{Arm, Tally},
    ids::{ExperimentName, LifeId, WorkspaceId},
    judgement::{Attempt, Call, Verdict},
    ports::Witness,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Generation, StoodIn, Trial, Tried, Who};
use tokio::sync::Notify;

use super::{
    Page,
    beside::{Beside, Order},
};

/// A chain of looks that nobody went on with for so long has ended.
const CHAIN_ENDS_AFTER: Millis = Millis::from_secs(60);

/// The book of everything that the experiments of this host see.
#[derive(Debug, Default)]
pub struct Observer {
    books: RwLock<HashMap<ExperimentName, Arc<Book>>>,
    open_books: AtomicUsize,
    members: Mutex<HashMap<WorkspaceId, Member>>,
    beside: Beside,
    breached: Notify,
}

/// What is on record of one experiment that runs.
#[derive(Debug)]
pub(super) struct Book {
    trial: Trial,
    /// When it was started.
    since: UnixMillis,
    /// Its candidate is tried, as of the last time that somebody looked.
    is_tried: AtomicBool,
    page: Mutex<Page>,
    /// Something is not on disk yet.
    changed: AtomicBool,
}

/// A workspace that takes part.
#[derive(Clone, Debug)]
struct Member {
    experiment: ExperimentName,
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
    pub(super) fn page(&self) -> Page {
        self.page.lock().clone()
    }

    /// Some guardrail is. Looked at every second, so nothing is copied.
    pub(super) fn is_broken(&self) -> bool {
        self.page.lock().breach.is_some()
    }

    pub(super) const fn trial(&self) -> &Trial {
        &self.trial
    }

    /// Requests to that workspace count.
    fn counts(&self, who: &Who, labels: &[(String, String)]) -> bool {
        self.is_tried.load(Ordering::Acquire)
            && self.trial.includes(who, labels)
            && self.trial.experiment().is_compared(&who.workspace)
    }

    /// The page, if it is to be written down.
    pub(super) fn take_changed(&self) -> Option<Page> {
        self.changed.swap(false, Ordering::AcqRel).then(|| self.page())
    }

    fn write<T>(&self, breached: &Notify, write: impl FnOnce(&mut Page) -> T) -> T {
        let mut page = self.page.lock();
        let written = write(&mut page);
        self.changed.store(true, Ordering::Release);
        if page.breach.is_none()
            && let Some(breach) = page.tally.breach()
        {
            // From the next decision on; that it is so is written down by who is
            // told here.
            self.trial.stop();
            page.breach = Some(breach);
            breached.notify_one();
        }
        written
    }
}

impl Observer {
    pub(super) fn open(&self, trial: Trial, since: UnixMillis, page: Page) {
        let (name, is_tried) = (trial.experiment().name.clone(), trial.candidate().is_ok());
        let (is_tried, changed) = (is_tried.into(), true.into());
        let book = Book { trial, since, is_tried, page: Mutex::new(page), changed };
        let mut books = self.books.write();
        books.insert(name, Arc::new(book));
        self.open_books.store(books.len(), Ordering::Release);
    }

    /// Nothing is written to it any more. Returns what stands there.
    pub(super) fn close(&self, name: &ExperimentName) -> Option<Page> {
        let mut books = self.books.write();
        let closed = books.remove(name);
        self.open_books.store(books.len(), Ordering::Release);
        drop(books);
        self.members.lock().retain(|_, member| member.experiment != *name);
        closed.map(|book| book.page())
    }

    pub(super) fn book(&self, name: &ExperimentName) -> Option<Arc<Book>> {
        self.books.read().get(name).cloned()
    }

    pub(super) fn books(&self) -> Vec<Arc<Book>> {
        self.books.read().values().cloned().collect()
    }

    /// Some guardrail was broken since this returned last.
    pub(super) async fn breached(&self) {
        self.breached.notified().await;
    }

    /// Blocks until everything that is to be judged beside is judged, or dropped.
    pub fn wait_for_beside(&self) {
        self.beside.wait();
    }

    /// So many workspaces take part in each arm. None: its candidate cannot be tried.
    pub(super) fn pass(&self, book: &Book, workspaces: Option<[usize; 2]>, now: UnixMillis) {
        book.is_tried.store(workspaces.is_some(), Ordering::Release);
        let workspaces = workspaces.unwrap_or_default();
        book.write(&self.breached, |page| page.tally.pass(workspaces, now));
    }

    /// A decision was part of an experiment. `failed`: the policy that decided gave
    /// no usable answer.
    pub(crate) fn decided(
        self: &Arc<Self>,
        tried: &Tried,
        decision: &Decision,
        failed: bool,
        witness: &Arc<dyn Witness>,
    ) {
        let Call::Judge { attempt, .. } = decision.call else { return };
        // Of a shadow that judges some, the others are nobody's arm.
        if tried.other.is_none() && tried.stood_in.is_none() {
            return;
        }
        let Some(book) = self.book(&tried.experiment.name) else { return };
        let (workspace, life, now) = (&decision.workspace, decision.life, decision.at);
        // Who decided, in whosever place.
        let by = match tried.stood_in {
            Some(_) => Arm::Control,
            None => tried.acts,
        };
        let [is_dead, is_alive] =
            [Verdict::Dead, Verdict::Alive].map(|is| decision.outcome.verdict() == is);
        let (recovered, attempt_beside) = self.noted(tried, decision, is_dead, is_alive);
        book.write(&self.breached, |page| {
            let tally = &mut page.tally;
            tally.judged(by, failed, now);
            if tried.stood_in == Some(StoodIn::Failed) {
                tally.judged(Arm::Candidate, true, now);
            }
            if is_dead {
                tally.dead(
                    by,
                    tried.acts,
                    workspace,
                    life,
                    detected(&decision.evidence, attempt),
                    now,
                );
            }
            if let Some(took) = recovered {
                tally.recovered(tried.acts, took);
            }
        });
        if let Some(other) = &tried.other {
            self.judge_beside(&book, tried.acts, other, attempt_beside, decision, witness);
        }
    }

    /// Keeps in mind who takes part. Returns how long a recovery took that this
    /// decision ends, and which of its looks this is for the arm that does not act.
    fn noted(
        &self,
        tried: &Tried,
        decision: &Decision,
        is_dead: bool,
        is_alive: bool,
    ) -> (Option<Millis>, Attempt) {
        let (life, now) = (decision.life, decision.at);
        let mut members = self.members.lock();
        let member = match members.get_mut(&decision.workspace) {
            Some(member) => member,
            None => members.entry(decision.workspace.clone()).or_insert(Member {
                experiment: tried.experiment.name.clone(),
                acts: tried.acts,
                dead: None,
                chain: None,
            }),
        };
        if is_dead && member.dead.is_none_or(|(dead, _)| dead != life) {
            member.dead = Some((life, now));
        }
        let recovered = if is_alive { member.recovers(life, now) } else { None };
        (recovered, member.look_beside(now))
    }

    fn judge_beside(
        self: &Arc<Self>,
        book: &Arc<Book>,
        acts: Arm,
        other: &Arc<Generation>,
        attempt: Attempt,
        decision: &Decision,
        witness: &Arc<dyn Witness>,
    ) {
        let Call::Judge { trigger, .. } = decision.call else { return };
        let order = Order {
            observer: Arc::downgrade(self),
            book: Arc::clone(book),
            arm: acts.other(),
            generation: Arc::clone(other),
            who: Who { tenant: decision.tenant.clone(), workspace: decision.workspace.clone() },
            call: Call::Judge { trigger, attempt },
            decision: decision.id.clone(),
            at: decision.at,
            life: decision.life,
            evidence: decision.evidence.clone(),
            outcome: decision.outcome.clone(),
            witness: Arc::clone(witness),
        };
        if !self.beside.put(order) {
            self.dropped(book);
        }
    }

    pub(super) fn dropped(&self, book: &Book) {
        book.write(&self.breached, |page| page.tally.dropped += 1);
    }

    /// The other arm has judged, or could not from that evidence (`None`).
    pub(super) fn judged_beside(&self, order: &Order, judged: Option<Judged>) {
        let Some(Judged { outcome, failed }) = judged else {
            order.book.write(&self.breached, |page| page.tally.missing += 1);
            return;
        };
        let (verdict, acts) = (outcome.verdict(), order.arm.other());
        self.went_on(order, matches!(verdict, Verdict::Recheck(_)));
        order.book.write(&self.breached, |page| {
            page.tally.judged(order.arm, failed, order.at);
            if failed {
                return;
            }
            let agree = is_same_kind(verdict, order.outcome.verdict());
            page.tally.compared_both(agree);
            if verdict == Verdict::Dead {
                let Call::Judge { attempt, .. } = order.call else { return };
                let took = detected(&order.evidence, attempt);
                let (workspace, life) = (&order.who.workspace, order.life);
                page.tally.dead(order.arm, acts, workspace, life, took, order.at);
            }
            if !agree {
                page.disagree(order, &outcome);
            }
        });
    }

    fn went_on(&self, order: &Order, goes_on: bool) {
        let mut members = self.members.lock();
        let Some(member) = members.get_mut(&order.who.workspace) else { return };
        let Call::Judge { attempt, .. } = order.call else { return };
        member.chain = goes_on.then(|| Chain {
            first: member
                .chain
                .filter(|_| attempt.number > 0)
                .map_or(order.at, |chain| chain.first),
            newest: order.at,
            looks: attempt.number + 1,
        });
    }

    /// A life gave a sign.
    pub(crate) fn sign_of_life(&self, workspace: &WorkspaceId, life: LifeId, now: UnixMillis) {
        if self.open_books.load(Ordering::Acquire) == 0 {
            return;
        }
        let (experiment, acts, recovered) = {
            let mut members = self.members.lock();
            let Some(member) = members.get_mut(workspace) else { return };
            let recovered = member.recovers(life, now);
            (member.experiment.clone(), member.acts, recovered)
        };
        let Some(book) = self.book(&experiment) else { return };
        book.write(&self.breached, |page| {
            page.tally.sign_of_life(workspace, life, now);
            if let Some(took) = recovered {
                page.tally.recovered(acts, took);
            }
        });
    }

    /// A restart begins that a DEAD verdict asked for.
    pub(crate) fn restarted(&self, workspace: &WorkspaceId, now: UnixMillis) {
        self.of_member(workspace, |tally, arm| tally.restarted(arm, workspace, now));
    }

    /// A caller's request was put into a workspace's queue.
    pub(crate) fn queued(&self, who: &Who, labels: &[(String, String)], now: UnixMillis) {
        self.of_request(who, labels, now, Tally::queued);
    }

    /// One that was accepted then was delivered.
    pub(crate) fn delivered(
        &self,
        who: &Who,
        labels: &[(String, String)],
        accepted: UnixMillis,
        now: UnixMillis,
    ) {
        let note = |tally: &mut Tally, arm| tally.delayed(arm, accepted.age(now));
        self.of_request(who, labels, accepted, note);
    }

    /// One that was accepted then was given up.
    pub(crate) fn lost(&self, who: &Who, labels: &[(String, String)], accepted: UnixMillis) {
        self.of_request(who, labels, accepted, Tally::lost);
    }

    /// What was accepted before an experiment began is none of its doing.
    fn of_request(
        &self,
        who: &Who,
        labels: &[(String, String)],
        accepted: UnixMillis,
        note: impl FnOnce(&mut Tally, Arm),
    ) {
        if self.open_books.load(Ordering::Acquire) == 0 {
            return;
        }
        let takes = |book: &&Arc<Book>| book.counts(who, labels) && accepted >= book.since;
        if let Some(book) = self.books.read().values().find(takes) {
            let arm = book.trial.experiment().acts(&who.workspace);
            book.write(&self.breached, |page| note(&mut page.tally, arm));
        }
    }

    fn of_member(&self, workspace: &WorkspaceId, note: impl FnOnce(&mut Tally, Arm)) {
        if self.open_books.load(Ordering::Acquire) == 0 {
            return;
        }
        let member = self.members.lock().get(workspace).cloned();
        let Some(Member { experiment, acts, .. }) = member else { return };
        let Some(book) = self.book(&experiment) else { return };
        book.write(&self.breached, |page| note(&mut page.tally, acts));
    }
}

impl Member {
    /// Which of its looks the next one is for the arm that does not act.
    fn look_beside(&self, now: UnixMillis) -> Attempt {
        let chain = self.chain.filter(|chain| chain.newest.age(now) <= CHAIN_ENDS_AFTER);
        let (number, first) = chain.map_or((0, now), |chain| (chain.looks, chain.first));
        Attempt { number, since_first: first.age(now) }
    }

    /// A life after the one that was ruled dead is alive.
    fn recovers(&mut self, life: LifeId, now: UnixMillis) -> Option<Millis> {
        let (_, at) = self.dead.take_if(|(dead, _)| *dead < life)?;
        Some(at.age(now))
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
