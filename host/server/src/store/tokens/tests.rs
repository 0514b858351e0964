//! What becomes of tokens that end, with a disk that fails and clocks that lie.

use std::sync::atomic::{AtomicU64, Ordering};

use reprieve_core::{
    access::{Role, Tenants},
    ports::Clock,
};

use super::*;
use crate::store::{Store, StoreOptions};

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

const START: UnixMillis = UnixMillis(1_000_000);
const LIFETIME: Millis = Millis::from_secs(60);

fn record(name: &str, maker: &str, at: UnixMillis, expires: Option<UnixMillis>) -> TokenRecord {
    TokenRecord {
        name: name.parse().unwrap(),
        grant: Grant { role: Role::Viewer, tenants: Tenants::All },
        created: at,
        created_by: maker.parse().unwrap(),
        expires,
        last_used: None,
    }
}

async fn open(folder: &std::path::Path, now: UnixMillis) -> Store {
    let clock = Arc::new(TestClock(AtomicU64::new(now.0)));
    Store::open(folder, StoreOptions::default(), clock).await.unwrap()
}

async fn make(tokens: &TokenStore, record: TokenRecord) -> Result<TokenDigest, TokenNotCreated> {
    let digest = TokenDigest::of(record.name.as_str());
    tokens.create(record, digest).await.map(|()| digest)
}

#[tokio::test]
async fn a_clock_that_is_set_back_between_two_runs_makes_no_expired_token_good() {
    let folder = tempfile::tempdir().unwrap();
    let (end, after) = (START + LIFETIME, START + LIFETIME + LIFETIME);
    let store = open(folder.path(), START).await;
    let ends = make(&store.tokens, record("ends", "admin", START, Some(end))).await.unwrap();
    let stays = make(&store.tokens, record("stays", "admin", START, None)).await.unwrap();
    let later = make(&store.tokens, record("later", "admin", START, Some(after + LIFETIME)));
    let later = later.await.unwrap();
    store.tokens.tidy_up(after).await.unwrap();
    assert!(store.tokens.find(&ends).is_some(), "this run can still tell that it has expired");
    store.close().await.unwrap();

    let store = open(folder.path(), START).await;
    assert_eq!(store.tokens.find(&ends), None, "whatever the clock says");
    assert!(store.tokens.find(&stays).is_some() && store.tokens.find(&later).is_some());
    assert_eq!(store.tokens.list().len(), 3, "it is still listed");
    let named = "ends".parse().unwrap();
    let (_, digest) = store.tokens.get(&named).unwrap();
    assert_eq!(store.tokens.revoke(&named, digest).await, Ok(true), "and can be revoked");
    assert_eq!(store.tokens.list().len(), 2);
}

#[tokio::test]
async fn an_expired_token_is_listed_for_a_week_and_then_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), START).await;
    let end = START + LIFETIME;
    make(&store.tokens, record("ends", "admin", START, Some(end))).await.unwrap();
    make(&store.tokens, record("stays", "admin", START, None)).await.unwrap();
    let names = |store: &Store| -> Vec<String> {
        store.tokens.list().into_iter().map(|token| token.name.to_string()).collect()
    };
    for (case, now, expected) in [
        ("just expired", end, &["ends", "stays"][..]),
        ("for nearly a week", UnixMillis((end + LISTED_AFTER_END).0 - 1), &["ends", "stays"]),
        ("for a week", end + LISTED_AFTER_END, &["stays"]),
    ] {
        store.tokens.tidy_up(now).await.unwrap();
        assert_eq!(names(&store), expected, "{case}");
    }
    store.close().await.unwrap();
    assert_eq!(names(&open(folder.path(), START).await), ["stays"], "on disk, too");
}

#[tokio::test]
async fn whoever_makes_tokens_in_a_loop_leaves_room_for_others() {
    let store = Store::in_memory(StoreOptions::default(), Arc::new(TestClock::default()));
    let store = store.await.unwrap();
    let end = START + LIFETIME;
    for number in 0..MAX_TOKENS_PER_MAKER {
        let one = record(&format!("a-{number}"), "loop", START, Some(end));
        make(&store.tokens, one).await.unwrap();
    }
    let refused = make(&store.tokens, record("more", "loop", START, None)).await.unwrap_err();
    assert!(refused.to_string().contains("token loop has made 100"), "{refused}");
    assert!(make(&store.tokens, record("more", "another", START, None)).await.is_ok());
    let later = make(&store.tokens, record("later", "loop", end, None)).await;
    assert!(later.is_ok(), "those that have expired do not count: {later:?}");
}

#[tokio::test]
async fn expired_tokens_make_room_when_there_is_none() {
    let store = Store::in_memory(StoreOptions::default(), Arc::new(TestClock::default()));
    let store = store.await.unwrap();
    let end = START + LIFETIME;
    let mut expired = Vec::new();
    for number in 0..MAX_TOKENS {
        let maker = format!("maker-{}", number / MAX_TOKENS_PER_MAKER);
        let expires = (number % 2 == 0).then_some(end);
        let one = record(&format!("a-{number}"), &maker, START, expires);
        let made = make(&store.tokens, one).await.unwrap();
        expired.extend(expires.map(|_| made));
    }
    let full = make(&store.tokens, record("more", "another", START, None)).await;
    assert_eq!(full, Err(TokenNotCreated::TooMany));
    assert!(make(&store.tokens, record("more", "another", end, None)).await.is_ok());
    assert_eq!(store.tokens.list().len(), MAX_TOKENS / 2 + 1);
    assert!(expired.iter().all(|digest| store.tokens.find(digest).is_none()));
}

#[tokio::test]
async fn a_token_is_good_for_nothing_once_it_is_revoked_though_the_disk_fails() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), START).await;
    let revoked = make(&store.tokens, record("a", "admin", START, None)).await.unwrap();
    let named = "a".parse().unwrap();
    store.tokens.writer.stop().await;
    for attempt in ["once", "again, as the answer says"] {
        let fault = store.tokens.revoke(&named, revoked).await;
        assert_eq!(fault, Err(StoreFault::Unavailable), "{attempt}");
        assert_eq!(store.tokens.find(&revoked), None, "{attempt}");
    }
    assert_eq!(store.tokens.list(), []);
    drop(store);
    let store = open(folder.path(), START).await;
    assert!(store.tokens.find(&revoked).is_some(), "it was still on disk");
}
