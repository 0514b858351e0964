//! What is asked of workspaces, and what of it is on record.

use futures::FutureExt as _;
use http::{Method, StatusCode, header};
use reprieve_core::{
    access::Role,
    incident::{Standing, Wish},
    judgement::RestartCause,
    time::Millis,
};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, HOSTS_OWN, TENANT};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn stand(desk: &Desk, if_match: Option<&str>, standing: &str) -> Answer {
    let mut headers = vec![JSON];
    headers.extend(if_match.map(|tag| ("if-match", tag)));
    let body = json!({"standing": standing}).to_string();
    desk.ask(Method::PUT, "/workspaces/ws-1/standing", Some(HOSTS_OWN), &headers, &body).await
}

fn etag(answer: &Answer) -> String {
    answer.headers[header::ETAG].to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn two_people_cannot_overwrite_each_other() {
    let desk = Desk::set().await;
    let seen = etag(&desk.get("/workspaces/ws-1", HOSTS_OWN).await);
    assert_eq!(stand(&desk, None, "paused").await.status, StatusCode::PRECONDITION_REQUIRED);
    let first = stand(&desk, Some(&seen), "paused").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let second = stand(&desk, Some(&seen), "hibernated").await;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED, "{}", second.body);
    assert_eq!(desk.get("/workspaces/ws-1", HOSTS_OWN).await.body["standing"], "paused");

    let headers = [("if-match", &*seen)];
    let verb =
        desk.ask(Method::POST, "/workspaces/ws-1/resume", Some(HOSTS_OWN), &headers, "").await;
    assert_eq!(verb.status, StatusCode::PRECONDITION_FAILED, "a verb honours it, too");
    let again = stand(&desk, Some(&etag(&first)), "wanted").await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_filtered_and_read_in_pages() {
    let desk = Desk::set().await;
    for (query, expected) in [
        ("", 1),
        ("?tenant=acme&state=online", 1),
        ("?tenant=globex", 0),
        ("?state=paused", 0),
        ("?after=ws-1", 0),
        ("?after=ws-0&limit=1", 1),
    ] {
        let answer = desk.get(&format!("/workspaces{query}"), HOSTS_OWN).await;
        let found = answer.body["workspaces"].as_array().unwrap().len();
        assert_eq!(found, expected, "{query}: {}", answer.body);
    }
    for query in
        ["?limit=0", "?limit=1001", "?limit=x", "?state=asleep", "?tenants=acme", "?tenant=-"]
    {
        let answer = desk.get(&format!("/workspaces{query}"), HOSTS_OWN).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(desk.get("/whoami?x=1", HOSTS_OWN).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn who_did_what_is_on_record_and_so_is_who_was_refused() {
    let desk = Desk::set().await;
    let viewer = desk.token("viewer", Role::Viewer, &[TENANT]).await;
    let operator = desk.token("operator", Role::Operator, &[TENANT]).await;
    let stranger = desk.token("stranger", Role::Operator, &["globex"]).await;
    for (token, expected) in [(&viewer, 403), (&stranger, 404), (&operator, 202)] {
        let answer = desk.post("/workspaces/ws-1/pause", token, &Value::Null).await;
        assert_eq!(answer.status.as_u16(), expected);
    }
    desk.get("/workspaces", "rpv_wrong").await;
    desk.get("/workspaces", &viewer).await;

    let entries = desk.get("/audit", HOSTS_OWN).await.body["entries"].clone();
    let told: Vec<_> = entries.as_array().unwrap().iter().rev().collect();
    let line = |entry: &Value| (entry["who"].clone(), entry["status"].clone());
    let expected = [("viewer", 403), ("stranger", 404), ("operator", 202)];
    assert_eq!(told.len(), expected.len() + 1, "looking is not on record: {entries}");
    for (entry, (who, status)) in told.iter().zip(expected) {
        assert_eq!(line(entry), (json!(who), json!(status)), "{entry}");
        assert_eq!(entry["route"], "POST /admin/v1/workspaces/{workspace}/pause", "{entry}");
    }
    assert_eq!(told[2]["before"]["standing"], "wanted");
    assert_eq!(told[2]["after"]["standing"], "paused");
    assert_eq!(line(told[3]), (Value::Null, json!(401)));

    // Whoever is of a tenant sees what was about its workspaces, and no more.
    let seen = desk.get("/audit", &operator).await.body["entries"].clone();
    let routes: Vec<_> = seen.as_array().unwrap().iter().map(|e| e["status"].clone()).collect();
    assert_eq!(routes, [json!(202)], "{seen}");
    assert_eq!(desk.get("/audit", &stranger).await.body["entries"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_leaves_nothing_half_done() {
    let desk = Desk::set().await;
    let path = "/workspaces/ws-1/restart";
    desk.hang_up_on(path, HOSTS_OWN).await;
    desk.pass(Millis::from_secs(60)).await;
    let again = desk.post(path, HOSTS_OWN, &Value::Null).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
    desk.pass(Millis::from_secs(60)).await;
    assert_eq!(desk.stage.restarts().len(), 2, "each was carried out");
    let record = desk.get("/audit", HOSTS_OWN).await.body;
    assert_eq!(record["entries"].as_array().unwrap().len(), 2, "and is on record: {record}");
}

#[tokio::test(start_paused = true)]
async fn a_wish_whose_asker_goes_away_is_carried_out() {
    let desk = Desk::set().await;
    let (supervisor, id) = (desk.stage.supervisor.clone(), "ws-1".parse().unwrap());
    let (restart, pause) = (RestartCause::Operator, Standing::Paused);
    assert!(supervisor.want_restart(&id, restart).now_or_never().is_none());
    desk.pass(Millis::from_secs(60)).await;
    assert_eq!(desk.stage.restarts().len(), 1);
    assert!(supervisor.rest(&id, pause).now_or_never().is_none());
    desk.pass(Millis::from_secs(60)).await;
    assert!(supervisor.bring_back(&id).now_or_never().is_none());
    desk.pass(Millis::from_secs(60)).await;
    assert_eq!(desk.stage.restarts().len(), 2, "one to restart it, one to bring it back");
    let again = supervisor.want_restart(&id, restart).await;
    assert_eq!(again, Some(Wish::Taken), "and nothing is in flight for ever");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_paused_is_not_woken() {
    let desk = Desk::set().await;
    for (case, verb, expected, restarts) in [
        ("it is awake", "wake", 202, 0),
        ("a pause", "pause", 202, 0),
        ("it is paused", "wake", 409, 0),
        ("back", "resume", 202, 1),
        ("asleep", "hibernate", 202, 1),
        ("awake", "wake", 202, 2),
    ] {
        let answer = desk.post(&format!("/workspaces/ws-1/{verb}"), HOSTS_OWN, &Value::Null).await;
        assert_eq!(answer.status.as_u16(), expected, "{case}: {}", answer.body);
        desk.pass(Millis::from_secs(60)).await;
        assert_eq!(desk.stage.restarts().len(), restarts, "{case}");
    }
    let standing = desk.get("/workspaces/ws-1", HOSTS_OWN).await.body["standing"].clone();
    assert_eq!(standing, "wanted");
}

#[tokio::test(start_paused = true)]
async fn strangers_who_are_refused_hide_nobody_elses_refusal() {
    let desk = Desk::set().await;
    let viewer = desk.token("viewer", Role::Viewer, &[]).await;
    for _ in 0..1_000 {
        desk.get("/workspaces", "rpv_wrong").await;
    }
    desk.post("/workspaces/ws-1/pause", &viewer, &Value::Null).await;
    let entries = desk.get("/audit", HOSTS_OWN).await.body["entries"].clone();
    assert_eq!((&entries[0]["who"], &entries[0]["status"]), (&json!("viewer"), &json!(403)));
    let left_out = entries[0]["left_out"].as_u64().unwrap();
    let on_record = entries.as_array().unwrap().len() as u64 - 1;
    assert!((1..100).contains(&on_record), "of one address only so many: {on_record}");
    assert_eq!(on_record + left_out, 1_000, "and the others are counted");
}

/// What the policy does from now on.
async fn told_to(desk: &Desk, deed: &str) {
    let wanted = json!({"settings": {"do": deed}});
    let made = desk.patch("fleet", HOSTS_OWN, "*", &wanted).await;
    assert_eq!(made.status, StatusCode::OK, "{deed}: {}", made.body);
}

#[tokio::test(start_paused = true)]
async fn a_persons_order_is_carried_out_whatever_the_policy_rules() {
    let desk = Desk::unruly().await;
    for (round, deed) in ["nothing", "hurry", "trap", "no-reason"].into_iter().enumerate() {
        told_to(&desk, deed).await;
        let answer = desk.post("/workspaces/ws-1/restart", HOSTS_OWN, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{deed}: {}", answer.body);
        assert_eq!(answer.body["message"], "restart of ws-1: under way", "{deed}");
        let again = desk.post("/workspaces/ws-1/restart", HOSTS_OWN, &Value::Null).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "{deed}: one is in flight: {}", again.body);
        desk.pass(Millis::from_secs(10)).await;
        assert_eq!(desk.stage.restarts().len(), round + 1, "{deed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_puts_off_is_answered_so() {
    let desk = Desk::unruly().await;
    desk.post("/workspaces/ws-1/hibernate", HOSTS_OWN, &Value::Null).await;
    desk.pass(Millis::from_secs(1)).await;
    told_to(&desk, "hurry").await;
    let answer = desk.post("/workspaces/ws-1/wake", HOSTS_OWN, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let message = answer.body["message"].as_str().unwrap();
    assert!(message.starts_with("wake of ws-1: put off by the policy, for "), "{message}");
    assert!(answer.body["not_before_ms"].as_u64().unwrap() > desk.now().0, "{}", answer.body);
    assert_eq!(desk.stage.restarts().len(), 0);
    told_to(&desk, "nothing").await;
    desk.pass(Millis::from_secs(60)).await;
    assert_eq!(desk.stage.restarts().len(), 1, "it is taken up later");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_the_store_does_not_begin_is_not_accepted() {
    let desk = Desk::set().await;
    desk.stage.store.clone().close().await.unwrap();
    let answer = desk.post("/workspaces/ws-1/restart", HOSTS_OWN, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert!(answer.body["detail"].as_str().unwrap().contains("nothing was begun with ws-1"));
    assert_eq!(desk.stage.restarts().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_of_the_life_that_was_seen_where_that_is_asked_for() {
    let desk = Desk::set().await;
    let seen = etag(&desk.get("/workspaces/ws-1", HOSTS_OWN).await);
    let path = "/workspaces/ws-1/restart";
    for expected in [StatusCode::ACCEPTED, StatusCode::PRECONDITION_FAILED] {
        let headers = [("if-match", &*seen)];
        let answer = desk.ask(Method::POST, path, Some(HOSTS_OWN), &headers, "").await;
        assert_eq!(answer.status, expected, "{}", answer.body);
        desk.pass(Millis::from_secs(60)).await;
    }
    assert_eq!(desk.stage.restarts().len(), 1);
}
