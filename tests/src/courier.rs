//! Delivers to a fake runtime: well, if the workspace is up.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use reprieve_core::{
    ids::WorkspaceId,
    judgement::ForwardFailure,
    queue::{StoredAnswer, StoredRequest},
};
use reprieve_server::{
    proxy::{DeliveryFailure, fleet::Route},
    supervisor::Courier,
};

use crate::FakeRuntime;

#[derive(Debug)]
pub struct FakeCourier {
    runtime: Arc<FakeRuntime>,
    delivered: Mutex<Vec<(WorkspaceId, StoredRequest)>>,
}

impl FakeCourier {
    pub fn new(runtime: Arc<FakeRuntime>) -> Arc<Self> {
        Arc::new(Self { runtime, delivered: Mutex::default() })
    }

    pub fn delivered_to(&self, workspace: &WorkspaceId) -> Vec<StoredRequest> {
        let delivered = self.delivered.lock();
        delivered.iter().filter(|(to, _)| to == workspace).map(|(_, what)| what.clone()).collect()
    }
}

#[async_trait]
impl Courier for FakeCourier {
    async fn deliver(
        &self,
        workspace: &WorkspaceId,
        _route: &Route,
        request: &StoredRequest,
    ) -> Result<StoredAnswer, DeliveryFailure> {
        if !self.runtime.is_up(workspace) {
            let detail = "connection refused".to_owned();
            return Err(DeliveryFailure { failure: Some(ForwardFailure::Refused), detail });
        }
        self.delivered.lock().push((workspace.clone(), request.clone()));
        Ok(StoredAnswer { status: 200, headers: vec![], body: b"{}".to_vec() })
    }
}
