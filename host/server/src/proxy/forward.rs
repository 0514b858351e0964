//! Forwards a request, and turns what came of it into an answer: passed on,
//! or judged and replied to by the table in [`reprieve_core::reply`].

use std::{future::Future, sync::Arc};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use reprieve_core::{
    decision::Finding,
    ids::{DecisionId, LifeId, WorkspaceId},
    incident::WorkspaceState,
    judgement::ForwardFailure,
    queue::NewItem,
    reply::{self, BUSY_RETRY_AFTER, Kind, Manners, Progress, Reachability, Reply},
    time::Millis,
};
use tracing::Instrument as _;
use url::Url;

use super::{
    answer::{self, Answer},
    body::{Answering, Ended},
    failure::Trouble,
    fleet::{Fleet, Judged, Route},
    headers,
    options::ProxyOptions,
    path,
    upstream::Upstream,
};

/// What all requests share.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) options: Arc<ProxyOptions>,
    pub(super) upstream: Upstream,
}

/// One request on its way: whom it is for, and the one snapshot of where that
/// is.
pub(super) struct Errand {
    pub(super) workspace: WorkspaceId,
    pub(super) route: Route,
    /// What is queued, if it comes to that. None: it cannot be.
    pub(super) item: Option<NewItem>,
}

impl Errand {
    const fn kind(&self) -> Kind {
        match self.item {
            Some(_) => Kind::A2a,
            None => Kind::Transparent,
        }
    }

    const fn reachability(&self) -> Reachability {
        match self.route.state {
            WorkspaceState::Provisioning if self.route.address.is_none() => Reachability::NotYetPlaced,
            WorkspaceState::Provisioning
            | WorkspaceState::Online
            | WorkspaceState::Degraded
            // It may be back before anybody noticed; if not, that is judged.
            | WorkspaceState::Offline => Reachability::Reachable,
            WorkspaceState::Paused => Reachability::Paused,
            WorkspaceState::Hibernating | WorkspaceState::Hibernated => Reachability::Asleep,
            WorkspaceState::Removed => Reachability::Removed,
        }
    }
}

impl Proxy {
    /// The place to forward to, or the answer where there is none to forward to.
    pub(super) async fn admit(&self, errand: &mut Errand) -> Result<Url, Answer> {
        let manners = self.manners(errand);
        let reachability = errand.reachability();
        if reachability == Reachability::Asleep {
            let (fleet, workspace) = (Arc::clone(&self.fleet), errand.workspace.clone());
            to_the_end(async move { fleet.wake(&workspace).await }).await;
        }
        if let Some(reply) = reply::before_forward(errand.kind(), reachability, manners) {
            return Err(self.reply(reply, errand, None, None).await);
        }
        if let Some(judged) = self.fleet.preflight(&errand.workspace).await
            && let Some(reply) = reply::after_preflight(errand.kind(), judged.finding, manners)
        {
            return Err(self.reply(reply, errand, Some(judged.decision), None).await);
        }
        match errand.route.address.clone() {
            Some(address) => Ok(address),
            None => Err(self.failed(errand, ForwardFailure::Unresolved, None).await),
        }
    }

    /// Answers for a forward that came to nothing.
    pub(super) async fn troubled(&self, errand: &mut Errand, trouble: Trouble) -> Answer {
        let workspace = &errand.workspace;
        match trouble {
            Trouble::Failed { failure, detail } => {
                tracing::debug!(%workspace, ?failure, %detail, "a forward failed");
                self.failed(errand, failure, None).await
            }
            Trouble::Ours { detail } => {
                tracing::warn!(%workspace, %detail, "the host could not forward");
                let told = Reply::Busy { retry_after: BUSY_RETRY_AFTER }.told();
                answer::told(&told)
            }
            Trouble::Forbidden(refused) => {
                tracing::warn!(%workspace, %refused, "a workspace's address is not allowed");
                answer::refusal(
                    StatusCode::BAD_GATEWAY,
                    "the workspace is registered at an address that the proxy does not connect to",
                )
            }
            Trouble::CallerGone => {
                answer::refusal(StatusCode::REQUEST_TIMEOUT, "the request did not arrive whole")
            }
        }
    }

    /// Has a failed forward judged and answers. `own`: what the workspace itself
    /// answered.
    pub(super) async fn failed(
        &self,
        errand: &mut Errand,
        failure: ForwardFailure,
        own: Option<Response<Incoming>>,
    ) -> Answer {
        let (finding, decision) = self.judge(errand, failure).await;
        let manners = self.manners(errand);
        let reply =
            reply::after_failure(errand.kind(), failure, Progress::Unanswered, finding, manners);
        self.reply(reply, errand, decision, own).await
    }

    /// Has an answer judged that began and was lost. Its request is not sent
    /// again, whatever is found.
    pub(super) async fn lost(&self, errand: &mut Errand, failure: ForwardFailure) -> Answer {
        let (finding, decision) = self.judge(errand, failure).await;
        let manners = self.manners(errand);
        let reply =
            reply::after_failure(errand.kind(), failure, Progress::Delivered, finding, manners);
        self.reply(reply, errand, decision, None).await
    }

    /// Passes an answer on as it comes. If it breaks off, that is judged in the
    /// background: the caller already has the head.
    pub(super) fn pass_on(&self, errand: &Errand, response: Response<Incoming>) -> Answer {
        let (fleet, workspace, life) =
            (Arc::clone(&self.fleet), errand.workspace.clone(), errand.route.life);
        fleet.answered(&workspace, life);
        let on_end = move |ended| match ended {
            Ended::Whole => fleet.answered(&workspace, life),
            Ended::Lost(failure) => judge_in_background(fleet, workspace, life, failure),
        };
        self.stream(errand, response, on_end)
    }

