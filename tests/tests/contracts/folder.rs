//! What a store on disk promises: it comes back as it was, is one host's alone,
//! and says clearly why it does not open.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use reprieve_core::{
    ids::{LifeId, Revision},
    judgement::RestartCause,
    ports::{Clock, DecisionFilter, Decisions, Heartbeats, Memory, Queue, Restarts},
    queue::{Priority, Stage},
    time::Millis,
};
use reprieve_server::store::{
    DATABASE, DecisionReader, HOUSEKEEPING_INTERVAL, Retention, Store, StoreOpenFailure,
    StoreOptions,
};

use crate::{TestClock, decisions::decision, queue::new_item, workspace};

async fn open(folder: &Path) -> Result<Store, StoreOpenFailure> {
    Store::open(folder, StoreOptions::default(), TestClock::new()).await
}

/// What a person reads when the store does not open.
async fn refusal(folder: &Path) -> String {
    open(folder).await.expect_err("it must not open").to_string()
}

/// Virtual time goes on until the store has kept house at least once. Time
/// stands still while the disk is waited for.
async fn housekeeping() {
    let mut rounds = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    for _ in 0..3 {
        rounds.tick().await;
    }
}

#[tokio::test]
async fn everything_comes_back_as_it_was() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), TestClock::new());
    let (of, options, now) = (workspace("ws"), StoreOptions::default(), clock.now());
    let store = Store::open(folder.path(), options, clock.clone()).await.unwrap();
    let id = store.queue.accept(new_item("ws", "m", Priority::TASK), now).await.unwrap().id;
    store.queue.take(&of, now).await.unwrap().unwrap();
    for life in [0, 1] {
        let dead = RestartCause::DeadVerdict;
        store.restarts.begin(&of, LifeId(life), dead, Revision(9), now).await.unwrap();
        if life == 0 {
            store.restarts.finish(&of, LifeId(1)).await.unwrap();
        }
    }
    store.memory.write(&of, vec![4, 2], now).await.unwrap();
    store.heartbeats.beat(&of, LifeId(2), now);
    store.heartbeats.contact(&of, LifeId(1), now);
    store.workspaces.save(&of, "its record").await.unwrap();
    store.decisions.record(decision(1, "ws", now)).await;
    let (signs, restarts) = (store.heartbeats.at_hand(&of), store.restarts.at_hand(&of).unwrap());
    store.close().await.unwrap();

    let store = Store::open(folder.path(), options, clock.clone()).await.unwrap();
    let item = store.queue.get(&id).await.unwrap().unwrap();
    assert_eq!((item.stage, item.attempts), (Stage::Waiting, 1), "the delivery died with its host");
    assert_eq!(store.interrupted(), [(of.clone(), LifeId(2))]);
    let expected = reprieve_core::ports::RestartHistory { in_flight: false, ..restarts };
    assert_eq!(store.restarts.at_hand(&of), Some(expected));
    assert_eq!(store.memory.fetch(&of, now).await.unwrap().unwrap().bytes, [4, 2]);
    assert_eq!(store.heartbeats.at_hand(&of), signs);
    let record: Option<String> = store.workspaces.load(&of).await.unwrap();
    assert_eq!(record.as_deref(), Some("its record"));
    let found = store.decisions.get(&decision(1, "ws", now).id).await;
    assert_eq!(found, Ok(Some(decision(1, "ws", now))));
}

#[tokio::test]
async fn a_forgotten_workspace_leaves_only_its_past() {
    let (clock, of) = (TestClock::new(), workspace("ws"));
    let store = Store::in_memory(StoreOptions::default(), clock.clone()).await.unwrap();
    let now = clock.now();
    let id = store.queue.accept(new_item("ws", "m", Priority::TASK), now).await.unwrap().id;
    let dead = RestartCause::DeadVerdict;
    store.restarts.begin(&of, LifeId(0), dead, Revision(0), now).await.unwrap();
    store.memory.write(&of, vec![1], now).await.unwrap();
    store.heartbeats.beat(&of, LifeId(1), now);
    store.workspaces.save(&of, "its record").await.unwrap();
    store.forget(&of).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.memory.fetch(&of, now).await, Ok(None));
    assert_eq!(store.heartbeats.at_hand(&of), Some(Default::default()));
    assert_eq!(store.workspaces.load_all::<String>().await, Ok(vec![]));
    let item = store.queue.get(&id).await.unwrap().unwrap();
    assert!(matches!(item.stage, Stage::Ended { .. }), "{:?}", item.stage);
    assert_eq!(store.restarts.at_hand(&of).unwrap().life, LifeId(1));
}

