//! Delivers a queued request, once.

use std::sync::Arc;

use http::{HeaderMap, Response, header};
use hyper::body::Incoming;
use reprieve_core::{
    judgement::ForwardFailure,
    queue::{StoredAnswer, StoredRequest},
    reply::Reply,
    time::Millis,
};
use serde_json::Value;

use super::{
    a2a::{oversized, to_request},
    failure::Trouble,
    fleet::Route,
    headers,
    options::ProxyOptions,
    upstream::{ReadProblem, Upstream},
    watch::{NewestSign, Upload},
};
use crate::telemetry::traces::context;

/// Sends queued requests to workspaces and reads their answers whole. Cheap to
/// clone: clones share their connections.
#[derive(Clone, Debug)]
pub struct Deliverer {
    options: Arc<ProxyOptions>,
    upstream: Upstream,
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
        let upstream = Upstream::new(&options);
        Self { options: Arc::new(options), upstream }
    }

    /// Waits for the answer as a forward does: `newest_sign` says how long ago
    /// the workspace gave a sign of life, and such a sign extends the wait.
    ///
    /// An answer that began and was lost is an answer too: 502 with
    /// `delivery_confirmed`, because to deliver again could do the work twice.
    /// Events of a stream are stored as one answer.
    pub async fn deliver(
        &self,
        route: &Route,
        request: &StoredRequest,
        newest_sign: impl Fn() -> Option<Millis> + Send + Sync,
    ) -> Result<StoredAnswer, DeliveryFailure> {
        let Some(address) = &route.address else {
            return Err(DeliveryFailure {
                failure: Some(ForwardFailure::Unresolved),
                detail: "nobody knows where the workspace listens".to_owned(),
            });
        };
        let upload = Arc::new(Upload::begin());
        let mut sent = to_request(request, address, &upload)?;
        context::hand_on(sent.headers_mut());
        let response = self.upstream.send(route, address, sent, &newest_sign, &upload).await?;
        let status = response.status().as_u16();
        if self.options.bad_statuses.contains(&status) {
            return Err(DeliveryFailure {
                failure: Some(ForwardFailure::BadStatus(status)),
                detail: format!("the workspace answered with status {status}"),
            });
        }
        Ok(self.read(response, &newest_sign).await)
    }

    async fn read(&self, response: Response<Incoming>, sign: NewestSign<'_>) -> StoredAnswer {
        let limit_bytes = self.options.response_limit_bytes;
        let (mut head, body) = response.into_parts();
        match self.upstream.read(body, limit_bytes, sign).await {
            Ok(bytes) => {
                headers::towards_caller(&mut head.headers);
                head.headers.remove(header::CONTENT_LENGTH);
                head.headers.remove(header::TRAILER);
                StoredAnswer {
                    status: head.status.as_u16(),
                    headers: to_stored(&head.headers),
                    body: bytes.to_vec(),
                }
            }
            Err(ReadProblem::TooLarge) => in_our_words(&oversized(limit_bytes)),
            Err(ReadProblem::Lost(trouble)) => {
                tracing::debug!(%trouble, "the answer to a queued request was lost");
                in_our_words(&Reply::DeliveryConfirmed.told().body)
            }
        }
    }
}

fn in_our_words(body: &Value) -> StoredAnswer {
    StoredAnswer {
        status: 502,
        headers: vec![(header::CONTENT_TYPE.to_string(), b"application/json".to_vec())],
        body: body.to_string().into_bytes(),
    }
}

pub(super) fn to_stored(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

impl From<Trouble> for DeliveryFailure {
    fn from(trouble: Trouble) -> Self {
        let detail = trouble.to_string();
        match trouble {
            Trouble::Failed { failure, .. } => Self { failure: Some(failure), detail },
            Trouble::Ours { .. } | Trouble::Forbidden(_) | Trouble::CallerGone => {
                Self { failure: None, detail }
            }
        }
    }
}
