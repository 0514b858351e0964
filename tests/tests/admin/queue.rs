//! What waits for a workspace, and what operators do with it.

use http::StatusCode;
use reprieve_core::{ports::Queue as _, queue::MAX_ATTEMPTS};
use reprieve_tests::ws;
use serde_json::{Value, json};

use crate::desk::{Desk, HOSTS_OWN, TENANT};

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
        ("for a terminal", "sent\u{1b}[2Jtwice", StatusCode::UNPROCESSABLE_ENTITY),
        ("two lines", "sent\ntwice", StatusCode::UNPROCESSABLE_ENTITY),
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

#[tokio::test(start_paused = true)]
async fn who_asks_to_deliver_again_gives_all_attempts_again() {
    let desk = Desk::set().await;
    // So that nobody but this test takes anything.
    desk.post("/workspaces/ws-1/pause", HOSTS_OWN, &Value::Null).await;
    let item = desk.stage.queue(1, "m-1").await.id;
    let (queue, workspace) = (desk.stage.store.queue.clone(), ws(1));
    let attempts = || async {
        let shown = desk.get(&format!("{QUEUE}/{item}"), HOSTS_OWN).await.body;
        (shown["stage"].clone(), shown["attempts"].clone())
    };
    for _ in 1..MAX_ATTEMPTS {
        let taken = queue.take(&workspace, desk.now()).await.unwrap().unwrap();
        queue.put_back(&taken.id, "connection refused").await.unwrap();
    }
    assert_eq!(attempts().await, (json!("waiting"), json!(MAX_ATTEMPTS - 1)));
    let retried = desk.post(&format!("{QUEUE}/retry"), HOSTS_OWN, &Value::Null).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{}", retried.body);
    assert_eq!(attempts().await, (json!("waiting"), json!(0)), "one more would have been the last");
}

#[tokio::test(start_paused = true)]
async fn a_request_on_record_says_whose_it_is() {
    let desk = Desk::set().await;
    let item = desk.stage.queue(1, "m-1").await.id;
    let shown = desk.get(&format!("{QUEUE}/{item}"), HOSTS_OWN).await.body;
    let listed = desk.get(QUEUE, HOSTS_OWN).await.body["items"][0].clone();
    for item in [shown, listed] {
        assert_eq!((&item["workspace"], &item["tenant"]), (&json!("ws-1"), &json!(TENANT)));
    }
}
