//! Decisions as they happen, as server-sent events. A reader that is too slow is
//! told how many it missed; nobody waits for it.

use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt as _};
use reprieve_core::{
    decision::Decision as CoreDecision,
    ids::DecisionId,
    ports::{DecisionFilter, Decisions as _},
};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast},
    time::{Interval, interval},
};

use super::{
    Admin,
    decisions::{Decision, Wanted},
    guard::Caller,
    problem::Problem,
};

/// Streams at once, of all tokens.
pub(super) const MAX_STREAMS: usize = 64;

/// Decisions that were missed and come first, at most.
const MAX_CAUGHT_UP: u32 = 1_000;

/// How often a stream looks whether its token is still good, and a sign that it
/// lives when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Follows from now on, or from after that decision.
pub(super) async fn follow(
    admin: Admin,
    caller: Caller,
    wanted: Wanted,
    after: Option<DecisionId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let room = admin.room_for_stream().ok_or_else(|| {
        let detail = format!("{MAX_STREAMS} streams are open already; close some");
        Problem::too_many(detail, LOOK_EVERY)
    })?;
    // Listens first, so that nothing is lost between the two.
    let live = admin.supervisor().decisions();
    let missed = match after {
        Some(after) => {
            let filter =
                DecisionFilter { after: Some(after), limit: MAX_CAUGHT_UP, ..wanted.filter() };
            admin.decisions().list(&filter).await?
        }
        None => vec![],
    };
    let told: HashSet<DecisionId> = missed.iter().map(|decision| decision.id.clone()).collect();
    let first: Vec<_> = missed.iter().map(|decision| Ok(event(decision))).collect();
    let follower =
        Follower { admin, caller, wanted, live, told, looks: interval(LOOK_EVERY), _room: room };
    let live = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    let keep_alive = KeepAlive::new().interval(LOOK_EVERY);
    Ok(Sse::new(stream::iter(first).chain(live)).keep_alive(keep_alive))
}

struct Follower {
    admin: Admin,
    caller: Caller,
    wanted: Wanted,
    live: broadcast::Receiver<Arc<CoreDecision>>,
    /// What was told already when the stream began.
    told: HashSet<DecisionId>,
    looks: Interval,
    _room: OwnedSemaphorePermit,
}

impl Follower {
    /// None: the stream ends, because the host stops or the token is no longer
    /// good.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let received = tokio::select! {
                () = self.admin.stopped() => return None,
                _ = self.looks.tick() => {
                    if !self.admin.is_still_let_in(&self.caller) {
                        return None;
                    }
                    continue;
                }
                received = self.live.recv() => received,
            };
            match received {
                Ok(decision) => {
                    let is_new = !self.told.remove(&decision.id);
                    if is_new && self.wanted.takes(&decision) {
                        return Some(event(&decision));
                    }
                }
                Err(broadcast::error::RecvError::Lagged(dropped)) => {
                    let data = json!({ "dropped": dropped }).to_string();
                    return Some(Event::default().event("dropped").data(data));
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn event(decision: &CoreDecision) -> Event {
    let decision = Decision::from(decision);
    let data = serde_json::to_string(&decision).unwrap_or_default();
    Event::default().event("decision").id(&decision.id).data(data)
}