#[tokio::test(start_paused = true)]
async fn beats_are_written_down_every_so_often() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), TestClock::new());
    let store = Store::open(folder.path(), StoreOptions::default(), clock.clone()).await.unwrap();
    store.heartbeats.beat(&workspace("ws"), LifeId(0), clock.now());
    housekeeping().await;
    let beside = rusqlite::Connection::open(folder.path().join(DATABASE)).unwrap();
    let rows: u32 = beside.query_row("SELECT count(*) FROM signs", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test(start_paused = true)]
async fn an_item_stays_on_record_for_a_day_after_its_end() {
    let clock = TestClock::new();
    let store = Store::in_memory(StoreOptions::default(), clock.clone()).await.unwrap();
    let new = new_item("ws", "m", Priority::TASK);
    let id = store.queue.accept(new.clone(), clock.now()).await.unwrap().id;
    store.queue.drop_all(&workspace("ws"), "operator").await.unwrap();
    for (case, later, known) in [
        ("at the end of the day", reprieve_core::queue::KEEP_ENDED, true),
        ("after it", Millis(1), false),
    ] {
        clock.advance(later);
        housekeeping().await;
        assert_eq!(store.queue.get(&id).await.unwrap().is_some(), known, "{case}");
    }
    assert!(!store.queue.accept(new, clock.now()).await.unwrap().repeated);
}

#[tokio::test(start_paused = true)]
async fn old_decisions_are_removed() {
    let clock = TestClock::new();
    let store = Store::in_memory(StoreOptions::default(), clock.clone()).await.unwrap();
    clock.advance(Millis::from_secs(30 * 24 * 3_600));
    let old = decision(1, "ws", clock.now());
    store.decisions.record(old.clone()).await;
    clock.advance(Millis::from_secs(15 * 24 * 3_600));
    let young = decision(2, "ws", clock.now());
    store.decisions.record(young.clone()).await;
    assert_eq!(store.decisions.get(&old.id).await, Ok(None));
    assert_eq!(store.decisions.get(&young.id).await, Ok(Some(young)));
}

#[tokio::test]
async fn only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let store = open(&state).await.unwrap();
    store.memory.write(&workspace("ws"), vec![1], Default::default()).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for file in fs::read_dir(&state).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_folder_is_one_hosts_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let clone = store.clone();
    let refused = refusal(folder.path()).await;
    for part in [folder.path().to_str().unwrap(), &std::process::id().to_string(), "state_dir"] {
        assert!(refused.contains(part), "{refused:?} names {part:?}");
    }
    store.close().await.unwrap();
    open(folder.path()).await.expect("it was let go, though a clone is still there");
    let late = clone.memory.write(&workspace("ws"), vec![1], Default::default()).await;
    assert!(late.is_err(), "a closed store takes nothing any more");
    assert_eq!(clone.health().faults, 1);
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_left_alone() {
    let foreign = {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foreign.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(connection);
        fs::read(path).unwrap()
    };
    let text = b"this is a shopping list, and quite a long one at that".repeat(100);
    for (case, bytes) in [("text", text), ("someone else's", foreign)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE);
        fs::write(&path, &bytes).unwrap();
        let refused = refusal(folder.path()).await;
        assert!(refused.contains(path.to_str().unwrap()), "{case}: {refused}");
        assert!(refused.contains("is not a database of Reprieve"), "{case}: {refused}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{case}: untouched");
    }
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap().close().await.unwrap();
    let path = folder.path().join(DATABASE);
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let refused = refusal(folder.path()).await;
    assert!(refused.contains("has format 99"), "{refused}");
    let refused = DecisionReader::open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("has format 99"), "{refused}");
}

