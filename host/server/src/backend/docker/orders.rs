//! Begins and ends runs.
//!
//! The daemon completes an order that its client has stopped waiting for, and two
//! restarts at once both succeed. So an order is written down before it leaves,
//! one that nobody was told the outcome of is looked after, and none is sent
//! while the daemon may still be at another.

use std::{sync::Arc, time::Duration};

use reprieve_core::{
    ids::{LifeId, WorkspaceId},
    ports::{LifeMark, RestartFailure, RestartOrder, Started},
    time::Millis,
};
use tokio::time::{Instant, sleep};

use super::{
    Shared,
    container::{Container, Removal},
    failure::CallFailure,
    record::{OrderRecord, Outcome},
    seeing::Seen,
    slot::Slot,
};

/// The longest stop timeout that is honoured. As for a configured workspace.
const LONGEST_GRACE: Millis = Millis::from_secs(600);

/// Between two looks at an order's outcome; longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What an order comes to before it has a run to show.
pub(super) type Step<T> = Result<T, RestartFailure>;

impl Shared {
    /// Ends the run, if one runs, and begins the next. The same order twice begins
    /// one run.
    pub(super) async fn restart(self: &Arc<Self>, order: &RestartOrder) -> Step<Started> {
        let slot = self.slot_of(&order.workspace)?;
        let _one_at_a_time = slot.order.lock().await;
        if let Some(earlier) = slot.record().order {
            match (&earlier.outcome, earlier.life.cmp(&order.life)) {
                (_, std::cmp::Ordering::Greater) => {
                    return refuse(format!("life {} was begun already", earlier.life.0));
                }
                (Outcome::Began(mark), std::cmp::Ordering::Equal) => {
                    return self.started(&slot, Some(mark.clone())).await;
                }
                (Outcome::Open, ordering) => {
                    if let Some(late) = self.look_after_open(&slot, &earlier).await? {
                        self.conclude(&slot, earlier.life, &late.mark).await;
                        if ordering.is_eq() || late.waited {
                            return self.started(&slot, Some(late.mark)).await;
                        }
                    }
                }
                (Outcome::Refused | Outcome::Began(_), _) => {}
            }
        }
        let _in_between = InBetween::of(&slot);
        let seen = self.see(&slot).await.map_err(|failure| refused(&failure))?;
        let mark = match seen {
            Seen::There(container) => self.restart_there(&slot, order, *container).await?,
            Seen::Gone => self.make_again(&slot, order, None).await?,
        };
        self.started(&slot, mark).await
    }

    /// Ends the run, if one runs, and begins none.
    pub(super) async fn stop(self: &Arc<Self>, workspace: &WorkspaceId) -> Step<()> {
        let slot = self.slot_of(workspace)?;
        let _one_at_a_time = slot.order.lock().await;
        let container = match self.see(&slot).await.map_err(|failure| refused(&failure))? {
            Seen::Gone => return Ok(()),
            Seen::There(container) => container,
        };
        let grace = self.grace(&container);
        slot.is_ending(&container.id, container.mark().cloned());
        match self.daemon.stop(&container.id, grace).await {
            Ok(()) | Err(CallFailure::Absent) => Ok(()),
            Err(failure) if failure.leaves_open() => {
                let limit = self.daemon.limits.follow_up;
                let over = self.until(limit, || async {
                    match self.see(&slot).await.ok()? {
                        Seen::There(container) if container.runs() => None,
                        Seen::There(_) | Seen::Gone => Some(()),
                    }
                });
                let after = self.order_lasts(grace);
                over.await.ok_or(RestartFailure::TimedOut { after })
            }
            Err(failure) => Err(refused(&failure)),
        }
    }

    fn slot_of(&self, workspace: &WorkspaceId) -> Step<Arc<Slot>> {
        let not_ours = || RestartFailure::NotOurs { workspace: workspace.clone() };
        self.slot(workspace).ok_or_else(not_ours)
    }

    pub(super) fn grace(&self, container: &Container) -> Millis {
        container.grace.unwrap_or(self.stop_grace).min(LONGEST_GRACE)
    }

    /// From sending an order to when the daemon is no longer at it, or dead.
    pub(super) fn order_lasts(&self, grace: Millis) -> Millis {
        let limits = self.daemon.limits;
        let allowance = u64::try_from((limits.act + limits.follow_up).as_millis());
        grace.saturating_add(Millis(allowance.unwrap_or(u64::MAX)))
    }

    async fn restart_there(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        order: &RestartOrder,
        container: Container,
    ) -> Step<Option<LifeMark>> {
        slot.note(&container, None);
        let can_start = match container.removal {
            Removal::NotBegun => !self.has_lost_its_network(slot, &container),
            Removal::UnderWay => {
                let left_behind = self.until_removed(slot).await?;
                return self.make_again(slot, order, left_behind.as_deref()).await;
            }
            Removal::Failed => false,
        };
        if !can_start {
            return self.make_again(slot, order, Some(&container)).await;
        }
        let grace = self.grace(&container);
        let before = container.mark().cloned();
        slot.is_ending(&container.id, before.clone());
        self.begin(slot, order, grace).await?;
        match self.daemon.restart(&container.id, grace).await {
            Ok(()) => {}
            Err(CallFailure::Absent) => {
                return match self.see(slot).await.map_err(|failure| refused(&failure))? {
                    Seen::Gone => self.make_again(slot, order, None).await,
                    Seen::There(_) => {
                        self.give_up(slot, order).await;
                        refuse("its container was replaced meanwhile")
                    }
                };
            }
            Err(failure) if failure.leaves_open() => {
                tracing::info!(workspace = %slot.workspace, %failure, "docker was not heard to carry out a restart; its outcome is looked for");
            }
            Err(failure) => {
                self.give_up(slot, order).await;
                return Err(refused(&failure));
            }
        }
        self.until_begun(slot, order, before.as_ref(), grace).await.map(Some)
    }

