//! Decisions as they happen.

use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt as _;
use reprieve_core::{
    access::Role,
    judgement::ForwardFailure,
    ports::{DecisionFilter, Decisions as _},
    time::Millis,
};
use serde_json::{Value, json};

use crate::desk::{Desk, HOSTS_OWN, TENANT};

/// More than a slow reader may lag behind.
const MANY: u64 = 1_100;

/// The next event that is none to keep the connection alive. None: the stream
/// has ended.
async fn next(stream: &mut Body) -> Option<(String, Value)> {
    loop {
        let frame = stream.frame().await?.unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
        };
        if let (Some(kind), Some(data)) = (field("event:"), field("data:")) {
            return Some((kind, serde_json::from_str(&data).unwrap()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_hears_what_is_decided_about_his_workspaces() {
    let desk = Desk::set().await;
    let owner = desk.token("owner", Role::Viewer, &[TENANT]).await;
    let stranger = desk.token("stranger", Role::Viewer, &["globex"]).await;
    let mut heard = desk.stream("/decisions/stream", &owner).await;
    let mut nothing = desk.stream("/decisions/stream?tenant=acme", &stranger).await;
    desk.stage.fail(1, ForwardFailure::Refused).await;
    let (kind, decision) = next(&mut heard).await.unwrap();
    assert_eq!((kind.as_str(), &decision["workspace"]), ("decision", &Value::from("ws-1")));
    assert_eq!(decision["record"]["id"], decision["id"], "the whole record is with it");

    desk.revoke("stranger").await;
    assert_eq!(next(&mut nothing).await, None, "who is let in no more is told no more");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_though_another_has_the_name() {
    let desk = Desk::set().await;
    let wanted = json!({"name": "a", "role": "viewer"});
    let made = desk.post("/tokens", HOSTS_OWN, &wanted).await.body;
    let mut old = desk.stream("/decisions/stream", made["token"].as_str().unwrap()).await;
    let named = "a".parse().unwrap();
    let (_, digest) = desk.stage.store.tokens.get(&named).unwrap();
    desk.revoke("a").await;
    let made = desk.post("/tokens", HOSTS_OWN, &wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(next(&mut old).await, None, "it was let in with a token that is no more");

    let revoked = desk.stage.store.tokens.revoke(&named, digest).await;
    assert_eq!(revoked, Ok(false), "who revokes the old one does not hit the new one");
    assert!(desk.stage.store.tokens.get(&named).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_hears_what_he_missed_first() {
    let desk = Desk::set().await;
    let newest = DecisionFilter { limit: 1, ..DecisionFilter::default() };
    let seen = desk.stage.store.decisions.list(&newest).await.unwrap().remove(0);
    desk.stage.fail(1, ForwardFailure::Refused).await;
    let missed = desk.stage.store.decisions.list(&newest).await.unwrap().remove(0);
    let mut stream = desk.stream(&format!("/decisions/stream?after={}", seen.id), HOSTS_OWN).await;
    let (_, first) = next(&mut stream).await.unwrap();
    assert_eq!(first["id"], missed.id.0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_slow_is_told_how_many_it_missed() {
    let desk = Desk::set().await;
    let mut stream = desk.stream("/decisions/stream", HOSTS_OWN).await;
    for _ in 0..MANY {
        desk.stage.fail(1, ForwardFailure::Refused).await;
    }
    let (kind, first) = next(&mut stream).await.unwrap();
    assert_eq!(kind, "decision", "it lay ready: {first}");
    let (kind, data) = next(&mut stream).await.unwrap();
    assert_eq!(kind, "dropped", "{data}");
    assert!(data["dropped"].as_u64().unwrap() >= MANY - 1 - 1_024, "{data}");
    let (kind, _) = next(&mut stream).await.unwrap();
    assert_eq!(kind, "decision", "and hears the rest");
}

#[tokio::test(start_paused = true)]
async fn how_many_everybody_missed_is_told_to_who_follows_all_and_nobody_else() {
    let desk = Desk::set().await;
    let owner = desk.token("owner", Role::Viewer, &[TENANT]).await;
    for (case, path, token, counts) in [
        ("all", "/decisions/stream", HOSTS_OWN, true),
        ("one workspace", "/decisions/stream?workspace=ws-1", HOSTS_OWN, false),
        ("a token of one tenant", "/decisions/stream", &*owner, false),
    ] {
        let mut stream = desk.stream(path, token).await;
        for _ in 0..MANY {
            desk.stage.fail(1, ForwardFailure::Refused).await;
        }
        let (mut kind, mut data) = next(&mut stream).await.unwrap();
        while kind == "decision" {
            (kind, data) = next(&mut stream).await.unwrap();
        }
        assert_eq!(
            (kind.as_str(), data["dropped"].is_u64()),
            ("dropped", counts),
            "{case}: {data}"
        );
    }
}

/// Streams that one token may have open.
const MAX_OPEN: usize = 8;

#[tokio::test(start_paused = true)]
async fn one_token_does_not_keep_all_others_from_following() {
    let desk = Desk::set().await;
    let [one, another] = [desk.token("one", Role::Viewer, &[]).await, HOSTS_OWN.to_owned()];
    let path = "/decisions/stream";
    let mut open = Vec::new();
    for _ in 0..MAX_OPEN {
        open.push(desk.stream(path, &one).await);
    }
    let refused = desk.get(path, &one).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);
    drop(desk.stream(path, &another).await);
    open.pop();
    desk.pass(Millis(1)).await;
    open.push(desk.stream(path, &one).await);
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_is_let_go_when_his_token_is() {
    let desk = Desk::set().await;
    let token = desk.token("a", Role::Viewer, &[]).await;
    let mut unread = Vec::new();
    for _ in 0..MAX_OPEN {
        unread.push(desk.stream("/decisions/stream", &token).await);
    }
    desk.revoke("a").await;
    desk.pass(Millis::from_secs(15)).await;
    let token = desk.token("a", Role::Viewer, &[]).await;
    drop(desk.stream("/decisions/stream", &token).await);
    drop(unread);
}
