//! Delivers a queued request, once.

use reprieve_core::{
    judgement::ForwardFailure,
    queue::{StoredAnswer, StoredRequest},
    time::Millis,
};

use super::{fleet::Route, options::ProxyOptions};

/// Sends queued requests to workspaces and reads their answers whole.
#[derive(Clone, Debug)]
pub struct Deliverer {
    options: ProxyOptions,
}

/// Why a queued request came to nothing this time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct DeliveryFailure {
    /// What it says about the workspace, to be judged. None: nothing. The host
    /// itself could not send, out of file descriptors for example.
    pub failure: Option<ForwardFailure>,
    pub detail: String,
}

impl Deliverer {
    pub fn new(options: ProxyOptions) -> Self {
        Self { options }
    }

    /// Waits for the answer as a forward does: `newest_sign` says how long ago
    /// the workspace gave a sign of life, and such a sign extends the wait.
    ///
    /// An answer that began and was lost is an answer too: 502 with
    /// `delivery_confirmed`, because to deliver again could do the work twice.
    pub async fn deliver(
        &self,
        route: &Route,
        request: &StoredRequest,
        newest_sign: impl Fn() -> Option<Millis> + Send + Sync,
    ) -> Result<StoredAnswer, DeliveryFailure> {
        let _ = (&self.options, route, request, newest_sign);
        Err(DeliveryFailure { failure: None, detail: "not built yet".into() })
    }
}