    /// Passes a bad answer on: nothing about it is a sign of life.
    fn pass_on_bad(&self, errand: &Errand, response: Response<Incoming>) -> Answer {
        self.stream(errand, response, |_| {})
    }

    fn stream(
        &self,
        errand: &Errand,
        response: Response<Incoming>,
        on_end: impl FnOnce(Ended) + Send + Sync + 'static,
    ) -> Answer {
        let sign = self.newest_sign(&errand.workspace);
        let (mut head, body) = response.into_parts();
        headers::towards_caller(&mut head.headers);
        self.redirect(errand, &mut head.headers);
        let body = Answering::watch(body, self.options.idle_timeout, sign, on_end);
        Response::from_parts(head, body)
    }

    /// Keeps a redirect to the workspace itself on the way through the proxy.
    fn redirect(&self, errand: &Errand, headers: &mut HeaderMap) {
        let (Some(address), Some(to)) = (
            &errand.route.address,
            headers.get(header::LOCATION).and_then(|location| location.to_str().ok()),
        ) else {
            return;
        };
        let Some(below) = path::below(address, to) else { return };
        if let Ok(to) = HeaderValue::try_from(self.place(&errand.workspace) + &below) {
            headers.insert(header::LOCATION, to);
        }
    }

    pub(super) fn newest_sign(
        &self,
        workspace: &WorkspaceId,
    ) -> impl Fn() -> Option<Millis> + Send + Sync + use<> {
        let (fleet, workspace) = (Arc::clone(&self.fleet), workspace.clone());
        move || fleet.newest_sign(&workspace)
    }

    /// Where callers find a workspace, as a path.
    pub(super) fn place(&self, workspace: &WorkspaceId) -> String {
        let base = self.options.public_url.as_ref().map_or("", |url| url.path());
        format!("{}/workspaces/{workspace}", base.trim_end_matches('/'))
    }

    fn manners(&self, errand: &Errand) -> Manners {
        Manners {
            queues_for_itself: errand.route.queues_for_itself,
            queue_on_dead: self.options.queue_on_dead,
        }
    }

    async fn judge(
        &self,
        errand: &Errand,
        failure: ForwardFailure,
    ) -> (Finding, Option<DecisionId>) {
        let (fleet, workspace, life) =
            (Arc::clone(&self.fleet), errand.workspace.clone(), errand.route.life);
        let judged =
            to_the_end(async move { fleet.forward_failed(&workspace, life, failure).await }).await;
        match judged {
            Some(Judged { decision, finding }) => (finding, Some(decision)),
            None => (Finding::Busy { retry_after: BUSY_RETRY_AFTER }, None),
        }
    }

    async fn reply(
        &self,
        reply: Reply,
        errand: &mut Errand,
        decision: Option<DecisionId>,
        own: Option<Response<Incoming>>,
    ) -> Answer {
        let answer = match (reply, own) {
            (Reply::Queue { retry_after }, _) => {
                self.queue(errand, decision.clone(), retry_after).await
            }
            (Reply::UpstreamsOwn, Some(own)) => self.pass_on_bad(errand, own),
            (reply, _) => answer::told(&reply.told()),
        };
        answer::decided(answer, decision.as_ref())
    }

    async fn queue(
        &self,
        errand: &mut Errand,
        decision: Option<DecisionId>,
        retry_after: Millis,
    ) -> Answer {
        let busy = Reply::Busy { retry_after }.told();
        let Some(mut item) = errand.item.take() else { return answer::told(&busy) };
        item.decision = decision;
        let fleet = Arc::clone(&self.fleet);
        match to_the_end(async move { fleet.accept(item).await }).await {
            Some(Ok(accepted)) => {
                let told = reply::queued(&accepted.id, accepted.depth, retry_after);
                let mut answer = answer::told(&told);
                let workspace = self.place(&errand.workspace);
                let place = format!("{workspace}/queue/{}", accepted.id);
                if let Ok(place) = HeaderValue::try_from(place) {
                    answer.headers_mut().insert(header::LOCATION, place);
                }
                answer
            }
            Some(Err(refusal)) => {
                tracing::warn!(workspace = %errand.workspace, %refusal, "a request was not queued");
                answer::told(&busy)
            }
            None => answer::told(&busy),
        }
    }
}

fn judge_in_background(
    fleet: Arc<dyn Fleet>,
    workspace: WorkspaceId,
    life: LifeId,
    failure: ForwardFailure,
) {
    tokio::spawn(async move {
        let judged = fleet.forward_failed(&workspace, life, failure).await;
        tracing::debug!(%workspace, ?failure, decision = %judged.decision, "an answer broke off");
    });
}

/// Runs to its end even if the caller goes away meanwhile: what the fleet has
/// begun must not be left half done. None: it panicked.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "the fleet failed to answer the proxy");
            None
        }
    }
}

/// A body that holds what was read whole.
pub(super) fn whole(response: http::response::Parts, bytes: bytes::Bytes) -> Answer {
    let mut head = response;
    headers::towards_caller(&mut head.headers);
    head.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    // Trailers are not kept of what is read whole.
    head.headers.remove(header::TRAILER);
    Response::from_parts(head, Body::from(bytes))
}
