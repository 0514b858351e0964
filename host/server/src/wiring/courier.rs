//! Delivers queued requests the way the proxy forwards.

use std::sync::Arc;

use async_trait::async_trait;
use reprieve_core::{
    ids::WorkspaceId,
    ports::{Clock, Heartbeats},
    queue::{StoredAnswer, StoredRequest},
};

use crate::{
    proxy::{Deliverer, DeliveryFailure, fleet::Route},
    supervisor::Courier,
};

pub(super) struct ProxyCourier {
    pub(super) deliverer: Deliverer,
    pub(super) heartbeats: Arc<dyn Heartbeats>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Courier for ProxyCourier {
    async fn deliver(
        &self,
        workspace: &WorkspaceId,
        route: &Route,
        request: &StoredRequest,
    ) -> Result<StoredAnswer, DeliveryFailure> {
        let newest_sign = || {
            let newest = self.heartbeats.at_hand(workspace)?.newest()?;
            Some(newest.age(self.clock.now()))
        };
        self.deliverer.deliver(route, request, newest_sign).await
    }
}
