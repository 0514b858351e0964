//! What every implementation of a port must hold: one suite a port, written
//! against the trait and run against each implementation; and what only stores
//! on disk promise.
//!
//! A new implementation joins by adding a [`Host`] to [`hosts`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on may say so by panicking"
)]

mod clock;
mod crash;
mod decisions;
mod folder;
mod heartbeats;
mod memory;
mod queue;
mod queue_model;
mod restarts;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use reprieve_core::{
    ids::WorkspaceId,
    ports::Clock,
    time::{Millis, UnixMillis},
};
use reprieve_server::store::{Store, StoreOptions};

/// Small, so that a full queue is quickly made.
const CAPACITY: u32 = 8;

/// A clock that moves when it is told to.
#[derive(Debug)]
struct TestClock(AtomicU64);

impl TestClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_000_000_000)))
    }

    fn advance(&self, by: Millis) {
        self.0.fetch_add(by.0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// One implementation of every port, fresh.
struct Host {
    name: &'static str,
    store: Store,
    clock: Arc<TestClock>,
    /// Removed with the host.
    _folder: Option<tempfile::TempDir>,
}

impl Host {
    fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}

async fn hosts() -> [Host; 2] {
    let options = StoreOptions { queue_capacity: CAPACITY, ..StoreOptions::default() };
    let (clock, other_clock) = (TestClock::new(), TestClock::new());
    let folder = tempfile::tempdir().unwrap();
    let on_disk = Store::open(folder.path(), options, clock.clone()).await.unwrap();
    let in_memory = Store::in_memory(options, other_clock.clone()).await.unwrap();
    [
        Host { name: "on disk", store: on_disk, clock, _folder: Some(folder) },
        Host { name: "in memory", store: in_memory, clock: other_clock, _folder: None },
    ]
}

fn workspace(name: &str) -> WorkspaceId {
    name.parse().unwrap()
}

/// Runs each fact of a suite against each implementation of its port.
macro_rules! suite {
    ($port:ident: $($fact:ident),+ $(,)?) => {
        mod suite {
            $(
                #[tokio::test]
                async fn $fact() {
                    for host in crate::hosts().await {
                        println!("{}", host.name);
                        super::$fact(&*host.store.$port, &host).await;
                    }
                }
            )+
        }
    };
}
use suite;
