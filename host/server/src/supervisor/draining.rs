//! Delivers what was queued.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use reprieve_core::{
    ids::WorkspaceId,
    judgement::{ForwardFailure, RestartCause, Trigger},
    ports::QueueRefusal,
    queue::{
        Ending, GivenUp, Item, MAX_ATTEMPTS, NewItem, OWN_MESSAGES, Priority, StoredAnswer,
        StoredRequest,
    },
};

use tracing::Instrument as _;

use super::{QueueDrop, Supervisor, tally::cause_name, workspace::Workspace};
use crate::{
    proxy::{DeliveryFailure, fleet::Route, headers::SYSTEM_CALLER},
    telemetry::traces::spans,
};

/// Items delivered in one go. More wait for the next sign of spare capacity.
const MAX_DELIVERIES: usize = 1_000;

/// Carries a stored request to a workspace and its answer back.
#[async_trait]
pub trait Courier: Send + Sync {
    async fn deliver(
        &self,
        workspace: &WorkspaceId,
        route: &Route,
        request: &StoredRequest,
    ) -> Result<StoredAnswer, DeliveryFailure>;
}

impl Supervisor {
    /// Delivers what waits for this workspace, in the background, unless that is
    /// being done already.
    pub(super) fn drain(&self, workspace: &Arc<Workspace>) {
        if !workspace.pace.lock().is_due(self.now())
            || workspace.draining.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let (supervisor, of) = (self.clone(), Arc::clone(workspace));
        self.spawn(async move {
            let failure = supervisor.deliver_waiting(&of).await;
            of.draining.store(false, Ordering::Release);
            if let Some(failure) = failure {
                supervisor.judge(&of, Trigger::ForwardFailed(failure)).await;
            }
        });
    }

    /// Ends at the first failure, and names it.
    async fn deliver_waiting(&self, workspace: &Arc<Workspace>) -> Option<ForwardFailure> {
        for _ in 0..MAX_DELIVERIES {
            let route = workspace.route();
            if self.0.stop.is_cancelled()
                || route.address.is_none()
                || !route.state.takes_requests()
            {
                return None;
            }
            let item = match self.0.ports.queue.take(workspace.id(), self.now()).await {
                Ok(item) => item?,
                Err(_) => {
                    self.store_failed();
                    return None;
                }
            };
            match self.deliver(workspace, &route, &item.request).await {
                Ok(answer) => {
                    workspace.pace.lock().succeeded();
                    self.sign_of_contact(workspace, route.life);
                    self.end(workspace, item, answer).await;
                }
                Err(failure) => {
                    workspace.pace.lock().failed(self.now());
                    tracing::info!(workspace = %workspace.id(), item = %item.id, %failure,
                        attempts = item.attempts, "delivery failed");
                    match self.0.ports.queue.put_back(&item.id, &failure.detail).await {
                        Err(_) => self.store_failed(),
                        Ok(()) if item.attempts >= MAX_ATTEMPTS => {
                            self.given_up(QueueDrop::AttemptsExhausted, &[item.given_up()]);
                        }
                        Ok(()) => {}
                    }
                    return failure.failure;
                }
            }
        }
        None
    }

    async fn deliver(
        &self,
        workspace: &Workspace,
        route: &Route,
        request: &StoredRequest,
    ) -> Result<StoredAnswer, DeliveryFailure> {
        let span = spans::deliver(&request.headers, workspace.id(), &route.tenant);
        let delivery = self.0.ports.courier.deliver(workspace.id(), route, request);
        let delivered = delivery.instrument(span.clone()).await;
        let ended = delivered.as_ref().map(|answer| answer.status);
        spans::delivered(&span, ended.map_err(|failure| failure.failure));
        delivered
    }

    /// Counts requests that the queue does not hold any more, though nobody got them.
    pub(crate) fn given_up(&self, why: QueueDrop, items: &[GivenUp]) {
        self.0.tally.queue_dropped(why, u32::try_from(items.len()).unwrap_or(u32::MAX));
        for GivenUp { workspace, message_id, accepted } in items {
            if let Some(workspace) = self.workspace(workspace)
                && !message_id.starts_with(OWN_MESSAGES)
            {
                let (who, labels) = (&workspace.who, &workspace.spec.labels);
                self.0.ports.experiments.lost(who, labels, *accepted);
            }
        }
    }

    async fn end(&self, workspace: &Workspace, item: Item, answer: StoredAnswer) {
        let (ending, now) = (Ending::Delivered(answer), self.now());
        if self.0.ports.queue.end(&item.id, ending, now).await.is_err() {
            self.store_failed();
            tracing::error!(workspace = %workspace.id(), item = %item.id,
                "an answer could not be kept; the request will be delivered again");
            return;
        }
        self.0.tally.delivered();
        if !item.message_id.starts_with(OWN_MESSAGES) {
            let (who, labels) = (&workspace.who, &workspace.spec.labels);
            self.0.ports.experiments.delivered(who, labels, item.accepted, now);
        }
        self.announce(workspace.id(), format!("queued request delivered ({})", item.message_id));
    }

    /// Queues one message that tells the new life when and why it was restarted.
    /// Like every queued request it waits for a sign of that life, so that it
    /// never meets a workspace that is still on its way up.
    pub(super) async fn tell(&self, workspace: &Arc<Workspace>, cause: RestartCause) {
        if !self.0.options.tell_restarts {
            return;
        }
        let (now, life) = (self.now(), workspace.life());
        let message_id = format!("{OWN_MESSAGES}{}-{}", workspace.id(), life.0);
        let signs = self.0.ports.heartbeats.at_hand(workspace.id());
        let silent = match signs.and_then(|signs| signs.newest()) {
            Some(at) => format!("its last sign of life was {} ago", at.age(now)),
            None => "it had given no sign of life".to_owned(),
        };
        let text = format!(
            "You were restarted (cause: {}). This is run {} of the workspace; before the restart \
             {silent}.",
            cause_name(cause),
            life.0
        );
        let item = NewItem {
            workspace: workspace.id().clone(),
            message_id: message_id.clone(),
            priority: Priority::CRITICAL,
            request: restart_message(&message_id, &text),
            decision: None,
        };
        match self.0.ports.queue.accept(item, now).await {
            Ok(_) => self.0.tally.queued(),
            Err(QueueRefusal::Full { .. }) => {}
            Err(QueueRefusal::Unavailable) => {
                self.store_failed();
            }
        }
    }
}

/// A `message/send` of A2A 0.3, which servers of protocol 1.0 take as well when
/// no version is named.
fn restart_message(message_id: &str, text: &str) -> StoredRequest {
    let body = serde_json::json!({
        "jsonrpc": "2.0",
        "id": message_id,
        "method": "message/send",
        "params": {"message": {
            "kind": "message",
            "role": "user",
            "messageId": message_id,
            "parts": [{"kind": "text", "text": text}],
            "metadata": {"reprieve": "restart"},
        }},
    });
    StoredRequest {
        method: "POST".to_owned(),
        path: String::new(),
        headers: vec![
            ("content-type".to_owned(), b"application/json".to_vec()),
            (SYSTEM_CALLER.to_string(), b"restart".to_vec()),
        ],
        body: body.to_string().into_bytes(),
    }
}