    /// On disk before it leaves, so that a host which is killed now knows of it.
    pub(super) async fn begin(&self, slot: &Slot, order: &RestartOrder, grace: Millis) -> Step<()> {
        let before = slot.mark();
        let (sent_at, within) = (self.clock.now(), self.order_lasts(grace));
        let (life, outcome) = (order.life, Outcome::Open);
        slot.set_order(OrderRecord { life, before, sent_at, within, outcome });
        if let Err(error) = self.keep(slot).await {
            slot.conclude(life, Outcome::Refused);
            return refuse(format!("the order could not be written down first: {error}"));
        }
        Ok(())
    }

    /// Another run than `before` shows.
    pub(super) async fn until_begun(
        &self,
        slot: &Slot,
        order: &RestartOrder,
        before: Option<&LifeMark>,
        grace: Millis,
    ) -> Step<LifeMark> {
        let limit = self.daemon.limits.follow_up;
        let begun =
            self.until(limit, || async { self.begun_since(slot, before).await.ok()? }).await;
        let Some(mark) = begun else {
            return Err(RestartFailure::TimedOut { after: self.order_lasts(grace) });
        };
        self.conclude(slot, order.life, &mark).await;
        Ok(mark)
    }

    async fn begun_since(
        &self,
        slot: &Slot,
        before: Option<&LifeMark>,
    ) -> Result<Option<LifeMark>, CallFailure> {
        let Seen::There(container) = self.see(slot).await? else { return Ok(None) };
        let another = container.mark() != before && container.mark().is_some();
        if another {
            slot.note(&container, None);
        }
        Ok(container.look.mark.filter(|_| another))
    }

    async fn conclude(&self, slot: &Slot, life: LifeId, mark: &LifeMark) {
        slot.conclude(life, Outcome::Began(mark.clone()));
        self.keep_or_warn(slot).await;
    }

    pub(super) async fn give_up(&self, slot: &Slot, order: &RestartOrder) {
        slot.conclude(order.life, Outcome::Refused);
        self.keep_or_warn(slot).await;
    }

    /// What is not written down here is looked after by the next host as if its
    /// outcome were not known.
    async fn keep_or_warn(&self, slot: &Slot) {
        if let Err(error) = self.keep(slot).await {
            tracing::warn!(workspace = %slot.workspace, %error, "the outcome of an order was not written down");
        }
    }

    /// Waits for an earlier order that the daemon may still be at.
    async fn look_after_open(
        &self,
        slot: &Slot,
        earlier: &OrderRecord,
    ) -> Step<Option<CameThrough>> {
        let before = earlier.before.as_ref();
        let at_once = self.begun_since(slot, before).await.map_err(|failure| refused(&failure))?;
        if let Some(mark) = at_once {
            return Ok(Some(CameThrough { mark, waited: false }));
        }
        let over_at = earlier.sent_at + earlier.within;
        let left = self.clock.now().age(over_at).min(earlier.within).as_duration();
        let mark = self.until(left, || async { self.begun_since(slot, before).await.ok()? }).await;
        Ok(mark.map(|mark| CameThrough { mark, waited: true }))
    }

    /// Asks until there is an answer, or `limit` is over.
    pub(super) async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        limit: Duration,
        ask: impl Fn() -> F,
    ) -> Option<T> {
        let over_at = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(answer) = ask().await {
                return Some(answer);
            }
            if Instant::now() >= over_at {
                return None;
            }
            sleep(pause.min(over_at - Instant::now())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What is left of the container: nothing, or one whose removal has failed.
    async fn until_removed(&self, slot: &Slot) -> Step<Option<Box<Container>>> {
        let limit = self.daemon.limits.act;
        let removed = self.until(limit, || async {
            match self.see(slot).await.ok()? {
                Seen::Gone => Some(None),
                Seen::There(container) => match container.removal {
                    Removal::UnderWay => None,
                    Removal::NotBegun | Removal::Failed => Some(Some(container)),
                },
            }
        });
        match removed.await {
            Some(left_behind) => Ok(left_behind),
            None => refuse(format!(
                "docker has been removing its container for {limit:?}; `docker rm -f {}` may help",
                slot.record().name
            )),
        }
    }

    /// Where the run listens, asked anew: a restart may move it.
    async fn started(&self, slot: &Slot, mark: Option<LifeMark>) -> Step<Started> {
        let Ok(Seen::There(container)) = self.see(slot).await else {
            return Ok(Started { address: None, mark });
        };
        let address = match container.wanted() {
            Ok(wanted) => self.address(&container, &wanted.description).await.ok().flatten(),
            Err(_) => None,
        };
        Ok(Started { address, mark })
    }
}

/// An earlier order has begun a run after all.
struct CameThrough {
    mark: LifeMark,
    /// While a later order waited for it: one run for both.
    waited: bool,
}

/// For as long as it lives, no run counts as "between two runs".
struct InBetween<'a>(&'a Slot);

impl<'a> InBetween<'a> {
    fn of(slot: &'a Slot) -> Self {
        slot.set_restarting(true);
        Self(slot)
    }
}

impl Drop for InBetween<'_> {
    fn drop(&mut self) {
        self.0.set_restarting(false);
    }
}

pub(super) fn refused(failure: &CallFailure) -> RestartFailure {
    refusal(failure.to_string())
}

pub(super) fn refusal(detail: impl Into<String>) -> RestartFailure {
    RestartFailure::Refused { detail: detail.into() }
}

pub(super) fn refuse<T>(detail: impl Into<String>) -> Step<T> {
    Err(refusal(detail))
}
