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
    container::Container,
    failure::CallFailure,
    names::{ContainerId, ContainerName},
    recipe::{Ingredients, parent_of},
    record::{OrderRecord, Outcome, Record},
    seeing::Seen,
    slot::Slot,
};

/// The longest stop timeout that is honoured. As for a configured workspace.
const LONGEST_GRACE: Millis = Millis::from_secs(600);

/// Between two looks at an order's outcome; longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What an order comes to before it has a run to show.
type Step<T> = Result<T, RestartFailure>;

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

    fn grace(&self, container: &Container) -> Millis {
        container.grace.unwrap_or(self.stop_grace).min(LONGEST_GRACE)
    }

    /// From sending an order to when the daemon is no longer at it, or dead.
    fn order_lasts(&self, grace: Millis) -> Millis {
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
        if container.is_leaving {
            self.until_gone(slot).await?;
            return self.make_again(slot, order, None).await;
        }
        if self.has_lost_its_network(slot, &container) {
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
    async fn begin(&self, slot: &Slot, order: &RestartOrder, grace: Millis) -> Step<()> {
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
    async fn until_begun(
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

    async fn give_up(&self, slot: &Slot, order: &RestartOrder) {
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
    async fn until<T, F: Future<Output = Option<T>>>(
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

    async fn until_gone(&self, slot: &Slot) -> Step<()> {
        let limit = self.daemon.limits.act;
        let gone = self.until(limit, || async {
            match self.see(slot).await.ok()? {
                Seen::Gone => Some(()),
                Seen::There(_) => None,
            }
        });
        match gone.await {
            Some(()) => Ok(()),
            None => refuse(format!(
                "docker has been removing its container for {limit:?}; `docker rm -f {}` may help",
                slot.record().name
            )),
        }
    }

    /// The container whose network it shares was made again: this one can never
    /// start as it is.
    fn has_lost_its_network(&self, slot: &Slot, container: &Container) -> bool {
        let Some(parent) = self.parent_container(&slot.record()) else { return false };
        let shared = parent_of(&container.response);
        shared.is_some_and(|shared| shared != parent.0.as_str() && shared != parent.1.as_str())
    }

    fn parent_container(&self, record: &Record) -> Option<(ContainerId, ContainerName)> {
        let parent = self.slot(record.parent.as_ref()?)?.record();
        Some((parent.container, parent.name))
    }

    /// Makes the container anew, and starts it. `instead_of` makes room for it and
    /// is removed once it runs.
    async fn make_again(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        order: &RestartOrder,
        instead_of: Option<&Container>,
    ) -> Step<Option<LifeMark>> {
        let record = slot.record();
        let grace = instead_of.map_or(self.stop_grace, |container| self.grace(container));
        if let Some(old) = instead_of {
            slot.is_ending(&old.id, old.mark().cloned());
        }
        self.begin(slot, order, grace).await?;
        if let Some(old) = instead_of {
            let aside = format!("{}-before-{}", old.name, order.life.0);
            let aside = aside.parse().map_err(|_| refusal("its container's name is too long"))?;
            let moved = self.daemon.rename(&old.id, &aside);
            self.or_give_up(slot, order, moved.await).await?;
            let stopped = self.daemon.stop(&old.id, grace).await;
            self.or_give_up(slot, order, stopped).await?;
        }
        let made = self.make(slot, &record, order).await;
        let outcome = match made {
            Ok(id) => self.start(slot, order, &id, grace).await,
            Err(failure) => Err(failure),
        };
        if let Some(old) = instead_of {
            let cleared = match &outcome {
                Ok(_) => self.daemon.remove(&old.id).await,
                Err(_) => self.daemon.rename(&old.id, &old.name).await,
            };
            if let Err(failure) = cleared {
                tracing::warn!(workspace = %slot.workspace, container = old.id.short(), %failure, "a container that was replaced was left behind");
            }
        }
        outcome.map(Some)
    }

    async fn or_give_up<T>(
        &self,
        slot: &Slot,
        order: &RestartOrder,
        outcome: Result<T, CallFailure>,
    ) -> Step<T> {
        match outcome {
            Ok(done) => Ok(done),
            Err(failure) => {
                self.give_up(slot, order).await;
                Err(refused(&failure))
            }
        }
    }

    /// Creates it and connects its networks.
    async fn make(&self, slot: &Slot, record: &Record, order: &RestartOrder) -> Step<ContainerId> {
        let parent = self.parent_container(record).map(|(id, _)| id);
        let made = record.recipe.ingredients(parent.as_ref());
        let Ingredients { body, further_networks } =
            made.map_err(|error| refusal(format!("its recipe is not readable: {error}")))?;
        let id = match self.daemon.create(&record.name, body).await {
            Ok(id) => id,
            Err(CallFailure::Absent) => {
                self.give_up(slot, order).await;
                return refuse(format!(
                    "its image {} or a network of it is gone; pull or build it again, and create the container anew",
                    record.recipe.image()
                ));
            }
            Err(CallFailure::Conflict { detail }) => {
                return self.adopt(slot, record, order, &detail).await;
            }
            Err(failure) if failure.leaves_open() => return self.until_made(slot, record).await,
            Err(failure) => {
                self.give_up(slot, order).await;
                return Err(refused(&failure));
            }
        };
        for (network, endpoint) in further_networks {
            let connected = self.daemon.connect_network(&network, &id, endpoint).await;
            self.or_give_up(slot, order, connected).await?;
        }
        Ok(id)
    }

    /// The name is taken. By a container of this workspace: then that is it.
    async fn adopt(
        &self,
        slot: &Slot,
        record: &Record,
        order: &RestartOrder,
        detail: &str,
    ) -> Step<ContainerId> {
        let of_that_name = self.daemon.inspect_name(&record.name).await;
        let found = of_that_name.and_then(|found| Container::of(found, self.clock.now()));
        match found {
            Ok(container) if container.workspace == slot.workspace => Ok(container.id),
            Ok(_) | Err(_) => {
                self.give_up(slot, order).await;
                refuse(format!(
                    "the name {} is taken by a container that is not workspace {}; rename or remove it ({detail})",
                    record.name, slot.workspace
                ))
            }
        }
    }

    /// It may or may not have been created.
    async fn until_made(&self, slot: &Slot, record: &Record) -> Step<ContainerId> {
        let limit = self.daemon.limits.follow_up;
        let made = self.until(limit, || async {
            let found = self.daemon.inspect_name(&record.name).await.ok()?;
            let container = Container::of(found, self.clock.now()).ok()?;
            (container.workspace == slot.workspace).then_some(container.id)
        });
        let after = self.order_lasts(Millis::ZERO);
        made.await.ok_or(RestartFailure::TimedOut { after })
    }

    async fn start(
        &self,
        slot: &Slot,
        order: &RestartOrder,
        id: &ContainerId,
        grace: Millis,
    ) -> Step<LifeMark> {
        let before = slot.mark();
        match self.daemon.start(id).await {
            Ok(()) => {}
            Err(failure) if failure.leaves_open() => {}
            Err(failure) => {
                self.give_up(slot, order).await;
                return Err(refused(&failure));
            }
        }
        self.until_begun(slot, order, before.as_ref(), grace).await
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

fn refused(failure: &CallFailure) -> RestartFailure {
    refusal(failure.to_string())
}

fn refusal(detail: impl Into<String>) -> RestartFailure {
    RestartFailure::Refused { detail: detail.into() }
}

fn refuse<T>(detail: impl Into<String>) -> Step<T> {
    Err(refusal(detail))
}
