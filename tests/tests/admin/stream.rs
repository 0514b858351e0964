//! Decisions as they happen.

use axum::body::Body;
use http_body_util::BodyExt as _;
use reprieve_core::{
    access::Role,
    judgement::ForwardFailure,
    ports::{DecisionFilter, Decisions as _},
};
use serde_json::Value;

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

    desk.stage.store.tokens.revoke(&"stranger".parse().unwrap()).await.unwrap();
    assert_eq!(next(&mut nothing).await, None, "who is let in no more is told no more");
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
    let (kind, data) = next(&mut stream).await.unwrap();
    assert_eq!(kind, "dropped", "{data}");
    assert!(data["dropped"].as_u64().unwrap() >= MANY - 1_024, "{data}");
    let (kind, _) = next(&mut stream).await.unwrap();
    assert_eq!(kind, "decision", "and hears the rest");
}
