//! Makes a container again that is gone, or that can never start as it is: the
//! network that it shared is gone, or Docker has removed half of it.

use std::sync::Arc;

use reprieve_core::{
    ports::{LifeMark, RestartFailure, RestartOrder},
    time::Millis,
};

use super::{
    Shared,
    container::Container,
    failure::CallFailure,
    names::{ContainerId, ContainerName},
    orders::{Step, refusal, refuse, refused},
    recipe::{Ingredients, parent_of},
    record::Record,
    slot::Slot,
};

impl Shared {
    /// The container whose network it shares was made again: this one can never
    /// start as it is.
    pub(super) fn has_lost_its_network(&self, slot: &Slot, container: &Container) -> bool {
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
    pub(super) async fn make_again(
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
}
