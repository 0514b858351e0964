//! The two timers of a workspace: when to judge again, and when to take up a
//! wish that was deferred. Setting one replaces the one before.

use parking_lot::Mutex;
use tokio::task::AbortHandle;

#[derive(Debug, Default)]
pub(super) struct Timers {
    judge: Mutex<Option<AbortHandle>>,
    take_up: Mutex<Option<AbortHandle>>,
}

impl Timers {
    pub(super) fn set_judge(&self, timer: AbortHandle) {
        replace(&self.judge, Some(timer));
    }

    pub(super) fn clear_judge(&self) {
        replace(&self.judge, None);
    }

    /// A judgement is to come by itself.
    pub(super) fn judges(&self) -> bool {
        self.judge.lock().as_ref().is_some_and(|timer| !timer.is_finished())
    }

    pub(super) fn set_take_up(&self, timer: AbortHandle) {
        replace(&self.take_up, Some(timer));
    }

    pub(super) fn clear(&self) {
        replace(&self.judge, None);
        replace(&self.take_up, None);
    }
}

fn replace(slot: &Mutex<Option<AbortHandle>>, timer: Option<AbortHandle>) {
    if let Some(former) = std::mem::replace(&mut *slot.lock(), timer) {
        former.abort();
    }
}
