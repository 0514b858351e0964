//! Decisions as they happen, as server-sent events. A reader that is too slow is
//! told how many it missed; nobody waits for it.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt as _};
use parking_lot::Mutex;
use reprieve_core::{
    decision::Decision as CoreDecision,
    ids::{DecisionId, TokenName},
    ports::{DecisionFilter, Decisions as _},
};
use serde_json::json;
use tokio::{
    sync::{broadcast, mpsc},
    time::interval,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Admin,
    decisions::{Decision, Wanted},
    guard::Caller,
    problem::Problem,
};

/// Streams at once, of all tokens.
const MAX_STREAMS: usize = 64;

/// Streams at once, of one token: it must not keep all others out.
const MAX_STREAMS_PER_TOKEN: usize = 8;

/// Decisions that were missed and come first, at most.
const MAX_CAUGHT_UP: u32 = 1_000;

/// How often a stream looks whether its token is still good, and a sign that it
/// lives when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How many streams are open, by token.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<TokenName, usize>>>);

/// One stream's. Goes with it.
struct Room {
    streams: Streams,
    token: TokenName,
}

impl Streams {
    fn room(&self, token: &TokenName) -> Result<Room, Problem> {
        let mut open = self.0.lock();
        let (own, all) = (open.get(token).copied().unwrap_or_default(), open.values().sum());
        let full = |detail| Err(Problem::too_many(detail, LOOK_EVERY));
        if own >= MAX_STREAMS_PER_TOKEN {
            return full(format!("token {token} has {own} streams open already; close some"));
        }
        if MAX_STREAMS <= all {
            return full(format!("{MAX_STREAMS} streams are open already; close some"));
        }
        open.insert(token.clone(), own + 1);
        Ok(Room { streams: self.clone(), token: token.clone() })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock();
        match open.get_mut(&self.token) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(open.remove(&self.token)),
        }
    }
}

/// Follows from now on, or from after that decision.
pub(super) async fn follow(
    admin: Admin,
    caller: Caller,
    wanted: Wanted,
    after: Option<DecisionId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let room = admin.streams().room(&caller.token)?;
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
    let (reader, live_events) = mpsc::channel(1);
    // A task of its own: it ends on time, though nobody reads.
    tokio::spawn(async move {
        let mut follower = Follower { wanted, live, told, _room: room };
        tokio::select! {
            () = no_longer_let_in(&admin, &caller) => {}
            () = reader.closed() => {}
            () = follower.tell(&reader) => {}
        }
    });
    let live = ReceiverStream::new(live_events).map(Ok);
    let keep_alive = KeepAlive::new().interval(LOOK_EVERY);
    Ok(Sse::new(stream::iter(first).chain(live)).keep_alive(keep_alive))
}

/// Returns when the host stops, or the token is no longer good.
async fn no_longer_let_in(admin: &Admin, caller: &Caller) {
    let mut looks = interval(LOOK_EVERY);
    while admin.is_still_let_in(caller) {
        tokio::select! {
            () = admin.stopped() => return,
            _ = looks.tick() => {}
        }
    }
}

struct Follower {
    wanted: Wanted,
    live: broadcast::Receiver<Arc<CoreDecision>>,
    /// What was told already when the stream began.
    told: HashSet<DecisionId>,
    _room: Room,
}

impl Follower {
    /// Until nobody reads any more.
    async fn tell(&mut self, reader: &mpsc::Sender<Event>) {
        while let Ok(room) = reader.reserve().await {
            let Some(event) = self.next().await else { return };
            room.send(event);
        }
    }

    /// None: nothing is decided any more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.live.recv().await {
                Ok(decision) => {
                    let is_new = !self.told.remove(&decision.id);
                    if is_new && self.wanted.takes(&decision) {
                        return Some(event(&decision));
                    }
                }
                Err(broadcast::error::RecvError::Lagged(dropped)) => {
                    // Counted are everybody's, which is none of the business of who
                    // follows some.
                    let data = match self.wanted.is_everything() {
                        true => json!({ "dropped": dropped }),
                        false => json!({}),
                    };
                    return Some(Event::default().event("dropped").data(data.to_string()));
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
