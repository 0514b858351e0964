//! What waits for a workspace, and what operators do with it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::desk::{Desk, HOSTS_OWN};

const QUEUE: &str = "/workspaces/ws-1/queue";

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_dropped_once_with_its_reason() {
    let desk = Desk::set().await;
    let item = desk.stage.queue(1, "m-1").await.id;
    let listed = desk.get(QUEUE, HOSTS_OWN).await.body;
    assert_eq!(listed["items"][0]["id"], item.0, "{listed}");
    assert_eq!(listed["items"][0]["stage"], "waiting", "{listed}");

    let path = format!("{QUEUE}/{item}/drop");
    for (case, reason, expected) in [
        ("no reason", " ", StatusCode::UNPROCESSABLE_ENTITY),
        ("a reason", "sent twice", StatusCode::OK),
        ("again", "another reason", StatusCode::OK),
    ] {
        let answer = desk.post(&path, HOSTS_OWN, &json!({"reason": reason})).await;
        assert_eq!(answer.status, expected, "{case}: {}", answer.body);
    }
    let ended = desk.get(&format!("{QUEUE}/{item}"), HOSTS_OWN).await.body;
    assert_eq!(ended["drop_reason"], "sent twice", "the first ending stands: {ended}");
    let record = desk.get("/audit", HOSTS_OWN).await.body;
    assert_eq!(record["entries"][1]["detail"], "sent twice", "{record}");
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_cannot_be_dropped() {
    let desk = Desk::set().await;
    let item = desk.stage.queue(1, "m-1").await.id;
    let retried = desk.post(&format!("{QUEUE}/retry"), HOSTS_OWN, &Value::Null).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED);
    desk.pass(reprieve_core::time::Millis::from_secs(1)).await;
    let shown = desk.get(&format!("{QUEUE}/{item}"), HOSTS_OWN).await.body;
    assert_eq!(shown["stage"], "delivered", "long before its next heartbeat: {shown}");
    let path = format!("{QUEUE}/{item}/drop");
    let answer = desk.post(&path, HOSTS_OWN, &json!({"reason": "too late"})).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
}
