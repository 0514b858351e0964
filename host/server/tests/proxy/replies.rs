//! What callers are told when their requests could not simply be forwarded.

use axum::body::Body;
use http::{Method, StatusCode};
use reprieve_core::{
    decision::Finding,
    ids::DecisionId,
    queue::{Ending, Priority, Stage, StoredAnswer},
    time::{Millis, UnixMillis},
};
use reprieve_server::proxy::ProxyOptions;
use serde_json::json;

use crate::world::{Asked, World, message, raw, read_request};

const BUSY: Finding = Finding::Busy { retry_after: Millis::from_secs(7) };
const RESTARTING: Finding = Finding::Restarting { retry_after: Millis::from_secs(9) };

/// In front of a workspace that closes every connection unanswered.
async fn failing(options: ProxyOptions) -> World {
    let address = raw(|mut stream| async move {
        read_request(&mut stream).await;
    })
    .await;
    World::with(address, options).await
}

#[tokio::test]
async fn an_a2a_request_that_fails_is_answered_as_it_was_found() {
    for (case, finding, queues_for_itself, queue_on_dead, full, status, mark, retry_after) in [
        ("busy", BUSY, false, false, false, 202, "queued", "7"),
        ("alive and closed early", Finding::Alive, false, false, false, 202, "queued", "30"),
        ("queues for itself", Finding::Alive, true, false, false, 503, "busy", "30"),
        ("the queue is full", BUSY, false, false, true, 503, "busy", "7"),
        ("dead", RESTARTING, false, false, false, 503, "restarting", "9"),
        ("dead, and queued", RESTARTING, false, true, false, 202, "queued", "9"),
    ] {
        let world = failing(ProxyOptions { queue_on_dead, ..ProxyOptions::default() }).await;
        *world.fleet.finding.lock() = finding;
        *world.fleet.queue_is_full.lock() = full;
        world.fleet.route.lock().queues_for_itself = queues_for_itself;
        let answer = world.post("/workspaces/ws-1/a2a", message("m-1")).await;
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        assert_eq!(answer.json()[mark], true, "{case}: {answer:?}");
        assert_eq!(answer.json()["retry_after"].to_string(), retry_after, "{case}");
        assert_eq!(answer.header("retry-after"), Some(retry_after), "{case}");
        assert_eq!(answer.header("reprieve-decision"), Some("decision-1"), "{case}");
    }
}

#[tokio::test]
async fn a_transparent_request_is_never_queued() {
    for (case, finding, status, mark) in [
        ("busy", BUSY, 503, Some("busy")),
        ("dead", RESTARTING, 503, Some("restarting")),
        ("alive", Finding::Alive, 502, None),
    ] {
        let options = ProxyOptions { queue_on_dead: true, ..ProxyOptions::default() };
        let world = failing(options).await;
        *world.fleet.finding.lock() = finding;
        let answer = world.get("/workspaces/ws-1/x").await;
        assert_eq!(answer.status, status, "{case}");
        if let Some(mark) = mark {
            assert_eq!(answer.json()[mark], true, "{case}");
            assert!(answer.header("retry-after").is_some(), "{case}");
        }
        assert!(world.fleet.items.lock().is_empty(), "{case}");
    }
}