#[tokio::test]
async fn an_older_database_is_not_read_beside_its_host() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap().close().await.unwrap();
    let older = rusqlite::Connection::open(folder.path().join(DATABASE)).unwrap();
    older.pragma_update(None, "user_version", 1).unwrap();
    drop(older);
    let refused = DecisionReader::open(folder.path()).unwrap_err().to_string();
    assert!(
        refused.contains("has format 1,") && refused.contains("start a host of this version"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    // Permissions do not stop root, so the path leads through a file.
    let file = tempfile::NamedTempFile::new().unwrap();
    let state = file.path().join("state");
    let refused = refusal(&state).await;
    assert!(refused.contains(state.to_str().unwrap()), "{refused}");
    assert!(refused.contains("state_dir"), "{refused}");
}

#[tokio::test]
async fn decisions_can_be_read_beside_a_running_host_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = DecisionReader::open(folder.path()).unwrap_err().to_string();
    assert!(missing.contains("there is no database"), "{missing}");
    let (clock, all) = (TestClock::new(), DecisionFilter { limit: 9, ..Default::default() });
    let store = Store::open(folder.path(), StoreOptions::default(), clock.clone()).await.unwrap();
    let recorded = decision(1, "ws", clock.now());
    store.decisions.record(recorded.clone()).await;
    store.flush().await.unwrap();
    let beside = DecisionReader::open(folder.path()).unwrap();
    assert_eq!(beside.list(&all).unwrap(), std::slice::from_ref(&recorded));
    store.decisions.record(decision(2, "ws", clock.now())).await;
    store.flush().await.unwrap();
    assert_eq!(beside.list(&all).unwrap().len(), 2, "it follows");
    drop(beside);
    store.close().await.unwrap();
    let after = DecisionReader::open(folder.path()).unwrap();
    assert_eq!(after.get(&recorded.id).unwrap(), Some(recorded));
}

#[tokio::test]
async fn a_failed_write_takes_no_other_with_it() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), TestClock::new());
    let store = Store::open(folder.path(), StoreOptions::default(), clock.clone()).await.unwrap();
    let store = Arc::new(store);
    let writes = (0..64u32).map(|number| {
        let (store, now) = (Arc::clone(&store), clock.now());
        // Every second note is too large for the table.
        let size = if number % 2 == 0 { 8 } else { 4_096 };
        async move {
            let of = workspace(&format!("ws-{number}"));
            (size, store.memory.write(&of, vec![1; size], now).await)
        }
    });
    for (size, written) in futures::future::join_all(writes).await {
        assert_eq!(written.is_ok(), size == 8, "{size} bytes");
    }
    assert_eq!(store.health().faults, 32);
}

#[tokio::test]
async fn the_log_keeps_the_newest_decisions_and_no_old_ones() {
    let clock = TestClock::new();
    let retention = Retention { newest: 3, max_age: Millis::from_secs(60) };
    let options = StoreOptions { retention, ..StoreOptions::default() };
    let store = Store::in_memory(options, clock.clone()).await.unwrap();
    let all = DecisionFilter { limit: 100, ..DecisionFilter::default() };
    for number in 0..6 {
        store.decisions.record(decision(number, "ws", clock.now())).await;
        store.flush().await.unwrap();
    }
    let kept = store.decisions.list(&all).await.unwrap();
    let kept: Vec<&str> = kept.iter().map(|decision| &*decision.id.0).collect();
    assert_eq!(kept, ["d-0003", "d-0004", "d-0005"], "the newest three");

    clock.advance(Millis::from_secs(61));
    store.decisions.record(decision(6, "ws", clock.now())).await;
    store.flush().await.unwrap();
    let kept = store.decisions.list(&all).await.unwrap();
    assert_eq!(kept.len(), 1, "the others are too old");
}
