//! Who changes something takes a turn: between his look at what is in force and his
//! change, no other request changes the same thing.
//!
//! A slow change keeps only those waiting who are about the same, and not for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use reprieve_core::ids::WorkspaceId;
use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard},
    time::timeout,
};

use super::problem::Problem;

/// How long a change waits for the one before it. Shorter than clients wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum About {
    Workspace(WorkspaceId),
    /// Layers lie over each other.
    Settings,
}

/// The turns that are taken or waited for: as many as there are requests at once,
/// at most.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<About, Weak<Turn<()>>>>);

impl Turns {
    /// 503 if the change before it takes too long.
    pub(super) async fn take(&self, about: About) -> Result<OwnedMutexGuard<()>, Problem> {
        let turn = self.of(about);
        timeout(PATIENCE, turn.lock_owned()).await.map_err(|_| {
            Problem::unavailable(format!(
                "another change of the same has not ended within {} s, and nothing was changed; \
                 ask again",
                PATIENCE.as_secs()
            ))
        })
    }

    fn of(&self, about: About) -> Arc<Turn<()>> {
        let mut turns = self.0.lock();
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&about).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::new(()));
        turns.insert(about, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http::{StatusCode, header};

    use super::*;

    fn workspace(name: &str) -> About {
        About::Workspace(name.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_change_keeps_nobody_waiting_who_is_about_something_else() {
        let turns = Turns::default();
        let slow = turns.take(workspace("slow")).await.unwrap();
        assert!(turns.take(workspace("other")).await.is_ok());
        assert!(turns.take(About::Settings).await.is_ok());
        let refused = turns.take(workspace("slow")).await.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
        drop(slow);
        assert!(turns.take(workspace("slow")).await.is_ok(), "its turn has come");
        assert!(turns.0.lock().len() <= 1, "what nobody waits for is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_has_his_turn_when_the_one_before_him_ends() {
        let turns = Turns::default();
        let first = turns.take(About::Settings).await.unwrap();
        let second = turns.take(About::Settings);
        tokio::pin!(second);
        assert!(timeout(PATIENCE / 2, &mut second).await.is_err(), "one at a time");
        drop(first);
        assert!(second.await.is_ok());
    }
}