#[tokio::test]
async fn the_caller_of_a_202_finds_its_answer() {
    let world = failing(ProxyOptions::default()).await;
    let request = world
        .request(Method::POST, "/workspaces/ws-1/a2a")
        .header("reprieve-priority", "critical")
        .header("a2a-version", "1.0")
        .body(Body::from(message("m-1")))
        .unwrap();
    let answer = world.read(request).await;
    assert_eq!(
        answer.json(),
        json!({"queued": true, "queue_id": "q-1", "queue_depth": 1, "retry_after": 30})
    );
    let place = answer.header("location").unwrap().to_owned();
    assert_eq!(place, "/workspaces/ws-1/queue/q-1");
    {
        let items = world.fleet.items.lock();
        let item = &items["q-1"];
        assert_eq!(item.message_id, "m-1");
        assert_eq!(item.priority, Priority::CRITICAL);
        assert_eq!(item.decision, Some(DecisionId("decision-1".into())));
        assert_eq!(item.request.body, message("m-1").into_bytes());
        assert!(item.request.headers.contains(&("a2a-version".into(), b"1.0".to_vec())));
    }
    let again = world.post("/workspaces/ws-1/a2a", message("m-1")).await;
    assert_eq!(again.json()["queue_id"], "q-1", "the message id makes it the same request");

    let waiting = world.get(&place).await.json();
    assert_eq!(waiting["state"], "waiting");
    let none_yet = world.get(&format!("{place}/answer")).await;
    assert_eq!(none_yet.status, StatusCode::CONFLICT);
    assert!(none_yet.header("retry-after").is_some());

    end(
        &world,
        Ending::Delivered(StoredAnswer {
            status: 201,
            headers: vec![("content-type".into(), b"application/json".to_vec())],
            body: br#"{"result":1}"#.to_vec(),
        }),
    );
    let delivered = world.get(&place).await.json();
    assert_eq!(delivered["state"], "delivered");
    assert_eq!(delivered["answer"], json!({"status": 201, "body": {"result": 1}}));
    let as_it_came = world.get(&format!("{place}/answer")).await;
    assert_eq!(as_it_came.status, 201);
    assert_eq!(as_it_came.header("content-type"), Some("application/json"));
    assert_eq!(as_it_came.body, r#"{"result":1}"#);

    end(&world, Ending::Dropped { reason: "stale".into() });
    let dropped = world.get(&place).await.json();
    assert_eq!((&dropped["state"], &dropped["reason"]), (&json!("dropped"), &json!("stale")));
    assert_eq!(world.get(&format!("{place}/answer")).await.status, StatusCode::GONE);
}

fn end(world: &World, ending: Ending) {
    let mut items = world.fleet.items.lock();
    items.get_mut("q-1").unwrap().stage = Stage::Ended { at: UnixMillis(2), ending };
}

#[tokio::test]
async fn a_queued_request_is_shown_to_its_own_workspace_alone() {
    let world = failing(ProxyOptions::default()).await;
    world.post("/workspaces/ws-1/a2a", message("m-1")).await;
    let long = "q".repeat(65);
    for path in [
        "/workspaces/ws-2/queue/q-1",
        "/workspaces/ws-1/queue/q-2",
        "/workspaces/ws-1/queue/",
        "/workspaces/ws-1/queue",
        "/workspaces/ws-1/queue/q-1/other",
        &format!("/workspaces/ws-1/queue/{long}"),
    ] {
        assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_state_of_a_workspace_answers_before_any_forward() {
    for (state, a2a_status, status, mark) in [
        ("paused", 503, 503, "paused"),
        ("hibernated", 503, 503, "waking"),
        ("hibernating", 503, 503, "waking"),
        ("removed", 410, 410, "removed"),
        ("provisioning", 202, 503, "busy"),
    ] {
        let mut world = World::before(None).await;
        world.fleet.route.lock().state = serde_json::from_value(json!(state)).unwrap();
        let a2a = world.post("/workspaces/ws-1/a2a", message("m-1")).await;
        assert_eq!(a2a.status, a2a_status, "{state}: {a2a:?}");
        if mark == "waking" {
            assert_eq!(a2a.header("retry-after"), Some("15"), "{state}");
            assert_eq!(world.next_asked().await, Asked::Woken, "{state}");
        }
        let answer = world.get("/workspaces/ws-1/x").await;
        assert_eq!(answer.status, status, "{state}");
        assert_eq!(answer.json()[mark], true, "{state}");
    }
}

#[tokio::test]
async fn a_preflight_check_spares_the_forward() {
    for (case, finding, status) in [("busy", BUSY, 202), ("dead", RESTARTING, 503)] {
        let mut world = failing(ProxyOptions::default()).await;
        *world.fleet.preflight.lock() = Some(finding);
        let answer = world.post("/workspaces/ws-1/a2a", message("m-1")).await;
        assert_eq!(answer.status, status, "{case}");
        assert_eq!(answer.header("reprieve-decision"), Some("decision-1"), "{case}");
        assert!(world.asked.try_recv().is_err(), "{case}: nothing was forwarded");
    }
    let mut world = failing(ProxyOptions::default()).await;
    *world.fleet.preflight.lock() = Some(Finding::Alive);
    world.get("/workspaces/ws-1/x").await;
    assert!(matches!(world.next_asked().await, Asked::Failed(_)), "alive: it was forwarded");
}
