//! What the supervisor tells of, put into the book of the experiment that it belongs to.
//!
//! Costs a host without experiments one atomic for each event. What the arm that
//! does not act would have judged is found out off the judgements' way: see
//! [`beside`](super::beside).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::RwLock;
use reprieve_core::{
    decision::Decision,
    experiment::{Arm, Tally},
    ids::{ExperimentName, LifeId},
    judgement::Call,
    ports::Witness,
    time::UnixMillis,
};
use reprieve_runtime::{Trial, Tried, Who};
use tokio::sync::Notify;

use super::{
    Page,
    beside::{Beside, Order},
    book::Book,
};

/// The books of the experiments that run on this host.
#[derive(Debug, Default)]
pub struct Observer {
    books: RwLock<Vec<Arc<Book>>>,
    open_books: AtomicUsize,
    beside: Beside,
    breached: Arc<Notify>,
}

impl Observer {
    pub(super) fn open(&self, trial: Trial, since: UnixMillis, page: Page) {
        let book = Arc::new(Book::new(trial, since, page, Arc::clone(&self.breached)));
        let mut books = self.books.write();
        books.retain(|other| other.name() != book.name());
        books.push(book);
        self.open_books.store(books.len(), Ordering::Release);
    }

    /// Nothing is written to it any more. Returns what stands there.
    pub(super) fn close(&self, name: &ExperimentName) -> Option<Page> {
        let mut books = self.books.write();
        let nth = books.iter().position(|book| book.name() == name)?;
        let closed = books.remove(nth);
        self.open_books.store(books.len(), Ordering::Release);
        // Nobody waits for the others' while this one is read.
        drop(books);
        Some(closed.page())
    }

    pub(super) fn book(&self, name: &ExperimentName) -> Option<Arc<Book>> {
        self.books.read().iter().find(|book| book.name() == name).cloned()
    }

    pub(super) fn books(&self) -> Vec<Arc<Book>> {
        self.books.read().clone()
    }

    /// Some guardrail was broken since this returned last.
    pub(super) async fn breached(&self) {
        self.breached.notified().await;
    }

    /// Blocks until everything that is to be judged beside is judged, or dropped.
    pub fn wait_for_beside(&self) {
        self.beside.wait();
    }

    /// A decision was part of an experiment. `failed`: the policy that decided gave
    /// no usable answer.
    pub(crate) fn decided(
        &self,
        tried: Tried,
        decision: &Decision,
        failed: bool,
        witness: Arc<dyn Witness>,
    ) {
        let Call::Judge { trigger, attempt } = decision.call else { return };
        // Of a shadow that judges some, the others are nobody's arm.
        if tried.other().is_none() && tried.stood_in.is_none() {
            return;
        }
        let Some(book) = self.book(&tried.experiment().name) else { return };
        let beside = book.decided(&tried, decision, attempt, failed);
        if tried.other().is_none() {
            return;
        }
        let order = Order {
            book,
            tried,
            who: Who { tenant: decision.tenant.clone(), workspace: decision.workspace.clone() },
            call: Call::Judge { trigger, attempt: beside },
            decision: decision.id.clone(),
            at: decision.at,
            life: decision.life,
            evidence: decision.evidence.clone(),
            outcome: decision.outcome.clone(),
            witness,
        };
        if let Err(order) = self.beside.put(order) {
            order.book.dropped();
        }
    }

    /// A life gave a sign.
    pub(crate) fn sign_of_life(
        &self,
        who: &Who,
        labels: &[(String, String)],
        life: LifeId,
        now: UnixMillis,
    ) {
        self.each(|book| book.sign_of_life(who, labels, life, now));
    }

    /// A restart begins that a DEAD verdict asked for.
    pub(crate) fn restarted(&self, who: &Who, labels: &[(String, String)], now: UnixMillis) {
        self.each(|book| book.restarted(who, labels, now));
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

    fn of_request(
        &self,
        who: &Who,
        labels: &[(String, String)],
        accepted: UnixMillis,
        note: impl Fn(&mut Tally, Arm),
    ) {
        self.each(|book| book.request(who, labels, accepted, &note));
    }

    fn each(&self, tell: impl FnMut(&Arc<Book>)) {
        if self.open_books.load(Ordering::Acquire) > 0 {
            self.books.read().iter().for_each(tell);
        }
    }
}
